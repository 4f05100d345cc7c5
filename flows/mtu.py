"""How large a packet of a network may be: what its tunnels carry, and which pair of chassis carries least. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flows.model import Chassis, Encap, Network
from flows.underlay import way


@dataclass(frozen=True, slots=True, order=True)
class Carried:
    """The largest packet that some pair of chassis carries, in octets without Ethernet header, and that pair."""

    mtu: int
    one: str
    other: str
    encap: Encap


def carried(chassis: Mapping[str, Chassis], preferred: Encap) -> Carried | None:
    """The least that any two chassis carry, in a network that prefers this encap; None where no two share a tunnel.

    Of all chassis, whether they have ports in the network or not: it is what those who configure its hosts need to
    know, and ports come and go. Chassis with VTEPs of the same kinds count as one, so it takes no time with many.
    """
    kinds: dict[object, list[Chassis]] = {}
    for _, each in sorted(chassis.items()):
        kinds.setdefault(frozenset((":" in v.ip, v.encaps, v.mtu) for v in each.vteps), []).append(each)
    groups = [each[:2] for each in kinds.values()]
    some = [each for group in groups for each in group]
    found = [
        Carried(there.limit, one.name, other.name, there.encap)
        for place, one in enumerate(some)
        for other in some[place + 1 :]
        if (there := way(one, other, preferred)) is not None
    ]
    return min(found, default=None)


def network_mtu(network: Network, chassis: Mapping[str, Chassis]) -> int | None:
    """What the hosts of a network should use: as declared, else what its tunnels carry; None where neither is known."""
    if network.mtu is not None:
        return network.mtu
    least = carried(chassis, network.encap)
    return least.mtu if least is not None else None
