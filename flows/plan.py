"""What to send = plan(desired, installed): a set difference, in an order that never opens a gap.

`installed` is the set of keys of our flows on the switch. A key holds the flow's content hash, so a flow
that did not change is in both sets and is not touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from flows.flow import Flow, kind_of
from flows.tables import FDB, FLOOD, TOLD_TABLE, Kind

Key = tuple[int, int, int]
"""(table id, priority, cookie) of a flow."""
_LEARNED: Final = {(FDB.id, Kind.LEARNED), (TOLD_TABLE.id, Kind.TOLD)}
"""Table and kind of the flows that `learn` writes."""
LEARNED_TABLES: Final = frozenset(table for table, _ in _LEARNED)
"""The tables that `learn` writes to."""
_TO_ALL: Final = (FLOOD.id, Kind.FLOOD_FROM_PORT)


@dataclass(frozen=True)
class Plan:
    """Flows to add, then keys of flows to delete.

    The last tables are filled first, so a packet meets a new path only when the path is whole; the first
    tables are emptied first, so it leaves an old path before that is taken apart.
    """

    adds: tuple[Flow, ...]
    deletes: tuple[Key, ...]

    def __bool__(self) -> bool:
        return bool(self.adds or self.deletes)


def plan(desired: Iterable[Flow], installed: Collection[Key]) -> Plan:
    """The adds and deletes that turn `installed` into `desired`; learned flows are left to the switch."""
    wanted = {flow.key: flow for flow in desired}
    adds = sorted(
        (flow for key, flow in wanted.items() if key not in installed),
        key=lambda flow: (-flow.table.id, -flow.priority, flow.match),
    )
    stale = sorted(key for key in installed if key not in wanted and not learned(key))
    return Plan(tuple(adds), tuple(stale))


def removable(todo: Plan, refused: Collection[Key]) -> tuple[Key, ...]:
    """The deletes of a plan, some adds of which were refused.

    A flow to all members that does not fit leaves the one before in its place: some are then missing, and not all.
    """
    if not any((table, kind_of(cookie)) == _TO_ALL for table, _, cookie in refused):
        return todo.deletes
    return tuple(key for key in todo.deletes if (key[0], kind_of(key[2])) != _TO_ALL)


def learned(key: Key) -> bool:
    """Whether this is the key of a flow that the switch learned by itself."""
    return (key[0], kind_of(key[2])) in _LEARNED
