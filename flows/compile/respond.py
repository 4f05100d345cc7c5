"""Tables respond and advertise: a request for a known neighbor is answered on the chassis where it was asked.

Only local ports are answered: a request that came by a tunnel was not answered where it started, so its
own chassis does not know the neighbor, and the neighbor itself shall answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.compile.headers import ADVERTISEMENT, ADVERTISES, ARP, GROUP, NO_MAC, SOLICITS, tag_bits
from flows.compile.view import Known, View
from flows.flow import IN_PORT, Action, Flow, Goto, Match, Move, Output, flow, set_field
from flows.model import UnknownNeighbor, is_ipv4
from flows.tables import ADVERTISE, FORWARD, FROM_PORT, IN_TAG, ORIGIN, RESPOND, Kind

REQUEST: Final = 1
REPLY: Final = 2
_SOLICITED: Final = 0x60000000
_ROUTER: Final = 0x80000000
"""Flags of an advertisement (RFC 4861, section 4.4): solicited and override, and that the neighbor is a router."""
_TARGET_OPTION: Final = 2
"""Target Link-layer Address (RFC 4861, section 4.6.1)."""
ASKER: Final = "0e:00:00:00:00:01"
"""From where the controller asks whether a neighbor is still there. Nothing is ever delivered there."""


def respond(view: View) -> Iterator[Flow]:
    """For each known neighbor the answer, and that it never answers its own question; what is asked for others.

    A host that asks for its own address looks for somebody else who has it (RFC 5227).
    """
    for known in view.neighbors:
        yield from _arp(view, known) if is_ipv4(known.ip) else _solicitation(view, known)
    arp: Match = {"metadata": view.vni, ORIGIN: FROM_PORT, "eth_type": ARP, "arp_op": REQUEST}
    solicitation: Match = {"metadata": view.vni, ORIGIN: FROM_PORT, **SOLICITS}
    for asked, asks, gateway in zip((arp, solicitation), view.asks, view.gateways, strict=True):
        multicast: Match = {**asked, "eth_dst": GROUP}
        if asks is UnknownNeighbor.DROP:
            yield flow(RESPOND, Kind.DROP_UNKNOWN_NEIGHBOR, 50, multicast, [])
        elif asks is UnknownNeighbor.GATEWAY:
            yield flow(RESPOND, Kind.ASK_GATEWAY, 50, multicast, [set_field("eth_dst", gateway), Goto(FORWARD)])
            # What the gateway itself asks, others may know.
            yield flow(RESPOND, Kind.NOT_ANSWERED, 55, {**multicast, "eth_src": gateway}, [Goto(FORWARD)])
    for ip in view.sought:
        # Where the gateway is can only be learned from its own answer.
        asks_for_it: Match = {**arp, "arp_tpa": ip} if is_ipv4(ip) else {**solicitation, "nd_target": ip}
        yield flow(RESPOND, Kind.NOT_ANSWERED, 60, asks_for_it, [Goto(FORWARD)])
    if view.asks[1] is not UnknownNeighbor.FLOOD:
        # A host that has no address but the one it made itself can be found by it.
        link_local: Match = {**solicitation, "nd_target": (0xFE80 << 112, 0xFFC0 << 112)}
        yield flow(RESPOND, Kind.NOT_ANSWERED, 60, link_local, [Goto(FORWARD)])


def _arp(view: View, known: Known) -> Iterator[Flow]:
    """The reply (RFC 826)."""
    asked: Match = {
        "metadata": view.vni,
        ORIGIN: FROM_PORT,
        "eth_type": ARP,
        "arp_op": REQUEST,
        "arp_tpa": known.ip,
    }
    if known.local:
        yield flow(RESPOND, Kind.OWN_QUESTION, 200, {**asked, "arp_sha": known.mac}, [Goto(FORWARD)])
    if known.learned and view.tells:
        # Gratuitous ARP (RFC 5944, section 4.6) of who has the address from now on: all shall hear it.
        yield flow(RESPOND, Kind.OWN_QUESTION, 210, {**asked, "arp_spa": known.ip}, [Goto(FORWARD)])
    answer = (
        Move("eth_src", "eth_dst"),
        set_field("eth_src", known.mac),
        set_field("arp_op", REPLY),
        Move("arp_sha", "arp_tha"),
        set_field("arp_sha", known.mac),
        Move("arp_spa", "arp_tpa"),
        set_field("arp_spa", known.ip),
        # Where it may have come with a tag, the answer has to leave with it.
        Goto(ADVERTISE) if any(port.tag for port in view.ports) else Output(IN_PORT),
    )
    yield flow(RESPOND, Kind.ANSWER, 100, asked, answer)


def _solicitation(view: View, known: Known) -> Iterator[Flow]:
    """The advertisement (RFC 4861), but for the option's value: see `misses`.

    The solicitation's option becomes the advertisement's; one without an option is left to the neighbor. So is one that
    is not multicast: it asks whether the neighbor, a router perhaps, is still there (RFC 4861, section 7.3).
    """
    asked: Match = {"metadata": view.vni, ORIGIN: FROM_PORT, **SOLICITS, "nd_target": known.ip}
    if known.local:
        yield flow(RESPOND, Kind.OWN_QUESTION, 200, {**asked, "eth_src": known.mac}, [Goto(FORWARD)])
    answer: tuple[Action, ...] = (
        Move("eth_src", "eth_dst"),
        set_field("eth_src", known.mac),
        Move("ipv6_src", "ipv6_dst"),
        set_field("ipv6_src", known.ip),
        set_field("nd_options_type", _TARGET_OPTION),
        set_field("nd_reserved", _SOLICITED | (_ROUTER if known.router else 0)),
        set_field("icmpv6_type", ADVERTISEMENT),
        Goto(ADVERTISE),
    )
    yield flow(RESPOND, Kind.ANSWER, 100, {**asked, "eth_dst": GROUP}, answer)


def misses() -> Iterator[Flow]:
    """What nobody here can answer goes on; the rest of an advertisement.

    Duplicate address detection (RFC 4862: no source, no option) is for the owner to answer. The target's MAC can only
    be written where the packet is known to be an advertisement, so in a table of its own.
    """
    nobody: Match = {ORIGIN: FROM_PORT, **SOLICITS, "nd_sll": NO_MAC}
    yield flow(RESPOND, Kind.NOT_ANSWERED, 150, nobody, [Goto(FORWARD)])
    yield flow(RESPOND, Kind.DROP_PROBE_ANSWER, 300, {"eth_dst": ASKER}, [])
    yield flow(RESPOND, Kind.CONTINUE, 0, {}, [Goto(FORWARD)])
    for match, steps in ((ADVERTISES, [Move("eth_src", "nd_tll")]), ({"eth_type": ARP}, [])):
        yield flow(ADVERTISE, Kind.ADVERTISE, 100, {**match, IN_TAG: 0}, [*steps, Output(IN_PORT)])
        for push, bits in tag_bits():
            tagged: Match = {**match, IN_TAG: bits}
            yield flow(
                ADVERTISE, Kind.ADVERTISE, 100, tagged, [*steps, push, Move(IN_TAG, "vlan_tci", 16), Output(IN_PORT)]
            )
