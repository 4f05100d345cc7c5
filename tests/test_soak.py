"""Long runs, as far as they are values: what is drawn, how growth is told, and to which fault a loss belongs."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from topologies.faults.traffic import Record
from topologies.soak.breaking import Done
from topologies.soak.figures import Sample, longest_life, series, slope, sparkline, warm
from topologies.soak.ports import Ports, ip, mac
from topologies.soak.soaking import Kind, attribute, risen


def test_growth_is_told_in_an_hour() -> None:
    assert slope([(100.0 + second, 50 + second / 3600) for second in range(600)]) == pytest.approx(1.0)
    assert slope([(second, 80.0) for second in range(600)]) == pytest.approx(0.0)
    assert slope([(0, 80.0)]) == slope([(5, 1.0), (5, 2.0)]) == 0.0
    assert warm([(10, 1), (14, 2), (15, 3), (16, 4)], 5) == [(15, 3), (16, 4)]


def test_bars() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5, 5]) == "▁▁▁"
    assert sparkline([]) == ""
    assert len(sparkline(list(range(1000)), 60)) == 60


def samples(*lives: list[int]) -> list[Sample]:
    """Samples a second apart, of one figure in each life."""
    found = []
    for number, values in enumerate(lives):
        for value in values:
            found.append(Sample(float(len(found)), number, {"descriptors": value}))
    return found


def test_a_life_is_one_run_of_the_controller() -> None:
    both = samples([1, 2], [5, 6, 7], [8])
    assert longest_life(both) == 1
    assert series(both, "descriptors", 1) == [(2.0, 5), (3.0, 6), (4.0, 7)]


def test_what_rises_for_good_is_told_and_what_comes_and_goes_is_not() -> None:
    assert risen(samples([20, 22, 20, 23, 20, 25, 20, 22, 23, 20]), 0) == []
    assert risen(samples([23, 23, 21, 23, 23, 23, 23, 23, 23, 23, 23, 23, 23, 22, 23]), 0) == []
    assert risen(samples([20, 20, 20, 20, 21, 22, 23, 23, 24, 24]), 0) == ["descriptors: from 20 to 24"]


def test_a_loss_belongs_to_the_fault_during_which_it_was() -> None:
    ticks = tuple(float(second) for second in range(100))
    lost = {("a", "b"): ((10, 12), (50, 50)), ("b", "c"): ((11, 11),), ("c", "a"): ((80, 81),)}
    done = [Done("cut", 9, 12, frozenset(["h1"])), Done("noise", 50, 51, frozenset())]
    kinds, idle = attribute(Record(ticks, lost, {}, 0, 0.0), done, {"a": "h1", "b": "h2", "c": "h3"})
    assert kinds == [Kind("cut", 1, 3, struck=3, lost=1), Kind("noise", 1, 1, struck=0, lost=1)]
    assert idle == 2


def test_changes_of_ports_are_what_the_model_says() -> None:
    """Played by somebody who takes each word literally: nothing is deleted that is not there, nothing used twice."""
    ports = Ports(random.Random(3), ["h1", "h2", "h3"], ["red", "blue"], limit=20)
    declared: set[str] = set()
    there: dict[str, set[str]] = {"h1": set(), "h2": set(), "h3": set()}
    used: set[str] = set()
    kinds: Counter[str] = Counter()

    def play(line: str, words: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
        verb, name, *rest = line.split() if line else ("", "")
        if verb == "port-add":
            assert name not in declared
            declared.add(name)
        elif verb:
            assert name in declared
            if verb == "port-del":
                declared.remove(name)
        news = {word for word in rest if word[0].isdigit()}
        assert not news & used
        used.update(news)
        for host, (command, _, interface, *_) in words:
            if command == "add-port":
                assert not any(interface in each for each in there.values())
                there[host].add(interface)
            else:
                there[host].remove(interface)

    for _ in range(5000):
        change = ports.change()
        kinds[change.kind] += 1
        play(change.line, change.words)
    assert declared == set(ports.declared)
    assert {name for each in there.values() for name in each} == set(ports.plugged)
    assert min(kinds.values()) > 300
    assert len(declared) > 10
    for change in ports.away():
        play(change.line, change.words)
    assert not declared
    assert not any(there.values())


def test_numbers_make_addresses() -> None:
    assert (mac(1), ip(1)) == ("02:01:00:00:00:01", "10.1.0.1")
    assert (mac(100_000), ip(100_000)) == ("02:01:00:01:86:a0", "10.2.134.160")
