"""What a chassis is to be, and what it needs for that. Values: no database is read or written here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from flows.model import GRE6, TUNNELS, Chassis, TunnelPort, is_ipv4
from ovsdb.remotes import OPENFLOW_PORT, Ssl, Tcp
from ovsdb.snapshot import BRIDGE


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a chassis is to be. `controllers` are OpenFlow targets by the controller's name; `datapath_type` None leaves
    it to the chassis.

    `exits` are (physical network, bridge) pairs that br-int is to be connected to; `mtus` what the interfaces that
    Open vSwitch itself provides are to be set to, by name. `marks` are the entries of br-int's external_ids by which
    the chassis remembers (`ovsdb.marks`). `sourced`: the flows of its switch say from which VTEP a packet leaves.
    """

    chassis: Chassis
    controllers: Mapping[str, str]
    datapath_type: str | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    exits: tuple[tuple[str, str], ...] = ()
    mtus: Mapping[str, int] = field(default_factory=dict)
    sourced: bool = True


def datapath_id(chassis: str) -> str:
    """The stable datapath id of a chassis' br-int: 16 hexadecimal digits made from its name."""
    return "0e70" + blake2b(chassis.encode(), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True)
class Listens:
    """The TCP ports at which we listen for switches, None where not: without TLS, and with it."""

    plain: int | None = OPENFLOW_PORT
    secure: int | None = None


def controller_target(configured: str | None, local_address: str | None, listens: Listens, secure: bool) -> str:
    """The OpenFlow target a chassis is given: the configured one, else our own address as it sees it.

    With TLS where we offer nothing else, or it reaches us (`secure`: or we it) with TLS already.
    """
    if configured:
        return configured
    address = local_address or "127.0.0.1"
    if listens.secure is not None and (secure or listens.plain is None):
        return str(Ssl(address, listens.secure))
    return str(Tcp(address, listens.plain or OPENFLOW_PORT))


def needed(chassis: Chassis) -> tuple[TunnelPort, ...]:
    """The tunnel ports that a chassis needs for its VTEPs."""
    families = {(encap, is_ipv4(vtep.ip)) for vtep in chassis.ends for encap in vtep.encaps}
    return tuple(
        tunnel
        for tunnel in TUNNELS
        if any(encap is tunnel.encap and _carries(tunnel, ipv4) for encap, ipv4 in families)
    )


def _carries(tunnel: TunnelPort, ipv4: bool) -> bool:
    """Whether a tunnel port is for an underlay of that family: GRE has one for each."""
    return tunnel.type == "vxlan" or (tunnel is GRE6) != ipv4


def exit_ports(wanted: Wanted) -> Iterator[tuple[str, str, str]]:
    """The physical network, and the names of a bridge and of our port there, for both ends of each exit."""
    for bridge, physical in {bridge: physical for physical, bridge in reversed(wanted.exits)}.items():
        yield physical, BRIDGE, f"overlay-to-{bridge}"
        yield physical, bridge, f"overlay-of-{bridge}"
