"""A topology as plain values: which chassis, networks and VMs a lab is built from. Builds nothing.

Addresses of the fabric follow from the order of the chassis: the n-th has management address 198.51.100.n,
and by convention VTEPs 192.0.2.n and 2001:db8::n. VMs of different tenants may carry the very same MACs and addresses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Final

from flows.model import UNDERLAY_MTU, Chassis, Encap, Gateway, Network, UnknownNeighbor, Vtep
from flows.vteps import accepted, overhead

CONTROLLER: Final = "controller"
"""The namespace (and Mininet host) the controller runs in."""
UNDERLAY: Final = "underlay"
"""The namespace that holds the underlay's and the management network's bridge."""
CONTROLLER_ADDRESS: Final = "198.51.100.254"
PREFIX: Final = 24
"""The prefix length of every IPv4 network of a lab: underlay, management, and the tenants'."""
PREFIX6: Final = 64
"""The same for IPv6."""
FIRST_UNDERLAY: Final = ("192.0.2.0/24", "2001:db8::/64")
"""The prefixes of the underlay that every lab has."""
INTERFACE_NAME_MAX: Final = 15

_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Vm:
    """A guest: its port's name is its own. Not declared means that only its VNI is told to Open vSwitch."""

    name: str
    network: str
    chassis: str
    mac: str
    ip: str
    declared: bool = True


@dataclass(frozen=True, slots=True)
class PhysicalHost:
    """A host of a physical network, outside of the overlay; VLAN 0 is untagged."""

    name: str
    physical: str
    mac: str
    ip: str
    vlan: int = 0


@dataclass(frozen=True, slots=True)
class Topology:
    """What a lab is built from, with one line and a picture for those who choose.

    `underlays` are the prefixes of each underlay network; a chassis has a NIC in those that it has a VTEP in.
    Physical networks, with their `hosts`, are those that the chassis have bridges to.
    """

    name: str
    title: str
    chassis: tuple[Chassis, ...]
    networks: tuple[Network, ...]
    vms: tuple[Vm, ...]
    picture: str = ""
    underlays: tuple[tuple[str, ...], ...] = (FIRST_UNDERLAY,)
    hosts: tuple[PhysicalHost, ...] = ()


def vm(topology: Topology, name: str) -> Vm:
    """The VM of that name; KeyError when there is none."""
    return _named(topology.vms, name, "VM")


def chassis(topology: Topology, name: str) -> Chassis:
    """The chassis of that name; KeyError when there is none."""
    return _named(topology.chassis, name, "chassis")


def network(topology: Topology, name: str) -> Network:
    """The network of that name; KeyError when there is none."""
    return _named(topology.networks, name, "network")


def host(topology: Topology, name: str) -> PhysicalHost:
    """The physical host of that name; KeyError when there is none."""
    return _named(topology.hosts, name, "physical host")


def underlay(topology: Topology, ip: str) -> int:
    """Which underlay a VTEP's address is in, by its number; KeyError when it is in none."""
    for number, prefixes in enumerate(topology.underlays):
        if any(ip_address(ip) in ip_network(prefix) for prefix in prefixes):
            return number
    raise KeyError(f"{ip} is in no underlay of this topology")


def vteps_by_underlay(topology: Topology, chassis: Chassis) -> dict[int, tuple[Vtep, ...]]:
    """The VTEPs of a chassis in each underlay that it has some in."""
    numbers = sorted({underlay(topology, vtep.ip) for vtep in chassis.vteps})
    return {
        number: tuple(vtep for vtep in chassis.vteps if underlay(topology, vtep.ip) == number) for number in numbers
    }


def physical_networks(topology: Topology) -> tuple[str, ...]:
    """The names of the physical networks, sorted."""
    return tuple(sorted({physical for each in topology.chassis for physical, _ in each.bridges}))


def reaches(topology: Topology, one: Vm, other: Vm) -> bool:
    """Whether two VMs should reach each other: in one network, on chassis that share encap and address family."""
    here, there = chassis(topology, one.chassis), chassis(topology, other.chassis)
    shares = here == there or bool(accepted(here, there))
    return one.network == other.network and shares


def vm_mtu(topology: Topology) -> int:
    """What a VM may send so that it fits the underlay in every encap and address family that there is."""
    return UNDERLAY_MTU - max(
        overhead(encap, vtep.ip) for each in topology.chassis for vtep in each.vteps for encap in Encap
    )


