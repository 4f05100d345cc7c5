"""A network as one chassis sees it: its own ports, the others' VTEPs, the MACs behind them, the neighbors.

The projection is the only place that reads the whole overlay. A view holds just what the flows depend on,
so two overlays with equal views have equal flows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import netaddr

from flows.model import Binding, Chassis, Encap, May, Neighbor, Network, Overlay, Pair, UnknownNeighbor, is_ipv4
from flows.tables import SERVICE_TAG, TAG_PRESENT
from flows.underlay import Way, way
from flows.vteps import accepted, apart

_InNetwork = TypeVar("_InNetwork", Binding, Neighbor)


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A port of this chassis.

    `macs` are those known behind it, `shared` those it may have among others; `learns`: any other may appear as
    well. `ips` and `pairs` are what it may speak for, but for what of that is declared for other ports, `others`: those
    have it, and no other says so. `tag` is the VLAN tag its packets carry, 0 for none.
    """

    ofport: int
    macs: tuple[str, ...]
    learns: bool
    shared: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    pairs: tuple[Pair, ...] = ()
    others: tuple[str, ...] = ()
    may: frozenset[May] = frozenset()
    rate: int = 0
    tag: int = 0
    service_tag: bool = False

    @property
    def out_tag(self) -> int:
        """What stands in `OUT_TAG` for a packet that leaves there."""
        return (TAG_PRESENT | self.tag | (SERVICE_TAG if self.service_tag else 0)) if self.tag else 0

    @property
    def restricted(self) -> bool:
        """Whether it may speak for certain addresses only."""
        return not self.learns and bool(self.ips or self.pairs)

    @property
    def tells(self) -> bool:
        """Whether it may speak for an address that is not declared for it alone."""
        return not self.restricted or bool(self.pairs)

    @property
    def claims(self) -> tuple[tuple[str, str], ...]:
        """(MAC, address or prefix) pairs that a restricted port may speak as; none that another one contains."""
        found = {(self.macs[0], ip) for ip in self.ips} | {(pair.mac or self.macs[0], pair.ip) for pair in self.pairs}
        found |= {(mac, link_local(mac)) for mac in {*self.macs, *self.shared}}
        return _widest(found)

    @property
    def further(self) -> tuple[str, ...]:
        """The MACs whose packets are from what is allowed with each of them alone: all but its own and the shared."""
        return self.macs[1:]

    @property
    def sources(self) -> tuple[str, ...]:
        """Addresses or prefixes that packets of its own MAC and of those it shares may be from, ARP excepted: each of
        these MACs with each of these addresses.

        A router that announces an address with VRRP's MAC announces it from its own address (RFC 5798, section 7.2),
        and Linux sends what it has to say itself as the shared address from its own MAC.
        """
        return tuple(ip for _, ip in _widest({("", ip) for mac, ip in self.claims if mac not in self.further}))


@dataclass(frozen=True, slots=True)
class Member:
    """Another chassis with ports in the network.

    `way` is how packets go to it, `accepts` what is accepted from it, `macs` what is known behind it, `shared` what
    may be there, `learns` whether anything may.
    """

    way: Way
    accepts: tuple[tuple[Encap, str], ...]
    macs: tuple[str, ...]
    learns: bool
    shared: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The addresses its packets come from, sorted."""
        return tuple(sorted({ip for _, ip in self.accepts}))


@dataclass(frozen=True, slots=True)
class Known:
    """A known neighbor.

    `local`: it may be behind a port of this chassis, so that its own question is not to be answered. `ofport`: the port
    of this chassis that it is known to be behind, 0 when it is elsewhere. `router`: it may forward packets (RFC 4861).
    `learned`: it is not declared, so it may move, and be forgotten.
    """

    ip: str
    mac: str
    local: bool
    ofport: int = 0
    router: bool = False
    learned: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """One network on one chassis. Every tuple is sorted, so equal knowledge is an equal value.

    `claimed` are the addresses of known ports that no other may speak for; kept where a port here could.
    `asks` says what becomes of a request for an unknown address of IPv4, and of IPv6, and `gateways` the MACs of
    the gateways, where they are known, in the same order. `sought` are the addresses of gateways that alone would be
    asked, but that nobody is known to have yet.
    """

    vni: int
    ports: tuple[LocalPort, ...]
    members: tuple[Member, ...]
    neighbors: tuple[Known, ...]
    claimed: tuple[str, ...] = ()
    asks: tuple[UnknownNeighbor, UnknownNeighbor] = (UnknownNeighbor.FLOOD, UnknownNeighbor.FLOOD)
    gateways: tuple[str, str] = ("", "")
    sought: tuple[str, ...] = ()
    drops_unknown: bool = False
    drops_multicast: bool = False
    transparent: bool = False

    @property
    def known_macs(self) -> tuple[str, ...]:
        """Every MAC whose place is known, sorted."""
        behind = {mac for member in self.members for mac in member.macs}
        return tuple(sorted(behind | {mac for port in self.ports for mac in port.macs}))

    @property
    def tells(self) -> bool:
        """Whether a port here may speak for an address that is not declared for it alone."""
        return any(port.tells for port in self.ports)


def _widest(claims: set[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Those that no other one contains, sorted; in a time that grows as they do, for a port may have many."""
    found: dict[tuple[str, int, int, int], str] = {}
    for mac, ip in sorted(claims):
        found.setdefault((mac, *_prefix(ip)), ip)
    lengths = {(version, length) for _, version, length, _ in found}
    return tuple(
        sorted(
            (mac, ip)
            for (mac, version, length, network), ip in found.items()
            if not any(
                (mac, version, other, network >> length - other) in found
                for other in range(length)
                if (version, other) in lengths
            )
        )
    )


