"""Networks are cut, flap, or change: the underlay, the way to the controller, a VM's cable."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Final

from topologies.controller import add_port, del_port
from topologies.faults.case import H2, LOST, Case
from topologies.faults.ground import Ground, NotHealed
from topologies.topology import CONTROLLER, CONTROLLER_ADDRESS, UNDERLAY, management_address, vm
from topologies.wiring import underlay_port

FLAPS: Final = 15
FLAP_S: Final = 0.1
"""Seconds from one flap to the next."""
ALONE: Final = (3, 1.0)
"""How many flaps it takes to know what one alone costs, and seconds from one of those to the next."""
CPU_SLACK_S: Final = 0.05
"""What a flap among many may cost more of a CPU than one alone: what is waited for to be over costs as well."""


def _underlay_cut(ground: Ground, _: random.Random) -> None:
    with ground.no_flow_mods():
        ground.lab.cut("h2")
        began = time.monotonic()
        ground.until(lambda: _silent(ground) == _AROUND_H2, 15, "told")
        ground.remark(f"all tunnels from and to it told after {time.monotonic() - began:.1f} s")
        while time.monotonic() < began + 20:
            time.sleep(1)
            if not ground.ready():
                raise NotHealed("the control plane noticed what it has no part in")
        ground.lab.heal("h2")
        ground.heals(lambda: ground.lab.ping("web1", "web2", count=1).lost == 0, 5)
        ground.until(lambda: not _silent(ground), 15, "heard again")
        ground.settle()


_AROUND_H2: Final = {("h1", "h2"), ("h2", "h1"), ("h2", "h3"), ("h3", "h2")}


def _silent(ground: Ground) -> set[tuple[str, str]]:
    """(chassis, other) where nothing arrives of what the other sends through their tunnel."""
    hosts = json.loads(ground.lab.overlayctl("--format", "json", "chassis-list"))
    return {(host["name"], other) for host in hosts for other in host["silent"].values()}


def _controller_cut_off(ground: Ground, _: random.Random) -> None:
    with ground.no_flow_mods():
        ground.lab.cut("h3", "management")
        try:
            _noticed(ground)
        finally:
            ground.lab.heal("h3", "management")
        ground.heals(ground.ready, 40)
        ground.settle()


def _black_hole(ground: Ground, _: random.Random) -> None:
    """What the controller sends arrives, and nothing comes back."""
    lab = ground.lab
    way = (f"{CONTROLLER_ADDRESS}/32",)
    with ground.no_flow_mods():
        lab.run("h3", "ip", "route", "add", "blackhole", *way)
        try:
            _noticed(ground)
            ground.until(lambda: not _connections(ground), 15, "rid of its connections")
        finally:
            lab.run("h3", "ip", "route", "del", "blackhole", *way)
        ground.heals(ground.ready, 40)
        ground.settle()


def _noticed(ground: Ground) -> None:
    """Wait until both sessions with h3 are known to be dead, for 15 s at most."""
    began = time.monotonic()
    ground.until(lambda: ground.states()["h3"] == "unreachable", 15, "unreachable")
    took = time.monotonic() - began
    ground.until(lambda: "h3: OpenFlow connection lost" in ground.lab.controller_log(), 15 - took, "lost by OpenFlow")
    ground.remark(f"noticed after {took:.1f} s by OVSDB, {time.monotonic() - began:.1f} s by OpenFlow")


def _connections(ground: Ground) -> list[str]:
    """The controller's established connections with h3."""
    peer = management_address(ground.lab.topology, "h3")
    return ground.lab.run(CONTROLLER, "ss", "-Htn", "state", "established", "dst", peer).stdout.splitlines()


def _flapping(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    port = underlay_port("h2")

    def set_link(where: str, link: str) -> Callable[[bool], object]:
        return lambda up: lab.run(where, "ip", "link", "set", link, "up" if up else "down")

    ofport = lab.run("h2", "ovs-vsctl", "get", "interface", "web2", "ofport").stdout.strip()
    web2 = vm(lab.topology, "web2")

    def plug(up: bool) -> None:
        argv = [*add_port(web2, 100), f"ofport_request={ofport}"] if up else del_port(web2)
        lab.run("h2", *argv)

    def connect(up: bool) -> None:
        if not up:
            lab.run(CONTROLLER, "ss", "-K", "dst", management_address(lab.topology, "h2"), "sport", "=", "6653")

    for what, flap in {
        "a VM's link": set_link("h2", "web9"),
        "an underlay NIC": set_link(UNDERLAY, port),
        "a plug": plug,
        "the OpenFlow connection": connect,
    }.items():
        _flap(ground, what, flap)
    ground.until(lambda: lab.ping("web1", "web9", count=1).lost == 0, 10, "reachable")


def _flap(ground: Ground, what: str, flap: Callable[[bool], object]) -> None:
    """Down and up, ten times a second. Raises NotHealed when one of them costs more than one alone."""
    (mods, cpu), (mods_alone, cpu_alone) = (_cost(ground, what, flap, *each) for each in ((FLAPS, FLAP_S), ALONE))
    cost = f"{mods:.0f} flow mods and {cpu * 1000:.0f} ms of CPU a flap, alone {mods_alone:.0f}, {cpu_alone * 1000:.0f}"
    ground.remark(f"{what}: {cost}")
    if mods > mods_alone + 1 or cpu > cpu_alone + CPU_SLACK_S:
        raise NotHealed(f"{what} costs {cost}")


def _cost(
    ground: Ground, what: str, flap: Callable[[bool], object], times: int, interval: float
) -> tuple[float, float]:
    """Flow mods on all chassis, and seconds of the controller's CPU, that one of so many flaps took."""
    before, cpu = ground.all_flows(), ground.lab.controller_cpu()
    with ground.watching() as events:
        for _ in range(times):
            for up in (False, True):
                began = time.monotonic()
                flap(up)
                time.sleep(max(0.0, began + interval / 2 - time.monotonic()))
        ground.heals(ground.ready, 20)
        ground.settle()
        ground.heals(lambda: ground.all_flows() == before, 5, what=f"flows are others after {what} has flapped")
    return sum(map(len, events.values())) / times, (ground.lab.controller_cpu() - cpu) / times


def _vtep_moved(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    lab.run("h2", "ip", "address", "add", "192.0.2.22/24", "dev", "br-underlay")
    try:
        for vtep in ("192.0.2.22", "192.0.2.2"):
            lab.overlayctl("--wait", "chassis-set", "h2", "--vtep", vtep)
            time.sleep(1)
        ground.heals(ground.ready, 10)
    finally:
        lab.run("h2", "ip", "address", "del", "192.0.2.22/24", "dev", "br-underlay")


CASES: Final = (
    Case("F11", "underlay partitioned for 20 s", "control untouched, tunnels told, heals", _underlay_cut, H2, 5,
         "nothing arrives of what"),
    Case("F12", "controller cut off from a chassis", "0 lost, 0 flow mods", _controller_cut_off,
         within=40, expected=LOST),
    Case("F13", "nothing comes back from a chassis", "noticed in 15 s, sockets freed", _black_hole,
         within=40, expected=LOST),
    Case("F14", "links flap at 10 Hz", "bounded work, right in the end", _flapping, H2, 20,
         f"{LOST}|web9: Network is down"),
    Case("F32", "a chassis' VTEP changes", "0 lost", _vtep_moved, within=10),
)  # fmt: skip
