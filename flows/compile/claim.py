"""Table claim: a port speaks for its own addresses, in ARP and as the source of its packets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.compile.drop import refuse
from flows.compile.guard import ANYBODY, copy
from flows.compile.headers import ARP, ICMPV6, IPV4, IPV6, RARP, UDP, masked, source
from flows.compile.view import LocalPort, View
from flows.flow import Flow, Goto, Match, flow
from flows.model import is_ipv4
from flows.tables import CLAIM, DISCOVERY, FROM_PORT, ORIGIN, Kind

NOBODY: Final = "0.0.0.0"
UNSPECIFIED: Final = "::"
"""The source of who has no address yet."""


def claim(view: View) -> Iterator[Flow]:
    """What each port may speak for. Who is not restricted may speak for any address that is no other port's."""
    for port in view.ports:
        if not port.learns:
            yield from _reverse(view, port)
        if not (port.restricted or port.learns):
            yield from _as_itself(view, port)
        if port.restricted:
            yield from _restricted(view, port)
        elif view.claimed:
            here: Match = {"metadata": view.vni, "in_port": port.ofport}
            for ip in port.ips:
                for sent in _spoken(ip):
                    yield flow(CLAIM, Kind.OWN_ADDRESS, 200, {**here, **sent}, [Goto(DISCOVERY)])
    anybody: Match = {"metadata": view.vni, ORIGIN: FROM_PORT}
    for ip in view.claimed:
        for sent in _spoken(ip):
            if sent["eth_type"] == ARP:
                yield flow(CLAIM, Kind.DROP_SPOOFED_ARP, 100, {**anybody, **sent}, [copy(ANYBODY)])
            else:
                yield flow(CLAIM, Kind.DROP_SPOOFED_IP, 100, {**anybody, **sent}, [])


def _spoken(ip: str) -> tuple[Match, ...]:
    """Packets that speak for an address, but for neighbor discovery."""
    return ({"eth_type": ARP, "arp_spa": ip}, source(ip)) if is_ipv4(ip) else (source(ip),)


def _restricted(view: View, port: LocalPort) -> Iterator[Flow]:
    """A port that may speak for certain addresses, and as nobody while it has none: to probe, and to ask for one.

    The guard lets it send from its own MAC, shared ones and further ones only. Of the first two any may send from any
    of the addresses, so no flow names both: there would be as many as MACs times addresses.
    What it is allowed and another port has it may send packets from, as servers behind a load balancer do, but who has
    it is not for it to say.
    """
    here: Match = {"metadata": view.vni, "in_port": port.ofport}
    for ip in port.sources:
        yield flow(CLAIM, Kind.OWN_ADDRESS, 300, {**here, **source(ip)}, [Goto(DISCOVERY)])
    for mac in port.further:
        for ethertype in (IPV4, IPV6):
            other: Match = {**here, "eth_src": mac, "eth_type": ethertype}
            yield flow(CLAIM, Kind.DROP_SPOOFED_IP, 320, other, [])
    for mac, ip in port.claims:
        if mac in port.further:
            yield flow(CLAIM, Kind.OWN_ADDRESS, 330, {**here, "eth_src": mac, **source(ip)}, [Goto(DISCOVERY)])
        if is_ipv4(ip):
            said: Match = {**here, "eth_src": mac, "eth_type": ARP, "arp_sha": mac, "arp_spa": masked(ip)}
            yield flow(CLAIM, Kind.OWN_ADDRESS, 300, said, [Goto(DISCOVERY)])
    for ip in filter(is_ipv4, port.others):
        taken: Match = {**here, "eth_type": ARP, "arp_spa": ip}
        yield flow(CLAIM, Kind.DROP_SPOOFED_ARP, 320, taken, [copy(port.ofport)])
    for mac in sorted({*port.macs, *port.shared}):
        probe: Match = {**here, "eth_src": mac, "eth_type": ARP, "arp_sha": mac, "arp_spa": NOBODY}
        yield flow(CLAIM, Kind.OWN_ADDRESS, 340, probe, [Goto(DISCOVERY)])
    asks: Match = {**here, "eth_type": IPV4, "ip_src": NOBODY, "ip_proto": UDP, "udp_src": 68, "udp_dst": 67}
    yield flow(CLAIM, Kind.OWN_ADDRESS, 340, asks, [Goto(DISCOVERY)])
    nobody: Match = {**here, "eth_type": IPV6, "ipv6_src": UNSPECIFIED, "ip_proto": ICMPV6}
    yield flow(CLAIM, Kind.OWN_ADDRESS, 340, nobody, [Goto(DISCOVERY)])
    yield flow(CLAIM, Kind.DROP_SPOOFED_ARP, 250, {**here, "eth_type": ARP}, [copy(port.ofport)])
    for ethertype in (IPV4, IPV6):
        yield flow(CLAIM, Kind.DROP_SPOOFED_IP, 250, {**here, "eth_type": ethertype}, [])


def _reverse(view: View, port: LocalPort) -> Iterator[Flow]:
    """RARP (RFC 903) names the port's own MAC, as hypervisors send it to tell where a VM has moved to."""
    here: Match = {"metadata": view.vni, "in_port": port.ofport, "eth_type": RARP}
    for mac in port.macs:
        yield flow(CLAIM, Kind.OWN_ADDRESS, 360, {**here, "eth_src": mac, "arp_sha": mac}, [Goto(DISCOVERY)])
    yield flow(CLAIM, Kind.DROP_SPOOFED_ARP, 350, here, [])


def _as_itself(view: View, port: LocalPort) -> Iterator[Flow]:
    """A port with a guard that may have any address that is nobody else's: it has it with its own MAC."""
    here: Match = {"metadata": view.vni, "in_port": port.ofport, "eth_type": ARP}
    for mac in port.macs:
        yield flow(CLAIM, Kind.OWN_ADDRESS, 60, {**here, "eth_src": mac, "arp_sha": mac}, [Goto(DISCOVERY)])
    yield flow(CLAIM, Kind.DROP_SPOOFED_ARP, 50, here, [copy(port.ofport)])


def misses() -> Iterator[Flow]:
    """Nobody's address, or no claim at all.

    Open vSwitch reads no ARP but that of Ethernet and IPv4, and takes all fields of other ARP for 0; some hosts read
    it all the same (Linux that of hardware type 6, IEEE 802), and what it claims can't be known.
    """
    unread: Match = {ORIGIN: FROM_PORT, "eth_type": ARP, "arp_op": 0}
    yield flow(CLAIM, Kind.REFUSE, 400, unread, refuse(Kind.DROP_SPOOFED_ARP))
    yield flow(CLAIM, Kind.CONTINUE, 0, {}, [Goto(DISCOVERY)])
