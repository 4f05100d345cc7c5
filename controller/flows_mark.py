"""What a chassis remembers of the flows that its switch had, so that whoever comes later sees what was changed. Pure.

A controller that begins anew knows what a switch should have, and not what of it is news: what is missing there may
never have been sent. Where it should have just what it had at last, somebody else took away what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from hashlib import blake2b
from typing import Final

from flows.meters import Rate
from flows.plan import Key

QUIET_S: Final = 30.0
"""Seconds for which the flows are the same before that is written down: they may change a hundred times a second."""

Had = tuple[Set[Key], Mapping[int, Rate]]
"""The keys of the flows that a switch is known to have, and its meters."""


def fingerprint(keys: Iterable[Key], meters: Mapping[int, Rate]) -> str:
    """Flows and meters in 16 hexadecimal digits."""
    return blake2b(repr((sorted(keys), sorted(meters.items()))).encode(), digest_size=8).hexdigest()


class FlowsMark:
    """What is to stand on one chassis."""

    def __init__(self) -> None:
        self._had: Had | None = None
        self._since = 0.0
        self._mark = ""

    def of(self, had: Had | None, written: str, now: float) -> str:
        """The mark, '' for none, where this stands there now; `now` in seconds of a clock that only rises."""
        if had is None:
            return written
        if self._had is None:
            self._mark, self._since = fingerprint(*had), now
            if self._mark != written:
                self._mark = ""
        elif had is not self._had and had != self._had:
            # What was left then would be said to be somebody else's work.
            self._mark, self._since = "", now
        self._had = had
        if not self._mark and now >= self._since + QUIET_S:
            self._mark = fingerprint(*had)
        return self._mark
