"""Processes by identity: a pid alone may be another process by now, a pid with its start time is sure."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

_POLL = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its pid and when it started (clock ticks since boot), so no successor is taken for it."""

    pid: int
    start: int


def identify(pid: int) -> Process:
    """The process with that pid; ProcessLookupError when there is none."""
    started = _stat(pid)
    if started is None:
        raise ProcessLookupError(f"no process {pid}")
    return Process(pid, started[1])


def alive(process: Process) -> bool:
    """Whether it still runs; one that has ended but was not waited for (a zombie) does not."""
    return _stat(process.pid) not in (None, ("Z", process.start), ("X", process.start)) and _is(process)


def send(process: Process, number: int) -> None:
    """Send a signal, if it is still that process."""
    if alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def end(processes: Iterable[Process], patience: float = 3.0) -> None:
    """End processes: SIGTERM to all, and SIGKILL to those that are there after `patience` seconds."""
    ending = [process for process in processes if alive(process)]
    for process in ending:
        send(process, signal.SIGTERM)
        send(process, signal.SIGCONT)  # a stopped process cannot hear SIGTERM
    if not wait_until(lambda: not any(map(alive, ending)), patience):
        for process in ending:
            send(process, signal.SIGKILL)
        wait_until(lambda: not any(map(alive, ending)), patience)


def wait_until(condition: Callable[[], bool], seconds: float, poll: float = _POLL) -> bool:
    """Whether the condition came true within that many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


def cpu(process: Process) -> float:
    """Seconds of CPU time that it has used; ProcessLookupError when it has ended."""
    if not alive(process):
        raise ProcessLookupError(f"no process {process.pid}")
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def in_network_namespace(path: Path) -> list[Process]:
    """The processes of a named network namespace; none when the name is gone."""
    try:
        inode = path.stat().st_ino
    except FileNotFoundError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        # A process may end while we look at it.
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "ns/net").stat().st_ino == inode:
                    found.append(identify(int(entry.name)))
    return found


def ancestors() -> set[int]:
    """The pids of this process, its parent, and so on."""
    found, pid = set(), os.getpid()
    while pid > 0:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            break
    return found


def _is(process: Process) -> bool:
    found = _stat(process.pid)
    return found is not None and found[1] == process.start


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start time, or None when there is no such process."""
    try:
        # The name, in parentheses, may hold anything; fields count from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[19])
