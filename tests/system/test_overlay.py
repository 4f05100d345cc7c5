"""The main job on real Open vSwitch: who reaches whom, by what on the wire, and what no frame does."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.system.steps import eventually, flows, running, same_network, settle, shown, watching_flows
from topologies import mixed_encap, three_chassis
from topologies.lab import Lab
from topologies.probes import read_ping

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(three_chassis.TOPOLOGY) as built:
        yield built


@pytest.fixture(scope="module")
def mixed() -> Iterator[Lab]:
    with running(mixed_encap.TOPOLOGY) as built:
        yield built


def flush_neighbors(lab: Lab, *vms: str) -> None:
    for vm in vms:
        lab.run(vm, "ip", "neigh", "flush", "all")


def test_all_of_a_tenant_reach_each_other(lab: Lab) -> None:
    """Every ordered pair, declared or learned, from the very first packet."""
    for source, target in same_network(lab):
        flush_neighbors(lab, source)
        assert lab.ping(source, target, count=2).lost == 0, (source, target)


def test_the_other_tenant_with_the_same_addresses_sees_nothing(lab: Lab) -> None:
    """While red broadcasts, floods and talks, each VM of blue captures nothing that is not its own."""
    blue = [vm.name for vm in lab.topology.vms if vm.network == "blue"]
    red = [vm.name for vm in lab.topology.vms if vm.network == "red"]
    for name in ("web1", "web9"):
        flush_neighbors(lab, name)
    captures = {vm: lab.capture(vm, "not ip6") for vm in blue}
    frames = {vm: capture.__enter__() for vm, capture in captures.items()}
    for name in red:
        lab.ping(name, "10.0.0.255", count=2, options=("-b",))
        lab.arping(name, "10.0.0.77", count=2)
        lab.run(name, "arping", "-U", "-c", "2", "-I", "eth0", lab.address(name), check=False)
    for pair in same_network(lab):
        if pair[0] in red:
            lab.ping(*pair, count=1)
    for capture in captures.values():
        capture.__exit__(None, None, None)
    assert {vm: seen.lines for vm, seen in frames.items()} == {vm: [] for vm in blue}


def test_red_goes_by_vxlan_and_blue_by_gre_with_their_vni(lab: Lab) -> None:
    with lab.capture("h2", "host 192.0.2.1 and host 192.0.2.2") as seen:
        assert lab.ping("web1", "web2", count=2).lost == 0
        assert lab.ping("db1", "db2", count=2).lost == 0
    assert len(seen.having("VXLAN", "vni 100", "ICMP echo request")) == 2
    assert len(seen.having("GREv0", "key=0xc8", "ICMP echo request")) == 2
    assert not seen.having("vni 200")
    assert not seen.having("key=0x64")


def test_no_arp_on_the_underlay_for_known_neighbors(lab: Lab) -> None:
    """Declared and learned neighbors, asked for on every chassis: answered there, at once."""
    for source, target in same_network(lab):
        lab.ping(source, target, count=1)
    with (
        lab.capture("h1", "udp port 4789 or proto gre") as one,
        lab.capture("h2", "udp port 4789 or proto gre") as two,
    ):
        for source, target in same_network(lab):
            flush_neighbors(lab, source)
            assert lab.ping(source, target, count=1).lost == 0
            answer = lab.arping(source, target)
            vm = next(vm for vm in lab.topology.vms if vm.name == target)
            assert answer.macs == (vm.mac,), (source, target)
    assert one.having("ICMP echo request")
    assert [line for line in (*one.lines, *two.lines) if "ARP" in line] == []


def test_an_unknown_address_is_asked_for_everywhere_in_the_network_and_nowhere_else(lab: Lab) -> None:
    with lab.capture("web3", "arp") as member, lab.capture("db3", "arp") as stranger:
        assert lab.arping("web1", "10.0.0.200", count=2).macs == ()
    assert len(member.having("who-has 10.0.0.200")) == 2
    assert stranger.lines == []


def test_nobody_answers_a_question_about_ones_own_address(lab: Lab) -> None:
    """Duplicate address detection (RFC 5227) finds one only where there is one."""
    assert lab.run("web1", "arping", "-D", "-c", "2", "-w", "2", "-I", "eth0", "10.0.0.1", check=False).returncode == 0
    assert lab.run("web1", "arping", "-D", "-c", "2", "-w", "2", "-I", "eth0", "10.0.0.2", check=False).returncode == 1


def test_tcp_goes_at_full_size(lab: Lab) -> None:
    """Checksums and MTU are right in both encaps: megabytes arrive."""
    for source, target in (("web1", "web2"), ("db1", "db3"), ("web1", "web9")):
        assert lab.tcp(source, target, seconds=1).bytes > 5_000_000, (source, target)


def test_unicast_goes_to_one_chassis_only(lab: Lab) -> None:
    """Known unicast, declared (web2) and learned (web9), is not flooded."""
    lab.ping("web1", "web9", count=1)
    with lab.capture("h3", "udp port 4789") as seen:
        assert lab.ping("web1", "web2", count=2).lost == 0
        assert lab.ping("web1", "web9", count=2).lost == 0
    assert seen.having("ICMP") == []


def test_what_is_known_is_shown(lab: Lab) -> None:
    found = shown(lab)
    assert {row["name"]: row["state"] for row in found["chassis"]} == dict.fromkeys(("h1", "h2", "h3"), "ready")
    screen = lab.overlayctl("show")
    assert "Problems" not in screen
    assert max(map(len, screen.splitlines())) <= 100


def test_the_controller_killed_and_back(lab: Lab) -> None:
    """kill -9: 0 of 1000 pings at 10 ms lost. Back with nothing changed: not one flow touched."""
    settle(lab)
    before = {name: flows(lab, name) for name in ("h1", "h2", "h3")}
    probe = ("ping", "-n", "-q", "-c", "1500", "-i", "0.01", "-W", "1")
    with (
        watching_flows(lab, "h1") as events,
        lab.background("web1", *probe, lab.address("web2")) as red,
        lab.background("db3", *probe, lab.address("db1")) as blue,
    ):
        lab.run("h1", "sleep", "1")
        lab.stop_controller(signal.SIGKILL)
        lab.run("h1", "sleep", "8")
        lab.start_controller()
        eventually(lambda: {row["state"] for row in shown(lab)["chassis"]} == {"ready"}, 20)
        settle(lab)
        for running in (red, blue):
            running.wait_for("packets transmitted", 60)
    for running in (red, blue):
        found = read_ping(running.output())
        assert (found.sent, found.lost) == (1500, 0)
    assert events.of_ours() == []
    for name, had in before.items():
        assert sorted(flows(lab, name)) == sorted(had)


def test_vxlan_and_gre_mix_in_one_network(mixed: Lab) -> None:
    """h3 offers GRE alone: red, a VXLAN network, reaches it by GRE with the same VNI."""
    for pair in same_network(mixed):
        assert mixed.ping(*pair, count=2).lost == 0, pair
    vms = {vm.chassis: vm.name for vm in mixed.topology.vms}
    with mixed.capture("h1") as seen:
        mixed.ping(vms["h1"], vms["h2"], count=2)
        mixed.ping(vms["h1"], vms["h3"], count=2)
    vni = mixed.topology.networks[0].vni
    assert len(seen.having("VXLAN", f"vni {vni}", "ICMP echo request")) == 2
    assert len(seen.having("GREv0", f"key=0x{vni:x}", "ICMP echo request")) == 2
