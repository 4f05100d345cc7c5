"""Table deliver: out of the port that was found, unless the packet would go from a tunnel into a tunnel."""

from __future__ import annotations

from collections.abc import Iterator

from flows.compile.view import View
from flows.flow import Flow, Goto, Match, OutputField, flow
from flows.model import TUNNEL_OFPORTS
from flows.tables import DELIVER, FLOOD, FROM_TUNNEL, ORIGIN, OUTPORT, Kind


def deliver(view: View) -> Iterator[Flow]:
    """Where the network says so, a packet for which no port was found is dropped."""
    if view.drops_unknown:
        match: Match = {"metadata": view.vni, OUTPORT: 0}
        yield flow(DELIVER, Kind.DROP_UNKNOWN, 150, match, [])


def misses() -> Iterator[Flow]:
    """Split horizon, the port, and the flood where no port was found."""
    for ofport in TUNNEL_OFPORTS.values():
        match = {ORIGIN: FROM_TUNNEL, OUTPORT: ofport}
        yield flow(DELIVER, Kind.DROP_SPLIT_HORIZON, 200, match, [])
    yield flow(DELIVER, Kind.NOT_FOUND, 100, {OUTPORT: 0}, [Goto(FLOOD)])
    yield flow(DELIVER, Kind.DELIVER, 0, {}, [OutputField(OUTPORT)])
