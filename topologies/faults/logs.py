"""What the programs of a lab log that is no good news: the controller, every switch, every database server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from topologies import controller
from topologies.lab import Lab
from topologies.log_file import LogFile
from topologies.topology import CONTROLLER

_OURS: Final = re.compile(r" (WARNING|ERROR|CRITICAL) |Traceback")
_OPEN_VSWITCH: Final = re.compile(r"\|(WARN|ERR|EMER)\||sending \w+ error reply")
"""Errors that a switch answers by OpenFlow it logs as information."""
_SPEED: Final = re.compile(r"Unreasonably long \d+ms poll interval|\|timeval\|WARN\||\|poll_loop\|")
"""How long a program had to wait for a CPU: about the machine, and no two runs say the same."""
_AGAIN: Final = re.compile(r"Dropped \d+ log messages in last")
"""More of what was logged, and judged, before."""


class Logs:
    """The logs of a lab, from now on."""

    def __init__(self, lab: Lab) -> None:
        home = lab.directory / CONTROLLER
        self._files = {
            "controller": LogFile(controller.log(home)),
            "overlay database": LogFile(home / "overlay.log"),
        }
        for each in lab.topology.chassis:
            for daemon in ("ovs-vswitchd", "ovsdb-server"):
                self.follow(f"{each.name} {daemon}", lab.directory / each.name / f"{daemon}.log")

    def follow(self, name: str, path: Path) -> None:
        """Read one more log of Open vSwitch, from now on."""
        self._files[name] = LogFile(path)

    def loud(self, expected: str) -> list[str]:
        """Warnings and errors since then, each as `PROGRAM: TEXT`, but for those that match what is expected."""
        found = (f"{name}: {_without_time(line)}" for name in self._files for line in self._news(name))
        return [line for line in found if not re.search(expected, line)]

    def _news(self, name: str) -> Iterator[str]:
        pattern = _OURS if name == "controller" else _OPEN_VSWITCH
        for line in self._files[name].since().splitlines():
            if pattern.search(line) and not _SPEED.search(line) and not _AGAIN.search(line):
                yield line


def _without_time(line: str) -> str:
    """A line without its date and number."""
    return re.sub(r"^\d{4}-\d\d-\d\d[ T][\d:,.]+Z?(\|\d+\|)? ?", "", line)
