"""`./lab soak --changes N`: that many changes of ports, as fast as they are taken, and what they cost."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from topologies.faults.ground import Ground
from topologies.soak.comparing import differences
from topologies.soak.figures import Sample
from topologies.soak.ports import Ports
from topologies.soak.sampler import Sampler
from topologies.soak.telling import batch, tell

STEP: Final = 20
"""Changes that are made at once, in as many transactions as there are chassis and lines."""
SYNC: Final = 1000
"""Changes after which all are waited for."""
GROWTH: Final = 0.20
"""By how much of what it was after a tenth of the changes the controller's memory may have grown."""
QUEUES: Final = {"events": 128, "send_queue": 48, "unanswered": 16, "transactions": 16}
"""The most that may wait: events for the application, what Ryu has to send (16 for each chassis), requests."""


@dataclass(frozen=True)
class Changed:
    """What many changes did: how often each kind, seconds, samples, memory in MB early and late, and what is wrong."""

    kinds: dict[str, int]
    took: float
    samples: list[Sample]
    early: float
    late: float
    wrong: list[str]


def change(ground: Ground, number: int, seed: int, say: Callable[[str], None]) -> Changed:
    """Make the changes and compare."""
    lab = ground.lab
    names = [each.name for each in lab.topology.chassis]
    ports = Ports(random.Random(seed), names, [each.name for each in lab.topology.networks])
    kinds: Counter[str] = Counter()
    began = time.monotonic()
    moments = []
    with Sampler(lab) as sampler, batch(lab) as told:
        while (done := kinds.total()) < number:
            some = list(islice(iter(ports.change, None), min(STEP, number - done)))
            tell(lab, told, some)
            kinds.update(each.kind for each in some)
            moments.append((time.monotonic(), kinds.total()))
            if kinds.total() % SYNC < STEP:
                ground.settle()
                say(f"{kinds.total()} changes, {kinds.total() / (time.monotonic() - began):.0f} a second")
        ground.settle()
        took = time.monotonic() - began
        time.sleep(2)
    tenth = next(at for at, count in moments if count >= number / 10)
    early = memory(sampler.samples, tenth, tenth + max(3.0, 0.05 * took))
    late = memory(sampler.samples, began + min(0.95 * took, took - 3), began + took + 2)
    wrong = list(differences(ground, ports))
    if late > early * (1 + GROWTH):
        wrong.append(f"the controller's memory grew from {early:.1f} to {late:.1f} MB")
    for name, most in QUEUES.items():
        if (found := highest(sampler.samples, name)) > most:
            wrong.append(f"{name}: {found:.0f} waited, and more than {most} never may")
    return Changed(dict(sorted(kinds.items())), took, sampler.samples, early, late, wrong)


def memory(samples: list[Sample], since: float, until: float) -> float:
    """The mean of the controller's memory between two moments, in MB."""
    found = [each.figures["controller MB"] for each in samples if since <= each.at <= until]
    return sum(found) / len(found) if found else 0.0


def highest(samples: list[Sample], name: str) -> float:
    """The most that was ever measured."""
    return max((each.figures[name] for each in samples if name in each.figures), default=0.0)
