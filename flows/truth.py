"""What must become of a frame, from what is declared alone: the oracle that compiled flows are held against.

It knows no flow, no table and no order of tables, only what the declarations mean (docs/database.md): who may send
what, who receives it, who is answered by whom. Where a declaration leaves a choice, every choice is given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final, TypeVar

import netaddr

from flows.model import TUNNELS, Binding, Encap, May, Network, Overlay, UnknownNeighbor, Vtep, is_ipv4
from flows.tables import Kind

Fields = Mapping[str, int]
"""A frame as it is on the wire, by field name; in a tunnel packet with `tun_id` and both ends."""
Address = tuple[int, int]
"""(family, number), the family being 4 or 6."""
Spot = tuple[str, int, int]
"""(chassis, ofport, VLAN tag): where a port is."""

_Key = TypeVar("_Key")
ARP: Final = 0x0806
RARP: Final = 0x8035
IPV4: Final = 0x0800
IPV6: Final = 0x86DD
BROADCAST: Final = 0xFFFFFFFFFFFF
ASKER: Final = 0x0E0000000001
"""From where the controller asks whether a neighbor is still there; what is sent there has arrived with its copy."""
_TAGS: Final = frozenset({0x8100, 0x88A8})
_PRESENT: Final = 0x1000
_GROUP: Final = 1 << 40
_ICMP, _UDP, _ICMPV6 = 1, 17, 58
_SOLICITED: Final = 1 << 30
_OVERRIDE: Final = 1 << 29
_FROM_ROUTER: Final = 1 << 31
_OUTER: Final = {True: 20, False: 40}
_INNER: Final = {Encap.VXLAN: 30, Encap.GRE: 22}
"""Octets of the headers between two Ethernet frames (RFC 7348, RFC 2890): IP by whether it is IPv4, and the rest."""


FORGED: Final = frozenset(
    {Kind.DROP_NO_NETWORK, Kind.DROP_FOREIGN_TUNNEL, Kind.DROP_PROBE, Kind.DROP_TAGGED, Kind.DROP_RESERVED}
    | {Kind.DROP_MULTICAST_SOURCE, Kind.DROP_SPOOFED_MAC, Kind.DROP_SPOOFED_TUNNEL, Kind.DROP_SPOOFED_ARP}
    | {Kind.DROP_SPOOFED_IP, Kind.DROP_SPOOFED_ND, Kind.DROP_ROUTER, Kind.DROP_DHCP_SERVER, Kind.DROP_FRAGMENTED_ND}
)
"""Why a frame is dropped that should not have been sent: nothing is learned from it."""


@dataclass(frozen=True, slots=True)
class Received:
    """A frame that comes out of a port; its fields as on the wire, sorted by name."""

    chassis: str
    ofport: int
    frame: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Fate:
    """What may become of a frame.

    Each of `must` gets it once, each of `may` at most once, nobody else at all. `reasons` are those under one of
    which it is dropped where nobody must get it; None: it needs no name. `told`: whether the controller gets a copy;
    None: it may. `rates`: the limits, in packets per second, that it counts against; None: any. `learns`: whether a
    switch may learn where its source is; never where that is declared, or forged.
    """

    network: str | None = None
    must: frozenset[Received] = frozenset()
    may: frozenset[Received] = frozenset()
    reasons: frozenset[Kind] | None = None
    told: bool | None = False
    rates: frozenset[int] | None = frozenset()
    learns: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A port in its place, with numbers for addresses."""

    binding: Binding
    spot: Spot
    macs: frozenset[int]
    shared: frozenset[int]
    addresses: frozenset[Address]
    pairs: tuple[tuple[Address, int, int | None], ...]
    """(address, mask, MAC or None for its own)."""

    @property
    def chassis(self) -> str:
        """Where it is."""
        return self.binding.chassis

    @property
    def strict(self) -> bool:
        """Whether it may speak for what is declared for it, and nothing else."""
        return self.binding.secure and bool(self.addresses or self.pairs)

    def speaks_for(self, mac: int, address: Address) -> bool:
        """Whether an address is declared for it, with this MAC."""
        own = bool(self.binding.mac) and mac == mac_number(self.binding.mac or "")
        return (own and address in self.addresses) or any(
            (own if pair is None else pair == mac) and family == address[0] and not (number ^ address[1]) & mask
            for (family, number), mask, pair in self.pairs
        )

    def sends_from(self, mac: int, address: Address) -> bool:
        """Whether its packets may be from an address, with this MAC: its own and those it shares with any of the two.

        VRRP announces from the shared MAC, but from the router's own address (RFC 5798, section 7.2), and the router's
        own packets may be from the shared address.
        """
        if mac in self.shared or (self.binding.mac and mac == mac_number(self.binding.mac)):
            macs = (*self.shared, mac_number(self.binding.mac or "0"))
            return any(self.speaks_for(each, address) or address == link_local(each) for each in macs)
        return self.speaks_for(mac, address)


