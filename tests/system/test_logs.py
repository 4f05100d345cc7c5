"""What the controller writes about itself: every decision once, as an object; and how much it keeps of what is gone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.steps import eventually, fresh_name, settle
from topologies import three_chassis
from topologies.controller import chassis_add
from topologies.lab import Lab
from topologies.topology import chassis

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(three_chassis.TOPOLOGY, fresh_name()) as built:
        built.start_controller(environment={"OVERLAY_LOG": "json"})
        built.declare()
        for vm in built.topology.vms:
            built.plug(vm.name)
        built.wait_up()
        yield built
        print(built.controller_log())
        assert [line for line in lines(built) if line["level"] in ("error", "critical")] == []


def lines(lab: Lab, event: str = "") -> list[dict[str, Any]]:
    """The lines of the log, each of which is an object; those of one event."""
    every = [json.loads(line) for line in lab.controller_log().splitlines()]
    assert all({"time", "level", "event", "message"} <= line.keys() for line in every)
    return [line for line in every if event in ("", line["event"])]


def told(lab: Lab, event: str, **keys: Any) -> bool:
    """Whether there is exactly one line of that event with these keys."""
    return [keys.items() <= line.items() for line in lines(lab, event)].count(True) == 1


def test_ports_are_bound_moved_refused_and_unbound(lab: Lab) -> None:
    assert told(lab, "port-bound", port="web1", network="red", chassis="h1", interface="web1")
    assert told(lab, "port-bound", network="blue", chassis="h3", interface="db9")
    # As a live migration does it: there before it is gone here.
    plug = ("--", "set", "interface", "copy", "type=internal", "external_ids:iface-id=web2")
    lab.run("h3", "ovs-vsctl", "add-port", "br-int", "copy", *plug)
    lab.unplug("web2")
    eventually(lambda: told(lab, "port-moved", port="web2", chassis="h3", interface="copy", chassis_before="h2"))
    lab.plug("web2")
    lab.run("h3", "ovs-vsctl", "del-port", "br-int", "copy")
    eventually(lambda: told(lab, "port-moved", port="web2", chassis="h2", chassis_before="h3"))
    lab.run("h1", "ovs-vsctl", "add-port", "br-int", "stray", "--", "set", "interface", "stray",
            "type=internal", "external_ids:iface-id=nobody")  # fmt: skip
    eventually(lambda: told(lab, "port-refused", level="warning", chassis="h1", interface="stray"))
    lab.run("h1", "ovs-vsctl", "del-port", "br-int", "stray")
    lab.unplug("web9")
    eventually(lambda: told(lab, "port-unbound", network="red", chassis="h2", interface="web9"))
    lab.plug("web9")
    settle(lab)


def test_what_is_repaired_is_told(lab: Lab) -> None:
    lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", "del-flows", "br-int", "table=50")
    eventually(lambda: told(lab, "flows-changed", level="warning", chassis="h1"))

    def edited() -> bool:
        """Nothing is told of what is changed before the chassis was once found as it should be."""
        lab.run("h2", "ovs-vsctl", "set-fail-mode", "br-int", "standalone")
        return any(line["chassis"] == "h2" for line in lines(lab, "chassis-repaired"))

    eventually(edited)
    settle(lab)


def test_neighbors_and_vteps(lab: Lab) -> None:
    lab.arping("web9", "web1")
    eventually(lambda: "10.0.0.9" in lab.overlayctl("show"))
    lab.run("web9", "ip", "link", "set", "dev", "eth0", "address", "02:00:00:00:00:0a")
    lab.run("web9", "arping", "-U", "-c", "1", "-I", "eth0", "10.0.0.9", check=False)
    eventually(lambda: told(lab, "neighbor-moved", ip="10.0.0.9", mac="02:00:00:00:00:0a", chassis="h2"))
    where = "br-underlay" if lab.datapath == "netdev" else "underlay0"
    lab.run("h2", "ip", "address", "add", "192.0.2.22/24", "dev", where)
    lab.overlayctl("--wait", "chassis-set", "h2", "--vtep", "192.0.2.22")
    old, new = ["192.0.2.2=gre+vxlan"], ["192.0.2.22=gre+vxlan"]

    def ways() -> list[tuple[list[str], list[str]]]:
        return [(line["vteps"], line["accepted"]) for line in lines(lab, "vteps-changed")]

    # A step may be over before anybody looks, but none comes before another that it must wait for.
    eventually(lambda: (new, []) in ways())
    steps = [(old, new), (new, old), (new, [])]
    assert ways() == [step for step in steps if step in ways()]
    lab.overlayctl("--wait", "chassis-set", "h2", "--vtep", "192.0.2.2")
    settle(lab)


def test_chassis_come_and_go_and_nothing_is_kept_of_them(lab: Lab) -> None:
    before = counts(lab)
    for _ in range(4):
        for vm in ("web3", "db3", "db9"):
            lab.unplug(vm)
        lab.overlayctl("--wait", "chassis-del", "h3")
        eventually(lambda: counts(lab)["reconcilers"] == counts(lab)["sessions"] == 2)
        lab.overlayctl(*chassis_add(lab.topology, chassis(lab.topology, "h3")))
        for vm in ("web3", "db3", "db9"):
            lab.plug(vm)
        lab.wait_up()
    after = eventually(lambda: found if (found := counts(lab))["greenthreads"] <= before["greenthreads"] else None, 20)
    for name in ("reconcilers", "sessions", "channels", "bindings", "flows", "rows", "remembered"):
        assert after[name] == before[name], name
    assert len(lines(lab, "chassis-left")) == 4
    eventually(lambda: lab.ping("web1", "web3", count=1).lost == 0)


def test_what_is_counted_stands_in_the_docs(lab: Lab) -> None:
    text = Path("docs/logs.md").read_text().partition("## Counts")[2].partition("## Events")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    explained = {name.strip("` ") for line in rows for name in line.split("|")[1].split(",")}
    assert counts(lab).keys() == explained


def counts(lab: Lab) -> dict[str, int]:
    """What the controller says of itself when it is asked."""
    asked = len(lines(lab, "counts"))
    os.kill(lab.controller_pid(), signal.SIGUSR1)
    eventually(lambda: len(lines(lab, "counts")) > asked, 10)
    found: dict[str, int] = lines(lab, "counts")[-1]["counted"]
    return found
