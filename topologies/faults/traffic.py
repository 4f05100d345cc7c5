"""Traffic between all VMs of a lab while something breaks: what was lost, and what came where it must not.

A program of its own, `python -m topologies.faults.traffic`, and what its record says, as values. One process speaks for
every VM, by a raw socket in each one's network namespace, so there is one clock and nobody waits for anybody. At each
tick everyone sends a frame to every other VM of its network, now and then one to all; everyone hears all that comes in.
Tenants have the same MACs and addresses, so every frame that goes to one of them would also fit the other.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import gc
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, permutations
from pathlib import Path
from typing import Final, Self

from topologies import namespaces, wiring
from topologies.fabric import Fabric
from topologies.gaps import Station, frame, raw_socket
from topologies.topology import vm as vm_of

INTERVAL: Final = 0.002
"""Seconds from one tick to the next."""
TO_ALL_EVERY: Final = 25
"""Ticks from one frame to all members to the next."""
GRACE: Final = 0.5
"""Seconds that frames have which were under way when sending ends."""
BUFFER: Final = 1 << 22

_MARK: Final = b"flt!"
_BODY: Final = struct.Struct("!4sIBBI")
"""Mark, run, sender, receiver (255: all), tick."""
_BODY_OFFSET: Final = 14 + 20 + 8
_ALL: Final = 255
_LENGTH: Final = 60
_SO_RCVBUFFORCE: Final = 33
_BROADCAST: Final = b"\xff" * 6

Pair = tuple[str, str]
"""(sender, receiver) by name."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A VM: where it is heard and what it is called."""

    name: str
    network: str
    station: Station


@dataclass(frozen=True, slots=True)
class Guest:
    """Who is to speak: `place` is a namespace file with an interface, as `raw_socket` reads them."""

    name: str
    network: str
    place: str
    mac: str
    ip: str


def guest_of(lab: Fabric, name: str) -> Guest:
    """A VM of the lab."""
    vm = vm_of(lab.topology, name)
    return Guest(name, vm.network, f"{namespaces.path(lab.netns(name))}:{wiring.VM_NIC}", vm.mac, vm.ip)


@dataclass(frozen=True)
class Record:
    """What a run saw. `ticks` are when frames were sent, `lost` the first and last tick of each row of losses.

    `leaked` counts frames that came to another network, `strays` those that came to a third of the same; `stall` is
    how late the program itself was, at worst. Seconds of one clock.
    """

    ticks: tuple[float, ...]
    lost: Mapping[Pair, tuple[tuple[int, int], ...]]
    leaked: Mapping[Pair, int]
    strays: int
    stall: float

    def sent(self, pairs: Sequence[Pair]) -> int:
        """How many frames were sent between these."""
        return len(self.ticks) * len(pairs)

    def beside(self, pair: Pair, others: Iterable[Pair], slack: int) -> int:
        """How many frames between these were lost within `slack` ticks of a frame that one of the others lost."""
        near = [(first - slack, last + slack) for other in others for first, last in self.lost[other]]
        return sum(
            any(begin <= tick <= end for begin, end in near)
            for first, last in self.lost[pair]
            for tick in range(first, last + 1)
        )

    def losses(self, pairs: Sequence[Pair]) -> int:
        """How many frames were lost between these."""
        return sum(last - first + 1 for pair in pairs for first, last in self.lost[pair])

    def longest(self, pairs: Sequence[Pair]) -> float:
        """The longest time without a frame between any of these, in seconds."""
        gaps = [self._moment(last + 1) - self.ticks[first] for pair in pairs for first, last in self.lost[pair]]
        return max(gaps, default=0.0)

    def _moment(self, tick: int) -> float:
        return self.ticks[min(tick, len(self.ticks) - 1)]


def read(text: str) -> Record:
    """The record that the program printed last; ValueError when there is none."""
    last = text.strip().rpartition("\n")[2]
    if not last.startswith("{"):
        raise ValueError(f"the traffic program printed no record, but {text!r}")
    plain = json.loads(last)
    lost = {(one, other): tuple((first, end) for first, end in rows) for one, other, rows in plain["lost"]}
    leaked = {(one, other): number for one, other, number in plain["leaked"]}
    return Record(tuple(plain["ticks"]), lost, leaked, plain["strays"], plain["stall"])


