"""Flows that are wrong in one place, and whether the proof notices: what it does not notice it does not prove.

A mutant of a flow is the table without it, or with it altered: another output, another VNI, a lower priority, a field
that it matches no longer.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from flows.flow import Flow, Output, SetField
from flows.simulate import OverlapError
from flows.tables import FDB, OUTPORT, TOLD_TABLE
from flows.text import text
from tests.proof.check import Bench
from tests.proof.proving import Story, told

Place = tuple[str, int]
"""(chassis, table id)."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is done to a flow of a chassis; `flow` is None where it is deleted."""

    chassis: str
    original: Flow
    what: str
    flow: Flow | None

    def __str__(self) -> str:
        return f"{self.chassis}: {self.what}: {text(self.original, cookie=False)}"


@dataclass(frozen=True)
class Met:
    """Which stories met which flow, and the flows of each table."""

    stories: Mapping[tuple[str, Flow], list[Story]]
    tables: Mapping[Place, list[Flow]]


def met(bench: Bench, stories: list[Story]) -> Met:
    """Plays all stories once, and notes what they meet."""
    found: dict[tuple[str, Flow], list[Story]] = defaultdict(list)
    for story in stories:
        here: dict[tuple[str, Flow], None] = {}
        for chassis, packet, _ in story.steps:
            for name, trace in bench.send(chassis, packet, teach=story.teaches).traces:
                here.update(((name, flow), None) for _, flow in trace.steps if flow is not None)
        if story.teaches:
            bench.forget()
        for each in here:
            found[each].append(story)
    tables: dict[Place, list[Flow]] = defaultdict(list)
    for name, switch in bench.switches.items():
        for flow in switch.all_flows():
            tables[name, flow.table.id].append(flow)
    return Met(found, tables)


def mutants(bench: Bench, known: Met) -> Iterator[Mutant]:
    """Every mutant of every flow."""
    vnis = sorted(network.vni for network in bench.overlay.networks.values())
    for (chassis, table), flows in known.tables.items():
        if table in (FDB.id, TOLD_TABLE.id):
            continue
        ports = sorted({each.ofport for each in bench.overlay.bindings if each.chassis == chassis})
        for flow in flows:
            yield Mutant(chassis, flow, "deleted", None)
            yield from _outputs(chassis, flow, ports)
            yield from _vnis(chassis, flow, vnis)
            below = [each.priority for each in flows if each.priority < flow.priority and _overlap(flow, each)]
            if below:
                lower = replace(flow, priority=max(0, max(below) - 1))
                yield Mutant(chassis, flow, "a lower priority", lower)
            for name, _, _ in flow.match:
                without = replace(flow, match=tuple(row for row in flow.match if row[0] != name))
                yield Mutant(chassis, flow, f"{name} not matched", without)


def _outputs(chassis: str, flow: Flow, ports: list[int]) -> Iterator[Mutant]:
    for place, action in enumerate(flow.actions):
        if isinstance(action, Output) and action.port in ports:
            other: Output | SetField = Output(_next(ports, action.port))
        elif isinstance(action, SetField) and action.field == OUTPORT and action.value in ports:
            other = SetField(OUTPORT, _next(ports, action.value))
        else:
            continue
        actions = (*flow.actions[:place], other, *flow.actions[place + 1 :])
        yield Mutant(chassis, flow, "another output port", replace(flow, actions=actions))


def _vnis(chassis: str, flow: Flow, vnis: list[int]) -> Iterator[Mutant]:
    for place, action in enumerate(flow.actions):
        if isinstance(action, SetField) and action.field in ("metadata", "tun_id") and action.value in vnis:
            other = SetField(action.field, _next(vnis, action.value))
            actions = (*flow.actions[:place], other, *flow.actions[place + 1 :])
            yield Mutant(chassis, flow, f"another VNI in {action.field}", replace(flow, actions=actions))


def _next(values: list[int], value: int) -> int:
    """The value after this one, and after the last the first."""
    return values[(values.index(value) + 1) % len(values)]


def _overlap(one: Flow, other: Flow) -> bool:
    """Whether some packet may match both."""
    values = {name: (value, mask) for name, value, mask in one.match}
    for name, value, mask in other.match:
        if name in values:
            there, bits = values[name]
            common = (-1 if mask is None else mask) & (-1 if bits is None else bits)
            if (value ^ there) & common:
                return False
    return True


def noticed(bench: Bench, known: Met, mutant: Mutant, chance: random.Random) -> bool:
    """Whether any story goes wrong with the mutant; the flows are as before when it returns."""
    switch = bench.switches[mutant.chassis]
    switch.remove(mutant.original)
    try:
        if mutant.flow is not None:
            before = switch.put(mutant.flow)
            if before is not None:
                switch.put(before)
                return True  # a switch takes one of the two: the strict simulator refuses both at once
        try:
            return any(told(bench, story) for story in _who_may_notice(known, mutant, chance))
        finally:
            if mutant.flow is not None:
                switch.remove(mutant.flow)
    finally:
        switch.put(mutant.original)


ENOUGH = 400
"""Stories of one flow that are tried."""


def _who_may_notice(known: Met, mutant: Mutant, chance: random.Random) -> Iterator[Story]:
    """The stories that met the flow, a few from everywhere first; and those that will meet it when it matches more."""
    yield from _spread(known.stories.get((mutant.chassis, mutant.original), ()), ENOUGH, chance)
    if mutant.flow is not None and len(mutant.flow.match) < len(mutant.original.match):
        rivals = [
            each
            for each in known.tables[mutant.chassis, mutant.original.table.id]
            if each is not mutant.original and each.priority <= mutant.flow.priority and _overlap(mutant.flow, each)
        ]
        for rival in _spread(rivals, ENOUGH, chance):
            yield from _spread(known.stories.get((mutant.chassis, rival), ()), ENOUGH, chance)


def _spread(things, limit, chance):  # type: ignore[no-untyped-def]
    """So many of them, in any order."""
    return things if len(things) <= 1 else chance.sample(list(things), min(limit, len(things)))


def equivalent(mutant: Mutant) -> str:
    """Why a mutant does just what the flow does, in words; '' where it does not."""
    return ""


__all__ = ["Met", "Mutant", "OverlapError", "equivalent", "met", "mutants", "noticed"]
