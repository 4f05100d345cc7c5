"""An overlay as what is declared, ready to be asked: who is where, who has what, who reaches whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from flows.model import Binding, Encap, Network, Overlay, Vtep, is_ipv4
from flows.truth.frame import Address, address, link_local, mac_number, prefix

Spot = tuple[str, int, int]
"""(chassis, ofport, VLAN tag): where a port is."""

_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A port in its place, with numbers for addresses."""

    binding: Binding
    spot: Spot
    macs: frozenset[int]
    shared: frozenset[int]
    addresses: frozenset[Address]
    pairs: tuple[tuple[Address, int, int | None], ...]
    """(address, mask, MAC or None for its own)."""

    @property
    def chassis(self) -> str:
        """Where it is."""
        return self.binding.chassis

    @property
    def strict(self) -> bool:
        """Whether it may speak for what is declared for it, and nothing else."""
        return self.binding.secure and bool(self.addresses or self.pairs)

    def speaks_for(self, mac: int, address: Address) -> bool:
        """Whether an address is declared for it, with this MAC."""
        own = bool(self.binding.mac) and mac == mac_number(self.binding.mac or "")
        return (own and address in self.addresses) or any(
            (own if pair is None else pair == mac) and family == address[0] and not (number ^ address[1]) & mask
            for (family, number), mask, pair in self.pairs
        )

    def sends_from(self, mac: int, address: Address) -> bool:
        """Whether its packets may be from an address, with this MAC: its own and those it shares with any of the two.

        VRRP announces from the shared MAC, but from the router's own address (RFC 5798, section 7.2), and the router's
        own packets may be from the shared address.
        """
        if mac in self.shared or (self.binding.mac and mac == mac_number(self.binding.mac)):
            macs = (*self.shared, mac_number(self.binding.mac or "0"))
            return any(self.speaks_for(each, address) or address == link_local(each) for each in macs)
        return self.speaks_for(mac, address)


@dataclass(frozen=True, slots=True)
class Segment:
    """A network with its members, and who has each MAC and address."""

    network: Network
    members: tuple[Member, ...] = ()
    macs: Mapping[int, tuple[Member, ...]] = field(default_factory=dict)
    shared: Mapping[int, tuple[Member, ...]] = field(default_factory=dict)
    addresses: Mapping[Address, tuple[Member, ...]] = field(default_factory=dict)
    link_locals: Mapping[Address, tuple[Member, ...]] = field(default_factory=dict)
    """Those that ports with a guard and an IPv6 address have made of their MACs."""
    seen: Mapping[Address, tuple[int, str, str]] = field(default_factory=dict)
    """Neighbors that told of themselves: (MAC, chassis, interface)."""
    routers: frozenset[Address] = frozenset()
    placed: frozenset[int] = frozenset()
    """MACs that are declared at a place that every chassis with members has a way to."""


@dataclass(frozen=True)
class Declared:
    """An overlay, ready to be asked."""

    overlay: Overlay
    segments: Mapping[str, Segment]
    ports: Mapping[tuple[str, int], Mapping[int, Member]]
    """By chassis and ofport: who is there, by VLAN tag."""
    reach: Mapping[tuple[str, str], tuple[tuple[Encap, Vtep, Vtep], ...]]
    """The tunnels from a chassis to another one."""

    def reaches(self, one: str, other: str) -> bool:
        """Whether packets can get from a chassis to another."""
        return one == other or bool(self.reach[one, other])

    def tunnels(self, network: Network, one: str, other: str) -> tuple[tuple[Encap, Vtep, Vtep], ...]:
        """Those that a network uses between two chassis: its encap where both offer it, IPv4 before IPv6."""
        ways = self.reach[one, other]
        liked = [way for way in ways if way[0] is network.encap] or ways
        return tuple([way for way in liked if is_ipv4(way[1].ip)] or liked)


def same(one: Member, other: Member) -> bool:
    """Whether it is one member, or one declared port at two places: it may be on its way."""
    return one is other or (one.binding.port is not None and one.binding.port == other.binding.port)


def declared(overlay: Overlay) -> Declared:
    """An overlay, ready to be asked."""
    ports: dict[tuple[str, int], dict[int, Member]] = defaultdict(dict)
    by_network: dict[str, list[Member]] = {name: [] for name in overlay.networks}
    for binding in overlay.bindings:
        member = Member(
            binding,
            (binding.chassis, binding.ofport, binding.tag),
            frozenset(map(mac_number, binding.macs)),
            frozenset(map(mac_number, binding.shared)),
            frozenset(map(address, binding.ips)),
            tuple((*prefix(pair.ip), mac_number(pair.mac) if pair.mac else None) for pair in binding.pairs),
        )
        ports[binding.chassis, binding.ofport][binding.tag] = member
        by_network[binding.network].append(member)
    hosts = overlay.chassis.values()
    reach = {
        (one.name, other.name): tuple(
            (encap, here, there)
            for here in one.vteps
            for there in other.vteps
            if is_ipv4(here.ip) == is_ipv4(there.ip)
            for encap in sorted(here.encaps & there.encaps)
        )
        for one in hosts
        for other in hosts
    }
    segments = {}
    for name, members in by_network.items():
        network = overlay.networks[name]
        known_by_all = {
            there
            for there in overlay.chassis
            if all(each.chassis == there or reach[each.chassis, there] for each in members)
        }
        segments[name] = Segment(
            network,
            tuple(members),
            _by((mac, each) for each in members for mac in each.macs),
            _by((mac, each) for each in members for mac in each.shared),
            _by((ip, each) for each in members for ip in each.addresses),
            _by(
                (link_local(mac_number(each.binding.mac)), each)
                for each in members
                if each.binding.mac and each.binding.secure and any(ip[0] == 6 for ip in each.addresses)
            ),
            {
                address(each.ip): (mac_number(each.mac), each.chassis, each.interface)
                for each in overlay.neighbors
                if each.network == name
            },
            frozenset(map(address, network.routers)),
            frozenset(mac for each in members if each.chassis in known_by_all for mac in each.macs),
        )
    return Declared(overlay, segments, ports, reach)


def _by(items: Iterable[tuple[_Key, Member]]) -> Mapping[_Key, tuple[Member, ...]]:
    found: dict[_Key, tuple[Member, ...]] = {}
    for key, member in items:
        found[key] = (*found.get(key, ()), member)
    return found
