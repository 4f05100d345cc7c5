"""Flows that a switch does not take, that nobody wants, or that somebody edits."""

from __future__ import annotations

import random
import signal
from typing import Final

from topologies.faults.case import EDITED, H1, LOST, STARTED, Case
from topologies.faults.ground import Ground, NotHealed


def _table_full(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    room = len([line for line in ground.flows("h1") if "table=50," in line])
    limit = ("--", "--id=@t", "create", "Flow_Table", f"flow_limit={room}", "overflow_policy=refuse")
    lab.run("h1", "ovs-vsctl", "--", "set", "bridge", "br-int", "flow_tables:50=@t", *limit)
    lab.overlayctl("port-add", "extra", "--net", "red", "--mac", "02:00:00:00:00:77", "--ip", "10.0.0.77")
    try:
        add = ("ovs-vsctl", "add-port", "br-int", "extra", "--", "set", "interface", "extra", "type=internal")
        lab.run("h2", *add, "external_ids:iface-id=extra")
        ground.until(lambda: ground.states()["h1"] == "error", 10, "told")
        said = next(line for line in lab.controller_log().splitlines() if "flow refused" in line)
        ground.remark("the flow is named" if "02:00:00:00:00:77" in said else "the flow is not named")
    finally:
        lab.run("h1", "ovs-vsctl", "clear", "bridge", "br-int", "flow_tables")
        lab.run("h2", "ovs-vsctl", "--if-exists", "del-port", "br-int", "extra")
        lab.overlayctl("port-del", "extra")
    ground.heals(ground.ready, 40)
    ground.settle()


def _stale_and_foreign(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    foreign = "table=50,priority=7,metadata=0x63,actions=drop"
    lab.stop_controller(signal.SIGKILL)
    lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", "add-flow", "br-int", foreign)
    stale = "cookie=0xe70280000000001,table=50,priority=9,metadata=0x64,dl_dst=02:00:00:00:00:66,actions=drop"
    lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", "add-flow", "br-int", stale)
    ground.start_controller()
    after = ground.flows("h1")
    lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", "--strict", "del-flows", "br-int", foreign.rpartition(",")[0])
    if sorted(set(after) ^ set(before["h1"])) != [line for line in after if "metadata=0x63" in line]:
        raise NotHealed("the stale flow is there, or the foreign one is not")


def _flows_edited(ground: Ground, chance: random.Random) -> None:
    before = ground.flows("h1")
    ours = [line for line in before if line.startswith("cookie=0xe70")]
    for _ in range(100):
        line = chance.choice(ours)
        cookie, _, rest = line.removeprefix("cookie=").partition(", ")
        match = rest.partition("actions=")[0].replace(" ", "").rstrip(",")
        table = match.partition(",")[0]
        how = chance.choice(
            [
                ("del-flows", f"cookie={cookie}/-1"),
                ("mod-flows", f"cookie={cookie}/-1,{table},actions=drop"),
                ("add-flow", f"{match},actions=drop"),
                ("add-flow", f"cookie={cookie},{match},actions=drop"),
                ("add-flow", f"cookie={cookie},table=50,priority=1,metadata=0x61,actions=drop"),
            ]
        )
        ground.lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", how[0], "br-int", how[1])
        ground.heals(lambda: ground.flows("h1") == before, 1.5, what=f"{how[0]} not repaired")
    ground.remark("100 edits")


CASES: Final = (
    Case("F16", "a flow table full", "named; all else 0 lost", _table_full, within=40, expected=f"{LOST}|error"),
    Case("F17", "a flow that the switch refuses", "that one named", why="F16 is one"),
    Case("F18", "stale and foreign flows", "swept, and kept", _stale_and_foreign, expected=f"{STARTED}|{EDITED}"),
    Case("F19", "flows edited by hand", "each repaired in 1 s", _flows_edited, H1, 1.5, EDITED),
)  # fmt: skip
