"""Several controllers at work at once: chassis shared out, taken over, handed back, and nobody fights."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from topologies import three_chassis
from topologies.controller import NAMES
from topologies.databases import Cluster
from topologies.faults.ground import Ground
from topologies.faults.traffic import Sending
from topologies.several import Several, several

SHARES = {"h1": "birch", "h2": "amber", "h3": "cedar"}
TALKING = ("web1", "web2", "web3", "db1", "db2", "db3")

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def together() -> Iterator[tuple[Several, Cluster]]:
    with several(three_chassis.TOPOLOGY, f"together{os.getpid()}") as (lab, servers):
        lab.up_with()
        lab.await_shares(SHARES)
        yield lab, servers


def test_chassis_are_shared_out(together: tuple[Several, Cluster]) -> None:
    lab, _ = together
    assert lab.ping("web1", "web3").lost == 0
    for name in NAMES:
        assert "Traceback" not in lab.log_of(name)


@pytest.mark.parametrize("victim", NAMES)
def test_the_chassis_of_one_that_is_killed_are_taken_over(together: tuple[Several, Cluster], victim: str) -> None:
    lab, _ = together
    ground = Ground(lab)
    with ground.watching() as events, Sending(lab, TALKING) as sending:
        time.sleep(0.5)
        lab.signal_named(victim, signal.SIGKILL)
        others = [name for name in NAMES if name != victim]
        took = lab.await_owners(others, 10)
        lab.start_named(victim)
        lab.await_shares(SHARES)
        time.sleep(0.5)
    assert sending.record is not None
    assert sum(map(len, events.values())) == 0, events
    assert (sending.record.losses(list(sending.record.lost)), sum(sending.record.leaked.values())) == (0, 0)
    assert took < 3
