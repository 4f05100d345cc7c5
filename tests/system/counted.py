"""What switches have dropped, by the kind of flow that did: before and after something."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from flows.flow import kind_of
from flows.tables import Kind
from tests.system import crafted
from topologies.lab import Lab


def dropped(lab: Lab, chassis: str) -> Counter[Kind]:
    """How many packets each kind of flow has dropped on a chassis so far."""
    lab.run(chassis, "ovs-appctl", "revalidator/purge")  # has the counters told
    found: Counter[Kind] = Counter()
    for cookie, packets in crafted.counters(lab, chassis).items():
        kind = kind_of(cookie)
        if kind is not None and kind.is_drop:
            found[kind] += packets
    return found


@contextlib.contextmanager
def dropping(lab: Lab, chassis: str) -> Iterator[Counter[Kind]]:
    """What a chassis drops meanwhile; complete when the block has ended."""
    before = dropped(lab, chassis)
    found: Counter[Kind] = Counter()
    yield found
    found.update(dropped(lab, chassis) - before)
