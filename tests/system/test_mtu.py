"""Packets that no tunnel can carry, on real Open vSwitch: their senders are told, and nobody else notices."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.model import Chassis, Encap, Network, Vtep
from tests.system.steps import eventually, fresh_name, problems, running, settle
from topologies import gateway
from topologies.lab import Lab
from topologies.topology import CONTROLLER, Topology, Vm

pytestmark = pytest.mark.system

VMS = (
    Vm("web1", "red", "h1", "02:00:00:00:00:01", "10.0.0.1"),
    Vm("web2", "red", "h2", "02:00:00:00:00:02", "10.0.0.2"),
    Vm("web4", "red", "h1", "02:00:00:00:00:04", "10.0.0.4"),
    Vm("db1", "blue", "h1", "02:00:00:00:00:01", "10.0.0.1"),
    Vm("db2", "blue", "h2", "02:00:00:00:00:02", "10.0.0.2"),
)
NETWORKS = (Network("red", "acme", 100, Encap.VXLAN), Network("blue", "umbra", 200, Encap.GRE))
PORT_OF = {vm.name: vm.chassis for vm in VMS}


def topology(*ends: str) -> Topology:
    chassis = tuple(Chassis(f"h{n}", (Vtep(ip),)) for n, ip in enumerate(ends, 1))
    return Topology("mtu", "VMs with an MTU of 1500 on an underlay of 1500", chassis, NETWORKS, VMS)


V4 = topology("192.0.2.1", "192.0.2.2")
V6 = topology("2001:db8::1", "2001:db8::2")


@contextlib.contextmanager
def built(topology: Topology) -> Iterator[Lab]:
    """A lab whose VMs have an MTU of 1500; in the end its controller must never have died nor been refused a flow."""
    with Lab(topology, fresh_name(), ipv6=True) as lab:
        lab.up()
        widen(lab)
        yield lab
        log = lab.controller_log()
        print(log)
        assert [line for line in log.splitlines() if re.search("CRITICAL|Traceback|flow refused", line)] == []


def widen(lab: Lab) -> None:
    """Every VM has what it would have without anybody's advice: an MTU of 1500, IPv6 as well."""
    for vm in lab.topology.vms:
        number = vm.ip.rpartition(".")[2]
        six = f"2001:db8:f::{number}"
        lab.overlayctl("port-set", vm.name, "--ip", f"{vm.ip},{six}")
        lab.run(PORT_OF[vm.name], "ip", "link", "set", "dev", vm.name, "mtu", "1500")
        lab.run(vm.name, "ip", "link", "set", "dev", "eth0", "mtu", "1500")
        lab.run(vm.name, "ip", "address", "replace", f"{six}/64", "dev", "eth0", "nodad")
    settle(lab)


def six(lab: Lab, vm: str) -> str:
    return f"2001:db8:f::{lab.address(vm).rpartition('.')[2]}"


def forget(lab: Lab, *vms: str) -> None:
    """What a VM was told about the way to others is forgotten."""
    for vm in vms:
        lab.run(vm, "ip", "route", "flush", "cache")
        lab.run(vm, "ip", "-6", "route", "flush", "cache")


@pytest.fixture(scope="module")
def four() -> Iterator[Lab]:
    with built(V4) as lab:
        yield lab


@pytest.fixture(scope="module")
def sixes() -> Iterator[Lab]:
    with built(V6) as lab:
        yield lab


@pytest.fixture(params=[("four", "web1", "web2", 1450), ("four", "db1", "db2", 1458),
                        ("sixes", "web1", "web2", 1430), ("sixes", "db2", "db1", 1438)],
                ids=["vxlan-4", "gre-4", "vxlan-6", "gre-6"])  # fmt: skip
def way(request: pytest.FixtureRequest) -> tuple[Lab, str, str, int]:
    """A lab, two VMs on two chassis, and what is between them: each encap over each family."""
    which, source, target, mtu = request.param
    lab: Lab = request.getfixturevalue(which)
    forget(lab, source, target)
    return lab, source, target, mtu


