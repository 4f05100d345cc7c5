"""When what the overlay database says is not acted on: an older copy, a loss, another database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.shares import Shares
from controller.state import State
from flows.model import Chassis, Network, Plug, Port, Vtep
from ovsdb.marks import LAST, Mark, generation, parse
from ovsdb.shared import Controller, Share, Shared
from ovsdb.snapshot import ChassisRow, Declared, LastKnown, Plugged
from ovsdb.trust import missing, objection


def declared(ports: int = 50, epoch: int = 3, nb_cfg: int = 100, database_id: str = "one") -> Declared:
    names = [f"p{number}" for number in range(ports)]
    return Declared(
        {"h1": ChassisRow(Chassis("h1", (Vtep("192.0.2.1"),)), "tcp:198.51.100.1:6640")},
        {"red": Network("red", "acme", 100)},
        {name: Port(name, "red", f"02:00:00:00:01:{place:02x}") for place, name in enumerate(names)},
        nb_cfg=nb_cfg,
        database_id=database_id,
        epoch=epoch,
    )


@pytest.mark.parametrize(
    ("now", "accepted", "mark", "words"),
    [
        (declared(), declared(), Mark("one", 3, 100), ""),
        (declared(), None, Mark("one", 3, 99), ""),
        (declared(), None, Mark("one", 3, 101), "an older copy: it is at epoch 3, change 100, and chassis h1 has seen"),
        (declared(), None, Mark("one", 4, 1), "an older copy"),
        (declared(), None, Mark("two", 9, 999), ""),  # another database's chassis: said of the chassis, not of us
        (declared(ports=40), declared(), None, ""),  # 20 % is not more than 20 %
        (declared(ports=39), declared(), None, "11 of 50 declared ports vanished from the overlay database"),
        (declared(ports=39, epoch=4), declared(), None, ""),
        (declared(ports=1), declared(ports=10), None, ""),
        (declared(ports=0), declared(ports=2), None, "2 of 2 declared ports vanished"),
        (declared(ports=0), declared(ports=1), None, ""),
        (declared(ports=0), declared(ports=11), None, "11 of 11 declared ports vanished"),
        (declared(database_id="two"), declared(), None, "is another one than before"),
        (declared(database_id=""), declared(), None, "and is empty"),
        (declared(nb_cfg=99), declared(), None, "it is at epoch 3, change 99, and was at epoch 3, change 100 before"),
        (declared(epoch=2, nb_cfg=101), declared(), None, "an older copy"),
        (declared(), declared(database_id=""), None, ""),
    ],
)
def test_objection(now: Declared, accepted: Declared | None, mark: Mark | None, words: str) -> None:
    lost = missing(frozenset(), now, accepted, ()) if accepted is not None else frozenset()
    said = objection(now, accepted, {"h1": mark} if mark is not None else {}, lost)
    assert words in said
    assert bool(said) == bool(words)


def test_a_mark_is_read_back_or_not_at_all() -> None:
    mark = Mark("5e3f", 12, 345)
    assert parse(str(mark)) == mark
    for written in (None, "", "x", "a b c", "a 1", "a 1 2 3", "a -1 2", "a 1 ²"):
        assert parse(written) is None


def test_a_chassis_can_not_make_up_a_number_that_no_database_counts_beyond() -> None:
    """It would have every write refused that goes beyond it, of the operator who accepts and of every controller."""
    assert parse(f"one {LAST} 1") == Mark("one", LAST, 1)
    for number in (LAST + 1, 2**63, "9" * 5000):
        assert parse(f"one {number} 1") is None
        assert parse(f"one 1 {number}") is None
        assert generation(f"{number} amber") == 0
    shares = Shares("amber")
    shares.take(Shared({}, {"h1": Share("amber", 3)}))
    shares.outrun("h1", 2**64 - 1)
    assert shares.claims() == {}
    shares.outrun("h1", 7)
    assert shares.claims() == {"h1": 8}


def test_a_loss_stops_everything_until_it_is_said_to_be_meant() -> None:
    told: list[str] = []
    state = State(changed=lambda: told.append("changed"), noted=lambda: None)
    state.declare(declared(), LastKnown())
    plugs = (Plug("h1", "vm1", 1, iface_id="p0"), Plug("h1", "vm2", 2, iface_id="p49"))
    state.plug("h1", Plugged(plugs, mark="one 3 100"))
    before, told[:] = state.overlay, []
    state.declare(declared(ports=1), LastKnown())
    assert "49 of 50 declared ports vanished" in state.status().alarm
    assert state.overlay == before
    assert told == []
    state.declare(declared(ports=1, epoch=9), LastKnown())
    assert state.status().alarm, "what goes on being written does not make it good"
    state.declare(replace(declared(ports=1, epoch=9), accepted=True), LastKnown())
    assert state.status().alarm == ""
    assert state.status().accepted == (10, 101)
    assert [binding.port for binding in state.overlay.bindings] == ["p0"]
    assert told, "whoever was held up goes on"


def test_an_objection_outlives_the_controller() -> None:
    state = State(changed=lambda: None, noted=lambda: None)
    state.declare(replace(declared(), alarm="as it stood there"), LastKnown())
    state.plug("h1", Plugged((), mark="one 3 90"))
    assert state.status().alarm == "as it stood there"


def test_an_older_copy_at_the_start_touches_nothing_until_it_is_accepted() -> None:
    state = State(changed=lambda: None, noted=lambda: None)
    state.declare(declared(nb_cfg=90), LastKnown())
    state.plug("h1", Plugged((), mark="one 3 100"))
    assert "an older copy" in state.status().alarm
    state.declare(declared(nb_cfg=200), LastKnown())
    assert "an older copy: it is at epoch 3, change 90" in state.status().alarm
    state.declare(replace(declared(nb_cfg=95), accepted=True), LastKnown())
    assert state.status().alarm == ""
    assert state.status().accepted == (4, 101), "later than what h1 has seen"


def test_while_the_database_is_away_chassis_may_have_seen_more() -> None:
    """Another controller has taken over, and told them."""
    state = State(changed=lambda: None, noted=lambda: None)
    state.declare(declared(), LastKnown())
    state.trust.current = False
    state.plug("h1", Plugged((), mark="one 3 101"))
    assert state.status().alarm == ""
    state.trust.current = True
    state.declare(declared(nb_cfg=101), LastKnown())
    assert state.status().alarm == ""
    state.plug("h1", Plugged((), mark="one 3 102"))
    assert "an older copy" in state.status().alarm


def running(now: Declared, *plugs: Plug, mark: str = "one 3 100") -> State:
    """A controller that acts on this, with h1 heard."""
    state = State(changed=lambda: None, noted=lambda: None)
    state.declare(now, LastKnown())
    state.plug("h1", Plugged(plugs, mark=mark))
    assert state.status().alarm == ""
    return state


def test_little_by_little_is_no_way_around_it() -> None:
    """Five at a time, none of which anybody deleted: the third time it is too many."""
    state = running(declared())
    for number in (45, 40):
        state.declare(declared(ports=number, nb_cfg=200 - 2 * number), LastKnown())
        assert state.status().alarm == ""
        assert len(state.declared.ports) == number
        state.declare(declared(ports=number, nb_cfg=201 - 2 * number), LastKnown())  # somebody writes something else
    state.declare(declared(ports=35, nb_cfg=200), LastKnown())
    assert state.status().alarm.startswith("15 of 50 declared ports vanished")
    assert len(state.declared.ports) == 40


def test_what_comes_back_is_not_missing_and_what_is_deleted_is_no_loss() -> None:
    state = running(declared())
    for number, epoch in ((41, 3), (50, 3), (41, 3), (40, 4), (31, 4)):
        state.declare(declared(ports=number, epoch=epoch, nb_cfg=101), LastKnown())
        assert state.status().alarm == "", (number, epoch)


@pytest.mark.parametrize(("table", "words"), [("chassis", "with chassis h2,"), ("networks", "with network red,")])
def test_a_chassis_or_a_network_may_not_vanish_either(table: str, words: str) -> None:
    """Ports that nobody declared vanish with those, and are ports of tenants."""
    two = ChassisRow(Chassis("h2", (Vtep("192.0.2.2"),)), "tcp:198.51.100.2:6640")
    now = replace(declared(ports=0), chassis={**declared().chassis, "h2": two})
    state = running(now)
    state.plug("h2", Plugged(tuple(Plug("h2", f"vm{number}", number, vni="100") for number in range(1, 12))))
    before = state.overlay
    less = {name: row for name, row in getattr(now, table).items() if name not in ("h2", "red")}
    state.declare(replace(now, nb_cfg=101, **{table: less}), LastKnown())
    assert f"11 of 11 ports, {words} vanished from the overlay database" in state.status().alarm
    assert state.overlay == before
    state.declare(replace(now, nb_cfg=101, epoch=4, accepted=True, **{table: less}), LastKnown())
    assert (state.status().alarm, state.overlay.bindings) == ("", ())


@pytest.mark.parametrize(
    ("epoch", "seen", "words"),
    [
        (3, "one 3 90", "11 of 21 declared ports vanished"),
        (4, "one 3 90", ""),
        (3, "two 3 90", ""),
        (3, "", ""),
    ],
)
def test_what_vanished_while_nobody_was_there_is_missing_too(epoch: int, seen: str, words: str) -> None:
    """A controller that has just begun remembers nothing; what was bound stands in the database, and its epoch."""
    held = {f"p{number}": (("h1", f"vm{number}"),) for number in range(21)}
    shared = Shared({"": Controller()}, {"h1": Share("", 1, seen=seen)}, "")
    state = State(changed=lambda: None, noted=lambda: None)
    state.declare(declared(ports=10, epoch=epoch), LastKnown(held=held), shared)
    state.plug("h1", Plugged(mark=f"one {epoch} 90"))
    assert words in state.trust.alarm
    assert bool(state.trust.alarm) == bool(words)


def test_one_that_went_back_is_known_by_whoever_has_acted_on_it() -> None:
    """Also where the chassis have not been told of the last changes, or are another controller's."""
    state = running(declared(), mark="one 3 80")
    state.declare(declared(ports=49, nb_cfg=90), LastKnown())
    assert "it is at epoch 3, change 90, and was at epoch 3, change 100 before" in state.status().alarm
    assert len(state.declared.ports) == 50
    state.declare(replace(declared(ports=49, nb_cfg=90), accepted=True), LastKnown())
    assert (state.status().alarm, state.status().accepted) == ("", (4, 91))


