"""Target `frames`: what a tenant sends, from the bytes of a packet-in to what is learned of it and answered."""

from __future__ import annotations

import random
from collections.abc import Sequence
from struct import pack
from typing import Final

from controller import framing, too_large
from controller.packet_in import parse_neighbor, parse_packet_in
from controller.too_large import IPV4_ANSWER, IPV6_ANSWER, checksum
from flows.model import Binding, Network, Port, ip
from flows.vteps import ETHERNET
from topologies.fuzz import mutate
from topologies.fuzz.target import WrongError, corpus

MAC: Final = bytes.fromhex("020000000009")
OTHER: Final = bytes.fromhex("020000000001")
LONGEST: Final = 2000
"""Octets of a frame that is made."""
_TAGS: Final = 2 * too_large.TAG


class Frames:
    """A frame: the limit that it is told to exceed and its tag come from its length, so that a file is a frame."""

    module = "controller"

    def __init__(self) -> None:
        from ryu.ofproto import ofproto_parser, ofproto_protocol, ofproto_v1_4

        from controller.neighbors import Claims, Neighbors
        from controller.strange import Strange

        self._parse = ofproto_parser.msg
        self._protocol = ofproto_protocol.ProtocolDesc(version=ofproto_v1_4.OFP_VERSION)
        self._neighbors = Neighbors(Strange(lambda: None))
        self._bindings = (
            Binding("h1", "vm1", 1, "red", "web1", "02:00:00:00:00:01", ("10.0.0.1",), secure=True),
            Binding("h1", "vm9", 9, "red"),
        )
        self._claims = Claims({"web1": Port("web1", "red", "02:00:00:00:00:01", ("10.0.0.1",))}, self._bindings)
        self._networks = {"red": Network("red", "acme", 100)}
        self._now = 0.0

    def seeds(self) -> Sequence[bytes]:
        """Honest frames of each sort that is looked at, and those that are kept."""
        return [*_honest(), *corpus("frames").values()]

    def make(self, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
        """A frame with wrong bytes; often with checksums that are right all the same, so that they are read further."""
        frame = mutate.octets(chance.choice(seeds), chance, seeds, LONGEST)
        return mended(frame) if chance.random() < 0.5 else frame

    def run(self, data: bytes) -> None:
        """All that reads a frame, and what comes of it."""
        self._now += 0.001
        seen = parse_neighbor(data)
        if seen is not None:
            if seen.mac != data[6:12].hex(":") or ip(seen.ip) != seen.ip:
                raise WrongError(f"{seen} is not what the frame says")
            for binding in self._bindings:
                self._neighbors.see(self._claims, binding, seen, self._now)
        limit, tag = 68 + len(data) * 7 % 1500, (0, 0x1_0005, 0x1_1005)[len(data) % 3]
        told = too_large.answer(data, limit, too_large.vlan(tag))
        if told is not None:
            self._check(data, told, limit)
        self._packet_in(data)

    def _check(self, data: bytes, told: bytes, limit: int) -> None:
        if told[:6] != data[6:12] or told[6:12] != data[:6]:
            raise WrongError("an answer goes to somebody else than who sent the frame")
        if len(told) > ETHERNET + _TAGS + too_large.TAG + max(IPV4_ANSWER, IPV6_ANSWER):
            raise WrongError(f"an answer of {len(told)} octets to a limit of {limit}")

    def _packet_in(self, data: bytes) -> None:
        """The same frame, and the frame as a whole body, in messages of a switch."""
        match = pack("!HHIIIQ", 1, 24, 0x80000004, 9, 0x80000408, 100)
        whole = pack("!IHBBQ", 0xFFFFFFFF, len(data), 1, 30, 0xE7) + match + bytes(2) + data
        for body in (whole, data):
            connection = framing.Framing()
            connection.admitted = True
            try:
                safe = connection.feed(pack("!BBHI", framing.VERSION, framing.PACKET_IN, 8 + len(body), 1) + body)
            except framing.MalformedError:
                safe = []
            for message in safe:
                read = self._parse(self._protocol, message[0], message[1], len(message), 1, message)
                if body is whole and (read.match["in_port"], bytes(read.data)) != (9, data):
                    raise WrongError("a packet-in is read as another")
            try:
                parse_packet_in(body)
            except ValueError:
                if body is whole:
                    raise

    def close(self) -> None:
        """Nothing was started."""


def _honest() -> list[bytes]:
    arp = (
        OTHER
        + MAC
        + pack("!HHHBBH6s4s6s4s", 0x0806, 1, 0x0800, 6, 4, 1, MAC, bytes((10, 0, 0, 9)), bytes(6), b"\n\0\0\1")
    )
    a, b = bytes.fromhex("20010db8" + "0" * 23 + "9"), bytes.fromhex("ff02" + "0" * 18 + "01ff000001")
    link = bytes((2, 1)) + MAC
    solicited = _discovery(a, b, pack("!BBHI", 135, 0, 0, 0) + a[:15] + b"\1" + bytes((1, 1)) + MAC)
    advertised = _discovery(a, b, pack("!BBHI", 136, 0, 0, 0xA0000000) + a + link)
    nonce = _discovery(a, b, pack("!BBHI", 135, 0, 0, 0) + a + bytes((1, 1)) + MAC + bytes((14, 1)) + b"nonce!")
    ports = pack("!HHHH", 4000, 80, 1400, 0)
    ping = pack("!BBHI", 8, 0, 0, 1)
    large = [
        _ipv4(17, ports),
        _ipv4(6, bytes(20)),
        _ipv4(1, ping),
        _ipv6(17, ports),
        _ipv6(58, pack("!BBHI", 128, 0, 0, 1)),
    ]
    extended = [
        _ipv6(0, bytes((44, 0)) + bytes(6) + bytes((51, 0, 0, 1)) + bytes(4) + bytes((17, 1)) + bytes(10) + ports)
    ]
    tagged = [each[:12] + bytes.fromhex("88a80005 8100 0007") + each[12:] for each in (large[0], large[3])]
    return [arp, arp + bytes(18), solicited, advertised, nonce, *large, *extended, *tagged]


def _ipv4(protocol: int, payload: bytes) -> bytes:
    packet = payload + bytes(1500 - 20 - len(payload))
    header = pack("!BBHHHBBH4s4s", 0x45, 0, 1500, 1, 0x4000, 64, protocol, 0, b"\n\0\0\t", b"\n\0\0\1")
    return mended(OTHER + MAC + b"\x08\x00" + header + packet)


def _ipv6(following: int, payload: bytes) -> bytes:
    a, b = (bytes.fromhex("20010db8" + "0" * 23 + last) for last in "91")
    packet = payload + bytes(1460 - len(payload))
    return OTHER + MAC + b"\x86\xdd" + pack("!IHBB", 6 << 28, 1460, following, 64) + a + b + packet


def _discovery(source: bytes, destination: bytes, message: bytes) -> bytes:
    return mended(
        OTHER + MAC + b"\x86\xdd" + pack("!IHBB", 6 << 28, len(message), 58, 255) + source + destination + message
    )


def mended(frame: bytes) -> bytes:
    """A frame with lengths and checksums that are right again, where it has such."""
    found = bytearray(frame)
    if found[12:14] == b"\x08\x00" and len(found) >= 34:
        header = min(max(20, (found[14] & 15) * 4), len(found) - 14)
        found[24:26] = bytes(2)
        found[24:26] = checksum(bytes(found[14 : 14 + header])).to_bytes(2, "big")
    elif found[12:14] == b"\x86\xdd" and len(found) >= 58 and found[20] == 58:
        found[18:20] = (len(found) - 54).to_bytes(2, "big")
        found[56:58] = bytes(2)
        summed = bytes(found[22:54]) + pack("!IHBB", len(found) - 54, 0, 0, 58) + bytes(found[54:])
        found[56:58] = checksum(summed).to_bytes(2, "big")
    return bytes(found)
