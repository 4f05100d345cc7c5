"""The controller dies between two messages, and the next one finds what was half done."""

from __future__ import annotations

import random
import signal
from typing import Final

from topologies.faults.case import STARTED, Case
from topologies.faults.ground import Ground, NotHealed

CRASH: Final = "OVERLAY_CRASH"
"""The variable that `topologies.faults.crashing` reads."""
CRASHES: Final = 20
"""How often the controller is made to crash in one run."""
EXTRAS: Final = 6
"""Ports that come and go in it. Open vSwitch forwards nothing in userspace while it makes one."""


def _crashed(ground: Ground, chance: random.Random) -> None:
    """Ports come and go while no controller is there; the next one dies at some message of what it then does."""
    lab = ground.lab
    for number in range(EXTRAS):
        lab.overlayctl("port-add", f"x{number}", "--net", "red" if number % 2 else "blue", "--ip", f"10.0.1.{number}")
    wanted: dict[bool, dict[str, list[str]]] = {}
    count = lab.directory / "messages"
    sent = {}
    for there in (True, False, True, False):
        lab.stop_controller(signal.SIGKILL)
        _set_extras(ground, there)
        ground.start_controller("topologies.faults.crashing", environment={CRASH: f"0 {count}"})
        sent[there] = int(count.read_text())
        found = ground.all_flows()
        if wanted.setdefault(there, found) != found:
            raise NotHealed("the same state has two sets of flows")
    for number in range(CRASHES):
        there = number % 2 == 0
        at = chance.randrange(1, sent[there])
        lab.stop_controller(signal.SIGKILL)
        _set_extras(ground, there)
        lab.start_controller("topologies.faults.crashing", environment={CRASH: f"{at} {count}"}, awaited=False)
        ground.until(lambda: not lab.controller_runs(), 30, f"dead at message {at}")
        ground.start_controller()
        ground.same_flows(
            wanted[there], f"after a crash at message {at} of {sent[there]} flows are others than without"
        )
    ground.remark(f"{CRASHES} crashes, each before one of {max(sent.values())} messages")


def _set_extras(ground: Ground, there: bool) -> None:
    """Plug the extra ports in, or out, an `ovs-vsctl` for each chassis."""
    for place, host in enumerate(("h1", "h2", "h3")):
        words: list[str] = []
        for number in range(place, EXTRAS, 3):
            words += ["--", "add-port" if there else "del-port", "br-int", f"x{number}"]
            if there:
                words += ["--", "set", "interface", f"x{number}", "type=internal"]
                words += [f"ofport_request={100 + number}", f"external_ids:iface-id=x{number}"]
        ground.lab.run(host, "ovs-vsctl", *words[1:])


CASES: Final = (
    Case("F4", "crash between two messages", "0 lost, the same final flows", _crashed, expected=STARTED),
)  # fmt: skip
