"""Tables deliver and size: out of the port that was found, unless the packet would go from a tunnel into a tunnel,
or is larger than the tunnel can carry."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from flows.compile.headers import tag_bits, tunnel_target
from flows.compile.view import View
from flows.flow import Action, CheckLarger, Controller, Flow, Goto, Match, Move, OutputField, flow, set_field
from flows.model import TUNNELS
from flows.tables import (
    DELIVER,
    FROM_PORT,
    FROM_TUNNEL,
    LARGER,
    LIMIT,
    ORIGIN,
    OUT_TAG,
    OUTPORT,
    POLICE,
    SIZE,
    Kind,
)
from flows.vteps import ETHERNET

_COPIED: Final = ETHERNET + 2 * 4 + 1232
"""Octets of a packet that is too large that are copied: its header, two tags, and as much of it as an answer may quote
(RFC 4443, section 2.4 c: 1280 with the headers of the answer)."""
_COPIES: Final = (20, 20)
"""Packets per second, and at once, that a port may have copied because they are too large."""
_COPY_METERS: Final = 131072
"""The meter of these copies is this plus the port's ofport: who sends many leaves the others their answers."""


def deliver(view: View) -> Iterator[Flow]:
    """What may be too large for a tunnel is measured. Where no port was found: dropped, if the network says so."""
    yield from _measured(view)
    yield from _too_large(view)
    if view.drops_unknown:
        yield flow(DELIVER, Kind.DROP_UNKNOWN, 150, {"metadata": view.vni, OUTPORT: 0}, [])


def _measured(view: View) -> Iterator[Flow]:
    """One flow for the limit that most ways by a tunnel port have, and one for each way that has another."""
    limits: dict[int, Counter[int]] = defaultdict(Counter)
    for member in view.members:
        limits[member.way.tunnel.ofport][member.way.limit] += 1
    most = {ofport: min(count, key=lambda limit: (-count[limit], limit)) for ofport, count in limits.items()}
    tunnelled: Match = {"metadata": view.vni, ORIGIN: FROM_PORT}
    for ofport, limit in sorted(most.items()):
        yield flow(DELIVER, Kind.MEASURE, 150, {**tunnelled, OUTPORT: ofport}, _measure(limit))
    for member in view.members:
        ofport, limit = member.way.tunnel.ofport, member.way.limit
        if limit != most[ofport]:
            match: Match = {**tunnelled, OUTPORT: ofport, **tunnel_target(member.way.remote)}
            yield flow(DELIVER, Kind.MEASURE, 160, match, _measure(limit))


def _measure(limit: int) -> list[Action]:
    """The limit is handed on, for the copy tells it to the controller."""
    return [CheckLarger(limit + ETHERNET, LARGER), set_field(LIMIT, limit), Goto(SIZE)]


def _too_large(view: View) -> Iterator[Flow]:
    """The copy, for each port."""
    for ofport in sorted({port.ofport for port in view.ports}):
        match: Match = {"metadata": view.vni, LARGER: 1, "in_port": ofport}
        copy = Controller(_COPIED, _COPY_METERS + ofport, *_COPIES)
        yield flow(SIZE, Kind.DROP_TOO_LARGE, 200, match, [copy])


def misses() -> Iterator[Flow]:
    """Split horizon, the port with or without tag, the flood where no port was found; what size finds."""
    for tunnel in TUNNELS:
        match: Match = {ORIGIN: FROM_TUNNEL, OUTPORT: tunnel.ofport}
        yield flow(DELIVER, Kind.DROP_SPLIT_HORIZON, 200, match, [])
    yield flow(DELIVER, Kind.NOT_FOUND, 100, {OUTPORT: 0}, [Goto(POLICE)])
    for push, bits in tag_bits():
        steps: list[Action] = [push, Move(OUT_TAG, "vlan_tci", 16), OutputField(OUTPORT)]
        yield flow(DELIVER, Kind.DELIVER_TAGGED, 50, {OUT_TAG: bits}, steps)
    yield flow(DELIVER, Kind.DELIVER, 0, {}, [OutputField(OUTPORT)])
    yield flow(SIZE, Kind.DROP_TOO_LARGE, 100, {LARGER: 1}, [])
    yield flow(SIZE, Kind.FITS, 0, {}, [OutputField(OUTPORT)])
