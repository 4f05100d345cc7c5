"""Table classify: where a packet came in, and its tag there, give it its network. The only place that sets the VNI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from flows.compile.headers import tunnel_source
from flows.compile.view import View
from flows.flow import Action, Flow, Goto, Match, PopVlan, flow, set_field
from flows.model import PROBE_VNI, TUNNELS, Encap, tunnels_from
from flows.tables import CLASSIFY, FROM_TUNNEL, IN_TAG, ORIGIN, TAG_PRESENT, TAGS, Kind

_TAG: int = TAG_PRESENT | 0xFFF
"""The bits of `vlan_tci` that are the tag and its number, without its priority."""


def classify(view: View) -> Iterator[Flow]:
    """Each local port, and each VTEP that may send for the network.

    Behind a trunk port it is the tag that counts; it ends here.
    """
    network = set_field("metadata", view.vni)
    for port in view.ports:
        steps: list[Action] = [network, Goto(TAGS)]
        if port.tag:
            match: Match = {"in_port": port.ofport, "vlan_tci": (TAG_PRESENT | port.tag, _TAG)}
            yield flow(CLASSIFY, Kind.LOCAL_PORT, 110, match, [PopVlan(), set_field(IN_TAG, port.out_tag), *steps])
        else:
            yield flow(CLASSIFY, Kind.LOCAL_PORT, 100, {"in_port": port.ofport}, steps)
    for member in view.members:
        for encap, ip in member.accepts:
            for tunnel in tunnels_from(encap, ip):
                yield flow(
                    CLASSIFY,
                    Kind.VTEP,
                    100,
                    {"in_port": tunnel.ofport, "tun_id": view.vni, **tunnel_source(ip)},
                    [network, set_field(ORIGIN, FROM_TUNNEL), Goto(TAGS)],
                )


Source = tuple[Encap, str]
"""Where packets come from: an encap and a VTEP's address."""


def sources(views: Iterable[View]) -> frozenset[Source]:
    """Everything that packets of any network are taken from."""
    return frozenset(source for view in views for member in view.members for source in member.accepts)


@lru_cache(maxsize=4096)
def probes(source: Source) -> tuple[Flow, ...]:
    """What counts the probes from there."""
    encap, ip = source
    return tuple(
        flow(
            CLASSIFY,
            Kind.DROP_PROBE,
            70,
            {"in_port": tunnel.ofport, "tun_id": PROBE_VNI, **tunnel_source(ip)},
            [],
        )
        for tunnel in tunnels_from(encap, ip)
    )


def misses() -> Iterator[Flow]:
    """All else is dropped; what came by a tunnel is counted apart, for it should not happen at all."""
    for tunnel in TUNNELS:
        yield flow(CLASSIFY, Kind.DROP_PROBE, 60, {"in_port": tunnel.ofport, "tun_id": PROBE_VNI}, [])
        yield flow(CLASSIFY, Kind.DROP_FOREIGN_TUNNEL, 50, {"in_port": tunnel.ofport}, [])
    yield flow(CLASSIFY, Kind.DROP_NO_NETWORK, 0, {}, [])
