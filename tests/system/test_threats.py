"""What a tenant may not send: each field wrong, one at a time, on real switches. Dropped, under its name, at once.

Beside every forged frame stands the honest one that differs in that field alone: it passes.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from flows.flow import kind_of
from flows.tables import Kind
from tests.system import crafted
from tests.system.steps import running, settle
from topologies import three_chassis
from topologies.lab import Lab

pytestmark = pytest.mark.system

MAC1, MAC2, MAC3, MAC9 = (f"02:00:00:00:00:0{n}" for n in (1, 2, 3, 9))
STRANGER = "02:00:00:00:00:77"
ALL = "ff:ff:ff:ff:ff:ff"
NODES = "33:33:00:00:00:01"
LL1, LL2 = "fe80::ff:fe00:1", "fe80::ff:fe00:2"
TIMES = 3


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """web1 and web2 have IPv6 addresses besides; web3 may serve DHCP and route, and speak for 10.0.0.99."""
    with running(three_chassis.TOPOLOGY) as built:
        for number in (1, 2):
            built.overlayctl("port-set", f"web{number}", "--ip", f"10.0.0.{number}", "--ip", f"fd00::{number}")
        built.overlayctl("port-set", "web3", "--may", "dhcp-server", "--may", "router", "--allow", "10.0.0.99")
        settle(built)
        yield built


def ether(payload: Packet, src: str = MAC1, dst: str = ALL) -> Packet:
    return Ether(src=src, dst=dst) / payload


def arp(**fields: object) -> Packet:
    """A gratuitous reply of web1, with some fields otherwise."""
    said = {"op": 2, "hwsrc": MAC1, "psrc": "10.0.0.1", "hwdst": MAC1, "pdst": "10.0.0.1"}
    return ARP(**(said | fields))


def rarp(mac: str, src: str = "") -> Packet:
    """What a hypervisor sends for a VM that has moved."""
    return Ether(src=src or mac, dst=ALL, type=0x8035) / Raw(bytes(ARP(op=3, hwsrc=mac, psrc="0.0.0.0", hwdst=mac)))


def ipv4(src: str = "10.0.0.1", dst: str = "10.0.0.255") -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=4000, dport=4000) / Raw(b"x")


def ipv6(src: str = "fd00::1") -> Packet:
    return IPv6(src=src, dst="ff02::1", hlim=64) / ICMPv6EchoRequest()


def na(src: str = "fd00::1", tgt: str = "fd00::1", lladdr: str = MAC1, hlim: int = 255) -> Packet:
    said = ICMPv6ND_NA(tgt=tgt, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=lladdr)
    return IPv6(src=src, dst="ff02::1", hlim=hlim) / said


def ns(src: str = "fd00::1", lladdr: str = MAC1, hlim: int = 255) -> Packet:
    asks = ICMPv6ND_NS(tgt="fd00::77") / ICMPv6NDOptSrcLLAddr(lladdr=lladdr)
    return IPv6(src=src, dst="ff02::1:ff00:77", hlim=hlim) / asks


def ra(src: str = LL1) -> Packet:
    return IPv6(src=src, dst="ff02::1", hlim=255) / ICMPv6ND_RA()


def offer(src: str, mac: str, port: int = 67) -> Packet:
    return (
        IP(src=src, dst="255.255.255.255")
        / UDP(sport=port, dport=68)
        / BOOTP(op=2, chaddr=bytes.fromhex(mac.replace(":", "")))
        / DHCP(options=[("message-type", "offer"), "end"])
    )


@dataclass(frozen=True)
class Threat:
    """A frame of a VM, and under what it is dropped; None: it is honest, and passes."""

    vm: str
    frame: Packet
    kind: Kind | None


THREATS: dict[str, Threat] = {
    # The source MAC.
    "own MAC": Threat("web1", ether(ipv4()), None),
    "another port's MAC": Threat("web1", ether(ipv4(), src=MAC2), Kind.DROP_SPOOFED_MAC),
    "nobody's MAC": Threat("web1", ether(ipv4(), src=STRANGER), Kind.DROP_SPOOFED_MAC),
    "a group as source": Threat("web1", ether(ipv4(), src="03:00:00:00:00:01"), Kind.DROP_MULTICAST_SOURCE),
    "undeclared, nobody's MAC": Threat("web9", ether(ipv4("10.0.0.9"), src=STRANGER), None),
    "undeclared, a declared MAC": Threat("web9", ether(ipv4("10.0.0.9"), src=MAC1), Kind.DROP_SPOOFED_MAC),
    # ARP.
    "own ARP": Threat("web1", ether(arp()), None),
    "ARP probe": Threat("web1", ether(arp(op=1, psrc="0.0.0.0", pdst="10.0.0.1")), None),
    "ARP sender MAC": Threat("web1", ether(arp(hwsrc=MAC2)), Kind.DROP_SPOOFED_ARP),
    "ARP sender IP": Threat("web1", ether(arp(psrc="10.0.0.2", pdst="10.0.0.2")), Kind.DROP_SPOOFED_ARP),
    "ARP sender IP of nobody": Threat("web1", ether(arp(psrc="10.0.0.66")), Kind.DROP_SPOOFED_ARP),
    "ARP request with another's IP": Threat(
        "web1", ether(arp(op=1, psrc="10.0.0.2", pdst="10.0.0.66")), Kind.DROP_SPOOFED_ARP
    ),
    "undeclared, own ARP": Threat("web9", ether(arp(hwsrc=MAC9, psrc="10.0.0.9"), src=MAC9), None),
    "undeclared, ARP for a declared IP": Threat(
        "web9", ether(arp(hwsrc=MAC9, psrc="10.0.0.1"), src=MAC9), Kind.DROP_SPOOFED_ARP
    ),
    "allowed address, ARP": Threat("web3", ether(arp(hwsrc=MAC3, psrc="10.0.0.99", pdst="10.0.0.99"), src=MAC3), None),
    "own RARP": Threat("web1", rarp(MAC1), None),
    "RARP of another port's MAC": Threat("web1", rarp(MAC2, src=MAC1), Kind.DROP_SPOOFED_ARP),
    "undeclared, RARP": Threat("web9", rarp(MAC9), None),
    # Source addresses.
    "IPv4 source": Threat("web1", ether(ipv4("10.0.0.2")), Kind.DROP_SPOOFED_IP),
    "IPv4 source of nobody": Threat("web1", ether(ipv4("172.16.0.1")), Kind.DROP_SPOOFED_IP),
    "IPv4 from nowhere": Threat("web1", ether(ipv4("0.0.0.0")), Kind.DROP_SPOOFED_IP),
    "DHCP request": Threat(
        "web1", ether(IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / BOOTP(op=1)), None
    ),
    "undeclared, a declared IPv4 source": Threat("web9", ether(ipv4("10.0.0.1"), src=MAC9), Kind.DROP_SPOOFED_IP),
    "allowed address": Threat("web3", ether(ipv4("10.0.0.99"), src=MAC3), None),
    "IPv6 source, own": Threat("web1", ether(ipv6(), dst=NODES), None),
    "IPv6 source, link-local": Threat("web1", ether(ipv6(LL1), dst=NODES), None),
    "IPv6 source": Threat("web1", ether(ipv6("fd00::2"), dst=NODES), Kind.DROP_SPOOFED_IP),
    "IPv6 source, another's link-local": Threat("web1", ether(ipv6(LL2), dst=NODES), Kind.DROP_SPOOFED_IP),
    "undeclared, a declared IPv6 source": Threat(
        "web9", ether(ipv6("fd00::1"), src=MAC9, dst=NODES), Kind.DROP_SPOOFED_IP
    ),
    # Neighbor discovery.
    "own advertisement": Threat("web1", ether(na(), dst=NODES), None),
    "advertised target": Threat("web1", ether(na(tgt="fd00::2"), dst=NODES), Kind.DROP_SPOOFED_ND),
    "advertised MAC": Threat("web1", ether(na(lladdr=MAC2), dst=NODES), Kind.DROP_SPOOFED_ND),
    "advertised from afar": Threat("web1", ether(na(hlim=254), dst=NODES), Kind.DROP_SPOOFED_ND),
    "advertisement's source": Threat("web1", ether(na(src="fd00::2"), dst=NODES), Kind.DROP_SPOOFED_IP),
    "undeclared, advertises a declared address": Threat(
        "web9", ether(na(src="fd00::9", tgt="fd00::1", lladdr=MAC9), src=MAC9, dst=NODES), Kind.DROP_SPOOFED_ND
    ),
    "solicitation's option": Threat("web1", ether(ns(lladdr=MAC2), dst="33:33:ff:00:00:77"), Kind.DROP_SPOOFED_ND),
    "solicitation's source": Threat("web1", ether(ns(src="fd00::2"), dst="33:33:ff:00:00:77"), Kind.DROP_SPOOFED_IP),
    "solicited from afar": Threat("web1", ether(ns(hlim=64), dst="33:33:ff:00:00:77"), Kind.DROP_SPOOFED_ND),
    # What routers and servers send.
    "router advertisement": Threat("web1", ether(ra(), dst=NODES), Kind.DROP_ROUTER),
    "undeclared, router advertisement": Threat("web9", ether(ra("fe80::9"), src=MAC9, dst=NODES), Kind.DROP_ROUTER),
    "allowed router advertisement": Threat("web3", ether(ra("fe80::ff:fe00:3"), src=MAC3, dst=NODES), None),
    "redirect, IPv6": Threat(
        "web1",
        ether(IPv6(src=LL1, dst="fd00::2", hlim=255) / ICMPv6ND_Redirect(tgt="fd00::1", dst="fd00::5"), dst=MAC2),
        Kind.DROP_ROUTER,
    ),
    "redirect, IPv4": Threat(
        "web1", ether(IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=5, code=1), dst=MAC2), Kind.DROP_ROUTER
    ),
    "DHCP offer": Threat("web1", ether(offer("10.0.0.1", MAC2)), Kind.DROP_DHCP_SERVER),
    "undeclared, DHCP offer": Threat("web9", ether(offer("10.0.0.9", MAC2), src=MAC9), Kind.DROP_DHCP_SERVER),
    "DHCP offer from another UDP port": Threat("web1", ether(offer("10.0.0.1", MAC2, 1067)), Kind.DROP_DHCP_SERVER),
    "allowed DHCP offer": Threat("web3", ether(offer("10.0.0.3", MAC2), src=MAC3), None),
    "DHCPv6 advertise": Threat(
        "web1",
        ether(IPv6(src=LL1, dst=LL2, hlim=64) / UDP(sport=547, dport=546) / Raw(b"\2abc"), dst=MAC2),
        Kind.DROP_DHCP_SERVER,
    ),
    "DHCPv6 advertise from another UDP port": Threat(
        "web1",
        ether(IPv6(src=LL1, dst=LL2, hlim=64) / UDP(sport=1547, dport=546) / Raw(b"\2abc"), dst=MAC2),
        Kind.DROP_DHCP_SERVER,
    ),
    "router advertisement in fragments": Threat(
        "web1",
        ether(
            IPv6(src=LL1, dst="ff02::1", hlim=255, nh=44)
            / IPv6ExtHdrFragment(nh=58, offset=0, m=1, id=1)
            / Raw(bytes(ICMPv6ND_RA())),
            dst=NODES,
        ),
        Kind.DROP_FRAGMENTED_ND,
    ),
    # Tags, and what bridges tell each other.
    "802.1Q tag": Threat("web1", ether(Dot1Q(vlan=5) / ipv4()), Kind.DROP_TAGGED),
    "priority tag": Threat("web1", ether(Dot1Q(vlan=0, prio=5) / ipv4()), Kind.DROP_TAGGED),
    "two tags": Threat("web1", ether(Dot1Q(vlan=5) / Dot1Q(vlan=6) / ipv4()), Kind.DROP_TAGGED),
    "802.1ad tag": Threat("web1", ether(Dot1AD(vlan=5) / Dot1Q(vlan=6) / ipv4()), Kind.DROP_TAGGED),
    "undeclared, 802.1Q tag": Threat("web9", ether(Dot1Q(vlan=5) / ipv4("10.0.0.9"), src=MAC9), Kind.DROP_TAGGED),
    "spanning tree": Threat("web1", ether(Raw(b"\x42\x42\x03"), dst="01:80:c2:00:00:00"), Kind.DROP_RESERVED),
    "LACP": Threat("web1", ether(Raw(b"\1"), dst="01:80:c2:00:00:02"), Kind.DROP_RESERVED),
    "LLDP": Threat("web1", ether(Raw(b"\2"), dst="01:80:c2:00:00:0e"), Kind.DROP_RESERVED),
    "pause": Threat("web1", ether(Raw(b"\0\1"), dst="01:80:c2:00:00:01"), Kind.DROP_RESERVED),
    "PVST+": Threat("web1", ether(Raw(b"\x42\x42\x03"), dst="01:00:0c:cc:cc:cd"), Kind.DROP_RESERVED),
    "CDP": Threat("web1", ether(Raw(b"\xaa\xaa\x03"), dst="01:00:0c:cc:cc:cc"), Kind.DROP_RESERVED),
    "a neighbor of PVST+": Threat("web1", ether(Raw(b"x"), dst="01:00:0c:cc:cc:ce"), None),
}
_PLACES = {"web1": "h1", "web3": "h3", "web9": "h2"}


@pytest.fixture(scope="module")
def aftermath(lab: Lab) -> dict[str, tuple[dict[str, int], dict[Kind, int]]]:
    """By threat: who received how many of its frames, and which drops counted how many."""
    vms = [vm.name for vm in lab.topology.vms]
    marks: dict[str, bytes] = {}
    counted: dict[str, dict[Kind, int]] = {}
    with crafted.receiving(lab, vms) as captured:
        for name, threat in THREATS.items():
            at = _PLACES[threat.vm]
            before = crafted.counters(lab, at)
            marks[name] = crafted.send(lab, threat.vm, threat.frame, TIMES)
            lab.run(at, "ovs-appctl", "revalidator/purge")  # has the counters told
            after = crafted.counters(lab, at)
            drops: dict[Kind, int] = {}
            for cookie, packets in after.items():
                kind = kind_of(cookie)
                if kind is not None and kind.is_drop and packets > before.get(cookie, 0):
                    drops[kind] = drops.get(kind, 0) + packets - before.get(cookie, 0)
            counted[name] = drops
    return {name: (captured.seen(marks[name]), counted[name]) for name in THREATS}


@pytest.mark.parametrize("name", [name for name, threat in THREATS.items() if threat.kind is not None])
def test_what_is_forged_goes_nowhere_and_is_counted(
    aftermath: dict[str, tuple[dict[str, int], dict[Kind, int]]], name: str
) -> None:
    received, drops = aftermath[name]
    assert received == {}
    kind = THREATS[name].kind
    assert kind is not None
    assert drops.get(kind, 0) >= TIMES, drops


@pytest.mark.parametrize("name", [name for name, threat in THREATS.items() if threat.kind is None])
def test_what_is_honest_passes_within_its_network(
    aftermath: dict[str, tuple[dict[str, int], dict[Kind, int]]], name: str
) -> None:
    received, _ = aftermath[name]
    assert received, "nobody received it"
    assert all(vm.startswith("web") and vm != THREATS[name].vm for vm in received), received
    assert set(received.values()) == {TIMES}, "each frame once"


def test_who_sent_what_is_forged_is_known(
    lab: Lab, aftermath: dict[str, tuple[dict[str, int], dict[Kind, int]]]
) -> None:
    """By port, as the operator asks: which VM is the rogue router?"""
    assert aftermath
    rows = json.loads(lab.overlayctl("drops", "--format", "json"))
    by_port: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        by_port[row["port"] or row["interface"] or ""].add(row["reason"])
    for vm in _PLACES:
        kinds = {threat.kind.label for threat in THREATS.values() if threat.vm == vm and threat.kind is not None}
        if vm != "web9":
            assert by_port[vm] >= kinds, vm
        else:  # what is declared for others is not counted by who says it
            assert by_port[vm] >= kinds - {"drop-spoofed-arp", "drop-spoofed-ip", "drop-spoofed-nd"}
    assert [row["port"] for row in rows if row["reason"] == "drop-fragmented-nd"] == ["web1"]


def test_nothing_of_what_was_forged_was_learned(
    lab: Lab, aftermath: dict[str, tuple[dict[str, int], dict[Kind, int]]]
) -> None:
    """Neither as a MAC's place, in the switch, nor as a neighbor, in the controller."""
    for chassis in ("h1", "h2", "h3"):
        fdb = lab.run(chassis, "ovs-ofctl", "-O", "OpenFlow14", "dump-flows", "br-int", "table=60").stdout
        for mac in (MAC1, MAC2, MAC3):
            assert f"dl_dst={mac}" not in fdb, chassis
    neighbors = lab.overlayctl("list", "Neighbor")
    assert "10.0.0.66" not in neighbors
    for vm in ("web1", "web2", "web3"):
        assert lab.ping(vm, "web9", count=1).lost == 0


