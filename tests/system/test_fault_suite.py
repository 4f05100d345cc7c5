"""The fault suite: a small core of it, and that it notices what it is there for."""

from __future__ import annotations

import random
import time

import pytest

from topologies.faults import flow_edits, run
from topologies.faults.case import Case
from topologies.faults.cases import CASES
from topologies.faults.ground import Ground, NotHealed

pytestmark = [pytest.mark.system, pytest.mark.alone]
CORE = ("F2", "F19")


@pytest.mark.parametrize("case", [case for case in CASES if case.id in CORE], ids=CORE)
def test_a_promise_is_kept(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_edits, "EDITS", 60)
    row = run.attempt(case, 0, None)
    assert row.verdict == "kept", run.line(row)
    assert row.sent
    assert row.sent > 1000


def test_losses_leaks_and_strange_log_lines_are_noticed() -> None:
    """A chassis is cut off that should not be struck; its other tenant gets what is not its own; a flow is altered."""

    heard: list[str] = []

    def harm(ground: Ground, _: random.Random) -> None:
        lab = ground.lab
        lab.cut("h2")
        time.sleep(0.3)
        lab.heal("h2")
        web1, db1 = (
            lab.run("h1", "ovs-vsctl", "get", "interface", vm, "ofport").stdout.strip() for vm in ("web1", "db1")
        )
        # An error that the switch answers is no warning of its own, and is found in its log all the same.
        no_meter = ("add-flow", "br-int", "cookie=0x9,table=200,actions=meter:4444")
        lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", *no_meter, check=False)
        heard.extend(ground.logs.loud("(?!)"))
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
    assert any(line.startswith("h1 ovs-vswitchd: ") and "error reply" in line for line in heard), heard
    for said in ("it never does", "lost of pairs it should not touch", "leaked", "not ours"):
        assert said in row.remark, said
