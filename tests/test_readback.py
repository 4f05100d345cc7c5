"""What a switch says it has, beside what it was given: who changed what."""

from __future__ import annotations

from hypothesis import given

from controller import wire
from controller.flow_bytes import body_of
from controller.readback import content, foreign_text, judge, told
from controller.wire import FlowStats
from flows.flow import Flow, Output, flow
from flows.tables import CLASSIFY, FDB, Kind
from tests.vocabulary import flows


def one(port: int, *outputs: int) -> Flow:
    return flow(CLASSIFY, Kind.LOCAL_PORT, 100, {"in_port": port}, [Output(each) for each in outputs])


def row(of: Flow, body: bytes | None = None, cookie: int | None = None) -> FlowStats:
    table, priority, own = of.key
    return FlowStats(table, priority, own if cookie is None else cookie, 0, 0, body_of(of) if body is None else body)


A, B, C = one(1, 2), one(2, 3), one(3, 4)
GIVEN = {each.key: each for each in (A, B, C)}


def test_nothing_changed() -> None:
    reading = judge([row(A), row(B), row(C)], dict.fromkeys(GIVEN), GIVEN)
    assert not reading.changed
    assert reading.installed == {each.key: body_of(each) for each in (A, B, C)}


def test_what_is_gone_altered_and_added_is_told_apart() -> None:
    altered = row(B, body_of(one(2, 9)))
    added = row(C, body_of(one(7, 9)))
    reading = judge([altered, row(C), added], {A.key: body_of(A), B.key: body_of(B), C.key: None}, GIVEN)
    assert reading.gone == (A.key,)
    assert tuple(reading.altered) == (B.key,)
    assert reading.added == (added,)
    assert set(reading.installed) == {C.key}
    said = told(reading, GIVEN)
    assert "1 deleted (table=0, priority=100" in said
    assert "1 altered" in said
    assert "made output:9" in said
    assert "output:3" in said, "as it should be"
    assert f"1 added (table=0,priority=100,cookie={C.cookie:#x})" in said


def test_what_shares_its_table_and_cookie_with_one_of_ours_is_not_left_to_be_deleted_by_cookie() -> None:
    """That would take ours as well, whatever their priorities are."""
    above = row(A)._replace(priority=777)
    reading = judge([row(A), above], dict.fromkeys(GIVEN), GIVEN)
    assert reading.added == (above,)
    assert A.key in reading.installed
    assert above.key not in reading.installed


def test_the_first_reading_notices_what_was_altered_while_nobody_looked() -> None:
    assert tuple(judge([row(A, body_of(one(1, 5)))], {}, GIVEN).altered) == (A.key,)


def test_what_an_earlier_controller_left_is_there_to_be_deleted() -> None:
    old = one(9, 9)
    reading = judge([row(old), row(A)], {}, GIVEN)
    assert set(reading.installed) == {old.key, A.key}
    assert not reading.changed


def test_a_spelling_that_was_read_back_once_counts_until_it_changes() -> None:
    """Of a switch that writes our flows in a way we don't know; what differs from that is somebody's doing."""
    strange = body_of(one(1, 5))
    assert judge([row(A, strange)], {A.key: strange}, {A.key: A}).installed == {A.key: strange}
    assert tuple(judge([row(A, body_of(A))], {A.key: strange}, {A.key: A}).altered) == (A.key,)


def test_flows_of_others_and_learned_ones_are_left_out() -> None:
    learned = flow(FDB, Kind.LEARNED, 100, {"metadata": 1}, [])
    reading = judge([row(A, cookie=7), row(learned)], {}, GIVEN)
    assert reading.installed == {}
    assert not reading.changed
    assert foreign_text(reading.foreign).startswith("1 flow on br-int is not ours, and is left alone: table=0,")


@given(flows())
def test_the_content_has_each_field_of_the_match(any_flow: Flow) -> None:
    body = body_of(any_flow)
    assert content(body).match == content(body_of(any_flow)).match
    without = [row for row in any_flow.match if row[0] == "vlan_tci" and row[2] is not None and not row[2] & 0x1FFF]
    assert len(content(body).match) == len(any_flow.match) - len(without)
    assert wire.flow_mod_add(any_flow).endswith(body)
