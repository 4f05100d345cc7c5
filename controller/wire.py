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

from flows.fields import FIELDS
from flows.flow import (
    CONTROLLER_PORT,
    Action,
    Controller,
    Flow,
    Goto,
    Learn,
    LearnMatch,
    Move,
    Output,
    OutputField,
    Resubmit,
    SetField,
)

VERSION: Final = 0x05
PACKET_OUT: Final = 13
FLOW_MOD: Final = 14
MULTIPART_REQUEST: Final = 18
BARRIER_REQUEST: Final = 20
"""Message types (section 7.1)."""
ADD: Final = 0
DELETE: Final = 3
"""Flow mod commands; DELETE is the one that is not strict (section 7.3.4.1)."""
MULTIPART_FLOW: Final = 1
ALL_TABLES: Final = 0xFF
ANY: Final = 0xFFFFFFFF
"""OFPP_ANY, OFPG_ANY."""
NO_BUFFER: Final = 0xFFFFFFFF
EXACT: Final = 0xFFFFFFFFFFFFFFFF
LONGEST: Final = 0xFFFF
"""A message's or an action list's length stands in 16 bits."""
_OFPP_IN_PORT_16: Final = 0xFFF8
_NICIRA: Final = 0x00002320

_HEADER: Final = Struct("!BBHI")
_FLOW_MOD: Final = Struct("!BBHIQQBBHHHIIIHH")
_FLOW_STATS_REQUEST: Final = Struct("!BBHIHH4xB3xII4xQQ")
_PACKET_OUT: Final = Struct("!BBHIIIH6x")
_FLOW_STATS: Final = Struct("!HBx4x4xH2x2x2x2x2xQQQ")
_PAIR: Final = Struct("!HH")
_LONG: Final = Struct("!I")
_APPLY_ACTIONS: Final = Struct("!HH4x")
_GOTO: Final = Struct("!HHB3x")
_OUTPUT: Final = Struct("!HHIH6x")
_OUTPUT_REG: Final = Struct("!HHIHHIH6x")
_REG_MOVE: Final = Struct("!HHIHHHHII")
_RESUBMIT_TABLE: Final = Struct("!HHIHHB3x")
_LEARN: Final = Struct("!HHIHHHHQHBxHH")
_LEARN2_TAIL: Final = Struct("!IHH")
_PADDING: Final = tuple(bytes(-length % 8) for length in range(8))


def oxm(name: str, masked: bool = False) -> int:
    """The OXM header of a field (section 7.2.3.2): class, number, whether a mask follows, length."""
    field = FIELDS[name]
    return field.oxm_class << 16 | field.oxm_number << 9 | masked << 8 | field.octets << masked


_FULL: Final = {name: (_LONG.pack(oxm(name)), field.octets) for name, field in FIELDS.items()}
_MASKED: Final = {name: (_LONG.pack(oxm(name, True)), field.octets) for name, field in FIELDS.items()}
_ORDER: Final = {name: oxm(name) for name in FIELDS}


def _set_field_parts(name: str) -> tuple[bytes, int, bytes]:
    octets = FIELDS[name].octets
    padding = _PADDING[octets % 8]
    return _PAIR.pack(25, 8 + octets + len(padding)) + _LONG.pack(oxm(name)), octets, padding


_SET_FIELD: Final = {name: _set_field_parts(name) for name in FIELDS}


def _match(match: tuple[tuple[str, int, int | None], ...]) -> bytes:
    """An ofp_match of OXM fields, padded (section 7.2.3).

    By number, which puts every field behind its prerequisites (arp_spa behind eth_type), as a switch demands.
    """
    parts = [b""]
    for name, value, mask in sorted(match, key=lambda row: _ORDER[row[0]]) if len(match) > 1 else match:
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
    return _OUTPUT.pack(0, 16, CONTROLLER_PORT, action.max_len)


def _output_field(action: OutputField) -> bytes:
    """NXAST_OUTPUT_REG; ofs_nbits holds offset << 6 | bits - 1."""
    return _OUTPUT_REG.pack(0xFFFF, 24, _NICIRA, 15, FIELDS[action.field].bits - 1, oxm(action.field), LONGEST)