@dataclass(frozen=True, slots=True)
class Segment:
    """A network with its members, and who has each MAC and address."""

    network: Network
    members: tuple[Member, ...] = ()
    macs: Mapping[int, tuple[Member, ...]] = field(default_factory=dict)
    shared: Mapping[int, tuple[Member, ...]] = field(default_factory=dict)
    addresses: Mapping[Address, tuple[Member, ...]] = field(default_factory=dict)
    link_locals: Mapping[Address, tuple[Member, ...]] = field(default_factory=dict)
    """Those that ports with a guard and an IPv6 address have made of their MACs."""
    seen: Mapping[Address, tuple[int, str, str]] = field(default_factory=dict)
    """Neighbors that told of themselves: (MAC, chassis, interface)."""
    routers: frozenset[Address] = frozenset()
    placed: frozenset[int] = frozenset()
    """MACs that are declared at a place that every chassis with members has a way to."""


@dataclass(frozen=True)
class Declared:
    """An overlay, ready to be asked."""

    overlay: Overlay
    segments: Mapping[str, Segment]
    ports: Mapping[tuple[str, int], Mapping[int, Member]]
    """By chassis and ofport: who is there, by VLAN tag."""
    reach: Mapping[tuple[str, str], tuple[tuple[Encap, Vtep, Vtep], ...]]
    """The tunnels from a chassis to another one."""

    def reaches(self, one: str, other: str) -> bool:
        """Whether packets can get from a chassis to another."""
        return one == other or bool(self.reach[one, other])

    def tunnels(self, network: Network, one: str, other: str) -> tuple[tuple[Encap, Vtep, Vtep], ...]:
        """Those that a network uses between two chassis: its encap where both offer it, IPv4 before IPv6."""
        ways = self.reach[one, other]
        liked = [way for way in ways if way[0] is network.encap] or ways
        return tuple([way for way in liked if is_ipv4(way[1].ip)] or liked)


@cache
def mac_number(mac: str) -> int:
    """A MAC as a number."""
    return int(mac.replace(":", ""), 16)


@cache
def address(ip: str) -> Address:
    """An IP address as (family, number)."""
    return (4 if is_ipv4(ip) else 6, int(netaddr.IPAddress(ip)))


@cache
def _prefix(ip: str) -> tuple[Address, int]:
    found = netaddr.IPNetwork(ip)
    return (found.version, int(found.network)), int(found.netmask)


@cache
def link_local(mac: int) -> Address:
    """The link-local address that goes with a MAC (RFC 4291, appendix A)."""
    return 6, 0xFE80 << 112 | (mac >> 24 ^ 0x020000) << 40 | 0xFFFE << 24 | mac & 0xFFFFFF


