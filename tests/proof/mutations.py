"""Flows that are wrong in one place, and whether the proof notices: what it does not notice it does not prove.

A mutant of a flow is the table without it, or with it altered: another output, another VNI, a lower priority, a field
that it matches no longer.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from flows.fields import FIELDS
from flows.flow import Controller, Flow, Output, SetField
from flows.model import TUNNELS
from flows.simulate import Switch
from flows.tables import CLASSIFY, FDB, GUARD, NOTICE, ORIGIN, OUTPORT, TOLD_TABLE, Kind, Table
from flows.text import text
from flows.truth import mac_number
from tests.proof.check import Bench
from tests.proof.frames import STRANGER
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


State = tuple[int, ...]
"""What a packet has in the fields that a table may match, in their order."""
_FEW = 40
"""Stories of one state that are kept: what a table does depends on the state alone, what comes of it does not."""


@dataclass(frozen=True)
class Visits:
    """What was looked up in one table of one chassis: the states, with the flow that each met, and stories of each."""

    fields: tuple[str, ...]
    flows: list[Flow]
    states: dict[State, tuple[Flow | None, list[Story]]]
    met: dict[Flow, list[State]]
    having: dict[tuple[str, int], list[State]]
    """The states by the value of each field."""


Met = Mapping[Place, Visits]


def met(bench: Bench, stories: list[Story]) -> Met:
    """Plays all stories once, and notes what they meet."""
    found: dict[Place, Visits] = {}
    playing: list[Story] = []
    for name, switch in bench.switches.items():
        for flow in switch.all_flows():
            place = (name, flow.table.id)
            if place not in found:
                found[place] = Visits(tuple(sorted(flow.table.matches)), [], {}, defaultdict(list), defaultdict(list))
            found[place].flows.append(flow)

        def watch(table: Table, packet: Mapping[str, int], flow: Flow | None, name: str = name) -> None:
            visits = found.get((name, table.id))
            if visits is None:
                return
            if packet["ip_frag"] & 1:
                packet = {**packet, "udp_src": 0, "udp_dst": 0, "icmp_type": 0, "icmpv6_type": 0}
            state = tuple([packet[field] for field in visits.fields])
            known = visits.states.get(state)
            if known is None:
                visits.states[state] = (flow, [playing[0]])
                if flow is not None:
                    visits.met[flow].append(state)
                for field, value in zip(visits.fields, state, strict=True):
                    visits.having[field, value].append(state)
            elif len(known[1]) < _FEW and known[1][-1] is not playing[0]:
                known[1].append(playing[0])

        switch.watch = watch
    for story in stories:
        playing[:] = [story]
        told(bench, story)
    for switch in bench.switches.values():
        switch.watch = None
    return found


def mutants(bench: Bench, known: Met) -> Iterator[Mutant]:
    """Every mutant of every flow."""
    vnis = sorted(network.vni for network in bench.overlay.networks.values())
    for (chassis, table), visits in sorted(known.items()):
        if table in (FDB.id, TOLD_TABLE.id):
            continue
        ports = sorted({each.ofport for each in bench.overlay.bindings if each.chassis == chassis})
        for flow in visits.flows:
            yield Mutant(chassis, flow, "deleted", None)
            yield from _outputs(chassis, flow, ports)
            yield from _vnis(chassis, flow, vnis)
            below = _rivals(bench.switches[chassis], visits, flow)
            if below:
                yield Mutant(chassis, flow, "a lower priority", replace(flow, priority=max(0, max(below) - 1)))
            for name, _, _ in flow.match:
                # What needs that field goes with it: a switch takes no such flow else (ovs-fields(7), prerequisites).
                rows = tuple(row for row in flow.match if row[0] != name and name not in _needs(row[0]))
                yield Mutant(chassis, flow, f"{name} not matched", replace(flow, match=rows))


def _needs(name: str) -> frozenset[str]:
    """The fields that a match on a field needs."""
    if name in ("arp_op", "arp_spa", "arp_sha", "ip_src", "ipv6_src", "ip_proto", "ip_frag", "nw_ttl"):
        return frozenset({"eth_type"})
    if name in ("udp_src", "udp_dst", "icmp_type", "icmpv6_type"):
        return frozenset({"eth_type", "ip_proto"})
    if name in ("nd_target", "nd_sll", "nd_tll"):
        return frozenset({"eth_type", "ip_proto", "icmpv6_type"})
    return frozenset()


def _rivals(switch: Switch, visits: Visits, flow: Flow) -> set[int]:
    """The priorities of what would be met in a flow's place, and does something else."""
    switch.remove(flow)
    try:
        found = {
            switch.find(flow.table, dict(zip(visits.fields, state, strict=True))) for state in visits.met.get(flow, ())
        }
    finally:
        switch.put(flow)
    return {each.priority for each in found if each is not None and _deeds(each) != _deeds(flow)}


