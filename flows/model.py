"""The overlay as frozen values: what `ovsdb/snapshot` makes of rows and `compile` reads.

Addresses are kept in one canonical spelling (MACs `02:00:00:00:00:01`, IPs as netaddr prints them), so
equal things compare equal. Nothing here knows where a value came from.
"""

from __future__ import annotations

import ipaddress
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


@dataclass(frozen=True, slots=True)
class TunnelPort:
    """A tunnel port of br-int: one for each kind on a chassis, whatever the number of VTEPs (`remote_ip=flow`)."""

    name: str
    type: str
    """The type of its Interface row (ovs-vswitchd.conf.db(5))."""
    ofport: int
    encap: Encap


VXLAN: Final = TunnelPort("overlay-vxlan", "vxlan", 65001, Encap.VXLAN)
GRE: Final = TunnelPort("overlay-gre", "gre", 65002, Encap.GRE)
GRE6: Final = TunnelPort("overlay-gre6", "ip6gre", 65003, Encap.GRE)
"""The kernel has a device of its own for GRE over IPv6; a VXLAN port serves both families."""
TUNNELS: Final = (VXLAN, GRE, GRE6)
"""Every tunnel port that a chassis may have; name and ofport are the same on all."""


def tunnel_to(encap: Encap, ip: str) -> TunnelPort:
    """The tunnel port by which packets leave for a VTEP."""
    return VXLAN if encap is Encap.VXLAN else GRE if is_ipv4(ip) else GRE6


def tunnels_from(encap: Encap, ip: str) -> tuple[TunnelPort, ...]:
    """The tunnel ports by which packets of a VTEP may come in.

    The userspace datapath hands all GRE, of either family, to whichever of the two GRE ports it was given first.
    """
    return (GRE, GRE6) if encap is Encap.GRE else (tunnel_to(encap, ip),)


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


def vtep_ip(written: str) -> str:
    """The address of a VTEP in canonical spelling; ValueError when other hosts can't send to it."""
    found = ip(written)
    if is_ipv4(found):
        return found
    address = ipaddress.IPv6Address(found)
    if address.ipv4_mapped is not None:
        raise ValueError(f"VTEP {found} is an IPv4 address in IPv6 spelling; write {address.ipv4_mapped}")
    if address.is_link_local:
        raise ValueError(f"VTEP {found} is link-local, which leads nowhere without an interface; give a global address")
    return found


def is_ipv4(ip: str) -> bool:
    """Whether an address in canonical spelling is of IPv4."""
    return ":" not in ip


_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(\1[0-9A-Fa-f]{2}){4}")


class UnknownNeighbor(StrEnum):
    """What becomes of a request (ARP, neighbor solicitation) for an address that nobody is known to have.

    AUTO floods it where somebody might have it: a port that is not declared, has no guard, or no addresses.
    """

    AUTO = "auto"
    FLOOD = "flood"
    GATEWAY = "gateway"
    DROP = "drop"


class May(StrEnum):
    """What a port sends only when it is allowed to: a server's DHCP messages, router advertisements and redirects."""

    DHCP_SERVER = "dhcp-server"
    ROUTER = "router"


UNDERLAY_MTU: Final = 1500
"""The MTU of an underlay of which nothing else is said (Ethernet)."""
FLOOD_RATE: Final = 5000
"""Broadcast, unknown unicast and multicast packets per second that a port may send when nothing else is said."""


@dataclass(frozen=True, slots=True)
class Vtep:
    """A tunnel end: an address of either family, the encaps it offers, and the MTU of its underlay in octets."""

    ip: str
    encaps: frozenset[Encap] = frozenset(Encap)
    mtu: int = UNDERLAY_MTU


