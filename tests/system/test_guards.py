"""What keeps a port from being another one, and a switch from being another one: with real frames, on real switches.

Both tenants have the same MACs and addresses, so whatever is taken for the other one's passes for it.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.system import crafted
from tests.system.rogue import claim
from tests.system.steps import chassis_error, eventually, problems, running, settle, watching_flows
from topologies import three_chassis
from topologies.lab import Lab
from topologies.topology import vm as vm_of

pytestmark = pytest.mark.system

RED, BLUE = ["web2", "web3", "web9"], ["db2", "db3", "db9"]
_SENDING = """
import socket, sys, time
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("eth0", 0))
print("begun", flush=True)
while True:
    try:
        out.send(bytes.fromhex(sys.argv[1]))
    except OSError:
        pass
    time.sleep(0.001)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(three_chassis.TOPOLOGY) as built:
        yield built


@contextlib.contextmanager
def sending(lab: Lab, vm: str) -> Iterator[bytes]:
    """A VM sends to all, a thousand times a second, whether it is plugged in or not; the mark of its frames."""
    number = crafted.mark()
    frame = bytes(Ether(src=vm_of(lab.topology, vm).mac, dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / Raw(bytes(50)))
    with lab.background(vm, sys.executable, "-c", _SENDING, (frame + number).hex()) as process:
        process.wait_for("begun")
        yield number


def ofport(lab: Lab, chassis: str, interface: str) -> str:
    argv = ("ovs-vsctl", "--timeout=10", "get", "interface", interface, "ofport")
    return lab.run(chassis, *argv).stdout.strip()


def replug(lab: Lab, old: str, new: str, *ids: str) -> tuple[str, str]:
    """On h1, in one transaction, the one goes and the other comes; their port numbers."""
    before = ofport(lab, "h1", old)
    del_, add = ["del-port", "br-int", old], ["add-port", "br-int", new, "--", "set", "interface", new, *ids]
    lab.run("h1", "ovs-vsctl", *del_, "--", *add)
    return before, ofport(lab, "h1", new)


@pytest.fixture
def unplugged(lab: Lab) -> Iterator[None]:
    """db1 is not plugged in; in the end both tenants' VMs on h1 are."""
    lab.unplug("db1")
    settle(lab)
    yield
    for name in ("web1", "db1"):
        lab.run("h1", "ovs-vsctl", "--if-exists", "del-port", "br-int", name)
        lab.plug(name)
    settle(lab)


@pytest.mark.usefixtures("unplugged")
def test_who_is_plugged_in_where_another_was_is_not_taken_for_it(lab: Lab) -> None:
    """Open vSwitch gives it another number, so the old one's flows do not meet it, however long they stay."""
    with crafted.receiving(lab, [*RED, *BLUE]) as captured, sending(lab, "db1") as mark:
        before, now = replug(lab, "web1", "db1", "external_ids:iface-id=db1")
        settle(lab)
        lab.run("h1", "sleep", "1")
    assert before != now
    seen = captured.seen(mark)
    assert sorted(seen) == BLUE, seen


@pytest.mark.usefixtures("unplugged")
def test_a_number_that_is_asked_for_is_safe_when_the_one_that_had_it_is_gone(lab: Lab) -> None:
    """With `ofport_request` Open vSwitch gives a number at once again: not before its flows are gone."""
    with crafted.receiving(lab, [*RED, *BLUE]) as captured, sending(lab, "db1") as mark:
        number = ofport(lab, "h1", "web1")
        lab.unplug("web1")
        settle(lab)
        add = ["add-port", "br-int", "db1", "--", "set", "interface", "db1", f"ofport_request={number}"]
        lab.run("h1", "ovs-vsctl", *add, "external_ids:iface-id=db1")
        settle(lab)
        lab.run("h1", "sleep", "1")
    assert ofport(lab, "h1", "db1") == number
    seen = captured.seen(mark)
    assert sorted(seen) == BLUE, seen


@pytest.mark.usefixtures("unplugged")
def test_a_port_is_born_dead_and_stays_so_until_it_is_known_whose_it_is(lab: Lab) -> None:
    """While no controller is there, while one comes, and once it is there: without an id, or with nobody's."""
    everybody = [*RED, "db2", "db3"]
    lab.run("h3", "ovs-vsctl", "del-port", "br-int", "db9")
    settle(lab)
    with crafted.receiving(lab, everybody) as captured, sending(lab, "db1") as mark, sending(lab, "db9") as nameless:
        lab.stop_controller(signal.SIGKILL)
        before, now = replug(lab, "web1", "db1", "external_ids:iface-id=late")
        lab.run("h3", "ovs-vsctl", "add-port", "br-int", "db9")
        lab.run("h1", "sleep", "1")
        lab.start_controller()
        settle(lab)
        lab.run("h1", "sleep", "1")
    assert before != now
    assert (captured.seen(mark), captured.seen(nameless)) == ({}, {})
    assert "iface-id 'late' is no declared port" in problems(lab)["h1/db1"]
    with crafted.receiving(lab, everybody) as captured, sending(lab, "db1") as mark, sending(lab, "db9") as nameless:
        lab.overlayctl("port-set", "db1", "--mac", "02:00:00:00:00:0d")
        lab.overlayctl("port-add", "late", "--net", "blue", "--mac", "02:00:00:00:00:01")
        lab.run("h3", "ovs-vsctl", "set", "interface", "db9", "external_ids:overlay-vni=200")
        settle(lab)
        lab.run("h1", "sleep", "1")
    assert sorted(captured.seen(mark)) == ["db2", "db3"]
    assert sorted(captured.seen(nameless)) == ["db2", "db3"]
    lab.overlayctl("port-del", "late", "--", "port-set", "db1", "--mac", "02:00:00:00:00:01")


def test_a_bridge_that_lost_our_mark_while_nobody_looked_is_ours_all_the_same(lab: Lab) -> None:
    """It has ports of ours: nothing that is plugged in there is taken from anybody."""
    settle(lab)
    with lab.pinging("web1", "web2") as pings, watching_flows(lab, "h1") as one, watching_flows(lab, "h2") as two:
        lab.stop_controller(signal.SIGKILL)
        lab.run("h1", "ovs-vsctl", "clear", "bridge", "br-int", "external_ids")
        lab.start_controller()
        settle(lab)
    assert pings().lost == 0
    assert (one.of_ours(), two.of_ours()) == ([], [])
    ids = lab.run("h1", "ovs-vsctl", "get", "bridge", "br-int", "external_ids").stdout
    assert "overlay-managed=" in ids
    assert "overlay-mark=" in ids


def test_a_switch_that_says_to_be_another_gets_nothing_and_disturbs_nobody(lab: Lab) -> None:
    """From another chassis' address, and from the victim's own host while its switch is connected."""
    settle(lab)
    with lab.pinging("web1", "web2") as pings, watching_flows(lab, "h1") as events:
        assert not claim(lab, "h2", "h1")
        assert not claim(lab, "h1", "h1")
        assert not claim(lab, "h2", "h9"), "which nobody has"
        settle(lab)
    assert pings().lost == 0
    assert events.of_ours() == []
    log = lab.controller_log()
    assert "198.51.100.2 is no address of chassis 'h1'" in log
    assert "chassis 'h1' is connected already; a second connection is refused while that one lives" in log
    assert chassis_error(lab, "h1") == ""


def test_it_gets_nothing_before_the_true_one_is_there_either(lab: Lab) -> None:
    lab.signal_daemon("h1", "ovs-vswitchd", signal.SIGKILL)
    try:
        assert not claim(lab, "h2", "h1")
        eventually(lambda: "OpenFlow from 198.51.100.2 was refused" in chassis_error(lab, "h1"), what="it is told")
    finally:
        lab.start_daemon("h1", "ovs-vswitchd")
    eventually(lambda: chassis_error(lab, "h1") == "", 30, "the true one is connected")
    eventually(lambda: lab.ping("web1", "web2", count=1).received == 1, 30)
