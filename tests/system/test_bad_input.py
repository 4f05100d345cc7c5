"""What is wrong is named where the user looks, and nothing else is disturbed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.steps import eventually, problems, running, settle, watching_flows
from topologies import controller, two_chassis
from topologies.lab import Lab
from topologies.topology import CONTROLLER

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(two_chassis.TOPOLOGY) as built:
        yield built


@pytest.fixture(autouse=True)
def undisturbed(lab: Lab) -> Iterator[None]:
    """Around each test: what worked before works after, and not one of its flows was touched meanwhile."""
    settle(lab)
    one, two = (vm.name for vm in lab.topology.vms[:2])
    with watching_flows(lab, "h1") as events:
        yield
        assert lab.ping(one, two, count=2).lost == 0
    assert events.of_ours() == []


def add_port(lab: Lab, chassis: str, name: str, *ids: str) -> None:
    argv = ["ovs-vsctl", "--timeout=10", "add-port", "br-int", name, "--", "set", "interface", name]
    lab.run(chassis, *argv, "type=internal", *(f"external_ids:{each}" for each in ids))


def del_port(lab: Lab, chassis: str, name: str) -> None:
    lab.run(chassis, "ovs-vsctl", "--timeout=10", "del-port", "br-int", name)
    eventually(lambda: f"{chassis}/{name}" not in problems(lab))


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ("iface-id=nobody", "'nobody' is no declared port"),
        ("overlay-vni=4242", "VNI of no declared network"),
        ("overlay-vni=0", "VNI 0 is not in 1..16777215"),
        ("overlay-vni=16777216", "VNI 16777216 is not in 1..16777215"),
        ("overlay-vni=red", "'red' is not a number"),
    ],
)
def test_a_plug_that_can_not_be_bound(lab: Lab, ids: str, words: str) -> None:
    add_port(lab, "h2", "odd0", ids)
    assert words in eventually(lambda: problems(lab).get("h2/odd0"))
    assert words in lab.overlayctl("show").replace("\n", " ")
    assert words in lab.controller_log()
    del_port(lab, "h2", "odd0")


def test_an_interface_that_is_not_there(lab: Lab) -> None:
    lab.run(
        "h2", "ovs-vsctl", "--no-wait", "add-port", "br-int", "ghost0",
        "--", "set", "interface", "ghost0", "external_ids:overlay-vni=100",
    )  # fmt: skip
    assert "ghost0" in eventually(lambda: problems(lab).get("h2/ghost0"))
    assert "No such device" in problems(lab)["h2/ghost0"]
    del_port(lab, "h2", "ghost0")


def test_a_chassis_that_does_not_answer(lab: Lab) -> None:
    lab.overlayctl("chassis-add", "h9", "tcp:198.51.100.99:6640", "--vtep", "192.0.2.99")
    said = eventually(lambda: "no answer" in str(problems(lab)) or problems(lab).get("chassis h9"))
    assert said
    late = lab.overlayctl("--wait", "--timeout", "2", "net-add", "late", "--tenant", "t", "--vni", "77", check=False)
    assert "h9" in late
    lab.overlayctl("net-del", "late")
    lab.overlayctl("chassis-del", "h9")
    settle(lab)


def test_two_controllers_on_one_file(lab: Lab) -> None:
    done = lab.run(CONTROLLER, *controller.ryu_manager(), "overlay_app", check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "overlay.db" in said
    assert "OVERLAY_DB=unix:" in said
    assert "Traceback" not in said


def test_a_database_that_is_not_there_is_said_and_waited_for(lab: Lab) -> None:
    argv = [*controller.ryu_manager(), "--ofp-tcp-listen-port", "7777", "overlay_app"]
    with lab.background(CONTROLLER, "env", "OVERLAY_DB=unix:/nonexistent.sock", *argv) as running:
        running.wait_for("overlay database unix:/nonexistent.sock: No such file or directory", 60)
        assert not running.ended()


def test_a_port_that_somebody_listens_on(lab: Lab) -> None:
    """Another controller on the host would get some of this one's switches; it does not start at all."""
    home = lab.directory / "elsewhere"
    elsewhere = ["env", f"OVERLAY_RUNDIR={home}", f"OVERLAY_DBDIR={home}"]
    done = lab.run(CONTROLLER, *elsewhere, *controller.ryu_manager(), "overlay_app", check=False)
    assert done.returncode != 0
    assert "can't listen for switches on TCP port 6653" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("database", "words"),
    [("blah", "'blah' is neither tcp:IP:PORT"), ("tcp:198.51.100.1:6640", "does not serve the database 'Overlay'")],
)
def test_a_database_that_is_none(lab: Lab, database: str, words: str) -> None:
    argv = ["env", f"OVERLAY_DB={database}", *controller.ryu_manager(), "--ofp-tcp-listen-port", "7778", "overlay_app"]
    done = lab.run(CONTROLLER, *argv, check=False)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr


def test_ids_that_are_misspelt(lab: Lab) -> None:
    add_port(lab, "h2", "odd2", "iface_id=web2")
    assert "neither iface-id=PORT nor overlay-vni=VNI" in eventually(lambda: problems(lab).get("h2/odd2"))
    del_port(lab, "h2", "odd2")


def test_a_datapath_that_does_not_work_here_is_said_and_taken_back(lab: Lab) -> None:
    """On a kernel that has the module both types work, and then there is nothing to say."""
    if lab.datapath == "system":
        return
    late = lab.overlayctl("--wait", "--timeout", "5", "chassis-set", "h2", "--datapath", "system", check=False)
    assert "datapath type system does not work here; load the kernel module openvswitch" in late
    assert "datapath type system does not work here" in problems(lab)["chassis h2"]
    lab.overlayctl("--wait", "chassis-set", "h2", "--datapath", "auto")
    eventually(lambda: "chassis h2" not in problems(lab))
