"""Topologies as values: consistent, and every name fits where it is used."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest

from flows.model import Encap, Vtep, ip, is_ipv4, mac
from flows.underlay import way
from topologies import controller, probes, state, wiring
from topologies.catalogue import TOPOLOGIES
from topologies.topology import (
    CONTROLLER,
    PhysicalHost,
    Topology,
    Vm,
    from_json,
    interface_mac,
    management_address,
    members,
    problems,
    reaches,
    to_json,
    vm,
    vm_mtu,
    vteps_by_underlay,
)

EACH = pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)
TWO, THREE = TOPOLOGIES["two_chassis"], TOPOLOGIES["three_chassis"]


@EACH
def test_consistent(topology: Topology) -> None:
    assert problems(topology) == []
    assert topology.title
    drawn = (*topology.chassis, *topology.vms, *topology.networks)
    assert all(each.name in topology.picture for each in drawn)
    assert all(vtep.ip in topology.picture for each in topology.chassis for vtep in each.vteps)
    assert all(each.name in topology.picture and each.ip in topology.picture for each in topology.hosts)
    assert all(f"VNI {each.vni}" in topology.picture for each in topology.networks)


@EACH
def test_addresses_are_canonical(topology: Topology) -> None:
    assert all((vm.mac, vm.ip) == (mac(vm.mac), ip(vm.ip)) for vm in topology.vms)
    assert all(vtep.ip == ip(vtep.ip) for chassis in topology.chassis for vtep in chassis.vteps)
    assert all((host.mac, host.ip) == (mac(host.mac), ip(host.ip)) for host in topology.hosts)


@EACH
def test_names_fit(topology: Topology) -> None:
    """Interface names in the kernel, and wiring refuses those that do not."""
    lines = wiring.batch("lab", topology).splitlines()
    words = [line.split() for line in lines if line.startswith("link add")]
    names = [word for line in words for word in (line[3], line[10])]
    nics = sum(1 + len(vteps_by_underlay(topology, each)) + len(each.bridges) for each in topology.chassis)
    assert len(names) == 2 * (1 + nics + len(topology.vms) + len(topology.hosts))
    assert all(count == 1 for count in Counter((line[5], line[3]) for line in words).values())
    assert max(map(len, names)) <= 15


@EACH
def test_written_down_and_read_again(topology: Topology) -> None:
    assert from_json(to_json(topology)) == topology


@EACH
def test_fabric_addresses_are_distinct(topology: Topology) -> None:
    names = [CONTROLLER, *(each.name for each in topology.chassis)]
    management = [management_address(topology, name) for name in names]
    assert len(set(management)) == len(names)
    macs = [interface_mac(address, wiring.MANAGEMENT) for address in management]
    for kind in (wiring.VTEP, wiring.NIC):
        for each in topology.chassis:
            macs += [interface_mac(vteps[0].ip, kind) for vteps in vteps_by_underlay(topology, each).values()]
    assert len(set(macs)) == len(macs)
    assert [mac(each) for each in macs] == macs  # unicast
    assert all(int(each[:2], 16) & 2 for each in macs)  # locally administered


def test_the_two_tenants_have_the_very_same_addresses() -> None:
    red, blue = ({(vm.mac, vm.ip) for vm in THREE.vms if vm.network == name} for name in ("red", "blue"))
    assert red == blue
    assert [vm.network for vm in THREE.vms if not vm.declared] == ["red", "blue"]


def test_mixed_encap_needs_gre_for_one_chassis() -> None:
    h3 = TOPOLOGIES["mixed_encap"].chassis[2]
    assert h3.encaps == {Encap.GRE}
    assert controller.chassis_add(TOPOLOGIES["mixed_encap"], h3)[-2:] == ["--vtep", "192.0.2.3=gre"]


def test_dual_stack_has_every_way_and_one_pair_without() -> None:
    """A network spans both families; of one pair no packet gets to the other."""
    plan = TOPOLOGIES["dual_stack"]
    found = {
        (one.name, other.name): (used.encap, is_ipv4(used.remote)) if used is not None else None
        for one, other in combinations(plan.chassis, 2)
        for used in [way(one, other, Encap.VXLAN)]
    }
    assert found == {
        ("h1", "h2"): (Encap.VXLAN, True),
        ("h1", "h3"): None,
        ("h1", "h4"): (Encap.GRE, True),
        ("h2", "h3"): (Encap.VXLAN, False),
        ("h2", "h4"): (Encap.VXLAN, False),
        ("h3", "h4"): (Encap.VXLAN, False),
    }
    one, two, three = (vm(plan, name) for name in ("web1", "web2", "web3"))
    assert (reaches(plan, one, two), reaches(plan, two, three), reaches(plan, one, three)) == (True, True, False)
    assert not reaches(plan, two, vm(plan, "db2"))
    added = controller.chassis_add(plan, plan.chassis[3])
    assert added[-2:] == ["--vtep", "192.0.2.4=gre,2001:db8::4=vxlan"]


def test_a_chassis_has_a_nic_in_each_underlay_that_it_is_in() -> None:
    plan = TOPOLOGIES["two_underlays"]
    batch = wiring.batch("lab", plan)
    for cable in ("u-h1 netns", "u1-h1 netns", "u1-h3 netns"):
        assert f"link add name {cable}" in batch
    assert "name u-h3" not in batch
    lone = replace(plan.chassis[2], vteps=(Vtep("198.18.0.1"),))
    assert problems(replace(plan, chassis=(*plan.chassis[:2], lone))) == [
        "h3 has VTEP 198.18.0.1, which is in no underlay"
    ]
    stray = PhysicalHost("nas", "cellar", "06:00:00:00:00:01", "10.0.0.101")
    assert "physical network 'cellar', which no chassis has a bridge to" in problems(replace(plan, hosts=(stray,)))[0]


def test_a_vm_fits_the_underlay_in_vxlan() -> None:
    assert vm_mtu(TWO) == 1450 == 1500 - 14 - 8 - 8 - 20
    assert vm_mtu(TOPOLOGIES["dual_stack"]) == 1430


@pytest.mark.parametrize(
    ("vms", "wrong"),
    [
        ((Vm("web1", "red", "h1", "02:00:00:00:00:07", "10.0.0.7"),), "'web1' is used twice"),
        ((Vm("h1", "red", "h1", "02:00:00:00:00:07", "10.0.0.7"),), "'h1' is used twice"),
        ((Vm("controller", "red", "h1", "02:00:00:00:00:07", "10.0.0.7"),), "'controller' is used twice"),
        ((Vm("Web", "red", "h1", "02:00:00:00:00:07", "10.0.0.7"),), "'Web' is no name"),
        ((Vm("a-name-of-16-long", "red", "h1", "02:00:00:00:00:07", "10.0.0.7"),), "too long"),
        ((Vm("x", "red", "h9", "02:00:00:00:00:07", "10.0.0.7"),), "on chassis 'h9'"),
        ((Vm("x", "green", "h1", "02:00:00:00:00:07", "10.0.0.7"),), "in network 'green'"),
        ((Vm("x", "red", "h1", "02:00:00:00:00:01", "10.0.0.7"),), "MAC"),
        ((Vm("x", "red", "h1", "02:00:00:00:00:07", "10.0.0.1"),), "address"),
    ],
)
def test_problems_are_found(vms: tuple[Vm, ...], wrong: str) -> None:
    found = problems(replace(TWO, vms=(*TWO.vms, *vms)))
    assert len(found) == 1
    assert wrong in found[0]


@pytest.mark.parametrize("name", ["", "Lab", "a/b", "..", "1lab", "a" * 33])
def test_lab_names(name: str) -> None:
    with pytest.raises(ValueError, match="no name for a lab"):
        state.directory(name)


def test_members_are_those_of_the_picture() -> None:
    assert members(TWO) == ("underlay", "controller", "h1", "h2", "web1", "web2")


def test_the_session_is_what_an_operator_types() -> None:
    said = [" ".join(argv) for argv in controller.declarations(TWO)]
    assert said == [
        "chassis-add h1 tcp:198.51.100.1:6640 --vtep 192.0.2.1",
        "chassis-add h2 tcp:198.51.100.2:6640 --vtep 192.0.2.2",
        "net-add red --tenant acme --vni 100 --encap vxlan",
        "port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1",
        "port-add web2 --net red --mac 02:00:00:00:00:02 --ip 10.0.0.2",
    ]
    declared, undeclared = THREE.vms[0], THREE.vms[3]
    assert controller.add_port(declared, 100)[-1] == "external_ids:iface-id=web1"
    assert controller.add_port(undeclared, 100)[-1] == "external_ids:overlay-vni=100"


PING = """\
PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.

