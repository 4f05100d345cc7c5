"""What a tenant's packet may do to the parser: tell of a neighbor, or be nothing."""

from __future__ import annotations

import random
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
    ICMPv6Unknown,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from controller.flow_bytes import oxm
from controller.packet_in import Seen, parse_arp, parse_discovery, parse_neighbor, parse_packet_in

SHA = bytes.fromhex("020000000001")
GOOD = (
    b"\xff" * 6 + SHA + bytes.fromhex("0806 0001 0800 06 04 0001") + SHA + bytes([10, 0, 0, 1])
    + bytes(6) + bytes([10, 0, 0, 2])
)  # fmt: skip


def test_a_request_is_read() -> None:
    expected = Seen("10.0.0.1", "02:00:00:00:00:01")
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


MAC = "02:00:00:00:00:01"
OTHER = "02:00:00:00:00:02"
IP = "2001:db8::1"


def solicitation(
    source: str = IP, mac: str = MAC, sll: str | None = MAC, target: str = "2001:db8::2", **fields: int
) -> Packet:
    """What an honest host sends, but for what is given."""
    header = IPv6(src=source, dst="ff02::1:ff00:2", hlim=fields.pop("hlim", 255))
    option = ICMPv6NDOptSrcLLAddr(lladdr=sll) if sll else b""
    return Ether(src=mac, dst="33:33:ff:00:00:02") / header / ICMPv6ND_NS(tgt=target, **fields) / option


def advertisement(
    target: str = IP, mac: str = MAC, tll: str | None = MAC, dst: str = "ff02::1", **fields: int
) -> Packet:
    """The same, unsolicited."""
    header = IPv6(src="fe80::1", dst=dst, hlim=fields.pop("hlim", 255))
    said = ICMPv6ND_NA(tgt=target, **{"R": 0, "S": 0, "O": 1, **fields})
    return Ether(src=mac, dst="33:33:00:00:00:01") / header / said / (
        ICMPv6NDOptDstLLAddr(lladdr=tll) if tll else b""
    )  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "seen"),
    [
        (solicitation(), Seen(IP, MAC)),
        (solicitation(source="fe80::5"), Seen("fe80::5", MAC)),
        (solicitation() / ICMPv6NDOptUnknown(type=14, data=b"nonce!"), Seen(IP, MAC)),
        (advertisement(), Seen(IP, MAC)),
        (advertisement(tll=None), Seen(IP, MAC)),
        (advertisement(R=1), Seen(IP, MAC, router=True)),
        (advertisement(O=0), Seen(IP, MAC, overrides=False)),
        (advertisement(S=1, dst="fe80::2"), Seen(IP, MAC)),
        (advertisement(target="2001:DB8:0:0::1"), Seen(IP, MAC)),
    ],
)
def test_neighbor_discovery_is_read(frame: Packet, seen: Seen) -> None:
    assert parse_neighbor(bytes(frame)) == seen


@pytest.mark.parametrize(
    "frame",
    [
        solicitation(source="::", sll=None),
        solicitation(source="::"),
        solicitation(source="ff02::1"),
        solicitation(source="::1"),
        solicitation(sll=None),
        solicitation(sll=OTHER),
        solicitation(mac=OTHER),
        solicitation(mac="03:00:00:00:00:01", sll="03:00:00:00:00:01"),
        solicitation(mac="00:00:00:00:00:00", sll="00:00:00:00:00:00"),
        solicitation(target="ff02::2"),
        solicitation(hlim=254),
        solicitation(code=1),
        solicitation(cksum=0x1234),
        solicitation() / ICMPv6NDOptSrcLLAddr(lladdr=MAC),
        solicitation() / ICMPv6NDOptUnknown(type=14, len=0, data=b"nonce!"),
        solicitation() / ICMPv6NDOptUnknown(type=14, len=2, data=b"nonce!"),
        solicitation() / Raw(b"odd"),
        Ether(bytes(solicitation()) + bytes(8)),
        Ether(bytes(solicitation())[:-8]),
        advertisement(tll=OTHER),
        advertisement(mac=OTHER),
        advertisement(target="ff02::1"),
        advertisement(target="::"),
        advertisement(S=1),
        advertisement(hlim=1),
        advertisement(cksum=0),
        advertisement() / ICMPv6NDOptDstLLAddr(lladdr=MAC),
        Ether(src=MAC) / Dot1Q(vlan=5) / solicitation()[IPv6],
        Ether(src=MAC, dst="33:33:ff:00:00:02")
        / IPv6(src=IP, dst="ff02::1:ff00:2", hlim=255)
        / IPv6ExtHdrHopByHop()
        / ICMPv6ND_NS(tgt="2001:db8::2")
        / ICMPv6NDOptSrcLLAddr(lladdr=MAC),
        Ether(src=MAC) / IPv6(src=IP, dst="ff02::2", hlim=255) / ICMPv6Unknown(type=133) / bytes(24),
    ],
    ids=lambda frame: frame.summary()[:60],
)
def test_no_other_neighbor_discovery_is(frame: Packet) -> None:
    assert parse_discovery(bytes(frame)) is None


def test_an_option_that_is_not_asked_for_is_passed_over() -> None:
    assert parse_discovery(bytes(solicitation() / ICMPv6NDOptMTU())) == Seen(IP, MAC)


FRAMES = [GOOD, bytes(solicitation()), bytes(advertisement(R=1)), bytes(solicitation() / ICMPv6NDOptMTU())]


@given(st.sampled_from(FRAMES), st.lists(st.tuples(st.integers(0, 100), st.binary(max_size=8)), max_size=3))
def test_what_is_read_stands_in_the_frame(frame: bytes, changes: list[tuple[int, bytes]]) -> None:
    """Whatever is changed in an honest frame: what is read is what it says, at its one place."""
    for place, octets in changes:
        frame = frame[:place] + octets + frame[place + len(octets) :]
    seen = parse_neighbor(frame)
    if seen is None:
        return
    assert seen.mac == frame[6:12].hex(":")
    said = Ether(frame)
    if said.type == 0x0806:
        assert (seen.ip, seen.mac) == (said.psrc, said.hwsrc)
    else:
        assert said.hlim == 255
        assert len(said[IPv6].payload) == said.plen
        told = said[ICMPv6ND_NA].tgt if ICMPv6ND_NA in said else said[IPv6].src
        assert seen.ip == told


@given(st.binary(max_size=200))
def test_anything_at_all_is_read_or_not(frame: bytes) -> None:
    parse_neighbor(frame)
    for good in FRAMES:
        parse_neighbor(good[:14] + frame)
        parse_neighbor(good[:54] + frame)


def test_10_5_mutated_frames_take_no_time() -> None:
    """None of them raises, and none takes half a second, which a parser that hangs would."""
    chance = random.Random(5)
    read = 0
    with watchdog(0.5) as alive:
        for _ in range(100_000):
            frame = bytearray(FRAMES[chance.randrange(len(FRAMES))])
            for _ in range(chance.randrange(4)):
                frame[chance.randrange(len(frame))] = chance.randrange(256)
            read += parse_neighbor(bytes(frame[: chance.randrange(40, len(frame) + 80)])) is not None
            alive()
    assert read > 10_000


@contextmanager
def watchdog(seconds: float) -> Iterator[Callable[[], None]]:
    """Raises in the midst of what takes longer than that between two calls of what it gives."""

    def bark(*_: object) -> None:
        raise TimeoutError(f"something took more than {seconds} s")

    def alive() -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)

    before = signal.signal(signal.SIGALRM, bark)
    try:
        alive()
        yield alive
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
