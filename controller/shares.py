"""Which chassis are ours, of several controllers that are at work at once. Pure but for memory.

Who lives is told by counting: a controller of which no new beat was read while we wrote `MISSED` of our own is dead.
While the database takes no writes, nobody's beats count, and nobody is taken for dead. Which of those that live is to
have a chassis is rendezvous hashing (Thaler and Ravishankar, 1998): each works it out alone, and when one comes or goes
no chassis changes hands but its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Final

from ovsdb.marks import LAST
from ovsdb.shared import Controller, Share, Shared

BEAT_S: Final = 0.5
"""Seconds between two of our beats while there are other controllers."""
ALONE_S: Final = 5.0
"""The same while there are none: one that comes makes itself known."""
MISSED: Final = 4
"""Beats of ours in which a controller that gives no sign of life is taken for dead."""
SETTLED: Final = 6
"""Beats of ours for which we must be the one that is to have a chassis before we take it from one that lives."""
LOST: Final = 8
"""Beats of ours for which a switch whose connection has ended counts as reached: it will be back in a moment."""


def rendezvous(chassis: str, controllers: Iterable[str]) -> str:
    """Which of these controllers is to have a chassis; '' of none."""

    def weight(controller: str) -> tuple[bytes, str]:
        return blake2b(f"{controller}\0{chassis}".encode(), digest_size=8).digest(), controller

    return max(controllers, key=weight, default="")


class Shares:
    """What is known of who has what. Until something was read, all is ours: there is nobody else.

    `beats` are those of ours that stand in the database, and `ticks` those of them that came in their time; in a
    `hurry` the next one does not wait.
    """

    def __init__(self, name: str = "", instance: str = "", openflow: str = "") -> None:
        """`openflow` is where switches reach us, '' where nobody has said so: then `openflow` is found out later."""
        self.name = name
        self.instance = instance
        self.shared: Shared | None = None
        self.openflow, self.named = openflow, bool(openflow)
        self.beats = 0
        self.ticks = 0
        self.hurry = False
        self._beat_at: float | None = None
        self._ticked_at: float | None = None
        self._heard: dict[str, tuple[tuple[str, int], int]] = {}
        self._won: dict[str, int] = {}
        self._outrun: dict[str, int] = {}
        self._reached: set[str] = set()
        self._lost: dict[str, int] = {}

    # -- what others tell

    def take(self, shared: Shared) -> None:
        """What stands in the database now."""
        self.shared = shared
        for name, row in shared.controllers.items():
            beat = (row.instance, row.beat)
            if name != self.name and self._heard.get(name, (None, 0))[0] != beat:
                self._heard[name] = (beat, self.ticks)
        for name in self._heard.keys() - shared.controllers.keys():
            del self._heard[name]
        self._outrun = {name: seen for name, seen in self._outrun.items() if seen > self.generation(name)}

    def lives(self, name: str) -> bool:
        """Whether a controller is at work."""
        if name == self.name:
            return True
        return name in self._heard and self.ticks - self._heard[name][1] < MISSED

    def live(self) -> list[str]:
        """All that are at work; we are."""
        return sorted({self.name, *filter(self.lives, self._heard)})

    def others(self) -> dict[str, Controller]:
        """The rows of the others, of those at work and of those that are not."""
        rows = self.shared.controllers if self.shared is not None else {}
        return {name: row for name, row in rows.items() if name != self.name}

    def share(self, chassis: str) -> Share:
        """What its owner tells of a chassis."""
        return self.shared.chassis.get(chassis, Share()) if self.shared is not None else Share(self.name)

    def mine(self, chassis: str) -> bool:
        """Whether a chassis is ours to write to."""
        return self.share(chassis).owner == self.name

    @property
    def leads(self) -> bool:
        """Whether we decide what concerns several chassis."""
        return self.shared is None or self.shared.leader == self.name

    def generation(self, chassis: str) -> int:
        """Of which generation we are its owner."""
        return self.share(chassis).generation

    def heard(self, chassis: str) -> bool:
        """Whether its owner has told what is plugged in there, since it has the chassis, or that it can't be asked."""
        share = self.share(chassis)
        return 0 < share.generation <= share.heard

    def noted(self, binding: str) -> str:
        """What another controller has seen of a binding of ours, '' for nothing."""
        for name, row in sorted(self.others().items()):
            if binding in row.notes and self.lives(name):
                return row.notes[binding]
        return ""

    # -- what we tell

    def reach(self, chassis: str, reached: bool) -> None:
        """A switch is connected to us, or not any more."""
        if reached:
            self._reached.add(chassis)
            self._lost.pop(chassis, None)
        elif chassis in self._reached:
            self._lost[chassis] = self.ticks

    def connected(self, chassis: str) -> bool:
        """Whether a switch is connected to us, its chassis being ours or not."""
        return chassis in self._reached and chassis not in self._lost

    def reaches(self) -> frozenset[str]:
        """The chassis that we reach."""
        gone = {name for name, since in self._lost.items() if self.ticks - since >= LOST}
        self._reached -= gone
        for name in gone:
            del self._lost[name]
        return frozenset(self._reached)

    def outrun(self, chassis: str, generation: int) -> None:
        """A chassis of ours has seen this generation, which is later than ours.

        It remembers what the database has forgotten, if that is an older copy; or the database will tell us soon that
        another controller has it.
        """
        if generation <= LAST:  # who says that it has seen more is not to be followed there, and has nobody to blame
            self._outrun[chassis] = generation

    def beat(self, now: float) -> int:
        """The beat to write at that time: one more where it is time for it."""
        pause = BEAT_S if self.others() else ALONE_S
        return self.beats + (self._beat_at is None or self.hurry or now >= self._beat_at + pause)

    def pause(self, now: float) -> float:
        """Seconds until the next beat."""
        pause = 0.01 if self.hurry else BEAT_S if self.others() else min(ALONE_S, 1.0)
        return pause if self._beat_at is None else min(pause, max(0.01, self._beat_at + pause - now))

    def wrote(self, beat: int, now: float) -> None:
        """That beat stands in the database."""
        if beat == self.beats:
            return
        self.beats, self._beat_at = beat, now
        if self._ticked_at is None or now >= self._ticked_at + BEAT_S:
            self.ticks, self._ticked_at = self.ticks + 1, now

    def claims(self) -> dict[str, int]:
        """The chassis that we are to take, or have already, with their generation-to-be."""
        if self.shared is None:
            return {}
        live, found = self.live(), {}
        reached = {name: row.reaches for name, row in self.others().items()} | {self.name: self.reaches()}
        for chassis, share in self.shared.chassis.items():
            if self._is_to_have(chassis, share, live, reached):
                found[chassis] = max(share.generation, self._outrun.get(chassis, 0)) + 1
        return found

    def _is_to_have(
        self, chassis: str, share: Share, live: Collection[str], reached: Mapping[str, Collection[str]]
    ) -> bool:
        if share.owner == self.name:
            self._won.pop(chassis, None)
            return chassis in self._outrun
        near = [name for name in live if chassis in reached.get(name, ())]
        if rendezvous(chassis, near or live) != self.name:
            self._won.pop(chassis, None)
            return False
        if share.owner not in live:
            return True
        if not near:
            return False  # nobody could do better
        return self.ticks - self._won.setdefault(chassis, self.ticks) >= SETTLED

    def takes_lead(self) -> bool:
        """Whether we are to decide, and do not yet."""
        if self.shared is None or self.leads or self.lives(self.shared.leader):
            return False
        return rendezvous("", self.live()) == self.name
