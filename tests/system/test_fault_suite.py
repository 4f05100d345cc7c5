"""The fault suite: a small core of it, and that it notices what it is there for."""

from __future__ import annotations

import random
import time

import pytest

from topologies.faults import run
from topologies.faults.case import Case
from topologies.faults.cases import CASES
from topologies.faults.ground import Ground, NotHealed

pytestmark = [pytest.mark.system, pytest.mark.alone]
CORE = ("F2", "F19")


@pytest.mark.parametrize("case", [case for case in CASES if case.id in CORE], ids=CORE)
def test_a_promise_is_kept(case: Case) -> None:
    row = run.attempt(case, 0, None)
    assert row.verdict == "kept", run.line(row)
    assert row.sent
    assert row.sent > 1000


def test_losses_leaks_and_strange_log_lines_are_noticed() -> None:
    """A chassis is cut off that should not be struck; its other tenant gets what is not its own; a flow is altered."""

    def harm(ground: Ground, _: random.Random) -> None:
        lab = ground.lab
        lab.cut("h2")
        time.sleep(0.3)
        lab.heal("h2")
        web1, db1 = (
            lab.run("h1", "ovs-vsctl", "get", "interface", vm, "ofport").stdout.strip() for vm in ("web1", "db1")
        )
        # Until it is repaired, which takes a moment, what comes in at web1 goes to db1 too.
        for _ in range(20):
            flow = f"cookie=0x7,table=0,priority=65000,in_port={web1},actions=output:{db1}"
            lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", "add-flow", "br-int", flow)
        time.sleep(0.3)
        raise NotHealed("it never does")

    row = run.attempt(Case("X", "harm", "none", harm), 0, None)
    assert row.verdict == "BROKEN"
    assert row.lost
    assert row.leaked
    for said in ("it never does", "lost of pairs it should not touch", "leaked", "not ours"):
        assert said in row.remark, said
