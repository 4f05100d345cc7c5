"""Networks that go on in a physical one: both ways, at one place at a time, and never a loop."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from flows.tables import Kind
from tests.system import crafted
from tests.system.counted import dropping
from tests.system.steps import chassis_error, eventually, problems, running, settle, shown
from tests.system.test_vlan import speak_ipv6
from topologies import gateway, streams
from topologies.lab import Lab

pytestmark = pytest.mark.system

ALL = "ff:ff:ff:ff:ff:ff"
WEB1, WEB2, PRINTER, NAS = "02:00:00:00:00:01", "02:00:00:00:00:02", "06:00:00:00:00:01", "06:00:00:00:00:02"
EVERYBODY = ["web1", "web2", "db1", "db2", "printer", "nas"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(gateway.TOPOLOGY) as built:
        for name in ("web2", "db2"):
            built.overlayctl("port-set", name, "--ip", "10.0.0.2", "--ip", "fd00::2")
            speak_ipv6(built, name, "eth0", "fd00::2")
        speak_ipv6(built, "printer", "eth0", "fd00::101")
        speak_ipv6(built, "nas", "eth0.10", "fd00::101")
        at(built, "h1")
        yield built


def at(lab: Lab, chassis: str, *networks: str) -> None:
    """Let both networks, or these, go on at that chassis, and wait until they do."""
    for network in networks or ("red", "blue"):
        lab.overlayctl("net-set", network, "--gateway-chassis", chassis)
    settle(lab)
    eventually(lambda: all(works(lab, network) for network in networks or ("red", "blue")), what=why(lab, "red"))


def works(lab: Lab, network: str) -> bool:
    source, target = ("web2", "printer") if network == "red" else ("db2", "nas")
    return lab.ping(source, target, count=1).lost == 0


def why(lab: Lab, network: str) -> str:
    """What `overlayctl` says is wrong with a network."""
    rows = json.loads(lab.overlayctl("--format", "json", "list", "Network"))
    return next(str(row["error"]) for row in rows if row["name"] == network)


def state(lab: Lab, chassis: str) -> str:
    return next(row["state"] for row in shown(lab)["chassis"] if row["name"] == chassis)


def ports(lab: Lab, chassis: str, bridge: str = "br-office") -> list[str]:
    return sorted(lab.run(chassis, "ovs-vsctl", "list-ports", bridge).stdout.split())


@pytest.mark.parametrize(
    ("source", "target"),
    [("web2", "printer"), ("web1", "printer"), ("printer", "web2"), ("printer", "web1"),
     ("db2", "nas"), ("nas", "db2"), ("nas", "db1"),
     ("web2", "fd00::101"), ("printer", "fd00::2"), ("db2", "fd00::101"), ("nas", "fd00::2")],
)  # fmt: skip
def test_inside_and_outside_reach_each_other(lab: Lab, source: str, target: str) -> None:
    """Untagged (red) and in VLAN 10 (blue), from both sides, in both address families."""
    for family in ("-4", "-6"):
        lab.run(source, "ip", family, "neigh", "flush", "all")
    assert lab.ping(source, target, count=2).lost == 0


def test_tcp_goes_both_ways(lab: Lab) -> None:
    mtu = "1450"
    for host, device in (("printer", "eth0"), ("nas", "eth0.10")):
        lab.run(host, "ip", "link", "set", "dev", device, "mtu", mtu)
    for source, target in (("web2", "printer"), ("printer", "web2"), ("db2", "nas"), ("nas", "db2")):
        output = lab.output("iperf3", target)
        address = lab.address(target)
        assert streams.tcp(lab.netns(source), lab.netns(target), address, 1, output).bytes > 1_000_000, source


def test_the_switch_answers_for_declared_neighbors(lab: Lab) -> None:
    """Also in the VLAN, with its tag; nobody inside is asked."""
    with lab.capture("db2", "arp") as asked, lab.capture("nas", "arp", "eth0") as seen:
        assert WEB2 in lab.run("nas", "arping", "-c", "1", "-w", "2", "-I", "eth0.10", "10.0.0.2").stdout.lower()
    assert asked.having("who-has 10.0.0.2 ") == []
    assert "vlan 10," in seen.having("Reply 10.0.0.2 is-at")[0]


def said(mac: str, ip: str, tag: int = 0) -> Packet:
    body = IP(src=ip, dst="255.255.255.255") / UDP(sport=9999, dport=9999)
    return Ether(src=mac, dst=ALL) / Dot1Q(vlan=tag) / body if tag else Ether(src=mac, dst=ALL) / body


def shout(lab: Lab, where: str, frame: Packet, times: int = 1) -> bytes:
    """Send a frame so many times; the mark within it (behind it the Linux bridge would cut it off)."""
    mark = crafted.mark()
    crafted.emit(lab, where, [bytes(frame / Raw(bytes(18) + mark))] * times)
    return mark


def test_a_broadcast_reaches_its_own_network_once(lab: Lab) -> None:
    with crafted.receiving(lab, EVERYBODY) as captured:
        from_web2 = shout(lab, "web2", said(WEB2, "10.0.0.2"), 2)
        from_db2 = shout(lab, "db2", said(WEB2, "10.0.0.2"), 2)
        from_printer = shout(lab, "printer", said(PRINTER, "10.0.0.101"), 2)
        from_nas = shout(lab, "nas", said(NAS, "10.0.0.101", 10), 2)
        other_vlan = shout(lab, "nas", said(NAS, "10.0.0.101", 11), 2)
    # The physical network is one cable for all of its VLANs: nas and printer see each other's frames on it.
    assert captured.seen(from_web2) == dict.fromkeys(("web1", "printer", "nas"), 2)
    assert captured.seen(from_db2) == dict.fromkeys(("db1", "printer", "nas"), 2)
    assert captured.seen(from_printer) == dict.fromkeys(("web1", "web2", "nas"), 2)
    assert captured.seen(from_nas) == dict.fromkeys(("db1", "db2", "printer"), 2)
    assert captured.seen(other_vlan) == {"printer": 2}


def test_what_is_outside_is_learned(lab: Lab) -> None:
    """The MAC in the switches, the address in the controller: unicast is not flooded, nor asked for again."""
    assert lab.ping("printer", "web1", count=1).lost == 0
    for chassis in ("h1", "h2"):
        table = lab.run(chassis, "ovs-ofctl", "-O", "OpenFlow14", "dump-flows", "br-int", "table=60").stdout
        assert f"dl_dst={PRINTER}" in table, chassis
    eventually(lambda: "10.0.0.101" in lab.overlayctl("list", "Neighbor"))
    with lab.capture("web1", "icmp") as bystander:
        assert lab.ping("web2", "printer", count=2).lost == 0
    assert bystander.lines == []


SPOOFED = {
    "a declared MAC": (said(WEB2, "10.0.0.77"), Kind.DROP_SPOOFED_MAC),
    "a declared address, in ARP": (
        Ether(src=PRINTER, dst=ALL) / ARP(op=2, hwsrc=PRINTER, psrc="10.0.0.2", pdst="10.0.0.2"), Kind.DROP_SPOOFED_ARP,
    ),
    "a declared address": (said(PRINTER, "10.0.0.2"), Kind.DROP_SPOOFED_IP),
    "a declared MAC in the VLAN": (said(WEB2, "10.0.0.77", 10), Kind.DROP_SPOOFED_MAC),
    "a VLAN that is no network's": (said(PRINTER, "10.0.0.77", 11), Kind.DROP_TAGGED),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOOFED)
def test_who_is_outside_can_not_be_somebody_inside(lab: Lab, name: str) -> None:
    frame, kind = SPOOFED[name]
    inside = [vm.name for vm in lab.topology.vms]
    with crafted.receiving(lab, inside) as captured, dropping(lab, "h1") as counted:
        mark = shout(lab, "printer", frame, 3)
    assert captured.seen(mark) == {}
    assert counted[kind] == 3, counted
    lab.run("printer", "ping", "-c", "1", "-W", "1", "10.0.0.1")  # the physical switch learns its real place again


def test_it_moves_and_never_loops(lab: Lab) -> None:
    """Broadcasts from both sides all the while: nobody ever receives one twice. What a move costs is printed."""
    for to in ("h2", "h1"):
        marks = []
        with crafted.receiving(lab, EVERYBODY) as captured, lab.pinging("web1", "printer", 0.02) as pinged:
            lab.overlayctl("net-set", "red", "--gateway-chassis", to, "--", "net-set", "blue", "--gateway-chassis", to)
            until = time.monotonic() + 3
            while time.monotonic() < until:
                marks.append(shout(lab, "printer", said(PRINTER, "10.0.0.101")))
                marks.append(shout(lab, "web2", said(WEB2, "10.0.0.2")))
        seen = [captured.seen(mark) for mark in marks]
        assert all(set(each.values()) <= {1} for each in seen), seen
        assert seen[-1] == dict.fromkeys(("web1", "printer", "nas"), 1)
        print(f"to {to}: {pinged()}")
        assert (pinged().duplicates, pinged().lost * 0.02 < 2) == (0, True)
        settle(lab)
        other = "h1" if to == "h2" else "h2"
        assert ports(lab, to) == ["office0", "overlay-of-br-office"]
        assert ports(lab, other) == ["office0"], "nothing of ours is left on the operator's bridge"
        # A switch outside that has known the other place takes notice with the first packet, and a moment.
        eventually(lambda: works(lab, "red") and works(lab, "blue"), 5)


def test_who_is_silent_inside_is_found_at_the_new_place(lab: Lab) -> None:
    """Hosts outside send to VMs that say nothing: switches outside learn where they are from what the gateway sends.

    Of a MAC without an address only a switch knows; web2 is no gateway, but anybody may be behind it for now.
    """
    hidden = "06:00:00:00:00:77"
    lab.overlayctl("--wait", "port-set", "web2", "--security", "off")
    try:
        for to in ("h2", "h1"):
            crafted.emit(lab, "web2", [bytes(Ether(src=hidden, dst=ALL, type=0x88B5) / Raw(bytes(46)))])
            assert lab.ping("printer", "web1", count=1).lost == lab.ping("nas", "db1", count=1).lost == 0
            with (
                lab.capture("printer", "ether proto 0x8035") as told,
                lab.capture("web1", "ether proto 0x8035") as inside,
                lab.pinging("printer", "web1", 0.01) as red,
                lab.pinging("nas", "db1", 0.01) as blue,
            ):
                time.sleep(0.5)
                move = [("net-set", network, "--gateway-chassis", to) for network in ("red", "blue")]
                lab.overlayctl(*move[0], "--", *move[1])
                time.sleep(4)
            print(f"to {to}: {red()} {blue()}")
            assert max(red().lost, blue().lost) * 0.01 < 1
            assert {mac: len(told.having(f"{mac} > ")) for mac in (WEB1, WEB2, hidden, PRINTER, NAS)} == {
                WEB1: 10, WEB2: 10, hidden: 4, PRINTER: 0, NAS: 0,
            }  # fmt: skip
            assert len(told.having("vlan 10")) == 10
            assert inside.lines == []
            settle(lab)
    finally:
        lab.overlayctl("--wait", "port-set", "web2", "--security", "on")


def test_two_networks_can_not_have_one_vlan(lab: Lab) -> None:
    refused = lab.overlayctl(
        "net-add", "pink", "--tenant", "acme", "--vni", "300", "--physical", "office:10", "--gateway-chassis", "h2",
        check=False,
    )  # fmt: skip
    assert "VLAN 10 of physical network 'office' is that of network 'blue'" in refused
    assert "pink" not in lab.overlayctl("list", "Network")
    assert works(lab, "blue")


def test_a_missing_bridge_is_named(lab: Lab) -> None:
    lab.overlayctl("chassis-set", "h1", "--bridge", "office=br-lost")
    told = "bridge br-lost, which leads to physical network 'office', is not there; ovs-vsctl add-br br-lost"
    eventually(lambda: told in chassis_error(lab, "h1"))
    assert ports(lab, "h1") == ["office0"]
    # Between a bridge of the kernel's datapath and one of the userspace no packet passes, and nobody would say so.
    other = "system" if lab.datapath == "netdev" else "netdev"
    argv = ("add-br", "br-other", "--", "set", "bridge", "br-other", f"datapath_type={other}")
    lab.run("h1", "ovs-vsctl", "--no-wait", *argv)
    lab.overlayctl("chassis-set", "h1", "--bridge", "office=br-other")
    eventually(lambda: f"bridge br-other, which leads to physical network 'office', has the {other} datapath"
               in chassis_error(lab, "h1"))  # fmt: skip
    lab.overlayctl("chassis-set", "h1", "--bridge", "office=br-office")
    lab.run("h1", "ovs-vsctl", "--no-wait", "del-br", "br-other")
    eventually(lambda: chassis_error(lab, "h1") == "" and works(lab, "red"))


def test_a_gateway_outlives_a_controller_that_can_not_ask_its_chassis(lab: Lab) -> None:
    lab.stop_controller(signal.SIGKILL)
    lab.cut("h1", "management")
    try:
        with lab.pinging("web2", "printer", 0.02) as pinged:
            lab.start_controller()
            eventually(
                lambda: next(row["state"] for row in shown(lab)["chassis"] if row["name"] == "h2") == "ready", 30
            )
            lab.run("h2", "sleep", "3")
        assert pinged().lost == 0
    finally:
        lab.heal("h1", "management")
    eventually(lambda: chassis_error(lab, "h1") == "", 40)
    assert works(lab, "red")


def test_a_gateway_that_can_not_be_closed_stays_and_says_so(lab: Lab) -> None:
    lab.cut("h1", "management")
    try:
        eventually(lambda: state(lab, "h1") != "ready", 40)
        eventually(lambda: "OpenFlow connection lost" in lab.controller_log().split("h1: connected")[-1], 40)
        lab.overlayctl("net-set", "red", "--gateway-chassis", "h2")
        told = eventually(lambda: why(lab, "red"))
        assert "goes on at h1, which can't be told to stop" in told
        assert "overlayctl chassis-del h1" in told
        assert problems(lab)["network red"] == told
        assert lab.ping("web2", "printer", count=3).lost == 0, "by h1, as before"
        table = lab.run("h2", "ovs-ofctl", "-O", "OpenFlow14", "dump-flows", "br-int", "table=0").stdout
        number = lab.run("h2", "ovs-vsctl", "get", "interface", "overlay-to-br-office", "ofport").stdout.strip()
        assert f"in_port={number}" not in table, "h2 is no gateway yet"
    finally:
        lab.heal("h1", "management")
    eventually(lambda: why(lab, "red") == "" and works(lab, "red") and ports(lab, "h1") == [
        "office0", "overlay-of-br-office"], 40)  # blue is still there  # fmt: skip
    with lab.capture("h1", "udp port 4789") as underlay:
        assert lab.ping("web2", "printer", count=2).lost == 0
    assert underlay.having("ICMP") == [], "the way is short now"
    at(lab, "h1")


def test_a_gateway_that_moves_while_its_chassis_is_being_lost_does_not_loop(lab: Lab) -> None:
    """Nobody has noticed yet that h1 hears nothing any more, and it goes on forwarding."""
    marks = []
    lab.cut("h1", "management")
    try:
        with crafted.receiving(lab, EVERYBODY) as captured:
            lab.overlayctl("net-set", "red", "--gateway-chassis", "h2")
            until = time.monotonic() + 4
            while time.monotonic() < until:
                marks.append(shout(lab, "printer", said(PRINTER, "10.0.0.101")))
                marks.append(shout(lab, "web2", said(WEB2, "10.0.0.2")))
        assert all(set(captured.seen(mark).values()) <= {1} for mark in marks)
        eventually(lambda: "goes on at h1, which can't be told to stop" in why(lab, "red"), 30)
        eventually(lambda: works(lab, "red"), what="by h1, as before")
    finally:
        lab.heal("h1", "management")
    eventually(lambda: why(lab, "red") == "" and works(lab, "red"), 40)
    at(lab, "h1")


def test_it_goes_away_and_leaves_the_bridge_as_it_was(lab: Lab) -> None:
    """By net-set, by net-del of another network there, and by chassis-del."""
    before = lab.run("h1", "ovs-ofctl", "dump-flows", "br-office", "--no-stats").stdout
    lab.overlayctl("--wait", "net-set", "red", "--physical", "none")
    assert lab.ping("web2", "printer", count=1).received == 0
    assert works(lab, "blue")
    lab.overlayctl("--wait", "net-set", "blue", "--physical", "none")
    eventually(lambda: ports(lab, "h1") == ["office0"])
    assert not [port for port in ports(lab, "h1", "br-int") if "office" in port]
    lab.overlayctl("net-set", "blue", "--physical", "office:10", "--gateway-chassis", "h1")
    eventually(lambda: works(lab, "blue"))
    marks = []
    with crafted.receiving(lab, EVERYBODY) as captured:
        lab.overlayctl("net-set", "blue", "--gateway-chassis", "h2", "--", "chassis-del", "h1")
        until = time.monotonic() + 2
        while time.monotonic() < until:
            marks.append(shout(lab, "nas", said(NAS, "10.0.0.101", 10)))
    assert all(set(captured.seen(mark).values()) <= {1} for mark in marks)
    eventually(lambda: ports(lab, "h1") == ["office0"])
    assert lab.run("h1", "ovs-ofctl", "dump-flows", "br-office", "--no-stats").stdout == before
    assert lab.ping("printer", "10.0.0.1", count=1).received == 0
    eventually(lambda: works(lab, "blue"), what="h2 has taken over from a chassis that has left")
    assert ports(lab, "h2") == ["office0", "overlay-of-br-office"]


def test_net_del_takes_it_away(lab: Lab) -> None:
    lab.overlayctl("--wait", "net-del", "blue", "--cascade")
    eventually(lambda: ports(lab, "h2") == ["office0"])
    assert not [port for port in ports(lab, "h2", "br-int") if "office" in port]