def declared(overlay: Overlay) -> Declared:
    """An overlay, ready to be asked."""
    ports: dict[tuple[str, int], dict[int, Member]] = defaultdict(dict)
    by_network: dict[str, list[Member]] = {name: [] for name in overlay.networks}
    for binding in overlay.bindings:
        member = Member(
            binding,
            (binding.chassis, binding.ofport, binding.tag),
            frozenset(map(mac_number, binding.macs)),
            frozenset(map(mac_number, binding.shared)),
            frozenset(map(address, binding.ips)),
            tuple((*_prefix(pair.ip), mac_number(pair.mac) if pair.mac else None) for pair in binding.pairs),
        )
        ports[binding.chassis, binding.ofport][binding.tag] = member
        by_network[binding.network].append(member)
    hosts = overlay.chassis.values()
    reach = {
        (one.name, other.name): tuple(
            (encap, here, there)
            for here in one.vteps
            for there in other.vteps
            if is_ipv4(here.ip) == is_ipv4(there.ip)
            for encap in sorted(here.encaps & there.encaps)
        )
        for one in hosts
        for other in hosts
    }
    segments = {}
    for name, members in by_network.items():
        network = overlay.networks[name]
        known_by_all = {
            there
            for there in overlay.chassis
            if all(each.chassis == there or reach[each.chassis, there] for each in members)
        }
        segments[name] = Segment(
            network,
            tuple(members),
            _by((mac, each) for each in members for mac in each.macs),
            _by((mac, each) for each in members for mac in each.shared),
            _by((ip, each) for each in members for ip in each.addresses),
            _by(
                (link_local(mac_number(each.binding.mac)), each)
                for each in members
                if each.binding.mac and each.binding.secure and any(ip[0] == 6 for ip in each.addresses)
            ),
            {
                address(each.ip): (mac_number(each.mac), each.chassis, each.interface)
                for each in overlay.neighbors
                if each.network == name
            },
            frozenset(map(address, network.routers)),
            frozenset(mac for each in members if each.chassis in known_by_all for mac in each.macs),
        )
    return Declared(overlay, segments, ports, reach)


def _by(items: Iterable[tuple[_Key, Member]]) -> Mapping[_Key, tuple[Member, ...]]:
    found: dict[_Key, tuple[Member, ...]] = {}
    for key, member in items:
        found[key] = (*found.get(key, ()), member)
    return found


def truth(known: Declared, chassis: str, fields: Fields, seen: Mapping[tuple[str, int], Spot]) -> tuple[Fate, ...]:
    """What may become of a frame that comes in at a chassis: one of these.

    `seen` tells where a MAC that is not declared was last seen, by network and MAC.
    """
    in_port = fields["in_port"]
    if any(tunnel.ofport == in_port for tunnel in TUNNELS):
        return _unlearned(known, fields, _from_tunnel(known, chassis, fields, seen))
    here = known.ports.get((chassis, in_port), {})
    frame = {name: value for name, value in fields.items() if name != "in_port"}
    tci = frame.get("vlan_tci", 0)
    tag = tci & 0xFFF if tci & _PRESENT else 0
    if tag and tag in here:
        member = here[tag]
        frame = _popped(frame)
    elif 0 in here:
        member = here[0]
    else:
        return (Fate(reasons=frozenset({Kind.DROP_NO_NETWORK})),)
    return _unlearned(known, frame, _from_port(known, member, frame, seen))


def _unlearned(known: Declared, fields: Fields, fates: tuple[Fate, ...]) -> tuple[Fate, ...]:
    """The same; nothing is learned of a MAC whose place is declared, nor from what is forged."""
    mac = fields["eth_src"]
    return tuple(
        [
            Fate(fate.network, fate.must, fate.may, fate.reasons, fate.told, fate.rates, learns=False)
            if fate.network is None
            or mac in known.segments[fate.network].placed
            or (fate.reasons is not None and fate.reasons & FORGED)
            else fate
            for fate in fates
        ]
    )


def _popped(frame: dict[str, int]) -> dict[str, int]:
    """A frame without its outermost tag."""
    rest = {name: value for name, value in frame.items() if name not in ("vlan_tci", "vlan_tpid")}
    if "octets" in rest:
        rest["octets"] -= 4
    if "inner_tci" in rest:
        rest["vlan_tci"] = rest.pop("inner_tci")
        if "inner_tpid" in rest:
            rest["vlan_tpid"] = rest.pop("inner_tpid")
    return rest