def test_what_was_overruled_is_so_for_who_has_seen_only_the_end_of_it() -> None:
    """Another controller leads, has heard the operator, and has taken the order out of the database again."""
    state = running(declared())
    less = declared(ports=1, nb_cfg=101)
    state.declare(less, LastKnown())
    state.declare(replace(less, alarm=state.trust.alarm), LastKnown())
    state.declare(replace(less, alarm=state.trust.alarm, epoch=4), LastKnown())
    assert state.trust.alarm, "a deletion beside it overrules nothing"
    state.declare(replace(less, epoch=5), LastKnown())
    assert state.trust.alarm == ""
    assert len(state.declared.ports) == 1


def test_an_alarm_that_somebody_takes_out_by_hand_comes_back() -> None:
    state = running(declared())
    less = declared(ports=1, nb_cfg=101)
    state.declare(less, LastKnown())
    state.declare(replace(less, alarm=state.trust.alarm), LastKnown())
    state.declare(less, LastKnown())
    assert "49 of 50" in state.status().alarm
    assert len(state.declared.ports) == 50


def test_once_is_enough_also_for_what_other_controllers_chassis_have_seen() -> None:
    """The number that the one that leads writes is beyond that of every chassis, whosever it is."""
    shared = Shared({}, {"h1": Share("", 1), "h2": Share("birch", 4, heard=4, seen="one 9 500")}, "")
    state = State(changed=lambda: None, noted=lambda: None, shares=Shares())
    state.declare(replace(declared(), accepted=True), LastKnown(), shared)
    state.plug("h1", Plugged(mark="one 3 100"))
    assert state.status().accepted == (10, 501)
