"""Tables police and flood: BUM to the members of the network, each once, and never from a tunnel into a tunnel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.compile.forward import tag
from flows.compile.view import View
from flows.flow import Action, Flow, Goto, Match, Meter, Output, PopVlan, Recirculate, flow
from flows.tables import FLOOD, FROM_PORT, FROM_TUNNEL, ORIGIN, POLICE, Kind

AT_ONCE: Final = 400
"""The most copies into tunnels that are made by one datapath flow, whose steps have 64 kB: the userspace datapath takes
84 bytes for a VXLAN packet over IPv4 and 104 over IPv6, and more where bridges of the underlay do more with it."""


def flood(view: View) -> Iterator[Flow]:
    """One flat list of outputs for each origin; the switch leaves out the port a packet came from."""
    for port in view.ports:
        if port.rate:
            match: Match = {"metadata": view.vni, ORIGIN: FROM_PORT, "in_port": port.ofport}
            limit = Meter(port.ofport, port.rate, port.rate)
            yield flow(POLICE, Kind.LIMIT, 100, match, [limit, Goto(FLOOD)])
    local: list[Action] = [Output(port.ofport) for port in view.ports if not port.tag]
    for port in view.ports:
        if port.tag:
            local += [*tag(port), Output(port.ofport), PopVlan()]
    remote: list[Action] = []
    before = None
    for number, member in enumerate(view.members):
        if number and number % AT_ONCE == 0:
            remote.append(Recirculate())
        remote += [*member.way.fields(view.vni, before), Output(member.way.tunnel.ofport)]
        before = member.way
    everywhere = {"metadata": view.vni, ORIGIN: FROM_PORT}
    yield flow(FLOOD, Kind.FLOOD_FROM_PORT, 100, everywhere, [*local, *remote])
    here = {"metadata": view.vni, ORIGIN: FROM_TUNNEL}
    yield flow(FLOOD, Kind.FLOOD_FROM_TUNNEL, 100, here, local)


def misses() -> Iterator[Flow]:
    """No limit, and nobody to send it to."""
    yield flow(POLICE, Kind.CONTINUE, 0, {}, [Goto(FLOOD)])
    yield flow(FLOOD, Kind.DROP_NO_MEMBERS, 0, {}, [])
