"""The probe of a moving VM: it and a peer ask each other every millisecond; which answers came, and when, is recorded.

A program of its own, `python -m topologies.gaps`, and what its record says, as values. One process speaks for the
peer and for the VM at every place where that may be, each by a raw socket in that place's network namespace. So there
is one clock, the VM goes from one place to the other between two instructions, and a place where it is not is silent.
Frames are whole IPv4 and UDP: nothing is left to a NIC, so no offload need be switched off.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

INTERVAL: Final = 0.001
"""Seconds from one probe to the next, in each direction."""
ANNOUNCED: Final = (0.0, 0.05, 0.2, 0.45, 0.8)
"""Seconds after it went over at which a VM is announced: five rounds, as QEMU's announce-self has them by default."""
GRACE: Final = 0.3
"""Seconds that answers have which were under way when probing ends."""

_CLONE_NEWNET: Final = 0x40000000
_ETH_P_IP: Final = 0x0800
_MARK: Final = b"gap?"
_BODY: Final = struct.Struct("!4sIBBI")
"""Mark, run, question or answer, direction, number."""
_PORT: Final = 7007
_UDP_OFFSET: Final = 14 + 20
_BODY_OFFSET: Final = _UDP_OFFSET + 8
_LENGTH: Final = 60
"""Of a frame: the shortest that Ethernet has, so that nobody pads it."""
_QUESTION, _ANSWER = 0, 1
DIRECTIONS: Final = ("to the VM", "from the VM")

Probe = tuple[float, float | None]
"""When a probe was sent and when its answer came, in seconds; None when none did."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a run of the program saw, in seconds of one clock. `stall` is how late it was itself, at worst."""

    began: float
    ended: float
    stall: float
    duplicates: int
    streams: tuple[tuple[Probe, ...], ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """How many probes were lost over both directions, and the longest time without an answer in either, in ms.

    `late_ms` is how late the probe itself was, at worst: a gap no longer than that may be the machine's.
    """

    lost: int
    ms: float
    late_ms: float


def read(text: str) -> Record:
    """The record that the program printed last; ValueError when there is none."""
    last = text.strip().rpartition("\n")[2]
    if not last.startswith("{"):
        raise ValueError(f"the probe printed no record, but {text!r}")
    plain = json.loads(last)
    streams = tuple(tuple((sent, answered) for sent, answered in stream) for stream in plain.pop("streams"))
    return Record(**plain, streams=streams)


def gap(record: Record, interval: float = INTERVAL) -> Gap:
    """Losses and the longest gap of a record.

    A gap lies between two answers that follow each other, or between one and the beginning or end of the run; the
    interval, which passes anyhow, is taken off.
    """
    longest = 0.0
    for stream in record.streams:
        answers = sorted(answered for _, answered in stream if answered is not None)
        moments = [record.began, *(each for each in answers if each < record.ended), record.ended]
        longest = max([longest, *(after - before for before, after in pairwise(moments))])
    lost = sum(answered is None for stream in record.streams for _, answered in stream)
    return Gap(lost, max(0.0, longest - interval) * 1000, record.stall * 1000)


@dataclass(frozen=True, slots=True)
class Station:
    """One who speaks, as a frame's addresses have it."""

    mac: str
    ip: str


def frame(source: Station, target: Station) -> bytes:
    """Ethernet, IPv4 (RFC 791) and UDP (RFC 768, without checksum) up to the body, which is appended."""
    udp = struct.pack("!HHHH", _PORT, _PORT, _LENGTH - _UDP_OFFSET, 0)
    addresses = socket.inet_aton(source.ip) + socket.inet_aton(target.ip)
    header = struct.pack("!BBHHHBBH", 0x45, 0, _LENGTH - 14, 0, 0x4000, 64, socket.IPPROTO_UDP, 0) + addresses
    words = sum(struct.unpack("!10H", header))
    words = (words & 0xFFFF) + (words >> 16)
    checksum = ~(words + (words >> 16)) & 0xFFFF
    header = header[:10] + struct.pack("!H", checksum) + header[12:]
    return _mac(target.mac) + _mac(source.mac) + struct.pack("!H", _ETH_P_IP) + header + udp


def announcements(vm: Station) -> tuple[bytes, bytes]:
    """What is sent for a VM at its new place: QEMU's RARP (RFC 903) and the guest's own gratuitous ARP (RFC 5227)."""
    mac, broadcast = _mac(vm.mac), b"\xff" * 6
    fixed = struct.pack("!HHBB", 1, _ETH_P_IP, 6, 4)
    rarp = struct.pack("!H", 0x8035) + fixed + struct.pack("!H", 3) + mac + bytes(4) + mac + bytes(4)
    ip = socket.inet_aton(vm.ip)
    arp = struct.pack("!H", 0x0806) + fixed + struct.pack("!H", 1) + mac + ip + bytes(6) + ip
    whole = [(broadcast + mac + each).ljust(_LENGTH, b"\0") for each in (rarp, arp)]
    return whole[0], whole[1]


def raw_socket(place: str, ethertype: int = _ETH_P_IP) -> socket.socket:
    """A socket for the frames (of IPv4) of `NAMESPACE-FILE:INTERFACE`; it stays there, and this process does not."""
    file, _, interface = place.rpartition(":")
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open(file) as there:
        _set_namespace(libc, there.fileno(), file)
        try:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            made.bind((interface, ethertype))
        finally:
            _set_namespace(libc, home.fileno(), "home")
    made.setblocking(False)
    return made


def _set_namespace(libc: ctypes.CDLL, descriptor: int, name: str) -> None:
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"cannot enter network namespace {name}")


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


