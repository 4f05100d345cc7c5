"""Meters that flows need, and what to change for them: the same set difference as for flows. Pure.

A meter says nothing of who made it, as a flow does by its cookie. Ours are those with an id up to `LAST` that look as
ours do; nobody else's are ever changed or deleted (docs/decisions/0020-meters.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from flows.flow import Controller, Flow, Meter

LAST: Final = 3 * 65536 - 1
"""The last id that may be ours: three sorts of meters, 65536 ids apart, each with one for any ofport."""

_HIGHEST: Final = (1 << 32) - 1
"""The highest rate and burst that a band can say (section 7.3.4.4)."""
Rate = tuple[int, int]
"""What a meter lets pass: packets per second, and at once."""
Found = Mapping[int, Rate | None]
"""The meters of a switch by their ids; None is one that does not just drop what is beyond a rate of packets."""


@dataclass(frozen=True)
class MeterPlan:
    """Meters to add and to change before flows are added, and ids to delete after flows were deleted.

    Deleting a meter deletes the flows that use it (OpenFlow 1.4, section 7.3.4.4).
    """

    adds: tuple[tuple[int, Rate], ...] = ()
    changes: tuple[tuple[int, Rate], ...] = ()
    deletes: tuple[int, ...] = ()
    taken: tuple[int, ...] = ()
    """Ids that are needed, but somebody else has a meter there."""

    def __bool__(self) -> bool:
        return bool(self.adds or self.changes or self.deletes)


def used(flow: Flow) -> dict[int, Rate]:
    """The meters that a flow uses, by id. Raises ValueError when one id has two rates, or one that can't be ours."""
    found: dict[int, Rate] = {}
    for action in flow.actions:
        if isinstance(action, Meter):
            _put(found, action.id, (action.rate, action.burst))
        elif isinstance(action, Controller) and action.meter:
            _put(found, action.meter, (action.rate, action.burst))
    return found


def needed(flows: Iterable[Flow]) -> dict[int, Rate]:
    """The meters that flows use, by id. Raises ValueError as `used` does."""
    found: dict[int, Rate] = {}
    for flow in flows:
        for id, rate in used(flow).items():
            _put(found, id, rate)
    return found


def _put(found: dict[int, Rate], id: int, rate: Rate) -> None:
    if not 1 <= id <= LAST:
        raise ValueError(f"meter {id} is not in 1..{LAST}, the ids that are ours")
    if not all(1 <= number <= _HIGHEST for number in rate):
        raise ValueError(f"meter {id} with rate {rate[0]} and burst {rate[1]}: both must be in 1..{_HIGHEST}")
    if found.setdefault(id, rate) != rate:
        raise ValueError(f"meter {id} is needed with (rate, burst) {found[id]} and with {rate}: one id has one rate")


def plan(desired: Mapping[int, Rate], installed: Found) -> MeterPlan:
    """What turns the meters that a switch has into those that are needed, by id."""
    wanted = sorted(desired.items())
    return MeterPlan(
        tuple((id, rate) for id, rate in wanted if id not in installed),
        tuple((id, rate) for id, rate in wanted if installed.get(id) not in (None, rate)),
        tuple(sorted(id for id, rate in installed.items() if 1 <= id <= LAST and rate and id not in desired)),
        tuple(id for id, _ in wanted if id in installed and installed[id] is None),
    )


def of_ours(found: Found) -> dict[int, Rate | None]:
    """The meters with ids that may be ours."""
    return {id: rate for id, rate in found.items() if id <= LAST}
