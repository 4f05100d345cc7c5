"""One target's run as its parent sees it: starts the child, and again when it died; keeps what was found."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from topologies.fuzz.child import HEAD, HUNG, ROOM, WARM

STUCK_S: Final = 10.0
"""Seconds without a new input after which the child counts as hung where its own watchdog does not reach."""
START_S: Final = 60.0
GROWTH: Final = 1.1
GROWTH_BYTES: Final = 4 << 20
"""Memory grew when at the end there is more of it than at a quarter, by more than both of these."""
MOST: Final = 20
"""Faults that are kept; of each place in the code the first."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An input that did what none may, and the file that it is kept in."""

    kind: str
    where: str
    text: str
    number: int
    file: str
    trace: str = ""


@dataclass
class Outcome:
    """What a run was. `memory` is in bytes: at the start, at a quarter of the inputs, and at the end."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    memory: list[int] = field(default_factory=lambda: [0, 0, 0])
    slowest: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    again: int = 0
    """Faults at a place in the code that had one before."""
    deaths: int = 0
    late: int = 0
    """Inputs that took too long once, and not when they were tried again."""

    @property
    def grew(self) -> bool:
        """Whether memory was not flat."""
        _, quarter, end = self.memory
        return quarter > 0 and end > max(quarter * GROWTH, quarter + GROWTH_BYTES)

    @property
    def kept(self) -> bool:
        """Whether nothing was wrong."""
        return not self.faults and not self.grew


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run: `inputs` of a target from a seed, or these `files`, for so many `seconds` at most."""

    target: str
    inputs: int
    seed: int = 0
    seconds: float = 1e9
    guided: bool = False
    files: Sequence[str] = ()
    keep: str = "fuzz-found"


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a child ended, and the input that it was at."""

    code: int
    done: bool
    stuck: bool
    number: int
    data: bytes


class Run:
    """A run that has begun; `run` returns when it is over."""

    def __init__(self, order: Order, progress: Callable[[Outcome], None]) -> None:
        self._order = order
        self._progress = progress
        self._outcome = Outcome(order.target)
        self._places: set[str] = set()
        self._hung: set[int] = set()
        self._trace = ""

    def run(self) -> Outcome:
        """All of it, in as many processes as it takes."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as home:
            shared = Path(home) / "input"
            shared.write_bytes(bytes(ROOM))
            first = 0
            while True:
                left = began + self._order.seconds - time.monotonic()
                after = self._child(home, first, left)
                self._outcome.seconds = time.monotonic() - began
                tried = self._order.files and after is not None and after >= len(self._order.files)
                if after is None or tried or self._order.guided or self._outcome.deaths >= MOST:
                    return self._outcome
                first = after

    def _child(self, home: str, first: int, seconds: float) -> int | None:
        """One process; the number of the input to go on with when it died, None when it is done."""
        order, log = self._order, Path(home) / "log"
        argv = [sys.executable, "-W", "ignore", "-m", "topologies.fuzz.child", order.target, "--log", str(log)]
        argv += ["--shared", f"{home}/input", "--seed", str(order.seed), "--first", str(first)]
        argv += ["--inputs", str(order.inputs - first), "--seconds", f"{seconds:.1f}"]
        argv += ["--guided"] if order.guided else []
        argv += ["--files", *(str(Path(file).resolve()) for file in order.files[first:])] if order.files else []
        project = str(Path(__file__).resolve().parent.parent.parent)
        environment = {**os.environ, "PYTHONPATH": project, "TMPDIR": home}
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment, start_new_session=True)
        assert child.stdout is not None
        try:
            ended = self._followed(child, f"{home}/input", first)
        finally:
            # What it has started, a server, ends with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.stdout.close()
            child.wait()
        if ended.done or ended.code == 0:
            self._left_over(log)
            return None
        if (ended.code == HUNG or ended.stuck) and ended.number not in self._hung:
            # Once more, in a process that is not tired: the machine may have been busy with something else.
            self._hung.add(ended.number)
            self._outcome.late += 1
            return ended.number
        if ended.code == HUNG:
            self._keep("hang", "nothing returned in time", "", number=ended.number, data=ended.data, trace=self._trace)
        elif ended.stuck:
            self._keep("hang", "nor was the watchdog heard", "", number=ended.number, data=ended.data)
        else:
            said = _last(log)
            self._keep("death", f"the process ended with {ended.code}", said, number=ended.number, data=ended.data)
        self._outcome.deaths += 1
        return ended.number + 1

    def _followed(self, child: subprocess.Popen[bytes], shared: str, first: int) -> _Ended:
        """Listen to a child until it ends; end it when nothing moves any more."""
        assert child.stdout is not None
        lines = _Lines(child.stdout.fileno())
        moved, number, ready, done, stuck = time.monotonic() + START_S, -1, False, False, False
        with open(shared, "rb") as opened, mmap.mmap(opened.fileno(), ROOM, access=mmap.ACCESS_READ) as seen:
            while (said := lines.next(1.0)) is not None:
                ready, done = ready or "ready" in said, done or "done" in said
                self._hear(said, first)
                now, _ = HEAD.unpack_from(seen)
                if ready and (now != number or "ready" in said):
                    number, moved = now, time.monotonic()
                elif time.monotonic() > moved + STUCK_S:
                    stuck = True
                    child.kill()
            code = child.wait()
            number, length = HEAD.unpack_from(seen)
            return _Ended(code, done, stuck, int(number), bytes(seen[HEAD.size : HEAD.size + length]))

    def _hear(self, said: dict[str, Any], first: int) -> None:
        outcome, order = self._outcome, self._order
        self._trace = said.get("hang", self._trace)
        if "wrong" in said:
            data = bytes.fromhex(said["data"])
            self._keep(
                said["wrong"], said["where"], said["text"], number=said["number"], data=data, trace=said["trace"]
            )
        if "rss" not in said:
            return
        outcome.inputs = said["at"]
        outcome.slowest = max(outcome.slowest, said["slowest"])
        total = order.inputs
        if said["at"] - first >= WARM * total and not outcome.memory[0]:
            outcome.memory[0] = said["rss"]
        if not order.files and said["at"] >= total / 4 and not outcome.memory[1]:
            outcome.memory[1] = said["rss"]
        outcome.memory[2] = said["rss"]
        self._progress(outcome)

    def _left_over(self, log: Path) -> None:
        """What was printed past everybody: no traceback may be in it."""
        if log.exists() and "Traceback" in (said := log.read_text(errors="replace")):
            self._keep("crash", "a traceback was printed", said[said.index("Traceback") :][-600:])

    def _keep(
        self, kind: str, where: str, text: str, /, *, number: int = 0, data: bytes = b"", trace: str = ""
    ) -> None:
        place = f"{kind} {where} {re.sub('[0-9]+', '', text)[:40] if kind == 'death' else ''}"
        if place in self._places or len(self._outcome.faults) >= MOST:
            self._outcome.again += 1
            return
        self._places.add(place)
        home = Path(self._order.keep)
        home.mkdir(parents=True, exist_ok=True)
        file = home / f"{self._order.target}-{kind}-{self._order.seed}-{number}"
        file.write_bytes(data)
        self._outcome.faults.append(Fault(kind, where, text, number, str(file), trace))


class _Lines:
    """Lines of JSON from a pipe, waited for."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def next(self, seconds: float) -> dict[str, Any] | None:
        """The next one; {} when none came in time, None at the end."""
        while b"\n" not in self._rest:
            if not select.select([self._descriptor], [], [], seconds)[0]:
                return {}
            more = os.read(self._descriptor, 1 << 16)
            if not more:
                return None
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said


def _last(log: Path) -> str:
    """The last thing that was printed."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1][:300] if lines else ""
