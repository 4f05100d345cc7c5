"""Daemons of a chassis die, hang, or are slow."""

from __future__ import annotations

import random
import signal
import time
from typing import Final

from topologies.faults.case import H2, H3, LOST, Case
from topologies.faults.ground import Ground, NotHealed


def _database_away(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    with ground.no_flow_mods():
        lab.signal_daemon("h2", "ovsdb-server", signal.SIGKILL)
        ground.until(lambda: ground.states()["h2"] == "unreachable", 15, "unreachable")
        time.sleep(5)
        began = time.monotonic()
        lab.start_daemon("h2", "ovsdb-server")
        ground.heals(ground.ready, 40, began)
        ground.settle()


def _switch_killed(ground: Ground, _: random.Random) -> None:
    before = ground.all_flows()
    ground.lab.signal_daemon("h2", "ovs-vswitchd", signal.SIGKILL)
    time.sleep(1)
    began = time.monotonic()
    ground.lab.start_daemon("h2", "ovs-vswitchd")
    ground.heals(lambda: ground.flows("h2") == before["h2"], 15, began)
    ground.settle()


def _switch_hung(ground: Ground, _: random.Random) -> None:
    ground.lab.signal_daemon("h2", "ovs-vswitchd", signal.SIGSTOP)
    began = time.monotonic()
    try:
        ground.until(lambda: ground.states()["h2"] != "ready", 20, "noticed")
        ground.remark(f"noticed after {time.monotonic() - began:.1f} s")
        if time.monotonic() - began > 16:
            raise NotHealed("noticed after more than 15 s")
    finally:
        ground.lab.signal_daemon("h2", "ovs-vswitchd", signal.SIGCONT)
    ground.heals(ground.ready, 30)
    ground.settle()


def _rebooted(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    for daemon in ("ovs-vswitchd", "ovsdb-server"):
        lab.signal_daemon("h2", daemon, signal.SIGKILL)
    time.sleep(2)
    began = time.monotonic()
    for daemon in ("ovsdb-server", "ovs-vswitchd"):
        lab.start_daemon("h2", daemon)
    ground.heals(lambda: ground.flows("h2") == before["h2"] and ground.ready(), 40, began)
    ground.settle()


def _slow_switch(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    took = {}
    for how in ("alone", "beside a hung switch"):
        if how != "alone":
            lab.signal_daemon("h3", "ovs-vswitchd", signal.SIGSTOP)
        try:
            times = []
            for number in range(5):
                before = ground.flows("h1")
                began = time.monotonic()
                lab.overlayctl("port-set", "web1", "--allow", f"10.0.7.{number + 1}")
                ground.until(lambda before=before: ground.flows("h1") != before, 10, "installed")
                times.append(time.monotonic() - began)
            took[how] = sorted(times)[2]
        finally:
            if how != "alone":
                lab.signal_daemon("h3", "ovs-vswitchd", signal.SIGCONT)
    lab.overlayctl("port-set", "web1", "--allow", "none")
    ground.heals(ground.ready, 30)
    ground.settle()
    ground.remark(f"a change on h1: {took['alone']:.2f} s, beside it {took['beside a hung switch']:.2f} s")
    if took["beside a hung switch"] > 2 * took["alone"] + 0.2:
        raise NotHealed("others wait for a slow switch")


CASES: Final = (
    Case("F7", "a chassis' ovsdb-server away", "0 flow mods, resync", _database_away, H2, 40, LOST),
    Case("F8", "ovs-vswitchd killed", "others 0 lost, reinstalled", _switch_killed, H2, 15,
         f"{LOST}|tunnel port not found"),
    Case("F9", "ovs-vswitchd hung", "noticed in 15 s, others 0 lost", _switch_hung, H2, 30, LOST),
    Case("F10", "chassis rebooted", "comes back by itself", _rebooted, H2, 40, LOST),
    Case("F15", "one slow switch", "others wait no longer", _slow_switch, H3, 30, LOST),
)  # fmt: skip