Way = tuple[Lab, str, str, int]


def test_a_host_is_told_and_then_keeps_to_it(way: Way) -> None:
    lab, source, target, mtu = way
    address = lab.address(target)
    told = lab.run(source, "ping", "-M", "do", "-c", "1", "-W", "2", "-s", "1472", address, check=False).stdout
    assert f"From {address} icmp_seq=1 Frag needed and DF set (mtu = {mtu})" in told
    assert f"mtu {mtu} " in lab.run(source, "ip", "route", "get", address).stdout
    fits = lab.ping(source, target, count=3, options=("-M", "do", "-s", str(mtu - 28)))
    assert (fits.sent, fits.lost) == (3, 0)
    more = lab.run(source, "ping", "-M", "do", "-c", "1", "-s", str(mtu - 27), address, check=False)
    assert f"message too long, mtu={mtu}" in more.stdout + more.stderr


def test_what_fits_is_not_counted_as_dropped(four: Lab) -> None:
    """Open vSwitch's own count of the flow says otherwise."""
    forget(four, "web1")
    before = dropped(four, "web1")
    assert four.ping("web1", "web2", count=20, interval=0.01).lost == 0
    assert dropped(four, "web1") == before
    four.ping("web1", "web2", count=1, options=("-M", "do", "-s", "1472"))
    assert dropped(four, "web1") == before + 1


def test_so_is_one_with_ipv6(way: Way) -> None:
    lab, source, target, mtu = way
    address = six(lab, target)
    told = lab.run(source, "ping", "-6", "-M", "do", "-c", "1", "-W", "2", "-s", "1452", address, check=False).stdout
    assert f"From {address} icmp_seq=1 Packet too big: mtu={mtu}" in told
    assert f"mtu {mtu} " in lab.run(source, "ip", "-6", "route", "get", address).stdout
    assert (
        lab.run(source, "ping", "-6", "-M", "do", "-c", "3", "-i", "0.2", "-s", str(mtu - 48), address).returncode == 0
    )


def test_packets_that_just_fit_lose_nothing(way: Way) -> None:
    """To the octet: what the limit says goes through the underlay, and there is no octet left."""
    lab, source, target, mtu = way
    fits = lab.ping(source, target, count=300, interval=0.002, options=("-M", "do", "-q", "-s", str(mtu - 28)))
    assert (fits.sent, fits.lost) == (300, 0)
    with lab.capture(PORT_OF[source]) as seen:
        lab.ping(source, target, count=1, options=("-M", "do", "-s", str(mtu - 28)))
    assert len([line for line in seen.lines if re.search(r"length 1514: ", line) and "echo re" in line]) == 2


def test_one_octet_more_is_answered(way: Way) -> None:
    lab, source, target, mtu = way
    options = ("-M", "do", "-c", "1", "-W", "1", "-s", str(mtu - 27))
    told = lab.run(source, "ping", *options, lab.address(target), check=False).stdout
    assert f"Frag needed and DF set (mtu = {mtu})" in told


def test_packets_that_may_be_fragmented_arrive(way: Way) -> None:
    """Who is told fragments, from the next packet on: first the one that asks, then the one that answers."""
    lab, source, target, _ = way
    lab.ping(source, target, count=1, options=("-M", "dont", "-s", "3000"))
    lab.ping(source, target, count=1, options=("-M", "dont", "-s", "3000"))
    late = lab.ping(source, target, count=5, options=("-M", "dont", "-s", "3000"))
    assert (late.sent, late.lost) == (5, 0)


TRANSFER = """
import socket, sys
server, address = sys.argv[1] == "server", sys.argv[2]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
end = socket.socket(family)
end.settimeout(20)
if server:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.bind((address, 5001))
    end.listen()
    print("listening", flush=True)
    other, _ = end.accept()
    other.settimeout(20)
    got = 0
    while data := other.recv(65536):
        got += len(data)
    print("got", got, flush=True)
else:
    end.settimeout(float(sys.argv[3]))
    end.connect((address, 5001))
    print("mss", end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), flush=True)
    end.sendall(bytes(1_000_000))
    end.shutdown(socket.SHUT_WR)
    end.recv(1)
    print("mss", end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), flush=True)
"""


