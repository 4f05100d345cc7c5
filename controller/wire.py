"""Flows to OpenFlow bytes, and the few bytes of a switch's answers that are read; it never does I/O.

OpenFlow 1.4 (wire version 0x05), with the Nicira extension actions that have no standard form. Every
fixed part is packed once at import; a message is those parts and the few bytes that differ, joined. The
layouts are those of OpenFlow 1.4 sections 7.2 (structures) and 7.3 (messages), nicira-ext.h and
openvswitch/lib/ofp-actions.c. What comes from a switch is read at fixed places, lengths checked first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple

from flows.fields import FIELDS, PLACE
from flows.flow import (
    CONTROLLER_PORT,
    KIND_SHIFT,
    OWNER_COOKIE,
    OWNER_MASK,
    Action,
    CheckLarger,
    Controller,
    Flow,
    Goto,
    Learn,
    LearnMatch,
    Meter,
    Move,
    Output,
    OutputField,
    PopVlan,
    PushVlan,
    Recirculate,
    Resubmit,
    SetField,
)
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
LONGEST: Final = 0xFFFF
"""A message's or an action list's length stands in 16 bits."""
_LONGEST_FLOW: Final = LONGEST - 16
"""A switch has to be able to send it back, and the header of a multipart reply is that much longer."""
_OFPP_IN_PORT_16: Final = 0xFFF8
_NICIRA: Final = 0x00002320

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
_APPLY_ACTIONS: Final = Struct("!HH4x")
_GOTO: Final = Struct("!HHB3x")
_OUTPUT: Final = Struct("!HHIH6x")
_OUTPUT_REG: Final = Struct("!HHIHHIH6x")
_REG_MOVE: Final = Struct("!HHIHHHHII")
_CONTROLLER2: Final = Struct("!HHIH6x")
_PROPERTY_16: Final = Struct("!HHH2x")
_PROPERTY_32: Final = Struct("!HHI")
_PUSH_VLAN: Final = Struct("!HHH2x")
_POP_VLAN: Final = bytes.fromhex("0012 0008 0000 0000")
_CHECK_LARGER: Final = Struct("!HHIHHHI6x")
_ENCAP: Final = Struct("!HHIHHI")
_DECAP: Final = Struct("!HHIH2xI")
_METER: Final = Struct("!HHI")
_RESUBMIT_TABLE: Final = Struct("!HHIHHB3x")
_LEARN: Final = Struct("!HHIHHHHQHBxHH")
_LEARN2_TAIL: Final = Struct("!IHH")
_PADDING: Final = tuple(bytes(-length % 8) for length in range(8))


def oxm(name: str, masked: bool = False) -> int:
    """The OXM header of a field (section 7.2.3.2): class, number, whether a mask follows, length."""
    field = FIELDS[name]
    return field.oxm_class << 16 | field.oxm_number << 9 | masked << 8 | field.octets << masked


_OLDER: Final = {
    "eth_dst": 0x00000206, "eth_src": 0x00000406, "eth_type": 0x00000602, "ip_proto": 0x00000C01,
    "ip_src": 0x00000E04, "ip_dst": 0x00001004, "arp_op": 0x00001E02, "arp_spa": 0x00002004, "arp_tpa": 0x00002204,
    "tun_id": 0x00012008, "arp_sha": 0x00012206, "arp_tha": 0x00012406, "ipv6_src": 0x00012610, "ipv6_dst": 0x00012810,
    "udp_src": 0x00001602, "udp_dst": 0x00001802, "icmp_type": 0x00001A01, "icmpv6_type": 0x00012A01,
    "nd_target": 0x00012E10, "nd_sll": 0x00013006, "nd_tll": 0x00013206,
}  # fmt: skip
"""NXM headers of fields that have an OXM number too (nicira-ext.h)."""
_WHOLE: Final = {name: _OLDER.get(name, oxm(name)) for name in FIELDS}
"""The header of a field in an action that moves it: the one that Open vSwitch itself writes there."""
_FULL: Final = {name: (_LONG.pack(oxm(name)), field.octets) for name, field in FIELDS.items()}
_MASKED: Final = {name: (_LONG.pack(oxm(name, True)), field.octets) for name, field in FIELDS.items()}


_ETH_DST: Final = oxm("eth_dst")


def _set_field_parts(name: str) -> tuple[bytes, int, bytes]:
    octets = FIELDS[name].octets
    padding = _PADDING[octets % 8]
    return _PAIR.pack(25, 8 + octets + len(padding)) + _LONG.pack(oxm(name)), octets, padding


_SET_FIELD: Final = {name: _set_field_parts(name) for name in FIELDS}


def _match(match: tuple[tuple[str, int, int | None], ...]) -> bytes:
    """An ofp_match of OXM fields, padded (section 7.2.3).

    In an order that puts every field behind its prerequisites (nd_target behind icmpv6_type), as a switch demands.
    """
    parts = [b""]
    for name, value, mask in sorted(match, key=lambda row: PLACE[row[0]]) if len(match) > 1 else match:
        if mask is None:
            header, octets = _FULL[name]
            parts.append(header + value.to_bytes(octets, "big"))
        else:
            header, octets = _MASKED[name]
            parts.append(header + value.to_bytes(octets, "big") + mask.to_bytes(octets, "big"))
    fields = b"".join(parts)
    length = 4 + len(fields)
    return _PAIR.pack(1, length) + fields + _PADDING[length % 8]


def _output(action: Output) -> bytes:
    # max_len counts for the controller alone; 0 is what ovs-ofctl writes.
    return _OUTPUT.pack(0, 16, action.port, 0)


def _controller(action: Controller) -> bytes:
    """An output, or NXAST_CONTROLLER2 with its properties max_len and meter_id, the first left out where it is all."""
    if not action.meter:
        return _OUTPUT.pack(0, 16, CONTROLLER_PORT, action.max_len)
    length = b"" if action.max_len == LONGEST else _PROPERTY_16.pack(0, 8, action.max_len)
    return _CONTROLLER2.pack(0xFFFF, 24 + len(length), _NICIRA, 37) + length + _PROPERTY_32.pack(5, 8, action.meter)


def _output_field(action: OutputField) -> bytes:
    """NXAST_OUTPUT_REG; ofs_nbits holds offset << 6 | bits - 1."""
    return _OUTPUT_REG.pack(0xFFFF, 24, _NICIRA, 15, FIELDS[action.field].bits - 1, oxm(action.field), LONGEST)


def _set_field(action: SetField) -> bytes:
    prefix, octets, padding = _SET_FIELD[action.field]
    return prefix + action.value.to_bytes(octets, "big") + padding


def _move(action: Move) -> bytes:
    """NXAST_REG_MOVE."""
    widths = (FIELDS[action.source].bits, FIELDS[action.target].bits)
    bits = action.bits or widths[0]
    if bits > min(widths) or (not action.bits and widths[0] != widths[1]):
        raise ValueError(f"{action} is between fields of {widths[0]} and {widths[1]} bits")
    return _REG_MOVE.pack(0xFFFF, 24, _NICIRA, 6, bits, 0, 0, _WHOLE[action.source], _WHOLE[action.target])


def _push_vlan(action: PushVlan) -> bytes:
    return _PUSH_VLAN.pack(17, 8, action.ethertype)


def _pop_vlan(action: PopVlan) -> bytes:
    return _POP_VLAN


def _check_larger(action: CheckLarger) -> bytes:
    """NXAST_CHECK_PKT_LARGER, into the lowest bit."""
    return _CHECK_LARGER.pack(0xFFFF, 24, _NICIRA, 49, action.octets, 0, oxm(action.field))


def _recirculate(action: Recirculate) -> bytes:
    """NXAST_ENCAP with packet type NSH (1, 0x894f), and NXAST_DECAP to what is inside (0, 0xfffe)."""
    return _ENCAP.pack(0xFFFF, 16, _NICIRA, 46, 0, 0x1894F) + _DECAP.pack(0xFFFF, 16, _NICIRA, 47, 0xFFFE)


def _resubmit(action: Resubmit) -> bytes:
    """NXAST_RESUBMIT_TABLE, with the packet's own in_port."""
    return _RESUBMIT_TABLE.pack(0xFFFF, 16, _NICIRA, 14, _OFPP_IN_PORT_16, action.table.id)


