"""Flows that a switch does not take, that nobody wants, or that somebody edits."""

from __future__ import annotations

import random
import re
import signal
import time
from typing import Final

from topologies.faults import flow_edits
from topologies.faults.case import EDITED, H1, LOST, STARTED, Case
from topologies.faults.ground import Ground, NotHealed


def _table_full(ground: Ground, _: random.Random) -> None:
    """A table has room for no flow more, and at the same time one is to be added."""
    lab = ground.lab
    room = len([line for line in ground.flows("h1") if "table=50," in line])
    limit = ("--", "--id=@t", "create", "Flow_Table", f"flow_limit={room}", "overflow_policy=refuse")
    lab.overlayctl("port-add", "extra", "--net", "red", "--mac", "02:00:00:00:00:77", "--ip", "10.0.0.77")
    lab.run("h1", "ovs-vsctl", "--", "set", "bridge", "br-int", "flow_tables:50=@t", *limit)
    try:
        add = ("ovs-vsctl", "add-port", "br-int", "extra", "--", "set", "interface", "extra", "type=internal")
        lab.run("h2", *add, "external_ids:iface-id=extra")
        ground.until(lambda: any("02:00:00:00:00:77" in line for line in ground.flows("h1")), 40, "there")
        if "flow_tables was" not in lab.controller_log():
            raise NotHealed("the limit is not told")
    finally:
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


def _meter_taken(ground: Ground, _: random.Random) -> None:
    """Somebody has made a meter of another sort at a number that one of our flows on h1 needs."""
    lab = ground.lab
    ofctl = ("ovs-ofctl", "-O", "OpenFlow14")
    number = re.findall(r"^meter=(\d+)", lab.run("h1", *ofctl, "dump-meters", "br-int").stdout, re.MULTILINE)[0]
    lab.stop_controller(signal.SIGTERM)
    lab.run("h1", *ofctl, "del-meter", "br-int", f"meter={number}")
    lab.run("h1", *ofctl, "add-meter", "br-int", f"meter={number},kbps,bands=type=drop rate=9999")
    lab.start_controller()
    try:
        ground.until(lambda: ground.states()["h1"] == "error", 20, "told")
        shown = lab.overlayctl("show")
        if f"meter {number}" not in shown:
            raise NotHealed("`show` does not name the meter")
        time.sleep(2)
        ground.remark(f"meter {number} is named")
    finally:
        lab.run("h1", *ofctl, "del-meter", "br-int", f"meter={number}")
    lab.stop_controller(signal.SIGTERM)
    ground.start_controller()


CASES: Final = (
    Case("F16", "a flow table limited", "limit set back; 0 lost", _table_full,
         within=40, expected=f"{EDITED}|flow refused|OFPFMFC_TABLE_FULL"),
    Case("F17", "a flow whose meter is somebody else's", "named; all else 0 lost", _meter_taken, H1,
         expected=f"{STARTED}|meter"),
    Case("F18", "stale and foreign flows", "swept, and kept", _stale_and_foreign, expected=f"{STARTED}|{EDITED}"),
    Case("F19", "1000 edits of flows and meters", "repaired in 1.5 s, foreign ones stay",
         # What ovs-vswitchd says where two of its threads cache the same flow; the packet goes on.
         flow_edits.edited, H1, 1.5, f"{EDITED}|{LOST}|ukey installation fails"),
)  # fmt: skip
