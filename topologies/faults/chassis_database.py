"""What stands in a chassis' own database is edited, taken away, or in the way."""

from __future__ import annotations

import random
import re
import statistics
import time
from typing import Final

from topologies.faults.case import EDITED, H3, LOST, Case
from topologies.faults.ground import Ground, NotHealed

EDITS: Final = 200
MISSED_S: Final = 10
"""Seconds after which a repair does not come any more; how long it may take is the promise's business."""
BACK_S: Final = 1.5
OTHER_PORT: Final = 6641
"""Where the chassis' database is reached that has no Manager any more."""
_WRITES: Final = """
n=0; while :; do n=$((n+1))
ovs-vsctl --no-wait set interface web3 external_ids:noise=$n -- set bridge br-int external_ids:noise=$n
ovs-vsctl --no-wait set open_vswitch . external_ids:noise=$n; sleep 0.02; done
"""
"""What somebody else writes all the while."""
_COMMANDS: Final = (
    ("set-fail-mode", "br-int", "standalone"),
    ("set", "interface", "overlay-vxlan", "options:remote_ip=192.0.2.77"),
    ("set", "interface", "overlay-vxlan", "type=gre"),
    ("set", "interface", "overlay-gre", "ofport_request=7"),
    ("del-port", "br-int", "overlay-gre"),
    ("clear", "port", "overlay-vxlan", "external_ids"),
    ("clear", "bridge", "br-int", "external_ids"),
    ("set", "bridge", "br-int", "protocols=OpenFlow10"),
    ("set", "bridge", "br-int", "other-config:datapath-id=0000000000000001"),
    ("del-controller", "br-int"),
    ("set-controller", "br-int", "tcp:192.0.2.99:9999"),
    ("--", "--id=@c", "create", "Controller", 'target="tcp:192.0.2.99:9999"',
     "--", "add", "bridge", "br-int", "controller", "@c"),
    ("set", "bridge", "br-int", "stp_enable=true"),
    ("set", "bridge", "br-int", "rstp_enable=true"),
    ("set", "bridge", "br-int", "mcast_snooping_enable=true", "flood_vlans=1"),
    ("set", "bridge", "br-int", "other_config:forward-bpdu=true", "other_config:mac-table-size=10"),
    ("--", "--id=@t", "create", "Flow_Table", "flow_limit=2", "overflow_policy=evict",
     "--", "set", "bridge", "br-int", "flow_tables:50=@t"),
    ("set", "port", "overlay-vxlan", "tag=7", "vlan_mode=access"),
    ("set", "port", "overlay-gre", "trunks=7", "other_config:rstp-port-priority=0"),
    ("--", "--id=@q", "create", "QoS", "type=linux-htb", "--", "set", "port", "overlay-vxlan", "qos=@q"),
    ("--", "--id=@i", "create", "Interface", "name=more", "type=internal",
     "--", "add", "port", "overlay-gre", "interfaces", "@i"),
    ("set", "interface", "overlay-vxlan", "ingress_policing_rate=1", "bfd:enable=true"),
    ("set", "port", "br-int", "tag=7"),
)  # fmt: skip


def _edited(ground: Ground, chance: random.Random) -> None:
    lab, took = ground.lab, {}
    want = _ours(ground)
    with lab.background("h3", "sh", "-c", _WRITES):
        for number in range(EDITS):
            edit = chance.choice(_COMMANDS)
            lab.run("h3", "ovs-vsctl", "--no-wait", *edit)
            began = time.monotonic()
            ground.heals(lambda: _ours(ground) == want, MISSED_S, what=f"{' '.join(edit)} not repaired")
            took[number, " ".join(edit)] = time.monotonic() - began
    ground.until(ground.ready, 20, "ready")
    ground.settle()
    slowest = max(took, key=lambda made: took[made])
    median = statistics.median(took.values())
    ground.remark(f"{EDITS} edits, repaired in {median:.2f} s (median), {took[slowest]:.2f} s ({slowest[1]})")
    if lab.run("h3", "ovs-vsctl", "get", "interface", "web3", "external_ids:iface-id").stdout.strip() != "web3":
        raise NotHealed("web3 is not plugged in any more")


def _bridge_deleted(ground: Ground, _: random.Random) -> None:
    """The bridge comes back, and what was plugged in does not: nobody but the operator knows of that."""
    lab, want, flows = ground.lab, _ours(ground), ground.flows("h3")
    lab.run("h3", "ovs-vsctl", "--no-wait", "del-br", "br-int")
    began = time.monotonic()
    ground.until(lambda: _ours(ground) == want, BACK_S, "there again")
    ground.remark(f"br-int is back after {time.monotonic() - began:.2f} s, plugs when they are plugged in anew")
    for vm in lab.topology.vms:
        if vm.chassis == "h3":
            lab.plug(vm.name)
    ground.heals(lambda: ground.flows("h3") == flows, 10)
    ground.heals(ground.ready, 10)
    ground.settle()


