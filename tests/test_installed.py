"""What a switch is remembered to have: put right when somebody changes it, and never mistaken for right."""

from __future__ import annotations

from typing import Any, cast

import pytest

from controller.channel import Channel
from controller.flow_bytes import body_of
from controller.installed import Installed
from controller.wire import FlowStats
from flows.flow import Flow, Output, flow
from flows.plan import plan
from flows.tables import CLASSIFY, Kind


def one(port: int, *outputs: int) -> Flow:
    return flow(CLASSIFY, Kind.LOCAL_PORT, 100, {"in_port": port}, [Output(each) for each in outputs])


A, ALTERED = one(1, 2), body_of(one(1, 9))


class Switch:
    """A switch with one flow; `spells` is how it writes what it is sent, where that is not as we do."""

    def __init__(self, spells: bytes = b"") -> None:
        self.spells = spells
        self.body = b""
        self.sent = 0
        self.before_reading: list[tuple[bytes, bool]] = []
        """What somebody alters the flow to just before it is read back, and whether the switch tells of it."""
        self.installed = Installed("h1", cast(Channel, self))

    def watch(self) -> None: ...

    def delete(self, rows: Any) -> None: ...

    def read_meters(self) -> dict[int, Any]:
        return {}

    def stats(self, kind: Any = None, *, everybody: bool = False) -> list[FlowStats]:
        if not everybody and self.before_reading:
            self.alter(*self.before_reading.pop())
        table, priority, cookie = A.key
        return [FlowStats(table, priority, cookie, 0, 0, self.body)] if self.body else []

    def alter(self, body: bytes, told: bool = True) -> None:
        """Somebody does that; `told`: the switch tells of it."""
        self.body = body
        if told:
            self.installed.suspect()

    def reconcile(self) -> None:
        """What the reconciler does: read, where that is due, compare, send."""
        installed = self.installed
        installed.given = {A.key: A}
        if installed.begun:
            installed.read_again()
        else:
            installed.begin({}, False)
        todo = plan([A], installed.flows)
        if todo.adds:
            self.body, self.sent = self.spells or body_of(A), self.sent + 1
        installed.note(todo, ())


@pytest.mark.parametrize(("told", "times"), [(True, 3), (False, 1)])
def test_what_is_altered_between_its_repair_and_the_reading_is_repaired_too(told: bool, times: int) -> None:
    switch = Switch()
    switch.reconcile()
    for _ in range(times):
        switch.alter(ALTERED)
        switch.before_reading = [(ALTERED, told)]
        switch.reconcile()
        assert switch.body == ALTERED
    switch.reconcile()
    assert switch.body == body_of(A)
    switch.alter(ALTERED)
    switch.reconcile()
    assert switch.body == body_of(A)


def test_a_switch_that_writes_it_otherwise_is_not_sent_it_for_ever() -> None:
    switch = Switch(spells=ALTERED)
    for _ in range(6):
        switch.reconcile()
    assert switch.sent == 3, "at first, and twice more"
    switch.alter(body_of(one(1, 7)))
    switch.reconcile()
    assert switch.sent == 4
    for _ in range(3):
        switch.reconcile()
    assert switch.sent == 4
