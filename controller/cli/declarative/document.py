"""What a declarative file says, and what a database declares, as frozen values of one form. Pure.

Sets are tuples in one order, so that what is the same compares equal; optional columns are None when they are empty.
What only the controller writes is in none of them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

VERSION: Final = 1
"""The version of the format."""
AUTO: Final = "auto"
"""Written for a MAC: the one the port has, else one that is chosen."""
FAMILIES: Final = {"auto": (4, 6), "auto4": (4,), "auto6": (6,)}
"""Written for an address: the one the port has, else one that is chosen; `auto` is for each family with a subnet."""
ENCAPS: Final = ("vxlan", "gre")

Pairs = Mapping[str, str]
"""Keys and values that belong to whoever wrote them."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who owns networks."""

    name: str
    description: str = ""
    external_ids: Pairs = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Network:
    """A layer-2 domain of one tenant."""

    name: str
    tenant: str
    vni: int
    encap: str = "vxlan"
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    mtu: int | None = None
    unknown_unicast: str | None = None
    unknown_neighbor: str | None = None
    multicast: str | None = None
    vlan_transparent: bool | None = None
    physical: str | None = None
    physical_vlan: int | None = None
    gateway_chassis: str | None = None
    description: str = ""
    external_ids: Pairs = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Port:
    """A place where a VM or container plugs in. In a file `mac` may be `AUTO`, and of `ips` some `FAMILIES`."""

    name: str
    network: str
    mac: str
    extra_macs: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    allowed_pairs: tuple[str, ...] = ()
    security: bool | None = None
    enabled: bool | None = None
    may: tuple[str, ...] = ()
    flood_rate: int | None = None
    parent: str | None = None
    tag: int | None = None
    service_tag: bool | None = None
    description: str = ""
    external_ids: Pairs = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vtep:
    """Where tunnels end; no encaps are all of them, and no MTU is the usual one of an underlay."""

    ip: str
    encaps: tuple[str, ...] = ()
    mtu: int | None = None

    def __str__(self) -> str:
        said = [*self.encaps, *([f"MTU {self.mtu}"] if self.mtu is not None else [])]
        return f"{self.ip} ({', '.join(said)})" if said else self.ip


@dataclass(frozen=True, slots=True)
class Chassis:
    """A host that runs OVS."""

    name: str
    ovsdb: str
    vteps: tuple[Vtep, ...]
    datapath: str | None = None
    controller: str | None = None
    bridges: Pairs = field(default_factory=dict)
    description: str = ""
    external_ids: Pairs = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the overlay database's server listens, or connects to."""

    target: str
    role: str = ""
    read_only: bool | None = None
    inactivity_probe: int | None = None
    max_backoff: int | None = None


@dataclass(frozen=True)
class Document:
    """The sections of a file, or of a database, by name; a section that is None is not there, and left alone.

    `stated` are the networks of which `ports` has every port; the ports of the others are left alone.
    """

    tenants: Mapping[str, Tenant] | None = None
    networks: Mapping[str, Network] | None = None
    ports: Mapping[str, Port] = field(default_factory=dict)
    stated: frozenset[str] = frozenset()
    chassis: Mapping[str, Chassis] | None = None
    connections: Mapping[str, Connection] | None = None
    options: Pairs | None = None
    external_ids: Pairs | None = None


def ordered(values: Iterable[str]) -> tuple[str, ...]:
    """Addresses, subnets, ranges or pairs in their order: IPv4 by value, IPv6 by value, then the rest."""
    return tuple(sorted(values, key=_order))


def encaps(values: Iterable[str]) -> tuple[str, ...]:
    """Encaps in their usual order."""
    found = set(values)
    return tuple(kind for kind in ENCAPS if kind in found)


def _order(text: str) -> tuple[int, bytes, str]:
    first = text.partition("-")[0].partition("/")[0]
    family = socket.AF_INET6 if ":" in first else socket.AF_INET
    try:
        return int(family), socket.inet_pton(family, first), text
    except (OSError, ValueError):
        return 1 << 8, b"", text
