"""Table discovery: what a port says in neighbor discovery is about itself (RFC 4861, RFC 4862).

Who may say it was decided before, by source MAC and address; this is about what the message holds.
"""

from __future__ import annotations

from collections.abc import Iterator

from flows.compile.claim import UNSPECIFIED
from flows.compile.drop import refuse
from flows.compile.guard import ANYBODY, COPIED_ND, copy
from flows.compile.headers import ADVERTISES, HOP_LIMIT, NO_MAC, SOLICITS, masked
from flows.compile.view import LocalPort, View
from flows.flow import Flow, Goto, Match, flow
from flows.model import is_ipv4
from flows.tables import DISCOVERY, FROM_PORT, LEARN, ORIGIN, Kind


def discovery(view: View) -> Iterator[Flow]:
    """Of restricted ports their own; of the others nothing about an address that is known to be somebody else's.

    Of what is dropped the controller gets a copy, so that it can say who has one address.
    """
    for port in view.ports:
        if not (port.restricted or port.learns):
            yield from _as_itself(view, port)
        if port.restricted:
            yield from _restricted(view, port)
        elif view.claimed:
            here: Match = {"metadata": view.vni, "in_port": port.ofport, **ADVERTISES}
            for ip in port.ips:
                if not is_ipv4(ip):
                    yield flow(DISCOVERY, Kind.OWN_ADDRESS, 200, {**here, "nd_target": ip}, [Goto(LEARN)])
    anybody: Match = {"metadata": view.vni, ORIGIN: FROM_PORT, **ADVERTISES}
    for ip in view.claimed:
        if not is_ipv4(ip):
            steps = [copy(ANYBODY, COPIED_ND)]
            yield flow(DISCOVERY, Kind.DROP_SPOOFED_ND, 100, {**anybody, "nd_target": ip}, steps)


def _restricted(view: View, port: LocalPort) -> Iterator[Flow]:
    """Its own link-layer address in the option or none, its own address as target, and never by way of a router.

    It asks as nobody whose address is declared for another port, for that tells where it is.
    """
    here: Match = {"metadata": view.vni, "in_port": port.ofport}
    asks: Match = {**here, **SOLICITS, "nw_ttl": HOP_LIMIT}
    yield flow(DISCOVERY, Kind.OWN_ADDRESS, 300, {**asks, "nd_sll": NO_MAC}, [Goto(LEARN)])
    for mac in sorted({*port.macs, *port.shared}):
        yield flow(DISCOVERY, Kind.OWN_ADDRESS, 300, {**asks, "eth_src": mac, "nd_sll": mac}, [Goto(LEARN)])
    for mac, ip in port.claims:
        if not is_ipv4(ip):
            says: Match = {**here, "eth_src": mac, **ADVERTISES, "nw_ttl": HOP_LIMIT, "nd_target": masked(ip)}
            for option in (mac, NO_MAC):
                yield flow(DISCOVERY, Kind.OWN_ADDRESS, 300, {**says, "nd_tll": option}, [Goto(LEARN)])
    for ip in port.others:
        if not is_ipv4(ip):
            for taken in ({**SOLICITS, "ipv6_src": ip}, {**ADVERTISES, "nd_target": ip}):
                steps = [copy(port.ofport, COPIED_ND)]
                yield flow(DISCOVERY, Kind.DROP_SPOOFED_ND, 320, {**here, **taken}, steps)
    for message in (SOLICITS, ADVERTISES):
        yield flow(DISCOVERY, Kind.DROP_SPOOFED_ND, 250, {**here, **message}, [copy(port.ofport, COPIED_ND)])


def _as_itself(view: View, port: LocalPort) -> Iterator[Flow]:
    """A port with a guard that may have any address that is nobody else's: it has it with its own MAC."""
    here: Match = {"metadata": view.vni, "in_port": port.ofport}
    for message, field in ((SOLICITS, "nd_sll"), (ADVERTISES, "nd_tll")):
        for mac in port.macs:
            for option in (mac, NO_MAC):
                said: Match = {**here, "eth_src": mac, **message, "nw_ttl": HOP_LIMIT, field: option}
                yield flow(DISCOVERY, Kind.OWN_ADDRESS, 60, said, [Goto(LEARN)])
        yield flow(DISCOVERY, Kind.DROP_SPOOFED_ND, 50, {**here, **message}, [copy(port.ofport, COPIED_ND)])


def misses() -> Iterator[Flow]:
    """No neighbor discovery.

    Of a message with an option twice, or with a code, Open vSwitch takes all fields for 0, while some hosts read it all
    the same; what it claims can't be known. Nobody asks for the address `::`.
    """
    for message in (SOLICITS, ADVERTISES):
        unread: Match = {ORIGIN: FROM_PORT, **message, "nd_target": UNSPECIFIED}
        yield flow(DISCOVERY, Kind.REFUSE, 400, unread, refuse(Kind.DROP_SPOOFED_ND))
    yield flow(DISCOVERY, Kind.CONTINUE, 0, {}, [Goto(LEARN)])
