"""Broadcast, unknown unicast and multicast on real switches: to all members, once each, and no more than a port may."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from controller import wire
from controller.flow_bytes import LONGEST
from flows.compile import compile
from flows.flow import Flow
from flows.meters import needed
from flows.model import Binding, Chassis, Network, Overlay, Vtep
from flows.plan import plan
from flows.tables import FLOOD
from tests.system import crafted
from tests.system.dummy_switch import openflow_at
from tests.system.steps import eventually, fresh_name, running, settle
from topologies import namespaces, three_chassis
from topologies.fabric import Fabric
from topologies.gaps import place, raw_socket
from topologies.lab import Lab
from topologies.topology import UNDERLAY, Topology, Vm
from topologies.wiring import underlay_port, vtep_bridge

pytestmark = pytest.mark.system

MAC1, MAC2, MAC3, MAC9 = (f"02:00:00:00:00:0{n}" for n in (1, 2, 3, 9))
ALL = "ff:ff:ff:ff:ff:ff"

# -- a network of a thousand VTEPs, all of them behind one router of the underlay

VNI = 100
SENDER = Vm("vm1", "red", "h1", MAC1, "10.0.0.1")
ROUTER = Chassis("h2", (Vtep("192.0.2.2"), Vtep("2001:db8::2")))
FOUR = (Vtep("192.0.2.1"),)
BOTH = (*FOUR, Vtep("2001:db8::1"))
MARK = b"to each member, once"


@dataclass(frozen=True)
class Wide:
    """The sender's chassis, with the flows of a network that others have members in as well; how it is looked at."""

    fabric: Fabric
    vteps: tuple[Vtep, ...]
    address: Callable[[int], str]
    sends: socket.socket
    captured: socket.socket

    def compiled(self, members: int) -> tuple[Flow, ...]:
        """The flows with so many members elsewhere."""
        chassis = {"h1": Chassis("h1", self.vteps)}
        bindings = [Binding("h1", SENDER.name, 1, "red", SENDER.name, SENDER.mac, (SENDER.ip,))]
        for n in range(1, members + 1):
            chassis[f"c{n}"] = Chassis(f"c{n}", (Vtep(self.address(n)),))
            bindings.append(Binding(f"c{n}", "vm", 1, "red", f"p{n}", f"02:01:00:00:{n >> 8:02x}:{n & 255:02x}"))
        return compile(Overlay(chassis, {"red": Network("red", "acme", VNI)}, tuple(bindings)), "h1")

    def send(self, messages: list[bytes]) -> float:
        """Have the switch take these, none of which it may refuse; the seconds that took."""
        began = time.monotonic()
        assert openflow_at(self.fabric.directory / "h1" / "br-int.mgmt", b"".join(messages)) == []
        return time.monotonic() - began

    def install(self, found: tuple[Flow, ...]) -> None:
        """The flows, and the meters that they need."""
        for id, rate in needed(found).items():
            for command in (wire.METER_DELETE, wire.METER_ADD):
                self.send([wire.meter_mod(command, id, *rate)])
        self.send([wire.flow_mod_add(each) for each in found])

    def broadcast(self, times: int = 1, tag: bytes = b"") -> Counter[str]:
        """Send it; how many tunnel packets went to each underlay address."""
        for _ in range(times):
            frame = b"\xff" * 6 + bytes.fromhex(MAC1.replace(":", "")) + tag + b"\x12\x34"
            self.sends.send(frame + MARK + bytes(60))
        found: Counter[str] = Counter()
        while True:
            try:
                packet, origin = self.captured.recvfrom(2048)
            except TimeoutError:
                return found
            if MARK in packet and tag + b"\x12\x34" + MARK in packet and origin[2] != socket.PACKET_OUTGOING:
                ipv4 = packet[12:14] == b"\x08\0"
                address = packet[30:34] if ipv4 else packet[38:54]
                found[socket.inet_ntop(socket.AF_INET if ipv4 else socket.AF_INET6, address)] += 1

    def everyone(self, members: int) -> Counter[str]:
        """What is right: one for each."""
        return Counter(self.address(n) for n in range(1, members + 1))


def four(n: int) -> str:
    return f"10.99.{n >> 8}.{n & 255}"


def six(n: int) -> str:
    return f"fd99::{n:x}"


CASES: dict[str, tuple[tuple[Vtep, ...], Callable[[int], str]]] = {
    "IPv4": (FOUR, four),
    "IPv6": (BOTH, six),
    "both families": (BOTH, lambda n: six(n) if n % 2 else four(n)),
}


