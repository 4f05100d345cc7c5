"""`./lab soak`: random faults one after the other under traffic, for long: what is lost, and what grows."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Final

from topologies import three_chassis
from topologies.faults.ground import Ground
from topologies.faults.traffic import Pair, Record, Sending, guest_of
from topologies.soak.breaking import BREAKAGES, Done, Site, happen
from topologies.soak.comparing import differences
from topologies.soak.figures import Sample, longest_life, series, slope, warm
from topologies.soak.ports import Ports
from topologies.soak.sampler import Sampler
from topologies.soak.telling import batch, tell

TRAFFIC: Final = three_chassis.DECLARED
INTERVAL: Final = 0.02
"""Seconds between two frames from each VM to each."""
PAUSE: Final = (2.0, 15.0)
"""Seconds between two faults, at least and at most."""
KILLED_UNTIL: Final = 1 / 3
"""The part of the time in which the controller is killed, too: later it lives on, so that what grows is seen."""
WARM_UP: Final = 0.25
"""The part of the controller's longest life that does not count: all is new then."""
AFTER_S: Final = 1.0
"""Seconds after healing in which a loss still counts as the fault's: neighbors of the underlay to resolve."""
SLOPE: Final = 1.0
"""MB by which the controller may grow in an hour."""
LIMIT: Final = 40
"""Ports that come and go at once."""
FILL: Final = 10
"""So many times that many changes are made before anything breaks: then there are about as many as there may be."""


@dataclass(frozen=True, slots=True)
class Kind:
    """All faults of a kind: how many, how long until healed at worst (s), frames lost of pairs it may have struck,
    and of others."""

    name: str
    times: int
    worst_s: float
    struck: int
    lost: int


@dataclass(frozen=True)
class Soaked:
    """What a soak did. `lost_idle` are frames lost while nothing was broken; `slope` is in MB an hour."""

    took: float
    kinds: list[Kind]
    sent: int
    lost_idle: int
    leaked: int
    samples: list[Sample]
    life: int
    slope: float
    wrong: list[str]


def soak(ground: Ground, minutes: float, seed: int, say: Callable[[str], None]) -> Soaked:
    """Break things for that long, and compare."""
    lab, chance = ground.lab, random.Random(seed)
    names = [each.name for each in lab.topology.chassis]
    ports = Ports(random.Random(seed), names, [each.name for each in lab.topology.networks], LIMIT)
    # As many as there may be, from the start: else what they cost would look like a leak.
    with batch(lab) as told:
        for _ in range(FILL):
            tell(lab, told, list(islice(iter(ports.change, None), LIMIT)))
    ground.settle()
    site = Site(ground, ports, chance)
    began, done = time.monotonic(), list[Done]()
    sending = Sending(lab, [guest_of(lab, name) for name in TRAFFIC], INTERVAL)
    with Sampler(lab) as sampler, sending:
        while (passed := time.monotonic() - began) < minutes * 60:
            time.sleep(chance.uniform(*PAUSE))
            kills = passed < minutes * 60 * KILLED_UNTIL
            breakage = chance.choice([each for each in BREAKAGES if kills or not each.kills])
            say(f"{passed / 60:.0f} min: {breakage.name} ({len(done)} so far)")
            done.append(happen(breakage, site))
        time.sleep(2)
    took = time.monotonic() - began
    samples = sampler.samples
    record = sending.record
    assert record is not None
    kinds, idle = attribute(record, done, {vm.name: lab.place(vm.name) for vm in lab.topology.vms})
    life = longest_life(samples)
    points = series(samples, "controller MB", life)
    grown = slope(warm(points, WARM_UP * (points[-1][0] - points[0][0])))
    wrong = [f"{each.name}: {each.wrong}" for each in done if each.wrong]
    wrong += differences(ground, ports)
    leaked = sum(record.leaked.values())
    if leaked:
        wrong.append(f"{leaked} leaked")
    if grown > SLOPE:
        wrong.append(f"the controller grows by {grown:.2f} MB an hour")
    wrong += risen(samples, life)
    return Soaked(took, kinds, record.sent(list(record.lost)), idle, leaked, samples, life, grown, wrong)


def attribute(record: Record, done: Sequence[Done], places: dict[str, str]) -> tuple[list[Kind], int]:
    """What was lost, by the kind of fault during which it was; and how many frames while there was none."""
    struck, lost, idle = dict[str, int](), dict[str, int](), 0
    for pair, tick in _lost(record):
        at = record.ticks[tick]
        during = next((each for each in done if each.began <= at <= each.healed + AFTER_S), None)
        if during is None:
            idle += 1
        else:
            counted = struck if {places[name] for name in pair} & during.struck else lost
            counted[during.name] = counted.get(during.name, 0) + 1
    kinds = []
    for name in dict.fromkeys(each.name for each in sorted(done, key=lambda each: each.name)):
        of = [each for each in done if each.name == name]
        worst = max(each.healed - each.began for each in of)
        kinds.append(Kind(name, len(of), worst, struck.get(name, 0), lost.get(name, 0)))
    return kinds, idle


def _lost(record: Record) -> Iterable[tuple[Pair, int]]:
    for pair, rows in record.lost.items():
        for first, last in rows:
            for tick in range(first, last + 1):
                yield pair, tick


def risen(samples: Sequence[Sample], life: int) -> list[str]:
    """Of descriptors, threads and greenthreads those that a life ends with more of than it had when it was warm.

    Held against each other are the medians of the second and the last fifth: what comes and goes is no leak.
    """
    wrong = []
    for name in ("descriptors", "threads", "greenthreads"):
        values = [value for _, value in series(samples, name, life)]
        fifth = len(values) // 5
        early, late = (median(part or [0]) for part in (values[fifth : 2 * fifth], values[-fifth:]))
        if fifth and late > early:
            wrong.append(f"{name}: from {early:.0f} to {late:.0f}")
    return wrong
