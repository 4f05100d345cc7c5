"""What stands in a chassis' own database is edited, or in the way."""

from __future__ import annotations

import random
from typing import Final

from topologies.faults.case import EDITED, H3, LOST, Case
from topologies.faults.ground import Ground


def _database_edited(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    edits = [
        ("set-fail-mode", "br-int", "standalone"),
        ("set", "interface", "overlay-vxlan", "options:remote_ip=192.0.2.77"),
        ("set", "interface", "overlay-vxlan", "type=gre"),
        ("del-port", "br-int", "overlay-gre"),
        ("clear", "port", "overlay-vxlan", "external_ids"),
        ("clear", "bridge", "br-int", "external_ids"),
        ("set", "bridge", "br-int", "protocols=OpenFlow10"),
        ("set", "bridge", "br-int", "other-config:datapath-id=0000000000000001"),
        ("del-controller", "br-int"),
        ("set-controller", "br-int", "tcp:192.0.2.99:9999"),
    ]
    for edit in edits:
        before = _ours(ground)
        lab.run("h3", "ovs-vsctl", *edit)
        ground.heals(lambda before=before: _ours(ground) == before, 1.5, what=f"{' '.join(edit)} not repaired")
    ground.until(ground.ready, 20, "ready")
    ground.settle()
    ground.remark(f"{len(edits)} edits")


def _ours(ground: Ground) -> list[str]:
    """What of h3's database is ours."""
    found = []
    for table, columns in (
        ("bridge", "name,fail_mode,protocols,other_config"),
        ("interface", "name,type,options,ofport"),
        ("port", "name,external_ids"),
        ("controller", "target,external_ids"),
    ):
        argv = ("ovs-vsctl", f"--columns={columns}", "--format=csv", "--no-headings", "list", table)
        lines = ground.lab.run("h3", *argv).stdout.splitlines()
        found += sorted(line for line in lines if "br-int" in line or "overlay-" in line)
    return found


def _names_taken(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    add = ("add-br", "br-mine", "--", "set", "bridge", "br-mine", "datapath_type=netdev")
    dpid = lab.run("h2", "ovs-vsctl", "get", "bridge", "br-int", "other-config:datapath-id").stdout.strip()
    lab.run("h2", "ovs-vsctl", *add, f"other-config:datapath-id={dpid}")
    try:
        ground.until(lambda: "has the datapath id of our br-int" in lab.overlayctl("show"), 10, "told")
    finally:
        lab.run("h2", "ovs-vsctl", "del-br", "br-mine")
    ground.heals(ground.ready, 10)
    ground.settle()


CASES: Final = (
    Case("F20", "the chassis' database edited by hand", "each repaired in 1 s", _database_edited, H3, 1.5,
         f"{LOST}|{EDITED}|unsupported version|overlay-vxlan"),
    Case("F21", "datapath id taken", "told, 0 lost", _names_taken, within=10, expected=f"{LOST}|datapath"),
)  # fmt: skip