@pytest.fixture(scope="module", params=CASES)
def wide(request: pytest.FixtureRequest) -> Iterator[Wide]:
    vteps, address = CASES[request.param]
    topology = Topology(
        "wide", "one chassis and a router", (Chassis("h1", BOTH), ROUTER), (Network("red", "acme", VNI),), (SENDER,)
    )
    with Fabric(topology, fresh_name()) as fabric:
        local = vteps[0].ip if len(vteps) == 1 else "flow"
        bridge = ["add-br", "br-int", "--", "set", "bridge", "br-int", f"datapath_type={fabric.datapath}"]
        ours = ["--", "add-port", "br-int", SENDER.name, "--", "set", "interface", SENDER.name, "ofport_request=1"]
        tunnel = ["--", "add-port", "br-int", "overlay-vxlan", "--", "set", "interface", "overlay-vxlan", "type=vxlan"]
        options = ["options:remote_ip=flow", "options:key=flow", f"options:local_ip={local}", "ofport_request=65001"]
        fabric.run("h1", "ovs-vsctl", *bridge, "fail_mode=secure", *ours, *tunnel, *options)
        device = vtep_bridge() if fabric.datapath == "netdev" else "underlay0"
        for version, prefix, way in (("-4", "10.99.0.0/16", "192.0.2.2"), ("-6", "fd99::/64", "2001:db8::2")):
            fabric.run("h1", "ip", version, "route", "add", prefix, "via", way, "dev", device)
            fabric.run("h1", "ping", "-c", "1", "-W", "5", way)
        sends = raw_socket(place(namespaces.path(fabric.netns(SENDER.name)), "eth0"))
        captured = raw_socket(place(namespaces.path(fabric.netns(UNDERLAY)), underlay_port("h1")), 3)
        captured.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        captured.settimeout(1.0)
        with sends, captured:
            found = Wide(fabric, vteps, address, sends, captured)
            found.install(found.compiled(1000))
            # The userspace datapath has to look for the router first, and loses the packet meanwhile.
            eventually(found.broadcast)
            yield found


def test_each_of_a_thousand_vteps_gets_a_broadcast_once(wide: Wide) -> None:
    assert wide.broadcast() == wide.everyone(1000)
    assert wide.broadcast(20) == Counter(dict.fromkeys(wide.everyone(1000), 20))


def test_what_goes_to_a_thousand_is_what_was_sent(wide: Wide) -> None:
    """Whatever the packet is, a tagged one among them; it goes out as several datapath flows."""
    argv = ["ovs-ofctl", "-O", "OpenFlow14", "--no-stats", "dump-flows", "br-int", "table=80"]
    assert wide.fabric.run("h1", *argv).stdout.count("encap(nsh),decap()") == 2
    tagged = replace(Network("red", "acme", VNI), transparent=True)
    overlay = Overlay({"h1": Chassis("h1", wide.vteps)}, {"red": tagged}, (Binding("h1", "vm1", 1, "red"),))
    wide.install(tuple(each for each in compile(overlay, "h1") if each.table is not FLOOD))
    assert wide.broadcast(1, tag=bytes.fromhex("81000007")) == wide.everyone(1000)


def test_a_member_that_joins_or_leaves_is_one_flow_mod(wide: Wide) -> None:
    before, after = wide.compiled(1000), wide.compiled(1001)
    wide.install(before)
    for now, then, members in ((before, after, 1001), (after, before, 1000)):
        todo = plan(then, {each.key for each in now})
        (changed,) = [each for each in todo.adds if each.table is FLOOD]
        message = wire.flow_mod_add(changed)
        began, taken = time.monotonic(), wide.send([message])
        wide.captured.settimeout(0.05)
        # Datapath flows are looked through in the background, every half second at the latest.
        eventually(lambda members=members: wide.broadcast() == wide.everyone(members), 5)
        took = time.monotonic() - began
        wide.captured.settimeout(1.0)
        print(
            f"{members} members: a flow mod of {len(message)} bytes, done after {taken * 1000:.1f} ms, "
            f"in effect after {took * 1000:.0f} ms at the most"
        )
        assert len(message) <= LONGEST
        assert took < 3


# -- policies


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(three_chassis.TOPOLOGY) as built:
        yield built


