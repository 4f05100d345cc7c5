"""What a tenant's packet may do to the parser: be read as ARP, or be nothing."""

from __future__ import annotations

import random
import struct
import time

import pytest

from controller.packet_in import Arp, parse_arp, parse_packet_in
from controller.wire import oxm

SHA = bytes.fromhex("020000000001")
GOOD = (
    b"\xff" * 6 + SHA + bytes.fromhex("0806 0001 0800 06 04 0001") + SHA + bytes([10, 0, 0, 1])
    + bytes(6) + bytes([10, 0, 0, 2])
)  # fmt: skip


def test_a_request_is_read() -> None:
    expected = Arp(1, "02:00:00:00:00:01", "10.0.0.1", "10.0.0.2")
    assert parse_arp(GOOD) == expected
    assert parse_arp(GOOD + bytes(18)) == expected, "the padding of a minimal frame"


def _with(place: int, octets: bytes) -> bytes:
    return GOOD[:place] + octets + GOOD[place + len(octets) :]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        GOOD[:41],
        _with(6, bytes.fromhex("020000000002")),
        _with(6, bytes(6))[:22] + bytes(6) + GOOD[28:],
        _with(6, b"\x03\0\0\0\0\1")[:22] + b"\x03\0\0\0\0\1" + GOOD[28:],
        _with(12, b"\x81\x00"),
        _with(12, b"\x08\x00"),
        _with(14, b"\x00\x02"),
        _with(16, b"\x86\xdd"),
        _with(18, b"\x08"),
        _with(19, b"\x10"),
        _with(20, b"\x00\x00"),
        _with(20, b"\x00\x03"),
        _with(28, bytes(4)),
        _with(28, b"\xe0\x00\x00\x01"),
        _with(28, b"\xff\xff\xff\xff"),
    ],
    ids=[
        "empty", "short", "sha is not eth_src", "zero sha", "group sha", "tagged", "ip", "htype", "ptype",
        "hlen", "plen", "op 0", "op 3", "probe", "multicast spa", "broadcast spa",
    ],
)  # fmt: skip
def test_all_else_is_not(frame: bytes) -> None:
    assert parse_arp(frame) is None


def test_mutated_frames_never_raise() -> None:
    chance = random.Random(2)
    read = 0
    started = time.monotonic()
    for _ in range(100_000):
        frame = bytearray(GOOD + chance.randbytes(chance.randrange(30)))
        for _ in range(chance.randrange(4)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        arp = parse_arp(bytes(frame[: chance.randrange(30, len(frame) + 1)]))
        read += arp is not None
        parse_arp(chance.randbytes(chance.randrange(64)))
    assert read > 1000
    assert time.monotonic() - started < 30


def _packet_in(fields: bytes, data: bytes, length: int | None = None) -> bytes:
    length = 4 + len(fields) if length is None else length
    head = struct.pack("!IHBBQ", 0xFFFFFFFF, len(data), 1, 30, 0xE71800000000ABCD)
    match = struct.pack("!HH", 1, length) + fields
    return head + match + bytes(-len(match) % 8) + b"\0\0" + data


FIELDS = (
    struct.pack("!II", oxm("in_port"), 7)
    + struct.pack("!IQ", oxm("metadata"), 100)
    + struct.pack("!IIH", 0xFFFF3806, 0x4F4E4600, 1)  # an experimenter's field: skipped
    + struct.pack("!II", oxm("reg0"), 1)
)


def test_a_packet_in_is_read() -> None:
    read = parse_packet_in(_packet_in(FIELDS, GOOD))
    assert (read.table, read.cookie) == (30, 0xE71800000000ABCD)
    assert read.fields == {"in_port": 7, "metadata": 100, "reg0": 1}
    assert read.data == GOOD


@pytest.mark.parametrize("length", [0, 3, 5, 11, 4 + len(FIELDS) - 1, 4 + len(FIELDS) + 1, 0xFFFF])
def test_a_packet_in_of_an_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"claims a length|are no field|ends at"):
        parse_packet_in(_packet_in(FIELDS, b"", length))


def test_mutated_packet_ins_raise_value_error_or_nothing() -> None:
    chance = random.Random(3)
    good = _packet_in(FIELDS, GOOD)
    refused = 0
    for _ in range(100_000):
        body = bytearray(good[: chance.randrange(len(good) + 1)])
        for _ in range(chance.randrange(4) if body else 0):
            body[chance.randrange(len(body))] = chance.randrange(256)
        try:
            parse_packet_in(bytes(body))
        except ValueError:
            refused += 1
    assert refused > 10_000
