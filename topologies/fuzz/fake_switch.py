"""A switch that is none, and may be hostile: `python -m topologies.fuzz.fake_switch ADDRESS CHASSIS HOW [OFPORT]`.

It connects as the chassis' switch and answers what it is asked, as one without flows. Then it is `honest` and no more;
or it floods (`packets`) with packet-ins from a port as fast as they are taken, each of another neighbor, or of one that
moves; or it reads slowly (`slow`), and sends what it gets answers to. When it is thrown out it comes again.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time
from collections.abc import Callable
from itertools import cycle
from queue import SimpleQueue
from struct import pack
from threading import Thread
from typing import Final

from controller.flow_bytes import oxm
from controller.too_large import checksum
from flows.flow import KIND_SHIFT, OWNER_COOKIE
from flows.tables import LIMIT, Kind
from ovsdb.wanted import datapath_id

SLOWLY: Final = 512
"""Bytes that the slow one reads, each `SLOWLY_S` seconds."""
SLOWLY_S: Final = 0.25
NEIGHBORS: Final = 20
"""Addresses of each family that are told of: few, so that what is measured is the flood and not how many are known."""
_PIECES: Final = 64
"""Different pieces of a flood, of so many packet-ins each as fit in 64 KiB."""
_TOO_LARGE: Final = OWNER_COOKIE | Kind.DROP_TOO_LARGE << KIND_SHIFT
_LIMIT: Final = 1400


def packet_in(ofport: int, frame: bytes, cookie: int = OWNER_COOKIE, limit: int = 0) -> bytes:
    """The message of a frame that came in at a port of network 100."""
    fields = pack("!IIIQ", oxm("in_port"), ofport, oxm("metadata"), 100)
    fields += pack("!II", oxm(LIMIT), limit) if limit else b""
    match = pack("!HH", 1, 4 + len(fields)) + fields
    match += bytes(-len(match) % 8)
    body = pack("!IHBBQ", 0xFFFFFFFF, len(frame), 1, 30, cookie) + match + bytes(2) + frame
    return pack("!BBHI", 5, 10, 8 + len(body), 0) + body


def arp(number: int) -> bytes:
    """An ARP request by one of a few neighbors, each of which has had as many MACs as one likes."""
    mac, ip = b"\x06\x00" + number.to_bytes(4, "big"), bytes((10, 0, 1, number % NEIGHBORS + 1))
    return b"\xff" * 6 + mac + pack("!HHHBBH6s4s6s4s", 0x0806, 1, 0x0800, 6, 4, 1, mac, ip, bytes(6), b"\n\0\0\1")


def advertisement(number: int) -> bytes:
    """The same by neighbor discovery."""
    mac = b"\x06\x00" + number.to_bytes(4, "big")
    ip, everybody = (
        bytes.fromhex("fd00" + "00" * 13) + bytes((number % NEIGHBORS,)),
        bytes.fromhex("ff02" + "00" * 13 + "01"),
    )
    message = pack("!BBHI", 136, 0, 0, 0x20000000) + ip + b"\2\1" + mac
    summed = checksum(ip + everybody + pack("!IHBB", len(message), 0, 0, 58) + message)
    message = message[:2] + summed.to_bytes(2, "big") + message[4:]
    header = pack("!IHBB", 6 << 28, len(message), 58, 255) + ip + everybody
    return bytes.fromhex("333300000001") + mac + b"\x86\xdd" + header + message


def large(number: int) -> bytes:
    """The beginning of a packet that no tunnel carries, from one of ever so many senders."""
    about = pack("!BBHHHBBH4s4s", 0x45, 0, 1500, 1, 0x4000, 64, 17, 0, bytes((10, 0, 0, 9)), bytes((10, 0, 0, 1)))
    header = about[:10] + checksum(about).to_bytes(2, "big") + about[12:]
    return bytes.fromhex("020000000001") + b"\x06\x01" + number.to_bytes(4, "big") + b"\x08\x00" + header + bytes(600)


def pieces(make: Callable[[int], bytes]) -> list[bytes]:
    """Messages by number, in pieces of up to 64 KiB."""
    found, number = [], 0
    for _ in range(_PIECES):
        piece = b""
        while len(piece) < 60000:
            piece += make(number)
            number += 1
        found.append(piece)
    return found


class Switch:
    """One connection."""

    def __init__(self, address: str, chassis: str, window: int | None = None) -> None:
        self.socket = socket.socket()
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(10)
        self.socket.connect((address, 6653))
        self._rest = b""
        dpid = int(datapath_id(chassis), 16)
        self.socket.sendall(
            bytes.fromhex("05000008000000010506002000000002") + pack("!QIBB2xII", dpid, 0, 254, 0, 0, 0)
        )

    def answer(self, seconds: float) -> None:
        """Answer what comes, for so long. Raises OSError at the end of the connection."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0] and (answers := self.answers()):
                self.socket.sendall(answers)

    def answers(self) -> bytes:
        """The answers to what came. Raises OSError at the end of the connection."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("it was closed")
        self._rest += data
        found = b""
        while len(self._rest) >= 8 and len(self._rest) >= (length := int.from_bytes(self._rest[2:4], "big")):
            found += _answer(self._rest[:length])
            self._rest = self._rest[length:]
        return found


def _answer(message: bytes) -> bytes:
    kind, xid = message[1], message[4:8]
    if kind == 2:
        return message[:1] + b"\3" + message[2:]
    if kind == 18:
        return pack("!BBH", 5, 19, 16) + xid + message[8:10] + bytes(6)
    if kind == 7:
        return pack("!BBH", 5, 8, 12) + xid + pack("!HH", 0, 128)
    return pack("!BBH", 5, 21, 8) + xid if kind == 20 else b""


def flood(switch: Switch, ofport: int) -> None:
    """Packet-ins as fast as they are taken; between two pieces of them what was asked is answered."""
    todo = cycle(pieces(lambda number: packet_in(ofport, (arp if number % 2 else advertisement)(number))))
    switch.answer(1.0)
    answers: SimpleQueue[bytes] = SimpleQueue()

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                if select.select([switch.socket], [], [], 10)[0]:
                    answers.put(switch.answers())

    Thread(target=listen, daemon=True).start()
    while True:
        piece = next(todo)
        while not answers.empty():
            piece = answers.get() + piece
        switch.socket.sendall(piece)


def slow(switch: Switch, ofport: int) -> None:
    """Questions that are answered at length, and packets that are answered; of the answers a little is read."""
    switch.answer(1.0)
    echo = pack("!BBHI", 5, 2, 60000, 7) + bytes(59992)
    todo = pieces(lambda number: packet_in(ofport, large(number), _TOO_LARGE, _LIMIT))
    asked = memoryview(b"".join([echo, todo[0], echo, todo[1], *todo]) * 4)
    switch.socket.setblocking(False)
    while True:
        _, writable, _ = select.select([], [switch.socket], [], SLOWLY_S)
        if writable and asked:
            asked = asked[switch.socket.send(asked) :]
        else:
            time.sleep(SLOWLY_S)
        if select.select([switch.socket], [], [], 0)[0] and not switch.socket.recv(SLOWLY):
            raise ConnectionError("it was closed")


def main(argv: list[str]) -> None:
    """Be that switch until somebody ends it."""
    address, chassis, how = argv[:3]
    ofport = int(argv[3]) if len(argv) > 3 else 1
    print("begun", flush=True)
    while True:
        try:
            switch = Switch(address, chassis, 4096 if how == "slow" else None)
            print("connected", flush=True)
            if how == "packets":
                flood(switch, ofport)
            elif how == "slow":
                slow(switch, ofport)
            else:
                switch.answer(1e9)
        except OSError as error:
            print(f"ended: {error}", flush=True)
        time.sleep(0.5)


if __name__ == "__main__":
    main(sys.argv[1:])