RED = {"web1", "web2", "web3", "web9"}
GROUPS: dict[str, Packet] = {
    "broadcast": Ether(dst=ALL) / IP(src="10.0.0.1", dst="10.0.0.255") / UDP(dport=4000) / Raw(b"x"),
    "224.0.0.5": Ether(dst="01:00:5e:00:00:05") / IP(src="10.0.0.1", dst="224.0.0.5", ttl=1) / UDP(dport=4000),
    "ff02::1": Ether(dst="33:33:00:00:00:01") / IPv6(src="fe80::ff:fe00:1", dst="ff02::1") / UDP(dport=4000),
    "solicited node": Ether(dst="33:33:ff:00:00:77")
    / IPv6(src="fe80::ff:fe00:1", dst="ff02::1:ff00:77")
    / UDP(dport=4000),
    "239.1.1.1": Ether(dst="01:00:5e:01:01:01") / IP(src="10.0.0.1", dst="239.1.1.1", ttl=8) / UDP(dport=4000),
    "ff15::101": Ether(dst="33:33:00:00:01:01") / IPv6(src="fe80::ff:fe00:1", dst="ff15::101") / UDP(dport=4000),
    "neither IPv4 nor IPv6": Ether(dst="03:00:00:00:00:07", type=0x88B5) / Raw(b"anything"),
    "unknown unicast": Ether(dst="02:00:00:00:0f:0f", type=0x88B5) / Raw(b"anything"),
}
LINK = ("broadcast", "224.0.0.5", "ff02::1", "solicited node")


def received(lab: Lab) -> dict[str, dict[str, int]]:
    """Who received how many of each frame that web1 sends, one of each."""
    with crafted.receiving(lab, [vm.name for vm in lab.topology.vms]) as captured:
        marks = {}
        for name, frame in GROUPS.items():
            frame[Ether].src = MAC1
            marks[name] = crafted.send(lab, "web1", frame)
    return {name: captured.seen(marks[name]) for name in GROUPS}


def test_all_members_get_it_once_and_nobody_else(lab: Lab) -> None:
    others = dict.fromkeys(RED - {"web1"}, 1)
    assert received(lab) == dict.fromkeys(GROUPS, others)


def test_a_network_without_multicast_passes_what_links_need(lab: Lab) -> None:
    lab.overlayctl("net-set", "red", "--multicast", "drop")
    settle(lab)
    try:
        others = dict.fromkeys(RED - {"web1"}, 1)
        passed = {*LINK, "unknown unicast"}
        assert received(lab) == {name: others if name in passed else {} for name in GROUPS}
    finally:
        lab.overlayctl("net-set", "red", "--multicast", "flood")
        settle(lab)


def test_a_network_without_unknown_unicast_floods_the_rest(lab: Lab) -> None:
    lab.overlayctl("net-set", "red", "--unknown-unicast", "drop")
    settle(lab)
    try:
        others = dict.fromkeys(RED - {"web1"}, 1)
        assert received(lab) == {name: others if name != "unknown unicast" else {} for name in GROUPS}
        assert lab.ping("web1", "web9", count=2).lost == 0, "a learned MAC is not unknown"
    finally:
        lab.overlayctl("net-set", "red", "--unknown-unicast", "flood")
        settle(lab)


# -- how much a port may send to all

_BURST = """
import socket, sys, time
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("eth0", 0))
frame, rate, seconds = bytes.fromhex(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
began, sent = time.monotonic(), 0
while (now := time.monotonic() - began) < seconds:
    while sent < now * rate:
        try:
            out.send(frame)
        except OSError:
            pass
        sent += 1
    time.sleep(0.0005)
print(sent)
"""


def bursting(mark: bytes, rate: int, seconds: float, src: str = MAC1, dst: str = ALL) -> list[str]:
    """A command that sends so many frames per second, and prints how many those were."""
    frame = bytes(Ether(src=src, dst=dst, type=0x88B5) / Raw(mark)).ljust(60, b"\0")
    return [sys.executable, "-c", _BURST, frame.hex(), str(rate), str(seconds)]


def dropped(lab: Lab, port: str) -> int:
    """What `overlayctl drops` says the meter of a port has dropped."""
    rows = json.loads(lab.overlayctl("drops", "--port", port, "--format", "json"))
    return sum(row["packets"] for row in rows if row["reason"] == "over-flood-rate")


RATE, SECONDS = 100, 3.0


