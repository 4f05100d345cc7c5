"""Table forward: known unicast gets its port, or its VTEP and tunnel port. Whether it may leave there,
`deliver` decides."""

from __future__ import annotations

from collections.abc import Iterator

from flows.compile.view import Member, View
from flows.flow import Action, Flow, Goto, Match, Resubmit, flow, set_field
from flows.model import TUNNEL_OFPORTS
from flows.tables import DELIVER, FDB, FLOOD, FORWARD, OUTPORT, Kind


def to_vtep(vni: int, member: Member) -> tuple[Action, Action]:
    """What sets the tunnel key and the remote end for a packet to another chassis."""
    return (set_field("tun_id", vni), set_field("tun_dst", member.vtep))


def forward(view: View) -> Iterator[Flow]:
    """Each MAC whose place is known. Known in two places, the local one counts, then the first VTEP."""
    places: dict[str, tuple[Action, ...]] = {}
    for member in view.members:
        for mac in member.macs:
            outport = set_field(OUTPORT, TUNNEL_OFPORTS[member.encap])
            places.setdefault(mac, (*to_vtep(view.vni, member), outport))
    local: dict[str, tuple[Action, ...]] = {}
    for port in view.ports:
        for mac in port.macs:
            local.setdefault(mac, (set_field(OUTPORT, port.ofport),))
    for mac, actions in sorted({**places, **local}.items()):
        match: Match = {"metadata": view.vni, "eth_dst": mac}
        yield flow(FORWARD, Kind.KNOWN, 100, match, [*actions, Goto(DELIVER)])


def misses() -> Iterator[Flow]:
    """A group address is flooded; an unknown MAC may be a learned one."""
    group = ("01:00:00:00:00:00", "01:00:00:00:00:00")
    yield flow(FORWARD, Kind.GROUP_ADDRESS, 200, {"eth_dst": group}, [Goto(FLOOD)])
    yield flow(FORWARD, Kind.LOOK_UP_LEARNED, 0, {}, [Resubmit(FDB), Goto(DELIVER)])
