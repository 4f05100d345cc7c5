"""Who gets a frame by its destination, with which tag, and through which tunnels it fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from flows.model import Encap, Network, is_ipv4
from flows.tables import Kind
from flows.truth.declared import Declared, Member, Segment, Spot
from flows.truth.fate import Fate, Received
from flows.truth.frame import BROADCAST, GROUP, Fields, is_tagged, with_tag

_OUTER: Final = {True: 20, False: 40}
_INNER: Final = {Encap.VXLAN: 30, Encap.GRE: 22}
"""Octets of the headers between two Ethernet frames (RFC 7348, RFC 2890): IP by whether it is IPv4, and the rest."""


def forwarded(
    known: Declared, segment: Segment, member: Member, frame: Fields, seen: Mapping[tuple[str, int], Spot]
) -> tuple[Fate, ...]:
    """Who gets a frame of a port by its destination."""
    name, target = segment.network.name, frame["eth_dst"]
    others = [each for each in segment.members if known.reaches(member.chassis, each.chassis)]
    if target & GROUP:
        return (_flooded(known, segment, member, frame, others),)
    holders = [each for each in segment.macs.get(target, ()) if each in others]
    if holders:
        return (_to(known, segment, member, frame, holders),)
    if target in segment.macs:
        # Nobody has a way there from here; who is asked on the way may know that it is elsewhere.
        return (_flooded(known, segment, member, frame, others).optional(),)
    spot = seen.get((name, target))
    last = [each for each in others if each.spot == spot]
    if last:
        return (_to(known, segment, member, frame, last),)
    if segment.network.drops_unknown:
        return (Fate(name, reasons=frozenset({Kind.DROP_UNKNOWN})),)
    return (_flooded(known, segment, member, frame, others),)


def all_received(members: Iterable[Member], frame: Fields) -> frozenset[Received]:
    """A frame as it comes out of each of these ports."""
    as_tagged: dict[tuple[int, bool], tuple[tuple[str, int], ...]] = {}
    found = []
    for each in members:
        binding = each.binding
        tag = (binding.tag, binding.service_tag)
        if tag not in as_tagged:
            as_tagged[tag] = with_tag(frame, *tag)
        found.append(Received(binding.chassis, binding.ofport, as_tagged[tag]))
    return frozenset(found)


def received(member: Member, frame: Fields) -> Received:
    """A frame as it comes out of a port."""
    (only,) = all_received([member], frame)
    return only


def _to(known: Declared, segment: Segment, member: Member, frame: Fields, holders: Iterable[Member]) -> Fate:
    """To some places, but for the one it comes from; what a tunnel can't carry is dropped, and the sender told."""
    name = segment.network.name
    holders = list(holders)
    elsewhere = [each for each in holders if each.spot[:2] != member.spot[:2]]
    fits = {each.spot: _fits(known, segment.network, member.chassis, each.chassis, frame) for each in elsewhere}
    must = all_received([each for each in elsewhere if fits[each.spot] is True], frame)
    may = all_received([each for each in elsewhere if fits[each.spot] is None], frame)
    large = any(fit is False for fit in fits.values())
    if large and len(holders) > 1:
        # It is moving; what one of two tunnels can't carry need not be noticed before.
        may = all_received(elsewhere, frame)
        return Fate(name, must, may - must, None, None)
    told = True if large else None if may else False
    reasons = frozenset({Kind.DROP_TOO_LARGE}) if large and not must and not may else None
    return Fate(name, must, may, reasons, told)


def _fits(known: Declared, network: Network, one: str, other: str, frame: Fields) -> bool | None:
    """Whether a frame gets through the tunnel to a chassis; None where it depends on which one is used."""
    octets = frame.get("octets", 0)
    if one == other or not octets:
        return True
    limits = [
        min(here.mtu, there.mtu) - _OUTER[is_ipv4(there.ip)] - _INNER[encap]
        for encap, here, there in known.tunnels(network, one, other)
    ]
    if octets - 14 <= min(limits):
        return True
    return None if octets - 14 <= max(limits) + (4 if is_tagged(frame) else 0) else False


def link_scope(target: int) -> bool | None:
    """Whether a group is one of those of the links themselves; None: one may see it so or so."""
    if target == BROADCAST or target >> 8 == 0x01005E0000 or target >> 24 == 0x3333FF or target == 0x333300000001:
        return True
    return (
        None if target >> 8 == 0x3333000000 or (target >> 24 not in (0x01005E,) and target >> 32 != 0x3333) else False
    )


def _flooded(known: Declared, segment: Segment, member: Member, frame: Fields, others: Iterable[Member]) -> Fate:
    """To all others; the port's limit counts it."""
    name, target = segment.network.name, frame["eth_dst"]
    others = [each for each in others if each is not member]
    all_of_them = all_received([each for each in others if each.spot[:2] != member.spot[:2]], frame)
    hairpin = all_received([each for each in others if each.spot[:2] == member.spot[:2]], frame)
    rate = frozenset({member.binding.flood_rate} - {0})
    must, may = all_of_them, hairpin
    if target & GROUP and segment.network.drops_multicast:
        on_link = link_scope(target)
        if on_link is False:
            return Fate(name, reasons=frozenset({Kind.DROP_MULTICAST}))
        if on_link is None:
            return Fate(name, may=all_of_them | hairpin, rates=None)
    if frame.get("octets", 0):
        away = {each for each in must if not _fits(known, segment.network, member.chassis, each.chassis, frame)}
        must, may = must - away, may | away
        return Fate(name, must, may, None, None if away else False, rate)
    return Fate(name, must, may, None, False, rate if must else None)
