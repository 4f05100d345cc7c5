"""A supervisor, as systemd is one (sd_notify(3)), and the controller: when it says what, and what it says no more."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.overlay_database import needs_ovsdb
from tests.test_systemd import PACKAGING, free_port, serves, settings, started
from topologies.cluster import SEARCH

pytestmark = [needs_ovsdb, pytest.mark.server]
ROOT = Path(__file__).parent.parent
SILENCE_S = 6.0
"""Seconds without a sign of life after which this supervisor acts; the controller gives one every second."""


class Supervisor:
    """Starts the controller, hears what it says, and kills it when it says nothing."""

    def __init__(self, root: Path, hang: str = "", **environment: str) -> None:
        self.port = free_port()
        self._root = root
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(root / "notify"))
        self._environment = {
            "PATH": SEARCH,
            "PYTHONPATH": str(ROOT),
            "OVERLAY_RUNDIR": str(root),
            "OVERLAY_DBDIR": str(root),
            "OVERLAY_HANG": hang,
            "NOTIFY_SOCKET": str(root / "notify"),
            **environment,
        }
        self._argv = [str(Path(sys.prefix, "bin", "ryu-manager")), "--ofp-tcp-listen-port", str(self.port)]
        self._argv += [*(["tests.hanging"] if hang else []), "overlay_app"]
        self.running = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.running.kill()
        self.running.wait()
        self._socket.close()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._root / "log").open("ab") as log:
            return subprocess.Popen(self._argv, env=self._environment, cwd=self._root, stdout=log, stderr=log)

    def hears(self, seconds: float) -> str:
        """What it says next, '' when that is nothing for so long."""
        self._socket.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            return self._socket.recv(4096).decode()
        return ""

    def until(self, word: str, seconds: float = 40) -> list[str]:
        """All that it says up to that word. Fails when it does not come."""
        said: list[str] = []
        deadline = time.monotonic() + seconds
        while not said or word not in said[-1].splitlines():
            assert time.monotonic() < deadline, f"not {word}, but {said}; {self.log()}"
            said.append(self.hears(1))
        return said

    def watch(self) -> None:
        """As with WatchdogSec= and Restart=: returns when it was silent, was killed, and another one was started."""
        deadline = time.monotonic() + 60
        while self.hears(SILENCE_S):
            assert time.monotonic() < deadline, f"it goes on saying that it lives; {self.log()}"
        self.running.send_signal(signal.SIGABRT)
        assert self.running.wait(10) == -signal.SIGABRT
        self.running = self._start()

    def log(self) -> str:
        return (self._root / "log").read_text()


@contextlib.contextmanager
def supervised(root: Path, hang: str = "", **environment: str) -> Iterator[Supervisor]:
    with Supervisor(root, hang, **environment) as supervisor:
        yield supervisor


def test_it_is_ready_when_it_serves_and_lives_as_long_as_it_says_so(tmp_path: Path) -> None:
    with supervised(tmp_path) as supervisor:
        said = supervisor.until("READY=1")
        assert not any("WATCHDOG=1" in each for each in said)
        with socket.create_connection(("127.0.0.1", supervisor.port), timeout=1):
            assert serves(f"unix:{tmp_path}/overlay.sock")
        moments = []
        for _ in range(4):
            supervisor.until("WATCHDOG=1", 5)
            moments.append(time.monotonic())
        assert 2 < moments[-1] - moments[0] < 5
        # Stopped as a whole, and going on: that is no loop's fault.
        supervisor.running.send_signal(signal.SIGSTOP)
        time.sleep(2)
        while supervisor.hears(0.5):
            pass
        supervisor.running.send_signal(signal.SIGCONT)
        supervisor.until("WATCHDOG=1", 5)


@pytest.mark.parametrize("how", ["hub", "loop"])
def test_one_that_hangs_is_restarted(how: str, tmp_path: Path) -> None:
    with supervised(tmp_path, how) as supervisor:
        supervisor.until("READY=1")
        supervisor.until("WATCHDOG=1", 5)
        first = supervisor.running.pid
        supervisor.running.send_signal(signal.SIGUSR2)
        supervisor.watch()
        assert supervisor.running.pid != first
        supervisor.until("READY=1")
        assert serves(f"unix:{tmp_path}/overlay.sock")
        told = re.search("a loop does not turn any more, of .*overlay database", supervisor.log())
        assert bool(told) == (how == "loop"), "who can't turn can't tell"


def test_it_waits_for_its_database_and_has_the_supervisor_wait(tmp_path: Path) -> None:
    remote = f"unix:{tmp_path}/run/ovs-overlay-db/overlay.sock"
    with supervised(tmp_path, OVERLAY_DB=remote) as supervisor:
        supervisor.until("EXTEND_TIMEOUT_USEC=30000000")
        heard = [supervisor.hears(2) for _ in range(3)]
        assert heard == ["EXTEND_TIMEOUT_USEC=30000000"] * 3
        with started("ovs-overlay-db.service", tmp_path):
            supervisor.until("READY=1")
            supervisor.until("WATCHDOG=1", 5)


@pytest.mark.parametrize("name", ["ovs-overlay", "ovs-overlay-shared"])
def test_the_units_ask_for_it(name: str) -> None:
    said = settings(PACKAGING / "systemd" / f"{name}.service")
    assert (said["Type"], said["WatchdogSec"], said["TimeoutStartSec"]) == (["notify"], ["30"], ["30"])


def test_counts_when_asked(tmp_path: Path) -> None:
    with supervised(tmp_path, OVERLAY_LOG="json") as supervisor:
        supervisor.until("READY=1")
        os.kill(supervisor.running.pid, signal.SIGUSR1)
        supervisor.until("WATCHDOG=1", 5)
        supervisor.until("WATCHDOG=1", 5)
        lines = [json.loads(line) for line in supervisor.log().splitlines()]
    [counts] = [line["counted"] for line in lines if line["event"] == "counts"]
    assert {"greenthreads", "events", "reconcilers", "rows", "to_send"} <= counts.keys()
    assert counts["greenthreads"] > 3
    assert counts["reconcilers"] == counts["bindings"] == 0
    assert {"database", "serving"} <= {line["event"] for line in lines}