def test_a_port_sends_no_more_to_all_than_it_may(lab: Lab) -> None:
    lab.overlayctl("port-set", "web1", "--flood-rate", str(RATE))
    settle(lab)
    flooded, known, others = (crafted.mark() for _ in range(3))
    with crafted.receiving(lab, ["web2", "web3"]) as captured:
        storm = lab.start("web1", *bursting(flooded, 50_000, SECONDS))
        try:
            time.sleep(0.2)
            direct = int(lab.run("web1", *bursting(known, 200, 1.0, dst=MAC3)).stdout)
            beside = int(lab.run("web9", *bursting(others, 200, 1.0, src=MAC9)).stdout)
            sent = int(eventually(lambda: storm.ended() is not None and storm.output().strip(), 20))
        finally:
            storm.stop()
    seen = captured.seen(flooded)
    print(f"{sent} broadcasts sent in {SECONDS:g} s, {seen} arrived")
    assert sent >= 20_000 * SECONDS
    assert set(seen) == {"web2", "web3"}
    # One second's worth may go at once, and the last interval may be cut.
    assert all(RATE * (SECONDS - 1) <= number <= RATE * (SECONDS + 2) for number in seen.values()), seen
    # Those that the port itself lost in the storm were never sent.
    assert captured.seen(known)["web3"] >= 0.9 * direct, "known unicast has no limit"
    assert captured.seen(others) == {"web2": beside, "web3": beside}, "nor have others because of it"
    assert dropped(lab, "web1") >= 0.8 * sent


def test_a_port_without_limit_has_none(lab: Lab) -> None:
    lab.overlayctl("port-set", "web1", "--flood-rate", "unlimited")
    settle(lab)
    mark = crafted.mark()
    with crafted.receiving(lab, ["web2"]) as captured:
        sent = int(lab.run("web1", *bursting(mark, 20_000, 2.0)).stdout)
    assert sent >= 30_000
    assert captured.seen(mark)["web2"] > 1.2 * 3 * 5000, "more than the usual limit would have let pass"
    lab.overlayctl("port-set", "web1", "--flood-rate", "default")
    settle(lab)


# -- a storm: a VM that is a bridge between two of its ports


def cpu(lab: Lab, chassis: str) -> float:
    """Seconds of CPU that a chassis' switch has taken."""
    pid = int((lab.directory / chassis / "ovs-vswitchd.pid").read_text())
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


LOOP = ("loop1", "loop2")
STORM_S = 4.0


@pytest.fixture
def looped() -> Iterator[Lab]:
    """Two ports of one network on h1, whose far ends a bridge connects, with security off, as a bridge would have."""
    vms = tuple(Vm(name, "red", "h1", f"02:00:00:00:00:2{n}", f"10.0.0.2{n}") for n, name in enumerate(LOOP, 1))
    topology = replace(three_chassis.TOPOLOGY, vms=(*three_chassis.TOPOLOGY.vms, *vms))
    with running(topology) as built:
        for name in LOOP:
            built.overlayctl("port-set", name, "--security", "off")
        settle(built)
        yield built


def test_a_loop_behind_two_ports_leaves_the_network_working(looped: Lab) -> None:
    lab = looped
    home = lab.netns("loop1")
    namespaces.script(lab.netns("loop2"), ["ip addr flush dev eth0", f"ip link set dev eth0 name eth1 netns {home}"])
    namespaces.script(
        home,
        [
            "ip addr flush dev eth0",
            "ip link add name looping type bridge stp_state 0 mcast_snooping 0",
            "ip link set dev eth0 master looping",
            "ip link set dev eth1 master looping up",
        ],
    )
    lost: dict[str, float] = {}
    took: dict[str, float] = {}
    for rate in ("unlimited", "50"):
        for name in LOOP:
            lab.overlayctl("port-set", name, "--flood-rate", rate)
        settle(lab)
        namespaces.script(home, ["ip link set dev looping up"])
        try:
            # One is enough; of a MAC that is declared a loose port would not take it back.
            lab.arping("web9", "10.0.0.99")
            before, began = cpu(lab, "h1"), time.monotonic()
            with lab.pinging("web1", "web2", 0.02) as result:
                time.sleep(STORM_S)
            took[rate] = (cpu(lab, "h1") - before) / (time.monotonic() - began)
            lost[rate] = result().lost / max(1, result().sent)
        finally:
            namespaces.script(home, ["ip link set dev looping down"])
        time.sleep(1)
    print(f"lost: {lost}; CPU of h1's switch: {took}")
    assert lost["50"] <= 0.02
    assert took["50"] <= max(0.3, took["unlimited"])
    assert dropped(lab, "loop1") + dropped(lab, "loop2") > 0
