"""What a port may send: from which MAC, as what, and for whose addresses it may speak."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flows.model import May
from flows.tables import Kind
from flows.truth.declared import Declared, Member, Segment, same
from flows.truth.frame import (
    ARP,
    GROUP,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    RARP,
    UDP,
    Address,
    Fields,
    is_discovery,
    is_tagged,
    link_local,
)


def of_no_tenant(frame: Fields) -> set[Kind]:
    """What nobody may send: what bridges tell each other, and anything from a group address."""
    found = set()
    if frame["eth_dst"] & ~0xF == 0x0180C2000000 or frame["eth_dst"] & ~1 == 0x01000CCCCCCC:
        found.add(Kind.DROP_RESERVED)
    if frame["eth_src"] & GROUP:
        found.add(Kind.DROP_MULTICAST_SOURCE)
    return found


@dataclass(slots=True)
class Verdict:
    """Why a frame of a port is dropped, and why it may be, at the choice of who compiles."""

    must: set[Kind]
    may: set[Kind]


def _foreign(known: Declared, member: Member, holders: Iterable[Member]) -> bool | None:
    """Whether something is somebody else's; None: of somebody whom this chassis has no way to."""
    others = [each for each in holders if not same(each, member)]
    if any(known.reaches(member.chassis, each.chassis) for each in others):
        return True
    return None if others else False


def _add(foreign: bool | None, kind: Kind, verdict: Verdict) -> None:
    if foreign is not False:
        (verdict.may if foreign is None else verdict.must).add(kind)


def judge(known: Declared, segment: Segment, member: Member, frame: Fields, verdict: Verdict) -> None:
    """All of it, added to the verdict. What is behind a tag is not looked at."""
    _source(known, segment, member, frame, verdict)
    if not is_tagged(frame):
        _messages(member, frame, verdict)
        _claims(known, segment, member, frame, verdict)
        _discovery(known, segment, member, frame, verdict)


def _source(known: Declared, segment: Segment, member: Member, frame: Fields, verdict: Verdict) -> None:
    """The Ethernet source: one of its own, or nobody's where the port has no guard."""
    mac = frame["eth_src"]
    if mac in member.macs or mac in member.shared or mac & GROUP:
        return
    if member.binding.secure:
        verdict.must.add(Kind.DROP_SPOOFED_MAC)
        return
    # What others are allowed beside their own is no more theirs than anybody's.
    _add(_foreign(known, member, segment.macs.get(mac, ())), Kind.DROP_SPOOFED_MAC, verdict)


def _messages(member: Member, frame: Fields, verdict: Verdict) -> None:
    """What routers and DHCP servers say, only of those that may."""
    kind, proto = frame.get("eth_type", 0), frame.get("ip_proto", 0)
    fragment = frame.get("ip_frag", 0) & 1
    if kind == IPV6 and proto == ICMPV6 and fragment and frame.get("nw_ttl", 0) == 255:
        verdict.must.add(Kind.DROP_FRAGMENTED_ND)
    if fragment:
        return
    if May.ROUTER not in member.binding.may and (
        (kind == IPV6 and proto == ICMPV6 and frame.get("icmpv6_type", 0) in (134, 137))
        or (kind == IPV4 and proto == ICMP and frame.get("icmp_type", 0) == 5)
    ):
        verdict.must.add(Kind.DROP_ROUTER)
    client = {IPV4: 68, IPV6: 546}.get(kind)
    if May.DHCP_SERVER not in member.binding.may and proto == UDP and frame.get("udp_dst", 0) == client:
        verdict.must.add(Kind.DROP_DHCP_SERVER)


