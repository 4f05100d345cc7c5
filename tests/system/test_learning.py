"""Learning on real switches: who is behind a port that may have anybody behind it, where that is, and until when."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from flows.compile import compile, learn
from flows.meters import needed
from flows.simulate import packet
from flows.text import meter_text
from tests.overlays import THREE
from tests.system import crafted
from tests.system.dummy_switch import dummy_switch
from tests.system.steps import eventually, fresh_name, running, settle
from topologies import namespaces, three_chassis
from topologies.lab import Lab
from topologies.topology import Vm, vm_mtu

pytestmark = pytest.mark.system

MAC1, MAC2 = "02:00:00:00:00:01", "02:00:00:00:00:02"
ROAMER = "02:00:00:00:0a:01"
ALL = "ff:ff:ff:ff:ff:ff"
TOPOLOGY = replace(
    three_chassis.TOPOLOGY,
    vms=(*three_chassis.TOPOLOGY.vms, Vm("web8", "red", "h3", "02:00:00:00:00:08", "10.0.0.8", declared=False)),
)
"""And a second port of red that is not declared, on h3."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(TOPOLOGY) as built:
        yield built


def learned(lab: Lab, chassis: str) -> list[str]:
    """The learned flows of a chassis, a line each."""
    printed = lab.run(chassis, "ovs-ofctl", "-O", "OpenFlow14", "dump-flows", "br-int", "table=60").stdout
    return [line for line in printed.splitlines() if "dl_dst=" in line]


def knows(lab: Lab, chassis: str, mac: str) -> bool:
    return any(f"dl_dst={mac}" in line for line in learned(lab, chassis))


@contextlib.contextmanager
def containers(lab: Lab, vm: str, inner: dict[str, tuple[str, str]]) -> Iterator[dict[str, str]]:
    """A bridge in a VM, with a container for each name, which has its own (MAC, IP); their namespaces by name."""
    homes = {name: f"{fresh_name()}-{name}" for name in inner}
    lines = ["ip link add name nested type bridge stp_state 0 mcast_snooping 0", "ip link set dev nested up"]
    lines.append("ip link set dev eth0 master nested")
    try:
        for name, home in homes.items():
            namespaces.run(None, ["ip", "netns", "add", home])
            lines.append(f"ip link add name {name} type veth peer name eth0 netns {home}")
            lines.append(f"ip link set dev {name} master nested up")
        namespaces.script(lab.netns(vm), lines)
        for name, (mac, ip) in inner.items():
            quiet = "ethtool -K eth0 tx off >/dev/null"
            up = f"ip link set dev eth0 address {mac} mtu {vm_mtu(lab.topology)} up"
            namespaces.script(homes[name], [quiet, "ip link set dev lo up", f"ip address add {ip}/24 dev eth0", up])
        yield homes
    finally:
        namespaces.script(lab.netns(vm), ["ip link del dev nested || true"])
        for name, home in homes.items():
            namespaces.run(lab.netns(vm), ["ip", "link", "del", "dev", name], check=False)
            namespaces.run(None, ["ip", "netns", "del", home], check=False)


def reaches(home: str, ip: str) -> bool:
    """Whether a container gets an answer from an address; it may take a moment to learn the way."""
    argv = ["ping", "-n", "-c", "3", "-i", "0.3", "-W", "1", ip]
    return namespaces.run(home, argv, check=False).returncode == 0


INNER = {"c1": ("02:00:00:00:0c:01", "10.0.0.101"), "c2": ("02:00:00:00:0c:02", "10.0.0.102")}

NESTED = {"c3": ("02:00:00:00:0c:03", "10.0.0.103"), "c4": ("02:00:00:00:0c:04", "10.0.0.104")}


def test_containers_behind_a_port_that_is_not_declared(lab: Lab) -> None:
    with containers(lab, "web9", INNER) as homes:
        for home in homes.values():
            for vm in ("web1", "web2", "web3"):
                assert reaches(home, lab.address(vm)), vm
        assert lab.ping("web1", "10.0.0.101").received > 0
        assert reaches(homes["c1"], "10.0.0.102"), "they reach each other inside"
        for mac, _ in INNER.values():
            eventually(lambda mac=mac: knows(lab, "h2", mac) and knows(lab, "h1", mac) and knows(lab, "h3", mac), 5)
        assert all("hard_timeout=300" in line for line in learned(lab, "h1"))
        (there,) = [line for line in learned(lab, "h1") if f"dl_dst={INNER['c1'][0]}" in line]
        assert "0xc0000202" in there, "at the VTEP of h2"