def management_address(topology: Topology, name: str) -> str:
    """The management address of a chassis, or of the controller."""
    if name == CONTROLLER:
        return CONTROLLER_ADDRESS
    return f"198.51.100.{topology.chassis.index(chassis(topology, name)) + 1}"


def interface_mac(address: str, kind: int) -> str:
    """A fixed, locally administered MAC that shows the (end of the) address it goes with; `kind` keeps two apart."""
    octets = bytes([kind << 4 | 0x0A, 0]) + ip_address(address).packed[-4:]
    return ":".join(f"{octet:02x}" for octet in octets)


def members(topology: Topology) -> tuple[str, ...]:
    """The name of every namespace of a lab: the underlay, the controller, the chassis, the VMs, the hosts."""
    return (
        UNDERLAY,
        CONTROLLER,
        *(each.name for each in topology.chassis),
        *(each.name for each in topology.vms),
        *(each.name for each in topology.hosts),
    )


def problems(topology: Topology) -> list[str]:
    """What is wrong with a topology, a sentence each; empty when a lab can be built from it."""
    found = [f"{name!r} is used twice" for name, count in Counter(members(topology)).items() if count > 1]
    found += [f"{name!r} is no name (a-z, 0-9, -)" for name in members(topology) if not _NAME.fullmatch(name)]
    found += [
        f"{each.name!r} is too long for an interface name"
        for each in (*topology.chassis, *topology.vms, *topology.hosts)
        if len(each.name) > (INTERFACE_NAME_MAX if isinstance(each, Vm) else INTERFACE_NAME_MAX - 3)
    ]
    chassis_names = {each.name for each in topology.chassis}
    network_names = {each.name for each in topology.networks}
    for vm in topology.vms:
        if vm.chassis not in chassis_names:
            found.append(f"{vm.name} is on chassis {vm.chassis!r}, which there is not")
        if vm.network not in network_names:
            found.append(f"{vm.name} is in network {vm.network!r}, which there is not")
    for each in topology.chassis:
        for vtep in each.vteps:
            if not any(
                ip_address(vtep.ip) in ip_network(prefix) for prefixes in topology.underlays for prefix in prefixes
            ):
                found.append(f"{each.name} has VTEP {vtep.ip}, which is in no underlay")
    for host in topology.hosts:
        if host.physical not in physical_networks(topology):
            found.append(f"{host.name} is in physical network {host.physical!r}, which no chassis has a bridge to")
    found += _twice("VTEP", (vtep.ip for each in topology.chassis for vtep in each.vteps))
    found += _twice("VNI", (each.vni for each in topology.networks))
    found += _twice("MAC", ((each.network, each.mac) for each in topology.vms))
    found += _twice("address", ((each.network, each.ip) for each in topology.vms))
    return found


def to_json(topology: Topology) -> dict[str, Any]:
    """A topology as what json can write."""
    plain = asdict(topology)
    for each in plain["chassis"]:
        for vtep in each["vteps"]:
            vtep["encaps"] = sorted(vtep["encaps"])
    return plain


def from_json(plain: dict[str, Any]) -> Topology:
    """The topology that `to_json` wrote."""
    return Topology(
        plain["name"],
        plain["title"],
        tuple(map(_chassis_from, plain["chassis"])),
        tuple(map(_network_from, plain["networks"])),
        tuple(Vm(**each) for each in plain["vms"]),
        plain["picture"],
        tuple(map(tuple, plain["underlays"])),
        tuple(PhysicalHost(**each) for each in plain["hosts"]),
    )


def _chassis_from(plain: dict[str, Any]) -> Chassis:
    vteps = tuple(Vtep(**each | {"encaps": frozenset(map(Encap, each["encaps"]))}) for each in plain["vteps"])
    return Chassis(plain["name"], vteps, tuple((physical, bridge) for physical, bridge in plain["bridges"]))


def _network_from(plain: dict[str, Any]) -> Network:
    return Network(
        **plain
        | {
            "encap": Encap(plain["encap"]),
            "unknown_neighbor": UnknownNeighbor(plain["unknown_neighbor"]),
            "routers": tuple(plain["routers"]),
            "gateway": Gateway(**plain["gateway"]) if plain["gateway"] is not None else None,
        }
    )


def _named(things: Iterable[Any], name: str, kind: str) -> Any:
    for each in things:
        if each.name == name:
            return each
    raise KeyError(f"no {kind} {name!r} in this topology")


def _twice(what: str, values: Iterable[object]) -> list[str]:
    return [f"{what} {value} is used twice" for value, count in Counter(values).items() if count > 1]
