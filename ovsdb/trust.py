"""Whether what the overlay database says now may be acted on, or is a loss that must not reach the switches.

A copy that is older than what a chassis has seen, and declared ports that vanished although nobody deleted
them, are signs of a restored, damaged or emptied database (ovsdb-server serves what is left of a file). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ovsdb.marks import Mark, mark_of
from ovsdb.snapshot import Declared

LOSS: Final = (10, 0.2)
"""Ports that may vanish at once without a deletion having been counted: this many, or this share, whichever is more."""
ADVICE: Final = "nothing is changed on any chassis; if it is intended: overlayctl db-accept"


def objection(now: Declared, accepted: Declared | None, marks: Mapping[str, Mark]) -> str:
    """Why `now` is not to be acted on, '' when it may be.

    `accepted` is what was acted on last, None at the start; `marks` are what the chassis have seen.
    """
    here = mark_of(now)
    ahead = sorted(name for name, mark in marks.items() if mark.later_than(here))
    if ahead:
        seen = max((marks[name] for name in ahead), key=lambda mark: (mark.epoch, mark.nb_cfg))
        return (
            f"the overlay database is an older copy: it is at epoch {here.epoch}, change {here.nb_cfg}, and chassis "
            f"{', '.join(ahead)} has seen epoch {seen.epoch}, change {seen.nb_cfg}; {ADVICE}"
        )
    if accepted is None or not (accepted.chassis or accepted.ports):
        return ""
    if accepted.database_id not in ("", now.database_id):
        return (
            f"the overlay database is another one than before (it was {accepted.database_id}, and is "
            f"{now.database_id or 'empty'}); nothing is changed on any chassis; "
            "if it is intended: restart the controller"
        )
    gone = len(accepted.ports.keys() - now.ports.keys())
    if now.epoch <= accepted.epoch and gone > max(LOSS[0], LOSS[1] * len(accepted.ports)):
        return (
            f"{gone} of {len(accepted.ports)} declared ports vanished from the overlay database, "
            f"and nobody deleted them; {ADVICE}"
        )
    return ""


def beyond(now: Declared, marks: Mapping[str, Mark]) -> tuple[int, int]:
    """The (epoch, nb_cfg) that is later than anything a chassis has seen of this database."""
    seen = [mark_of(now), *(mark for mark in marks.values() if mark.database_id == now.database_id)]
    return max(mark.epoch for mark in seen) + 1, max(mark.nb_cfg for mark in seen) + 1
