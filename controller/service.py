"""What the supervisor is told (sd_notify(3)): that we serve, and that every loop goes on turning.

It is told by a loop that turns with all others, so whoever keeps them from turning keeps it silent too, and a
supervisor that hears nothing for some time kills and restarts us. Switches go on forwarding meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from greenlet import greenlet
from ryu.lib import hub

from controller.events import Event, about

LOG: Final = logging.getLogger("overlay.service")
TURN_S: Final = 1.0
"""Seconds between two looks at the loops."""
STUCK_TURNS: Final = 90
"""Looks after which a loop that did not turn counts as stuck. Each turns within 30 s, and waits 15 s for an answer."""
START_S: Final = 30
"""Seconds by which the time to start is extended at each look, while the overlay database is waited for."""
SOCKET: Final = "NOTIFY_SOCKET"


class Turning(Protocol):
    """A loop that counts how often it has begun anew."""

    turns: int


def notify(*lines: str) -> bool:
    """Tell the supervisor; whether there is one that hears."""
    place = os.environ.get(SOCKET, "")
    if not place:
        return False
    address = "\0" + place[1:] if place.startswith("@") else place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        try:
            out.sendto("\n".join(lines).encode(), address)
        except OSError:
            return False  # it goes without saying from then on
    return True


@dataclass
class Turns:
    """How often each loop had turned at the last look, and for how many looks it has not. Pure but for memory."""

    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)

    def look(self, loops: Mapping[str, Turning]) -> list[str]:
        """The loops that are stuck, sorted. Looks are counted, not seconds: who is stopped as a whole is not stuck."""
        before, self._seen = self._seen, {}
        for name, loop in loops.items():
            turns, still = before.get(name, (-1, 0))
            self._seen[name] = (loop.turns, still + 1 if loop.turns == turns else 0)
        return sorted(name for name, (_, still) in self._seen.items() if still >= STUCK_TURNS)


class Service:
    """The loop that tells. On SIGUSR1 it logs how much is kept and waits."""

    def __init__(
        self,
        loops: Callable[[], Mapping[str, Turning]],
        serves: Callable[[], bool],
        counts: Callable[[], Mapping[str, int]],
    ) -> None:
        """`serves`: whether the overlay database was read; switches are listened for before this is made."""
        self._loops, self._serves, self._counts = loops, serves, counts
        self._turns = Turns()
        self._ready = self._asked = False
        self._stuck: list[str] = []
        signal.signal(signal.SIGUSR1, self._ask)
        signal.signal(signal.SIGTERM, self._end)

    def _ask(self, *_: object) -> None:
        # No more than that: a signal comes in the middle of anything, of a log line as well.
        self._asked = True

    def _end(self, number: int, _: object) -> None:
        with contextlib.suppress(RuntimeError):  # in the middle of another line
            LOG.info("ends: %s", signal.Signals(number).name, extra=about(Event.ENDING))
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def run(self) -> None:
        """The loop; never returns."""
        while True:
            self._look()
            hub.sleep(TURN_S)

    def _look(self) -> None:
        if self._asked:
            self._asked = False
            found = {"greenthreads": greenthreads(), **self._counts()}
            said = " ".join(f"{name}={number}" for name, number in sorted(found.items()))
            LOG.info("counts: %s", said, extra=about(Event.COUNTS, counted=found))
        stuck = self._turns.look(self._loops())
        if stuck and stuck != self._stuck:
            what = "a loop does not turn any more, of %s; the supervisor is told nothing"
            LOG.error(what, ", ".join(stuck), extra=about(Event.LOOP_STUCK, loops=stuck))
        self._stuck = stuck
        if not stuck and not self._ready and self._serves():
            self._ready = True
            LOG.info("serving", extra=about(Event.SERVING))
            notify("READY=1", "STATUS=serving")
        if not stuck:
            notify("WATCHDOG=1" if self._ready else f"EXTEND_TIMEOUT_USEC={START_S * 1_000_000}")


def greenthreads() -> int:
    """How many there are that have not ended."""
    # By type(): isinstance() asks a weak proxy for the class of what may be gone.
    return sum(issubclass(type(each), greenlet) and not each.dead for each in gc.get_objects())