def _set_field(action: SetField) -> bytes:
    prefix, octets, padding = _SET_FIELD[action.field]
    return prefix + action.value.to_bytes(octets, "big") + padding


def _move(action: Move) -> bytes:
    """NXAST_REG_MOVE."""
    bits = FIELDS[action.source].bits
    if bits != FIELDS[action.target].bits:
        raise ValueError(f"{action} is between fields of different width")
    return _REG_MOVE.pack(0xFFFF, 24, _NICIRA, 6, bits, 0, 0, oxm(action.source), oxm(action.target))


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
    place = _LONG.pack(oxm(target)) + b"\0\0"
    if isinstance(source, int):
        # An immediate value is a whole number of 16-bit words, right-justified.
        value = source.to_bytes((bits + 15) // 16 * 2, "big")
        return (1 << 13 | kind | bits).to_bytes(2, "big") + value + place
    bits = min(bits, FIELDS[source].bits)
    return (kind | bits).to_bytes(2, "big") + _LONG.pack(oxm(source)) + b"\0\0" + place


_ENCODERS: Final[dict[type[Any], Callable[[Any], bytes]]] = {
    Output: _output,
    OutputField: _output_field,
    Controller: _controller,
    SetField: _set_field,
    Move: _move,
    Resubmit: _resubmit,
    Learn: _learn,
}


def _action_list(actions: Iterable[Action]) -> bytes:
    return b"".join([_ENCODERS[type(action)](action) for action in actions])


def _instructions(actions: tuple[Action, ...]) -> bytes:
    """Apply-actions and goto-table (section 7.2.4); nothing at all drops."""
    if not actions:
        return b""
    last = actions[-1]
    goto = b""
    if isinstance(last, Goto):
        goto = _GOTO.pack(1, 8, last.table.id)
        actions = actions[:-1]
        if not actions:
            return goto
    packed = _action_list(actions)
    if len(packed) + 8 > LONGEST:
        raise ValueError(f"{len(actions)} actions of {len(packed)} bytes do not fit in a flow mod")
    return _APPLY_ACTIONS.pack(4, 8 + len(packed)) + packed + goto


def flow_mod_add(flow: Flow, xid: int = 0) -> bytes:
    """The flow mod that adds a flow (section 7.3.4.1): no timeouts, no flags.

    Raises ValueError when the flow is longer than a message may be.
    """
    body = _match(flow.match) + _instructions(flow.actions)
    length = _FLOW_MOD.size + len(body)
    if length > LONGEST:
        raise ValueError(f"a flow of table {flow.table.name} is {length} bytes long; {LONGEST} is the most")
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


def packet_out(data: bytes, actions: Iterable[Action], xid: int = 0) -> bytes:
    """A packet-out from the controller (section 7.3.6); ValueError when it does not fit in a message."""
    packed = _action_list(actions)
    length = _PACKET_OUT.size + len(packed) + len(data)
    if length > LONGEST:
        raise ValueError(f"a packet-out of {length} bytes; {LONGEST} is the most")
    head = _PACKET_OUT.pack(VERSION, PACKET_OUT, length, xid, NO_BUFFER, CONTROLLER_PORT, len(packed))
    return head + packed + data


class FlowStats(NamedTuple):
    """What is read back of an installed flow. `key` is `Flow.key`."""

    table: int
    priority: int
    cookie: int
    packets: int
    octets: int

    @property
    def key(self) -> tuple[int, int, int]:
        return self[:3]


def parse_flow_stats(body: bytes) -> list[FlowStats]:
    """The flows of a multipart reply, `body` being the message from byte 16 on (section 7.3.5.2).

    Only the fixed places of each entry are read. Raises ValueError when the lengths do not add up.
    """
    rows = []
    offset, end = 0, len(body)
    while offset < end:
        if end - offset < _FLOW_STATS.size + 8:
            raise ValueError(f"{end - offset} bytes at {offset} are no flow entry")
        length, table, priority, cookie, packets, octets = _FLOW_STATS.unpack_from(body, offset)
        if length < _FLOW_STATS.size + 8 or length % 8 or length > end - offset:
            raise ValueError(f"a flow entry at {offset} claims a length of {length} in {end} bytes")
        rows.append(FlowStats(table, priority, cookie, packets, octets))
        offset += length
    return rows
