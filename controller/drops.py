"""What a switch has dropped, told in words of the overlay: chassis, network, port, reason. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controller.wire import FlowStats, MeterStats
from flows.flow import Controller, Flow, kind_of
from flows.model import TUNNELS, Binding, Overlay
from flows.plan import Key
from flows.tables import DROP, OVER_FLOOD_RATE, Kind
from ovsdb.status import Drop

_TUNNELS: Final = {tunnel.ofport: tunnel.name for tunnel in TUNNELS}


def drops(
    chassis: str,
    overlay: Overlay,
    desired: Mapping[Key, Flow],
    stats: Iterable[FlowStats],
    meters: Iterable[MeterStats],
) -> tuple[Drop, ...]:
    """The drops of a chassis, sorted: one row for each reason, network and port, whatever the number of flows.

    A flow that drops has a match on what it is about: the network by its VNI, and the port where it concerns one.
    `meters` count for packets that are too large: of those that Open vSwitch measures it counts every one for both ways
    on, that of the large and that of the small. A port that is in several networks has one such meter, and one of what
    it sends to all, with the number of its ofport.
    """
    large = dict(_large(desired.values()))
    networks = {network.vni: name for name, network in overlay.networks.items()}
    bindings = {(b.network, b.ofport): b for b in overlay.bindings if b.chassis == chassis}
    counted: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in stats:
        kind = kind_of(row.cookie)
        if kind is None or not kind.is_drop or kind is Kind.DROP_TOO_LARGE:
            continue
        flow = desired.get(row.key)
        match = {name: value for name, value, _ in flow.match} if flow is not None else {}
        if row.table == DROP.id and "in_port" in match and not row.packets:
            continue  # of every port for every reason
        network = networks.get(match.get("metadata", 0), "")
        place = _place(bindings.get((network, match.get("in_port", 0))), match.get("in_port", 0))
        total = counted[kind.label, network, *place]
        total[0] += row.packets
        total[1] += row.octets
    metered = {meter.id: meter for meter in meters}
    for id, (ofport, vnis) in large.items():
        names = sorted(networks.get(vni, "") for vni in vnis)
        port, interface = _place(bindings.get((names[0], ofport)), ofport)
        network, port = (names[0], port) if len(names) == 1 else ("", "")
        if id in metered:
            counted[Kind.DROP_TOO_LARGE.label, network, port, interface] = [metered[id].packets, metered[id].octets]
    at: dict[int, list[Binding]] = defaultdict(list)
    for (_, ofport), binding in bindings.items():
        at[ofport].append(binding)
    for id, here in at.items():
        if id in metered and metered[id].dropped:
            one = here[0] if len(here) == 1 else None
            place = (one.network, one.port or "") if one is not None else ("", "")
            counted[OVER_FLOOD_RATE, *place, here[0].interface] = [metered[id].dropped, metered[id].dropped_octets]
    return tuple(
        Drop(chassis, reason, packets, octets, network or None, port or None, interface or None)
        for (reason, network, port, interface), (packets, octets) in sorted(counted.items())
    )


def _place(binding: Binding | None, ofport: int) -> tuple[str, str]:
    """The port and interface that a flow is about, '' where it is about none."""
    if binding is not None:
        return binding.port or "", binding.interface
    return "", _TUNNELS.get(ofport, "")


def _large(flows: Iterable[Flow]) -> Iterator[tuple[int, tuple[int, set[int]]]]:
    """The meters of copies of packets that are too large: the ofport, and the VNIs of its networks."""
    vnis: dict[tuple[int, int], set[int]] = defaultdict(set)
    for flow in flows:
        for action in flow.actions if flow.kind is Kind.DROP_TOO_LARGE else ():
            if isinstance(action, Controller):
                match = {name: value for name, value, _ in flow.match}
                vnis[action.meter, match["in_port"]].add(match["metadata"])
    for (meter, ofport), found in vnis.items():
        yield meter, (ofport, found)
