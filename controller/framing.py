"""OpenFlow messages as a connection brings them: cut apart, checked, and what is not used left out. Pure.

Ryu's parsers believe what lengths a message claims, inside as well as outside: one of 0 has them loop for ever.
So nothing reaches them but messages of the few kinds that are used, and of those only parts of fixed size: a
hello and a packet-in are written anew, and of a list of ports that Ryu would keep none is left.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error
from typing import Final

VERSION: Final = 0x05
HELLO: Final = 0
ERROR: Final = 1
ECHO_REQUEST: Final = 2
ECHO_REPLY: Final = 3
FEATURES_REPLY: Final = 6
CONFIG_REPLY: Final = 8
PACKET_IN: Final = 10
PORT_STATUS: Final = 12
MULTIPART_REPLY: Final = 19
BARRIER_REPLY: Final = 21
ROLE_REPLY: Final = 25
ROLE_STATUS: Final = 30
"""Message types (OpenFlow 1.4, section 7.1)."""
MULTIPART_FLOW: Final = 1
MULTIPART_METER: Final = 9
MULTIPART_METER_CONFIG: Final = 10
MULTIPART_PORT_DESC: Final = 13
MULTIPART_FLOW_MONITOR: Final = 16
EARLY_MAX: Final = 1024
"""The most bytes of a message before the switch is admitted: a hello takes 16, a features reply 32."""
_KEPT: Final = {0x80000004: 4, 0x80000408: 8, 0x80004C08: 8, 0x00010A04: 4, 0x00010C04: 4}
"""Fields of a packet-in that are handed on, by OXM header, with their length.

