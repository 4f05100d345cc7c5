"""The cables of a lab, as lines of `ip`: pure text, run by whoever builds.

Every cable is a veth pair whose two ends are made in the namespaces they belong to; the machine's own
namespace never sees one, so names need not differ between labs. A chassis has two NICs, `underlay0` and
`management0`; their other ends, `u-<chassis>` and `m-<chassis>`, are ports of the two bridges in the
underlay's namespace, where each network can be cut without touching the other. A further underlay network has
a bridge `underlay1` there, NICs `underlay1` and ports `u1-<chassis>`; a physical network a bridge of its own name,
NICs `<name>0` and ports `p-<chassis>` or `p-<host>`, and tags pass it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flows.model import is_ipv4
from topologies.topology import (
    CONTROLLER,
    INTERFACE_NAME_MAX,
    PREFIX,
    PREFIX6,
    UNDERLAY,
    UNDERLAY_MTU,
    Chassis,
    PhysicalHost,
    Topology,
    Vm,
    Vtep,
    interface_mac,
    management_address,
    members,
    physical_networks,
    vm_mtu,
    vteps_by_underlay,
)

MANAGEMENT_NIC: Final = "management0"
VM_NIC: Final = "eth0"
VTEP, NIC, MANAGEMENT = 0, 1, 2
"""Kinds of MAC: the VTEP's address, the bare NIC beneath a VTEP bridge, the management interface."""

QUIET: Final = (
    "for each in all default; do f=/proc/sys/net/ipv6/conf/$each/disable_ipv6; if [ -e $f ]; then echo 1 >$f; fi; done"
)
"""For any namespace: without, every interface that comes up sends what nobody asked for (MLD, DAD, RS)."""


def netns(lab: str, member: str) -> str:
    """The name of a member's network namespace."""
    return f"{lab}-{member}"


def underlay_nic(number: int = 0) -> str:
    """A chassis' NIC in an underlay."""
    return f"underlay{number}"


def underlay_bridge(number: int = 0) -> str:
    """The bridge that an underlay is, in the underlay's namespace."""
    return f"underlay{number or ''}"


def underlay_port(chassis: str, number: int = 0) -> str:
    """An underlay bridge's end of a chassis' cable."""
    return f"u{number or ''}-{chassis}"


def vtep_bridge(number: int = 0) -> str:
    """The operator's bridge that holds the underlay NIC and the VTEP addresses, where the datapath is netdev."""
    return f"br-underlay{number or ''}"


def physical_nic(physical: str) -> str:
    """A chassis' NIC in a physical network."""
    return f"{physical}0"


def physical_port(topology: Topology, member: str, physical: str) -> str:
    """A physical network's end of a chassis' or host's cable."""
    return f"p{physical_networks(topology).index(physical) or ''}-{member}"


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
        lines += [
            _cable(fabric, underlay_port(chassis.name, number), home, underlay_nic(number))
            for number in vteps_by_underlay(topology, chassis)
        ]
        lines.append(_cable(fabric, management_port(chassis.name), home, MANAGEMENT_NIC))
        lines += [
            _cable(fabric, physical_port(topology, chassis.name, physical), home, physical_nic(physical))
            for physical, _ in chassis.bridges
        ]
    lines += [
        _cable(fabric, physical_port(topology, host.name, host.physical), netns(lab, host.name), VM_NIC)
        for host in topology.hosts
    ]
    lines += [_cable(netns(lab, vm.chassis), vm.name, netns(lab, vm.name), VM_NIC) for vm in topology.vms]
    return "".join(f"{line}\n" for line in lines)


def fabric_lines(topology: Topology) -> list[str]:
    """For the underlay's namespace: the bridges and their ports."""
    lines = [QUIET]
    for bridge in fabric_bridges(topology):
        # The word `name` matters: without it nothing is made, and nothing said.
        lines.append(f"ip link add name {bridge} mtu {UNDERLAY_MTU} type bridge stp_state 0 mcast_snooping 0")
        lines.append(f"ip link set dev {bridge} up")
    ports = [(management_port(CONTROLLER), "management")]
    for chassis in topology.chassis:
        ports.append((management_port(chassis.name), "management"))
        numbers = vteps_by_underlay(topology, chassis)
        ports += [(underlay_port(chassis.name, number), underlay_bridge(number)) for number in numbers]
        ports += [(physical_port(topology, chassis.name, physical), physical) for physical, _ in chassis.bridges]
    ports += [(physical_port(topology, host.name, host.physical), host.physical) for host in topology.hosts]
    return lines + [f"ip link set dev {port} master {bridge} up" for port, bridge in ports]


def fabric_bridges(topology: Topology) -> tuple[str, ...]:
    """The bridges in the underlay's namespace: underlays, management, physical networks."""
    underlays = (underlay_bridge(number) for number in range(len(topology.underlays)))
    return (*underlays, "management", *physical_networks(topology))


def controller_lines(topology: Topology) -> list[str]:
    """For the controller's namespace."""
    return [QUIET, "ip link set dev lo up", *_management_lines(topology, CONTROLLER)]


