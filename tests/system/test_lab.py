"""The lab itself: chassis, cables and probes, with flows written by hand, so that no controller is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.steps import eventually, fresh_name
from topologies import chassis, namespaces, processes, state, two_chassis
from topologies.lab import Lab
from topologies.namespaces import CommandFailed
from topologies.topology import Vm

pytestmark = pytest.mark.system

TOPOLOGY = two_chassis.TOPOLOGY
TUNNELS = {"vxlan": 65001, "gre": 65002}


def add_bridge(lab: Lab) -> None:
    """What the controller would provision, on each chassis."""
    for each in lab.topology.chassis:
        argv = ["ovs-vsctl", "add-br", "br-int", "--", "set", "bridge", "br-int", "fail_mode=secure"]
        argv += [f"datapath_type={lab.datapath}"]
        for encap, ofport in TUNNELS.items():
            argv += ["--", "add-port", "br-int", encap, "--", "set", "interface", encap, f"type={encap}"]
            argv += ["options:remote_ip=flow", "options:key=flow", f"ofport_request={ofport}"]
        lab.run(each.name, *argv)


def add_flows(lab: Lab, encap: str, vms: tuple[str, str] = ("web1", "web2")) -> None:
    """Two VMs joined: what comes from one goes to the other, by a tunnel when they are apart."""
    for vm, other in (vms, vms[::-1]):
        here, there = lab.place(vm), lab.place(other)
        vtep = lab.address(there)
        tunnel = f"set_field:100->tun_id,set_field:{vtep}->tun_dst,output:{TUNNELS[encap]}"
        out = tunnel if here != there else f"output:{other}"
        lab.run(here, "ovs-ofctl", "-OOpenFlow13", "add-flow", "br-int", f"in_port={vm},actions={out}")
        arrived = f"in_port={TUNNELS[encap]},tun_id=100,actions=output:{vm}"
        lab.run(here, "ovs-ofctl", "-OOpenFlow13", "add-flow", "br-int", arrived)


def traces(name: str) -> list[str]:
    """What is left on the machine of a lab of that name."""
    found = [str(path) for path in namespaces.DIRECTORY.glob(f"{name}-*")]
    found += [str(path) for path in state.root().glob(name)]
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = entry.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if f"/{name}/" in said:
            found.append(said)
    return found


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(TOPOLOGY, fresh_name()) as built:
        add_bridge(built)
        for vm in built.topology.vms:
            built.plug(vm.name)
        yield built


@pytest.mark.parametrize("encap", TUNNELS)
def test_frames_cross_the_underlay_in_tunnels(lab: Lab, encap: str) -> None:
    add_flows(lab, encap)
    lab.ping("web1", "web2")  # the userspace datapath drops what comes before it knows the VTEP's MAC
    with lab.capture("h1") as frames:
        assert lab.ping("web1", "web2", count=5).lost == 0
    carried = frames.having("VXLAN", "vni 100") if encap == "vxlan" else frames.having("GREv0", "key=0x64")
    assert len([line for line in carried if "ICMP echo request" in line]) == 5
    assert len([line for line in carried if "ICMP echo reply" in line]) == 5


@pytest.mark.parametrize("encap", TUNNELS)
def test_tcp_and_the_largest_packet_get_through(lab: Lab, encap: str) -> None:
    add_flows(lab, encap)
    assert lab.ping("web1", "web2", options=("-M", "do", "-s", "1422")).received > 0
    stream = lab.tcp("web1", "web2", seconds=1)
    assert stream.bits_per_second > 1e6  # a wrong checksum or MTU leaves next to nothing


def test_the_vtep_itself_speaks_tcp(lab: Lab) -> None:
    """The underlay carries an operator's own traffic too: its interface needs no care about offloads."""
    assert lab.tcp("h1", "h2", seconds=1).bits_per_second > 1e6


def test_arping_tells_who_answers(lab: Lab) -> None:
    add_flows(lab, "vxlan")
    lab.ping("web1", "web2")
    assert set(lab.arping("web1", "web2").macs) == {"02:00:00:00:00:02"}
    assert lab.arping("web1", "10.0.0.77").macs == ()


def test_nothing_is_said_unasked(lab: Lab) -> None:
    """Neither the underlay nor a VM sends frames of its own, such as IPv6's."""
    with lab.capture("h1", "ip6") as underlay, lab.capture("web1", "ip6") as guest:
        lab.ping("h1", "h2", count=10)
    assert (underlay.lines, guest.lines) == ([], [])


@pytest.mark.parametrize(("network", "other"), [("underlay", "management"), ("management", "underlay")])
def test_a_network_can_be_cut_without_the_other(lab: Lab, network: str, other: str) -> None:
    to = {"underlay": "192.0.2.2", "management": "198.51.100.2"}
    lab.cut("h1", network)
    try:
        assert lab.ping("h1", to[network], count=2).received == 0
        assert lab.ping("h1", to[other], count=2).lost == 0
    finally:
        lab.heal("h1", network)
    assert lab.ping("h1", to[network], count=2).lost == 0


def test_a_vm_moves_and_keeps_its_connections(lab: Lab) -> None:
    add_flows(lab, "vxlan")
    with lab.pinging("web1", "web2", interval=0.05) as pinged:
        lab.move("web2", "h1")
        assert lab.place("web2") == "h1"
        add_flows(lab, "vxlan")
        assert lab.ping("web1", "web2").lost == 0
        lab.move("web2", "h2")
        add_flows(lab, "vxlan")
        assert lab.ping("web1", "web2").received > 0
    assert 0 < pinged().received <= pinged().sent


