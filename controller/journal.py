"""The loop that logs what was decided: a moment after it was, so that flows go first."""

from __future__ import annotations

import logging
from typing import Final

from ryu.lib import hub

from controller.decisions import Moment, decisions
from controller.events import Event, about
from controller.state import State

LOG: Final = logging.getLogger("overlay.journal")
LOOK_S: Final = 0.1
"""Seconds in which what happens is gathered; what is done and undone within is not told."""


class Journal:
    """What was told last, and what is to be told now."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._woken = hub.Event()
        self._told: Moment | None = None
        self.turns = 0

    def wake(self) -> None:
        """Something may have been decided."""
        self._woken.set()

    def run(self) -> None:
        """The loop; never returns."""
        while True:
            self.turns += 1
            self._woken.wait(timeout=10)
            hub.sleep(LOOK_S)
            self._woken.clear()
            self._tell()

    def _tell(self) -> None:
        state = self._state
        if self._told is None and not state.complete:
            return  # what is heard at the start was decided before
        ours = {name: known.state for name, known in state.chassis.items() if not known.foreign}
        now = Moment(state.overlay, ours)
        if self._told is None:
            ports, chassis = len(now.overlay.bindings), len(now.states)
            keys = about(Event.BASELINE, ports=ports, chassis_known=chassis)
            LOG.info("begins with %d ports on %d chassis", ports, chassis, extra=keys)
            self._told = Moment(now.overlay)
        for text, extra in decisions(self._told, now):
            LOG.info("%s", text, extra=extra)
        self._told = now
