"""Trunk ports, access ports, service tags and networks that are transparent to tags, with real tagged frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet

from flows.tables import Kind
from tests.system import crafted
from tests.system.counted import dropping
from tests.system.steps import eventually, problems, running, settle
from topologies import streams, vlan
from topologies.lab import Lab

pytestmark = pytest.mark.system

ALL = "ff:ff:ff:ff:ff:ff"
MAC = {1: "02:00:00:00:00:01", 2: "02:00:00:00:00:02", 9: "02:00:00:00:00:09"}
SUB = {1: "02:00:00:00:00:21", 2: "02:00:00:00:00:22", 9: "02:00:00:00:00:49"}


def speak_ipv6(lab: Lab, where: str, interface: str, address: str) -> None:
    """An IPv6 address for an interface, at once."""
    base = f"/proc/sys/net/ipv6/conf/{interface}"
    settings = {"accept_dad": 0, "accept_ra": 0, "router_solicitations": 0, "disable_ipv6": 0}
    lines = [f"echo {value} >{base}/{name}" for name, value in settings.items()]
    lines.append(f"ip address replace {address}/64 dev {interface} nodad")
    lab.run(where, "sh", "-ec", "\n".join(lines))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """What an operator declares and does; blue and its VLANs use 10.0.9.0/24 and fd00:9::/64."""
    with running(vlan.TOPOLOGY) as built:
        for number in (1, 2):
            parent, tag, db = f"trunk{number}", (20, 30)[number - 1], f"db{number}"
            built.overlayctl(
                "port-add", f"sub{number}", "--net", "blue", "--parent", parent, "--tag", str(tag),
                "--mac", SUB[number], "--ip", f"10.0.9.2{number}", "--ip", f"fd00:9::2{number}",
            )  # fmt: skip
            built.overlayctl(
                "port-add", f"carried{number}", "--net", "carrier", "--parent", parent, "--tag", str(50 + number),
                "--service-tag", "on", "--mac", MAC[number],
            )  # fmt: skip
            built.overlayctl(
                "port-set", db, "--ip", f"10.0.0.{number}", "--ip", f"10.0.9.{number}", "--ip", f"fd00:9::{number}"
            )
            built.run(db, "ip", "address", "add", f"10.0.9.{number}/24", "dev", "eth0")
            speak_ipv6(built, db, "eth0", f"fd00:9::{number}")
            device = built.add_vlan(parent, tag, f"10.0.9.2{number}/24", mac=SUB[number])
            speak_ipv6(built, parent, device, f"fd00:9::2{number}")
            service = built.add_vlan(parent, 50 + number, f"10.50.0.{number}/24", service=True)
            for inner in (5, 6):
                built.add_vlan(parent, inner, f"10.{inner}.0.{number}/24", parent=service)
            built.add_vlan(f"any{number}", 7, f"10.7.0.{number}/24")
            built.add_vlan(f"any{number}", 20, f"10.20.0.{number}/24")
        trunk = 'external_ids:overlay-trunk="40=200, 20=300"'
        built.run("h1", "ovs-vsctl", "set", "interface", "loose1", trunk)
        built.add_vlan("loose1", 40, "10.0.9.49/24", mac=SUB[9])
        settle(built)
        eventually(lambda: built.ping("loose1", "10.0.9.2", count=1).received)
        yield built


def test_a_trunk_port_reaches_each_of_its_networks(lab: Lab) -> None:
    """Its own untagged, and another one by a tag, which is another one at the other end."""
    assert lab.ping("trunk1", "trunk2", count=2).lost == 0
    for source, target in (
        ("trunk1", "10.0.9.1"), ("trunk1", "10.0.9.2"), ("trunk1", "10.0.9.22"), ("trunk2", "10.0.9.21"),
        ("db1", "10.0.9.21"), ("db2", "10.0.9.21"), ("db1", "10.0.9.22"), ("trunk2", "10.0.9.1"),
        ("trunk1", "fd00:9::2"), ("trunk1", "fd00:9::22"), ("db2", "fd00:9::21"), ("db1", "fd00:9::21"),
    ):  # fmt: skip
        assert lab.ping(source, target, count=2).lost == 0, (source, target)


def test_tcp_goes_through_a_vlan(lab: Lab) -> None:
    for target, address in (("db2", "10.0.9.2"), ("trunk2", "10.0.9.22")):
        output = lab.output("iperf3", target)
        assert streams.tcp(lab.netns("trunk1"), lab.netns(target), address, 1, output).bytes > 1_000_000, target


def test_an_undeclared_trunk_does_too(lab: Lab) -> None:
    """`overlay-trunk` alone: MACs and addresses behind the tag are learned."""
    assert lab.ping("loose1", "trunk2", count=2).lost == 0
    for source, target in (
        ("loose1", "10.0.9.2"), ("db2", "10.0.9.49"), ("db1", "10.0.9.49"), ("trunk2", "10.0.9.49"),
        ("loose1", "10.0.9.21"), ("trunk1", "10.0.9.49"),
    ):  # fmt: skip
        assert lab.ping(source, target, count=2).lost == 0, (source, target)
    assert not [where for where in problems(lab) if "loose1" in where]


def test_questions_are_answered_with_the_tag_they_came_with(lab: Lab) -> None:
    """By the switch, of both families; the neighbor itself is asked nothing."""
    lab.run("trunk1", "ip", "neigh", "flush", "all")
    with lab.capture("trunk1", "", "eth0") as seen, lab.capture("db2", "arp or icmp6") as asked:
        argv = ("arping", "-c", "1", "-w", "2", "-I", "eth0.20", "10.0.9.2")
        assert "[02:00:00:00:00:02]" in lab.run("trunk1", *argv).stdout
        lab.run("trunk1", "ip", "-6", "neigh", "flush", "dev", "eth0.20")
        assert lab.ping("trunk1", "fd00:9::2", count=1).lost == 0
    for words in (("ARP", "Reply 10.0.9.2 is-at 02:00:00:00:00:02"), ("neighbor advertisement", "tgt is fd00:9::2,")):
        (answer,) = seen.having(*words)
        assert "802.1Q (0x8100)" in answer, answer
        assert "vlan 20," in answer, answer
    assert asked.having("Request who-has 10.0.9.2 ") == []
    assert asked.having("solicitation, who has fd00:9::2,") == []


def said(source: str, ip: str, tags: Packet | None) -> Packet:
    body = IP(src=ip, dst="255.255.255.255") / UDP(sport=9999, dport=9999)
    head = Ether(src=source, dst=ALL)
    return head / tags / body if tags is not None else head / body


@dataclass(frozen=True)
class Place:
    """Where a VM is in a network: without tag, or with one."""

    vm: str
    tag: int
    network: str
    mac: str
    ip: str
    service: bool = False

    @property
    def frame(self) -> Packet:
        kind = Dot1AD if self.service else Dot1Q
        return said(self.mac, self.ip, kind(vlan=self.tag) if self.tag else None)


PLACES = [
    Place("trunk1", 0, "red", MAC[1], "10.0.0.1"),
    Place("trunk2", 0, "red", MAC[2], "10.0.0.2"),
    Place("loose1", 0, "red", MAC[9], "10.0.0.9"),
    Place("trunk1", 20, "blue", SUB[1], "10.0.9.21"),
    Place("trunk2", 30, "blue", SUB[2], "10.0.9.22"),
    Place("loose1", 40, "blue", SUB[9], "10.0.9.49"),
    Place("db1", 0, "blue", MAC[1], "10.0.9.1"),
    Place("db2", 0, "blue", MAC[2], "10.0.9.2"),
    Place("loose1", 20, "clear", MAC[9], "10.0.0.9"),
    Place("any1", 0, "clear", MAC[1], "10.0.0.1"),
    Place("any2", 0, "clear", MAC[2], "10.0.0.2"),
    Place("trunk1", 51, "carrier", MAC[1], "10.50.0.1", service=True),
    Place("trunk2", 52, "carrier", MAC[2], "10.50.0.2", service=True),
]


def test_every_tag_is_a_network_of_its_own(lab: Lab) -> None:
    """From every place a broadcast: it reaches each other place of the network, once, with the tag it has there.

    The same tag is another network at another port (20 is blue at trunk1, clear at loose1), and so is the same MAC.
    """
    vms = sorted({place.vm for place in PLACES})
    captures = {name: lab.capture(name, "udp port 9999 or vlan or ether proto 0x88a8", "eth0") for name in vms}
    with crafted.receiving(lab, vms) as captured:
        frames = {name: capture.__enter__() for name, capture in captures.items()}
        marks = {place: crafted.send(lab, place.vm, place.frame, 2) for place in PLACES}
        for capture in captures.values():
            capture.__exit__(None, None, None)
    for place, mark in marks.items():
        others = [each for each in PLACES if each.network == place.network and each.vm != place.vm]
        assert captured.seen(mark) == {each.vm: 2 for each in others}, place
        for each in others:
            words = [place.mac, f"{place.ip}.9999 > 255.255.255.255"]
            words += [f"vlan {each.tag}, p 0", "(0x88a8)" if each.service else "(0x8100)"] if each.tag else []
            lines = [line for line in frames[each.vm].having(*words) if each.tag or "vlan" not in line]
            assert len(lines) >= 2, (place, each, frames[each.vm].lines)


WRONG = {
    "a tag that is not declared": Dot1Q(vlan=99),
    "a tag of the other end": Dot1Q(vlan=30),
    "a priority tag": Dot1Q(vlan=0, prio=5),
    "the last number there is": Dot1Q(vlan=4095),
    "a service tag that is not declared": Dot1AD(vlan=99),
    "two tags": Dot1Q(vlan=99) / Dot1Q(vlan=20),
    "a declared tag with another one inside": Dot1Q(vlan=20) / Dot1Q(vlan=20),
    "a declared tag with a service tag inside": Dot1Q(vlan=20) / Dot1AD(vlan=51),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_tags_are_dropped_and_counted(lab: Lab, name: str) -> None:
    vms = [each.name for each in lab.topology.vms]
    for source in (MAC[1], SUB[1]):
        with crafted.receiving(lab, vms) as captured, dropping(lab, "h1") as counted:
            mark = crafted.send(lab, "trunk1", said(source, "10.0.0.1", WRONG[name]), 3)
        assert captured.seen(mark) == {}
        assert counted[Kind.DROP_TAGGED] == 3, counted


def test_an_access_port_takes_no_tags(lab: Lab) -> None:
    vms = [each.name for each in lab.topology.vms]
    with crafted.receiving(lab, vms) as captured, dropping(lab, "h2") as counted:
        mark = crafted.send(lab, "db2", said(MAC[2], "10.0.9.2", Dot1Q(vlan=20)), 3)
    assert captured.seen(mark) == {}
    assert counted[Kind.DROP_TAGGED] == 3


def test_what_a_service_tag_carries_may_be_tagged(lab: Lab) -> None:
    """QinQ: with another service tag at each end, the tags inside stay as they are; plain frames go too."""
    assert lab.ping("trunk1", "10.50.0.2", count=2).lost == 0
    with lab.capture("trunk2", "", "eth0") as seen:
        assert lab.ping("trunk1", "10.5.0.2", count=2).lost == 0
        assert lab.ping("trunk1", "10.6.0.2", count=2).lost == 0
    for inner in (5, 6):
        requests = seen.having(f"> 10.{inner}.0.2: ICMP echo request")
        assert len(requests) == 2
        for line in requests:
            assert "802.1Q-QinQ (0x88a8)" in line, line
            assert "vlan 52, p 0, ethertype 802.1Q (0x8100)" in line, line
            assert f"vlan {inner}, p 0" in line, line


def test_a_transparent_network_lets_tags_pass(lab: Lab) -> None:
    with lab.capture("any2", "", "eth0") as seen:
        assert lab.ping("any1", "10.7.0.2", count=2).lost == 0
        assert lab.ping("any1", "10.20.0.2", count=2).lost == 0
        assert lab.ping("any1", "any2", count=2).lost == 0
    assert len([line for line in seen.having("vlan 7,") if "echo request" in line]) == 2
    vms = [each.name for each in lab.topology.vms]
    with crafted.receiving(lab, vms) as captured:
        double = crafted.send(lab, "any1", said(MAC[1], "10.0.0.1", Dot1AD(vlan=8) / Dot1Q(vlan=20)), 2)
    assert captured.seen(double) == {"any2": 2, "loose1": 2}


FORGED = {
    "ARP": ARP(op=2, hwsrc=MAC[1], psrc="10.0.0.2", hwdst=MAC[1], pdst="10.0.0.2"),
    "router advertisement": IPv6(src="fe80::1", dst="ff02::1", hlim=255) / ICMPv6ND_RA(),
    "DHCP offer": IP(src="10.0.0.1", dst="255.255.255.255") / UDP(sport=67, dport=68),
}


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("tags", [Dot1Q(vlan=0), Dot1AD(vlan=0), Dot1Q(vlan=0) / Dot1Q(vlan=0)])
def test_a_transparent_network_lets_no_priority_tag_pass(lab: Lab, name: str, tags: Packet) -> None:
    """Linux takes what is behind it for untagged: any2 would believe it."""
    vms = [each.name for each in lab.topology.vms]
    with crafted.receiving(lab, vms) as captured, dropping(lab, "h1") as counted:
        mark = crafted.send(lab, "any1", Ether(src=MAC[1], dst=ALL) / tags / FORGED[name], 3)
    assert captured.seen(mark) == {}
    assert counted[Kind.DROP_TAGGED] == 3, counted


def test_what_is_wrong_with_a_trunk_is_named(lab: Lab) -> None:
    lab.run("h1", "ovs-vsctl", "set", "interface", "loose1", 'external_ids:overlay-trunk="40=200,20=300,60=999,61=100"')
    said = eventually(lambda: problems(lab).get("h1/loose1"))
    assert "VNI 999 is that of no declared network; overlayctl net-add NAME" in said
    assert "tag 61 is in network 'red', and so is what it sends without a tag" in said
    assert lab.ping("loose1", "10.0.9.2", count=2).lost == 0, "the others count"
    lab.run("h1", "ovs-vsctl", "set", "interface", "loose1", 'external_ids:overlay-trunk="40=200,20=300"')
    eventually(lambda: "h1/loose1" not in problems(lab))


def test_a_trunk_moves_with_all_that_is_behind_it(lab: Lab) -> None:
    lab.unplug("trunk1")
    assert lab.ping("db2", "10.0.9.21", count=1).received == 0
    lab.plug("trunk1", "h2")
    settle(lab)
    eventually(lambda: lab.ping("db1", "10.0.9.21", count=1).received)
    assert lab.ping("db1", "10.0.9.21", count=2).lost == 0
    assert lab.ping("trunk1", "10.5.0.2", count=2).lost == 0
    lab.unplug("trunk1")
    lab.plug("trunk1", "h1")
    settle(lab)
    eventually(lambda: lab.ping("db2", "10.0.9.21", count=1).received)
