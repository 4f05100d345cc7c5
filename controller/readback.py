"""What a switch says it has, held against what it was given: what somebody else changed. Pure.

A key names what a flow was when it was sent, so it says nothing of actions that were altered since, nor of another
flow that was given the same cookie. Both are seen in the flow's body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import and_
from typing import Final, NamedTuple

from controller.actions_text import actions_text
from controller.flow_bytes import body_of, match_end, oxm
from controller.wire import FlowStats
from flows import text
from flows.flow import Flow, owned
from flows.plan import Key, learned


def _header(name: str, masked: bool = False) -> bytes:
    return oxm(name, masked).to_bytes(4, "big")


_VLAN_VID: Final = bytes.fromhex("80000c02")
_VLAN_VID_MASKED: Final = bytes.fromhex("80000d04")
_VLAN_PCP: Final = bytes.fromhex("80000e01")
_VLAN_TCI: Final = _header("vlan_tci")
_VLAN_TCI_MASKED: Final = _header("vlan_tci", True)
_IP_FRAG: Final = _header("ip_frag")
_IP_FRAG_MASKED: Final = _header("ip_frag", True)
_IP_FRAG_BITS: Final = 3
"""Those that the field has (ovs-fields(7))."""
_VLAN_VID_BITS: Final = b"\x1f\xff"
"""A VLAN id and the bit that says there is a tag (section 7.2.3.8)."""


Bodies = Mapping[Key, bytes | None]
"""Flows that are on a switch as they should be, with the body that was read back; None for those not read yet."""
_NAMED: Final = 3
"""Flows of each sort that are told in words."""


class Content(NamedTuple):
    """What a flow matches and does, in one form, however it was written; equal for flows that are the same."""

    match: frozenset[bytes]
    instructions: bytes


def content(body: bytes) -> Content:
    """The content of `FlowStats.body` or `body_of()`. Raises ValueError when the lengths do not add up.

    Open vSwitch gives back the fields of a match in an order of its own, and `vlan_tci` as VLAN_VID where it can.
    """
    end = match_end(body)
    length = int.from_bytes(body[2:4], "big")
    fields = []
    place = 4
    while place < length:
        if length - place < 4 or (after := place + 4 + body[place + 3]) > length:
            raise ValueError(f"a match of {length} bytes has a field at {place} that does not end in it")
        fields.append(_plain(body[place:after]))
        place = after
    return Content(frozenset(filter(None, fields)), body[end:])


def _plain(field: bytes) -> bytes:
    """A field of a match in the one form; of a tag without its priority, which Open vSwitch gives back in part only."""
    header = field[:4]
    if header == _VLAN_VID:
        return _VLAN_VID_MASKED + field[4:] + _VLAN_VID_BITS
    if header in (_VLAN_TCI, _VLAN_TCI_MASKED):
        value, mask = field[4:6], field[6:8] or b"\xff\xff"
        value, mask = (bytes(map(and_, each, _VLAN_VID_BITS)) for each in (value, mask))
        return _VLAN_VID_MASKED + value + mask if any(mask) else b""
    if header == _IP_FRAG_MASKED and field[5] & _IP_FRAG_BITS == _IP_FRAG_BITS:
        return _IP_FRAG + field[4:5]
    return b"" if header == _VLAN_PCP else field


@dataclass(frozen=True)
class Reading:
    """What was read. `installed` is as it should be, or not known to be otherwise.

    `gone` was there before, of `altered` the instructions are those now, and `added` are flows with a cookie of ours
    that were never ours: they match something else than what bears that cookie. `foreign` have other cookies: nobody's
    business but whose they are.
    """

    installed: dict[Key, bytes | None]
    gone: tuple[Key, ...] = ()
    altered: Mapping[Key, bytes] = field(default_factory=dict)
    added: tuple[FlowStats, ...] = ()
    foreign: frozenset[Key] = frozenset()

    @property
    def changed(self) -> bool:
        """Whether somebody else changed anything."""
        return bool(self.gone or self.altered or self.added)


def judge(rows: Iterable[FlowStats], before: Bodies, given: Mapping[Key, Flow]) -> Reading:
    """What the flows of a switch are, beside what was there before and what it was given.

    Those that it was not given by us, as far as we remember, are what an earlier controller left: `installed`, for a
    plan to delete.
    """
    installed: dict[Key, bytes | None] = {}
    altered: dict[Key, bytes] = {}
    added, foreign = [], []
    # A plan deletes by cookie, whatever the priority: it would take the flow that has that cookie rightly.
    ours = {(table, cookie) for table, _, cookie in given}
    for row in rows:
        if not owned(row.cookie):
            foreign.append(row.key)
        if not owned(row.cookie) or learned(row.key):
            continue
        known = before.get(row.key)
        flow = given.get(row.key)
        if flow is None and (row.table, row.cookie) in ours:
            added.append(row)
            continue
        if flow is None or row.body == known:
            installed.setdefault(row.key, row.body)
            continue
        wanted, found = content(body_of(flow)) if known is None else content(known), content(row.body)
        if found == wanted:
            installed[row.key] = row.body
        elif found.match == wanted.match:
            altered[row.key] = found.instructions
        else:
            added.append(row)
    there = installed.keys() | altered.keys()
    gone = tuple(sorted(key for key in before if key not in there))
    return Reading(installed, gone, altered, tuple(added), frozenset(foreign))


def told(reading: Reading, given: Mapping[Key, Flow]) -> str:
    """What was changed, in words."""
    parts = []
    for what, keys in (
        ("deleted", reading.gone),
        ("altered", tuple(reading.altered)),
        ("added", [row.key for row in reading.added]),
    ):
        if keys:
            shown = [_named(key, None if what == "added" else given.get(key)) for key in keys[:_NAMED]]
            if what == "altered":
                made = (actions_text(reading.altered[key]) for key in keys)
                shown = [f"{each}, made {other}" for each, other in zip(shown, made, strict=False)]
            more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
            parts.append(f"{len(keys)} {what} ({'; '.join(shown)}{more})")
    return ", ".join(parts)


def foreign_text(keys: Iterable[Key]) -> str:
    """Flows that are not ours, in words."""
    rows = [_named(key, None) for key in sorted(keys)]
    if not rows:
        return "all flows on br-int are ours again"
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    flows, are = ("1 flow", "is") if len(rows) == 1 else (f"{len(rows)} flows", "are")
    return f"{flows} on br-int {are} not ours, and {are} left alone: {'; '.join(rows[:_NAMED])}{more}"


def _named(key: Key, flow: Flow | None) -> str:
    table, priority, cookie = key
    return text.brief(flow) if flow is not None else f"table={table},priority={priority},cookie={cookie:#x}"
