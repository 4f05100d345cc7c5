"""What a switch has dropped, told in words of the overlay: chassis, network, port, reason. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from controller.wire import FlowStats, MeterStats
from flows.flow import Flow, kind_of
from flows.model import TUNNELS, Binding, Overlay
from flows.plan import Key
from flows.tables import OVER_FLOOD_RATE
from ovsdb.status import Drop

_TUNNELS: Final = {tunnel.ofport: tunnel.name for tunnel in TUNNELS}


def drops(
    chassis: str,
    overlay: Overlay,
    desired: Mapping[Key, Flow],
    stats: Iterable[FlowStats],
    meters: Iterable[MeterStats] = (),
) -> tuple[Drop, ...]:
    """The drops of a chassis, sorted: one row for each reason, network and port, whatever the number of flows.

    A flow that drops has a match on what it is about: the network by its VNI, and the port where it concerns one.
    The meter of what a port sends to all has the number of its ofport, whatever number of networks it is in.
    """
    networks = {network.vni: name for name, network in overlay.networks.items()}
    bindings = {(b.network, b.ofport): b for b in overlay.bindings if b.chassis == chassis}
    counted: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in stats:
        kind = kind_of(row.cookie)
        if kind is None or not kind.is_drop:
            continue
        flow = desired.get(row.key)
        match = {name: value for name, value, _ in flow.match} if flow is not None else {}
        network = networks.get(match.get("metadata", 0), "")
        ofport = match.get("in_port", 0)
        binding = bindings.get((network, ofport))
        port = (binding.port or "") if binding is not None else ""
        interface = binding.interface if binding is not None else _TUNNELS.get(ofport, "")
        total = counted[kind.label, network, port, interface]
        total[0] += row.packets
        total[1] += row.octets
    at: dict[int, list[Binding]] = defaultdict(list)
    for (_, ofport), binding in bindings.items():
        at[ofport].append(binding)
    for meter in meters:
        here = at.get(meter.id, [])
        if here and meter.packets:
            one = here[0] if len(here) == 1 else None
            place = (one.network, one.port or "") if one is not None else ("", "")
            counted[OVER_FLOOD_RATE, *place, here[0].interface] = [meter.packets, meter.octets]
    return tuple(
        Drop(chassis, reason, packets, octets, network or None, port or None, interface or None)
        for (reason, network, port, interface), (packets, octets) in sorted(counted.items())
    )
