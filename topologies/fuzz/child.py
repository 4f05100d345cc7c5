"""The process that inputs are tried in: it may hang, grow or die, and its parent sees that.

Before an input is tried it stands in a file that the parent has mapped too. Reports are lines of JSON on what was
standard output; what anything else prints goes to a log.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from topologies.fuzz.target import SLOW_S, Hang, Target, named

ROOM: Final = 1 << 21
"""Bytes of the file that is shared: how many inputs were begun, how long this one is, and its bytes."""
HEAD: Final = struct.Struct("!QI")
HUNG: Final = 75
"""Exit status after an input that took too long (EX_TEMPFAIL)."""
TELL_S: Final = 0.25
WARM: Final = 0.02
"""The share of all inputs after which memory is looked at first: by then everything is imported."""
_PAGE: Final = resource.getpagesize()


def rss() -> int:
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class Clock:
    """Seconds of an input but for those in which others had the processor: a busy machine is nobody's fault."""

    def __init__(self) -> None:
        self._schedule = os.open("/proc/self/schedstat", os.O_RDONLY)
        self._began = self._waited = 0.0
        signal.signal(signal.SIGALRM, self._bark)

    def start(self) -> None:
        """From now on."""
        self._began, self._waited = time.monotonic(), self._waiting()
        signal.setitimer(signal.ITIMER_REAL, SLOW_S)

    def stop(self) -> float:
        """The seconds since then."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        return self._spent()

    def _spent(self) -> float:
        return time.monotonic() - self._began - (self._waiting() - self._waited)

    def _waiting(self) -> float:
        """How long this process could have run so far, and others did (proc(5), /proc/pid/schedstat)."""
        return int(os.pread(self._schedule, 100, 0).split()[1]) / 1e9

    def _bark(self, *_: object) -> None:
        left = SLOW_S - self._spent()
        if left <= 0:
            raise Hang(f"more than {SLOW_S} s")
        signal.setitimer(signal.ITIMER_REAL, max(0.01, left))


class Trial:
    """One run of inputs through a target, counted."""

    def __init__(self, target: Target, shared: mmap.mmap, report: Callable[[dict[str, Any]], None]) -> None:
        self._target = target
        self._shared = shared
        self._report = report
        self._told = 0.0
        self._clock = Clock()
        self.number = 0
        self.slowest = 0.0

    def one(self, data: bytes) -> None:
        """Try an input; what it does wrong is reported. After a hang the process ends: nobody knows how it is left."""
        kept = data[: ROOM - HEAD.size]
        self._shared[: HEAD.size + len(kept)] = HEAD.pack(self.number, len(kept)) + kept
        self._clock.start()
        try:
            try:
                self._target.run(data)
            finally:
                self.slowest = max(self.slowest, self._clock.stop())
        except Hang as hang:
            self._report({"hang": "".join(traceback.format_exception(hang))})
            os._exit(HUNG)
        except (Exception, SystemExit) as error:
            self._wrong(data, error)
            return
        self.number += 1
        if time.monotonic() > self._told + TELL_S:
            self.tell()

    def tell(self) -> None:
        """Say how far it is."""
        self._told = time.monotonic()
        self._report({"at": self.number, "rss": rss(), "slowest": round(self.slowest, 3)})

    def _wrong(self, data: bytes, error: BaseException) -> None:
        self.number += 1
        told = "".join(traceback.format_exception(error))
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
        text = str(error).splitlines()[0][:200] if str(error) else ""
        self._report(
            {"wrong": "crash", "number": self.number, "where": where, "text": text, "trace": told, "data": data.hex()}
        )


def inputs(target: Target, seed: int, first: int) -> Iterator[bytes]:
    """Mutated inputs without end. Each follows from the seed and its number alone."""
    seeds = target.seeds()
    number = first
    while True:
        yield target.make(random.Random(f"{seed}:{number}"), seeds)
        number += 1


def _blind(trial: Trial, target: Target, args: argparse.Namespace) -> None:
    until = time.monotonic() + args.seconds
    for data in inputs(target, args.seed, args.first):
        if trial.number >= args.first + args.inputs or time.monotonic() > until:
            return
        trial.one(data)
        if (trial.number - args.first) % max(1, args.inputs // 16) == 0:
            trial.tell()  # however little time that took


def _guided(trial: Trial, target: Target, args: argparse.Namespace) -> None:
    """Inputs that reached something new are mutated further: libFuzzer, by way of atheris, with our own mutations."""
    import atheris

    seeds = target.seeds()
    until = time.monotonic() + args.seconds

    def mutated(data: bytes, _: int, seed: int) -> bytes:
        chance = random.Random(seed)
        kept = (data, *seeds) if data else seeds
        return target.make(chance, (data,) * len(seeds) if data and chance.random() < 0.7 else kept)

    def one(data: bytes) -> None:
        trial.one(data)
        if trial.number >= args.inputs:
            trial.tell()  # libFuzzer ends the process, and comes back to nobody
        if time.monotonic() > until:
            trial.tell()
            os._exit(0)

    home = Path(args.shared).parent / "corpus"
    home.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds):
        (home / f"{number}").write_bytes(seed)
    # No limit of its own on time or memory: those are ours. It ends the process when it is done.
    options = [f"-runs={args.inputs}", f"-seed={args.seed + 1}", "-timeout=0", "-rss_limit_mb=0", "-max_len=65536"]
    options += ["-verbosity=0", "-print_final_stats=0", "-detect_leaks=0"]
    atheris.Setup([sys.argv[0], str(home), *options], one, custom_mutator=mutated, internal_libfuzzer=True)
    try:
        atheris.Fuzz()
    finally:
        trial.tell()


def _instrumented(name: str) -> Target:
    import atheris

    with atheris.instrument_imports(include=["controller", "ryu.ofproto", "ryu.controller", "ovsdb", "flows"]):
        return named(name)


def main(argv: Sequence[str] | None = None) -> int:
    """Try inputs as the parent says; 0, whatever they did."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--shared", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--inputs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--files", nargs="*", default=[])
    args = parser.parse_args(argv)
    out = _own_output(args.log)

    def report(said: dict[str, Any]) -> None:
        print(json.dumps(said), file=out, flush=True)

    with open(args.shared, "r+b") as opened:
        shared = mmap.mmap(opened.fileno(), ROOM)
    target = _instrumented(args.target) if args.guided else named(args.target)
    report({"ready": True})
    trial = Trial(target, shared, report)
    trial.number = args.first
    try:
        if args.files:
            for name in args.files:
                trial.one(Path(name).read_bytes())
        elif args.guided:
            _guided(trial, target, args)
        else:
            _blind(trial, target, args)
    finally:
        trial.tell()
        target.close()
    report({"done": trial.number})
    out.flush()
    os._exit(0)  # threads of what was tried are nobody's business any more


def _own_output(log: str) -> TextIO:
    """Standard output for us alone; what others print goes to the log."""
    kept = os.dup(1)
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    return os.fdopen(kept, "w")


if __name__ == "__main__":
    sys.exit(main())
