"""Table tags: a VLAN tag that classify has not taken is dropped, unless the network lets tags pass.

Open vSwitch looks at one tag unless it is told to look at more (`vlan-limit`): of a second one it sees the EtherType.
"""

from __future__ import annotations

from collections.abc import Iterator

from flows.compile.drop import refuse
from flows.compile.headers import PRIORITY_TAG, SERVICE_VLAN, TAGGED, VLAN
from flows.compile.view import View
from flows.flow import Flow, Goto, Match, flow
from flows.tables import FROM_TUNNEL, GUARD, ORIGIN, TAGS, Kind


def tags(view: View) -> Iterator[Flow]:
    """Where the network is transparent to tags they pass, also one within another.

    So do those within a service tag: from the port that has it, and from tunnels to it.
    """
    if view.transparent:
        yield from _passing({"metadata": view.vni})
        return
    service = [port for port in view.ports if port.service_tag]
    for port in service:
        yield from _passing({"metadata": view.vni, "in_port": port.ofport})
    if service:
        yield from _passing({"metadata": view.vni, ORIGIN: FROM_TUNNEL})


def _passing(whose: Match) -> Iterator[Flow]:
    yield flow(TAGS, Kind.PASS_TAGGED, 300, {**whose, "vlan_tci": TAGGED}, [Goto(GUARD)])
    for ethertype in (VLAN, SERVICE_VLAN):
        untagged = {**whose, "vlan_tci": (0, TAGGED[1]), "eth_type": ethertype}
        yield flow(TAGS, Kind.PASS_TAGGED, 300, untagged, [Goto(GUARD)])


def misses() -> Iterator[Flow]:
    """A tag, or what is one further in, is dropped. So is a priority tag everywhere: hosts take what is behind it for
    untagged, so that it would get to them past all that is asked of an untagged packet.
    """
    yield flow(TAGS, Kind.REFUSE, 310, {"vlan_tci": PRIORITY_TAG}, refuse(Kind.DROP_TAGGED))
    yield flow(TAGS, Kind.REFUSE, 200, {"vlan_tci": TAGGED}, refuse(Kind.DROP_TAGGED))
    for ethertype in (VLAN, SERVICE_VLAN):
        match = {"vlan_tci": (0, TAGGED[1]), "eth_type": ethertype}
        yield flow(TAGS, Kind.REFUSE, 200, match, refuse(Kind.DROP_TAGGED))
    yield flow(TAGS, Kind.CONTINUE, 0, {}, [Goto(GUARD)])
