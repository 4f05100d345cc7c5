"""What breaks and heals: the chassis' daemons, the operator's hand on what is ours, a second controller."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.system.steps import eventually, flows, problems, running, settle, shown, watching_flows, where
from topologies import controller, three_chassis
from topologies.lab import Lab
from topologies.topology import CONTROLLER, CONTROLLER_ADDRESS

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(three_chassis.TOPOLOGY) as built:
        yield built


def reaches(lab: Lab, source: str, target: str) -> None:
    eventually(lambda: lab.ping(source, target, count=1).lost == 0, 30, f"{source} -> {target}")


def flows_of(lab: Lab) -> dict[str, list[str]]:
    """Every flow but those that switches learn."""
    return {name: [line for line in sorted(flows(lab, name)) if "table=60" not in line] for name in ("h1", "h2", "h3")}


def states_of(lab: Lab) -> dict[str, str]:
    return {row["name"]: row["state"] for row in shown(lab)["chassis"]}


def test_ovs_vswitchd_dies_and_comes_back(lab: Lab) -> None:
    """Its flows are gone with it; all are installed again, and the others lost nothing meanwhile."""
    before = sorted(flows(lab, "h2"))
    with lab.pinging("web1", "web3") as others:
        lab.signal_daemon("h2", "ovs-vswitchd", signal.SIGKILL)
        lab.start_daemon("h2", "ovs-vswitchd")
        reaches(lab, "web1", "web2")
        reaches(lab, "db3", "db2")
    assert others().lost <= 1  # the last may have been under way when the probe was ended
    settle(lab)
    assert [line for line in sorted(flows(lab, "h2")) if "table=60" not in line] == [
        line for line in before if "table=60" not in line
    ]


def test_a_chassis_database_server_dies_and_comes_back(lab: Lab) -> None:
    """Traffic and flows never notice; the chassis is said to be unreachable meanwhile."""
    settle(lab)
    with lab.pinging("web1", "web2") as pings, watching_flows(lab, "h2") as events:
        lab.signal_daemon("h2", "ovsdb-server", signal.SIGKILL)
        eventually(lambda: states_of(lab)["h2"] == "unreachable")
        lab.start_daemon("h2", "ovsdb-server")
        eventually(lambda: set(states_of(lab).values()) == {"ready"}, 30)
        settle(lab)
        # In userspace ovs-vswitchd stands still until it has its database again, which it looks for at its own pace.
        eventually(lambda: lab.ping("web1", "web2", count=1).received == 1, 30)
    assert pings().lost <= 1
    assert events.of_ours() == []


def test_a_restart_while_a_chassis_is_away_cuts_nobody_off(lab: Lab) -> None:
    """What was last known of h3 stands in for it: the new controller changes no flow, on h1 nor on h3."""
    settle(lab)
    with (
        lab.pinging("web1", "web3") as pings,
        watching_flows(lab, "h1") as one,
        watching_flows(lab, "h3") as three,
    ):
        lab.cut("h3", "management")
        lab.stop_controller(signal.SIGKILL)
        lab.start_controller()
        # Until the new controller has written, what the old one said is still there.
        eventually(lambda: (found := states_of(lab))["h1"] == found["h2"] == "ready" != found["h3"], 30)
        lab.heal("h3", "management")
        eventually(lambda: set(states_of(lab).values()) == {"ready"}, 40)
        settle(lab)
    assert pings().lost <= 1
    assert one.of_ours() == []
    assert three.of_ours() == []


def test_flows_deleted_by_hand_come_back(lab: Lab) -> None:
    lab.run("h1", "ovs-ofctl", "del-flows", "br-int")
    eventually(lambda: lab.ping("web1", "web2", count=1).lost == 0, 45)
    assert "flows changed by somebody else" in lab.controller_log()


def test_the_controller_taken_from_the_bridge_comes_back(lab: Lab) -> None:
    lab.run("h1", "ovs-vsctl", "del-controller", "br-int")
    get = ("ovs-vsctl", "get-controller", "br-int")
    eventually(lambda: "tcp:" in lab.run("h1", *get).stdout, 3)
    reaches(lab, "web1", "web2")


def test_fail_mode_and_options_set_by_hand_are_set_back(lab: Lab) -> None:
    lab.run("h1", "ovs-vsctl", "set-fail-mode", "br-int", "standalone")
    lab.run("h1", "ovs-vsctl", "set", "interface", "overlay-vxlan", "options:remote_ip=192.0.2.77")
    eventually(lambda: lab.run("h1", "ovs-vsctl", "get-fail-mode", "br-int").stdout.strip() == "secure", 3)
    options = ("ovs-vsctl", "get", "interface", "overlay-vxlan", "options:remote_ip")
    eventually(lambda: lab.run("h1", *options).stdout.strip() == "flow", 3)
    reaches(lab, "web1", "web2")


def test_a_port_leaves_a_dead_host(lab: Lab) -> None:
    """h3 is cut off with web3 on it; plugged in on h2, the port is there, and h3 that returns is told."""
    lab.cut("h3", "management")
    eventually(lambda: states_of(lab)["h3"] == "unreachable", 40)
    add = ("ovs-vsctl", "add-port", "br-int", "web3b", "--", "set", "interface", "web3b", "type=internal")
    lab.run("h2", *add, "external_ids:iface-id=web3")
    lab.run("h2", "ip", "link", "set", "web3b", "up")  # as whoever plugs a VM in does; one that is down is told
    eventually(lambda: where(lab, "web3") == ("h2", True), 15)
    lab.heal("h3", "management")
    eventually(lambda: "'web3' is moving here from h2/web3b" in problems(lab).get("h3/web3", ""), 40)
    lab.run("h2", "ovs-vsctl", "del-port", "br-int", "web3b")
    eventually(lambda: where(lab, "web3") == ("h3", True), 15)
    reaches(lab, "web1", "web3")


def test_br_int_deleted_by_hand_is_made_anew(lab: Lab) -> None:
    lab.run("h3", "ovs-vsctl", "del-br", "br-int")
    for name in ("web3", "db3", "db9"):
        lab.plug(name)
    reaches(lab, "web1", "web3")
    reaches(lab, "db1", "db9")


def test_a_second_controller_shares_the_work(lab: Lab) -> None:
    home = lab.directory / CONTROLLER
    target = f"tcp:{CONTROLLER_ADDRESS}:7654"
    env = ["env", f"OVERLAY_DB=unix:{controller.socket(home)}", "OVERLAY_NAME=second", f"OVERLAY_OPENFLOW={target}"]
    argv = [*env, "OVERLAY_DIAL_IN=off", *controller.ryu_manager(), "--ofp-tcp-listen-port", "7654", "overlay_app"]
    settle(lab)  # what was learned a moment ago is not everywhere yet
    before = flows_of(lab)
    with lab.background(CONTROLLER, *argv) as second:
        second.wait_for(": ours now", 30)
        settle(lab)
        told = lab.run("h1", "ovs-vsctl", "get-controller", "br-int").stdout.split()
        assert [each.rpartition(":")[2] for each in sorted(told)] == ["6653", "7654"]
        assert flows_of(lab) == before
        reaches(lab, "web1", "web2")
    eventually(lambda: "second" not in lab.overlayctl("--columns", "owner", "list", "Chassis"), 15)
    settle(lab)
    assert flows_of(lab) == before
    lab.overlayctl("controller-del", "second")
    eventually(lambda: "7654" not in lab.run("h1", "ovs-vsctl", "get-controller", "br-int").stdout, 10)
    assert flows_of(lab) == before
