"""Steps that system tests share: waiting for something to come true, watching a switch, asking `show`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from itertools import count, permutations
from typing import Any

from topologies.lab import Lab
from topologies.topology import Topology

_NUMBERS = count(1)


def fresh_name() -> str:
    """A lab's name that nobody else has, whatever else runs on the machine."""
    return f"t{os.getpid()}-{next(_NUMBERS)}"


@contextlib.contextmanager
def running(topology: Topology, before: Callable[[Lab], None] = lambda lab: None) -> Iterator[Lab]:
    """A lab with its overlay up; in the end its controller must never have died nor been refused a flow.

    `before` does what an operator did before the controller came.
    """
    with Lab(topology, fresh_name()) as lab:
        before(lab)
        lab.up()
        yield lab
        log = lab.controller_log()
        print(log)
        assert [line for line in log.splitlines() if re.search("CRITICAL|Traceback|flow refused", line)] == []


def eventually(check: Callable[[], Any], seconds: float = 15.0, what: str = "") -> Any:
    """What `check` returns as soon as it is true; AssertionError when that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"not so after {seconds:g} s: {what or check}"
        time.sleep(0.1)


def shown(lab: Lab) -> dict[str, Any]:
    """`overlayctl show` as an object."""
    return json.loads(lab.overlayctl("--format", "json", "show"))


def chassis_error(lab: Lab, name: str) -> str:
    """What `show` says is wrong with a chassis."""
    return next(row["error"] for row in shown(lab)["chassis"] if row["name"] == name)


def problems(lab: Lab) -> dict[str, str]:
    """What `show` says is wrong, by place (`chassis h1`, `h1/vm3`)."""
    return {row["where"]: row["what"] for row in shown(lab)["problems"]}


def where(lab: Lab, port: str) -> tuple[str | None, bool]:
    """The chassis that a declared port is on, and whether it is up."""
    for network in shown(lab)["networks"]:
        for row in network["ports"]:
            if row["name"] == port:
                place = next((place for place in row["places"] if not place["error"]), None)
                return (None, False) if place is None else (place["chassis"], place["up"])
    raise AssertionError(f"no port {port} in show")


def learned(lab: Lab, network: str) -> list[str]:
    """The addresses of learned neighbors of a network."""
    rows = next(row["neighbors"] for row in shown(lab)["networks"] if row["name"] == network)
    return [row["ip"] for row in rows]


def settle(lab: Lab) -> None:
    """Return when every chassis has everything that was declared and plugged until now."""
    lab.overlayctl("--wait", "sync")


class FlowEvents:
    """What a switch reported of its flow table; complete when its block has ended."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def of_ours(self) -> list[str]:
        """Every add, change and delete except those of learned flows (table 60)."""
        return [line for line in self.lines if "event=" in line and "table=60" not in line]


@contextlib.contextmanager
def watching_flows(lab: Lab, chassis: str) -> Iterator[FlowEvents]:
    """All that happens to br-int's flows meanwhile, told by the switch itself (`ovs-ofctl monitor`)."""
    events = FlowEvents()
    with lab.background(chassis, "ovs-ofctl", "monitor", "br-int", "watch:!initial") as running:
        time.sleep(0.3)
        yield events
        time.sleep(0.3)
    events.lines += running.output().splitlines()


def same_network(lab: Lab) -> list[tuple[str, str]]:
    """Every ordered pair of VMs that should reach each other."""
    return [(a.name, b.name) for a, b in permutations(lab.topology.vms, 2) if a.network == b.network]


def flows(lab: Lab, chassis: str) -> list[str]:
    """The flows of br-int, a line each."""
    printed = lab.run(chassis, "ovs-ofctl", "--no-stats", "dump-flows", "br-int").stdout
    return [line.strip() for line in printed.splitlines() if "actions=" in line]