class Traffic:
    """All that is sent and heard. `sockets` are the speakers', in their order."""

    def __init__(self, speakers: Sequence[Speaker], sockets: Sequence[socket.socket]) -> None:
        self._speakers = speakers
        self._sockets = list(sockets)
        self._run = int.from_bytes(os.urandom(4), "big")
        self._pairs = [
            (one, other)
            for one, other in permutations(range(len(speakers)), 2)
            if speakers[one].network == speakers[other].network
        ]
        self._heads = {pair: frame(speakers[pair[0]].station, speakers[pair[1]].station) for pair in self._pairs}
        self._came = {pair: bytearray() for pair in self._pairs}
        self._leaked: Counter[tuple[int, int]] = Counter()
        self._strays = 0
        self.ticks = array.array("d")

    def tick(self, now: float) -> None:
        """Everyone sends."""
        number = len(self.ticks)
        self.ticks.append(now)
        for pair in self._pairs:
            self._came[pair].append(0)
            self._send(pair[0], self._heads[pair], pair[1], number)
        if number % TO_ALL_EVERY == 0:
            for one, speaker in enumerate(self._speakers):
                self._send(one, _BROADCAST + frame(speaker.station, speaker.station)[6:], _ALL, number)

    def _send(self, one: int, head: bytes, other: int, number: int) -> None:
        body = _BODY.pack(_MARK, self._run, one, other, number)
        with contextlib.suppress(OSError):  # a full queue, or an interface that is down: lost, as on a cable
            self._sockets[one].send((head + body).ljust(_LENGTH, b"\0"))

    def hear(self, here: int) -> None:
        """Take what came to one."""
        heard, speakers = self._sockets[here], self._speakers
        for _ in range(256):
            try:
                said = heard.recv(256)
            except OSError:  # nothing there, or the interface is down
                return
            if len(said) < _BODY_OFFSET + _BODY.size:
                continue
            mark, run, one, other, number = _BODY.unpack_from(said, _BODY_OFFSET)
            if mark != _MARK or run != self._run:
                continue
            if speakers[one].network != speakers[here].network:
                self._leaked[one, here] += 1
            elif other == here:
                self._came[one, here][number] = 1
            elif other != _ALL:
                self._strays += 1

    def record(self, stall: float) -> dict[str, object]:
        """What `read` reads."""
        names = [speaker.name for speaker in self._speakers]
        return {
            "ticks": [round(each, 6) for each in self.ticks],
            "lost": [(names[one], names[other], list(_rows(came))) for (one, other), came in self._came.items()],
            "leaked": [(names[one], names[other], number) for (one, other), number in self._leaked.items()],
            "strays": self._strays,
            "stall": stall,
        }


def _rows(came: bytes) -> Iterator[tuple[int, int]]:
    """The first and the last of each row of ticks that did not come."""
    place = 0
    for value, group in groupby(came):
        length = sum(1 for _ in group)
        if not value:
            yield place, place + length - 1
        place += length


def run(traffic: Traffic, sockets: Sequence[socket.socket], interval: float) -> float:
    """Send and hear until standard input ends, and how late that was at worst, in seconds."""
    places = {each.fileno(): number for number, each in enumerate(sockets)}
    commands = sys.stdin.fileno()
    poller = select.poll()
    for each in (*places, commands):
        poller.register(each, select.POLLIN)
    stall, due, ended = 0.0, time.monotonic(), 0.0
    while not ended or time.monotonic() < ended + GRACE:
        now = time.monotonic()
        if not ended and now >= due:
            stall = max(stall, now - due)
            traffic.tick(now)
            due = max(due + interval, now)
        wait = max(0.0, due - time.monotonic()) if not ended else interval
        for file, _ in poller.poll(wait * 1000):
            if file in places:
                traffic.hear(places[file])
            elif not os.read(commands, 4096):
                ended = time.monotonic()
                poller.unregister(commands)
    return stall


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program: prints `sending`, and the record when its standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m topologies.faults.traffic", description=__doc__)
    parser.add_argument("--interval", type=float, default=INTERVAL, metavar="SECONDS")
    parser.add_argument(
        "--vm", action="append", nargs=5, required=True, metavar=("NAME", "NETWORK", "PLACE", "MAC", "IP")
    )
    args = parser.parse_args(argv)
    speakers = [Speaker(name, network, Station(mac, ip)) for name, network, _, mac, ip in args.vm]
    sockets = [raw_socket(place) for _, _, place, _, _ in args.vm]
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
    # Where it may, it goes before others: a program that waits for a CPU measures the machine.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gc.disable()
    traffic = Traffic(speakers, sockets)
    print("sending", flush=True)
    stall = run(traffic, sockets, args.interval)
    print(json.dumps(traffic.record(stall)), flush=True)
    return 0


class Sending:
    """Traffic between guests of a lab, as long as the `with` block lasts; `record` is there when it has ended."""

    def __init__(self, lab: Fabric, guests: Iterable[Guest], interval: float = INTERVAL) -> None:
        argv = [sys.executable, "-m", "topologies.faults.traffic", "--interval", str(interval)]
        for each in guests:
            argv += ["--vm", each.name, each.network, each.place, each.mac, each.ip]
        self._argv = argv
        self._output = lab.output("traffic", "vms")
        self._process: subprocess.Popen[bytes] | None = None
        self.record: Record | None = None

    def __enter__(self) -> Self:
        root = Path(__file__).resolve().parent.parent.parent
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, cwd=root
            )
        deadline = time.monotonic() + 60
        while b"sending" not in self._output.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise RuntimeError(f"the traffic program does not start:\n{self._output.read_text()}")
            time.sleep(0.02)
        return self

    def __exit__(self, raised: type[BaseException] | None, *rest: object) -> None:
        assert self._process is not None
        try:
            self._process.communicate(timeout=30)
        finally:
            self._process.kill()
        if raised is None:
            self.record = read(self._output.read_text())


if __name__ == "__main__":
    sys.exit(main())