def transfer(lab: Lab, source: str, target: str, address: str, seconds: float = 10) -> tuple[int | None, list[int]]:
    """A megabyte of TCP: what arrived (None: not all of it), and the segment sizes before and after."""
    program = lab.directory / "transfer.py"
    program.write_text(TRANSFER)
    with lab.background(target, "python3", str(program), "server", address) as server:
        server.wait_for("listening")
        client = lab.run(source, "python3", str(program), "client", address, str(seconds), check=False)
        if client.returncode == 0:
            server.wait_for("got")
        got = re.search(r"got (\d+)", server.output())
    return int(got[1]) if got else None, [int(size) for size in re.findall(r"mss (\d+)", client.stdout)]


def test_tcp_between_two_that_believe_in_1500_gets_through(way: Way) -> None:
    lab, source, target, mtu = way
    began = time.monotonic()
    got, (before, after) = transfer(lab, source, target, lab.address(target))
    assert got == 1_000_000
    assert (before, after) == (1448, mtu - 52), "less 20 of IP, 20 of TCP, and 12 of timestamps"
    assert time.monotonic() - began < 8
    got, (before, after) = transfer(lab, source, target, six(lab, target))
    assert (got, before, after) == (1_000_000, 1428, mtu - 72)


def test_without_the_answer_it_would_hang(four: Lab) -> None:
    """The controller is away: small packets go on, large ones vanish; when it is back, all is well."""
    forget(four, "web1", "web2")
    four.stop_controller()
    try:
        assert four.ping("web1", "web2").lost == 0
        assert transfer(four, "web1", "web2", "10.0.0.2", seconds=3)[0] is None
    finally:
        four.start_controller()
    eventually(lambda: transfer(four, "web1", "web2", "10.0.0.2", seconds=5)[0] == 1_000_000, 60)


def test_behind_a_trunk_port_the_answer_comes_through_its_tag(four: Lab) -> None:
    four.overlayctl(
        *("port-add", "sub1", "--net", "blue", "--mac", "02:00:00:00:01:01", "--ip", "10.0.0.9"),
        *("--parent", "web1", "--tag", "7"),
    )
    settle(four)
    four.add_vlan("web1", 7, "10.0.0.9/32", mac="02:00:00:00:01:01")
    four.run("web1", "ip", "route", "add", "10.0.0.2/32", "dev", "eth0.7", "table", "7", "src", "10.0.0.9")
    four.run("web1", "ip", "rule", "add", "from", "10.0.0.9", "table", "7")
    try:
        eventually(lambda: four.ping("web1", "10.0.0.2", count=1, options=("-I", "10.0.0.9")).lost == 0)
        with four.capture("web1", "vlan 7 and icmp") as seen:
            options = ("-I", "10.0.0.9", "-M", "do", "-c", "1", "-W", "2", "-s", "1468")
            told = four.run("web1", "ping", *options, "10.0.0.2", check=False).stdout
        assert "Frag needed and DF set (mtu = 1458)" in told
        (answer,) = seen.having("need to frag")
        assert "02:00:00:00:00:02 > 02:00:00:00:01:01, ethertype 802.1Q" in answer
        assert "vlan 7" in answer
    finally:
        four.run("web1", "ip", "rule", "del", "from", "10.0.0.9", "table", "7")
        four.run("web1", "ip", "link", "del", "eth0.7")
        four.overlayctl("--wait", "port-del", "sub1")


FLOOD = """
import socket, sys, time
address, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.setsockopt(socket.IPPROTO_IP, 10, 3)  # IP_MTU_DISCOVER: IP_PMTUDISC_PROBE, heeds no answer
began, sent, payload = time.monotonic(), 0, bytes(1472)
while (now := time.monotonic()) < began + seconds:
    while sent < (now - began) * rate:
        end.sendto(payload, (address, 9))
        sent += 1
    time.sleep(0.001)
print("sent", sent)
"""


