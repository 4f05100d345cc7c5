"""Networks apart: on each chassis a bridge with a guest and tunnels to the others for each encap, and flows by hand.

The same programs forward them, through the same underlay, and no controller knows of them: frames that are lost there
at some moment Open vSwitch lost, or the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.model import Encap
from topologies import namespaces
from topologies.faults.traffic import Guest
from topologies.lab import Lab
from topologies.topology import Chassis

BRIDGE: Final = "br-apart"
UDP_PORT: Final = 4799
"""Where its VXLAN tunnels end: not where the overlay's do."""
KEY: Final = 4799
"""What its frames carry as VNI, and as GRE key, which no network of the overlay has."""
ENCAPS: Final = tuple(Encap)


def guest(chassis: str, encap: Encap) -> str:
    """The name of a chassis' guest in the network of an encap."""
    return f"{encap}-{chassis}"


def lay(lab: Lab) -> tuple[Guest, ...]:
    """Make them; returns their guests, ready to talk. Raises CommandFailed."""
    numbers = {each.name: number for number, each in enumerate(lab.topology.chassis, 1)}
    guests = {(name, encap): _guest(lab, number, name, encap) for name, number in numbers.items() for encap in ENCAPS}
    for name in numbers:
        words = ["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, f"datapath_type={lab.datapath}", "fail_mode=secure"]
        links, flows = list[str](), list[str]()
        for place, encap in enumerate(ENCAPS):
            one, inside, outside = guests[name, encap], *_ends(encap)
            links += [f"ip link add name {outside} type veth peer name {inside}"]
            links += [f"ip link set dev {inside} address {one.mac} arp off up", f"ip link set dev {outside} up"]
            here = 10 * place + 1
            words += ["--", "add-port", BRIDGE, outside, "--", "set", "interface", outside, f"ofport_request={here}"]
            flows.append(f"dl_dst={one.mac},actions={here}")
            for number, other in _others(lab, name):
                ofport, there = here + number, guests[other.name, encap]
                words += ["--", "add-port", BRIDGE, there.name, "--", "set", "interface", there.name, f"type={encap}"]
                words += [f"ofport_request={ofport}", f"options:remote_ip={other.vteps[0].ip}", f"options:key={KEY}"]
                words += [f"options:dst_port={UDP_PORT}"] if encap is Encap.VXLAN else []
                flows.append(f"dl_dst={there.mac},actions={ofport}")
        namespaces.script(lab.netns(name), links)
        lab.run(name, "ovs-vsctl", *words)
        for flow in flows:
            lab.run(name, "ovs-ofctl", "add-flow", BRIDGE, flow)
    return tuple(guests.values())


def _others(lab: Lab, name: str) -> Iterator[tuple[int, Chassis]]:
    for number, each in enumerate(lab.topology.chassis, 1):
        if each.name != name:
            yield number, each


def _ends(encap: Encap) -> tuple[str, str]:
    """The devices of a guest: its own, and that on the bridge."""
    return f"{encap}-in", f"{encap}-out"


def _guest(lab: Lab, number: int, chassis: str, encap: Encap) -> Guest:
    inside, _ = _ends(encap)
    place = f"{namespaces.path(lab.netns(chassis))}:{inside}"
    mac = f"02:00:00:00:{0xA0 + ENCAPS.index(encap):02x}:{number:02x}"
    return Guest(guest(chassis, encap), f"apart-{encap}", place, mac, f"10.99.{ENCAPS.index(encap)}.{number}")
