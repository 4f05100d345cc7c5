"""OpenFlow messages to a switch as bytes, and the few bytes of its answers that are read; it never does I/O.

OpenFlow 1.4 (wire version 0x05). Every fixed part is packed once at import; a message is those parts and the few
bytes that differ, joined. The layouts are those of OpenFlow 1.4 section 7.3. What comes from a switch is read at fixed
places, lengths checked first.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple

from controller.flow_bytes import LONGEST, match_end, oxm, packed_actions, packed_instructions, packed_match
from flows.flow import CONTROLLER_PORT, KIND_SHIFT, OWNER_COOKIE, OWNER_MASK, Action, Flow
from flows.tables import Kind

VERSION: Final = 0x05
PACKET_OUT: Final = 13
FLOW_MOD: Final = 14
MULTIPART_REQUEST: Final = 18
BARRIER_REQUEST: Final = 20
METER_MOD: Final = 29
"""Message types (section 7.1)."""
ADD: Final = 0
DELETE: Final = 3
DELETE_STRICT: Final = 4
"""Flow mod commands (section 7.3.4.1); strict: just this match and priority."""
METER_ADD: Final = 0
METER_MODIFY: Final = 1
METER_DELETE: Final = 2
"""Meter mod commands (section 7.3.4.4)."""
ALL_METERS: Final = 0xFFFFFFFF
"""OFPM_ALL."""
MULTIPART_FLOW: Final = 1
MULTIPART_METER: Final = 9
MULTIPART_METER_CONFIG: Final = 10
MULTIPART_FLOW_MONITOR: Final = 16
ALL_TABLES: Final = 0xFF
ANY: Final = 0xFFFFFFFF
"""OFPP_ANY, OFPG_ANY."""
NO_BUFFER: Final = 0xFFFFFFFF
EXACT: Final = 0xFFFFFFFFFFFFFFFF
_LONGEST_FLOW: Final = LONGEST - 16
"""A switch has to be able to send it back, and the header of a multipart reply is that much longer."""

_HEADER: Final = Struct("!BBHI")
_FLOW_MOD: Final = Struct("!BBHIQQBBHHHIIIHH")
_FLOW_STATS_REQUEST: Final = Struct("!BBHIHH4xB3xII4xQQ")
_MULTIPART_REQUEST: Final = Struct("!BBHIHH4x")
_FLOW_MONITOR: Final = Struct("!IIIHBB")
_ADDED_REMOVED_MODIFIED: Final = 2 | 4 | 8
"""OFPFMF_ADD, OFPFMF_REMOVED, OFPFMF_MODIFY."""
_PACKET_OUT: Final = Struct("!BBHIIIH6x")
_FLOW_STATS: Final = Struct("!HBx4x4xH2x2x2x2x2xQQQ")
_METER_MOD: Final = Struct("!BBHIHHI")
_METER_BAND: Final = Struct("!HHII4x")
_METER_CONFIG_REQUEST: Final = Struct("!BBHIHH4xI4x")
_METER_CONFIG: Final = Struct("!HHI")
_METER_STATS: Final = Struct("!IH6x4xQQ8x")
_METER_BAND_STATS: Final = Struct("!QQ")
_PACKETS_WITH_BURST: Final = 6
"""OFPMF_PKTPS and OFPMF_BURST."""
_COUNTED: Final = 8
"""OFPMF_STATS, which a switch may add."""
_BAND_DROP: Final = 1
_PAIR: Final = Struct("!HH")
_LONG: Final = Struct("!I")

_ETH_DST: Final = oxm("eth_dst")


def flow_mod_add(flow: Flow, xid: int = 0) -> bytes:
    """The flow mod that adds a flow (section 7.3.4.1): no timeouts, no flags.

    Raises ValueError when the flow is longer than a message may be.
    """
    body = packed_match(flow.match) + packed_instructions(flow.actions)
    length = _FLOW_MOD.size + len(body)
    if length > _LONGEST_FLOW:
        raise ValueError(
            f"{length} bytes of table {flow.table.name} do not fit in a flow mod; {_LONGEST_FLOW} is the most"
        )
    head = _FLOW_MOD.pack(
        VERSION, FLOW_MOD, length, xid, flow.cookie, 0, flow.table.id, ADD, 0, 0, flow.priority,
        NO_BUFFER, ANY, ANY, 0, 0,
    )  # fmt: skip
    return head + body


def flow_mod_delete(key: tuple[int, int, int], xid: int = 0) -> bytes:
    """The flow mod that deletes the flows with `Flow.key`'s cookie in its table, and no other.

    Not strict, for the match is not known of a flow that was read back; the priority is not looked at.
    """
    table, _, cookie = key
    body = packed_match(())
    head = _FLOW_MOD.pack(
        VERSION, FLOW_MOD, _FLOW_MOD.size + len(body), xid, cookie, EXACT, table, DELETE, 0, 0, 0,
        NO_BUFFER, ANY, ANY, 0, 0,
    )  # fmt: skip
    return head + body


def flow_mod_delete_strict(stats: FlowStats, xid: int = 0) -> bytes:
    """The flow mod that deletes one flow that was read back, and not another with the same key."""
    head = _FLOW_MOD.pack(
        VERSION, FLOW_MOD, _FLOW_MOD.size + len(stats.match), xid, stats.cookie, EXACT, stats.table, DELETE_STRICT,
        0, 0, stats.priority, NO_BUFFER, ANY, ANY, 0, 0,
    )  # fmt: skip
    return head + stats.match


def meter_mod(command: int, id: int, rate: int = 0, burst: int = 0, xid: int = 0) -> bytes:
    """A meter mod (section 7.3.4.4): its one band drops what is beyond `rate` packets per second and `burst` at once.

    To delete it, no band is given.
    """
    band = b"" if command == METER_DELETE else _METER_BAND.pack(_BAND_DROP, _METER_BAND.size, rate, burst)
    length = _METER_MOD.size + len(band)
    return _METER_MOD.pack(VERSION, METER_MOD, length, xid, command, _PACKETS_WITH_BURST, id) + band


def meter_config_request(xid: int) -> bytes:
    """A request for the configuration of all meters (section 7.3.5.11)."""
    return _METER_CONFIG_REQUEST.pack(VERSION, MULTIPART_REQUEST, 24, xid, MULTIPART_METER_CONFIG, 0, ALL_METERS)


def meter_stats_request(xid: int) -> bytes:
    """A request for the counters of all meters (section 7.3.5, ofp_meter_multipart_request)."""
    return _METER_CONFIG_REQUEST.pack(VERSION, MULTIPART_REQUEST, 24, xid, MULTIPART_METER, 0, ALL_METERS)


def barrier_request(xid: int) -> bytes:
    """A barrier request (section 7.3.7): answered when all before it has been done."""
    return _HEADER.pack(VERSION, BARRIER_REQUEST, 8, xid)


def flow_stats_request(xid: int, cookie: int = 0, mask: int = 0) -> bytes:
    """A request for all flows, in all tables, whose cookie agrees with `cookie` in the bits of `mask`."""
    body = packed_match(())
    head = _FLOW_STATS_REQUEST.pack(
        VERSION, MULTIPART_REQUEST, _FLOW_STATS_REQUEST.size + len(body), xid,
        MULTIPART_FLOW, 0, ALL_TABLES, ANY, ANY, cookie, mask,
    )  # fmt: skip
    return head + body


def flow_monitor_request(xid: int, tables: Iterable[int]) -> bytes:
    """A request to be told of each flow of these tables that is added, removed or modified (section 7.3.5.17).

    Of our own changes the switch says no more than that they happened.
    """
    every = packed_match(())
    body = b"".join(_FLOW_MONITOR.pack(id, ANY, ANY, _ADDED_REMOVED_MODIFIED, id, 0) + every for id in sorted(tables))
    length = _MULTIPART_REQUEST.size + len(body)
    return _MULTIPART_REQUEST.pack(VERSION, MULTIPART_REQUEST, length, xid, MULTIPART_FLOW_MONITOR, 0) + body


def packet_out(data: bytes, actions: Iterable[Action], xid: int = 0) -> bytes:
    """A packet-out from the controller (section 7.3.6); ValueError when it does not fit in a message."""
    packed = packed_actions(actions)
    length = _PACKET_OUT.size + len(packed) + len(data)
    if length > LONGEST:
        raise ValueError(f"a packet-out of {length} bytes; {LONGEST} is the most")
    head = _PACKET_OUT.pack(VERSION, PACKET_OUT, length, xid, NO_BUFFER, CONTROLLER_PORT, len(packed))
    return head + packed + data


def parse_meter_config(body: bytes) -> dict[int, tuple[int, int] | None]:
    """The meters of a multipart reply by their ids, `body` being the message from byte 16 on (section 7.3.5.11).

    (rate, burst) of those that do nothing but drop what is beyond so many packets, None for any other. Raises
    ValueError when the lengths do not add up.
    """
    found: dict[int, tuple[int, int] | None] = {}
    offset, end = 0, len(body)
    while offset < end:
        if end - offset < _METER_CONFIG.size:
            raise ValueError(f"{end - offset} bytes at {offset} are no meter")
        length, flags, id = _METER_CONFIG.unpack_from(body, offset)
        if length < _METER_CONFIG.size or length % 8 or length > end - offset:
            raise ValueError(f"a meter at {offset} claims a length of {length} in {end} bytes")
        found[id] = None
        if length == _METER_CONFIG.size + _METER_BAND.size and flags & ~_COUNTED == _PACKETS_WITH_BURST:
            kind, size, rate, burst = _METER_BAND.unpack_from(body, offset + _METER_CONFIG.size)
            if (kind, size) == (_BAND_DROP, _METER_BAND.size):
                found[id] = (rate, burst)
        offset += length
    return found


class MeterStats(NamedTuple):
    """What a meter has met, whether it dropped it or not, and what it has dropped: packets and octets."""

    id: int
    packets: int
    octets: int
    dropped: int
    dropped_octets: int


def parse_meter_stats(body: bytes) -> list[MeterStats]:
    """The meters of a multipart reply, `body` being the message from byte 16 on (ofp_meter_stats).

    Of one with several bands what was dropped is the sum. Raises ValueError when the lengths do not add up.
    """
    rows = []
    offset, end = 0, len(body)
    while offset < end:
        if end - offset < _METER_STATS.size:
            raise ValueError(f"{end - offset} bytes at {offset} are no meter's counters")
        id, length, packets, octets = _METER_STATS.unpack_from(body, offset)
        if length < _METER_STATS.size or length % 8 or length > end - offset:
            raise ValueError(f"a meter's counters at {offset} claim a length of {length} in {end} bytes")
        bands = range(offset + _METER_STATS.size, offset + length - _METER_BAND_STATS.size + 1, _METER_BAND_STATS.size)
        counted = [_METER_BAND_STATS.unpack_from(body, place) for place in bands]
        dropped = (sum(count for count, _ in counted), sum(octets for _, octets in counted))
        rows.append(MeterStats(id, packets, octets, *dropped))
        offset += length
    return rows


_KIND: Final = OWNER_MASK | 0xFF << KIND_SHIFT
_LEARNED: Final = OWNER_COOKIE | Kind.LEARNED << KIND_SHIFT


class FlowStats(NamedTuple):
    """What is read back of an installed flow. `key` is `Flow.key`; `body` its match and instructions, as they came."""

    table: int
    priority: int
    cookie: int
    packets: int
    octets: int
    body: bytes = b""

    @property
    def key(self) -> tuple[int, int, int]:
        return self[:3]

    @property
    def match(self) -> bytes:
        """The ofp_match, padded."""
        return self.body[: match_end(self.body)]

    @property
    def mac(self) -> str:
        """The MAC that the switch learned, '' where this is no flow that it learned."""
        length = int.from_bytes(self.body[2:4], "big")
        return _destination(self.body[:length]) if self.cookie & _KIND == _LEARNED else ""


def _destination(match: bytes) -> str:
    """The destination MAC in a match (section 7.2.3), '' where there is none."""
    place = _PAIR.size
    while place + _LONG.size <= len(match):
        (header,) = _LONG.unpack_from(match, place)
        place += _LONG.size
        if header == _ETH_DST:
            mac = match[place : place + 6]
            return mac.hex(":") if len(mac) == 6 else ""
        place += header & 0xFF
    return ""


def parse_flow_stats(body: bytes) -> list[FlowStats]:
    """The flows of a multipart reply, `body` being the message from byte 16 on (section 7.3.5.2).

    Only the fixed places of each entry are read, and the match of those that hold a MAC that was learned. Raises
    ValueError when the lengths do not add up.
    """
    rows = []
    offset, end = 0, len(body)
    while offset < end:
        if end - offset < _FLOW_STATS.size + 8:
            raise ValueError(f"{end - offset} bytes at {offset} are no flow entry")
        length, table, priority, cookie, packets, octets = _FLOW_STATS.unpack_from(body, offset)
        if length < _FLOW_STATS.size + 8 or length % 8 or length > end - offset:
            raise ValueError(f"a flow entry at {offset} claims a length of {length} in {end} bytes")
        content = body[offset + _FLOW_STATS.size : offset + length]
        rows.append(FlowStats(table, priority, cookie, packets, octets, content))
        offset += length
    return rows


def parse_flow_updates(body: bytes) -> list[int]:
    """The events of a flow monitor's message, `body` being the message from byte 16 on (section 7.3.5.17.2)."""
    events = []
    offset = 0
    while offset + _PAIR.size <= len(body):
        length, event = _PAIR.unpack_from(body, offset)
        if length < 8 or length % 8 or length > len(body) - offset:
            raise ValueError(f"a flow update at {offset} claims a length of {length} in {len(body)} bytes")
        events.append(event)
        offset += length
    return events
