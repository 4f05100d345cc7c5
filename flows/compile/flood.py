"""Table flood: BUM to the members of the network, each once, and never from a tunnel into a tunnel."""

from __future__ import annotations

from collections.abc import Iterator

from flows.compile.view import View
from flows.flow import Action, Flow, Output, flow, set_field
from flows.model import TUNNEL_OFPORTS
from flows.tables import FLOOD, FROM_PORT, FROM_TUNNEL, ORIGIN, Kind


def flood(view: View) -> Iterator[Flow]:
    """One flat list of outputs for each origin; the switch leaves out the port a packet came from."""
    local: list[Action] = [Output(port.ofport) for port in view.ports]
    remote: list[Action] = [set_field("tun_id", view.vni)] if view.members else []
    for member in view.members:
        remote += [set_field("tun_dst", member.vtep), Output(TUNNEL_OFPORTS[member.encap])]
    everywhere = {"metadata": view.vni, ORIGIN: FROM_PORT}
    yield flow(FLOOD, Kind.FLOOD_FROM_PORT, 100, everywhere, [*local, *remote])
    here = {"metadata": view.vni, ORIGIN: FROM_TUNNEL}
    yield flow(FLOOD, Kind.FLOOD_FROM_TUNNEL, 100, here, local)


def misses() -> Iterator[Flow]:
    """Nobody to send it to."""
    yield flow(FLOOD, Kind.DROP_NO_MEMBERS, 0, {}, [])
