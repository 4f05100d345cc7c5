"""How much of something one party may have: so many at once, and so many a second. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Budget:
    """`rate` a second, and up to `burst` that were saved. Times are seconds of a clock that only rises."""

    rate: float
    burst: float
    _left: float | None = None
    _at: float = 0.0

    def left(self, now: float) -> float:
        """How much there is now; less than nothing where more was taken."""
        saved = self.burst if self._left is None else self._left + (now - self._at) * self.rate
        self._left, self._at = min(self.burst, saved), now
        return self._left

    def take(self, amount: float, now: float) -> float:
        """Take it, even where there is not so much; the seconds to wait until nothing is owed, mostly 0."""
        self._left = self.left(now) - amount
        return max(0.0, -self._left / self.rate)
