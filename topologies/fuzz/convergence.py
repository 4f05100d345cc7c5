"""`./lab fuzz --convergence`: how long a port on h1 takes to be reachable while h2 is hostile, beside while it is not.

In one run, in turns: what else the machine does meets all alike. A turn begins with the command that plugs the port in,
and ends with the last flow for it that h1's and h3's switches report, by their own monitors. h2 is another host: what
runs there, the guest and ovs-vswitchd or who is in its place, has just the time of the CPU that nobody else wants.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from topologies import namespaces, three_chassis, wiring
from topologies.controller import SCRIPTS
from topologies.lab import Lab
from topologies.topology import CONTROLLER, CONTROLLER_ADDRESS, vm

PORT: Final = "web1"
SILENCE_S: Final = 0.3
"""When nothing more of a port was heard for so long, that was all."""
PATIENCE_S: Final = 20.0
WITHIN: Final = 1.2
"""The ratio of medians that is promised."""
PACE: Final = 5000
"""Frames a second of the hostile guest: 25 times what a switch sends up. More only takes the cores from everybody."""
_PROJECT: Final = Path(__file__).resolve().parent.parent.parent
_BESIDE: Final = ("chrt", "--idle", "0", "env", f"PYTHONPATH={_PROJECT}", str(SCRIPTS / "python"))


@dataclass
class Series:
    """One condition: what is measured meanwhile, in seconds, and beside which other one it is seen."""

    name: str
    around: Callable[[Lab], contextlib.AbstractContextManager[None]]
    beside: str = ""
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    """The controller's share of a core, in each block."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when no median is more than a fifth above the one that it is seen beside."""
    parser = argparse.ArgumentParser(prog="./lab fuzz --convergence", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="times for each condition (default: 30)")
    parser.add_argument("--block", type=int, default=6, metavar="N", help="times in a row, between two changes of it")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these conditions, and what they are seen beside")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    args = parser.parse_args(argv)
    series = _series(args.only)
    with Lab(three_chassis.TOPOLOGY, f"converge{os.getpid()}") as lab:
        lab.up()
        with Watch(lab, "h1") as one, Watch(lab, "h3") as three, _last_words(lab):
            turn(lab, (one, three))
            while any(len(each.seconds) < args.rounds for each in series):
                for each in series:
                    with each.around(lab), _busy(lab, each.busy):
                        for _ in range(min(args.block, args.rounds - len(each.seconds))):
                            each.seconds.append(turn(lab, (one, three)))
                            _say(f"{each.name}: {len(each.seconds)} of {args.rounds}, {each.seconds[-1] * 1000:.0f} ms")
        _say("")
        log = lab.controller_log()
    by_name = {each.name: each for each in series}
    good = "Traceback" not in log and "CRITICAL" not in log
    for each in series:
        ratio = median(each.seconds) / median(by_name[each.beside].seconds) if each.beside else None
        good = good and (ratio is None or ratio <= WITHIN)
        if args.format == "json":
            print(
                json.dumps(
                    {"name": each.name, "beside": each.beside, "ratio": ratio, "ms": [s * 1000 for s in each.seconds]}
                )
            )
        else:
            print(line(each, ratio))
    return 0 if good else 1


def line(series: Series, ratio: float | None) -> str:
    """A row of the table."""
    ordered = sorted(series.seconds)
    spread = (
        f"{median(ordered) * 1000:7.0f} ms  ({ordered[0] * 1000:.0f} to {ordered[-1] * 1000:.0f}, n={len(ordered)})"
    )
    busy = f"controller busy {100 * median(series.busy):3.0f} %"
    return f"{series.name:34}{spread:36}{busy}" + (f"  {ratio:5.2f} of '{series.beside}'" if ratio is not None else "")


def _series(only: Sequence[str] | None) -> list[Series]:
    quiet, loud, honest = "quiet", "guest on h2 is loud", "h2 another program"
    every = [
        Series(quiet, lambda lab: contextlib.nullcontext()),
        Series(loud, lambda lab: _guest(lab, "others")),
        Series("guest on h2 floods with ARP, ND", lambda lab: _guest(lab, "neighbors"), loud),
        Series(honest, lambda lab: fake(lab, "honest")),
        Series("h2 floods with packet-ins", lambda lab: fake(lab, "packets"), honest),
        Series("h2 reads slowly", lambda lab: fake(lab, "slow"), honest),
    ]
    if not only:
        return every
    wanted = {each.name for each in every if each.name in only} | {each.beside for each in every if each.name in only}
    return [each for each in every if each.name in wanted]