def _reset(ground: Ground, _: random.Random) -> None:
    """`emer-reset` takes the Manager too, and the controller waits until somebody sets one again."""
    lab, want, flows = ground.lab, _ours(ground), ground.flows("h3")
    lab.run("h3", "ovs-vsctl", "--no-wait", "emer-reset")
    ground.until(lambda: ground.states()["h3"] == "unreachable", 15, "unreachable")
    time.sleep(2)
    lab.run("h3", "ovs-vsctl", "--no-wait", "set-manager", "ptcp:6640")
    ground.heals(lambda: _ours(ground) == want and ground.flows("h3") == flows, 10)
    ground.heals(ground.ready, 20)
    ground.settle()


def _reset_in_reach(ground: Ground, _: random.Random) -> None:
    """The same where the database is reached at a place of its own, which no row of it says."""
    lab = ground.lab
    lab.run("h3", "ovs-appctl", "-t", "ovsdb-server", "ovsdb-server/add-remote", f"ptcp:{OTHER_PORT}")
    lab.overlayctl("--wait", "chassis-set", "h3", "--ovsdb", f"tcp:198.51.100.3:{OTHER_PORT}")
    ground.until(ground.ready, 10, "ready")
    want, flows = _ours(ground), ground.flows("h3")
    lab.run("h3", "ovs-vsctl", "--no-wait", "emer-reset")
    ground.heals(lambda: _ours(ground) == want and ground.flows("h3") == flows, 10)
    ground.heals(ground.ready, 20)
    ground.settle()


def _ours(ground: Ground) -> list[str]:
    """What of h3's database is ours."""
    found = []
    for table, columns in (
        (
            "bridge",
            "name,fail_mode,protocols,other_config,stp_enable,rstp_enable,mcast_snooping_enable,flood_vlans,"
            "flow_tables,controller",
        ),
        ("interface", "name,type,options,ofport,ingress_policing_rate,bfd"),
        ("port", "name,external_ids,tag,vlan_mode,trunks,other_config,qos,interfaces"),
        ("controller", "target,external_ids"),
    ):
        argv = ("ovs-vsctl", f"--columns={columns}", "--format=csv", "--no-headings", "list", table)
        printed = re.sub("[0-9a-f]{8}-[0-9a-f-]{27}", "ROW", ground.lab.run("h3", *argv).stdout)
        lines = printed.splitlines()
        found += sorted(line for line in lines if table == "controller" or "br-int" in line or "overlay-" in line)
    return found


def _names_taken(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    add = ("add-br", "br-mine", "--", "set", "bridge", "br-mine", f"datapath_type={lab.datapath}")
    dpid = lab.run("h2", "ovs-vsctl", "get", "bridge", "br-int", "other-config:datapath-id").stdout.strip()
    lab.run("h2", "ovs-vsctl", *add, f"other-config:datapath-id={dpid}")
    try:
        ground.until(lambda: "has the datapath id of our br-int" in lab.overlayctl("show"), 10, "told")
    finally:
        lab.run("h2", "ovs-vsctl", "del-br", "br-mine")
    ground.heals(ground.ready, 10)
    ground.settle()


_LIKE_A_SWITCH: Final = "until its bridge has a controller again Open vSwitch forwards by MAC alone"
CASES: Final = (
    Case("F20", "the chassis' database edited by hand", "each repaired in 1.5 s", _edited, H3, 1.5,
         f"{LOST}|{EDITED}|not offer OpenFlow|OFPBRC_BAD_TYPE|overlay-(vxlan|gre)|tunnel port not found|192.0.2.99"),
    Case("F20b", "ovs-vsctl del-br br-int", "the bridge is back in 1.5 s", _bridge_deleted, H3, 10,
         f"{LOST}|{EDITED}|datapath|create bridge|tunnel port not found"),
    Case("F20c", "ovs-vsctl emer-reset", "heals when it has a Manager", _reset, H3, 20, f"{LOST}|{EDITED}",
         leaks=_LIKE_A_SWITCH),
    Case("F20d", "emer-reset, still within reach", "repaired in 1.5 s", _reset_in_reach, H3, 1.5, f"{LOST}|{EDITED}",
         leaks=_LIKE_A_SWITCH),
    Case("F21", "datapath id taken", "told, 0 lost", _names_taken, within=10, expected=f"{LOST}|datapath"),
)  # fmt: skip
