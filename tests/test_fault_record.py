"""What the traffic of the fault suite recorded, and how losses beside those of another network are counted."""

from __future__ import annotations

from topologies.faults.traffic import Record

OURS, APART, ELSEWHERE = ("web1", "web2"), ("apart-h1", "apart-h2"), ("apart-h1", "apart-h3")
TICKS = tuple(number / 500 for number in range(1000))


def record(*apart: tuple[int, int]) -> Record:
    return Record(TICKS, {OURS: ((100, 104), (500, 500)), APART: apart, ELSEWHERE: ((499, 501),)}, {}, 0, 0.0)


def test_losses_are_counted_and_measured() -> None:
    made = record()
    assert (made.sent([OURS]), made.losses([OURS])) == (1000, 6)
    assert round(made.longest([OURS]), 3) == 0.01


def test_what_is_lost_beside_others_is_told_from_what_is_lost_alone() -> None:
    assert record().beside(OURS, [APART], 25) == 0
    assert record((110, 112)).beside(OURS, [APART], 25) == 5
    assert record((128, 128)).beside(OURS, [APART], 25) == 2, "each frame has a distance of its own"
    assert record((130, 140)).beside(OURS, [APART], 25) == 0
    assert record((80, 80), (520, 530)).beside(OURS, [APART], 25) == 6