@contextlib.contextmanager
def _guest(lab: Lab, what: str) -> Iterator[None]:
    """web9, which nobody declared, sends without end."""
    lab.stand_back("h2", "ovs-vswitchd")
    argv = [*_BESIDE, "-m", "topologies.fuzz.flooding_vm", wiring.VM_NIC, what, str(PACE)]
    with lab.background("web9", *argv) as running:
        running.wait_for("begun", 20)
        time.sleep(2)
        yield
    time.sleep(2)


@contextlib.contextmanager
def fake(lab: Lab, how: str, chassis: str = "h2") -> Iterator[None]:
    """In the place of a chassis' ovs-vswitchd a switch that behaves so; what is plugged in there stays declared so."""
    guest = next(each.name for each in lab.topology.vms if each.chassis == chassis and not each.declared)
    ofport = lab.run(chassis, "ovs-vsctl", "get", "interface", vm(lab.topology, guest).name, "ofport").stdout.strip()
    lab.signal_daemon(chassis, "ovs-vswitchd")
    argv = [*_BESIDE, "-m", "topologies.fuzz.fake_switch", CONTROLLER_ADDRESS, chassis, how, ofport]
    try:
        with lab.background(chassis, *argv) as running:
            running.wait_for("connected", 20)
            time.sleep(2)
            yield
    finally:
        lab.start_daemon(chassis, "ovs-vswitchd")
        lab.overlayctl("--wait", "--timeout", "60", "sync", timeout=70)


@contextlib.contextmanager
def _last_words(lab: Lab) -> Iterator[None]:
    """What the controller logged last, where nothing goes on."""
    try:
        yield
    except RuntimeError:
        print("", *lab.controller_log().splitlines()[-20:], sep="\n  ", file=sys.stderr)
        raise


@contextlib.contextmanager
def _busy(lab: Lab, shares: list[float]) -> Iterator[None]:
    """Note how much of a core the controller takes meanwhile."""
    path = Path(f"/proc/{lab.controller_pid()}/stat")

    def spent() -> float:
        return sum(map(int, path.read_text().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    before, began = spent(), time.monotonic()
    yield
    shares.append((spent() - before) / (time.monotonic() - began))


class Watch:
    """What a switch reports of its flows, with the time at which it was heard."""

    def __init__(self, lab: Lab, chassis: str) -> None:
        argv = namespaces.enter(lab.netns(chassis), ["ovs-ofctl", "monitor", "br-int", "watch:!initial"])
        env = namespaces.environment(lab.environment(chassis))
        self._process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._mac = vm(lab.topology, PORT).mac
        self.heard: list[float] = []
        # Its first line is the answer that it is told from now on; what goes on before, nobody would report.
        assert self._process.stdout is not None
        self._process.stdout.readline()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            # What learn() writes follows packets, not the controller.
            if "event=" in text and self._mac in text and "table=60" not in text and "table=33" not in text:
                self.heard.append(time.monotonic())

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def turn(lab: Lab, watches: Sequence[Watch]) -> float:
    """Seconds from the command that plugs the port in to the last flow for it; it is unplugged before."""
    for each in watches:
        each.heard.clear()
    lab.unplug(PORT)
    _until_silent(watches)
    for each in watches:
        each.heard.clear()
    began = time.monotonic()
    lab.plug(PORT)
    return _until_silent(watches) - began


def _until_silent(watches: Sequence[Watch]) -> float:
    """When the last of them was last heard. Raises RuntimeError when one is not heard at all."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        time.sleep(0.02)
        now = time.monotonic()
        if all(each.heard for each in watches):
            last = max(each.heard[-1] for each in watches)
            if now > last + SILENCE_S:
                return last
        if now > deadline:
            raise RuntimeError(f"no flow of {PORT} on h1 or h3 within {PATIENCE_S:g} s; see the log of {CONTROLLER}")


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