--- 10.0.0.2 ping statistics ---
5 packets transmitted, 4 received, +1 duplicates, 20% packet loss, time 4006ms
rtt min/avg/max/mdev = 0.361/0.500/0.829/0.132 ms
"""
ARPING = """\
ARPING 10.0.0.2 from 10.0.0.1 eth0
Unicast reply from 10.0.0.2 [02:00:00:00:00:0A]  0.712ms
Sent 1 probes (1 broadcast(s))
Received 1 response(s)
"""
TCPDUMP = """\
tcpdump: verbose output suppressed, use -v[v]... for full protocol decode
listening on u-h1, link-type EN10MB (Ethernet), snapshot length 262144 bytes
1700000000.123456 0a:00:c0:00:02:01 > 0a:00:c0:00:02:02, ethertype IPv4 (0x0800), length 148: VXLAN, vni 100
02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4 (0x0800), length 98: ICMP echo request
1700000000.123460 0a:00:c0:00:02:02 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Request
2 packets captured
2 packets received by filter
0 packets dropped by kernel
"""


def test_what_programs_print_is_read() -> None:
    assert probes.read_ping(PING) == probes.Ping(5, 4, 1, 0.5)
    assert probes.read_ping(PING).lost == 1
    assert probes.read_arping(ARPING) == probes.Arping(1, ("02:00:00:00:00:0a",))
    lines = probes.read_tcpdump(TCPDUMP)
    assert len(lines) == 2
    assert lines[0].endswith("ICMP echo request")
    assert probes.Frames(lines).having("vni 100", "ICMP") == lines[:1]
    for read in (probes.read_ping, probes.read_arping, probes.read_iperf):
        with pytest.raises(ValueError, match=r"."):
            read("")


def test_what_was_under_way_when_ping_was_stopped_is_not_lost() -> None:
    def printed(answered: list[int], sent: int) -> str:
        lines = [f"64 bytes from 10.0.0.2: icmp_seq={number} ttl=64 time=0.5 ms" for number in answered]
        return "\n".join([*lines, f"{sent} packets transmitted, {len(answered)} received, 0% packet loss, time 9ms"])

    assert probes.read_pinging(printed([1, 2, 3, 4, 5], 7), 2).lost == 0
    assert probes.read_pinging(printed([1, 2, 3, 4, 5], 8), 2).lost == 1
    assert probes.read_pinging(printed([1, 2, 4, 5, 6], 6), 2).lost == 1
    assert probes.read_pinging(printed([], 1), 5).sent == 0