def _prefix(ip: str) -> tuple[int, int, int]:
    """An address or prefix: the version of IP, the length, and the bits that count."""
    address, _, length = ip.partition("/")
    number = netaddr.IPAddress(address)
    width = 32 if number.version == 4 else 128
    bits = int(length) if length else width
    return number.version, bits, int(number) >> width - bits


def _span(prefix: str) -> tuple[tuple[bool, int], tuple[bool, int]]:
    """The first and the last address of a prefix, as `_number`."""
    network = netaddr.IPNetwork(prefix)
    return (is_ipv4(prefix), network.first), (is_ipv4(prefix), network.last)


@lru_cache(maxsize=65536)
def _number(ip: str) -> tuple[bool, int]:
    """An address in an order in which prefixes are spans."""
    return is_ipv4(ip), int(netaddr.IPAddress(ip))


@lru_cache(4096)
def link_local(mac: str) -> str:
    """The link-local address that a host makes of its MAC (RFC 4291, appendix A)."""
    return str(netaddr.EUI(mac).ipv6_link_local())


def unreachable_pairs(overlay: Overlay) -> list[tuple[str, str, str]]:
    """(network, chassis, chassis) where two members of a network share no encap and address family, sorted."""
    found: set[tuple[str, str, str]] = set()
    for name, bindings in _by_network(overlay.bindings).items():
        members = {binding.chassis for binding in bindings} & set(overlay.chassis)
        found |= {(name, *pair) for pair in apart(overlay.chassis[member] for member in members)}
    return sorted(found)


Whereabouts = tuple[str, str, str]
"""A neighbor's MAC, and the chassis and interface it is known to be behind."""


def known_neighbors(bindings: Iterable[Binding], learned: Iterable[Neighbor]) -> dict[str, Whereabouts]:
    """The whereabouts of each known address of a network.

    What is declared wins over what the operator noted on an undeclared port, and that over what was
    learned: a tenant's packet can't take an address that was given to somebody else.
    """
    found: dict[str, Whereabouts] = {}
    for neighbor in sorted(learned, key=lambda neighbor: (neighbor.ip, neighbor.mac)):
        found[neighbor.ip] = (neighbor.mac, neighbor.chassis, neighbor.interface)
    return found | declared_neighbors(bindings)


def declared_neighbors(bindings: Iterable[Binding]) -> dict[str, Whereabouts]:
    """The same, but for what was learned. A port with an IPv6 address has a link-local one as well.

    While a port is moving it is where it was.
    """
    found: dict[str, Whereabouts] = {}
    ordered = sorted(bindings, key=lambda b: (b.port is not None, not b.standby, b.chassis, b.interface, b.tag))
    for binding in ordered:
        if binding.mac is None:
            continue
        for ip in binding.ips:
            found[ip] = (binding.mac, binding.chassis, binding.interface)
        if binding.secure and not all(map(is_ipv4, binding.ips)):
            found[link_local(binding.mac)] = (binding.mac, binding.chassis, binding.interface)
    return found


def views(overlay: Overlay, chassis: str) -> tuple[View, ...]:
    """What the chassis sees of each network that it has a port in, by VNI."""
    learned: Mapping[str, list[Neighbor]] = _by_network(overlay.neighbors)
    found = []
    for name, bindings in _by_network(overlay.bindings).items():
        network = overlay.networks.get(name)
        if network is not None and any(binding.chassis == chassis for binding in bindings):
            found.append(_view(overlay, chassis, network, bindings, learned.get(name, ())))
    return tuple(sorted(found, key=lambda view: view.vni))