class Conversation:
    """The sockets of peer and VM, and what was said; `at` is where the VM is."""

    def __init__(self, peer: socket.socket, places: dict[str, socket.socket], at: str, who: Sequence[Station]) -> None:
        self.peer, self.places, self.at = peer, places, at
        peer_station, vm_station = who
        self._frames = (frame(peer_station, vm_station), frame(vm_station, peer_station))
        self._announcements = announcements(vm_station)
        self._announce: list[float] = []
        self._run = int.from_bytes(os.urandom(4), "big")
        self._came_back: set[int] | None = None
        self._went = 0.0
        self.sent: tuple[list[float], list[float]] = ([], [])
        self.answered: tuple[dict[int, float], dict[int, float]] = ({}, {})
        self.duplicates = 0

    def go(self, place: str, now: float) -> None:
        """The VM resumes at another place, and is announced there."""
        if place not in self.places:
            raise ValueError(f"no place {place!r}, but {', '.join(self.places)}")
        self.at = place
        self._went, self._came_back = now, set()
        self._announce = [now + after for after in ANNOUNCED]

    def tick(self, now: float) -> None:
        """Send what is due: a probe in each direction; `now` is when."""
        while self._announce and self._announce[0] <= now:
            del self._announce[0]
            for each in self._announcements:
                self._send(self.places[self.at], each)
        for direction, source in enumerate((self.peer, self.places[self.at])):
            self.sent[direction].append(now)
            self._send(source, self._message(direction, _QUESTION, direction, len(self.sent[direction]) - 1))

    def hear(self, source: socket.socket) -> None:
        """Read what there is; questions are answered, and answers noted. Where the VM is not, nobody listens."""
        here = 0 if source is self.peer else 1
        for _ in range(64):
            try:
                said = source.recv(256)
            except BlockingIOError:
                return
            except OSError:  # the interface is down, or gone: nothing is heard there
                return
            if len(said) < _BODY_OFFSET + _BODY.size or (here == 1 and source is not self.places[self.at]):
                continue
            mark, run, kind, direction, number = _BODY.unpack_from(said, _BODY_OFFSET)
            if mark != _MARK or run != self._run:
                continue
            if kind == _QUESTION and direction != here:
                self._send(source, self._message(here, _ANSWER, direction, number))
            elif kind == _ANSWER and direction == here:
                self._note(direction, number, time.monotonic())

    def _note(self, direction: int, number: int, now: float) -> None:
        if number in self.answered[direction]:
            self.duplicates += 1
            return
        self.answered[direction][number] = now
        if self._came_back is not None and self.sent[direction][number] >= self._went:
            self._came_back.add(direction)
            if len(self._came_back) == len(DIRECTIONS):
                self._came_back = None
                print("back", flush=True)

    def _message(self, speaker: int, kind: int, direction: int, number: int) -> bytes:
        body = _BODY.pack(_MARK, self._run, kind, direction, number)
        return (self._frames[speaker] + body).ljust(_LENGTH, b"\0")

    @staticmethod
    def _send(source: socket.socket, message: bytes) -> None:
        # A full queue, or an interface that is down, loses the frame, as a cable would.
        with contextlib.suppress(OSError):
            source.send(message)


