"""What becomes of what a port may send: a request is answered, or goes on as the network says; all else goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from flows.model import May, UnknownNeighbor
from flows.tables import Kind
from flows.truth.declared import Declared, Member, Segment, Spot, same
from flows.truth.fate import Fate, Received
from flows.truth.frame import ARP, GROUP, ICMPV6, IPV6, Address, Fields, asked_for, asked_from, is_discovery, mac_number
from flows.truth.receivers import all_received, forwarded, received

ASKER: Final = 0x0E0000000001
"""From where the controller asks whether a neighbor is still there; what is sent there has arrived with its copy."""
_SOLICITED: Final = 1 << 30
_OVERRIDE: Final = 1 << 29
_FROM_ROUTER: Final = 1 << 31


def permitted(  # noqa: PLR0911 - one return per case
    known: Declared,
    segment: Segment,
    member: Member,
    frame: Fields,
    seen: Mapping[tuple[str, int], Spot],
    *,
    tagged: bool,
) -> tuple[Fate, ...]:
    """What becomes of what a port may send: one of these."""
    onward = forwarded(known, segment, member, frame, seen)
    if tagged:
        return onward
    told = _tells(segment, member, frame)
    fates = list(onward)
    if told is not False:
        fates = [replace(fate, told=None if None in (fate.told, told) else True) for fate in onward]
    if frame["eth_dst"] == ASKER:
        return (Fate(segment.network.name, reasons=frozenset({Kind.DROP_PROBE_ANSWER}), told=told),)
    asked = asked_for(frame)
    if asked is None:
        return tuple(fates)
    mac, group = frame["eth_src"], bool(frame["eth_dst"] & GROUP)
    found = _neighbor(known, segment, member, asked)
    tells = asked_from(frame) == asked[1]
    probe = not asked_from(frame) or tells
    mine = any(same(each, member) for each in segment.addresses.get(asked, ()))
    if found is not None and (tells and not mine if asked[0] == 4 else not asked_from(frame)):
        # Who tells of itself, or asks whether its address is taken: the others, and who has it, are to hear that.
        return tuple(fates)
    if found is None and asked[0] == 6 and asked[1] >> 118 == 0xFE80 >> 6:
        # A host may be found by the address that it made itself, whatever becomes of others that nobody has.
        return tuple(fates)
    if found is None and asked[0] == 6 and not frame.get("nd_sll", 0):
        # What can't be answered but by the neighbor itself may be left to it.
        return (*fates, *_unanswered(known, segment, member, frame, fates, told, seen))
    if found is None:
        return (
            tuple(_unanswered(known, segment, member, frame, fates, told, seen))
            if group or probe
            else (*fates, *_unanswered(known, segment, member, frame, fates, told, seen))
        )
    own = {mac, frame.get("arp_sha", mac)}
    if found in own and len(own) == 1:
        return tuple(fates)
    answers = [
        Fate(segment.network.name, frozenset({each}), told=told)
        for each in _answers(segment, member, frame, asked, found)
    ]
    if asked[0] == 6 and not (frame.get("nd_sll", 0) and group):
        return tuple(fates)
    if tells and not mine:
        # No host solicits from the address that it asks for: it may be answered as anybody, or be heard by all.
        return (*answers, *fates)
    return tuple(answers) if group and not mine and found not in own else (*answers, *fates)


def _neighbor(known: Declared, segment: Segment, member: Member, asked: Address) -> int | None:
    """The MAC of a known neighbor: declared, or seen."""
    for each in (*segment.addresses.get(asked, ()), *segment.link_locals.get(asked, ())):
        if each.binding.mac is not None and known.reaches(member.chassis, each.chassis):
            return mac_number(each.binding.mac)
    if asked in segment.seen:
        mac, chassis, _ = segment.seen[asked]
        if known.reaches(member.chassis, chassis):
            return mac
    return None


def _answers(segment: Segment, member: Member, frame: Fields, asked: Address, mac: int) -> list[Received]:
    """The answer to a request, as who asked gets it."""
    rest = {"octets": frame["octets"]} if "octets" in frame else {}
    if asked[0] == 4:
        answer = {
            **rest,
            "eth_src": mac,
            "eth_dst": frame["eth_src"],
            "eth_type": ARP,
            "arp_op": 2,
            "arp_sha": mac,
            "arp_spa": asked[1],
            "arp_tha": frame["arp_sha"],
            "arp_tpa": frame.get("arp_spa", 0),
        }
        return [received(member, answer)]
    holders = [each for each in segment.members if mac in each.macs or _at(each, segment.seen.get(asked))]
    routes = asked in segment.routers or any(May.ROUTER in each.binding.may for each in holders)
    # One MAC may be shared by a router and by one that is none: what is said of an address of either is open.
    seen = [(ip, place) for ip, place in segment.seen.items() if place[0] == mac]
    perhaps = (
        any(each.addresses & segment.routers for each in holders)
        or any(ip in segment.routers for ip, _ in seen)
        or any(May.ROUTER in each.binding.may and _at(each, place) for _, place in seen for each in segment.members)
    )
    answer = {
        **rest,
        "eth_src": mac,
        "eth_dst": frame["eth_src"],
        "eth_type": IPV6,
        "ip_proto": ICMPV6,
        "nw_ttl": 255,
        "ipv6_src": asked[1],
        "ipv6_dst": frame["ipv6_src"],
        "icmpv6_type": 136,
        "nd_target": asked[1],
        "nd_tll": mac,
        "nd_options_type": 2,
    }
    flags = {_FROM_ROUTER} if routes else {0, _FROM_ROUTER} if perhaps else {0}
    return [received(member, answer | {"nd_reserved": _SOLICITED | _OVERRIDE | flag}) for flag in sorted(flags)]


def _at(member: Member, place: tuple[int, str, str] | None) -> bool:
    return place is not None and place[1:] == (member.chassis, member.binding.interface)


def _unanswered(  # noqa: PLR0911, PLR0917 - one return per case; the question, and what is known
    known: Declared,
    segment: Segment,
    member: Member,
    frame: Fields,
    onward: list[Fate],
    told: bool | None,
    seen: Mapping[tuple[str, int], Spot],
) -> list[Fate]:
    """What becomes of a request for an address that nobody is known to have: as the network says."""
    name, policy = segment.network.name, segment.network.unknown_neighbor
    probe = asked_from(frame) in (0, frame.get("arp_tpa" if frame["eth_type"] == ARP else "nd_target", 0))
    if policy is UnknownNeighbor.AUTO:
        somebody = any(not each.binding.secure or not each.addresses or each.pairs for each in segment.members)
        sure = any(not each.binding.secure or not each.addresses for each in segment.members)
        if sure:
            return onward
        dropped = Fate(name, reasons=frozenset({Kind.DROP_UNKNOWN_NEIGHBOR}), told=told)
        return [*onward, dropped] if somebody or probe else [dropped]
    if policy is UnknownNeighbor.FLOOD:
        return onward
    dropped = Fate(name, reasons=frozenset({Kind.DROP_UNKNOWN_NEIGHBOR}), told=told)
    if policy is UnknownNeighbor.DROP:
        return [*onward, dropped] if probe else [dropped]
    if asked_for(frame) in segment.routers:
        return onward  # who has it is not known before it has answered
    family = 4 if frame["eth_type"] == ARP else 6
    gateways = [
        each
        for router in sorted(segment.routers)
        if router[0] == family
        for each in segment.addresses.get(router, ())
        if each.binding.mac is not None and known.reaches(member.chassis, each.chassis)
    ]
    if not gateways:
        told_of = [segment.seen[router] for router in segment.routers & segment.seen.keys() if router[0] == family]
        heard = {mac for mac, chassis, _ in told_of if known.reaches(member.chassis, chassis)}
        asked_alone = [
            replace(fate, told=None if None in (fate.told, told) else fate.told or told)
            for mac in heard
            for fate in forwarded(known, segment, member, {**frame, "eth_dst": mac}, seen)
        ]
        return [*(asked_alone or [dropped]), *(onward if probe or frame["eth_src"] in heard else [])]
    if [mac_number(each.binding.mac or "0") for each in gateways] == [frame["eth_src"]]:
        # What the gateway itself does not know, others may.
        return onward
    elsewhere = [each for each in gateways if each.spot[:2] != member.spot[:2]]
    if elsewhere != gateways:
        # While the gateway itself moves, what it asks may be sent to the other place.
        moving = [
            Fate(
                name,
                all_received(elsewhere, {**frame, "eth_dst": mac_number(each.binding.mac or "0")}),
                told=told,
            )
            for each in elsewhere[:1]
        ]
        return [*onward, *moving, replace(dropped, reasons=None)]
    asked = [
        Fate(
            name,
            all_received(gateways, {**frame, "eth_dst": destination}),
            told=told,
        )
        for destination in {frame["eth_dst"], mac_number(gateways[0].binding.mac or "0")}
    ]
    return [*asked, *onward, dropped] if probe else asked


def _tells(segment: Segment, member: Member, frame: Fields) -> bool | None:  # noqa: PLR0911 - one return per case
    """Whether the controller hears of a neighbor by this frame; None where it may."""
    if frame.get("eth_type", 0) == ARP:
        said, mac = (4, frame.get("arp_spa", 0)), frame.get("arp_sha", 0)
        claims = True
    elif is_discovery(frame):
        claims = frame["icmpv6_type"] == 136
        said = (6, frame.get("nd_target" if claims else "ipv6_src", 0))
        mac = frame["eth_src"]
    else:
        return False
    if not said[1]:
        return False
    if member.strict and not member.pairs:
        return False
    if said in member.addresses and mac in member.macs:
        settled = mac_number(member.binding.mac or "0") == mac and len(segment.addresses[said]) == 1
        return False if settled else None
    spot = (mac, member.chassis, member.binding.interface)
    if segment.seen.get(said) == spot:
        return False if claims and frame.get("nd_tll", 0) == mac * (frame.get("eth_type") == IPV6) else None
    holders = segment.link_locals.get(said, ())
    if holders:
        # It is known to be where its MAC is; while that one moves, or of two, it may be either.
        return False if holders == (member,) and mac == mac_number(member.binding.mac or "0") else None
    return True if mac == frame["eth_src"] and (not member.strict or said not in member.addresses) else None