def _is_tagged(frame: Fields) -> bool:
    return bool(frame.get("vlan_tci", 0) & _PRESENT) or frame.get("eth_type", 0) in _TAGS


def _has_priority_tag(frame: Fields) -> bool:
    """Whether its outermost tag has a priority alone: hosts take what is behind it for untagged."""
    return frame.get("vlan_tci", 0) & (_PRESENT | 0xFFF) == _PRESENT


def _of_no_tenant(frame: Fields) -> set[Kind]:
    """What nobody may send: what bridges tell each other, and anything from a group address."""
    found = set()
    if frame["eth_dst"] & ~0xF == 0x0180C2000000 or frame["eth_dst"] & ~1 == 0x01000CCCCCCC:
        found.add(Kind.DROP_RESERVED)
    if frame["eth_src"] & _GROUP:
        found.add(Kind.DROP_MULTICAST_SOURCE)
    return found


@dataclass(slots=True)
class _Verdict:
    """Why a frame of a port is dropped, and why it may be, at the choice of who compiles."""

    must: set[Kind]
    may: set[Kind]


def _from_port(
    known: Declared, member: Member, frame: Fields, seen: Mapping[tuple[str, int], Spot]
) -> tuple[Fate, ...]:
    segment = known.segments[member.binding.network]
    name = segment.network.name
    verdict = _Verdict(_of_no_tenant(frame), set())
    tagged = _is_tagged(frame)
    inner = tagged and not segment.network.transparent and member.binding.service_tag
    hidden = _has_priority_tag(frame) and bool(member.binding.tag)
    if (tagged and not segment.network.transparent and not inner) or (_has_priority_tag(frame) and not hidden):
        verdict.must.add(Kind.DROP_TAGGED)
    _source(known, segment, member, frame, verdict)
    if not tagged:
        _messages(member, frame, verdict)
        _claims(known, segment, member, frame, verdict)
        _discovery(known, segment, member, frame, verdict)
    if verdict.must:
        return (_dropped(name, member, frame, frozenset(verdict.must)),)
    fates = _onward(known, segment, member, frame, seen, tagged=tagged)
    if inner or hidden:
        # What a service tag carries may have tags of its own; who hears of that in a network of untagged ports is open.
        # Nor is it seen on the way in whether that behind another one is a priority tag.
        fates = tuple(_perhaps(fate) for fate in fates)
        verdict.may.add(Kind.DROP_TAGGED)
    if verdict.may:
        # Who can't be reached from here may be known on the way.
        fates = tuple(_perhaps(fate) for fate in fates)
        fates = (*fates, replace(_dropped(name, member, frame, frozenset(verdict.may)), told=None))
    return fates


def _perhaps(fate: Fate) -> Fate:
    """The same, but nobody need get it."""
    return replace(fate, must=frozenset(), may=fate.must | fate.may, reasons=None, told=None, rates=None)


_LIES: Final = frozenset({Kind.DROP_SPOOFED_MAC, Kind.DROP_SPOOFED_ARP, Kind.DROP_SPOOFED_ND})


def _dropped(name: str, member: Member, frame: Fields, reasons: frozenset[Kind]) -> Fate:
    """Dropped; the controller hears of ARP and advertisements in which a port with security says what it may not."""
    told: bool | None = False
    if (frame.get("eth_type", 0) == ARP or _is_discovery(frame)) and reasons & _LIES:
        arp = frame["eth_type"] == ARP
        alone = reasons <= _LIES if arp else reasons == {Kind.DROP_SPOOFED_ND} and frame.get("nw_ttl", 0) == 255
        told = True if member.binding.secure and alone else None
        if Kind.DROP_SPOOFED_MAC not in reasons and not frame.get("arp_op", 0) and not frame.get("nd_target", 0):
            told = False  # nobody could read it
    return Fate(name, reasons=reasons, told=told)


def _foreign(known: Declared, member: Member, holders: Iterable[Member]) -> bool | None:
    """Whether something is somebody else's; None: of somebody whom this chassis has no way to."""
    others = [each for each in holders if not _same(each, member)]
    if any(known.reaches(member.chassis, each.chassis) for each in others):
        return True
    return None if others else False