def test_no_random_source_passes(lab: Lab) -> None:
    """Ten thousand source MACs and as many source addresses, from a declared port: none arrives anywhere."""
    chance = random.Random(7)
    whole = bytes(ether(ipv4()))
    macs = [whole[:6] + b"\x02" + chance.randbytes(5) + whole[12:] for _ in range(10_000)]
    addresses = [whole[:26] + chance.randbytes(4) + whole[30:] for _ in range(10_000)]
    with crafted.receiving(lab, ["web2", "web3", "web9", "db1", "db2"]) as captured:
        marks = [crafted.send_all(lab, "web1", frames) for frames in (macs, addresses)]
        control = crafted.send(lab, "web1", ether(ipv4()))
    assert [captured.seen(mark) for mark in marks] == [{}, {}]
    assert captured.seen(control) == {"web2": 1, "web3": 1, "web9": 1}


def test_a_vm_can_not_forge_a_tunnel(lab: Lab) -> None:
    """VXLAN and GRE packets that a VM makes itself, to each VTEP: they are its own network's, and reach no tunnel."""
    inner = ether(ipv4(), src=MAC2)
    frames = []
    for vtep in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        for outer in (UDP(sport=4444, dport=4789) / VXLAN(vni=200, flags=8), GRE(proto=0x6558, key_present=1, key=200)):
            packet = IP(src="10.0.0.9", dst=vtep) / outer / inner
            frames += [bytes(ether(packet, src=MAC9, dst=dst)) for dst in (ALL, MAC1, STRANGER)]
    with crafted.receiving(lab, ["db1", "db2", "db3", "db9"]) as captured:
        mark = crafted.send_all(lab, "web9", frames)
    assert captured.seen(mark) == {}


@pytest.mark.alone
def test_a_port_that_floods_macs_takes_no_more_than_its_share(lab: Lab) -> None:
    """A thousand MACs a second from an undeclared port: at most the limit is learned, and others lose nothing.

    Each is an upcall, which Open vSwitch can't be spared that learns sources; with the userspace datapath all ports
    share the one thread that makes them, so that some ten thousand a second take it all.
    """
    chance = random.Random(7)
    tail = b"\x12\x34" + bytes(46)
    frames = (b"\xff" * 6 + b"\x02\x11" + chance.randbytes(4) + tail for _ in range(5_000))
    with lab.pinging("web1", "web2", 0.02) as result:
        crafted.send_all(lab, "web9", frames, pause=0.1)
        lab.run("h2", "sleep", "1")
    assert result().lost <= 1
    fdb = lab.run("h2", "ovs-ofctl", "-O", "OpenFlow14", "dump-flows", "br-int", "table=60").stdout
    assert 0 < fdb.count("dl_dst=02:11:") <= 1024
    assert lab.ping("web1", "web9", count=2).lost == 0
