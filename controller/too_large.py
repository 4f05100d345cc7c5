"""The answer to a packet that no tunnel can carry: ICMP "fragmentation needed" or ICMPv6 "packet too big". Pure.

What a tenant sent is read at the fixed places of the headers that are expected, as much of it as was copied. Where
anything is not as it must be there is no answer, and never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from flows.vteps import ETHERNET

IPV4: Final = b"\x08\x00"
IPV6: Final = b"\x86\xdd"
TAGS: Final = (b"\x81\x00", b"\x88\xa8")
"""EtherTypes: the two that are answered, and those of VLAN tags (802.1Q, 802.1ad)."""
TAG: Final = 4
"""Octets of a VLAN tag."""
MOST_TAGS: Final = 2
IPV4_ANSWER: Final = 576
"""The most octets of an ICMP error, its IP header included (RFC 1812, section 4.3.2.3)."""
IPV6_ANSWER: Final = 1280
"""The same of ICMPv6 (RFC 4443, section 2.4 c), and the least MTU of a link that carries IPv6 (RFC 8200, section 5)."""
LEAST_IPV4: Final = 68
"""The least that may be told as MTU (RFC 1191, section 3)."""
ANSWERS: Final = 10
"""How many answers one sender gets in a second."""
SENDERS: Final = 4096
"""How many senders are remembered."""

_ICMP: Final = 1
_ICMPV6: Final = 58
_ICMP_ASKING: Final = frozenset((0, 8, 9, 10, 13, 14, 15, 16, 17, 18))
"""ICMP types that are no errors; never is an error answered, nor what may be one (RFC 1122, section 3.2.2)."""
_ICMPV6_REDIRECT: Final = 137
_EXTENSIONS: Final = frozenset((0, 43, 60, 135, 139, 140))
"""IPv6 extension headers with a length of the common form (RFC 8200, RFC 6564): the next header is behind them."""
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51
_MOST_EXTENSIONS: Final = 8
_HOPS: Final = 64
_INTERNETWORK_CONTROL: Final = 0xC0
"""The precedence of ICMP errors (RFC 1812, section 4.3.2.5)."""
_DF: Final = 0x4000
_OFFSET: Final = 0x1FFF

_IPV4: Final = Struct("!BBHHHBBH4s4s")
_IPV6: Final = Struct("!IHBB16s16s")
_UNREACHABLE: Final = Struct("!BBHHH")
_TOO_BIG: Final = Struct("!BBHI")
_PSEUDO: Final = Struct("!16s16sI3xB")
_LONG: Final = Struct("!I")


def answer(frame: bytes, limit: int, tag: bytes = b"") -> bytes | None:
    """The frame that tells the sender of `frame` how large its packets may be; None where none may be sent.

    `frame` is as it came in, or the beginning of it; `limit` the largest packet, in octets without its Ethernet
    header, that the tunnel carries; `tag` what is put in front of its EtherType (`vlan`). It comes, as if the
    destination had sent it, from the destination's addresses, for no router is between (RFC 792; RFC 1191, section 4;
    RFC 4443, section 3.2). Tags that the frame itself has, it gets as well, and they count: they are not in the MTU.
    Never answered: an ICMP error or redirect, a fragment but the first, who or what is not one host, a header
    that is wrong, and a packet that is not larger (RFC 1122, section 3.2.2; RFC 1812, section 4.3.2.7; RFC 4443,
    section 2.4 e).
    """
    if len(frame) < ETHERNET or frame[0] & 1 or frame[6] & 1 or not any(frame[6:12]) or not any(frame[:6]):
        return None
    start = ETHERNET
    while frame[start - 2 : start] in TAGS:
        start += TAG
        if start > ETHERNET + MOST_TAGS * TAG or start > len(frame):
            return None
    kind, packet, mtu = frame[start - 2 : start], frame[start:], limit - (start - ETHERNET)
    if kind == IPV4:
        told = _fragmentation_needed(packet, mtu)
    else:
        told = _packet_too_big(packet, mtu) if kind == IPV6 else None
    return None if told is None else frame[6:12] + frame[:6] + tag + frame[ETHERNET - 2 : start] + told


def vlan(in_tag: int) -> bytes:
    """The tag that `flows.tables.IN_TAG` describes, as it stands in a frame; b'' for none."""
    if not in_tag:
        return b""
    return TAGS[in_tag >> 16 & 1] + (in_tag & 0x0FFF).to_bytes(2, "big")


def _fragmentation_needed(packet: bytes, mtu: int) -> bytes | None:
    """ICMP type 3 code 4 with the next hop's MTU (RFC 1191, section 4).

    Also where the packet might be fragmented, for nobody here does: its sender then will.
    """
    if len(packet) < _IPV4.size or mtu < LEAST_IPV4:
        return None
    first, _, total, _, fragment, _, protocol, _, source, target = _IPV4.unpack_from(packet)
    header = (first & 0x0F) * 4
    if first >> 4 != 4 or header < _IPV4.size or len(packet) < header + 8 or total <= mtu or total < header + 8:
        return None
    if checksum(packet[:header]) or fragment & _OFFSET or not _is_host4(source) or not _is_host4(target):
        return None
    if protocol == _ICMP and packet[header] not in _ICMP_ASKING:
        return None
    quoted = packet[: min(total, IPV4_ANSWER - _IPV4.size - _UNREACHABLE.size)]
    body = _UNREACHABLE.pack(3, 4, 0, 0, mtu) + quoted
    body = _UNREACHABLE.pack(3, 4, checksum(body), 0, mtu) + quoted
    length = _IPV4.size + len(body)
    about = (0x45, _INTERNETWORK_CONTROL, length, 0, _DF, _HOPS, _ICMP)
    return _IPV4.pack(*about, checksum(_IPV4.pack(*about, 0, target, source)), target, source) + body


def _packet_too_big(packet: bytes, mtu: int) -> bytes | None:
    """ICMPv6 type 2 (RFC 4443, section 3.2); none of an MTU that hosts don't heed (RFC 8201, section 4)."""
    if len(packet) < _IPV6.size or mtu < IPV6_ANSWER:
        return None
    first, payload, following, _, source, target = _IPV6.unpack_from(packet)
    if first >> 28 != 6 or _IPV6.size + payload <= mtu or not _is_host6(source) or not _is_host6(target):
        return None
    if not _may_be_answered(packet, following):
        return None
    quoted = packet[: min(_IPV6.size + payload, IPV6_ANSWER - _IPV6.size - _TOO_BIG.size)]
    body = _TOO_BIG.pack(2, 0, 0, mtu) + quoted
    sum_ = checksum(_PSEUDO.pack(target, source, len(body), _ICMPV6) + body)
    body = _TOO_BIG.pack(2, 0, sum_, mtu) + quoted
    return _IPV6.pack(6 << 28, len(body), _ICMPV6, _HOPS, target, source) + body