def cpu_s(lab: Lab) -> float:
    """The processor time that the controller has used, in seconds."""
    fields = Path(f"/proc/{lab._processes[CONTROLLER].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def dropped(lab: Lab, port: str) -> int:
    """How many packets of a port were dropped because they were too large, as `overlayctl drops` says."""
    rows = json.loads(lab.overlayctl("drops", "--chassis", "h1", "--format", "json"))
    return sum(row["packets"] for row in rows if row["reason"] == "drop-too-large" and row["port"] == port)


@pytest.mark.alone
def test_a_flood_of_them_hurts_nobody(four: Lab) -> None:
    """10000 a second for 5 s: the controller hardly notices, others get through and are answered, all are counted."""
    forget(four, "web1", "web4", "db1")
    program = four.directory / "flood.py"
    program.write_text(FLOOD)
    before, used, logged = dropped(four, "web1"), cpu_s(four), four.controller_log()
    with four.background("web1", "python3", str(program), "10.0.0.2", "10000", "5") as flood:
        time.sleep(1)
        others = four.ping("db1", "db2", count=100, interval=0.01)
        told = four.run("web4", "ping", "-M", "do", "-c", "1", "-W", "2", "-s", "1472", "10.0.0.2", check=False).stdout
        with four.capture("web1", "icmp") as seen:
            time.sleep(1)
        flood.wait_for("sent", 20)
    (sent,) = re.findall(r"sent (\d+)", flood.output())
    used = cpu_s(four) - used
    counted = dropped(four, "web1") - before
    print(f"{sent} sent, {counted} counted, {used:.2f} s of the controller, {len(seen.lines)} answers")
    assert int(sent) > 20_000
    assert counted >= 0.95 * int(sent)
    assert (others.sent, others.lost) == (100, 0)
    assert "Frag needed and DF set (mtu = 1450)" in told
    assert 1 <= len(seen.having("need to frag")) <= 25
    assert used < 1.5
    assert "Traceback" not in four.controller_log()[len(logged) :]


def test_the_way_to_each_chassis_has_its_own_mtu(four: Lab) -> None:
    """One with a smaller underlay is told so to those who send there, and to no others."""
    four.overlayctl("--wait", "chassis-set", "h2", "--vtep-mtu", "1400")
    try:
        forget(four, "web1")
        told = four.run(
            "web1", "ping", "-M", "do", "-c", "3", "-i", "0.3", "-W", "2", "-s", "1472", "10.0.0.2", check=False
        ).stdout
        assert "Frag needed and DF set (mtu = 1350)" in told
        four.overlayctl("--wait", "net-set", "red", "--mtu", "1450")
        eventually(lambda: "network red" in problems(four))
        assert problems(four)["network red"].startswith(
            "its MTU is declared as 1450, but h1 and h2 carry 1350 (vxlan over IPv4, underlay 1400)"
        )
        said = four.overlayctl("check", "mtu", "--net", "red", check=False)
        assert re.search(r"h1-h2 +192.0.2.1-192.0.2.2 +vxlan +1400 +50 +1350 +- +red\n", said)
        assert "network red: its MTU is declared as 1450, but h1 and h2 carry 1350" in said
    finally:
        four.overlayctl("chassis-set", "h2", "--vtep-mtu", "1500")
        four.overlayctl("--wait", "net-set", "red", "--mtu", "auto")
    eventually(lambda: json.loads(four.overlayctl("--format", "json", "net-show", "red"))["carries"] == 1450)
    assert "red  tenant acme, VNI 100, vxlan, MTU 1450 (vxlan over IPv4, underlay 1500)" in four.overlayctl("show")


def interface(lab: Lab, name: str, column: str) -> str:
    return lab.run("h1", "ovs-vsctl", "--if-exists", "get", "Interface", name, column).stdout.strip()


def test_internal_ports_get_the_networks_mtu(four: Lab) -> None:
    """Those that Open vSwitch itself provides; it follows changes, and an operator's own request is left alone."""
    four.overlayctl("port-add", "in0", "--net", "red", "--mac", "02:00:00:00:02:00", "--ip", "10.0.0.50")
    add = ("ovs-vsctl", "add-port", "br-int", "p0", "--", "set", "interface", "p0", "type=internal")
    four.run("h1", *add, "external_ids:iface-id=in0")
    try:
        eventually(lambda: interface(four, "p0", "mtu") == "1450")
        assert interface(four, "p0", "mtu_request") == "1450"
        assert "mtu 1450 " in four.run("h1", "ip", "link", "show", "dev", "p0").stdout
        four.overlayctl("net-set", "red", "--mtu", "1400")
        eventually(lambda: interface(four, "p0", "mtu") == "1400")
        four.overlayctl("net-set", "red", "--mtu", "auto")
        eventually(lambda: interface(four, "p0", "mtu") == "1450")
        four.run("h1", "ovs-vsctl", "set", "Interface", "p0", "mtu_request=1300")
        four.overlayctl("--wait", "net-set", "red", "--mtu", "1400")
        settle(four)
        assert interface(four, "p0", "mtu_request") == "1300", "an operator's own"
        four.run("h1", "ovs-vsctl", "clear", "Interface", "p0", "mtu_request")
        eventually(lambda: interface(four, "p0", "mtu_request") == "1400")
        four.run("h1", "ovs-vsctl", "remove", "Interface", "p0", "external_ids", "iface-id", "in0")
        eventually(lambda: interface(four, "p0", "mtu_request") == "[]")
        assert "overlay-mtu" not in interface(four, "p0", "external_ids")
    finally:
        four.run("h1", "ovs-vsctl", "--if-exists", "del-port", "br-int", "p0")
        four.overlayctl("net-set", "red", "--mtu", "auto")
        four.overlayctl("--wait", "port-del", "in0")


def test_tags_that_the_tunnel_carries_are_not_in_the_mtu() -> None:
    """In a network that lets tags pass: a tagged packet has four octets less."""
    vms = tuple(vm for vm in VMS if vm.network == "red")
    red = Network("red", "acme", 100, transparent=True)
    with built(Topology("mtu", "tags", V4.chassis, (red,), vms)) as lab:
        for vm, address in (("web1", "10.7.0.1/24"), ("web2", "10.7.0.2/24")):
            lab.overlayctl("port-set", vm, "--security", "off")
            lab.add_vlan(vm, 7, address)
            lab.run(vm, "ip", "link", "set", "dev", "eth0.7", "mtu", "1496")
        settle(lab)
        eventually(lambda: lab.ping("web1", "10.7.0.2", count=1).lost == 0)
        told = lab.run("web1", "ping", "-M", "do", "-c", "1", "-W", "2", "-s", "1468", "10.7.0.2", check=False).stdout
        assert "Frag needed and DF set (mtu = 1446)" in told
        assert lab.ping("web1", "10.7.0.2", options=("-M", "do", "-s", str(1446 - 28))).lost == 0


def test_hosts_outside_of_the_overlay_are_told_too() -> None:
    """They have the physical network's MTU, and nobody tells them of tunnels: untagged, and through their VLAN."""
    with running(gateway.TOPOLOGY) as lab:
        for source, size in (("printer", 1472), ("nas", 1468)):
            eventually(lambda source=source: lab.ping(source, "web2", count=1).lost == 0)
            options = ("-M", "do", "-c", "1", "-W", "2", "-s", str(size))
            told = lab.run(source, "ping", *options, "10.0.0.2", check=False).stdout
            assert "From 10.0.0.2 icmp_seq=1 Frag needed and DF set (mtu = 1450)" in told, source
            assert lab.ping(source, "web2", options=("-M", "do", "-s", "1422")).lost == 0
