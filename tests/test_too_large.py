"""What the sender of a packet that no tunnel can carry is told, and who is told nothing."""

from __future__ import annotations

import random
import struct
import time
from ipaddress import ip_address

import pytest

from controller.too_large import ANSWERS, SENDERS, Answered, answer, vlan

TO = bytes.fromhex("020000000002")
FROM = bytes.fromhex("020000000001")


def summed(data: bytes) -> int:
    """The Internet checksum, as RFC 1071 has it in its first lines: octet by octet."""
    total = 0
    for place, octet in enumerate(data):
        total += octet << (8 if place % 2 == 0 else 0)
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF - total


def ipv4(
    payload: bytes, *, protocol: int = 17, source: str = "10.0.0.1", target: str = "10.0.0.2", fragment: int = 0x4000,
    options: bytes = b"", total: int | None = None, sum_: int | None = None,
) -> bytes:  # fmt: skip
    length = 20 + len(options) + len(payload) if total is None else total
    first = 0x45 + len(options) // 4
    addresses = ip_address(source).packed + ip_address(target).packed
    header = struct.pack("!BBHHHBBH", first, 0, length, 7, fragment, 64, protocol, 0) + addresses + options
    right = summed(header) if sum_ is None else sum_
    return header[:10] + right.to_bytes(2, "big") + header[12:] + payload


def ipv6(
    payload: bytes, *, following: int = 17, source: str = "2001:db8::1", target: str = "2001:db8::2",
    length: int | None = None,
) -> bytes:  # fmt: skip
    claimed = len(payload) if length is None else length
    addresses = ip_address(source).packed + ip_address(target).packed
    return struct.pack("!IHBB", 6 << 28 | 0x12345, claimed, following, 64) + addresses + payload


def frame(packet: bytes, *, kind: str = "0800", to: bytes = TO, by: bytes = FROM, tags: str = "") -> bytes:
    return to + by + bytes.fromhex(tags) + bytes.fromhex(kind) + packet


def frame6(packet: bytes, **how: bytes) -> bytes:
    return frame(packet, kind="86dd", **how)


UDP = struct.pack("!HHHH", 1000, 2000, 1480, 0) + bytes(range(250)) * 6
LARGE = frame(ipv4(UDP[:1480]))
LARGE6 = frame6(ipv6(UDP[:1460]))


def test_ipv4_is_told_that_fragmentation_is_needed() -> None:
    told = answer(LARGE, 1450)
    assert told is not None
    assert told[:14] == FROM + TO + b"\x08\x00"
    header, icmp = told[14:34], told[34:]
    assert header[0] == 0x45
    assert int.from_bytes(header[2:4], "big") == len(told) - 14 == 576, "RFC 1812: no more than 576"
    assert (header[8], header[9]) == (64, 1)
    assert summed(header) == 0
    assert (str(ip_address(header[12:16])), str(ip_address(header[16:20]))) == ("10.0.0.2", "10.0.0.1")
    assert icmp[:2] == bytes([3, 4])
    assert icmp[4:8] == struct.pack("!HH", 0, 1450), "RFC 1191: unused, then the MTU of the next hop"
    assert summed(icmp) == 0
    assert icmp[8:] == LARGE[14 : 14 + 548]


def test_ipv6_is_told_that_the_packet_is_too_big() -> None:
    told = answer(LARGE6, 1430)
    assert told is not None
    assert told[:14] == FROM + TO + b"\x86\xdd"
    header, icmp = told[14:54], told[54:]
    assert len(told) - 14 == 1280, "RFC 4443: as much as possible, and no more than 1280"
    assert (header[0] >> 4, int.from_bytes(header[4:6], "big"), header[6]) == (6, len(icmp), 58)
    assert (str(ip_address(header[8:24])), str(ip_address(header[24:40]))) == ("2001:db8::2", "2001:db8::1")
    assert icmp[:2] == bytes([2, 0])
    assert int.from_bytes(icmp[4:8], "big") == 1430
    assert summed(header[8:40] + struct.pack("!II", len(icmp), 58) + icmp) == 0
    assert icmp[8:] == LARGE6[14 : 14 + 1232]


