"""OpenFlow messages about what a switch is set to, beside its flows and meters: its ports, and fragments. Pure.

Numbers are those of OpenFlow 1.4 (wire version 0x05), its sections 7.2.1, 7.3.2, 7.3.4.3 and 7.3.5.7.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

VERSION: Final = 0x05
GET_CONFIG_REQUEST: Final = 7
SET_CONFIG: Final = 9
PORT_MOD: Final = 16
MULTIPART_REQUEST: Final = 18
MULTIPART_PORT_DESC: Final = 13
PORT_DOWN: Final = 1 << 0
NO_RECV: Final = 1 << 2
NO_FWD: Final = 1 << 5
NO_PACKET_IN: Final = 1 << 6
SETTINGS: Final = {PORT_DOWN: "down", NO_RECV: "no-receive", NO_FWD: "no-forward", NO_PACKET_IN: "no-packet-in"}
"""What a port can be set to (`enum ofp_port_config`), in the words of `ovs-ofctl mod-port`."""
FRAGMENTS: Final = {0: "normal", 1: "drop", 2: "reassemble", 3: "nx-match"}
"""How fragments can be handled (`enum ofp_config_flags`, and Open vSwitch's own), in those of `ovs-ofctl set-frags`."""
_MISS_SEND_LEN: Final = 128
"""What Ryu asks for when a switch connects, and Open vSwitch does not heed."""
_HEADER: Final = Struct("!BBHI")
_MULTIPART: Final = Struct("!BBHIHH4x")
_PORT: Final = Struct("!IH2x6s2x16sI4x")
_PORT_MOD: Final = Struct("!BBHII4x6s2xII")
_CONFIG: Final = Struct("!BBHIHH")


class PortSettings(NamedTuple):
    """A port as a switch describes it: its number, MAC and name, and what it is set to, bits of `SETTINGS`."""

    number: int
    mac: bytes
    name: str
    config: int

    def words(self) -> str:
        """What it is set to, '' for nothing."""
        return ", ".join(word for bit, word in SETTINGS.items() if self.config & bit)


def ports_request(xid: int) -> bytes:
    """A request for all ports."""
    return _MULTIPART.pack(VERSION, MULTIPART_REQUEST, _MULTIPART.size, xid, MULTIPART_PORT_DESC, 0)


def parse_ports(body: bytes) -> list[PortSettings]:
    """The ports of a multipart reply, `body` being the message from byte 16 on.

    Raises ValueError when the lengths do not add up.
    """
    ports = []
    place = 0
    while place < len(body):
        if len(body) - place < _PORT.size:
            raise ValueError(f"{len(body) - place} bytes at {place} are no port")
        number, length, mac, name, config = _PORT.unpack_from(body, place)
        if length < _PORT.size or length > len(body) - place:
            raise ValueError(f"a port at {place} claims a length of {length} in {len(body)} bytes")
        ports.append(PortSettings(number, mac, name.partition(b"\0")[0].decode("ascii", "replace"), config))
        place += length
    return ports


def port_mod(port: PortSettings, xid: int) -> bytes:
    """Sets a port to nothing of `SETTINGS`, and leaves what it advertises as it is."""
    mask = sum(SETTINGS)
    return _PORT_MOD.pack(VERSION, PORT_MOD, _PORT_MOD.size, xid, port.number, port.mac, 0, mask)


def config_request(xid: int) -> bytes:
    """A request for how fragments are handled."""
    return _HEADER.pack(VERSION, GET_CONFIG_REQUEST, _HEADER.size, xid)


def set_config(xid: int) -> bytes:
    """Has fragments handled as flows say."""
    return _CONFIG.pack(VERSION, SET_CONFIG, _CONFIG.size, xid, 0, _MISS_SEND_LEN)
