"""A network as one chassis sees it: its own ports, the others' VTEPs, the MACs behind them, the neighbors.

The projection is the only place that reads the whole overlay. A view holds just what the flows depend on,
so two overlays with equal views have equal flows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from flows.model import Binding, Chassis, Encap, Neighbor, Network, Overlay, is_ipv4

_InNetwork = TypeVar("_InNetwork", Binding, Neighbor)


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A port of this chassis: its ofport, the MACs that are known behind it, and whether the switch learns there."""

    ofport: int
    macs: tuple[str, ...]
    learns: bool


@dataclass(frozen=True, slots=True)
class Member:
    """Another chassis with ports in the network.

    `encap` is what is used to it, `accepts` what is accepted from it (all that both offer, so that a
    change of encap loses nothing), `macs` what is declared behind it, `learns` whether more may be.
    """

    vtep: str
    encap: Encap
    accepts: tuple[Encap, ...]
    macs: tuple[str, ...]
    learns: bool


@dataclass(frozen=True, slots=True)
class View:
    """One network on one chassis. Every tuple is sorted, so equal knowledge is an equal value."""

    vni: int
    ports: tuple[LocalPort, ...]
    members: tuple[Member, ...]
    neighbors: tuple[tuple[str, str], ...]
    """(IPv4 address, MAC) pairs."""
    drops_unknown: bool = False


def shared_encaps(one: Chassis, other: Chassis) -> tuple[Encap, ...]:
    """The encaps both chassis offer, sorted; empty when they can't reach each other."""
    return tuple(sorted(one.encaps & other.encaps))


def chosen_encap(network: Network, shared: tuple[Encap, ...]) -> Encap:
    """What a pair of chassis uses: the network's encap where both offer it, else one they share."""
    return network.encap if network.encap in shared else shared[0]


def unreachable_pairs(overlay: Overlay) -> list[tuple[str, str, str]]:
    """(network, chassis, chassis) where two members of a network share no encap, sorted."""
    pairs = set()
    for name, bindings in _by_network(overlay.bindings).items():
        members = sorted({binding.chassis for binding in bindings} & set(overlay.chassis))
        for place, one in enumerate(members):
            for other in members[place + 1 :]:
                if not shared_encaps(overlay.chassis[one], overlay.chassis[other]):
                    pairs.add((name, one, other))
    return sorted(pairs)


def known_neighbors(bindings: Iterable[Binding], learned: Iterable[Neighbor]) -> tuple[tuple[str, str], ...]:
    """Each known IPv4 address of a network with its MAC, sorted.

    What is declared wins over what the operator noted on an undeclared port, and that over what was
    learned: a tenant's packet can't take an address that was given to somebody else.
    """
    pairs: dict[str, str] = {}
    for neighbor in sorted(learned, key=lambda neighbor: (neighbor.ip, neighbor.mac)):
        pairs[neighbor.ip] = neighbor.mac
    for binding in sorted(bindings, key=lambda b: (not b.learns, b.chassis, b.interface)):
        for ip in binding.ips:
            if binding.mac is not None and is_ipv4(ip):
                pairs[ip] = binding.mac
    return tuple(sorted(pairs.items()))


def views(overlay: Overlay, chassis: str) -> tuple[View, ...]:
    """What the chassis sees of each network that it has a port in, by VNI."""
    here = overlay.chassis[chassis]
    learned: Mapping[str, list[Neighbor]] = _by_network(overlay.neighbors)
    found = []
    for name, bindings in _by_network(overlay.bindings).items():
        network = overlay.networks.get(name)
        local = [binding for binding in bindings if binding.chassis == chassis]
        if network is None or not local:
            continue
        remote: dict[str, list[Binding]] = defaultdict(list)
        for binding in bindings:
            if binding.chassis != chassis:
                remote[binding.chassis].append(binding)
        members = []
        reached = {chassis}
        for other, theirs in remote.items():
            there = overlay.chassis.get(other)
            shared = shared_encaps(here, there) if there is not None else ()
            if there is not None and shared:
                reached.add(other)
                members.append(
                    Member(
                        there.vtep,
                        chosen_encap(network, shared),
                        shared,
                        tuple(sorted({mac for binding in theirs for mac in binding.macs})),
                        any(binding.learns for binding in theirs),
                    )
                )
        ports = sorted(
            (LocalPort(binding.ofport, binding.macs, binding.learns) for binding in local),
            key=lambda port: port.ofport,
        )
        found.append(
            View(
                network.vni,
                tuple(ports),
                tuple(sorted(members, key=lambda member: member.vtep)),
                # Who can't be reached is not answered for: no answer says more than lost packets do.
                known_neighbors(
                    [binding for binding in bindings if binding.chassis in reached],
                    [neighbor for neighbor in learned.get(name, ()) if neighbor.chassis in reached],
                ),
                network.drops_unknown,
            )
        )
    return tuple(sorted(found, key=lambda view: view.vni))


def _by_network(things: Iterable[_InNetwork]) -> dict[str, list[_InNetwork]]:
    grouped: dict[str, list[_InNetwork]] = defaultdict(list)
    for thing in things:
        grouped[thing.network].append(thing)
    return grouped