in_port, metadata, tunnel_id; and of a packet that is too large how large it may be (reg5), and its tag (reg6).
"""

CONFIG: Final = 12
"""Bytes of a reply about how packets are handled."""
_PORT_CHANGED: Final = bytes((2, *bytes(7))) + bytes.fromhex("fffffffe0028") + bytes(34)
"""What is handed on of a status of any port: that there is one. Ryu keeps each port that it hears of."""
ROLE: Final = 24
"""Bytes of a role reply, and of a role status without properties."""
_ABBREVIATED: Final = 4
"""OFPFME_ABBREV, the update that follows a flow mod of our own (section 7.3.5.17.2)."""
_HEADER: Final = Struct("!BBHI")
_PAIR: Final = Struct("!HH")
_LONG: Final = Struct("!I")
_DATAPATH: Final = Struct("!Q")
_PACKET_IN_MATCH: Final = 24
_ENTRIES: Final = {
    MULTIPART_FLOW: ("flow statistics", 56, 0),
    MULTIPART_METER: ("meter statistics", 40, 4),
    MULTIPART_METER_CONFIG: ("meters", 8, 0),
    MULTIPART_PORT_DESC: ("ports", 40, 4),
    MULTIPART_FLOW_MONITOR: ("flow updates", 8, 0),
}
"""The lists that are handed on, the fewest bytes that an entry has, and where in it its length stands."""


def is_packet_in(message: bytes) -> bool:
    """Whether a message is one."""
    return message[1] == PACKET_IN


class MalformedError(ValueError):
    """What came is no OpenFlow that a switch would send; the text says why."""


class Framing:
    """One connection's bytes, made into messages."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._greeted = False
        self._identified = False
        self._listed = False
        self.admitted = False

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now, and safe to parse. Raises MalformedError."""
        self._rest += data
        found = []
        place = 0
        while len(self._rest) - place >= _HEADER.size:
            version, kind, length, _ = _HEADER.unpack_from(self._rest, place)
            if length < _HEADER.size:
                raise MalformedError(f"a message of {length} bytes, which is less than its header has")
            if not self.admitted and length > EARLY_MAX:
                raise MalformedError(f"a message of type {kind} with {length} bytes, before it said who it is")
            if version != VERSION and not (kind == HELLO and version >= 1):
                raise MalformedError(f"OpenFlow version {version:#04x}, and not {VERSION:#04x} (1.4)")
            if len(self._rest) - place < length:
                break
            message = bytes(self._rest[place : place + length])
            place += length
            try:
                safe = self._safe(kind, message)
            except error:
                raise MalformedError(f"a message of type {kind} that ends too early, after {length} bytes") from None
            if safe:
                found.append(safe)
        del self._rest[:place]
        return found

    def _safe(self, kind: int, message: bytes) -> bytes:
        """The message as it may be parsed, b'' where nobody wants it."""
        if kind in (ECHO_REQUEST, ECHO_REPLY):
            return message
        if kind == ERROR:
            return _error(message)
        if not self.admitted:
            return self._early(kind, message)
        if kind == BARRIER_REPLY:
            return message if len(message) == _HEADER.size else b""
        if kind == MULTIPART_REPLY and not self._listed and _pair(message) == MULTIPART_PORT_DESC:
            self._listed = True
            return _no_ports(message)
        return _READ[kind](message) if kind in _READ else b""

    def _early(self, kind: int, message: bytes) -> bytes:
        """The same before the switch is admitted: a hello and a features reply, and one of each, ever.

        By a second features reply a switch that was admitted would become another.
        """
        if kind == HELLO and not self._greeted:
            self._greeted = True
            return _hello(message)
        if kind == FEATURES_REPLY and not self._identified:
            self._identified = datapath(message) is not None
            return message
        return b""


def datapath(message: bytes) -> int | None:
    """The datapath id, where the message is a features reply."""
    if message[1] != FEATURES_REPLY:
        return None
    if len(message) != 32:
        raise MalformedError(f"a features reply of {len(message)} bytes, and not 32")
    return int(_DATAPATH.unpack_from(message, 8)[0])


def _hello(message: bytes) -> bytes:
    """Of the version that we speak, where that is offered, and nothing else (section 7.5.1)."""
    version, _, length, xid = _HEADER.unpack_from(message)
    bitmap = None
    place = 8
    while place < length:
        kind, size = _PAIR.unpack_from(message, place)
        if size < 4 or place + size > length:
            raise MalformedError(f"a hello with an element of {size} bytes")
        if kind == 1 and size >= 8 and bitmap is None:
            (bitmap,) = _LONG.unpack_from(message, place + 4)
        place += (size + 7) // 8 * 8
    if not (bitmap >> VERSION & 1 if bitmap is not None else version >= VERSION):
        raise MalformedError(f"it does not offer OpenFlow version {VERSION:#04x}: br-int must offer OpenFlow14")
    return _HEADER.pack(VERSION, HELLO, 8, xid)


def _error(message: bytes) -> bytes:
    kind, _ = _PAIR.unpack_from(message, 8)
    if kind == 0:
        raise MalformedError("it found no OpenFlow version in common: br-int must offer OpenFlow14")
    return message if kind != 0xFFFF else b""


def _role(message: bytes) -> bytes:
    """Without the properties of a role status, which nobody looks at (sections 7.3.9 and 7.4.4)."""
    if len(message) < ROLE:
        raise MalformedError(f"a message about a role of {len(message)} bytes, and not {ROLE}")
    version, kind, _, xid = _HEADER.unpack_from(message)
    return _HEADER.pack(version, kind, ROLE, xid) + message[8:ROLE]


def _packet_in(message: bytes) -> bytes:
    """With those fields of its match that are used; b'' where it does not say the port (section 7.4.1)."""
    kind, size = _PAIR.unpack_from(message, _PACKET_IN_MATCH)
    end = _PACKET_IN_MATCH + size
    data = _PACKET_IN_MATCH + (size + 7) // 8 * 8 + 2
    if kind != 1 or size < 4 or data > len(message):
        raise MalformedError(f"a packet-in with a match of {size} bytes")
    kept = b""
    place = _PACKET_IN_MATCH + 4
    while place < end:
        (header,) = _LONG.unpack_from(message, place)
        after = place + 4 + (header & 0xFF)
        if after > end:
            raise MalformedError(f"a packet-in with a field of {header & 0xFF} bytes")
        if header in _KEPT:
            kept += message[place:after]
        place = after
    if not kept.startswith(b"\x80\x00\x00\x04"):
        return b""
    match = _PAIR.pack(1, 4 + len(kept)) + kept
    match += bytes(-len(match) % 8)
    version, kind, _, xid = _HEADER.unpack_from(message)
    body = message[8:_PACKET_IN_MATCH] + match + message[data - 2 :]
    return _HEADER.pack(version, kind, 8 + len(body), xid) + body


def _config(message: bytes) -> bytes:
    if len(message) != CONFIG:
        raise MalformedError(f"a reply about its configuration of {len(message)} bytes, and not {CONFIG}")
    return message


def _port_status(message: bytes) -> bytes:
    """That a port is another one; which, who wants to know asks (section 7.4.3)."""
    version, kind, _, xid = _HEADER.unpack_from(message)
    return _HEADER.pack(version, kind, 8 + len(_PORT_CHANGED), xid) + _PORT_CHANGED


def _pair(message: bytes) -> int:
    """The first two octets after the header: of a multipart reply its kind."""
    return int(_PAIR.unpack_from(message, 8)[0])


def _no_ports(message: bytes) -> bytes:
    """The list of ports that Ryu asks for, as if there were none, and no more parts of it to come."""
    version, kind, _, xid = _HEADER.unpack_from(message)
    return _HEADER.pack(version, kind, 16, xid) + _PAIR.pack(MULTIPART_PORT_DESC, 0) + bytes(4)


def _multipart(message: bytes) -> bytes:
    kind = _pair(message)
    if len(message) < 16:
        raise MalformedError(f"a multipart reply of {len(message)} bytes")
    if kind not in _ENTRIES:
        return b""
    what, least, at = _ENTRIES[kind]
    place, others = 16, kind != MULTIPART_FLOW_MONITOR or len(message) == 16
    while place < len(message):
        size, _ = _PAIR.unpack_from(message, place + at)
        if size < least or size % 8 or place + size > len(message):
            raise MalformedError(f"{what} with an entry of {size} bytes")
        others = others or _PAIR.unpack_from(message, place)[1] != _ABBREVIATED
        place += size
    return message if others else b""  # of our own flow mods we know


_READ: Final[dict[int, Callable[[bytes], bytes]]] = {
    CONFIG_REPLY: _config,
    PACKET_IN: _packet_in,
    PORT_STATUS: _port_status,
    MULTIPART_REPLY: _multipart,
    ROLE_REPLY: _role,
    ROLE_STATUS: _role,
}
"""What makes a message of a kind safe, once the switch is admitted."""