def test_of_a_copy_that_was_cut_what_is_there_is_quoted() -> None:
    told = answer(LARGE[:100], 1450)
    assert told is not None
    assert told[42:] == LARGE[14:100]
    assert summed(told[14:34]) == summed(told[34:]) == 0
    six = answer(LARGE6[:101], 1430)
    assert six is not None
    assert six[62:] == LARGE6[14:101]
    pseudo = six[22:54] + struct.pack("!II", len(six) - 54, 58)
    assert summed(pseudo + six[54:]) == 0


def test_the_answer_goes_back_through_the_tag_of_a_trunk_port() -> None:
    told = answer(LARGE, 1450, vlan(0x1000 | 100))
    assert told is not None
    assert told[:18] == FROM + TO + bytes.fromhex("8100 0064 0800")
    assert told[18:] == (answer(LARGE, 1450) or b"")[14:]
    assert vlan(0x11000 | 7) == bytes.fromhex("88a8 0007")
    assert vlan(0) == b""


@pytest.mark.parametrize(("tags", "octets"), [("8100 6064", 4), ("88a8 0007 8100 0064", 8)])
def test_a_tag_that_the_tunnel_carries_too_takes_of_what_it_carries(tags: str, octets: int) -> None:
    told = answer(frame(ipv4(UDP[:1480]), tags=tags), 1450)
    assert told is not None
    assert told[12 : 12 + octets] == bytes.fromhex(tags)
    assert int.from_bytes(told[14 + octets + 20 + 6 : 14 + octets + 20 + 8], "big") == 1450 - octets


def test_a_packet_with_options_is_answered_and_they_are_quoted() -> None:
    packet = ipv4(UDP[:1480], options=bytes([7, 3, 4, 0]) + bytes(4))
    told = answer(frame(packet), 1450)
    assert told is not None
    assert told[42:] == packet[:548]
    assert told[14] == 0x45


@pytest.mark.parametrize("fragment", [0x4000, 0x0000, 0x2000])
def test_whether_it_may_be_fragmented_or_not_and_the_first_fragment(fragment: int) -> None:
    """Nobody on the way fragments, so the sender has to, whatever it said."""
    assert answer(frame(ipv4(UDP[:1480], fragment=fragment)), 1450)


SILENT = {
    "an ICMP error": frame(ipv4(bytes([3, 4]) + UDP[:1478], protocol=1)),
    "an ICMP redirect": frame(ipv4(bytes([5, 1]) + UDP[:1478], protocol=1)),
    "an ICMP type that nobody knows": frame(ipv4(bytes([41, 0]) + UDP[:1478], protocol=1)),
    "a later fragment": frame(ipv4(UDP[:1480], fragment=0x2001)),
    "the last fragment": frame(ipv4(UDP[:1480], fragment=0x0001)),
    "to a multicast address": frame(ipv4(UDP[:1480], target="224.0.0.251")),
    "to the broadcast address": frame(ipv4(UDP[:1480], target="255.255.255.255")),
    "from a multicast address": frame(ipv4(UDP[:1480], source="239.1.1.1")),
    "from the broadcast address": frame(ipv4(UDP[:1480], source="255.255.255.255")),
    "from nobody": frame(ipv4(UDP[:1480], source="0.0.0.0")),
    "from the loopback": frame(ipv4(UDP[:1480], source="127.0.0.1")),
    "to a group MAC": frame(ipv4(UDP[:1480]), to=bytes.fromhex("01005e000001")),
    "from a group MAC": frame(ipv4(UDP[:1480]), by=bytes.fromhex("030000000001")),
    "from no MAC": frame(ipv4(UDP[:1480]), by=bytes(6)),
    "to no MAC": frame(ipv4(UDP[:1480]), to=bytes(6)),
    "a wrong header checksum": frame(ipv4(UDP[:1480], sum_=0x1234)),
    "a version that is none": frame(b"\x55" + ipv4(UDP[:1480])[1:]),
    "a header that is too short": frame(b"\x44" + ipv4(UDP[:1480])[1:]),
    "a header that is longer than the packet": frame(ipv4(UDP[:1480], total=12)),
    "a packet that is not larger, with something behind it": frame(ipv4(UDP[:1480], total=1400)),
    "no IP": frame(UDP[:1480], kind="9000"),
    "three tags": frame(ipv4(UDP[:1480]), tags="8100 0001 8100 0002 8100 0003"),
    "an ICMPv6 error": frame6(ipv6(bytes([1, 0]) + UDP[:1458], following=58)),
    "a packet too big": frame6(ipv6(bytes([2, 0]) + UDP[:1458], following=58)),
    "an ICMPv6 redirect": frame6(ipv6(bytes([137, 0]) + UDP[:1458], following=58)),
    "an ICMPv6 error behind extension headers": frame6(
        ipv6(bytes([60, 0]) + bytes(6) + bytes([58, 1]) + bytes(14) + bytes([3, 0]) + UDP[:1434], following=0)
    ),
    "an ICMPv6 error that is a first fragment": frame6(
        ipv6(bytes([58, 0, 0, 1]) + bytes(4) + bytes([3, 0]) + UDP[:1450], following=44)
    ),
    "a later fragment of IPv6": frame6(ipv6(bytes([17, 0, 0, 9]) + bytes(4) + UDP[:1452], following=44)),
    "headers without end": frame6(ipv6(bytes(1460), following=0)),
    "to an IPv6 group": frame6(ipv6(UDP[:1460], target="ff02::1")),
    "from an IPv6 group": frame6(ipv6(UDP[:1460], source="ff02::1")),
    "from nobody, IPv6": frame6(ipv6(UDP[:1460], source="::")),
    "from the IPv6 loopback": frame6(ipv6(UDP[:1460], source="::1")),
    "a jumbogram": frame6(ipv6(bytes([17, 0, 0xC2, 4, 0, 1, 0, 0]) + UDP[:1452], following=0, length=0)),
    "an IPv6 version that is none": frame6(b"\x45" + ipv6(UDP[:1460])[1:]),
    "IPv6 that is not larger": frame6(ipv6(UDP[:1460], length=1300)),
}