def test_a_secure_port_has_nobody_behind_it_until_that_is_said(lab: Lab) -> None:
    (mac1, ip1), (mac2, _) = NESTED.values()
    with containers(lab, "web2", NESTED) as homes:
        assert not any(reaches(home, lab.address("web1")) for home in homes.values())
        assert not any(knows(lab, chassis, mac) for chassis in ("h1", "h2", "h3") for mac in (mac1, mac2))
        lab.overlayctl("port-set", "web2", "--security", "off")
        settle(lab)
        assert all(reaches(home, lab.address("web1")) for home in homes.values())
        assert knows(lab, "h1", mac1)
        lab.overlayctl("port-set", "web2", "--security", "on", "--extra-mac", mac1, "--allow", f"{mac1}={ip1}")
        settle(lab)
        assert reaches(homes["c3"], lab.address("web1"))
        assert not reaches(homes["c4"], lab.address("web1"))
        # Elsewhere it is known to be behind the VTEP of h2, where web9 still may have anybody behind it.
        assert not knows(lab, "h2", mac2)
        lab.overlayctl("port-set", "web2", "--extra-mac", "none", "--allow", "none")
        settle(lab)
    assert lab.ping("web1", "web2").received > 0


def says(src: str = ROAMER, dst: str = MAC1) -> Packet:
    return Ether(src=src, dst=dst, type=0x88B5) / Raw(b"here")


def test_a_mac_that_moves_is_followed_by_its_first_packet(lab: Lab) -> None:
    """From chassis to chassis and back: what is sent to it next goes to the new place, and to no other."""
    vms = ["web1", "web8", "web9"]
    marks = []
    with crafted.receiving(lab, vms) as captured:
        for place in ("web9", "web8", "web9"):
            crafted.send(lab, place, says())
            marks.append((place, crafted.send(lab, "web1", says(MAC1, ROAMER), times=3)))
    for place, mark in marks:
        assert captured.seen(mark) == {place: 3}
    (there,) = [line for line in learned(lab, "h1") if f"dl_dst={ROAMER}" in line]
    assert "0xc0000202" in there


def test_what_was_learned_goes_with_its_place(lab: Lab) -> None:
    crafted.send(lab, "web8", says())
    eventually(lambda: knows(lab, "h1", ROAMER) and knows(lab, "h3", ROAMER), 5)
    lab.unplug("web8")
    settle(lab)
    try:
        assert not any(knows(lab, chassis, ROAMER) for chassis in ("h1", "h3"))
    finally:
        lab.plug("web8")
        settle(lab)


DROPPED: dict[str, Packet] = {
    "a VLAN tag": Ether(src="02:00:00:00:0d:01", dst=ALL) / Dot1Q(vlan=5) / Raw(b"x" * 46),
    "to the bridges": Ether(src="02:00:00:00:0d:02", dst="01:80:c2:00:00:0e", type=0x88CC) / Raw(b"x" * 46),
    "ARP for a declared address": Ether(src="02:00:00:00:0d:03", dst=ALL)
    / ARP(op=2, hwsrc="02:00:00:00:0d:03", psrc="10.0.0.1", pdst="10.0.0.1"),
    "from a declared address": Ether(src="02:00:00:00:0d:04", dst=ALL)
    / IP(src="10.0.0.1", dst="10.0.0.255")
    / UDP(dport=4000),
    "a DHCP server": Ether(src="02:00:00:00:0d:05", dst=ALL)
    / IP(src="10.0.0.9", dst="255.255.255.255")
    / UDP(sport=67, dport=68),
    "from a declared MAC": Ether(src=MAC1, dst=ALL, type=0x88B5) / Raw(b"x"),
}


def test_nothing_is_learned_of_what_is_dropped(lab: Lab) -> None:
    for frame in DROPPED.values():
        crafted.send(lab, "web9", frame, times=2)
    honest = "02:00:00:00:0d:99"
    crafted.send(lab, "web9", Ether(src=honest, dst=ALL, type=0x88B5) / Raw(b"x"))
    eventually(lambda: all(knows(lab, chassis, honest) for chassis in ("h1", "h2", "h3")), 5)
    for chassis in ("h1", "h2", "h3"):
        for name, frame in DROPPED.items():
            assert not knows(lab, chassis, frame[Ether].src), (chassis, name)


def test_who_is_silent_is_forgotten_and_who_speaks_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same flows with an age of three seconds, on Open vSwitch itself."""
    monkeypatch.setattr(learn, "AGE", 3)
    found = [each for each in compile(THREE, "h2") if each.kind.name not in ("LIMIT", "DROP_TOO_LARGE")]
    silent, speaks = (packet(in_port=9, eth_src=f"02:00:00:00:0e:0{n}", eth_dst=ALL, eth_type=0x88B5) for n in (1, 2))
    with dummy_switch((1, 2, 9)) as switch:
        for id, rate in needed(found).items():
            switch.ofctl("add-meter", meter_text(id, *rate))
        switch.install(found)

        def known() -> list[bool]:
            shown = switch.ofctl("dump-flows", "table=60")
            return [f"dl_dst=02:00:00:00:0e:0{n}" in shown for n in (1, 2)]

        switch.trace(silent, teach=True)
        switch.trace(speaks, teach=True)
        assert known() == [True, True]
        until = time.monotonic() + 5
        while time.monotonic() < until:
            switch.trace(speaks, teach=True)
            time.sleep(0.5)
        assert known() == [False, True]
        eventually(lambda: known() == [False, False], 6)
