"""Samples of a long run, and what they say: how fast something grows, and how that looks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"
HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured at one moment: seconds of a clock that only rises, figures by name, and which life it was.

    A `life` is one run of the controller, counted: each starts with little and warms up.
    """

    at: float
    life: int
    figures: Mapping[str, float]


def series(samples: Iterable[Sample], name: str, life: int) -> list[tuple[float, float]]:
    """The moments and values of one figure in one life."""
    return [(each.at, each.figures[name]) for each in samples if each.life == life and name in each.figures]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By how much it grows in an hour: the least squares' line through (seconds, value); 0 for less than two."""
    if len(points) < 2:
        return 0.0
    middle = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at - middle) ** 2 for at, _ in points)
    return HOUR * sum((at - middle) * (value - mean) for at, value in points) / spread if spread else 0.0


def warm(points: Sequence[tuple[float, float]], seconds: float) -> list[tuple[float, float]]:
    """Those from that many seconds after the first on."""
    return [point for point in points if point[0] >= points[0][0] + seconds]


def longest_life(samples: Sequence[Sample]) -> int:
    """The life that lasted longest."""
    began: dict[int, float] = {}
    lasted: dict[int, float] = {}
    for each in samples:
        lasted[each.life] = each.at - began.setdefault(each.life, each.at)
    return max(lasted, key=lambda life: lasted[life])


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """A line of bars, each the mean of an equal part; the lowest bar is the least value, the highest the most."""
    if not values:
        return ""
    width = min(width, len(values))
    parts = [values[len(values) * n // width : len(values) * (n + 1) // width] for n in range(width)]
    means = [sum(part) / len(part) for part in parts]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((mean - low) * scale)] for mean in means)
