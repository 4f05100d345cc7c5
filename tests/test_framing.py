"""What a switch, or somebody who says to be one, may send: Ryu's parsers see nothing that they can't bear."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest
from ryu.ofproto import ofproto_protocol, ofproto_v1_4
from ryu.ofproto import ofproto_v1_4_parser as parser

from controller import framing
from controller.framing import Framing, MalformedError

HEADER = struct.Struct("!BBHI")
_DATAPATH = ofproto_protocol.ProtocolDesc(version=ofproto_v1_4.OFP_VERSION)


def message(kind: int, body: bytes = b"", version: int = 5, length: int | None = None) -> bytes:
    return HEADER.pack(version, kind, 8 + len(body) if length is None else length, 7) + body


def features(datapath: int) -> bytes:
    return message(6, struct.pack("!QIBB2xII", datapath, 0, 254, 0, 0, 0))


def field(header: int, value: bytes) -> bytes:
    return struct.pack("!I", header | len(value)) + value


def packet_in(fields: bytes, data: bytes = b"frame", claimed: int | None = None) -> bytes:
    match = struct.pack("!HH", 1, 4 + len(fields) if claimed is None else claimed) + fields
    match += bytes(-len(match) % 8)
    return message(10, struct.pack("!IHBBQ", 0xFFFFFFFF, len(data), 1, 30, 0xE7) + match + bytes(2) + data)


IN_PORT = field(0x80000000, b"\0\0\0\7")
METADATA = field(0x80000400, b"\0\0\0\0\0\0\0\x64")
HELLO = message(0, struct.pack("!HHI", 1, 8, 0x72), version=6)


def admitted() -> Framing:
    found = Framing()
    found.feed(HELLO + features(1))
    found.admitted = True
    return found


def test_messages_are_cut_apart_however_they_arrive() -> None:
    stream = HELLO + message(2, b"ping") + features(9)
    whole = Framing().feed(stream)
    one = Framing()
    assert [found for octet in stream for found in one.feed(bytes([octet]))] == whole
    assert [framing.datapath(found) for found in whole] == [None, None, 9]


def test_a_switch_says_who_it_is_once() -> None:
    """By a second features reply one that was admitted as h2 would become h1."""
    both = Framing().feed(HELLO + features(1) + features(2))
    assert [framing.datapath(found) for found in both] == [None, 1]
    assert admitted().feed(features(2)) == []


def test_of_a_packet_in_the_port_and_the_network_are_left() -> None:
    strange = field(0x80000A00, b"\x08\x06") + field(0xFFFF0000, b"\0\0\x23\x20" + b"x" * 8)
    (found,) = admitted().feed(packet_in(IN_PORT + strange + METADATA))
    (plain,) = admitted().feed(packet_in(IN_PORT + METADATA))
    assert found == plain
    assert found.endswith(b"frame")
    assert admitted().feed(packet_in(METADATA)) == []


def test_of_a_role_the_role_and_its_generation_are_read() -> None:
    body = struct.pack("!I4xQ", 2, 7)
    assert admitted().feed(message(25, body)) == [message(25, body)]
    assert admitted().feed(message(30, body + struct.pack("!HHI", 0xFFFF, 0, 1))) == [message(30, body)]
    with pytest.raises(framing.MalformedError, match="a message about a role of 16 bytes, and not 24"):
        admitted().feed(message(30, bytes(8)))


def test_what_nobody_asked_for_is_left_out() -> None:
    others = set(range(256)) - {framing.ERROR, framing.PACKET_IN, framing.MULTIPART_REPLY}
    others -= {framing.ROLE_REPLY, framing.ROLE_STATUS, framing.PORT_STATUS, framing.CONFIG_REPLY}
    assert [kind for kind in sorted(others) if admitted().feed(message(kind))] == [2, 3, 21]
    for kind in (2, 6, 11, 12, 65535):  # tables, groups, meters, ...: their parsers are not for strangers
        assert admitted().feed(message(19, struct.pack("!HH4x", kind, 0) + bytes(64))) == []


def test_ports_are_for_us_and_ryu_which_keeps_them_hears_of_one() -> None:
    """It asks for all of them first, and for the next part where there is one."""
    ports = message(19, struct.pack("!HH4xIH66x", 13, 1, 7, 72))
    switch = admitted()
    assert switch.feed(ports) == [message(19, struct.pack("!HH4x", 13, 0))]
    assert switch.feed(ports) == [ports]
    changed = [message(12, struct.pack("!B7xIH66x", 0, number, 0)) for number in (7, 8)]
    (told,) = {*switch.feed(changed[0]), *switch.feed(changed[1])}
    port = parser.OFPPortStatus.parser(_DATAPATH, 5, 12, len(told), 7, bytearray(told)).desc
    assert (port.port_no, port.length, port.properties) == (0xFFFFFFFE, 40, [])
    config = message(8, struct.pack("!HH", 1, 128))
    assert switch.feed(config) == [config]


METERS = message(19, struct.pack("!HH4x", 10, 0) + struct.pack("!HHIHHII4x", 24, 6, 5, 1, 16, 100, 50) * 2)


LIES = {
    "a message of no length": message(0, length=0),
    "a message of less than a header": message(0, length=7),
    "a hello of 16 bytes whose element has no length": message(0, struct.pack("!HHI", 1, 0, 0)),
    "a hello whose element of another kind has no length": message(0, struct.pack("!HHI", 2, 0, 0)),
    "a hello with an element that is too long": message(0, struct.pack("!HHI", 1, 64, 0)),
    "a hello that ends within an element": message(0, b"\0\1"),
    "a hello of an older version": message(0, b"", version=1),
    "a hello that offers other versions": message(0, struct.pack("!HHI", 1, 8, 0x52), version=6),
    "a long message before it said who it is": message(0, bytes(2000)),
    "another version": message(2, version=1),
    "version 0": message(0, version=0),
    "a features reply that is too short": message(6, bytes(8)),
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100,
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(500),
    "no version in common": message(1, struct.pack("!HH", 0, 0) + b"\xff\xfe"),
    "an error without a type": message(1),
}
LIES_ADMITTED = {
    "a meter's counters of no length": message(19, struct.pack("!HH4x", 9, 0) + bytes(56)),
    "a meter's counters that are too long": message(19, struct.pack("!HH4xIH", 9, 0, 5, 64) + bytes(50)),
    "a meter's counters that end early": message(19, struct.pack("!HH4xIB", 9, 0, 5, 0)),
    "a packet-in without a match": message(10, bytes(16)),
    "a packet-in with a match of no length": packet_in(IN_PORT, claimed=0),
    "a packet-in with a match that is too long": packet_in(IN_PORT, claimed=60000),
    "a packet-in with a field that is too long": packet_in(struct.pack("!I", 0x800000FF)),
    "flow statistics of no length": message(19, struct.pack("!HH4x", 1, 0) + bytes(56)),
    "flow statistics that are too long": message(19, struct.pack("!HH4xH", 1, 0, 600) + bytes(62)),
    "flow statistics that end early": message(19, struct.pack("!HH4x", 1, 0) + b"\0"),
    "a meter of no length": message(19, struct.pack("!HH4x", 10, 0) + bytes(8)),
    "a meter that is too long": message(19, struct.pack("!HH4xHHI", 10, 0, 24, 6, 5)),
    "a meter of an odd length": message(19, struct.pack("!HH4xHHI", 10, 0, 12, 6, 5) + bytes(4)),
    "a configuration that is too long": message(8, bytes(8)),
    "meters that end early": message(19, struct.pack("!HH4x", 10, 0) + b"\0"),
    "a multipart reply without a type": message(19),
    "another version": message(21, version=4),
}


LIES_LATER = {
    "a port of no length": message(19, struct.pack("!HH4x", 13, 0) + bytes(72)),
    "a port that is too long": message(19, struct.pack("!HH4xIH66x", 13, 0, 7, 80)),
    "a port of an odd length": message(19, struct.pack("!HH4xIH66x", 13, 0, 7, 44)),
    "ports that end early": message(19, struct.pack("!HH4xIH", 13, 0, 7, 72)),
}


@pytest.mark.parametrize("sent", LIES_LATER.values(), ids=LIES_LATER)
def test_what_no_switch_sends_when_it_is_asked_by_us(sent: bytes) -> None:
    switch = admitted()
    switch.feed(message(19, struct.pack("!HH4x", 13, 0)))
    with pytest.raises(MalformedError):
        switch.feed(sent)


@pytest.mark.parametrize("sent", LIES.values(), ids=LIES)
def test_what_no_switch_sends(sent: bytes) -> None:
    with pytest.raises(MalformedError):
        Framing().feed(sent)


@pytest.mark.parametrize("sent", LIES_ADMITTED.values(), ids=LIES_ADMITTED)
def test_what_no_admitted_switch_sends(sent: bytes) -> None:
    with pytest.raises(MalformedError):
        admitted().feed(sent)


MUTATE = """
import random, signal, sys, logging
from tests.test_framing import *
from ryu.ofproto import ofproto_parser, ofproto_protocol, ofproto_v1_4
from ryu.controller import ofp_handler
import controller.channel
logging.disable(logging.CRITICAL)
description = ofproto_protocol.ProtocolDesc(version=ofproto_v1_4.OFP_VERSION)
chance = random.Random(int(sys.argv[1]))
flow = struct.pack("!HBBIIHHHHH4xQQQHH4x", 56, 0, 0, 1, 0, 9, 0, 0, 0, 0, 1, 2, 3, 1, 4)
seeds = [HELLO, message(2, b"x" * 9), packet_in(IN_PORT + METADATA), packet_in(IN_PORT),
         message(19, struct.pack("!HH4x", 1, 0) + flow * 3), message(19, struct.pack("!HH4x", 13, 0) + bytes(144)),
         METERS, message(21), message(1, struct.pack("!HH", 1, 2) + bytes(20)), message(12, bytes(80)), features(1)]
parsed = 0
for number in range(int(sys.argv[2])):
    sent = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        sent[chance.randrange(len(sent))] = chance.choice((0, 1, 4, 8, 0xFF, chance.randrange(256)))
    if chance.random() < .8:
        sent[2:4] = len(sent).to_bytes(2, "big")
    for made in (Framing, admitted):
        try:
            found = made().feed(bytes(sent))
        except MalformedError:
            continue
        for safe in found:
            signal.setitimer(signal.ITIMER_REAL, .5)
            version, kind, length, xid = ofproto_parser.header(safe)
            assert length == len(safe)
            try:
                ofproto_parser.msg(description, version, kind, length, xid, safe)
            except Exception as error:
                assert "OFPUnknownVersion" in type(error).__name__, (safe.hex(), error)
            signal.setitimer(signal.ITIMER_REAL, 0)
            parsed += 1
print(parsed)
"""


def test_mutations_never_hold_up_the_parser() -> None:
    """A message that takes Ryu's parser half a second ends the program (SIGALRM)."""
    argv = [sys.executable, "-W", "ignore", "-c", MUTATE, "1", "60000"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert int(done.stdout) > 20000
