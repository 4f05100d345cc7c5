"""A packet that a switch sent up: the message, and the ARP or neighbor discovery in it. Strict, never a guess.

What a tenant sent is read here and nowhere else, at the fixed places of the one layout that is expected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct
from typing import Final

from controller.flow_bytes import oxm
from flows import model
from flows.fields import FIELDS

MESSAGE_TYPE: Final = 10
"""OFPT_PACKET_IN."""
_PACKET_IN: Final = Struct("!IHBBQ")
_PAIR: Final = Struct("!HH")
_LONG: Final = Struct("!I")
_ARP: Final = Struct("!6s6sHHHBBH6s4s6s4s")
_IPV6: Final = Struct("!6s6sHB3xHBB16s16s")
"""An Ethernet header and one of IPv6 (RFC 8200, section 3)."""
_DISCOVERY: Final = Struct("!BBHB3x16s")
"""A neighbor solicitation or advertisement without options (RFC 4861, sections 4.3 and 4.4)."""
_ADDRESSES: Final = 22
_ICMPV6: Final = 54
"""Where in a frame the IPv6 addresses begin, and what follows them."""
_LONGEST_ND: Final = 1240
"""Octets of a message that every link carries whole (RFC 8200, section 5)."""
_GROUP: Final = 0xFF
"""The first octet of every IPv6 group address."""
_SOLICITATION: Final = 135
_ADVERTISEMENT: Final = 136
_ROUTER: Final = 0x80
_SOLICITED: Final = 0x40
_OVERRIDE: Final = 0x20
_SOURCE_OPTION: Final = 1
_TARGET_OPTION: Final = 2
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
class Seen:
    """What an ARP or neighbor discovery packet tells of its sender: a neighbor, in canonical spelling.

    `router`: it says that it is one. Where it does not say so it may be one all the same: an advertisement alone
    holds that. Where not `overrides`, an address that is known already stays where it is (RFC 4861, section 7.2.5).
    """

    ip: str
    mac: str
    router: bool = False
    overrides: bool = True


def parse_neighbor(frame: bytes) -> Seen | None:
    """What an untagged Ethernet frame tells of a neighbor; None where it tells nothing. Never raises."""
    return parse_arp(frame) or parse_discovery(frame)


def parse_arp(frame: bytes) -> Seen | None:
    """What the ARP packet (RFC 826) in an untagged Ethernet frame tells; None when it is anything else. Never raises.

    None as well for what no honest host sends: a sender MAC that is not the frame's own, is a group address
    or zero, and a sender IP that is not unicast (a probe's 0.0.0.0 tells nothing). Bytes behind the packet
    are the frame's padding.
    """
    if len(frame) < _ARP.size:
        return None
    _, source, ethertype, htype, ptype, hlen, plen, op, sha, spa, _, _ = _ARP.unpack_from(frame)
    if (ethertype, htype, ptype, hlen, plen) != (0x0806, 1, 0x0800, 6, 4) or op not in (1, 2):
        return None
    return _seen(spa, sha) if source == sha else None


def parse_discovery(frame: bytes) -> Seen | None:
    """What the neighbor solicitation or advertisement in an untagged Ethernet frame tells; None when there is none.

    All of RFC 4861, sections 7.1.1 and 7.1.2, is asked for, and more: no IPv6 extension header, no octet behind
    the packet, one link-layer address at the most. A solicitation tells of its source, which is not `::`, with
    that option; an advertisement of its target. The option's MAC is the frame's own. Never raises.
    """
    if len(frame) < _ICMPV6 + _DISCOVERY.size:
        return None
    _, mac, ethertype, first, length, following, hops, source, destination = _IPV6.unpack_from(frame)
    kind, code, _, flags, target = _DISCOVERY.unpack_from(frame, _ICMPV6)
    whole = length == len(frame) - _ICMPV6 and length <= _LONGEST_ND and not length % 8
    if not whole or (ethertype, first >> 4, following, hops, code) != (0x86DD, 6, 58, 255, 0):
        return None
    # The sum of 16-bit words is the rest by 2^16 - 1: of both addresses, the message, and what else is summed.
    right = not (int.from_bytes(frame[_ADDRESSES:], "big") + length + following) % 0xFFFF
    options = _options(frame)
    if not right or options is None or _GROUP in (target[0], source[0]):
        return None
    if kind == _SOLICITATION and options.get(_SOURCE_OPTION) == mac:
        return _seen(source, mac)
    to_all = flags & _SOLICITED and destination[0] == _GROUP
    if kind != _ADVERTISEMENT or to_all or options.get(_TARGET_OPTION, mac) != mac:
        return None
    seen = _seen(target, mac)
    return replace(seen, router=bool(flags & _ROUTER), overrides=bool(flags & _OVERRIDE)) if seen else None


def _options(frame: bytes) -> dict[int, bytes] | None:
    """The MACs in the link-layer address options by type; None where the options are not well-formed (section 4.6)."""
    found: dict[int, bytes] = {}
    place = _ICMPV6 + _DISCOVERY.size
    while place < len(frame):
        kind, size = frame[place], frame[place + 1] * 8
        if not size or place + size > len(frame):
            return None
        if kind in (_SOURCE_OPTION, _TARGET_OPTION):
            if size != 8 or kind in found:
                return None
            found[kind] = frame[place + 2 : place + 8]
        place += size
    return found


def _seen(address: bytes, mac: bytes) -> Seen | None:
    """A neighbor, None unless both are addresses that a host may have."""
    if mac[0] & 1 or not any(mac):
        return None
    try:
        return Seen(model.ip(inet_ntop(AF_INET if len(address) == 4 else AF_INET6, address)), mac.hex(":"))
    except ValueError:
        return None
