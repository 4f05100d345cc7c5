"""Whether what the overlay database says is acted on, and why not. Pure but for memory.

`ovsdb.trust` says what speaks against it; here is for how long that stands, and when it is in doubt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.events import Event, about
from controller.shares import Shares
from flows.model import Binding
from ovsdb.marks import Mark
from ovsdb.snapshot import Declared, LastKnown
from ovsdb.trust import Missing, missing, missing_at_start, objection, same_rows

LOG = logging.getLogger("overlay.state")
DOUBTED: Final = 2
"""Beats of ours for which an objection is in doubt."""


@dataclass
class Trust:
    """What was read, and whether it may be acted on. `noted` is called when the answer is another.

    `read` is what the overlay database says, and `declared` what of that was last acted on; `current`: it can be read
    now; while it can't, chassis may well have seen more. `alarm` is why what it says is not acted on, '' when it is;
    while that is in doubt `doubts` is since which beat of ours, and `stood` whether it stands in the database by now;
    `suspect`: `declared` itself is what is objected to. `lost` is what has vanished from there, and nobody deleted it.
    """

    shares: Shares
    noted: Callable[[], None]
    read: Declared | None = None
    declared: Declared | None = None
    current: bool = True
    alarm: str = ""
    doubts: int | None = None
    suspect: bool = False
    stood: bool = False
    lost: frozenset[Missing] = field(default_factory=frozenset)

    @property
    def acts(self) -> bool:
        """Whether switches are to have what is declared: also in an alarm, where that was there before it."""
        return not (self.alarm and self.suspect)

    def begin(self, declared: Declared, last: LastKnown, marks: Mapping[str, Mark]) -> None:
        """Remember what is missing when we begin."""
        self.lost = missing_at_start(declared, last, marks)

    def consider(self, marks: Mapping[str, Mark], bindings: Iterable[Binding]) -> None:
        """Look whether what was read may be acted on. An objection stands until an operator overrules it.

        Writes go on meanwhile, and would soon have a lost or older database look like one that has gone on. Where
        there are other controllers it may be that we are behind, or the server that we read from: when something that
        we have written since then has come back to us, all that was written before has, and there is no doubt left.
        """
        if self.read is None or not self.current:
            return
        certain = self.alarm if self.doubts is None else ""
        if self.stood and not self.read.alarm:
            certain = ""  # who leads has taken it out: it was overruled, of which we may have seen only this
        self.stood = bool(self.read.alarm)
        alarm, doubts = certain or self.read.alarm, None
        if self.read.accepted:
            alarm = ""
        elif not alarm:
            alarm = objection(self.read, self.declared, marks, self._missing(self.read, bindings))
            doubts = self._doubt(alarm)
        if alarm and doubts is None and not certain:
            LOG.error("%s", alarm, extra=about(Event.ALARM, reason=alarm))
        elif certain and not alarm:
            LOG.info("the overlay database is acted on again", extra=about(Event.ALARM))
        if alarm and (self.declared is None or same_rows(self.read, self.declared)):
            self.suspect = True
        changed = (alarm, doubts is None) != (self.alarm, self.doubts is None)
        self.alarm, self.doubts = alarm, doubts
        self.shares.hurry = doubts is not None
        if changed:
            self.noted()

    def accept(self, declared: Declared, bindings: Iterable[Binding]) -> None:
        """It is acted on from here on, with these bindings until now."""
        self.lost = self._missing(declared, bindings)
        self.declared = declared
        self.suspect = bool(self.alarm)

    def _doubt(self, alarm: str) -> int | None:
        """From which beat of ours on an objection is in doubt; None where it is certain, or there is none."""
        if not alarm or self.shares.shared is None:
            return None
        since = self.shares.beats if self.doubts is None else self.doubts
        return since if self.shares.beats < since + DOUBTED else None

    def _missing(self, now: Declared, bindings: Iterable[Binding]) -> frozenset[Missing]:
        return missing(self.lost, now, self.declared, bindings) if self.declared is not None else self.lost
