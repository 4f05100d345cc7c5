"""Chassis that connect to the controller: pending until accepted, and nothing is written to them before."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.system.steps import eventually, fresh_name, shown
from topologies import two_chassis
from topologies.lab import Lab
from topologies.topology import CONTROLLER, CONTROLLER_ADDRESS

pytestmark = pytest.mark.system

NEVER = ("vtep", "CRITICAL", "Traceback")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two chassis that nobody declared; h1 dials in, h2 listens as usual."""
    with Lab(two_chassis.TOPOLOGY, fresh_name()) as built:
        built.start_controller()
        built.run("h1", "ovs-vsctl", "del-manager")
        dial(built, "h1")
        yield built
        assert not [line for line in built.controller_log().splitlines() if "CRITICAL" in line or "Traceback" in line]


def dial(lab: Lab, chassis: str) -> None:
    lab.run(chassis, "ovs-vsctl", "set-manager", f"tcp:{CONTROLLER_ADDRESS}:6641")


def pending(lab: Lab) -> list[str]:
    return [row["name"] for row in shown(lab)["pending"]]


def state(lab: Lab, name: str) -> str:
    return next((row["state"] for row in shown(lab)["chassis"] if row["name"] == name), "")


def test_it_appears_as_pending_and_nothing_is_written_to_it(lab: Lab) -> None:
    eventually(lambda: pending(lab) == ["h1"])
    row = shown(lab)["pending"][0]
    assert row["address"] == "198.51.100.1"
    assert "chassis-accept h1" in lab.overlayctl("show")
    before = lab.run("h1", "ovs-vsctl", "show").stdout
    assert "br-int" not in before
    assert "overlay" not in lab.run("h1", "ovs-vsctl", "list", "open_vswitch").stdout
    eventually(lambda: "is_connected: true" in lab.run("h1", "ovs-vsctl", "show").stdout)


def test_it_goes_when_it_hangs_up_and_comes_back(lab: Lab) -> None:
    lab.run("h1", "ovs-vsctl", "del-manager")
    eventually(lambda: pending(lab) == [])
    dial(lab, "h1")
    eventually(lambda: pending(lab) == ["h1"])


def test_who_has_no_name_or_a_declared_one_is_refused(lab: Lab) -> None:
    lab.overlayctl("chassis-add", "h2", "tcp:198.51.100.2:6640", "--vtep", "192.0.2.2")
    lab.run("h1", "ovs-vsctl", "set", "open_vswitch", ".", "external_ids:system-id=h2")
    eventually(lambda: pending(lab) == [])
    eventually(lambda: "chassis 'h2' is declared with tcp:198.51.100.2:6640" in lab.controller_log())
    assert state(lab, "h2") in ("ready", "connecting")
    lab.run("h1", "ovs-vsctl", "remove", "open_vswitch", ".", "external_ids", "system-id")
    eventually(lambda: "it has no name; on the host: ovs-vsctl set open_vswitch" in lab.controller_log())
    lab.run("h1", "ovs-vsctl", "set", "open_vswitch", ".", 'external_ids:system-id="a\\u001b[2J\\nline"')
    eventually(lambda: "is no name: 1 to 63 letters" in lab.controller_log())
    assert "\x1b" not in lab.controller_log()
    lab.run("h1", "ovs-vsctl", "set", "open_vswitch", ".", "external_ids:system-id=h1")
    eventually(lambda: pending(lab) == ["h1"])


def test_accepted_it_is_a_member_like_any_other(lab: Lab) -> None:
    lab.overlayctl("chassis-accept", "h1", "--vtep", "192.0.2.1")
    eventually(lambda: state(lab, "h1") == "ready")
    assert pending(lab) == []
    lab.overlayctl("net-add", "red", "--tenant", "acme", "--vni", "100")
    lab.overlayctl("port-add", "web1", "--net", "red", "--mac", "02:00:00:00:00:01", "--ip", "10.0.0.1")
    lab.overlayctl("port-add", "web2", "--net", "red", "--mac", "02:00:00:00:00:02", "--ip", "10.0.0.2")
    for vm in ("web1", "web2"):
        lab.plug(vm)
        lab.overlayctl("port-wait", vm)
    eventually(lambda: lab.ping("web1", "web2", count=1).lost == 0)


def test_it_dials_in_again_after_a_restart_of_the_controller_or_its_database(lab: Lab) -> None:
    with lab.pinging("web1", "web2") as result:
        lab.stop_controller(signal.SIGKILL)
        lab.start_controller()
        eventually(lambda: state(lab, "h1") == "ready", 30)
    assert result().lost == 0
    lab.overlayctl("--wait", "sync")
    lab.signal_daemon("h1", "ovsdb-server")
    lab.start_daemon("h1", "ovsdb-server")
    eventually(lambda: "h1: connected to dial-in:h1" in lab.controller_log())
    eventually(lambda: state(lab, "h1") == "ready", 30)
    eventually(lambda: lab.ping("web1", "web2", count=1).lost == 0, 30)


def test_a_port_that_is_taken_is_waited_for(lab: Lab) -> None:
    """By another controller on this host, say, beside which this one stands by."""
    lab.stop_controller()
    program = (
        "import socket, time; s = socket.create_server(('0.0.0.0', 6641)); print('taken', flush=True); time.sleep(60)"
    )
    with lab.background(CONTROLLER, "python3", "-c", program) as other:
        other.wait_for("taken")
        lab.start_controller()
        eventually(
            lambda: "chassis can't dial in at 0.0.0.0 port 6641 yet: Address already in use" in lab.controller_log()
        )
    eventually(lambda: state(lab, "h1") == "ready", 30)


def test_a_second_one_of_that_name_is_refused(lab: Lab) -> None:
    """h2 is taken out, and its host then claims to be h1."""
    lab.overlayctl("--wait", "sync")  # so that "ready" is what this controller says, and not the one before it
    lab.overlayctl("chassis-del", "h2")
    lab.run("h2", "ovs-vsctl", "set", "open_vswitch", ".", "external_ids:system-id=h1")
    dial(lab, "h2")
    eventually(lambda: "chassis 'h1' is connected already; a second one" in lab.controller_log())
    assert state(lab, "h1") == "ready"