def _same(one: Member, other: Member) -> bool:
    return one is other or (one.binding.port is not None and one.binding.port == other.binding.port)


def _judge(foreign: bool | None, kind: Kind, verdict: _Verdict) -> None:
    if foreign is not False:
        (verdict.may if foreign is None else verdict.must).add(kind)


def _source(known: Declared, segment: Segment, member: Member, frame: Fields, verdict: _Verdict) -> None:
    """The Ethernet source: one of its own, or nobody's where the port has no guard."""
    mac = frame["eth_src"]
    if mac in member.macs or mac in member.shared or mac & _GROUP:
        return
    if member.binding.secure:
        verdict.must.add(Kind.DROP_SPOOFED_MAC)
        return
    # What others are allowed beside their own is no more theirs than anybody's.
    _judge(_foreign(known, member, segment.macs.get(mac, ())), Kind.DROP_SPOOFED_MAC, verdict)


def _messages(member: Member, frame: Fields, verdict: _Verdict) -> None:
    """What routers and DHCP servers say, only of those that may."""
    kind, proto = frame.get("eth_type", 0), frame.get("ip_proto", 0)
    fragment = frame.get("ip_frag", 0) & 1
    if kind == IPV6 and proto == _ICMPV6 and fragment and frame.get("nw_ttl", 0) == 255:
        verdict.must.add(Kind.DROP_FRAGMENTED_ND)
    if fragment:
        return
    if May.ROUTER not in member.binding.may and (
        (kind == IPV6 and proto == _ICMPV6 and frame.get("icmpv6_type", 0) in (134, 137))
        or (kind == IPV4 and proto == _ICMP and frame.get("icmp_type", 0) == 5)
    ):
        verdict.must.add(Kind.DROP_ROUTER)
    client = {IPV4: 68, IPV6: 546}.get(kind)
    if May.DHCP_SERVER not in member.binding.may and proto == _UDP and frame.get("udp_dst", 0) == client:
        verdict.must.add(Kind.DROP_DHCP_SERVER)


def _claims(known: Declared, segment: Segment, member: Member, frame: Fields, verdict: _Verdict) -> None:
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
            asks = (frame.get("ip_proto", 0), frame.get("udp_src", 0), frame.get("udp_dst", 0)) == (_UDP, 68, 67)
            asks = frame.get("ip_proto", 0) == _ICMPV6 if kind == IPV6 else asks and not frame.get("ip_frag", 0) & 1
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
    verdict: _Verdict,
) -> None:
    """A port that has no addresses of its own declared speaks for those that are nobody's.

    So does one of those that it is allowed beside its own: where they are declared for another port, they are there.
    """
    mac, address_ = said
    own = {link_local(each) for each in member.macs} if member.binding.secure else set()
    if not (mac in member.macs and address_ in {*member.addresses, *own}):
        _judge(_foreign(known, member, segment.addresses.get(said[1], ())), kind, verdict)
        _judge(_foreign(known, member, segment.link_locals.get(said[1], ())), kind, verdict)


def _arp_claims(known: Declared, segment: Segment, member: Member, frame: Fields, verdict: _Verdict) -> None:
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


def _is_discovery(frame: Fields) -> bool:
    """Whether it is a neighbor solicitation or advertisement."""
    return (
        frame.get("eth_type", 0) == IPV6
        and frame.get("ip_proto", 0) == _ICMPV6
        and not frame.get("ip_frag", 0) & 1
        and frame.get("icmpv6_type", 0) in (135, 136)
    )


def _discovery(known: Declared, segment: Segment, member: Member, frame: Fields, verdict: _Verdict) -> None:
    """Neighbor discovery: hop limit, link-layer options, and whom an advertisement speaks for."""
    if not _is_discovery(frame):
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


# -- where it goes