@lru_cache(maxsize=4096)
def _learn(action: Learn) -> bytes:
    """NXAST_LEARN2, or NXAST_LEARN where there is no limit; its learned flows go with the flow itself."""
    tail = _LEARN2_TAIL.pack(action.limit, 0, 0) if action.limit else b""
    specs = b"".join(_spec(spec.target, spec.source, isinstance(spec, LearnMatch)) for spec in action.specs)
    length = _LEARN.size + len(tail) + len(specs)
    padding = _PADDING[length % 8]
    head = _LEARN.pack(
        0xFFFF,
        length + len(padding),
        _NICIRA,
        45 if action.limit else 16,
        0,
        action.hard_timeout,
        action.priority,
        action.cookie,
        2,  # NX_LEARN_F_DELETE_LEARNED
        action.table.id,
        0,
        0,
    )
    return head + tail + specs + padding


def _spec(target: str, source: str | int, matches: bool) -> bytes:
    """One flow_mod_spec of a learn action (nicira-ext.h, nx_action_learn)."""
    bits = FIELDS[target].bits
    kind = 0 if matches else 1 << 11
    place = _LONG.pack(_WHOLE[target]) + b"\0\0"
    if isinstance(source, int):
        # An immediate value is a whole number of 16-bit words, right-justified.
        value = source.to_bytes((bits + 15) // 16 * 2, "big")
        return (1 << 13 | kind | bits).to_bytes(2, "big") + value + place
    bits = min(bits, FIELDS[source].bits)
    return (kind | bits).to_bytes(2, "big") + _LONG.pack(_WHOLE[source]) + b"\0\0" + place


_ENCODERS: Final[dict[type[Any], Callable[[Any], bytes]]] = {
    Output: _output,
    OutputField: _output_field,
    Controller: _controller,
    SetField: _set_field,
    Move: _move,
    PushVlan: _push_vlan,
    PopVlan: _pop_vlan,
    CheckLarger: _check_larger,
    Recirculate: _recirculate,
    Resubmit: _resubmit,
    Learn: _learn,
}


def _action_list(actions: Iterable[Action]) -> bytes:
    return b"".join([_ENCODERS[type(action)](action) for action in actions])


def _instructions(actions: tuple[Action, ...]) -> bytes:
    """Meter, apply-actions and goto-table (section 7.2.4); nothing at all drops."""
    meter = goto = b""
    if actions and isinstance(actions[0], Meter):
        meter = _METER.pack(6, 8, actions[0].id)
        actions = actions[1:]
    if actions and isinstance(actions[-1], Goto):
        goto = _GOTO.pack(1, 8, actions[-1].table.id)
        actions = actions[:-1]
    if not actions:
        return meter + goto
    packed = _action_list(actions)
    if len(packed) + 8 > LONGEST:
        raise ValueError(f"{len(actions)} actions of {len(packed)} bytes do not fit in a flow mod, which has {LONGEST}")
    return meter + _APPLY_ACTIONS.pack(4, 8 + len(packed)) + packed + goto


def flow_mod_add(flow: Flow, xid: int = 0) -> bytes:
    """The flow mod that adds a flow (section 7.3.4.1): no timeouts, no flags.

    Raises ValueError when the flow is longer than a message may be.
    """
    body = _match(flow.match) + _instructions(flow.actions)
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
    body = _match(())
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
    body = _match(())
    head = _FLOW_STATS_REQUEST.pack(
        VERSION, MULTIPART_REQUEST, _FLOW_STATS_REQUEST.size + len(body), xid,
        MULTIPART_FLOW, 0, ALL_TABLES, ANY, ANY, cookie, mask,
    )  # fmt: skip
    return head + body


def flow_monitor_request(xid: int, tables: Iterable[int]) -> bytes:
    """A request to be told of each flow of these tables that is added, removed or modified (section 7.3.5.17).

    Of our own changes the switch says no more than that they happened.
    """
    every = _match(())
    body = b"".join(_FLOW_MONITOR.pack(id, ANY, ANY, _ADDED_REMOVED_MODIFIED, id, 0) + every for id in sorted(tables))
    length = _MULTIPART_REQUEST.size + len(body)
    return _MULTIPART_REQUEST.pack(VERSION, MULTIPART_REQUEST, length, xid, MULTIPART_FLOW_MONITOR, 0) + body


def packet_out(data: bytes, actions: Iterable[Action], xid: int = 0) -> bytes:
    """A packet-out from the controller (section 7.3.6); ValueError when it does not fit in a message."""
    packed = _action_list(actions)
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


def body_of(flow: Flow) -> bytes:
    """A flow's match and instructions, as `flow_mod_add` sends them. Raises ValueError when they are too long."""
    return _match(flow.match) + _instructions(flow.actions)


def match_end(body: bytes) -> int:
    """Where the match of a flow's body ends, with its padding. Raises ValueError when it does not begin with one."""
    kind, length = _PAIR.unpack_from(body) if len(body) >= _PAIR.size else (0, 0)
    end = (length + 7) // 8 * 8
    if kind != 1 or length < 4 or end > len(body):
        raise ValueError(f"{len(body)} bytes do not begin with a match")
    return end


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
