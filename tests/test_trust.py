"""When what the overlay database says is not acted on: an older copy, a loss, another database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.state import State
from flows.model import Chassis, Network, Plug, Port, Vtep
from ovsdb.marks import Mark, parse
from ovsdb.snapshot import ChassisRow, Declared, LastKnown, Plugged
from ovsdb.trust import objection


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
        (declared(ports=0), declared(ports=10), None, ""),
        (declared(ports=0), declared(ports=11), None, "11 of 11 declared ports vanished"),
        (declared(database_id="two"), declared(), None, "is another one than before"),
        (declared(database_id=""), declared(), None, "and is empty"),
        (declared(), declared(database_id=""), None, ""),
    ],
)
def test_objection(now: Declared, accepted: Declared | None, mark: Mark | None, words: str) -> None:
    said = objection(now, accepted, {"h1": mark} if mark is not None else {})
    assert words in said
    assert bool(said) == bool(words)


def test_a_mark_is_read_back_or_not_at_all() -> None:
    mark = Mark("5e3f", 12, 345)
    assert parse(str(mark)) == mark
    for written in (None, "", "x", "a b c", "a 1", "a 1 2 3", "a -1 2", "a 1 ²"):
        assert parse(written) is None


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
    state.current = False
    state.plug("h1", Plugged((), mark="one 3 101"))
    assert state.status().alarm == ""
    state.current = True
    state.declare(declared(nb_cfg=101), LastKnown())
    assert state.status().alarm == ""
    state.plug("h1", Plugged((), mark="one 3 102"))
    assert "an older copy" in state.status().alarm