def _onward(  # noqa: PLR0911 - one return per case
    known: Declared,
    segment: Segment,
    member: Member,
    frame: Fields,
    seen: Mapping[tuple[str, int], Spot],
    *,
    tagged: bool,
) -> tuple[Fate, ...]:
    """What becomes of what a port may send: it is answered, or it goes on."""
    onward = _forwarded(known, segment, member, frame, seen)
    if tagged:
        return onward
    told = _tells(segment, member, frame)
    fates = list(onward)
    if told is not False:
        fates = [replace(fate, told=None if None in (fate.told, told) else True) for fate in onward]
    if frame["eth_dst"] == ASKER:
        return (Fate(segment.network.name, reasons=frozenset({Kind.DROP_PROBE_ANSWER}), told=told),)
    asked = _asked(frame)
    if asked is None:
        return tuple(fates)
    mac, group = frame["eth_src"], bool(frame["eth_dst"] & _GROUP)
    found = _neighbor(known, segment, member, asked)
    tells = _said(frame) == asked[1]
    probe = not _said(frame) or tells
    mine = any(_same(each, member) for each in segment.addresses.get(asked, ()))
    if found is not None and (tells and not mine if asked[0] == 4 else not _said(frame)):
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


def _asked(frame: Fields) -> Address | None:
    """The address that a request is for; None for all that is no request."""
    if frame.get("eth_type", 0) == ARP and frame.get("arp_op", 0) == 1:
        return 4, frame.get("arp_tpa", 0)
    if _is_discovery(frame) and frame["icmpv6_type"] == 135:
        return 6, frame.get("nd_target", 0)
    return None