@pytest.mark.parametrize("what", SILENT)
def test_nobody_is_told_anything_of(what: str) -> None:
    assert answer(SILENT[what], 1430) is None


def test_a_question_is_no_error() -> None:
    """ping -s 1472: an echo request is what most people try."""
    assert answer(frame(ipv4(bytes([8, 0]) + UDP[:1478], protocol=1)), 1450)
    assert answer(frame6(ipv6(bytes([128, 0]) + UDP[:1458], following=58)), 1430)
    assert answer(frame6(ipv6(bytes([58, 0, 0, 1]) + bytes(4) + bytes([128, 0]) + UDP[:1450], following=44)), 1430)


def test_ipv6_is_never_told_less_than_every_link_carries() -> None:
    """RFC 8201, section 4: who hears of less must not believe it."""
    assert answer(LARGE6, 1280)
    assert answer(LARGE6, 1279) is None
    assert answer(LARGE, 68)
    assert answer(LARGE, 67) is None


@pytest.mark.parametrize("limit", [-1, 0, 13, 65535, 1 << 31, (1 << 32) - 1])
def test_a_limit_that_is_none_is_no_answer(limit: int) -> None:
    assert answer(LARGE, limit) is None
    assert answer(LARGE6, limit) is None


def test_nothing_makes_it_fail_or_take_long() -> None:
    """Every beginning of a frame, and 20000 frames with octets changed at random."""
    whole = [LARGE, LARGE6, *SILENT.values()]
    for each in whole:
        for length in range(120):
            answer(each[:length], 1450)
    chance = random.Random(4)
    began = time.monotonic()
    for _ in range(20_000):
        mutated = bytearray(chance.choice(whole)[: chance.choice((60, 128, 400))])
        for _ in range(chance.randrange(1, 6)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        told = answer(bytes(mutated), 1450)
        assert told is None or (len(told) <= 14 + 8 + 1280 and told[:6] == bytes(mutated[6:12]))
    assert time.monotonic() - began < 20


def test_a_sender_is_answered_so_often_in_a_second_and_others_all_the_same() -> None:
    answered = Answered()
    assert [answered.may("h1", 1, LARGE, 5.0) for _ in range(100)].count(True) == ANSWERS
    assert answered.may("h1", 2, LARGE, 5.0)
    assert answered.may("h2", 1, LARGE, 5.0)
    assert answered.may("h1", 1, frame(b"", by=b"\x02\0\0\0\0\x09"), 5.0)
    assert not answered.may("h1", 1, LARGE, 5.9)
    assert answered.may("h1", 1, LARGE, 6.0)


def test_the_memory_is_bounded() -> None:
    answered = Answered()
    for number in range(3 * SENDERS):
        answered.may("h1", 1, frame(b"", by=b"\x02\0" + number.to_bytes(4, "big")), 5.0)
    assert len(answered._since) == SENDERS
