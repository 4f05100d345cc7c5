"""The overlay as frozen values: what `ovsdb/snapshot` makes of rows and `compile` reads.

Addresses are kept in one canonical spelling (MACs `02:00:00:00:00:01`, IPs as netaddr prints them), so
equal things compare equal. Nothing here knows where a value came from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MAX_VNI: Final = (1 << 24) - 1
"""The largest VNI (RFC 7348); 0 is not used, for a GRE packet without a key has it."""

PROBE_VNI: Final = 0
"""What a probe through a tunnel carries: no network's VNI, so it ends at the other side's classify."""


class Encap(StrEnum):
    """The kind of a tunnel."""

    VXLAN = "vxlan"
    GRE = "gre"


TUNNEL_OFPORTS: Final[Mapping[Encap, int]] = {Encap.VXLAN: 65001, Encap.GRE: 65002}
"""The fixed ofport of each encap's tunnel port, on every chassis."""
TUNNEL_NAMES: Final[Mapping[Encap, str]] = {Encap.VXLAN: "overlay-vxlan", Encap.GRE: "overlay-gre"}
"""The name of each encap's tunnel port, on every chassis."""


def vni(written: int | str) -> int:
    """A VNI from its written form; ValueError unless it is in 1..2^24-1."""
    if isinstance(written, str) and not re.fullmatch(r"-?[0-9]+", written):
        raise ValueError(f"VNI {written!r} is not a number")
    number = int(written)
    if not 1 <= number <= MAX_VNI:
        raise ValueError(f"VNI {number} is not in 1..{MAX_VNI}")
    return number


def mac(written: str) -> str:
    """A unicast MAC in canonical spelling; ValueError when it is none."""
    if not _MAC.fullmatch(written):
        raise ValueError(f"MAC {written!r} is not of the form 02:00:00:00:00:01")
    value = int(re.sub("[:-]", "", written), 16)
    spelled = ":".join(f"{octet:02x}" for octet in value.to_bytes(6, "big"))
    if value >> 40 & 1:
        raise ValueError(f"MAC {spelled} is a group address; a port needs a unicast one")
    if value == 0:
        raise ValueError(f"MAC {spelled} is no address of a port")
    return spelled


def ip(written: str) -> str:
    """A unicast address, IPv4 or IPv6, in canonical spelling (RFC 5952 for v6); ValueError when it is none."""
    import netaddr  # takes as long as a whole command that needs MACs and VNIs alone

    try:
        address = netaddr.IPAddress(written, 6 if ":" in written else 4, flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError, TypeError):
        raise ValueError(f"IP {written!r} is not an IP address such as 10.0.0.1 or 2001:db8::1") from None
    if address.is_multicast() or address.is_loopback() or int(address) in (0, 0xFFFFFFFF):
        raise ValueError(f"IP {address} is not a unicast address")
    return str(address)


def is_ipv4(ip: str) -> bool:
    """Whether an address in canonical spelling is of IPv4."""
    return ":" not in ip


_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(\1[0-9A-Fa-f]{2}){4}")


@dataclass(frozen=True, slots=True)
class Chassis:
    """A host that runs OVS: the address its tunnels end at, and the encaps it offers."""

    name: str
    vtep: str
    encaps: frozenset[Encap] = frozenset(Encap)


@dataclass(frozen=True, slots=True)
class Network:
    """A layer-2 domain of one tenant. `encap` is what its chassis use where both ends offer it.

    `drops_unknown`: a unicast packet whose destination nobody knows is dropped, not flooded. `details` is
    what is declared beside, as JSON: nothing here depends on it.
    """

    name: str
    tenant: str
    vni: int
    encap: Encap = Encap.VXLAN
    drops_unknown: bool = False
    details: str = ""


@dataclass(frozen=True, slots=True)
class Port:
    """A declared port: its MAC and addresses are known before it is plugged in anywhere.

    `extra_macs` are further MACs behind it; one that is not `enabled` is not bound, wherever it is plugged in.
    `details` is what is declared beside, as JSON: nothing here depends on it.
    """

    name: str
    network: str
    mac: str
    ips: tuple[str, ...] = ()
    extra_macs: tuple[str, ...] = ()
    enabled: bool = True
    details: str = ""

    @property
    def macs(self) -> tuple[str, ...]:
        """Every MAC of the port, the one its addresses belong to first."""
        return (self.mac, *self.extra_macs)


@dataclass(frozen=True, slots=True)
class Plug:
    """An interface of br-int that asks to join: what `external_ids` say, as the operator wrote it.

    `iface_id` names a declared port; else `vni` (as written) names a network. `ofport` is 0 until Open
    vSwitch has given one and -1 when it can't, for the reason in `fault`.
    """

    chassis: str
    interface: str
    ofport: int
    iface_id: str | None = None
    vni: str | None = None
    attached_mac: str | None = None
    overlay_ip: str | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """A port in its place: an ofport of a chassis, in a network.

    `port` names the declared port, or is None; `mac`, `ips` and `extra_macs` are what is known of it. Behind
    a port that is not declared any MAC may appear, and is learned.
    """

    chassis: str
    interface: str
    ofport: int
    network: str
    port: str | None = None
    mac: str | None = None
    ips: tuple[str, ...] = ()
    extra_macs: tuple[str, ...] = ()

    @property
    def macs(self) -> tuple[str, ...]:
        """Every MAC that is known to be behind it, the one its addresses belong to first."""
        return (self.mac, *self.extra_macs) if self.mac is not None else ()

    @property
    def learns(self) -> bool:
        """Whether the switch learns the MACs behind it."""
        return self.port is None


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A learned IP/MAC pair of a network, and the binding (chassis, interface) it was seen on."""

    network: str
    ip: str
    mac: str
    chassis: str
    interface: str


@dataclass(frozen=True)
class Overlay:
    """Everything `compile` reads: chassis and networks by name, bindings, and learned neighbors."""

    chassis: Mapping[str, Chassis] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    bindings: tuple[Binding, ...] = ()
    neighbors: tuple[Neighbor, ...] = ()