def _view(
    overlay: Overlay, chassis: str, network: Network, bindings: Sequence[Binding], learned: Iterable[Neighbor]
) -> View:
    remote: dict[str, list[Binding]] = defaultdict(list)
    for binding in bindings:
        remote[binding.chassis].append(binding)
    local = remote.pop(chassis)
    here = overlay.chassis[chassis]
    members = {
        other: member
        for other, theirs in remote.items()
        if (there := overlay.chassis.get(other)) is not None
        and (member := _member(here, there, network, theirs)) is not None
    }
    # Who can't be reached is not answered for: no answer says more than lost packets do.
    reached = {chassis, *members}
    seen = [binding for binding in bindings if binding.chassis in reached]
    known = known_neighbors(seen, [neighbor for neighbor in learned if neighbor.chassis in reached])
    routers = {mac for binding in seen if May.ROUTER in binding.may for mac in binding.macs}
    routers |= {known[ip][0] for ip in network.routers if ip in known}
    # Of what is learned behind a port that routers may be behind, one that is none is not known from one that is; and
    # a host that is told that its router is none sends nothing to it any more.
    behind = {(binding.chassis, binding.interface) for binding in seen if May.ROUTER in binding.may}
    routers |= {mac for ip, (mac, *place) in known.items() if tuple(place) in behind}
    declared = declared_neighbors(seen)
    ports = tuple(
        sorted(
            (_local_port(binding, declared) for binding in local),
            key=lambda port: (port.ofport, port.tag),
        )
    )
    own = {mac for port in ports for mac in (*port.macs, *port.shared)}
    at = {(binding.chassis, binding.interface): binding.ofport for binding in local}
    telling = any(port.tells for port in ports)
    return View(
        network.vni,
        ports,
        tuple(sorted(members.values(), key=lambda member: member.way)),
        tuple(
            Known(
                ip,
                mac,
                mac in own or (ip not in declared and telling),
                at.get((on, interface), 0),
                mac in routers,
                ip not in declared,
            )
            for ip, (mac, on, interface) in sorted(known.items())
        ),
        tuple(sorted(declared)) if not all(port.restricted for port in ports) else (),
        _asks(network, bindings, known),
        (_gateway(network, known, True), _gateway(network, known, False)),
        sought(network, known),
        network.drops_unknown,
        network.drops_multicast,
        network.transparent,
    )


def _local_port(binding: Binding, declared: Mapping[str, Whereabouts]) -> LocalPort:
    port = LocalPort(
        binding.ofport,
        binding.macs,
        binding.learns,
        binding.shared,
        binding.ips,
        binding.pairs,
        (),
        binding.may,
        binding.flood_rate,
        binding.tag,
        binding.service_tag,
    )
    return replace(port, others=_others(port, declared)) if port.pairs and port.restricted else port


def _others(port: LocalPort, declared: Mapping[str, Whereabouts]) -> tuple[str, ...]:
    """The addresses that a port may speak for by what it is allowed, and that are declared for other ports."""
    claimed = {ip for _, ip in port.claims}
    prefixes = [_span(ip) for ip in claimed if "/" in ip]
    return tuple(
        sorted(
            ip
            for ip, (mac, *_) in declared.items()
            if mac not in port.macs and (ip in claimed or any(first <= _number(ip) <= last for first, last in prefixes))
        )
    )


def _member(here: Chassis, there: Chassis, network: Network, bindings: Sequence[Binding]) -> Member | None:
    """Another chassis as a member of the network, None where it can't be reached."""
    found = way(here, there, network.encap)
    if found is None:
        return None
    return Member(
        found,
        accepted(here, there),
        tuple(sorted({mac for binding in bindings for mac in binding.macs})),
        any(binding.learns for binding in bindings),
        tuple(sorted({mac for binding in bindings for mac in binding.shared})),
    )


def _asks(
    network: Network, bindings: Sequence[Binding], known: Mapping[str, Whereabouts]
) -> tuple[UnknownNeighbor, UnknownNeighbor]:
    """What becomes of a request for an unknown address, by family."""
    wanted = network.unknown_neighbor
    if wanted is UnknownNeighbor.AUTO:
        some = any(binding.learns or binding.pairs or not binding.ips for binding in bindings)
        wanted = UnknownNeighbor.FLOOD if some else UnknownNeighbor.DROP
    if wanted is not UnknownNeighbor.GATEWAY:
        return wanted, wanted
    four, six = (
        UnknownNeighbor.GATEWAY if _gateway(network, known, ipv4) else UnknownNeighbor.DROP for ipv4 in (True, False)
    )
    return four, six


def sought(network: Network, known: Container[str]) -> tuple[str, ...]:
    """The addresses of gateways that are to be asked for others, and that nobody is known to have; sorted."""
    if network.unknown_neighbor is not UnknownNeighbor.GATEWAY:
        return ()
    return tuple(sorted(ip for ip in network.routers if ip not in known))


def _gateway(network: Network, known: Mapping[str, Whereabouts], ipv4: bool) -> str:
    """The MAC of the network's gateway of a family, '' where there is none or it is not known yet."""
    return next((known[ip][0] for ip in network.routers if is_ipv4(ip) == ipv4 and ip in known), "")


def _by_network(things: Iterable[_InNetwork]) -> dict[str, list[_InNetwork]]:
    grouped: dict[str, list[_InNetwork]] = defaultdict(list)
    for thing in things:
        grouped[thing.network].append(thing)
    return grouped
