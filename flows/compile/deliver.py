"""Tables deliver and size: out of the port that was found, unless the packet would go from a tunnel into a tunnel,
or is larger than the tunnel can carry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.compile.headers import IPV4, IPV6
from flows.compile.view import View
from flows.flow import Action, CheckLarger, Controller, Flow, Goto, Match, Move, OutputField, PushVlan, flow
from flows.model import TUNNELS
from flows.tables import (
    DELIVER,
    FROM_PORT,
    FROM_TUNNEL,
    LARGER,
    ORIGIN,
    OUT_TAG,
    OUTPORT,
    POLICE,
    SERVICE_TAG,
    SIZE,
    TAG_PRESENT,
    Kind,
)
from flows.underlay import ETHERNET

_HEADERS: Final = 256
"""Octets of a packet that is too large that are copied: its headers, and what an ICMP error must quote at least."""
_TOO_LARGE: Final = Controller(_HEADERS, 131072, 100, 100)
"""The copy, within what a switch may have answered."""


def deliver(view: View) -> Iterator[Flow]:
    """What may be too large for a tunnel is measured. Where no port was found: dropped, if the network says so."""
    limits: dict[int, int] = {}
    for member in view.members:
        ofport = member.way.tunnel.ofport
        limits[ofport] = min(limits.get(ofport, member.way.limit), member.way.limit)
    for ofport, limit in sorted(limits.items()):
        match: Match = {"metadata": view.vni, ORIGIN: FROM_PORT, OUTPORT: ofport}
        yield flow(DELIVER, Kind.MEASURE, 150, match, [CheckLarger(limit + ETHERNET, LARGER), Goto(SIZE)])
    if view.drops_unknown:
        yield flow(DELIVER, Kind.DROP_UNKNOWN, 150, {"metadata": view.vni, OUTPORT: 0}, [])


def misses() -> Iterator[Flow]:
    """Split horizon, the port with or without tag, the flood where no port was found; what size finds."""
    for tunnel in TUNNELS:
        match: Match = {ORIGIN: FROM_TUNNEL, OUTPORT: tunnel.ofport}
        yield flow(DELIVER, Kind.DROP_SPLIT_HORIZON, 200, match, [])
    yield flow(DELIVER, Kind.NOT_FOUND, 100, {OUTPORT: 0}, [Goto(POLICE)])
    for ethertype, bits in ((0x8100, TAG_PRESENT), (0x88A8, TAG_PRESENT | SERVICE_TAG)):
        tagged: Match = {OUT_TAG: (bits, TAG_PRESENT | SERVICE_TAG)}
        steps: list[Action] = [PushVlan(ethertype), Move(OUT_TAG, "vlan_tci", 16), OutputField(OUTPORT)]
        yield flow(DELIVER, Kind.DELIVER_TAGGED, 50, tagged, steps)
    yield flow(DELIVER, Kind.DELIVER, 0, {}, [OutputField(OUTPORT)])
    for ethertype in (IPV4, IPV6):
        yield flow(SIZE, Kind.DROP_TOO_LARGE, 200, {LARGER: 1, "eth_type": ethertype}, [_TOO_LARGE])
    yield flow(SIZE, Kind.DROP_TOO_LARGE, 100, {LARGER: 1}, [])
    yield flow(SIZE, Kind.FITS, 0, {}, [OutputField(OUTPORT)])
