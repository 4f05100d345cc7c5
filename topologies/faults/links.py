"""Networks are cut, flap, or change: the underlay, the way to the controller, a VM's cable."""

from __future__ import annotations

import random
import time
from typing import Final

from topologies.faults.case import H2, LOST, Case
from topologies.faults.ground import Ground, NotHealed


def _underlay_cut(ground: Ground, _: random.Random) -> None:
    with ground.no_flow_mods():
        ground.lab.cut("h2")
        time.sleep(5)
        if not ground.ready():
            raise NotHealed("the control plane noticed what it has no part in")
        ground.lab.heal("h2")
        ground.heals(lambda: ground.lab.ping("web1", "web2", count=1).lost == 0, 5)
        ground.settle()


def _controller_cut_off(ground: Ground, _: random.Random) -> None:
    with ground.no_flow_mods():
        ground.lab.cut("h3", "management")
        began = time.monotonic()
        try:
            ground.until(lambda: ground.states()["h3"] == "unreachable", 30, "unreachable")
            noticed = time.monotonic() - began
            ground.remark(f"noticed after {noticed:.1f} s")
            ground.until(lambda: "OpenFlow connection lost" in ground.lab.controller_log(), 30, "noticed by OpenFlow")
        finally:
            ground.lab.heal("h3", "management")
        ground.heals(ground.ready, 40)
        ground.settle()
    if noticed > 15:
        raise NotHealed("noticed after more than 15 s")


def _flapping(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    with ground.watching() as events:
        for _ in range(15):
            for state in ("down", "up"):
                lab.run("h2", "ip", "link", "set", "web9", state)
                time.sleep(0.05)
        ground.heals(ground.ready, 20)
        ground.settle()
    changed = sum(map(len, events.values()))
    ground.remark(f"{changed} flow mods for 15 flaps")
    ground.until(lambda: lab.ping("web1", "web9", count=1).lost == 0, 10, "reachable")


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
    Case("F11", "underlay partitioned", "control untouched, heals", _underlay_cut, H2, 5),
    Case("F12", "controller cut off from a chassis", "0 lost, 0 flow mods", _controller_cut_off,
         within=40, expected=LOST),
    Case("F13", "a black hole instead of a connection", "noticed in 15 s", why="F12 is one, and says when"),
    Case("F14", "a link flaps at 10 Hz", "0 lost elsewhere, right in the end", _flapping, within=20),
    Case("F32", "a chassis' VTEP changes", "0 lost", _vtep_moved, within=10),
)  # fmt: skip
