"""What one switch has: read when it connects, remembered, and read again to find what somebody else changed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from time import monotonic
from typing import Final

from controller.channel import Channel, ChannelError
from controller.events import Event, about
from controller.readback import Reading, foreign_text, judge, told
from controller.wire import FlowStats
from flows import meters
from flows.flow import Flow, owned
from flows.meters import MeterPlan, Rate
from flows.plan import Key, Plan, removable

LOG: Final = logging.getLogger("overlay.installed")
REREAD_S: Final = 30
"""Seconds between full reads of a switch's flows, which find what somebody else changed and nobody told us."""
SUSPECTED_S: Final = 0.1
"""Seconds between two such reads where the switch tells of changes."""


class Installed:
    """The flows and meters of one connection's switch.

    `flows` holds our flows that are there and as they should be, with the body that was read back of each (None: not
    since we sent it); `given` is what the switch should have, by key. `begun`: the switch was read.
    """

    def __init__(self, chassis: str, channel: Channel) -> None:
        self._chassis = chassis
        self._channel = channel
        self._altered: frozenset[Key] = frozenset()
        self._spelled: dict[Key, bytes] = {}
        self._foreign: frozenset[Key] = frozenset()
        self._unsure = False
        self._seen: frozenset[Key] = frozenset()
        self._suspected = False
        self._reading_s = 0.0
        self._read_at = monotonic()
        self.begun = False
        self.given: dict[Key, Flow] = {}
        self.flows: dict[Key, bytes | None] = {}
        self.meters: dict[int, Rate | None] = {}

    @property
    def remark(self) -> str:
        """What others have there, in words; '' for nothing."""
        return foreign_text(self._foreign) if self._foreign else ""

    def begin(self, needed: Mapping[int, Rate], was_so: bool) -> None:
        """Read all of it, and have the switch tell of changes. Raises ChannelError.

        `was_so`: it had just what is `given` and these meters when somebody of ours was here last. Unless it has
        nothing of ours, and lost it all by itself, what is missing was taken away.
        """
        try:
            self._channel.watch()
        except ChannelError as error:
            extra = about(Event.NOT_TOLD, chassis=self._chassis, reason=str(error))
            what = "%s: changes by somebody else are seen every %d s only: %s"
            LOG.warning(what, self._chassis, REREAD_S, error, extra=extra)
        rows = self._rows()
        lasted = was_so and any(owned(row.cookie) for row in rows)
        if lasted:
            self.flows = dict.fromkeys(self.given)
        reading = self._judge(rows)
        self.meters = self._channel.read_meters()
        found = len(reading.installed)
        extra = about(Event.SWITCH_CONNECTED, chassis=self._chassis, found=found)
        LOG.info("%s: connected, %d of our flows found", self._chassis, found, extra=extra)
        self._tell_changed(reading, "while nobody was there")
        if lasted:
            self._tell_meters(needed, self.meters, "while nobody was there")
        self.begun = True

    def suspect(self) -> None:
        """The switch has told that somebody else changed its flows."""
        self._suspected = True

    def due(self) -> float:
        """When it is to be read again: now and then, or soon where somebody is at it.

        Who goes on and on does not keep us from anything else: most of the time is not spent on that.
        """
        soon = self._suspected or self._unsure
        return self._read_at + (max(SUSPECTED_S, 5 * self._reading_s) if soon else REREAD_S)

    def read_again(self) -> None:
        """Look for what somebody else changed, and tell; the next plan repairs it. Raises ChannelError."""
        if not self.begun:
            return
        reading = self._judge(self._rows())
        self._tell_changed(reading, "by somebody else")
        found = self._channel.read_meters()
        self._tell_meters(self.meters, found, "by somebody else")
        self.meters = found

    def _rows(self) -> list[FlowStats]:
        """All flows of everybody. Raises ChannelError."""
        self._suspected = False
        self._read_at = monotonic()
        return self._channel.stats(everybody=True)

    def _judge(self, rows: list[FlowStats]) -> Reading:
        """The flows that were read, without what was slipped in under a cookie of ours. Raises ChannelError."""
        try:
            reading = judge(rows, self.flows, self.given)
        except ValueError as error:
            raise self._channel.broken(f"what it says of its flows can't be read: {error}") from None
        self._reading_s = monotonic() - self._read_at
        if reading.added:
            self._channel.delete(reading.added)
        self.flows = reading.installed
        self._altered |= frozenset(reading.altered)
        self._tell_foreign(reading.foreign)
        return reading

    def _tell_changed(self, reading: Reading, when: str) -> None:
        """Tell of flows that somebody else changed, if any were."""
        if reading.changed:
            changed = told(reading, self.given)
            extra = about(Event.FLOWS_CHANGED, chassis=self._chassis, changed=changed)
            LOG.warning("%s: flows changed %s: %s", self._chassis, when, changed, extra=extra)

    def _tell_meters(self, before: meters.Found, found: meters.Found, when: str) -> None:
        """Tell that somebody else changed meters, if any are others now."""
        if meters.of_ours(found) != meters.of_ours(before):
            extra = about(Event.METERS_CHANGED, chassis=self._chassis)
            LOG.warning("%s: meters changed %s", self._chassis, when, extra=extra)

    def _tell_foreign(self, found: frozenset[Key]) -> None:
        """Tell of flows that are not ours and stay; one that stands where one of ours belongs is gone soon."""
        staying = found & self._seen
        self._seen, self._unsure = found, staying != found
        if staying != self._foreign:
            self._foreign = staying
            extra = about(Event.FLOWS_FOREIGN, chassis=self._chassis, number=len(staying))
            LOG.warning("%s: %s", self._chassis, foreign_text(staying), extra=extra)

    def note(self, todo: Plan, refused: Collection[Key]) -> None:
        """The plan was applied, but for what was refused. Raises ChannelError."""
        self.flows |= {flow.key: None for flow in todo.adds if flow.key not in refused}
        for key in removable(todo, refused):
            self.flows.pop(key, None)
        if todo:
            added, deleted = len(todo.adds), len(todo.deletes)
            extra = about(Event.FLOWS_APPLIED, chassis=self._chassis, added=added, deleted=deleted)
            LOG.info("%s: %d flows added, %d deleted", self._chassis, added, deleted, extra=extra)
        if self._altered:
            self._learn_spelling()

    def _learn_spelling(self) -> None:
        """Of flows that were just put right, take what is read back for right when it comes so for the second time.

        Another version of Open vSwitch may write what we sent in a way we don't know, and we would mend it for ever.
        But somebody may have changed it once more before it was read: the switch has told that by then.
        """
        found = {row.key: row.body for row in self._channel.stats() if row.key in self._altered}
        if not self._suspected:
            again = self._spelled.items() & found.items()
            self.flows |= {key: body for key, body in again if key in self.flows}
            self._spelled = found
        self._altered = frozenset()

    def note_meters(self, metering: MeterPlan, refused: Collection[int]) -> None:
        """Meters were added and changed, but for those refused; those to be deleted are there as long as flows."""
        self.meters |= {id: rate for id, rate in (*metering.adds, *metering.changes) if id not in refused}
        changed = len(metering.adds) + len(metering.changes) - len(refused)
        if changed or metering.deletes:
            deleted = len(metering.deletes)
            extra = about(Event.METERS_APPLIED, chassis=self._chassis, added=changed, deleted=deleted)
            LOG.info("%s: %d meters set, %d to delete", self._chassis, changed, deleted, extra=extra)

    def forget_meters(self, deleted: Iterable[int]) -> None:
        """Meters are gone."""
        for id in deleted:
            del self.meters[id]
