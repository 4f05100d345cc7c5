"""What a chassis remembers of its flows: never what may be left of another state than the one that was there."""

from __future__ import annotations

from controller.flows_mark import QUIET_S, FlowsMark, Had, fingerprint

ONE: Had = ({(0, 1, 2), (50, 3, 4)}, {7: (100, 10)})
OTHER: Had = ({(0, 1, 2)}, {7: (100, 10)})


def test_it_is_written_when_the_flows_have_been_the_same_for_long() -> None:
    mark = FlowsMark()
    assert mark.of(ONE, "", 0.0) == ""
    assert mark.of(ONE, "", QUIET_S) == fingerprint(*ONE)


def test_it_goes_at_once_when_they_are_others() -> None:
    mark, written = FlowsMark(), fingerprint(*ONE)
    assert mark.of(ONE, written, 0.0) == written
    assert mark.of(OTHER, written, 1.0) == ""
    assert mark.of(ONE, "", 2.0) == ""
    assert mark.of((set(ONE[0]), dict(ONE[1])), "", 2.0 + QUIET_S) == written


def test_nothing_is_said_of_a_switch_that_was_not_seen() -> None:
    mark, written = FlowsMark(), fingerprint(*ONE)
    assert mark.of(None, written, 100.0) == written
    assert mark.of(OTHER, written, 101.0) == ""


def test_all_of_it_counts_and_no_order_does() -> None:
    keys, meters = ONE
    assert fingerprint(sorted(keys, reverse=True), meters) == fingerprint(*ONE)
    assert len({fingerprint(*ONE), fingerprint(*OTHER), fingerprint(keys, {}), fingerprint(keys, {7: (100, 11)})}) == 4
