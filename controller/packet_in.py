"""A packet that a switch sent up: the packet-in message, and the ARP in it. Strict, bounded, never a guess.

What a tenant sent is read here and nowhere else, at the fixed places of the one layout that is expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from controller.wire import oxm
from flows.fields import FIELDS

MESSAGE_TYPE: Final = 10
"""OFPT_PACKET_IN."""
_PACKET_IN: Final = Struct("!IHBBQ")
_PAIR: Final = Struct("!HH")
_LONG: Final = Struct("!I")
_ARP: Final = Struct("!6s6sHHHBBH6s4s6s4s")
_BY_OXM: Final = {oxm(name): name for name in FIELDS}


@dataclass(frozen=True, slots=True)
class PacketIn:
    """A packet a switch sent up: the flow that sent it, the known fields that came with it, its bytes."""

    table: int
    cookie: int
    fields: dict[str, int]
    data: bytes


def parse_packet_in(body: bytes) -> PacketIn:
    """A packet-in, `body` being the message from byte 8 on (section 7.4.1).

    Raises ValueError when the lengths do not add up.
    """
    if len(body) < _PACKET_IN.size + 8:
        raise ValueError(f"{len(body)} bytes are no packet-in")
    _, _, _, table, cookie = _PACKET_IN.unpack_from(body)
    kind, length = _PAIR.unpack_from(body, _PACKET_IN.size)
    offset = _PACKET_IN.size + 4
    end = offset - 4 + length
    data = end + -length % 8 + 2
    if kind != 1 or length < 4 or data > len(body):
        raise ValueError(f"a match of type {kind} claims a length of {length} in {len(body)} bytes")
    fields: dict[str, int] = {}
    while offset < end:
        if end - offset < 4:
            raise ValueError(f"{end - offset} bytes at {offset} are no field")
        (header,) = _LONG.unpack_from(body, offset)
        value = offset + 4
        offset = value + (header & 0xFF)
        if offset > end:
            raise ValueError(f"a field 0x{header:08x} ends at {offset}, its match at {end}")
        name = _BY_OXM.get(header)
        if name is not None:
            fields[name] = int.from_bytes(body[value:offset], "big")
    return PacketIn(table, cookie, fields, body[data:])


@dataclass(frozen=True, slots=True)
class Arp:
    """An ARP packet for IPv4 over Ethernet: who speaks (`sha`, `spa`), and of which address (`tpa`)."""

    op: int
    """1 asks, 2 answers."""
    sha: str
    spa: str
    tpa: str


def parse_arp(frame: bytes) -> Arp | None:
    """The ARP packet (RFC 826) in an untagged Ethernet frame; None when it is anything else. Never raises.

    None as well for what no honest host sends: a sender MAC that is not the frame's own, is a group address
    or zero, and a sender IP that is not unicast (a probe's 0.0.0.0 tells nothing). Bytes behind the packet
    are the frame's padding.
    """
    if len(frame) < _ARP.size:
        return None
    _, source, ethertype, htype, ptype, hlen, plen, op, sha, spa, _, tpa = _ARP.unpack_from(frame)
    if (ethertype, htype, ptype, hlen, plen) != (0x0806, 1, 0x0800, 6, 4) or op not in (1, 2):
        return None
    if source != sha or sha[0] & 1 or not any(sha):
        return None
    if not any(spa) or spa[0] >> 4 == 0xE or spa == b"\xff\xff\xff\xff":
        return None
    return Arp(op, sha.hex(":"), ".".join(map(str, spa)), ".".join(map(str, tpa)))
