"""A topology as plain values: which chassis, networks and VMs a lab is built from. Builds nothing.

Addresses of the fabric follow from the order of the chassis: the n-th has management address 198.51.100.n,
and by convention VTEP 192.0.2.n. VMs of different tenants may carry the very same MACs and addresses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from typing import Any, Final

from flows.model import Chassis, Encap, Network

CONTROLLER: Final = "controller"
"""The namespace (and Mininet host) the controller runs in."""
UNDERLAY: Final = "underlay"
"""The namespace that holds the underlay's and the management network's bridge."""
CONTROLLER_ADDRESS: Final = "198.51.100.254"
PREFIX: Final = 24
"""The prefix length of every network of a lab: underlay, management, and the tenants'."""
UNDERLAY_MTU: Final = 1500
VM_MTU: Final = 1450
"""What a VM may send so that VXLAN over IPv4 (50 bytes; GRE needs 42) fits the underlay."""
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
class Topology:
    """What a lab is built from, with one line and a picture for those who choose."""

    name: str
    title: str
    chassis: tuple[Chassis, ...]
    networks: tuple[Network, ...]
    vms: tuple[Vm, ...]
    picture: str = ""


def vm(topology: Topology, name: str) -> Vm:
    """The VM of that name; KeyError when there is none."""
    return _named(topology.vms, name, "VM")


def chassis(topology: Topology, name: str) -> Chassis:
    """The chassis of that name; KeyError when there is none."""
    return _named(topology.chassis, name, "chassis")


def network(topology: Topology, name: str) -> Network:
    """The network of that name; KeyError when there is none."""
    return _named(topology.networks, name, "network")


def management_address(topology: Topology, name: str) -> str:
    """The management address of a chassis, or of the controller."""
    if name == CONTROLLER:
        return CONTROLLER_ADDRESS
    return f"198.51.100.{topology.chassis.index(chassis(topology, name)) + 1}"


def interface_mac(address: str, kind: int) -> str:
    """A fixed, locally administered MAC that shows the IPv4 address it goes with; `kind` keeps two apart."""
    octets = bytes([kind << 4 | 0x0A, 0]) + IPv4Address(address).packed
    return ":".join(f"{octet:02x}" for octet in octets)


def members(topology: Topology) -> tuple[str, ...]:
    """The name of every namespace of a lab: the underlay, the controller, the chassis, the VMs."""
    return (
        UNDERLAY,
        CONTROLLER,
        *(each.name for each in topology.chassis),
        *(each.name for each in topology.vms),
    )


def problems(topology: Topology) -> list[str]:
    """What is wrong with a topology, a sentence each; empty when a lab can be built from it."""
    found = [f"{name!r} is used twice" for name, count in Counter(members(topology)).items() if count > 1]
    found += [f"{name!r} is no name (a-z, 0-9, -)" for name in members(topology) if not _NAME.fullmatch(name)]
    found += [
        f"{each.name!r} is too long for an interface name"
        for each in (*topology.chassis, *topology.vms)
        if len(each.name) > (INTERFACE_NAME_MAX if isinstance(each, Vm) else INTERFACE_NAME_MAX - 2)
    ]
    chassis_names = {each.name for each in topology.chassis}
    network_names = {each.name for each in topology.networks}
    for vm in topology.vms:
        if vm.chassis not in chassis_names:
            found.append(f"{vm.name} is on chassis {vm.chassis!r}, which there is not")
        if vm.network not in network_names:
            found.append(f"{vm.name} is in network {vm.network!r}, which there is not")
    found += _twice("VTEP", (each.vtep for each in topology.chassis))
    found += _twice("VNI", (each.vni for each in topology.networks))
    found += _twice("MAC", ((each.network, each.mac) for each in topology.vms))
    found += _twice("address", ((each.network, each.ip) for each in topology.vms))
    return found


def to_json(topology: Topology) -> dict[str, Any]:
    """A topology as what json can write."""
    plain = asdict(topology)
    for each in plain["chassis"]:
        each["encaps"] = sorted(each["encaps"])
    return plain


def from_json(plain: dict[str, Any]) -> Topology:
    """The topology that `to_json` wrote."""
    return Topology(
        plain["name"],
        plain["title"],
        tuple(Chassis(**each | {"encaps": frozenset(map(Encap, each["encaps"]))}) for each in plain["chassis"]),
        tuple(Network(**each | {"encap": Encap(each["encap"])}) for each in plain["networks"]),
        tuple(Vm(**each) for each in plain["vms"]),
        plain["picture"],
    )


def _named(things: Iterable[Any], name: str, kind: str) -> Any:
    for each in things:
        if each.name == name:
            return each
    raise KeyError(f"no {kind} {name!r} in this topology")


def _twice(what: str, values: Iterable[object]) -> list[str]:
    return [f"{what} {value} is used twice" for value, count in Counter(values).items() if count > 1]
