"""What is measured once a second during a long run: memory, descriptors, threads, queues, the size of databases."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

from topologies import controller
from topologies.lab import Lab
from topologies.log_file import LogFile
from topologies.soak.figures import Sample
from topologies.topology import CONTROLLER

PERIOD: Final = 1.0
MB: Final = 1024.0 * 1024
_COUNTS: Final = re.compile(r" counts: (.*)")
_RESIDENT: Final = re.compile(r"VmRSS:\s+(\d+) kB")
_THREADS: Final = re.compile(r"Threads:\s+(\d+)")
_CAUGHT: Final = re.compile(r"SigCgt:\s+([0-9a-f]+)")


class Sampler:
    """A thread that samples a lab as long as the `with` block lasts; `samples` are there all the while."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._home = lab.directory / CONTROLLER
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._pid, self._life = 0, -1
        self._log = LogFile(controller.log(self._home))
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(PERIOD):
            # Whatever is measured may just be ending, or not have begun.
            with contextlib.suppress(OSError, ValueError):
                self.samples.append(self._sample())

    def _sample(self) -> Sample:
        pid = self._controller()
        figures = dict(self._controller_figures(pid)) if pid else {}
        figures |= self._counts()
        if pid:
            _ask(pid)
        for name, place in self._servers():
            status = _status(int(place.read_text()))
            figures[f"{name} MB"] = figures.get(f"{name} MB", 0.0) + _resident(status)
        figures["overlay.db MB"] = (self._home / "overlay.db").stat().st_size / MB
        return Sample(time.monotonic(), self._life, figures)

    def _controller(self) -> int:
        """The pid of the controller, 0 while none runs; another one is another life."""
        pid = self._lab.controller_pid()
        if pid and pid != self._pid:
            self._pid, self._life = pid, self._life + 1
        return pid

    def _controller_figures(self, pid: int) -> Iterator[tuple[str, float]]:
        status = _status(pid)
        yield "controller MB", _resident(status)
        found = _THREADS.search(status)
        yield "threads", float(found[1]) if found else 0.0
        yield "descriptors", float(len(os.listdir(f"/proc/{pid}/fd")))

    def _servers(self) -> Iterable[tuple[str, Path]]:
        yield "overlay database", self._home / "overlay.pid"
        for each in self._lab.topology.chassis:
            for daemon in ("ovs-vswitchd", "ovsdb-server"):
                yield daemon, self._lab.directory / each.name / f"{daemon}.pid"

    def _counts(self) -> dict[str, float]:
        """What the controller has last counted of its own."""
        last = ""
        for found in _COUNTS.finditer(self._log.news()):
            last = found[1]
        return {name: float(number) for name, _, number in (word.partition("=") for word in last.split())}


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def _resident(status: str) -> float:
    found = _RESIDENT.search(status)
    return int(found[1]) / 1024 if found else 0.0


def _ask(pid: int) -> None:
    """Have the controller count, once it heeds the signal: before, that would be its end."""
    found = _CAUGHT.search(_status(pid))
    if found is not None and int(found[1], 16) >> (signal.SIGUSR1 - 1) & 1:
        os.kill(pid, signal.SIGUSR1)
