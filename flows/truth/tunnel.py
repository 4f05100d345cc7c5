"""What may become of a packet that comes in by a tunnel."""

from __future__ import annotations

from collections.abc import Mapping

from flows.model import TUNNELS, Encap
from flows.tables import Kind
from flows.truth.claims import of_no_tenant
from flows.truth.declared import Declared, Member, Segment, Spot
from flows.truth.fate import Fate
from flows.truth.frame import GROUP, Fields, address, has_priority_tag, is_tagged
from flows.truth.receivers import all_received, link_scope


def from_tunnel(
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
    reasons = of_no_tenant(frame)
    perhaps: set[Kind] = set()
    if is_tagged(frame) and not segment.network.transparent:
        inner = any(each.binding.service_tag for each in local)
        (perhaps if inner else reasons).add(Kind.DROP_TAGGED)
    if has_priority_tag(frame):
        reasons.add(Kind.DROP_TAGGED)
    lives = _lives(known, segment, frame["eth_src"], senders, local)
    if lives is not True:
        (perhaps if lives is None else reasons).add(Kind.DROP_SPOOFED_TUNNEL)
    if reasons:
        return (Fate(name, reasons=frozenset(reasons | perhaps)),)
    fates = _arrived(known, segment, local, frame, seen)
    if perhaps:
        return (*(fate.optional() for fate in fates), Fate(name, reasons=frozenset(perhaps)))
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
    everybody = Fate(name, all_received(local, frame))
    if target & GROUP:
        if not segment.network.drops_multicast or link_scope(target):
            return (everybody,)
        nobody = Fate(name, reasons=frozenset({Kind.DROP_MULTICAST}))
        return (nobody,) if link_scope(target) is False else (nobody, everybody)
    holders = segment.macs.get(target, ())
    spot = seen.get((name, target))
    if not holders and spot is not None:
        holders = tuple(each for each in segment.members if each.spot == spot)
    if holders:
        must = all_received([each for each in holders if each in local], frame)
        if not any(known.reaches(local[0].chassis, each.chassis) for each in holders):
            return (everybody.optional(),)
        return (Fate(name, must, reasons=None if must else frozenset({Kind.DROP_SPLIT_HORIZON})),)
    if segment.network.drops_unknown:
        return (Fate(name, reasons=frozenset({Kind.DROP_UNKNOWN})),)
    return (everybody,)
