"""The cables of a lab, as lines of `ip`: pure text, run by whoever builds.

Every cable is a veth pair whose two ends are made in the namespaces they belong to; the machine's own
namespace never sees one, so names need not differ between labs. A chassis has two NICs, `underlay0` and
`management0`; their other ends, `u-<chassis>` and `m-<chassis>`, are ports of the two bridges in the
underlay's namespace, where each network can be cut without touching the other.
"""

from __future__ import annotations

from typing import Final

from topologies.topology import (
    CONTROLLER,
    INTERFACE_NAME_MAX,
    PREFIX,
    UNDERLAY,
    UNDERLAY_MTU,
    VM_MTU,
    Chassis,
    Topology,
    Vm,
    interface_mac,
    management_address,
    members,
)

UNDERLAY_NIC: Final = "underlay0"
MANAGEMENT_NIC: Final = "management0"
VM_NIC: Final = "eth0"
VTEP_BRIDGE: Final = "br-underlay"
"""The operator's bridge that holds the underlay NIC and the VTEP address, where the datapath is netdev."""

VTEP, NIC, MANAGEMENT = 0, 1, 2
"""Kinds of MAC: the VTEP's address, the bare NIC beneath a VTEP bridge, the management interface."""

QUIET: Final = (
    "for each in all default; do f=/proc/sys/net/ipv6/conf/$each/disable_ipv6; if [ -e $f ]; then echo 1 >$f; fi; done"
)
"""For any namespace: without, every interface that comes up sends what nobody asked for (MLD, DAD, RS)."""


def netns(lab: str, member: str) -> str:
    """The name of a member's network namespace."""
    return f"{lab}-{member}"


def underlay_port(chassis: str) -> str:
    """The underlay bridge's end of a chassis' cable."""
    return f"u-{chassis}"


def management_port(member: str) -> str:
    """The management bridge's end of a cable."""
    return "m-controller" if member == CONTROLLER else f"m-{member}"


def batch(lab: str, topology: Topology) -> str:
    """For `ip -batch`: every namespace, and every cable between two of them."""
    fabric = netns(lab, UNDERLAY)
    lines = [f"netns add {netns(lab, member)}" for member in members(topology)]
    lines.append(_cable(fabric, management_port(CONTROLLER), netns(lab, CONTROLLER), MANAGEMENT_NIC))
    for chassis in topology.chassis:
        home = netns(lab, chassis.name)
        lines.append(_cable(fabric, underlay_port(chassis.name), home, UNDERLAY_NIC))
        lines.append(_cable(fabric, management_port(chassis.name), home, MANAGEMENT_NIC))
    lines += [_cable(netns(lab, vm.chassis), vm.name, netns(lab, vm.name), VM_NIC) for vm in topology.vms]
    return "".join(f"{line}\n" for line in lines)


def fabric_lines(topology: Topology) -> list[str]:
    """For the underlay's namespace: the two bridges and their ports."""
    lines = [QUIET]
    for bridge in ("underlay", "management"):
        # The word `name` matters: without it nothing is made, and nothing said.
        lines.append(f"ip link add name {bridge} mtu {UNDERLAY_MTU} type bridge stp_state 0 mcast_snooping 0")
        lines.append(f"ip link set dev {bridge} up")
    names = [chassis.name for chassis in topology.chassis]
    lines += [f"ip link set dev {underlay_port(name)} master underlay up" for name in names]
    for name in (CONTROLLER, *names):
        lines += [f"ip link set dev {management_port(name)} master management up"]
    return lines


def controller_lines(topology: Topology) -> list[str]:
    """For the controller's namespace."""
    return [QUIET, "ip link set dev lo up", *_management_lines(topology, CONTROLLER)]


def chassis_lines(topology: Topology, chassis: Chassis, datapath: str) -> list[str]:
    """For a chassis' namespace: loopback, management, and the underlay NIC."""
    lines = [QUIET, "ip link set dev lo up", *_management_lines(topology, chassis.name)]
    if datapath == "netdev":
        # Open vSwitch takes its copy of what this NIC receives. The kernel must not act on the other: with
        # a MAC that is not the VTEP's it takes tunnel packets for a stranger's, and with ARP off it answers
        # no request for the address, which is the bridge's business.
        mac = interface_mac(chassis.vtep, NIC)
        lines.append(f"ip link set dev {UNDERLAY_NIC} address {mac} mtu {UNDERLAY_MTU} arp off up")
    else:
        mac = interface_mac(chassis.vtep, VTEP)
        lines.append(f"ip address replace {chassis.vtep}/{PREFIX} dev {UNDERLAY_NIC}")
        lines.append(f"ip link set dev {UNDERLAY_NIC} address {mac} mtu {UNDERLAY_MTU} up")
    return lines


def vtep_bridge_lines(chassis: Chassis) -> list[str]:
    """For a chassis' namespace: the VTEP address, on the bridge's own interface; again after each restart."""
    return [
        f"ip address replace {chassis.vtep}/{PREFIX} dev {VTEP_BRIDGE}",
        f"ip link set dev {VTEP_BRIDGE} mtu {UNDERLAY_MTU} up",
    ]


def vm_lines(vm: Vm, datapath: str, ipv6: bool = False, nic: str = VM_NIC) -> list[str]:
    """For a VM's namespace."""
    lines = [] if ipv6 else [QUIET]
    if datapath == "netdev":
        # Else the kernel leaves checksums and segmentation to a NIC that is none: what Open vSwitch reads
        # from the other end would go out with broken checksums, and TCP hang.
        lines.append(f"ethtool -K {nic} tx off >/dev/null")
    return [
        *lines,
        "ip link set dev lo up",
        f"ip address replace {vm.ip}/{PREFIX} dev {nic}",
        f"ip link set dev {nic} address {vm.mac} mtu {VM_MTU} up",
    ]


def vm_port_lines(vm: Vm) -> list[str]:
    """For a chassis' namespace: its end of a VM's cable."""
    # Its own stack has no business on this cable, and would make itself heard in the tenant's network.
    quiet = f"f=/proc/sys/net/ipv6/conf/{vm.name}/disable_ipv6; if [ -e $f ]; then echo 1 >$f; fi"
    return [quiet, f"ip link set dev {vm.name} mtu {VM_MTU} up"]


def _management_lines(topology: Topology, member: str) -> list[str]:
    address = management_address(topology, member)
    return [
        f"ip address replace {address}/{PREFIX} dev {MANAGEMENT_NIC}",
        f"ip link set dev {MANAGEMENT_NIC} address {interface_mac(address, MANAGEMENT)} up",
    ]


def _cable(near: str, near_name: str, far: str, far_name: str) -> str:
    for name in (near_name, far_name):
        if len(name) > INTERFACE_NAME_MAX:
            raise ValueError(f"interface name {name!r} is longer than {INTERFACE_NAME_MAX} characters")
    return f"link add name {near_name} netns {near} type veth peer name {far_name} netns {far}"
