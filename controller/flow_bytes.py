"""A flow's match and instructions as OpenFlow bytes; it never does I/O.

OpenFlow 1.4 section 7.2, with the Nicira extension actions that have no standard form (nicira-ext.h and
openvswitch/lib/ofp-actions.c). Every fixed part is packed once at import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from flows.fields import FIELDS, PLACE
from flows.flow import (
    CONTROLLER_PORT,
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

LONGEST: Final = 0xFFFF
"""A message's or an action list's length stands in 16 bits."""
_OFPP_IN_PORT_16: Final = 0xFFF8
_NICIRA: Final = 0x00002320
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


def _set_field_parts(name: str) -> tuple[bytes, int, bytes]:
    octets = FIELDS[name].octets
    padding = _PADDING[octets % 8]
    return _PAIR.pack(25, 8 + octets + len(padding)) + _LONG.pack(oxm(name)), octets, padding


_SET_FIELD: Final = {name: _set_field_parts(name) for name in FIELDS}


def packed_match(match: tuple[tuple[str, int, int | None], ...]) -> bytes:
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


def packed_actions(actions: Iterable[Action]) -> bytes:
    """An action list (section 7.2.5); a meter and a jump to a table are instructions, and stand in none."""
    return b"".join([_ENCODERS[type(action)](action) for action in actions])


def packed_instructions(actions: tuple[Action, ...]) -> bytes:
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
    packed = packed_actions(actions)
    if len(packed) + 8 > LONGEST:
        raise ValueError(f"{len(actions)} actions of {len(packed)} bytes do not fit in a flow mod, which has {LONGEST}")
    return meter + _APPLY_ACTIONS.pack(4, 8 + len(packed)) + packed + goto


def body_of(flow: Flow) -> bytes:
    """A flow's match and instructions, as `flow_mod_add` sends them. Raises ValueError when they are too long."""
    return packed_match(flow.match) + packed_instructions(flow.actions)


def match_end(body: bytes) -> int:
    """Where the match of a flow's body ends, with its padding. Raises ValueError when it does not begin with one."""
    kind, length = _PAIR.unpack_from(body) if len(body) >= _PAIR.size else (0, 0)
    end = (length + 7) // 8 * 8
    if kind != 1 or length < 4 or end > len(body):
        raise ValueError(f"{len(body)} bytes do not begin with a match")
    return end
