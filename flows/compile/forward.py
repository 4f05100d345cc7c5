"""Table forward: known unicast gets its port, or its VTEP and tunnel port. Whether it may leave there,
`deliver` decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from flows.compile.headers import GROUP
from flows.compile.view import LocalPort, Member, View
from flows.flow import Action, Flow, Goto, Match, Output, PopVlan, PushVlan, Resubmit, SetField, flow, set_field
from flows.tables import (
    DELIVER,
    FDB,
    FORWARD,
    FROM_PORT,
    FROM_TUNNEL,
    ORIGIN,
    OUT_TAG,
    OUTPORT,
    POLICE,
    TAG_PRESENT,
    Kind,
)

Place = LocalPort | Member
_LINK_GROUPS: Final = (
    (0xFFFFFFFFFFFF, 0xFFFFFFFFFFFF),
    (0x01005E000000, 0xFFFFFFFFFF00),
    (0x333300000000, 0xFFFFFFFFFF00),
    (0x3333FF000000, 0xFFFFFF000000),
)
"""Broadcast, and what hosts of a link need to find each other: 224.0.0.0/24, ff02::/120, solicited nodes (RFC 4291)."""


def forward(view: View) -> Iterator[Flow]:
    """Each MAC whose place is known. One that is known in two is moving, and both get what is sent to it."""
    places: dict[str, list[Place]] = defaultdict(list)
    for member in view.members:
        for mac in member.macs:
            places[mac].append(member)
    for port in view.ports:
        for mac in port.macs:
            places[mac].append(port)
    for mac, found in sorted(places.items()):
        match: Match = {"metadata": view.vni, "eth_dst": mac}
        if len(found) == 1:
            yield flow(FORWARD, Kind.KNOWN, 100, match, [*_towards(view.vni, found[0]), Goto(DELIVER)])
            continue
        here = [place for place in found if isinstance(place, LocalPort)]
        for origin, to in ((FROM_PORT, found), (FROM_TUNNEL, here or found[-1:])):
            moving: Match = {**match, ORIGIN: origin}
            yield flow(FORWARD, Kind.MOVING, 110, moving, [*_to_all(view.vni, to), Goto(DELIVER)])
    if view.drops_multicast:
        for group in _LINK_GROUPS:
            needed: Match = {"metadata": view.vni, "eth_dst": group}
            yield flow(FORWARD, Kind.GROUP_ADDRESS, 220, needed, [Goto(POLICE)])
        yield flow(FORWARD, Kind.DROP_MULTICAST, 210, {"metadata": view.vni, "eth_dst": GROUP}, [])


def tag(port: LocalPort) -> tuple[Action, ...]:
    """What puts the port's tag on."""
    ethertype = 0x88A8 if port.service_tag else 0x8100
    return (PushVlan(ethertype), SetField("vlan_tci", TAG_PRESENT | port.tag))


def _towards(vni: int, place: Place) -> tuple[Action, ...]:
    """What makes it the place where the packet is going."""
    if isinstance(place, Member):
        return (*place.way.fields(vni), set_field(OUTPORT, place.way.tunnel.ofport))
    tagged = (set_field(OUT_TAG, place.out_tag),) if place.tag else ()
    return (*tagged, set_field(OUTPORT, place.ofport))


def _to_all(vni: int, places: Sequence[Place]) -> Iterator[Action]:
    """A copy out to each but the last, where the packet itself is going."""
    for place in places[:-1]:
        if isinstance(place, Member):
            yield from (*place.way.fields(vni), Output(place.way.tunnel.ofport))
        elif place.tag:
            yield from (*tag(place), Output(place.ofport), PopVlan())
        else:
            yield Output(place.ofport)
    before = [place.way for place in places[:-1] if isinstance(place, Member)]
    last = places[-1]
    if isinstance(last, Member) and before:
        yield from (*last.way.fields(vni, before[-1]), set_field(OUTPORT, last.way.tunnel.ofport))
    else:
        yield from _towards(vni, last)


def misses() -> Iterator[Flow]:
    """A group address is flooded; an unknown MAC may be a learned one."""
    yield flow(FORWARD, Kind.GROUP_ADDRESS, 200, {"eth_dst": GROUP}, [Goto(POLICE)])
    yield flow(FORWARD, Kind.LOOK_UP_LEARNED, 0, {}, [Resubmit(FDB), Goto(DELIVER)])
