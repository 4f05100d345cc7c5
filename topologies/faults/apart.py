"""A network apart: on each chassis a bridge with a guest and tunnels to the others, and a few flows by hand.

The same programs forward it, through the same underlay, and no controller knows of it: frames that are lost there at
some moment Open vSwitch lost, or the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from topologies import namespaces
from topologies.faults.traffic import Guest
from topologies.lab import Lab
from topologies.topology import Chassis

BRIDGE: Final = "br-apart"
UDP_PORT: Final = 4799
"""Where its tunnels end: not where the overlay's do."""
NETWORK: Final = "apart"
_OUTSIDE, _INSIDE = "apart0", "apart1"


def guest(chassis: str) -> str:
    """The name of a chassis' guest there."""
    return f"apart-{chassis}"


def lay(lab: Lab) -> tuple[Guest, ...]:
    """Make it; returns its guests, ready to talk. Raises CommandFailed."""
    guests = {each.name: _guest(lab, number, each.name) for number, each in enumerate(lab.topology.chassis, 1)}
    for name, one in guests.items():
        home = lab.netns(name)
        namespaces.script(
            home,
            [
                f"ip link add name {_OUTSIDE} type veth peer name {_INSIDE}",
                f"ip link set dev {_INSIDE} address {one.mac} arp off up",
                f"ip link set dev {_OUTSIDE} up",
            ],
        )
        words = ["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, f"datapath_type={lab.datapath}", "fail_mode=secure"]
        words += ["--", "add-port", BRIDGE, _OUTSIDE, "--", "set", "interface", _OUTSIDE, "ofport_request=1"]
        for number, other in _others(lab, name):
            port = guest(other.name)
            words += ["--", "add-port", BRIDGE, port, "--", "set", "interface", port, "type=vxlan"]
            words += [f"ofport_request={number + 1}", f"options:remote_ip={other.vteps[0].ip}"]
            words += [f"options:key={UDP_PORT}", f"options:dst_port={UDP_PORT}"]
        lab.run(name, "ovs-vsctl", *words)
        ways = {guests[other.name].mac: number + 1 for number, other in _others(lab, name)} | {one.mac: 1}
        for mac, port in ways.items():
            lab.run(name, "ovs-ofctl", "add-flow", BRIDGE, f"dl_dst={mac},actions={port}")
    return tuple(guests.values())


def _others(lab: Lab, name: str) -> Iterator[tuple[int, Chassis]]:
    for number, each in enumerate(lab.topology.chassis, 1):
        if each.name != name:
            yield number, each


def _guest(lab: Lab, number: int, chassis: str) -> Guest:
    place = f"{namespaces.path(lab.netns(chassis))}:{_INSIDE}"
    return Guest(guest(chassis), NETWORK, place, f"02:00:00:00:aa:{number:02x}", f"10.99.0.{number}")
