"""Packets that may reach a chassis: honest, forged, tagged, from ports, from tunnels, from nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from hypothesis import strategies as st

from flows.model import GRE6, TUNNELS, Binding, Overlay, is_ipv4
from flows.simulate import Packet, packet
from topologies.topology import Topology

ARP = 0x0806
REQUEST = 1
BROADCAST = "ff:ff:ff:ff:ff:ff"
GROUPS = (BROADCAST, "01:00:5e:00:00:fb", "33:33:00:00:00:01", "01:80:c2:00:00:0e", "01:80:c2:00:00:21")
STRANGERS = ("02:00:00:00:ff:01", "02:00:00:00:ff:02")
STRANGE_IP = "10.0.0.250"
TAG = 0x1005
UNPLUGGED = 32
"""An ofport that no overlay binds."""


def topology_overlay(topology: Topology) -> Overlay:
    """The overlay of a topology with all its VMs plugged in."""
    bindings = []
    for vm in topology.vms:
        ofport = 1 + sum(binding.chassis == vm.chassis for binding in bindings)
        if vm.declared:
            bindings.append(Binding(vm.chassis, vm.name, ofport, vm.network, vm.name, vm.mac, (vm.ip,)))
        else:
            bindings.append(Binding(vm.chassis, vm.name, ofport, vm.network))
    return Overlay(
        {chassis.name: chassis for chassis in topology.chassis},
        {network.name: network for network in topology.networks},
        tuple(bindings),
    )


def origins(overlay: Overlay, chassis: str) -> list[dict[str, int | str]]:
    """Every way into a chassis: each port, a port in no network, each encap from each VTEP with each VNI."""
    ways: list[dict[str, int | str]] = [
        {"in_port": binding.ofport} for binding in overlay.bindings if binding.chassis == chassis
    ]
    ways.append({"in_port": UNPLUGGED})
    vnis = [0, 77, *(network.vni for network in overlay.networks.values())]
    sources = ["192.0.2.99", "2001:db8::99", *(vtep.ip for other in overlay.chassis.values() for vtep in other.vteps)]
    for here in overlay.chassis[chassis].vteps:
        kind = "tun_" if is_ipv4(here.ip) else "tun_ipv6_"
        ways += [
            {"in_port": tunnel.ofport, "tun_id": vni, kind + "src": source, kind + "dst": here.ip}
            for tunnel, vni, source in product(TUNNELS, vnis, sources)
            if is_ipv4(source) == is_ipv4(here.ip) and (tunnel is not GRE6 or not is_ipv4(source))
        ]
    return ways


def macs(overlay: Overlay) -> list[str]:
    """Every MAC that is known, and strangers."""
    known = {binding.mac for binding in overlay.bindings if binding.mac is not None}
    return [*sorted(known | {neighbor.mac for neighbor in overlay.neighbors}), *STRANGERS]


def pairs(overlay: Overlay) -> list[tuple[str, str]]:
    """Every known (IPv4 address, MAC), and a stranger's."""
    known = {(ip, binding.mac) for binding in overlay.bindings for ip in binding.ips if binding.mac and is_ipv4(ip)}
    known |= {(neighbor.ip, neighbor.mac) for neighbor in overlay.neighbors}
    return [*sorted(known), (STRANGE_IP, STRANGERS[0])]


def frames(overlay: Overlay) -> Iterator[Packet]:
    """Frames that between them touch whatever flows may look at."""
    for source, target in product(macs(overlay), [*macs(overlay), *GROUPS]):
        yield packet(eth_src=source, eth_dst=target, eth_type=0x0800)
    yield packet(eth_src=STRANGERS[0], eth_dst=BROADCAST, eth_type=0x0800, vlan_tci=TAG)
    yield packet(eth_src=BROADCAST, eth_dst=STRANGERS[0], eth_type=0x0800)
    for (ip, mac), (asked, _) in product([*pairs(overlay), ("0.0.0.0", STRANGERS[1])], pairs(overlay)):
        yield arp(mac, ip, asked)


def arp(mac: str, ip: str, asked: str, *, op: int = REQUEST, eth_dst: str = BROADCAST) -> Packet:
    """An ARP packet from `mac`, which says it has `ip`, about the address `asked`."""
    return packet(eth_src=mac, eth_dst=eth_dst, eth_type=ARP, arp_op=op, arp_sha=mac, arp_spa=ip, arp_tpa=asked)


def every_packet(overlay: Overlay, chassis: str) -> Iterator[Packet]:
    """Every frame by every way into a chassis."""
    for way, frame in product(origins(overlay, chassis), list(frames(overlay))):
        yield frame.but(**way)


@st.composite
def any_frame(draw: st.DrawFn, overlay: Overlay) -> Packet:
    """A frame with each field drawn by itself, so that most are forged in some way."""
    mac = st.sampled_from(macs(overlay))
    ip = st.sampled_from([ip for ip, _ in pairs(overlay)] + ["0.0.0.0"])
    fields: dict[str, int | str] = {
        "eth_src": draw(st.one_of(mac, mac, mac, st.sampled_from(GROUPS))),
        "eth_dst": draw(mac | st.sampled_from(GROUPS)),
        "eth_type": draw(st.sampled_from([ARP, ARP, 0x0800, 0x86DD, 0x9000])),
        "vlan_tci": draw(st.sampled_from([0, 0, 0, 0, 0, TAG])),
    }
    if fields["eth_type"] == ARP:
        honest = draw(st.booleans())
        fields |= {
            "arp_op": draw(st.sampled_from([1, 1, 2, 3])),
            "arp_sha": fields["eth_src"] if honest else draw(mac),
            "arp_spa": draw(ip),
            "arp_tpa": draw(ip),
            "arp_tha": draw(mac),
        }
    return packet(**fields)


@st.composite
def packets(draw: st.DrawFn, overlay: Overlay, chassis: str) -> Packet:
    """Any frame by any way into a chassis."""
    return draw(any_frame(overlay)).but(**draw(st.sampled_from(origins(overlay, chassis))))