def _said(frame: Fields) -> int:
    """The address that a request comes from; 0 for a probe."""
    return frame.get("arp_spa", 0) if frame["eth_type"] == ARP else frame.get("ipv6_src", 0)


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
        return [_received(member, answer)]
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
        "ip_proto": _ICMPV6,
        "nw_ttl": 255,
        "ipv6_src": asked[1],
        "ipv6_dst": frame["ipv6_src"],
        "icmpv6_type": 136,
        "nd_target": asked[1],
        "nd_tll": mac,
        "nd_options_type": 2,
    }
    flags = {_FROM_ROUTER} if routes else {0, _FROM_ROUTER} if perhaps else {0}
    return [_received(member, answer | {"nd_reserved": _SOLICITED | _OVERRIDE | flag}) for flag in sorted(flags)]


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
    probe = _said(frame) in (0, frame.get("arp_tpa" if frame["eth_type"] == ARP else "nd_target", 0))
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
    if _asked(frame) in segment.routers:
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
            for fate in _forwarded(known, segment, member, {**frame, "eth_dst": mac}, seen)
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
                _all_received(elsewhere, {**frame, "eth_dst": mac_number(each.binding.mac or "0")}),
                told=told,
            )
            for each in elsewhere[:1]
        ]
        return [*onward, *moving, replace(dropped, reasons=None)]
    asked = [
        Fate(
            name,
            _all_received(gateways, {**frame, "eth_dst": destination}),
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
    elif _is_discovery(frame):
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


def _forwarded(
    known: Declared, segment: Segment, member: Member, frame: Fields, seen: Mapping[tuple[str, int], Spot]
) -> tuple[Fate, ...]:
    """Who gets a frame of a port by its destination."""
    name, target = segment.network.name, frame["eth_dst"]
    others = [each for each in segment.members if known.reaches(member.chassis, each.chassis)]
    if target & _GROUP:
        return (_flooded(known, segment, member, frame, others),)
    holders = [each for each in segment.macs.get(target, ()) if each in others]
    if holders:
        return (_to(known, segment, member, frame, holders),)
    if target in segment.macs:
        # Nobody has a way there from here; who is asked on the way may know that it is elsewhere.
        flood = _flooded(known, segment, member, frame, others)
        return (replace(flood, must=frozenset(), may=flood.must | flood.may, told=None, rates=None),)
    spot = seen.get((name, target))
    last = [each for each in others if each.spot == spot]
    if last:
        return (_to(known, segment, member, frame, last),)
    if segment.network.drops_unknown:
        return (Fate(name, reasons=frozenset({Kind.DROP_UNKNOWN})),)
    return (_flooded(known, segment, member, frame, others),)


def _all_received(members: Iterable[Member], frame: Fields) -> frozenset[Received]:
    """A frame as it comes out of each of these ports."""
    as_tagged: dict[tuple[int, bool], tuple[tuple[str, int], ...]] = {}
    found = []
    for each in members:
        binding = each.binding
        tag = (binding.tag, binding.service_tag)
        if tag not in as_tagged:
            as_tagged[tag] = _leaving(frame, *tag)
        found.append(Received(binding.chassis, binding.ofport, as_tagged[tag]))
    return frozenset(found)


def _received(member: Member, frame: Fields) -> Received:
    """A frame as it comes out of a port."""
    (received,) = _all_received([member], frame)
    return received


def _leaving(frame: Fields, tag: int, service_tag: bool) -> tuple[tuple[str, int], ...]:
    """The fields of a frame with a port's tag."""
    out = {name: value for name, value in frame.items() if value}
    if tag:
        if "inner_tci" in out:
            # Behind two tags nothing is told apart any more.
            out["eth_type"] = out.pop("inner_tpid", 0x8100)
            seen = ("eth_src", "eth_dst", "eth_type", "vlan_tci", "vlan_tpid", "octets")
            out = {key: value for key, value in out.items() if key in seen}
        if out.get("vlan_tci", 0) & _PRESENT:
            out["inner_tci"] = out["vlan_tci"]
            if "vlan_tpid" in out:
                out["inner_tpid"] = out.pop("vlan_tpid")
        out["vlan_tci"] = _PRESENT | tag
        if service_tag:
            out["vlan_tpid"] = 0x88A8
        if "octets" in out:
            out["octets"] += 4
    return tuple(sorted(out.items()))


def _to(known: Declared, segment: Segment, member: Member, frame: Fields, holders: Iterable[Member]) -> Fate:
    """To some places, but for the one it comes from; what a tunnel can't carry is dropped, and the sender told."""
    name = segment.network.name
    holders = list(holders)
    elsewhere = [each for each in holders if each.spot[:2] != member.spot[:2]]
    fits = {each.spot: _fits(known, segment.network, member.chassis, each.chassis, frame) for each in elsewhere}
    must = _all_received([each for each in elsewhere if fits[each.spot] is True], frame)
    may = _all_received([each for each in elsewhere if fits[each.spot] is None], frame)
    large = any(fit is False for fit in fits.values())
    if large and len(holders) > 1:
        # It is moving; what one of two tunnels can't carry need not be noticed before.
        may = _all_received(elsewhere, frame)
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
    return None if octets - 14 <= max(limits) + (4 if _is_tagged(frame) else 0) else False


def _link_scope(target: int) -> bool | None:
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
    all_of_them = _all_received([each for each in others if each.spot[:2] != member.spot[:2]], frame)
    hairpin = _all_received([each for each in others if each.spot[:2] == member.spot[:2]], frame)
    rate = frozenset({member.binding.flood_rate} - {0})
    must, may = all_of_them, hairpin
    if target & _GROUP and segment.network.drops_multicast:
        on_link = _link_scope(target)
        if on_link is False:
            return Fate(name, reasons=frozenset({Kind.DROP_MULTICAST}))
        if on_link is None:
            return Fate(name, may=all_of_them | hairpin, rates=None)
    if frame.get("octets", 0):
        away = {each for each in must if not _fits(known, segment.network, member.chassis, each.chassis, frame)}
        must, may = must - away, may | away
        return Fate(name, must, may, None, None if away else False, rate)
    return Fate(name, must, may, None, False, rate if must else None)


# -- from a tunnel


def _from_tunnel(
    known: Declared, chassis: str, fields: Fields, seen: Mapping[tuple[str, int], Spot]
) -> tuple[Fate, ...]:
    """A tunnel packet: believed from a member's VTEP, with a MAC that lives there; and for members here alone."""
    family = "tun_" if "tun_src" in fields or "tun_dst" in fields else "tun_ipv6_"
    vni, source = fields.get("tun_id", 0), fields.get(family + "src", 0)
    segment = next((each for each in known.segments.values() if each.network.vni == vni), None)
    senders = {
        other
        for (here, other), ways in known.reach.items()
        if here == chassis and other != chassis
        for encap, _, there in ways
        if address(there.ip) == (4 if family == "tun_" else 6, source) and fields["in_port"] in _entries(encap)
    }
    foreign = frozenset({Kind.DROP_PROBE if not vni else Kind.DROP_FOREIGN_TUNNEL})
    if segment is None or not senders:
        return (Fate(reasons=foreign | ({Kind.DROP_PROBE} if not vni else frozenset())),)
    local = [each for each in segment.members if each.chassis == chassis]
    there = [each for each in segment.members if each.chassis in senders]
    if not local or not there:
        return (Fate(reasons=foreign),)
    name = segment.network.name
    frame = {key: value for key, value in fields.items() if key != "in_port" and not key.startswith("tun_")}
    reasons = _of_no_tenant(frame)
    perhaps: set[Kind] = set()
    if _is_tagged(frame) and not segment.network.transparent:
        inner = any(each.binding.service_tag for each in local)
        (perhaps if inner else reasons).add(Kind.DROP_TAGGED)
    if _has_priority_tag(frame):
        reasons.add(Kind.DROP_TAGGED)
    lives = _lives(known, segment, frame["eth_src"], senders, local)
    if lives is not True:
        (perhaps if lives is None else reasons).add(Kind.DROP_SPOOFED_TUNNEL)
    if reasons:
        return (Fate(name, reasons=frozenset(reasons | perhaps)),)
    fates = _arrived(known, segment, local, frame, seen)
    if perhaps:
        return (*map(_perhaps, fates), Fate(name, reasons=frozenset(perhaps)))
    return fates


def _entries(encap: Encap) -> tuple[int, ...]:
    """The tunnel ports by which packets of an encap come in; GRE by whichever a datapath chooses."""
    return tuple(tunnel.ofport for tunnel in TUNNELS if tunnel.encap is encap)


def _lives(known: Declared, segment: Segment, mac: int, senders: set[str], local: list[Member]) -> bool | None:
    """Whether a MAC may be behind a VTEP: it is declared there, or nowhere and somebody there has no guard.

    None: it is declared where there is no way to from here.
    """
    holders = segment.macs.get(mac, ())
    if any(each.chassis in senders for each in (*holders, *segment.shared.get(mac, ()))):
        return True
    unguarded = any(not each.binding.secure for each in segment.members if each.chassis in senders)
    if not holders or not unguarded:
        return unguarded
    return False if any(known.reaches(local[0].chassis, each.chassis) for each in holders) else None


def _arrived(
    known: Declared, segment: Segment, local: list[Member], frame: Fields, seen: Mapping[tuple[str, int], Spot]
) -> tuple[Fate, ...]:
    """Who gets what a tunnel brought."""
    name, target = segment.network.name, frame["eth_dst"]
    everybody = Fate(name, _all_received(local, frame))
    if target & _GROUP:
        if not segment.network.drops_multicast or _link_scope(target):
            return (everybody,)
        nobody = Fate(name, reasons=frozenset({Kind.DROP_MULTICAST}))
        return (nobody,) if _link_scope(target) is False else (nobody, everybody)
    holders = segment.macs.get(target, ())
    spot = seen.get((name, target))
    if not holders and spot is not None:
        holders = tuple(each for each in segment.members if each.spot == spot)
    if holders:
        must = _all_received([each for each in holders if each in local], frame)
        if not any(known.reaches(local[0].chassis, each.chassis) for each in holders):
            return (_perhaps(everybody),)
        return (Fate(name, must, reasons=None if must else frozenset({Kind.DROP_SPLIT_HORIZON})),)
    if segment.network.drops_unknown:
        return (Fate(name, reasons=frozenset({Kind.DROP_UNKNOWN})),)
    return (everybody,)