def _may_be_answered(packet: bytes, following: int) -> bool:
    """Whether the headers behind the first one are whole, and are not those of an ICMPv6 error or a later fragment."""
    place = _IPV6.size
    for _ in range(_MOST_EXTENSIONS):
        if following not in _EXTENSIONS and following not in (_FRAGMENT, _AUTHENTICATION):
            if following != _ICMPV6:
                return True
            return place < len(packet) and packet[place] >= 128 and packet[place] != _ICMPV6_REDIRECT
        if place + 8 > len(packet):
            return False
        if following == _FRAGMENT:
            if int.from_bytes(packet[place + 2 : place + 4], "big") >> 3:
                return False
            length = 8
        elif following == _AUTHENTICATION:
            length = (packet[place + 1] + 2) * 4
        else:
            length = (packet[place + 1] + 1) * 8
        following = packet[place]
        place += length
    return False


def _is_host4(address: bytes) -> bool:
    """Whether it may be the address of one host: not of this network (0/8), loopback, multicast or above."""
    return address[0] not in (0, 127) and address[0] < 224


def _is_host6(address: bytes) -> bool:
    """Whether it may be the address of one host: not unspecified, loopback or multicast."""
    return address[0] != 0xFF and any(address[:15]) | (address[15] > 1)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); 0 over what contains a right one."""
    padded = data + bytes(len(data) % 2)
    total = sum(Struct(f"!{len(padded) // 2}H").unpack(padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass
class Answered:
    """How often each sender was answered lately: (chassis, ofport, MAC) is a sender.

    Of more than `SENDERS` the one that was first is forgotten. The switch limits what a port has copied as well.
    """

    _since: dict[tuple[str, int, bytes], tuple[float, int]] = field(default_factory=dict)

    def may(self, chassis: str, ofport: int, frame: bytes, now: float) -> bool:
        """Whether the sender of a frame gets an answer now, in seconds of a clock that only rises; counts it."""
        sender = (chassis, ofport, frame[6:12])
        began, count = self._since.pop(sender, (now, 0))
        if now >= began + 1.0:
            began, count = now, 0
        while len(self._since) >= SENDERS:
            del self._since[next(iter(self._since))]
        self._since[sender] = (began, min(count + 1, ANSWERS + 1))
        return count < ANSWERS
