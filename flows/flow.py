"""Flows and their actions as frozen values: what `compile` returns and everything after it reads.

`flow()` is the one way to make a flow; it holds each against the pipeline's declaration in `flows.tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final

from flows.fields import FIELDS
from flows.tables import Kind, Table

OWNER: Final = 0x0E7
"""The top 12 bits of each of our cookies: how a fresh controller knows a flow for ours."""
OWNER_COOKIE: Final = OWNER << 52
OWNER_MASK: Final = 0xFFF << 52
KIND_SHIFT: Final = 44
_HASH_MASK: Final = (1 << KIND_SHIFT) - 1

IN_PORT: Final = 0xFFFFFFF8
"""OFPP_IN_PORT: back out of the port a packet came from."""
CONTROLLER_PORT: Final = 0xFFFFFFFD
"""OFPP_CONTROLLER."""


@dataclass(frozen=True, slots=True)
class Output:
    """Send the packet out of a port (an ofport, or `IN_PORT`)."""

    port: int


@dataclass(frozen=True, slots=True)
class OutputField:
    """Send the packet out of the port whose number stands in a field."""

    field: str


@dataclass(frozen=True, slots=True)
class Controller:
    """Copy the packet to the controller, `max_len` bytes at the most, at the rate of a meter where one is named.

    Without a meter (0) it is a plain output. Open vSwitch 3.1 sends all bytes either way, whatever is asked for.
    """

    max_len: int
    meter: int = 0
    rate: int = 0
    burst: int = 0
    """What that meter lets pass, in packets per second, and packets at once."""


@dataclass(frozen=True, slots=True)
class SetField:
    """Write a constant into a field."""

    field: str
    value: int


@dataclass(frozen=True, slots=True)
class Move:
    """Copy one whole field into another of the same width, or the lowest `bits` of both where that is not 0."""

    source: str
    target: str
    bits: int = 0


@dataclass(frozen=True, slots=True)
class Meter:
    """Drop the packet when more come by than the meter lets pass: `rate` per second, and `burst` at once.

    Always the first action (it is an instruction in OpenFlow 1.4, section 5.9), and a flow has one at the most.
    """

    id: int
    rate: int
    burst: int


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Put an empty tag (VID 0) in front, of 802.1Q (0x8100) or 802.1ad (0x88a8)."""

    ethertype: int = 0x8100


@dataclass(frozen=True, slots=True)
class PopVlan:
    """Take the outermost tag off."""


@dataclass(frozen=True, slots=True)
class Recirculate:
    """Go on as a datapath flow of its own, with the packet, its tunnel and its registers as they are.

    The steps of one datapath flow have 64 kB; beyond that Open vSwitch leaves out what is to leave by a tunnel. There
    is no action that says just this: an NSH header is put on and taken off again (ovs-actions(7), `encap`, `decap`).
    Behind it no field of the packet itself can be written.
    """


@dataclass(frozen=True, slots=True)
class CheckLarger:
    """Write into the lowest bit of a field whether the frame has more than so many octets (ovs-actions(7))."""

    octets: int
    field: str


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Look the packet up in a further table, then go on behind this action."""

    table: Table


@dataclass(frozen=True, slots=True)
class Goto:
    """Go on in a later table; always the last action."""

    table: Table


@dataclass(frozen=True, slots=True)
class LearnMatch:
    """A learned flow matches `target` = the packet's `source` field now, or a constant."""

    target: str
    source: str | int


@dataclass(frozen=True, slots=True)
class LearnLoad:
    """A learned flow writes the packet's `source` field as it is now, or a constant, into `target`.

    Where the widths differ the lower bits are taken.
    """

    target: str
    source: str | int


@dataclass(frozen=True, slots=True)
class Learn:
    """Add a flow made from the packet (ovs-actions(7), `learn`, with `limit` and `delete_learned`)."""

    table: Table
    cookie: int
    priority: int
    hard_timeout: int
    """Seconds since the last packet that taught the same."""
    limit: int
    """The most flows with this cookie; a packet that would add one more teaches nothing."""
    specs: tuple[LearnMatch | LearnLoad, ...]


Action = (
    Output | OutputField | Controller | SetField | Move | Meter | PushVlan | PopVlan | CheckLarger
    | Recirculate | Resubmit | Goto | Learn
)  # fmt: skip


@dataclass(frozen=True)
class Flow:
    """A flow of one table: what it matches, and what is done with what matches.

    `match` holds (field name, value, mask) sorted by name; a full match has the mask None.
    """

    table: Table
    kind: Kind
    priority: int
    match: tuple[tuple[str, int, int | None], ...]
    actions: tuple[Action, ...]

    @cached_property
    def cookie(self) -> int:
        """Owner bits, kind bits and a hash of the content: equal for equal flows, in every process."""
        content = repr((self.table.id, self.priority, self.match, self.actions)).encode()
        digest = int.from_bytes(blake2b(content, digest_size=8).digest(), "big")
        return OWNER_COOKIE | self.kind << KIND_SHIFT | digest & _HASH_MASK

    @property
    def key(self) -> tuple[int, int, int]:
        """(table id, priority, cookie): what is read back of a flow to know it again."""
        return (self.table.id, self.priority, self.cookie)


Written = int | str | tuple[int | str, int | str]
"""A value as written, or (value, mask)."""
Match = Mapping[str, Written]
"""What a flow matches, as written: a value by field name."""


def set_field(name: str, value: int | str) -> SetField:
    """A `SetField` from a value as written."""
    return SetField(name, FIELDS[name].value(value))


def flow(table: Table, kind: Kind, priority: int, match: Match, actions: Iterable[Action]) -> Flow:
    """A flow, held against the pipeline's declaration.

    Raises ValueError when a field is not declared for the table, a value does not fit, or a table is
    reached that the declaration does not name as next (which rules out jumps backwards).
    """
    rows = []
    for name in sorted(match):
        if name not in table.matches:
            raise ValueError(f"table {table.name} does not declare a match on {name}")
        written = match[name]
        mask: int | None = None
        if isinstance(written, tuple):
            mask = FIELDS[name].value(written[1])
            value = FIELDS[name].value(written[0])
            if not FIELDS[name].maskable or value & ~mask:
                raise ValueError(f"{name}: {written!r} is no masked value")
        else:
            value = FIELDS[name].value(written)
        rows.append((name, value, mask))
    done = tuple(actions)
    for place, action in enumerate(done):
        if isinstance(action, (Goto, Resubmit)) and action.table.name not in table.next:
            raise ValueError(f"table {table.name} does not declare {action.table.name} as next")
        if isinstance(action, Learn) and action.table.name not in table.teaches:
            raise ValueError(f"table {table.name} does not declare that it teaches {action.table.name}")
        if isinstance(action, Goto) and place != len(done) - 1:
            raise ValueError(f"table {table.name}: an action stands behind goto {action.table.name}")
        if isinstance(action, Meter) and place:
            raise ValueError(f"table {table.name}: meter {action.id} stands behind another action")
    return Flow(table, kind, priority, tuple(rows), done)


def owned(cookie: int) -> bool:
    """Whether a flow with this cookie is ours."""
    return cookie & OWNER_MASK == OWNER_COOKIE


def kind_of(cookie: int) -> Kind | None:
    """The kind of one of our flows by its cookie; None when it is not ours or a later version's."""
    if not owned(cookie):
        return None
    try:
        return Kind(cookie >> KIND_SHIFT & 0xFF)
    except ValueError:
        return None
