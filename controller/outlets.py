"""Where networks go on outside of the overlay at present: what makes sure that no network does so in two places.

An outlet counts as open from before its first flow (it is written down first, and so outlives us) until the switch of
its chassis has confirmed flows without it, or an operator has taken the chassis out of the overlay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from flows.bind import Exit, Outlet, Outlets


@dataclass
class OpenOutlets:
    """The store. `last` are the interfaces that outlets were at when the controller last wrote that down."""

    last: tuple[Exit, ...] = ()
    follows: bool = False
    """Whether another controller decides; then what is open is what that one says."""
    _since: dict[Outlet, int | None] = field(default_factory=dict)
    """From which version of the overlay on an outlet is not in it any more; None while it is, or is to be."""
    _noted: set[Outlet] = field(default_factory=set)
    _bound: frozenset[Outlet] = frozenset()

    def remember(self, written: Iterable[tuple[Outlet, Exit]]) -> None:
        """What stands in the overlay database at the start."""
        pairs = tuple(written)
        self.last = tuple(exit_ for _, exit_ in pairs)
        self._since = {outlet: None for outlet, _ in pairs}
        self._noted = {outlet for outlet, _ in pairs}

    def resume(self, published: Mapping[Outlet, bool]) -> None:
        """What stands in the overlay database: it is open, or (False) about to be closed."""
        self._since = {outlet: None if open_ else 0 for outlet, open_ in published.items()}
        self._noted = {outlet for outlet, open_ in published.items() if open_}

    def published(self) -> dict[Outlet, bool]:
        """What is to stand there."""
        return {outlet: since is None for outlet, since in self._since.items()}

    def known(self, stuck: Mapping[str, str]) -> Outlets:
        """What is known of them; `stuck` says of a chassis why it can't be told anything."""
        return Outlets(frozenset(self._since), frozenset(self._noted), stuck)

    def keep(self, bound: Collection[Outlet], opening: Collection[Outlet], version: int) -> bool:
        """What the overlay of that version has; whether anything is to be written down."""
        self._bound = frozenset(bound)
        if self.follows:
            return False
        new = set(opening) - self._since.keys()
        for outlet in (*bound, *opening):
            self._since[outlet] = None
        for outlet, since in self._since.items():
            if since is None and outlet not in bound and outlet not in opening:
                self._since[outlet] = version
        return bool(new)

    def note(self, outlets: Iterable[Outlet]) -> bool:
        """They are written down; whether one may open now that might not before."""
        before = len(self._noted)
        self._noted |= set(outlets) & self._since.keys()
        return len(self._noted) > before

    def confirm(self, chassis: str, version: int) -> bool:
        """A switch has the flows of that version and no others; whether an outlet is closed now."""
        return not self.follows and self._close(
            outlet
            for outlet, since in self._since.items()
            if outlet.chassis == chassis and since is not None and since <= version
        )

    def leave(self, chassis: str) -> bool:
        """A chassis has left the overlay, or is as good as gone; whether an outlet is closed now."""
        return not self.follows and self._close(outlet for outlet in self._since if outlet.chassis == chassis)

    def at(self, chassis: str) -> frozenset[Outlet]:
        """Those of a chassis."""
        return frozenset(outlet for outlet in self._since if outlet.chassis == chassis)

    def settled(self, chassis: str) -> bool:
        """Whether none of a chassis is about to open or to close."""
        return self.at(chassis) <= self._bound

    def _close(self, outlets: Iterable[Outlet]) -> bool:
        closed = set(outlets)
        for outlet in closed:
            del self._since[outlet]
        self._noted -= closed
        return bool(closed)

    def all(self) -> frozenset[Outlet]:
        """Every one that is open, is to open, or may not have closed yet."""
        return frozenset(self._since)