def converse(talk: Conversation, began: float) -> Record:
    """Probe until standard input says `stop`, or ends; `go PLACE` there moves the VM."""
    stall, due, ended = 0.0, began, 0.0
    sockets = [talk.peer, *talk.places.values()]
    commands = sys.stdin.fileno()
    while not ended or time.monotonic() < ended + GRACE:
        now = time.monotonic()
        if not ended and now >= due:
            stall = max(stall, now - due)
            talk.tick(now)
            # Who was late does not hurry: probes that are sent in one go say nothing about the time between.
            due = max(due + INTERVAL, now)
        wait = max(0.0, due - time.monotonic()) if not ended else INTERVAL
        ready = select.select([*sockets, *([] if ended else [commands])], [], [], wait)[0]
        for each in ready:
            if isinstance(each, socket.socket):
                talk.hear(each)
            else:
                words = os.read(commands, 4096).decode().split()
                if not words or "stop" in words:
                    ended = time.monotonic()
                elif words[0] == "go":
                    talk.go(words[1], time.monotonic())
    streams = tuple(
        tuple((sent, answers.get(number)) for number, sent in enumerate(times))
        for times, answers in zip(talk.sent, talk.answered, strict=True)
    )
    return Record(began, ended, stall, talk.duplicates, streams)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the probe: prints `probing`, `back` when a VM that went over is heard in both directions, and the record."""
    parser = argparse.ArgumentParser(prog="python -m topologies.gaps", description=__doc__)
    parser.add_argument("--peer", required=True, metavar="NAMESPACE-FILE:INTERFACE")
    parser.add_argument("--place", action="append", required=True, metavar="NAME=NAMESPACE-FILE:INTERFACE")
    parser.add_argument("--at", required=True, metavar="NAME", help="where the VM is at first")
    for who in ("peer", "vm"):
        parser.add_argument(f"--{who}-is", required=True, nargs=2, metavar=("MAC", "IP"))
    args = parser.parse_args(argv)
    places = {name: raw_socket(place) for name, place in (each.split("=", 1) for each in args.place)}
    if args.at not in places:
        parser.error(f"--at {args.at}: no such place, but {', '.join(places)}")
    talk = Conversation(raw_socket(args.peer), places, args.at, (Station(*args.peer_is), Station(*args.vm_is)))
    # Where it may, it goes before others: a probe that waits for a CPU measures the machine.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gc.disable()
    print("probing", flush=True)
    record = converse(talk, time.monotonic())
    plain = {name: getattr(record, name) for name in ("began", "ended", "stall", "duplicates", "streams")}
    print(json.dumps(plain), flush=True)
    return 0


def command(peer: str, places: dict[str, str], at: str, who: Sequence[Station]) -> list[str]:
    """The program's command line; places are namespace files with an interface, as `raw_socket` reads them."""
    argv = [sys.executable, "-m", "topologies.gaps", "--peer", peer, "--at", at]
    for name, place in places.items():
        argv += ["--place", f"{name}={place}"]
    for option, station in zip(("--peer-is", "--vm-is"), who, strict=True):
        argv += [option, station.mac, station.ip]
    return argv


def place(namespace: Path, interface: str) -> str:
    """A place, as the program's options have it."""
    return f"{namespace}:{interface}"


if __name__ == "__main__":
    sys.exit(main())
