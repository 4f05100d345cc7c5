"""A real keepalived pair in VMs on two chassis: their address fails over within their own advertisement time."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from flows.model import Chassis, Network, Vtep
from tests.system.steps import eventually, fresh_name, problems, settle, shown
from topologies.lab import Lab
from topologies.namespaces import Background
from topologies.topology import Topology, Vm
from topologies.wiring import VM_NIC

pytestmark = [pytest.mark.system, pytest.mark.alone]

VIP = "10.0.0.100"
ID = 51
VMAC = f"00:00:5e:00:01:{ID:02x}"
"""RFC 5798, section 7.3."""
ADVERT_S = 0.2
PRIORITIES = {"gw1": 150, "gw2": 100}
DOWN_S = 3 * ADVERT_S + (256 - PRIORITIES["gw2"]) / 256 * ADVERT_S
"""The seconds after which the backup takes the master for dead (RFC 5798, section 6.1: Master_Down_Interval)."""
MARGIN_S = 0.5
"""For the programs themselves, on a machine that does other things as well."""
PING_S = 0.02

TOPOLOGY = Topology(
    name="vrrp",
    title="two routers that share an address, and a guest that uses it, on three chassis",
    chassis=tuple(Chassis(f"h{number}", (Vtep(f"192.0.2.{number}"),)) for number in (1, 2, 3)),
    networks=(Network("red", "acme", 100),),
    vms=(
        Vm("gw1", "red", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("gw2", "red", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("web3", "red", "h3", "02:00:00:00:00:03", "10.0.0.3"),
        Vm("web1", "red", "h1", "02:00:00:00:00:04", "10.0.0.4"),
    ),
)


@dataclass(frozen=True)
class Router:
    """A keepalived in a VM."""

    lab: Lab
    vm: str
    running: Background

    @property
    def log(self) -> str:
        return self.running.output()

    def is_master(self) -> bool:
        states = re.findall(r"Entering (\w+) STATE", self.log)
        return bool(states) and states[-1] == "MASTER"

    def die(self) -> None:
        """As a machine dies: at once, from one packet to the next, and without a word."""
        self.lab.run(self.vm, "ip", "link", "set", VM_NIC, "down")
        home = _home(self.lab, self.vm)
        pids = [(home / name).read_text().strip() for name in ("main.pid", "vrrp.pid")]
        self.lab.run(self.vm, "kill", "-KILL", *pids)
        self.running.stop()


def _home(lab: Lab, vm: str) -> Path:
    return lab.directory / f"keepalived-{vm}"


def start(lab: Lab, vm: str, vmac: bool) -> Router:
    """keepalived in a VM, with the virtual MAC of VRRP or without."""
    home = _home(lab, vm)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    # The address and the instance of the one that dies are gone with it.
    lab.run(
        vm, "sh", "-c", f"ip link del vrrp.{ID} 2>/dev/null; ip address del {VIP}/24 dev {VM_NIC} 2>/dev/null; true"
    )
    lab.run(vm, "ip", "link", "set", VM_NIC, "up")
    (home / "keepalived.conf").write_text(
        f"""
        global_defs {{
            router_id {vm}
            vrrp_version 3
            vrrp_garp_master_refresh 0
        }}
        vrrp_instance shared {{
            state BACKUP
            interface {VM_NIC}
            {f"use_vmac vrrp.{ID}" if vmac else ""}
            virtual_router_id {ID}
            priority {PRIORITIES[vm]}
            advert_int {ADVERT_S}
            garp_master_delay 1
            virtual_ipaddress {{ {VIP}/24 }}
        }}
        """
    )
    argv = ["--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file", str(home / "keepalived.conf")]
    argv += ["--pid", str(home / "main.pid"), "--vrrp_pid", str(home / "vrrp.pid")]
    return Router(lab, vm, lab.start(vm, "keepalived", *argv))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(TOPOLOGY, fresh_name()) as lab:
        lab.up()
        yield lab
        log = lab.controller_log()
        print(log)
        assert [line for line in log.splitlines() if re.search("CRITICAL|Traceback|flow refused", line)] == []


def longest_silence(output: str) -> float:
    """The longest time between two answers, in seconds, of what `ping -D` printed."""
    moments = [float(moment) for moment in re.findall(r"^\[([\d.]+)\] \d+ bytes from", output, re.MULTILINE)]
    return max((later - sooner for sooner, later in pairwise(moments)), default=float("inf"))


def outage(lab: Lab, act: Callable[[], None], until: Callable[[], bool]) -> dict[str, float]:
    """For how long each client has no answer from the address, in seconds, when something happens."""
    pings = ["ping", "-n", "-D", "-i", str(PING_S), "-W", "1", VIP]
    with lab.background("web3", *pings) as remote, lab.background("web1", *pings) as local:
        time.sleep(2)
        act()
        eventually(until, 10)
        time.sleep(3)
    return {vm: longest_silence(running.output()) for vm, running in (("web3", remote), ("web1", local))}


@pytest.mark.parametrize(
    ("vmac", "allowed", "announces"),
    [(True, f"{VMAC}={VIP}", 2), (True, f"{VMAC}={VIP},{VIP}", 0), (False, VIP, 0)],
    ids=["VRRP's MAC", "VRRP's MAC and its own", "gratuitous ARP"],
)
def test_the_address_fails_over_within_its_own_advertisement_time(
    lab: Lab, vmac: bool, allowed: str, announces: int
) -> None:
    """The master dies; it comes back, and is preferred; and both once more, to see that nothing is left over.

    What Linux sends as the shared address leaves by the interface beneath, with its own MAC, and so do its ARP
    requests, unless arp_announce is 2: then they are from the interface's own address.
    """

    def answers(own: str) -> bool:
        found = {mac for vm in ("web3", "web1") for mac in lab.arping(vm, VIP).macs}
        return found <= {VMAC if vmac else own, own if allowed.endswith(f",{VIP}") else ""} - {""} and bool(found)

    for name in PRIORITIES:
        lab.overlayctl("port-set", name, "--allow", allowed)
        lab.run(name, "sh", "-c", f"echo {announces} >/proc/sys/net/ipv4/conf/{VM_NIC}/arp_announce")
    settle(lab)
    routers = {name: start(lab, name, vmac) for name in PRIORITIES}

    def comes_back() -> None:
        routers["gw1"] = start(lab, "gw1", vmac)

    def is_back() -> bool:
        return routers["gw1"].is_master()

    try:
        eventually(lambda: routers["gw1"].is_master() and not routers["gw2"].is_master(), 20)
        time.sleep(3)
        assert not routers["gw2"].is_master(), "it hears the master's advertisements, through the tunnel"
        for client in ("web3", "web1"):
            assert lab.ping(client, VIP, count=2).lost == 0
        for _ in range(2):
            eventually(lambda: answers("02:00:00:00:00:01"), 5)
            died = outage(lab, routers["gw1"].die, routers["gw2"].is_master)
            print(f"{allowed}: the master died, no answer for {died} s; the backup waits {DOWN_S:.2f} s")
            assert answers("02:00:00:00:00:02")
            back = outage(lab, comes_back, is_back)
            print(f"{allowed}: it came back, no answer for {back} s")
            assert max(died.values()) <= DOWN_S + MARGIN_S, died
            assert max(back.values()) <= MARGIN_S, back
        said = [row["what"] for row in shown(lab)["problems"] if "two have one address" in row["what"]]
        assert said == [], "a failover is nothing strange"
    finally:
        for router in routers.values():
            print(router.log)
            router.running.stop()
            lab.run(router.vm, "ip", "link", "set", VM_NIC, "up")


def test_who_is_not_allowed_can_not_take_the_address(lab: Lab) -> None:
    """Not web1 by gratuitous ARP, nor a router from a MAC that it was not allowed."""
    for name in PRIORITIES:
        lab.overlayctl("port-set", name, "--allow", VIP)
    settle(lab)
    lab.run("gw1", "ip", "address", "replace", f"{VIP}/24", "dev", VM_NIC)
    lab.run("gw1", "arping", "-U", "-c", "1", "-I", VM_NIC, VIP, check=False)
    eventually(lambda: lab.arping("web3", VIP).macs == ("02:00:00:00:00:01",))
    lab.run("web1", "ip", "address", "add", f"{VIP}/24", "dev", VM_NIC)
    lab.run("web1", "arping", "-U", "-c", "3", "-I", VM_NIC, VIP, check=False)
    settle(lab)
    assert lab.arping("web3", VIP).macs == ("02:00:00:00:00:01",)
    eventually(lambda: "claims 10.0.0.100" in problems(lab).get("h1/web1", ""))
    assert "two have one address" not in str(problems(lab))


def test_an_address_that_is_declared_for_a_port_stays_there_although_another_one_is_allowed_it(lab: Lab) -> None:
    """Who has talked to it before goes on doing so: no gratuitous ARP of the other reaches anybody."""
    told = lab.overlayctl("port-set", "web1", "--allow", "10.0.0.3")
    assert "address 10.0.0.3 is allowed to port 'web1' and declared for port 'web3', where it stays" in told
    settle(lab)
    try:
        assert lab.ping("gw1", "web3", count=1).lost == 0
        lab.run("web1", "ip", "address", "add", "10.0.0.3/24", "dev", VM_NIC)
        lab.run("web1", "arping", "-U", "-c", "3", "-I", VM_NIC, "10.0.0.3", check=False)
        assert "02:00:00:00:00:03" in lab.run("gw1", "ip", "neigh", "show", "10.0.0.3").stdout
        assert lab.arping("gw2", "10.0.0.3").macs == ("02:00:00:00:00:03",)
        eventually(lambda: "that is the address of port 'web3' at h3/web3" in problems(lab).get("h1/web1", ""))
        assert "port 'web1' at h1/web1 claims its address 10.0.0.3" in problems(lab)["h3/web3"]
        assert "address 10.0.0.3 is allowed to port 'web1'" in lab.overlayctl("check", check=False)
        assert "drop-spoofed-arp" in lab.overlayctl("drops")
    finally:
        lab.run("web1", "ip", "address", "del", "10.0.0.3/24", "dev", VM_NIC)
        lab.overlayctl("port-set", "web1", "--allow", "none")