def chassis_lines(topology: Topology, chassis: Chassis, datapath: str) -> list[str]:
    """For a chassis' namespace: loopback, management, and the underlay NIC."""
    lines = [QUIET, "ip link set dev lo up", *_management_lines(topology, chassis.name)]
    for number, vteps in vteps_by_underlay(topology, chassis).items():
        nic = underlay_nic(number)
        if datapath == "netdev":
            # Open vSwitch takes its copy of what this NIC receives. The kernel must not act on the other: with
            # a MAC that is not the VTEP's it takes tunnel packets for a stranger's, and with ARP off it answers
            # no request for the address, which is the bridge's business.
            mac = interface_mac(vteps[0].ip, NIC)
            lines.append(f"ip link set dev {nic} address {mac} mtu {UNDERLAY_MTU} arp off up")
        else:
            lines.append(f"ip link set dev {nic} address {interface_mac(vteps[0].ip, VTEP)}")
            lines += vtep_lines(nic, vteps)
    nics = [physical_nic(physical) for physical, _ in chassis.bridges]
    return lines + [f"ip link set dev {nic} mtu {UNDERLAY_MTU} arp off up" for nic in nics]


def vtep_lines(interface: str, vteps: Sequence[Vtep]) -> list[str]:
    """For a chassis' namespace: the VTEPs' addresses, on that interface; where it is a bridge's, after each restart."""
    lines = [f"ip link set dev {interface} mtu {UNDERLAY_MTU} addrgenmode none up"]
    if any(not is_ipv4(vtep.ip) for vtep in vteps):
        # As in the rest of the lab nobody says what was not asked: no router is looked for.
        settings = {"disable_ipv6": 0, "accept_ra": 0, "router_solicitations": 0, "accept_dad": 0}
        lines += [f"echo {value} >/proc/sys/net/ipv6/conf/{interface}/{name}" for name, value in settings.items()]
    return lines + [
        f"ip address replace {vtep.ip}/{PREFIX if is_ipv4(vtep.ip) else f'{PREFIX6} nodad'} dev {interface}"
        for vtep in vteps
    ]


def vm_lines(topology: Topology, vm: Vm, datapath: str, ipv6: bool = False, nic: str = VM_NIC) -> list[str]:
    """For a VM's namespace."""
    return _guest_lines(vm.mac, [(nic, vm.ip)], vm_mtu(topology), datapath, ipv6)


def host_lines(host: PhysicalHost, datapath: str, ipv6: bool = False) -> list[str]:
    """For a physical host's namespace; one in a VLAN has its address on `eth0.<VLAN>`."""
    if not host.vlan:
        return _guest_lines(host.mac, [(VM_NIC, host.ip)], UNDERLAY_MTU, datapath, ipv6)
    return [
        *_guest_lines(host.mac, [], UNDERLAY_MTU, datapath, ipv6),
        *vlan_lines(VM_NIC, host.vlan, [f"{host.ip}/{PREFIX}"]),
    ]


def vlan_lines(
    parent: str, tag: int, addresses: Sequence[str], *, mac: str | None = None, service: bool = False
) -> list[str]:
    """For any namespace: a device `<parent>.<tag>` for the frames of a VLAN, `service` one of 802.1ad.

    Where the kernel has no such devices it is one of ours.
    """
    name, protocol = f"{parent}.{tag}", "802.1ad" if service else "802.1Q"
    ours = f"{sys.executable} {Path(__file__).with_name('vlan_device.py')} {parent} {name} {tag} {protocol}"
    there = f"ip link show dev {name} >/dev/null 2>&1"
    return [
        # Else the host answers in every VLAN for the addresses that it has in any other.
        "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore",
        f"ip link add link {parent} name {name} type vlan protocol {protocol} id {tag} 2>/dev/null || "
        f"{{ setsid {ours} >/dev/null 2>&1 </dev/null & }}",
        f"n=0; until {there} || [ $n -ge 200 ]; do n=$((n+1)); sleep 0.05; done",
        f"of=$(ip -o link show dev {parent})",  # not /sys, which shows the machine's own interfaces
        f"ip link set dev {name} address {mac or _word('of', 'link/ether')}",
        # A tag makes a frame four octets longer; what fits with it fits every link.
        f"ip link set dev {name} mtu $(({_word('of', 'mtu')}-4)) up",
        *(f"ip address replace {address} dev {name}" for address in addresses),
    ]


def _word(variable: str, after: str) -> str:
    """The shell's way to the word that stands after another one."""
    return f"$(echo ${variable} | sed 's|.* {after} \\([^ ]*\\).*|\\1|')"


def _guest_lines(mac: str, addresses: Sequence[tuple[str, str]], mtu: int, datapath: str, ipv6: bool) -> list[str]:
    nic = addresses[0][0] if addresses else VM_NIC
    lines = [] if ipv6 else [QUIET]
    if datapath == "netdev":
        # Else the kernel leaves checksums and segmentation to a NIC that is none: what Open vSwitch reads
        # from the other end would go out with broken checksums, and TCP hang.
        lines.append(f"ethtool -K {nic} tx off >/dev/null")
    return [
        *lines,
        "ip link set dev lo up",
        *(f"ip address replace {ip}/{PREFIX} dev {on}" for on, ip in addresses),
        f"ip link set dev {nic} address {mac} mtu {mtu} up",
    ]


def vm_port_lines(topology: Topology, vm: Vm) -> list[str]:
    """For a chassis' namespace: its end of a VM's cable."""
    # Its own stack has no business on this cable, and would make itself heard in the tenant's network.
    quiet = f"f=/proc/sys/net/ipv6/conf/{vm.name}/disable_ipv6; if [ -e $f ]; then echo 1 >$f; fi"
    return [quiet, f"ip link set dev {vm.name} mtu {vm_mtu(topology)} up"]


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
