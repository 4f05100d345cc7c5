"""The meters that flows need, and what to change for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import meters
from flows.compile import compile
from flows.flow import Action, Controller, Flow, Goto, Meter, Output, flow
from flows.meters import LAST, Found, MeterPlan, Rate
from flows.tables import CLASSIFY, TAGS, Kind
from tests.overlays import THREE

IDS = st.integers(1, LAST + 3)
RATES = st.tuples(st.integers(1, 3), st.integers(1, 2))


def uses(*actions: Action) -> Flow:
    return flow(CLASSIFY, Kind.LOCAL_PORT, 1, {}, actions)


def test_flows_need_the_meters_they_name() -> None:
    many = [
        uses(Meter(5, 100, 50), Controller(64, 65541, 10, 20), Goto(TAGS)),
        uses(Meter(5, 100, 50)),
        uses(Controller(64), Output(1)),
    ]
    assert meters.needed(many) == {5: (100, 50), 65541: (10, 20)}
    assert meters.used(many[1]) == {5: (100, 50)}


@pytest.mark.parametrize(
    ("actions", "wrong"),
    [
        ([Meter(5, 1, 1), Controller(64, 5, 2, 1)], r"meter 5 .* \(1, 1\) and with \(2, 1\)"),
        ([Meter(0, 1, 1)], "meter 0 is not in 1..196607"),
        ([Controller(64, LAST + 1, 1, 1)], "meter 196608 is not in"),
        ([Meter(5, 0, 1)], "rate 0 and burst 1: both must be in"),
        ([Meter(5, 1, 1 << 32)], "burst 4294967296: both"),
    ],
)
def test_what_no_switch_could_have_is_refused(actions: list[Action], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        meters.needed([uses(*actions)])


def test_the_meters_of_an_overlay_are_ours() -> None:
    """Every port has its own; nothing collides, and every id is one that may be ours."""
    for name in THREE.chassis:
        found = meters.needed(compile(THREE, name))
        ofports = {binding.ofport for binding in THREE.bindings if binding.chassis == name}
        assert ofports <= found.keys()
        assert {id % 65536 for id in found} <= {0, *ofports}, "0: those that no port has for itself"


def test_a_plan_in_words() -> None:
    installed: Found = {1: (1, 1), 2: (2, 2), 3: (3, 3), 4: None, 5: None, LAST + 1: (1, 1)}
    desired = {1: (1, 1), 2: (9, 9), 4: (4, 4), 6: (6, 6)}
    assert meters.plan(desired, installed) == MeterPlan(((6, (6, 6)),), ((2, (9, 9)),), (3,), (4,))
    assert not meters.plan({1: (1, 1)}, {1: (1, 1), 9: None, LAST + 1: (1, 1)}), "a restart changes nothing"


@given(st.dictionaries(st.integers(1, LAST), RATES), st.dictionaries(IDS, st.none() | RATES))
def test_a_plan_makes_what_is_needed_and_touches_nobody_elses(desired: dict[int, Rate], installed: Found) -> None:
    planned = meters.plan(desired, installed)
    after = {**installed, **dict(planned.adds), **dict(planned.changes)}
    after = {id: rate for id, rate in after.items() if id not in planned.deletes}
    foreign = {id: rate for id, rate in installed.items() if rate is None or id > LAST}
    assert after == {**desired, **foreign}
    assert set(planned.taken) == desired.keys() & foreign.keys()
    assert not meters.plan(desired, after)