def _claims(known: Declared, segment: Segment, member: Member, frame: Fields, verdict: Verdict) -> None:
    """Whom a packet speaks for: ARP sender and IP source."""
    mac, kind = frame["eth_src"], frame.get("eth_type", 0)
    if kind == RARP:
        # It says where a MAC is, and assigns addresses to others.
        if member.binding.secure and (mac not in member.macs or frame.get("arp_sha", 0) != mac):
            verdict.must.add(Kind.DROP_SPOOFED_ARP)
    elif kind == ARP:
        _arp_claims(known, segment, member, frame, verdict)
    elif kind in (IPV4, IPV6):
        source = (4, frame.get("ip_src", 0)) if kind == IPV4 else (6, frame.get("ipv6_src", 0))
        if not source[1]:
            # Who has no address yet: DHCP, DAD, MLD.
            asks = (frame.get("ip_proto", 0), frame.get("udp_src", 0), frame.get("udp_dst", 0)) == (UDP, 68, 67)
            asks = frame.get("ip_proto", 0) == ICMPV6 if kind == IPV6 else asks and not frame.get("ip_frag", 0) & 1
            if member.strict and not asks:
                verdict.must.add(Kind.DROP_SPOOFED_IP)
        elif member.strict:
            if not member.sends_from(mac, source) and source != link_local(mac):
                verdict.must.add(Kind.DROP_SPOOFED_IP)
        else:
            _of_others(known, segment, member, (mac, source), Kind.DROP_SPOOFED_IP, verdict)


def _of_others(  # noqa: PLR0917 - who says what of whom
    known: Declared,
    segment: Segment,
    member: Member,
    said: tuple[int, Address],
    kind: Kind,
    verdict: Verdict,
) -> None:
    """A port that has no addresses of its own declared speaks for those that are nobody's.

    So does one of those that it is allowed beside its own: where they are declared for another port, they are there.
    """
    mac, address_ = said
    own = {link_local(each) for each in member.macs} if member.binding.secure else set()
    if not (mac in member.macs and address_ in {*member.addresses, *own}):
        _add(_foreign(known, member, segment.addresses.get(said[1], ())), kind, verdict)
        _add(_foreign(known, member, segment.link_locals.get(said[1], ())), kind, verdict)


def _arp_claims(known: Declared, segment: Segment, member: Member, frame: Fields, verdict: Verdict) -> None:
    mac, said = frame["eth_src"], (4, frame.get("arp_spa", 0))
    sender, operation = frame.get("arp_sha", 0), frame.get("arp_op", 0)
    if not operation:
        # ARP that Open vSwitch doesn't read, and some host may: its sender can't be held against anything.
        verdict.must.add(Kind.DROP_SPOOFED_ARP)
    elif member.binding.secure and sender != mac:
        verdict.must.add(Kind.DROP_SPOOFED_ARP)
    elif not said[1]:
        if operation != 1:
            verdict.may.add(Kind.DROP_SPOOFED_ARP)
    elif member.strict:
        if not member.speaks_for(mac, said):
            verdict.must.add(Kind.DROP_SPOOFED_ARP)
        _of_others(known, segment, member, (mac, said), Kind.DROP_SPOOFED_ARP, verdict)
    else:
        _of_others(known, segment, member, (mac, said), Kind.DROP_SPOOFED_ARP, verdict)
        if sender != mac and _foreign(known, member, segment.macs.get(sender, ())) is not False:
            verdict.may.add(Kind.DROP_SPOOFED_ARP)


def _discovery(known: Declared, segment: Segment, member: Member, frame: Fields, verdict: Verdict) -> None:
    """Neighbor discovery: hop limit, link-layer options, and whom an advertisement speaks for."""
    if not is_discovery(frame):
        return
    mac, target, advertises = frame["eth_src"], (6, frame.get("nd_target", 0)), frame["icmpv6_type"] == 136
    option = frame.get("nd_tll" if advertises else "nd_sll", 0)
    spoofed = Kind.DROP_SPOOFED_ND
    if not target[1]:
        # Options that Open vSwitch doesn't read, and some host may: see ARP.
        verdict.must.add(spoofed)
    if member.binding.secure:
        if frame.get("nw_ttl", 0) != 255 or option not in (0, mac):
            verdict.must.add(spoofed)
        if advertises and member.strict and not member.speaks_for(mac, target) and target != link_local(mac):
            verdict.must.add(spoofed)
    elif frame.get("nw_ttl", 0) != 255 or (
        option != mac and _foreign(known, member, segment.macs.get(option, ())) is not False
    ):
        verdict.may.add(spoofed)
    if advertises:
        _of_others(known, segment, member, (mac, target), spoofed, verdict)
    elif member.strict:
        _of_others(known, segment, member, (mac, (6, frame.get("ipv6_src", 0))), spoofed, verdict)