def _deeds(flow: Flow) -> tuple[object, ...]:
    """What a flow does, but for the meter of its copies."""
    return tuple(replace(each, meter=0) if isinstance(each, Controller) else each for each in flow.actions)


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


ENOUGH = 150
"""States that are tried."""


def _who_may_notice(known: Met, mutant: Mutant, chance: random.Random) -> Iterator[Story]:
    """The stories with a state that is looked up to another end: it met the flow, or will meet it now."""
    visits = known[mutant.chassis, mutant.original.table.id]
    states = list(visits.met.get(mutant.original, ()))
    if mutant.flow is not None and len(mutant.flow.match) < len(mutant.original.match):
        states = [*_chosen(states, 20, chance), *_widened(visits, mutant.flow)]
    chosen = _chosen(states, ENOUGH, chance)
    for state in chosen:
        yield from visits.states[state][1][:2]
    for state in chosen[:20]:
        yield from visits.states[state][1][2:]


def _widened(visits: Visits, flow: Flow) -> Iterator[State]:
    """The states that a flow takes over."""
    exact = [visits.having.get((name, value), []) for name, value, mask in flow.match if mask is None]
    place = {name: number for number, name in enumerate(visits.fields)}
    rows = [(place[name], value, -1 if mask is None else mask) for name, value, mask in flow.match]
    for state in min(exact, key=len, default=list(visits.states)):
        if all(state[number] & mask == value for number, value, mask in rows):
            before = visits.states[state][0]
            if before is None or before.priority <= flow.priority:
                yield state


def _chosen(states: list[State], limit: int, chance: random.Random) -> list[State]:
    return states if len(states) <= limit else chance.sample(states, limit)


def equivalent(bench: Bench, known: Met, mutant: Mutant) -> str:  # noqa: PLR0911, PLR0912 - one case per reason
    """Why a mutant does just what the flow does, in words; '' where it may not."""
    flow, lost = mutant.original, mutant.what.removesuffix(" not matched")
    match = {name: value for name, value, _ in flow.match}
    visits = known[mutant.chassis, flow.table.id]
    if flow not in visits.met:
        return "a net under what should not happen: nothing that was sent gets there"
    if mutant.flow is None and _replaced(bench.switches[mutant.chassis], visits, flow):
        return "what is met instead does the same, under the same name where it drops"
    if lost == mutant.what:
        return ""
    assert mutant.flow is not None
    taken = {visits.states[state][0] for state in _widened(visits, mutant.flow)} - {flow}
    switch = bench.switches[mutant.chassis]
    if all(
        each is not None and _deeds(each) == _deeds(flow) for each in taken | _otherwise(switch, visits, flow, lost)
    ):
        return "what it takes over met the same actions before"
    if lost == "eth_dst" and flow.kind in (Kind.ASK_GATEWAY, Kind.DROP_UNKNOWN_NEIGHBOR):
        return "what becomes of a request by unicast for an address that nobody has is left open"
    if lost == ORIGIN and flow.kind is Kind.DROP_SPOOFED_TUNNEL:
        return "what comes from a port meets a flow of that port before"
    if lost == ORIGIN and flow.kind is Kind.MEASURE:
        return "split horizon has dropped what came by a tunnel"
    if lost == "in_port" and flow.kind is Kind.TELL:
        ways = {
            {name: value for name, value, _ in each.match}.get("in_port")
            for each in switch.flows(NOTICE)
            if each.kind is Kind.NOTICE and ("metadata", match["metadata"], None) in each.match
        }
        if ways == {match["in_port"]}:
            return "nothing of another port is told in this network"
    tunnels = {tunnel.ofport for tunnel in TUNNELS}
    if lost == "metadata" and "in_port" in match and match["in_port"] not in tunnels:
        vnis = {
            action.value
            for each in switch.flows(CLASSIFY)
            for action in each.actions
            if isinstance(action, SetField) and action.field == "metadata"
            and any(name == "in_port" and value == match["in_port"] for name, value, _ in each.match)
        }  # fmt: skip
        if len(vnis) == 1:
            return "the port is in one network"
    if lost == ORIGIN:
        if "in_port" in match:
            return "the port says where it came from"
        if {"tun_src", "tun_ipv6_src"} & match.keys():
            return "only what came by a tunnel has a VTEP"
        if not match[ORIGIN] and (ORIGIN, 1) not in visits.having:
            return "nothing that came by a tunnel gets to this table"
    if flow.table.name in ("claim", "discovery", "notice") and {"metadata", "eth_src", "in_port"} <= match.keys():
        members = {each.ofport for each in bench.overlay.bindings if each.chassis == mutant.chassis}
        here = {"metadata": match["metadata"], "in_port": match["in_port"], "eth_src": match["eth_src"]}
        if lost == "in_port" and [port for port in members if _guarded(switch, here | {"in_port": port})] == [
            match["in_port"]
        ]:
            return "the guard lets no other port send from this MAC"
        macs = {mac_number(mac) for each in bench.overlay.bindings for mac in (*each.macs, *each.shared)} | {STRANGER}
        if lost == "eth_src" and [mac for mac in macs if _guarded(switch, here | {"eth_src": mac})] == [
            match["eth_src"]
        ]:
            return "the guard lets the port send from this MAC alone"
    return ""