@dataclass(frozen=True, slots=True)
class Chassis:
    """A host that runs OVS, and where its tunnels end.

    `bridges` are (physical network, bridge) pairs: where the host is connected to networks that are no overlay.
    `besides` are VTEPs that it is about to have, or had a moment ago: what comes by them is accepted, but nothing is
    sent by them.
    """

    name: str
    vteps: tuple[Vtep, ...]
    bridges: tuple[tuple[str, str], ...] = ()
    besides: tuple[Vtep, ...] = ()

    @property
    def ends(self) -> tuple[Vtep, ...]:
        """Every VTEP by which packets may come."""
        return (*self.vteps, *self.besides)

    @property
    def encaps(self) -> frozenset[Encap]:
        """The encaps that any of its VTEPs offers."""
        return frozenset(encap for vtep in self.vteps for encap in vtep.encaps)


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where a network goes on outside of the overlay: a physical network, the VLAN there, and the one active chassis.

    VLAN 0 is untagged.
    """

    physical: str
    vlan: int
    chassis: str


@dataclass(frozen=True, slots=True)
class Network:
    """A layer-2 domain of one tenant. `encap` is what its chassis use where both ends offer it.

    `drops_unknown`: a unicast packet whose destination nobody knows is dropped, not flooded; `drops_multicast`:
    so are multicast packets but for those of the links themselves (RFC 4541, section 2.1.2). `routers` are the
    addresses of its gateways. `transparent`: what its ports send may carry VLAN tags, which stay as they are.
    `mtu` is what was declared, None for what its tunnels carry. `details` is what is declared beside, as JSON:
    nothing here depends on it.
    """

    name: str
    tenant: str
    vni: int
    encap: Encap = Encap.VXLAN
    drops_unknown: bool = False
    details: str = ""
    unknown_neighbor: UnknownNeighbor = UnknownNeighbor.AUTO
    drops_multicast: bool = False
    routers: tuple[str, ...] = ()
    transparent: bool = False
    mtu: int | None = None
    gateway: Gateway | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """What a port may send as besides itself: an address or prefix, from its own MAC or from another one."""

    ip: str
    mac: str | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A declared port: its MAC and addresses are known before it is plugged in anywhere.

    `extra_macs` are further MACs behind it; one that is not `enabled` is not bound, wherever it is plugged in.
    A `secure` one may send as itself and its `pairs` only, and `may` what it is allowed to. `flood_rate` is what
    it may send to all, in packets per second, 0 for any number. One with a `parent` is plugged in wherever that
    is, with the VLAN `tag`; `service_tag`: of 802.1ad, and what it carries may have tags of its own.
    `details` is what is declared beside, as JSON: nothing here depends on it.
    """

    name: str
    network: str
    mac: str
    ips: tuple[str, ...] = ()
    extra_macs: tuple[str, ...] = ()
    enabled: bool = True
    details: str = ""
    secure: bool = True
    pairs: tuple[Pair, ...] = ()
    may: frozenset[May] = frozenset()
    flood_rate: int = FLOOD_RATE
    parent: str | None = None
    tag: int = 0
    service_tag: bool = False

    @property
    def macs(self) -> tuple[str, ...]:
        """Every MAC of the port, the one its addresses belong to first."""
        return (self.mac, *self.extra_macs)


@dataclass(frozen=True, slots=True)
class Plug:
    """An interface of br-int that asks to join: what `external_ids` say, as the operator wrote it.

    `iface_id` names a declared port; else `vni` (as written) names a network. `trunk` (as written) says which
    VNI each VLAN tag is: `100=5001,200=5002`. `ofport` is 0 until Open vSwitch has given one and -1 when it can't,
    for the reason in `fault`.
    """

    chassis: str
    interface: str
    ofport: int
    iface_id: str | None = None
    vni: str | None = None
    attached_mac: str | None = None
    overlay_ip: str | None = None
    fault: str = ""
    trunk: str | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """A port in its place: an ofport of a chassis, in a network.

    `port` names the declared port, or is None; `mac`, `ips` and what follows are what is known of it. Behind a port
    that is not declared, or not `secure`, any MAC may appear, and is learned. `tag` is the VLAN tag that its packets
    carry there, 0 for none. `standby`: the port is moving here, and was bound elsewhere before. `gateway`: the way out
    of the overlay.
    """

    chassis: str
    interface: str
    ofport: int
    network: str
    port: str | None = None
    mac: str | None = None
    ips: tuple[str, ...] = ()
    extra_macs: tuple[str, ...] = ()
    secure: bool = False
    pairs: tuple[Pair, ...] = ()
    may: frozenset[May] = frozenset()
    flood_rate: int = FLOOD_RATE
    tag: int = 0
    service_tag: bool = False
    standby: bool = False
    gateway: bool = False

    @property
    def macs(self) -> tuple[str, ...]:
        """Every MAC that is known to be behind it, the one its addresses belong to first."""
        return (self.mac, *self.extra_macs) if self.mac is not None else ()

    @property
    def learns(self) -> bool:
        """Whether any MAC may be behind it; the switch learns them."""
        return not self.secure

    @property
    def shared(self) -> tuple[str, ...]:
        """MACs that it may have among others (VRRP's); the switch learns where each of them is at present."""
        return tuple(sorted({pair.mac for pair in self.pairs if pair.mac is not None} - set(self.macs)))


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
