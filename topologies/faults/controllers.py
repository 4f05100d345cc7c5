"""The controller is killed, restarted, doubled, another version; its clock jumps, nobody takes its log."""

from __future__ import annotations

import random
import signal
import time
from typing import Final

from topologies import controller
from topologies.faults.case import STARTED, Case
from topologies.faults.ground import Ground, NotHealed
from topologies.topology import CONTROLLER, CONTROLLER_ADDRESS

TIMES: Final = 4
"""How often a controller is killed or restarted: so that 10^5 frames and more are sent meanwhile."""


def _killed(ground: Ground, _: random.Random) -> None:
    before = ground.all_flows()
    for _ in range(TIMES):
        ground.lab.stop_controller(signal.SIGKILL)
        time.sleep(3)
        ground.same_flows(before, "flows changed while no controller was there")
        ground.start_controller()
        ground.same_flows(before)
    ground.remark(f"{TIMES} times")


def _restarted(ground: Ground, number: signal.Signals) -> None:
    with ground.no_flow_mods():
        for _ in range(TIMES):
            ground.lab.stop_controller(number)
            ground.start_controller()
            ground.settle()
    ground.remark(f"{TIMES} times")


def _changed_meanwhile(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    with ground.watching() as events:
        lab.stop_controller(signal.SIGKILL)
        lab.unplug("web9")
        ground.start_controller()
    about_others = [line for lines in events.values() for line in lines if "0xc8" in line]
    lab.plug("web9")
    ground.settle()
    ground.remark(f"{sum(map(len, events.values()))} flow mods")
    if about_others:
        raise NotHealed(f"flows of the other network were changed: {about_others[0]}")


def _two_controllers(ground: Ground, _: random.Random) -> None:
    """Another one comes, has its share, and is killed: the first has all of it again."""
    lab = ground.lab
    env = [
        *("env", f"OVERLAY_DB=unix:{controller.socket(lab.directory / CONTROLLER)}", "OVERLAY_DIAL_IN=off"),
        *("OVERLAY_NAME=second", f"OVERLAY_OPENFLOW=tcp:{CONTROLLER_ADDRESS}:7654"),
    ]

    def alone() -> bool:
        return "second" not in lab.overlayctl("--columns", "owner", "list", "Chassis") and ground.ready()

    with ground.no_flow_mods():
        argv = [*env, *controller.ryu_manager(), "--ofp-tcp-listen-port", "7654", "overlay_app"]
        with lab.background(CONTROLLER, *argv) as second:
            second.wait_for(": ours now", 30)
            ground.until(ground.ready, 15, "ready")
            ground.settle()
            began = time.monotonic()
            second.stop(signal.SIGKILL)
        ground.heals(alone, 10, began)
        ground.settle()
    lab.overlayctl("controller-del", "second", "--force")


def _upgraded(ground: Ground, _: random.Random) -> None:
    before = ground.all_flows()
    with ground.watching() as events:
        for options in (("topologies.faults.another_version",), ()) * 2:
            ground.lab.stop_controller(signal.SIGTERM)
            ground.start_controller(*options)
            ground.settle()
    ground.remark(f"{sum(map(len, events.values()))} flow mods")
    ground.same_flows(before)


def _clock_jumps(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    clock = lab.directory / "clock"
    clock.write_text("0")
    lab.stop_controller(signal.SIGTERM)
    ground.start_controller("topologies.faults.jumping_clock", environment={"OVERLAY_CLOCK": str(clock)})
    for jump in (3600, -86400, 365 * 86400, 0):
        written = lab.directory / "clock.new"
        written.write_text(str(jump))
        written.replace(clock)
        time.sleep(2)
        lab.overlayctl("port-set", "web1", "--allow", "10.0.7.1")
        ground.heals(lambda: ground.flows("h1") != before["h1"], 5)
        lab.overlayctl("port-set", "web1", "--allow", "none")
        ground.heals(lambda: ground.all_flows() == before, 5)
    ground.remark("an hour on, a day back, a year on")
    lab.stop_controller(signal.SIGTERM)
    ground.start_controller()


def _nowhere_to_log(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    lab.stop_controller(signal.SIGTERM)
    script = f"exec {' '.join(controller.ryu_manager())} overlay_app >/dev/full 2>&1"
    with lab.background(CONTROLLER, "sh", "-c", script):
        ground.heals(ground.ready, 30)
        lab.overlayctl("--wait", "port-set", "web1", "--allow", "10.0.7.9")
        lab.overlayctl("--wait", "port-set", "web1", "--allow", "none")
    ground.start_controller()


CASES: Final = (
    Case("F1", "controller killed (-9)", "0 lost, flows unchanged", _killed, expected=STARTED),
    Case("F2", "restarted (-9), nothing changed", "0 lost, 0 flow mods",
         lambda ground, _: _restarted(ground, signal.SIGKILL), expected=STARTED),
    Case("F2b", "restarted (SIGTERM), nothing changed", "0 lost, 0 flow mods",
         lambda ground, _: _restarted(ground, signal.SIGTERM), expected=STARTED),
    Case("F3", "restarted, a port went meanwhile", "0 lost, only its flows", _changed_meanwhile, expected=STARTED),
    Case(
        "F5", "a second controller, which is killed", "0 lost, 0 flow mods, 3 s", _two_controllers,
        within=4.0, expected=f"{STARTED}|another controller|is not at work any more",
    ),
    Case("F6", "another version, every flow of which differs", "0 lost, there and back", _upgraded, expected=STARTED),
    Case("F33", "the controller's clock jumps", "0 lost, changes go on", _clock_jumps, expected=STARTED),
    Case("F37", "log full", "goes on", _nowhere_to_log, expected=STARTED),
)  # fmt: skip