def test_a_killed_switch_comes_back_with_its_vtep(lab: Lab) -> None:
    lab.signal_daemon("h2", "ovs-vswitchd", signal.SIGKILL)
    lab.start_daemon("h2", "ovs-vswitchd")
    assert lab.ping("h1", "h2").received > 0
    add_flows(lab, "vxlan")
    lab.ping("web1", "web2")
    assert lab.ping("web1", "web2").lost == 0


def test_a_failure_shows_command_place_and_output(lab: Lab) -> None:
    with pytest.raises(CommandFailed, match=r"h1\] ovs-vsctl list-ports nowhere: returned 1\n.*no bridge"):
        lab.run("h1", "ovs-vsctl", "list-ports", "nowhere")
    with pytest.raises(CommandFailed, match=r"still running after 0.2 s"):
        lab.run("web1", "sleep", "5", timeout=0.2)
    with pytest.raises(KeyError, match="h7"):
        lab.run("h7", "true")


def test_two_labs_at_once_know_nothing_of_each_other(lab: Lab) -> None:
    add_flows(lab, "vxlan")
    lab.ping("web1", "web2")
    with Lab(TOPOLOGY, fresh_name()) as second:
        add_bridge(second)
        for vm in second.topology.vms:
            second.plug(vm.name)
        assert second.ping("web1", "web2", count=1).received == 0
        add_flows(second, "gre")
        second.ping("web1", "web2")
        assert second.ping("web1", "web2").lost == 0
        with second.capture("h1", "udp port 4789") as there:  # its own tunnels are GRE
            assert lab.ping("web1", "web2").lost == 0
        assert there.lines == []
    assert lab.ping("web1", "web2").lost == 0


def test_another_process_finds_it_and_takes_it_down() -> None:
    name = fresh_name()
    lab = Lab(TOPOLOGY, name)
    lab.build()
    try:
        shell = [sys.executable, "-m", "topologies", "shell", "--lab", name, "h1", "--"]
        shown = subprocess.run([*shell, "ovs-vsctl", "show"], capture_output=True, text=True, check=True)
        assert 'Manager "ptcp:6640"' in shown.stdout
        with pytest.raises(FileExistsError, match="already"):
            Lab(TOPOLOGY, name).build()
        down = [sys.executable, "-m", "topologies", "down", "--lab", name]
        subprocess.run(down, capture_output=True, check=True)
        assert traces(name) == []
    finally:
        lab.down()


def test_nothing_is_left_of_it() -> None:
    name = fresh_name()
    with Lab(TOPOLOGY, name) as lab:
        lab.start("web1", "sleep", "1000")
        daemons = list(state.read(name).processes.values())
        assert len(daemons) == 4
        assert all(map(processes.alive, daemons))
    assert traces(name) == []
    assert not any(map(processes.alive, daemons))


def test_a_lab_that_cannot_be_finished_is_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chassis, "SCHEMA", Path("/nonexistent"))
    name = fresh_name()
    with pytest.raises(CommandFailed, match="ovsdb-tool create"):
        Lab(TOPOLOGY, name).build()
    assert traces(name) == []


def test_a_builder_that_was_killed_leaves_what_down_can_remove() -> None:
    name = fresh_name()
    program = (
        "import os, sys; from topologies import two_chassis; from topologies.lab import Lab\n"
        f"lab = Lab(two_chassis.TOPOLOGY, {name!r})\n"
        "lab._reach_vteps = lambda chassis: os.kill(os.getpid(), 9)\n"
        "lab.build()"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert traces(name) != []
    Lab.open(name).down()
    assert traces(name) == []


def test_a_foreign_namespace_is_left_alone() -> None:
    name = fresh_name()
    foreign = f"{name}-web2"
    subprocess.run(["ip", "netns", "add", foreign], check=True)
    try:
        with pytest.raises(FileExistsError, match=foreign):
            Lab(TOPOLOGY, name).build()
        assert traces(name) == [str(namespaces.path(foreign))]
    finally:
        subprocess.run(["ip", "netns", "del", foreign], check=True)


def test_it_spares_who_takes_it_down_from_within() -> None:
    """`down` typed in a shell of the lab ends everything but that shell."""
    name = fresh_name()
    with Lab(TOPOLOGY, name) as lab:
        project = Path(__file__).parents[2]
        down = f"cd {project} && {sys.executable} -m topologies down --lab {name}"
        done = lab.run("web1", "sh", "-c", f"{down}; echo still here")
        assert "still here" in done.stdout
        assert traces(name) == []


def test_what_is_started_by_somebody_in_the_background_ends_when_it_is_asked_to(lab: Lab) -> None:
    """A shell has what it starts with `&` ignore SIGINT, and that is inherited."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        running = lab.start("web1", "sleep", "60")
        eventually(lambda: Path(f"/proc/{running.popen.pid}/comm").read_text() == "sleep\n")
        running.stop()
    finally:
        signal.signal(signal.SIGINT, before)
    assert running.popen.returncode == -signal.SIGINT


def test_what_our_environment_says_of_open_vswitch_does_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVS_RUNDIR", "/nonexistent")
    monkeypatch.setenv("OVERLAY_DB", "tcp:203.0.113.1:6642")
    env = namespaces.environment({})
    assert not {"OVS_RUNDIR", "OVERLAY_DB"} & set(env)
    assert os.environ["OVS_RUNDIR"] == "/nonexistent"


def test_a_vm_of_our_own_choosing() -> None:
    """Topologies are values: one more VM, and a lab is built from that."""
    more = replace(TOPOLOGY, vms=(*TOPOLOGY.vms, Vm("extra", "red", "h2", "02:00:00:00:00:0e", "10.0.0.14")))
    with Lab(more, fresh_name()) as lab:
        assert "10.0.0.14/24" in lab.run("extra", "ip", "-o", "address", "show", "dev", "eth0").stdout
        assert Lab.open(lab.name).topology == more
