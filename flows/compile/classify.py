"""Table classify: where a packet came in gives it its network. The only place that sets the VNI."""

from __future__ import annotations

from collections.abc import Iterator

from flows.compile.view import View
from flows.flow import Flow, Goto, flow, set_field
from flows.model import PROBE_VNI, TUNNEL_OFPORTS
from flows.tables import CLASSIFY, FROM_TUNNEL, GUARD, ORIGIN, Kind


def classify(view: View) -> Iterator[Flow]:
    """Each local port, and each VTEP that may send for the network."""
    network = set_field("metadata", view.vni)
    for port in view.ports:
        yield flow(CLASSIFY, Kind.LOCAL_PORT, 100, {"in_port": port.ofport}, [network, Goto(GUARD)])
    for member in view.members:
        for encap in member.accepts:
            yield flow(
                CLASSIFY,
                Kind.VTEP,
                100,
                {"in_port": TUNNEL_OFPORTS[encap], "tun_id": view.vni, "tun_src": member.vtep},
                [network, set_field(ORIGIN, FROM_TUNNEL), Goto(GUARD)],
            )


def misses() -> Iterator[Flow]:
    """All else is dropped; what came by a tunnel is counted apart, for it should not happen at all."""
    for ofport in TUNNEL_OFPORTS.values():
        yield flow(CLASSIFY, Kind.DROP_PROBE, 60, {"in_port": ofport, "tun_id": PROBE_VNI}, [])
        yield flow(CLASSIFY, Kind.DROP_FOREIGN_TUNNEL, 50, {"in_port": ofport}, [])
    yield flow(CLASSIFY, Kind.DROP_NO_NETWORK, 0, {}, [])
