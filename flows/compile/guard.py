"""Table guard: a port sends from its own MACs, a VTEP from those behind it. Nothing is learned before this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.compile.drop import refuse
from flows.compile.headers import ARP, GROUP, tunnel_source
from flows.compile.view import LocalPort, View
from flows.flow import Controller, Flow, Goto, Match, flow
from flows.tables import FORWARD, FROM_TUNNEL, GUARD, LEARN, MESSAGE, ORIGIN, Kind

_RESERVED: Final = (("01:80:c2:00:00:00", "ff:ff:ff:ff:ff:f0"), ("01:00:0c:cc:cc:cc", "ff:ff:ff:ff:ff:fe"))
"""The block a bridge never forwards (IEEE 802.1Q, table 8-1), and what Cisco's switches tell each other: CDP, PVST+."""
COPIED: Final = 64
"""Octets of an ARP packet that are copied: it has 42, and an untagged minimal frame 60."""
COPIED_ND: Final = 128
"""Octets of neighbor discovery that are copied: Ethernet, IPv6, the message and an option have 86."""
COPIES: Final = (10, 20)
"""Packets per second, and at once, that a port may have copied to the controller."""
COPY_METERS: Final = 65536
"""The meter of a port's copies is this plus its ofport."""
ANYBODY: Final = 0
"""Stands for an ofport where copies of several ports have one meter."""


def copy(ofport: int, octets: int = COPIED) -> Controller:
    """A copy to the controller, within what the port may have copied."""
    return Controller(octets, COPY_METERS + ofport, *COPIES)


def guard(view: View) -> Iterator[Flow]:
    """The MACs of each port and each VTEP, and what becomes of others."""
    for port in view.ports:
        yield from _port(view, port)
    for member in view.members:
        for ip in member.sources:
            behind: Match = {"metadata": view.vni, ORIGIN: FROM_TUNNEL, **tunnel_source(ip)}
            for mac in member.macs:
                yield flow(GUARD, Kind.REMOTE_SOURCE, 100, {**behind, "eth_src": mac}, [Goto(FORWARD)])
            for mac in member.shared:
                if mac not in member.macs:
                    yield flow(GUARD, Kind.REMOTE_SOURCE, 100, {**behind, "eth_src": mac}, [Goto(LEARN)])
            if member.learns:
                yield flow(GUARD, Kind.REMOTE_SOURCE, 80, behind, [Goto(LEARN)])
    tunnel: Match = {"metadata": view.vni, ORIGIN: FROM_TUNNEL}
    if any(member.learns for member in view.members):
        for mac in view.known_macs:
            yield flow(GUARD, Kind.DROP_SPOOFED_TUNNEL, 90, {**tunnel, "eth_src": mac}, [])
    yield flow(GUARD, Kind.DROP_SPOOFED_TUNNEL, 70, tunnel, [])


def _port(view: View, port: LocalPort) -> Iterator[Flow]:
    """One port: from a MAC of its own; where others may appear, from any that is not known elsewhere.

    Of ARP from a wrong MAC the controller gets a copy, so that it can say what is wrong with the port.
    """
    here: Match = {"metadata": view.vni, "in_port": port.ofport}
    own = {*port.macs, *port.shared}
    for mac in sorted(own):
        yield flow(GUARD, Kind.OWN_SOURCE, 100, {**here, "eth_src": mac}, [Goto(MESSAGE)])
    if port.learns:
        for mac in view.known_macs:
            if mac not in own:
                yield flow(GUARD, Kind.DROP_SPOOFED_MAC, 90, {**here, "eth_src": mac}, [])
        yield flow(GUARD, Kind.OWN_SOURCE, 80, here, [Goto(MESSAGE)])
    else:
        yield flow(GUARD, Kind.DROP_SPOOFED_MAC, 90, {**here, "eth_type": ARP}, [copy(port.ofport)])
        yield flow(GUARD, Kind.DROP_SPOOFED_MAC, 80, here, [])


def misses() -> Iterator[Flow]:
    """What nobody sends."""
    for group in _RESERVED:
        yield flow(GUARD, Kind.REFUSE, 210, {"eth_dst": group}, refuse(Kind.DROP_RESERVED))
    yield flow(GUARD, Kind.REFUSE, 200, {"eth_src": GROUP}, refuse(Kind.DROP_MULTICAST_SOURCE))
    yield flow(GUARD, Kind.CONTINUE, 0, {}, [Goto(MESSAGE)])
