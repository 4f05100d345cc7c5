"""What may become of a frame that comes in by a port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from flows.tables import Kind
from flows.truth.claims import Verdict, judge, of_no_tenant
from flows.truth.declared import Declared, Member, Spot
from flows.truth.fate import Fate
from flows.truth.frame import ARP, Fields, has_priority_tag, is_discovery, is_tagged
from flows.truth.requests import permitted


def from_port(known: Declared, member: Member, frame: Fields, seen: Mapping[tuple[str, int], Spot]) -> tuple[Fate, ...]:
    """One of these; `frame` as it is without the tag that a port is told apart by, where it is."""
    segment = known.segments[member.binding.network]
    name = segment.network.name
    verdict = Verdict(of_no_tenant(frame), set())
    tagged = is_tagged(frame)
    inner = tagged and not segment.network.transparent and member.binding.service_tag
    hidden = has_priority_tag(frame) and bool(member.binding.tag)
    if (tagged and not segment.network.transparent and not inner) or (has_priority_tag(frame) and not hidden):
        verdict.must.add(Kind.DROP_TAGGED)
    judge(known, segment, member, frame, verdict)
    if verdict.must:
        return (_dropped(name, member, frame, frozenset(verdict.must)),)
    fates = permitted(known, segment, member, frame, seen, tagged=tagged)
    if inner or hidden:
        # What a service tag carries may have tags of its own; who hears of that in a network of untagged ports is open.
        # Nor is it seen on the way in whether that behind another one is a priority tag.
        fates = tuple(fate.optional() for fate in fates)
        verdict.may.add(Kind.DROP_TAGGED)
    if verdict.may:
        # Who can't be reached from here may be known on the way.
        fates = tuple(fate.optional() for fate in fates)
        fates = (*fates, replace(_dropped(name, member, frame, frozenset(verdict.may)), told=None))
    return fates


_LIES: Final = frozenset({Kind.DROP_SPOOFED_MAC, Kind.DROP_SPOOFED_ARP, Kind.DROP_SPOOFED_ND})


def _dropped(name: str, member: Member, frame: Fields, reasons: frozenset[Kind]) -> Fate:
    """Dropped; the controller hears of ARP and advertisements in which a port with security says what it may not."""
    told: bool | None = False
    if (frame.get("eth_type", 0) == ARP or is_discovery(frame)) and reasons & _LIES:
        arp = frame["eth_type"] == ARP
        alone = reasons <= _LIES if arp else reasons == {Kind.DROP_SPOOFED_ND} and frame.get("nw_ttl", 0) == 255
        told = True if member.binding.secure and alone else None
        if Kind.DROP_SPOOFED_MAC not in reasons and not frame.get("arp_op", 0) and not frame.get("nd_target", 0):
            told = False  # nobody could read it
    return Fate(name, reasons=reasons, told=told)
