"""So much at once, and so much a second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.budget import Budget


def test_what_was_saved_is_there_at_once_and_the_rest_comes_by_and_by() -> None:
    budget = Budget(rate=10, burst=5)
    assert [budget.take(1, 100.0) for _ in range(5)] == [0] * 5
    assert budget.take(1, 100.0) == pytest.approx(0.1)
    assert budget.left(100.1) == pytest.approx(0)
    assert budget.left(1000.0) == 5, "no more is saved than that"


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 20)), max_size=50))
def test_who_waits_as_told_never_has_more_than_that(taken: list[tuple[float, float]]) -> None:
    budget, now, total = Budget(rate=3, burst=7), 0.0, 0.0
    for pause, amount in taken:
        now += pause
        now += budget.take(amount, now)
        total += amount
        assert total <= 7 + 3 * now + 1e-6