def _replaced(switch: Switch, visits: Visits, flow: Flow) -> bool:
    """Whether without the flow another one of its kind does the same to all that meets it."""
    switch.remove(flow)
    try:
        found = [switch.find(flow.table, dict(zip(visits.fields, state, strict=True))) for state in visits.met[flow]]
    finally:
        switch.put(flow)
    return all(
        each is not None and _deeds(each) == _deeds(flow) and (each.kind is flow.kind or not flow.kind.is_drop)
        for each in found
    )


def _otherwise(switch: Switch, visits: Visits, flow: Flow, lost: str) -> set[Flow | None]:
    """What is met by packets that differ from the flow's in the lost field alone: with each value that counts."""
    values = {value for each in visits.flows for name, value, _ in each.match if name == lost} | {0, 3, STRANGER}
    found: set[Flow | None] = set()
    for state in visits.met.get(flow, ())[:20]:
        fields = dict(zip(visits.fields, state, strict=True))
        for value in sorted(values):
            if value >> FIELDS[lost].bits == 0 and value != fields[lost]:
                other = switch.find(flow.table, fields | {lost: value})
                if other is None or other.priority <= flow.priority:
                    found.add(other)
    return found - {flow}


def _guarded(switch: Switch, fields: dict[str, int]) -> bool:
    """Whether the guard lets such a packet of a port pass."""
    found = switch.find(GUARD, fields)
    return found is not None and found.kind is Kind.OWN_SOURCE


@dataclass(frozen=True)
class Survivors:
    """What was not noticed of some mutants: by reason why it is the same, and without one."""

    tried: int
    explained: Mapping[str, list[Mutant]]
    unexplained: list[Mutant]

    @property
    def altered(self) -> int:
        """How many of those tried do something else than their flow."""
        return self.tried - sum(map(len, self.explained.values()))


def survivors(
    bench: Bench,
    known: Met,
    tried: list[Mutant],
    chance: random.Random,
    progress: Callable[[int], None] = lambda number: None,
) -> Survivors:
    """Tries mutants; `progress` hears how many are done."""
    explained: dict[str, list[Mutant]] = defaultdict(list)
    unexplained = []
    for number, mutant in enumerate(tried):
        progress(number)
        if not noticed(bench, known, mutant, chance):
            why = equivalent(bench, known, mutant)
            (explained[why] if why else unexplained).append(mutant)
    return Survivors(len(tried), explained, unexplained)
