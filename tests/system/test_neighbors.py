"""Neighbors on real Open vSwitch: learned once, answered everywhere, moved at once, forgotten when they are gone."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from flows.compile.guard import COPIES
from flows.compile.respond import ASKER
from flows.model import Chassis, Encap, Network, Vtep
from tests.system.steps import eventually, fresh_name, learned, problems, settle, shown
from topologies import controller
from topologies.lab import Lab
from topologies.namespaces import Background
from topologies.topology import CONTROLLER, Topology, Vm
from topologies.wiring import VM_NIC

pytestmark = pytest.mark.system

AGE = 8
TOPOLOGY = Topology(
    name="neighbors",
    title="three chassis, one tenant with declared and undeclared guests, one with declared ones alone",
    chassis=tuple(Chassis(f"h{number}", (Vtep(f"192.0.2.{number}"),)) for number in (1, 2, 3)),
    networks=(Network("red", "acme", 100), Network("blue", "umbra", 200, Encap.GRE)),
    vms=(
        Vm("web1", "red", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("web2", "red", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("web3", "red", "h3", "02:00:00:00:00:03", "10.0.0.3"),
        Vm("free2", "red", "h2", "02:00:00:00:00:09", "10.0.0.9", declared=False),
        Vm("free3", "red", "h3", "02:00:00:00:00:08", "10.0.0.8", declared=False),
        Vm("db1", "blue", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("db2", "blue", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("db3", "blue", "h3", "02:00:00:00:00:03", "10.0.0.3"),
    ),
)
BROADCAST = "ff:ff:ff:ff:ff:ff"
TUNNELS = "udp port 4789 or proto gre"

_SEND = """
import socket, sys, time
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for _ in range(int(sys.argv[3])):
    out.send(bytes.fromhex(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(TOPOLOGY, fresh_name(), ipv6=True) as lab:
        lab.up()
        lab.overlayctl("net-set", "red", "--subnet", "10.0.0.0/24,2001:db8::/64")
        lab.overlayctl("net-set", "blue", "--subnet", "10.0.0.0/24")
        for number in (1, 2, 3):
            lab.overlayctl("port-set", f"web{number}", "--ip", f"10.0.0.{number},2001:db8::{number}")
            lab.run(f"web{number}", "ip", "address", "add", f"2001:db8::{number}/64", "dev", VM_NIC)
        for number in (9, 8):
            name = {9: "free2", 8: "free3"}[number]
            lab.run(name, "ip", "address", "add", f"2001:db8::{number}/64", "dev", VM_NIC)
        settle(lab)
        yield lab
        log = lab.controller_log()
        print(log)
        assert [line for line in log.splitlines() if re.search("CRITICAL|Traceback|flow refused", line)] == []


def say(lab: Lab, vm: str, frame: Packet, times: int = 1) -> None:
    """Send a frame from a VM, just as it is."""
    lab.run(vm, sys.executable, "-c", _SEND, VM_NIC, bytes(frame).hex(), str(times))


def mac(vm: str) -> str:
    return next(each.mac for each in TOPOLOGY.vms if each.name == vm)


def gratuitous(vm: str, ip: str, op: int = 1) -> Packet:
    """Gratuitous ARP, as a request or as a reply."""
    said = ARP(op=op, hwsrc=mac(vm), psrc=ip, pdst=ip, hwdst=mac(vm) if op == 2 else "00:00:00:00:00:00")
    return Ether(src=mac(vm), dst=BROADCAST) / said


def unsolicited(vm: str, ip: str) -> Packet:
    """An unsolicited neighbor advertisement."""
    said = IPv6(src=ip, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=ip, R=0, S=0, O=1)
    return Ether(src=mac(vm), dst="33:33:00:00:00:01") / said / ICMPv6NDOptDstLLAddr(lladdr=mac(vm))


def answered(lab: Lab, vm: str, ip: str) -> tuple[str, ...]:
    """The MACs that a VM is told when it asks for an address."""
    if ":" not in ip:
        return lab.arping(vm, ip).macs
    lab.run(vm, "ip", "-6", "neigh", "flush", "dev", VM_NIC)
    lab.run(vm, "ping", "-c", "1", "-W", "0.2", ip, check=False)
    found = lab.run(vm, "ip", "-6", "neigh", "show", ip, "dev", VM_NIC).stdout
    return tuple(re.findall(r"lladdr (\S+)", found))


class PacketIns:
    """The packets that a switch has sent to the controller, as the switch itself tells (`ovs-ofctl snoop`)."""

    def __init__(self, running: Background) -> None:
        self._running = running

    def of(self, *words: str) -> list[str]:
        """Those with all of these words in them."""
        parts = re.split(r"\n(?=\S*OFPT_|\S*NXT_)", self._running.output())
        return [part for part in parts if "PACKET_IN" in part and all(word in part for word in words)]


def test_who_is_learned_on_one_chassis_is_answered_for_on_all(lab: Lab) -> None:
    for ip in ("10.0.0.50", "2001:db8::50"):
        say(lab, "free2", gratuitous("free2", ip) if ":" not in ip else unsolicited("free2", ip))
        eventually(lambda ip=ip: ip in learned(lab, "red"))
        settle(lab)
        with lab.capture("h2", TUNNELS) as seen:
            assert {answered(lab, vm, ip) for vm in ("web1", "web2", "web3", "free3")} == {(mac("free2"),)}
        assert [line for line in seen.lines if f"who-has {ip}" in line or f"who has {ip}" in line] == []


@pytest.mark.parametrize("family", [4, 6])
def test_an_unknown_neighbor_reaches_the_controller_once(lab: Lab, family: int) -> None:
    """And no more often when it says so a thousand times."""
    ip = {4: "10.0.0.51", 6: "2001:db8::51"}[family]

    def frame(ip: str) -> Packet:
        return gratuitous("free3", ip, 2) if family == 4 else unsolicited("free3", ip)

    with lab.background("h3", "ovs-ofctl", "snoop", "br-int") as running:
        packets = PacketIns(running)
        time.sleep(0.5)
        say(lab, "free3", frame(ip))
        eventually(lambda: ip in learned(lab, "red"))
        say(lab, "free3", frame(ip), 1000)
        time.sleep(1)
        assert len(packets.of(ip)) == 1
    settle(lab)
    ip = ip.replace("51", "53")
    with lab.background("h3", "ovs-ofctl", "snoop", "br-int") as running:
        packets = PacketIns(running)
        time.sleep(0.5)
        say(lab, "free3", frame(ip), 1000)
        eventually(lambda: ip in learned(lab, "red"))
        say(lab, "free3", frame(ip), 1000)
        time.sleep(1)
        told = len(packets.of(ip))
    # Until it has taken notice, some ten milliseconds, the datapath copies each: not more than the meter lets pass.
    print(f"{ip}: {told} copies of 2000 frames at full speed")
    assert 1 <= told <= COPIES[1] + 2
    settle(lab)


@pytest.mark.parametrize("op", [1, 2, 6])
def test_who_takes_an_address_over_has_it_at_once_on_every_chassis(lab: Lab, op: int) -> None:
    """Gratuitous ARP as request and as reply, an unsolicited advertisement; and back, within the same seconds."""
    ip = "2001:db8::52" if op == 6 else f"10.0.0.{60 + op}"

    def takes(vm: str) -> Packet:
        return unsolicited(vm, ip) if op == 6 else gratuitous(vm, ip, op)

    for vm in ("free2", "free3", "free2", "free3"):
        with lab.capture("web1", "arp or icmp6") as heard:
            say(lab, vm, takes(vm))
            began = time.monotonic()
            for asker in ("web1", "web2", "web3"):
                eventually(lambda asker=asker, vm=vm: answered(lab, asker, ip) == (mac(vm),), 5)
            took = time.monotonic() - began
        print(f"{ip} at {vm}: everywhere after {took:.2f} s")
        assert heard.having("10.0.0.6" if op != 6 else "2001:db8::52"), "and all have heard it themselves"


def test_two_that_have_one_address_are_both_told_so(lab: Lab) -> None:
    """It went to and fro before; that is said."""

    def told() -> bool:
        problems = {row["where"]: row["what"] for row in shown(lab)["problems"]}
        return all("two have one address" in problems.get(place, "") for place in ("h2/free2", "h3/free3"))

    def heard(vm: str) -> bool:
        """Again and again: h2 may not know yet that free2 has lost the address when it says so the next time."""
        say(lab, vm, gratuitous(vm, "10.0.0.70"))
        return answered(lab, "web1", "10.0.0.70") == (mac(vm),)

    for vm in ("free2", "free3", "free2"):
        eventually(lambda vm=vm: heard(vm))
    eventually(told)


def test_a_quiet_neighbor_stays_and_one_that_is_gone_goes(lab: Lab) -> None:
    """Both say nothing for three times their age; one is there and answers when it is asked."""
    quiet = ("10.0.0.9", "2001:db8::9")
    for vm in ("free2", "free3"):
        lab.ping(vm, "10.0.0.1", count=1)
        lab.run(vm, "ping", "-c", "1", "2001:db8::1", check=False)
    eventually(lambda: {*quiet, "10.0.0.8", "2001:db8::8"} <= set(learned(lab, "red")))
    lab.overlayctl("set", "Overlay_Global", ".", f"options:neighbor_age={AGE}")
    try:
        with lab.capture("free2", f"ether host {ASKER}") as asked:
            lab.run("free3", "ip", "link", "set", VM_NIC, "down")
            eventually(lambda: not {"10.0.0.8", "2001:db8::8"} & set(learned(lab, "red")), 2 * AGE)
            time.sleep(2 * AGE)
            assert set(quiet) <= set(learned(lab, "red"))
        assert asked.having("ARP", "Request who-has 10.0.0.9")
        assert asked.having("ARP", "Reply 10.0.0.9 is-at")
        assert asked.having("neighbor solicitation", "2001:db8::9")
        assert asked.having("neighbor advertisement", "2001:db8::9")
        assert answered(lab, "web1", "10.0.0.8") == (), "nobody answers for who is gone"
        assert answered(lab, "web1", "10.0.0.9") == (mac("free2"),)
    finally:
        lab.overlayctl("remove", "Overlay_Global", ".", "options", "neighbor_age")
        lab.run("free3", "ip", "link", "set", VM_NIC, "up")
        lab.run("free3", "ip", "address", "replace", "2001:db8::8/64", "dev", VM_NIC)


def test_a_neighbor_age_that_is_none_is_named(lab: Lab) -> None:
    """overlayctl refuses it; a program that writes to the database by itself may not."""
    change = {"op": "mutate", "table": "Overlay_Global", "where": []}
    written = ["map", [["neighbor_age", "soon"]]]
    asked = json.dumps(["Overlay", {**change, "mutations": [["options", "insert", written]]}])
    socket = controller.socket(lab.directory / CONTROLLER)
    lab.run(CONTROLLER, "ovsdb-client", "transact", f"unix:{socket}", asked)
    try:
        eventually(lambda: "neighbor_age 'soon' is not a number of seconds" in lab.controller_log())
    finally:
        lab.overlayctl("remove", "Overlay_Global", ".", "options", "neighbor_age")


def hears(lab: Lab, vms: tuple[str, ...], ask: Callable[[], Any], expression: str) -> dict[str, list[str]]:
    """What each of these VMs hears while somebody asks."""
    captures = {vm: lab.capture(vm, expression) for vm in vms}
    frames = {vm: capture.__enter__() for vm, capture in captures.items()}
    ask()
    for capture in captures.values():
        capture.__exit__(None, None, None)
    return {vm: seen.lines for vm, seen in frames.items()}


@pytest.mark.parametrize(
    ("network", "policy", "expected"),
    [
        ("red", "flood", {"2", "3"}),
        ("red", "drop", set()),
        ("red", "gateway", {"2"}),
        ("red", "auto", {"2", "3"}),
        ("blue", "flood", {"2", "3"}),
        ("blue", "auto", set()),
    ],
)
def test_who_hears_a_request_for_a_neighbor_that_nobody_knows(
    lab: Lab, network: str, policy: str, expected: set[str]
) -> None:
    """Red has ports that are not declared, where it might be; all of blue is declared, so nobody can have it."""
    name = {"red": "web", "blue": "db"}[network]
    gateways = {"red": "10.0.0.2,2001:db8::2", "blue": "10.0.0.2"}[network]
    lab.overlayctl("net-set", network, "--unknown-neighbor", policy, "--gateway", gateways)
    settle(lab)
    families = [("10.0.0.200", "arp and host 10.0.0.200")]
    if network == "red":
        families.append(("2001:db8::200", "icmp6 and ip6[40] = 135"))
    for ip, expression in families:

        def ask(ip: str = ip) -> None:
            if ":" in ip:
                lab.run(f"{name}1", "ping", "-c", "1", "-W", "2", ip, check=False)
            else:
                lab.arping(f"{name}1", ip)

        heard = hears(lab, (f"{name}2", f"{name}3"), ask, expression)
        asked = {vm[-1] for vm, lines in heard.items() if any(ip in line for line in lines)}
        assert asked == expected, (ip, heard)
        if policy == "gateway":
            assert all("Broadcast" not in line for line in heard[f"{name}2"])
    lab.overlayctl("net-set", network, "--unknown-neighbor", "auto")


def test_requests_for_the_gateway_alone_go_nowhere_while_nobody_is_it(lab: Lab) -> None:
    """Only the gateway itself is asked for everywhere; that nobody is it is said."""
    lab.overlayctl("net-set", "red", "--unknown-neighbor", "gateway", "--gateway", "10.0.0.222")
    try:
        settle(lab)
        said = eventually(lambda: problems(lab).get("network red"))
        assert "nobody is known to have the address of its gateway, 10.0.0.222" in said
        assert said in lab.overlayctl("check", check=False)
        heard = hears(
            lab, ("web2", "web3"), lambda: [lab.arping("web1", ip) for ip in ("10.0.0.200", "10.0.0.222")], "arp"
        )
        for lines in heard.values():
            assert any("10.0.0.222" in line for line in lines)
            assert not any("10.0.0.200" in line for line in lines)
    finally:
        lab.overlayctl("net-set", "red", "--unknown-neighbor", "auto", "--gateway", "none")
    settle(lab)
    eventually(lambda: "network red" not in problems(lab))


def test_ipv6_between_two_chassis_with_no_solicitation_on_the_underlay(lab: Lab) -> None:
    settle(lab)
    lab.run("web1", "ip", "-6", "neigh", "flush", "dev", VM_NIC)
    with lab.capture("h1", TUNNELS) as seen, lab.capture("web1", "icmp6") as here:
        done = lab.run("web1", "ping", "-c", "3", "-i", "0.2", "2001:db8::2")
        time.sleep(7)  # until the kernel asks again whether the other is still there
    assert ", 0% packet loss" in done.stdout
    assert len(seen.having("echo request")) == 3
    assert here.having("neighbor solicitation", "who has 2001:db8::2")
    assert here.having("neighbor advertisement", "tgt is 2001:db8::2")
    assert [line for line in seen.having("neighbor solicitation") if "2001:db8::2" in line] == []


def test_duplicate_address_detection_hears_the_owner_and_nobody_else(lab: Lab) -> None:
    """Two that take an address that is declared for web2, on other chassis, are told by web2, through the tunnel."""
    for vm in ("free3", "web3"):
        with lab.capture(vm, "icmp6") as heard, lab.capture("web2", "icmp6") as owner:
            lab.run(vm, "ip", "address", "add", "2001:db8::2/64", "dev", VM_NIC)
            try:
                time.sleep(2.5)
                state = lab.run(vm, "ip", "-6", "address", "show", "dev", VM_NIC).stdout
            finally:
                lab.run(vm, "ip", "address", "del", "2001:db8::2/64", "dev", VM_NIC)
        assert re.search(r"2001:db8::2/64 .*dadfailed", state), (vm, state)
        assert owner.having(":: > ff02::1:ff00:2", "neighbor solicitation"), "it was asked itself"
        answers = heard.having("neighbor advertisement", "tgt is 2001:db8::2")
        assert answers
        assert len(answers) == len(owner.having("neighbor advertisement", "tgt is 2001:db8::2"))


def test_the_switch_answers_for_a_router_as_one(lab: Lab) -> None:
    def is_router(vm: str, ip: str) -> bool:
        lab.run(vm, "ip", "-6", "neigh", "flush", "dev", VM_NIC)
        with (
            lab.capture(vm, "icmp6 and ip6[40] = 136") as seen,
            lab.capture(vm, "icmp6 and ip6[40] = 136 and ip6[44] & 0x80 != 0") as routers,
        ):
            lab.run(vm, "ping", "-c", "1", "-W", "1", ip)
        assert seen.having("tgt is " + ip)
        return bool(routers.having("tgt is " + ip))

    lab.overlayctl("net-set", "red", "--gateway", "2001:db8::2")
    settle(lab)
    assert is_router("web1", "2001:db8::2")
    lab.overlayctl("net-set", "red", "--gateway", "none")
    settle(lab)
    assert not is_router("web1", "2001:db8::2")
    lab.overlayctl("port-set", "web2", "--may", "router")
    settle(lab)
    assert is_router("web3", "2001:db8::2")
    lab.overlayctl("port-set", "web2", "--may", "none")


def test_what_was_learned_outlives_the_controller_and_ages_from_then(lab: Lab) -> None:
    say(lab, "free2", gratuitous("free2", "10.0.0.80"))
    eventually(lambda: "10.0.0.80" in learned(lab, "red"))
    lab.overlayctl("set", "Overlay_Global", ".", f"options:neighbor_age={2 * AGE}")
    settle(lab)
    lab.stop_controller()
    time.sleep(2 * AGE)
    lab.start_controller()
    settle(lab)
    assert "10.0.0.80" in learned(lab, "red"), "it had no time to say anything"
    assert answered(lab, "web1", "10.0.0.80") == (mac("free2"),)
    eventually(lambda: "10.0.0.80" not in learned(lab, "red"), 4 * AGE)
    assert "10.0.0.9" in learned(lab, "red"), "that one is there"
    lab.overlayctl("remove", "Overlay_Global", ".", "options", "neighbor_age")
