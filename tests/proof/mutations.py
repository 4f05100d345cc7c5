"""Flows that are wrong in one place, and whether the proof notices: what it does not notice it does not prove.

A mutant of a flow is the table without it, or with it altered: another output, another VNI, a lower priority, a field
that it matches no longer.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Final

from flows.fields import FIELDS
from flows.flow import Controller, Flow, Goto, Learn, Move, Output, SetField
from flows.model import TUNNELS
from flows.simulate import Switch
from flows.tables import (
    CLAIM,
    CLASSIFY,
    DISCOVERY,
    FDB,
    GUARD,
    LEARN,
    NOTICE,
    ORIGIN,
    OUTPORT,
    RESPOND,
    TELL,
    TOLD_TABLE,
    Kind,
    Table,
)
from flows.text import text
from flows.truth.frame import ARP, IPV6, mac_number
from tests.proof.check import Bench
from tests.proof.frames import STRANGER, Fields
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
"""Stories of one state that are kept: what a table does depends on the state alone, what comes of it does not.

Those that teach are all kept: what is learned shows in their later packets alone.
"""


@dataclass(frozen=True)
class Visits:
    """What was looked up in one table of one chassis: the states, with the flow that each met, and stories of each."""

    fields: tuple[str, ...]
    take: Callable[[Mapping[str, int]], State]
    """Gives the state of a packet."""
    flows: list[Flow]
    states: dict[State, tuple[Flow | None, list[Story]]]
    met: dict[Flow, list[State]]
    having: dict[tuple[str, int], list[State]]
    """The states by the value of each field."""

    def packet(self, state: State) -> Fields:
        """What a packet in this state has, by field."""
        return dict(zip(self.fields, state, strict=True))


Met = Mapping[Place, Visits]


def met(bench: Bench, stories: Iterable[Story]) -> tuple[Met, list[str]]:
    """Plays all stories once, and notes what they meet, and what is wrong."""
    found: dict[Place, Visits] = {}
    playing: list[Story] = []
    for name, switch in bench.switches.items():
        for flow in switch.all_flows():
            place = (name, flow.table.id)
            if place not in found:
                fields = tuple(sorted(flow.table.matches))
                found[place] = Visits(fields, itemgetter(*fields), [], {}, defaultdict(list), defaultdict(list))
            found[place].flows.append(flow)

        def watch(table: Table, packet: Mapping[str, int], flow: Flow | None, name: str = name) -> None:
            visits = found.get((name, table.id))
            if visits is None:
                return
            if packet["ip_frag"] & 1:
                packet = {**packet, "udp_src": 0, "udp_dst": 0, "icmp_type": 0, "icmpv6_type": 0}
            state = visits.take(packet)
            known = visits.states.get(state)
            if known is None:
                visits.states[state] = (flow, [playing[0]])
                if flow is not None:
                    visits.met[flow].append(state)
                for field, value in zip(visits.fields, state, strict=True):
                    visits.having[field, value].append(state)
            elif (len(known[1]) < _FEW or playing[0].teaches) and known[1][-1] is not playing[0]:
                known[1].append(playing[0])

        switch.watch = watch
    wrong = []
    for story in stories:
        playing[:] = [story]
        if said := told(bench, story):
            wrong.append(said)
    for switch in bench.switches.values():
        switch.watch = None
    return found, wrong


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
            needed = {name for each in _of_actions(flow) for name in _needs(each)}
            for name, _, _ in flow.match:
                if name in needed:
                    continue  # a switch takes no flow whose actions lack what they need (ovs-fields(7), prerequisites)
                # Nor one whose match does: what needs the field goes with it.
                rows = tuple(row for row in flow.match if row[0] != name and name not in _needs(row[0]))
                yield Mutant(chassis, flow, f"{name} not matched", replace(flow, match=rows))


_IP: Final = frozenset({"eth_type"})
_TRANSPORT: Final = _IP | {"ip_proto"}
_MESSAGE: Final = _TRANSPORT | {"icmpv6_type"}
_NEEDS: Final = {
    **dict.fromkeys(("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"), _IP),
    **dict.fromkeys(("ip_src", "ipv6_src", "ipv6_dst", "ip_proto", "ip_frag", "nw_ttl"), _IP),
    **dict.fromkeys(("udp_src", "udp_dst", "icmp_type", "icmpv6_type"), _TRANSPORT),
    **dict.fromkeys(("nd_target", "nd_sll", "nd_tll", "nd_reserved", "nd_options_type"), _MESSAGE),
}


def _needs(name: str) -> frozenset[str]:
    """The fields that must be matched where a field is matched, written, or read by an action."""
    return _NEEDS.get(name, frozenset())


def _of_actions(flow: Flow) -> Iterator[str]:
    """The fields that the actions of a flow write or read."""
    for action in flow.actions:
        if isinstance(action, SetField):
            yield action.field
        elif isinstance(action, Move):
            yield from (action.source, action.target)
        elif isinstance(action, Learn):
            yield from (spec.source for spec in action.specs if isinstance(spec.source, str))


def _rivals(switch: Switch, visits: Visits, flow: Flow) -> set[int]:
    """The priorities of what would be met in a flow's place, and does something else."""
    switch.remove(flow)
    try:
        found = {switch.find(flow.table, visits.packet(state)) for state in visits.met.get(flow, ())}
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


def noticed(bench: Bench, mutant: Mutant, stories: Iterable[Story]) -> bool:
    """Whether any of the stories goes wrong with the mutant; the flows are as before when it returns."""
    switch = bench.switches[mutant.chassis]
    switch.remove(mutant.original)
    try:
        if mutant.flow is not None:
            before = switch.put(mutant.flow)
            if before is not None:
                switch.put(before)
                return True  # a switch takes one of the two: the strict simulator refuses both at once
        try:
            return any(told(bench, story) for story in stories)
        finally:
            if mutant.flow is not None:
                switch.remove(mutant.flow)
    finally:
        switch.put(mutant.original)


_ENOUGH = 150
"""States that are tried first."""


def _may_notice(bench: Bench, known: Met, mutant: Mutant) -> list[State]:
    """The states that are looked up to another end: they met the flow, or meet it now in place of something else."""
    visits = known[mutant.chassis, mutant.original.table.id]
    if not _is_wider(mutant):
        return visits.met.get(mutant.original, [])
    assert mutant.flow is not None
    switch = bench.switches[mutant.chassis]
    found = []
    for state in _widened(visits, mutant.flow):
        before = visits.states[state][0]
        if before is not mutant.original and not _same(switch, before, mutant.original, visits.packet(state)):
            found.append(state)
    return found


def _is_wider(mutant: Mutant) -> bool:
    """Whether it matches more than its flow, and is the same else."""
    return mutant.flow is not None and len(mutant.flow.match) < len(mutant.original.match)


def _first(visits: Visits, states: list[State], chance: random.Random) -> Iterator[Story]:
    """Some stories of these states."""
    chosen = states if len(states) <= _ENOUGH else chance.sample(states, _ENOUGH)
    for state in chosen:
        yield from visits.states[state][1][:2]
    for state in chosen[:20]:
        yield from visits.states[state][1][2:]


def _every(visits: Visits, states: list[State]) -> Iterator[Story]:
    """Every story of these states."""
    for state in states:
        yield from visits.states[state][1]


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


def _same(switch: Switch, one: Flow | None, other: Flow, packet: Fields) -> bool:
    """Whether two flows of one priority or another do the same to a packet, under the same name where it is dropped.

    They may not have one priority: a packet that both match is a mistake of its own.
    """
    if one is None or one.priority == other.priority or (one.kind is not other.kind and one.kind.is_drop):
        return False
    return _does(switch, one, packet) == _does(switch, other, packet)


def _does(switch: Switch, flow: Flow, packet: Fields) -> tuple[object, ...]:
    """What a flow does to a packet; where it asks `tell`, what that does to one that was not told yet."""
    asked = switch.find(TELL, packet) if flow.kind is Kind.NOTICE else flow
    return _deeds(asked if asked is not None else flow)


def equivalent(bench: Bench, known: Met, arrivals: list[Fields], mutant: Mutant) -> str:  # noqa: PLR0911, PLR0912 - one case per reason
    """Why a mutant does just what the flow does, in words; '' where it may not."""
    flow, lost = mutant.original, mutant.what.removesuffix(" not matched")
    match = {name: value for name, value, _ in flow.match}
    visits = known[mutant.chassis, flow.table.id]
    switch = bench.switches[mutant.chassis]
    if flow not in visits.met:
        return "a net under what should not happen: nothing that was sent gets there"
    if mutant.flow is None and _replaced(switch, visits, flow):
        return "what is met instead does the same, under the same name where it drops"
    if lost == "eth_dst" and flow.kind in (Kind.ASK_GATEWAY, Kind.DROP_UNKNOWN_NEIGHBOR):
        return "what becomes of a request by unicast for an address that nobody has is left open"
    if mutant.flow is None or not _is_wider(mutant) or _may_notice(bench, known, mutant):
        return ""
    if len(mutant.flow.match) == len(flow.match) - 1 and _meets_the_same(switch, visits, flow, lost):
        return "what it takes over met the same actions before"
    if lost == ORIGIN and flow.kind is Kind.DROP_SPOOFED_TUNNEL:
        return "what comes from a port meets a flow of that port before"
    if lost == ORIGIN and flow.kind is Kind.MEASURE:
        return "split horizon has dropped what came by a tunnel"
    if lost == "metadata" and {vni for vni, port in _places(switch) if port == match.get("in_port")} == {match[lost]}:
        return "the port is in one network"
    if lost == ORIGIN:
        if "in_port" in match:
            return "the port says where it came from"
        if {"tun_src", "tun_ipv6_src"} & match.keys():
            return "only what came by a tunnel has a VTEP"
        if not match[ORIGIN] and (ORIGIN, 1) not in visits.having:
            return "nothing that came by a tunnel gets to this table"
    if lost in (*_SENDER, *_SAID) and _guarded(switch, visits, mutant, lost, arrivals):
        return "guard, claim and discovery let nothing else by, or what meets the same actions"
    return ""


def _replaced(switch: Switch, visits: Visits, flow: Flow) -> bool:
    """Whether without the flow another one of its kind does the same to all that meets it."""
    switch.remove(flow)
    try:
        found = [switch.find(flow.table, visits.packet(state)) for state in visits.met[flow]]
    finally:
        switch.put(flow)
    return all(
        each is not None and _deeds(each) == _deeds(flow) and (each.kind is flow.kind or not flow.kind.is_drop)
        for each in found
    )


def _meets_the_same(switch: Switch, visits: Visits, flow: Flow, lost: str) -> bool:
    """Whether packets that differ from the flow's in the lost field alone meet the same, with any value of it."""
    values = {value for each in visits.flows for name, value, _ in each.match if name == lost} | {0, 3, STRANGER}
    return all(
        _unmoved(switch, flow, visits.packet(state) | {lost: value})
        for state in visits.met[flow][:_BASES]
        for value in values
        if value >> FIELDS[lost].bits == 0
    )


_BASES: Final = 20
"""Packets that met a flow, of which others are made."""


def _unmoved(switch: Switch, flow: Flow, packet: Fields) -> bool:
    """Whether a packet fares as before when a flow takes over what it meets now."""
    before = switch.find(flow.table, packet)
    if before is flow or (before is not None and before.priority > flow.priority):
        return True
    return _same(switch, before, flow, packet)


_TUNNEL_PORTS: Final = frozenset(tunnel.ofport for tunnel in TUNNELS)


def _places(switch: Switch) -> set[tuple[int, int]]:
    """(VNI, port) of each local port, by what classify does."""
    return {
        (action.value, value)
        for each in switch.flows(CLASSIFY)
        for action in each.actions
        if isinstance(action, SetField) and action.field == "metadata"
        for name, value, _ in each.match
        if name == "in_port" and value not in _TUNNEL_PORTS
    }


def arriving(bench: Bench, chassis: str) -> list[Fields]:
    """Who gets by a chassis' guard: each port, with each MAC, in each of its networks; from each VTEP, what is learned.

    A MAC that the guard does not know stands for all others.
    """
    switch = bench.switches[chassis]
    macs = {mac_number(mac) for each in bench.overlay.bindings for mac in (*each.macs, *each.shared)} | {STRANGER}
    found = [
        {"metadata": vni, "in_port": port, "eth_src": mac} for vni, port in sorted(_places(switch)) for mac in macs
    ]
    found = [each for each in found if getattr(switch.find(GUARD, each), "kind", None) is Kind.OWN_SOURCE]
    for flow in switch.flows(GUARD):
        if flow.kind is Kind.REMOTE_SOURCE and Goto(LEARN) in flow.actions:
            there = [{name: value for name, value, _ in flow.match} | {"eth_src": mac} for mac in macs]
            found += [each for each in there if switch.find(GUARD, each) is flow]
    return found


def _asks_tell(switch: Switch, who: Fields) -> bool:
    """Whether anything of a port in a network gets to `tell`."""
    place = {("metadata", who["metadata"], None), ("in_port", who.get("in_port", 0), None)}
    return any(each.kind is Kind.NOTICE and place <= set(each.match) for each in switch.flows(NOTICE))


_SENDER: Final = ("metadata", "in_port", "eth_src", "tun_src", "tun_ipv6_src")
_SAID: Final = ("arp_sha", "arp_spa", "ipv6_src", "nd_target")


def _guarded(switch: Switch, visits: Visits, mutant: Mutant, lost: str, arrivals: list[Fields]) -> bool:
    """Whether all that gets as far as a flow's table, and that it takes over without the lost field, fares as before.

    That is: from each port or VTEP, MAC and network that the guard lets by, what `claim` and `discovery` let by.
    """
    flow = mutant.original
    assert mutant.flow is not None
    if not GUARD.id < flow.table.id <= RESPOND.id or (lost in _SAID and flow.table not in (NOTICE, RESPOND)):
        return False
    rows = [(name, value) for name, value, _ in mutant.flow.match if name in (*_SENDER, ORIGIN)]
    others = [
        each
        for each in arrivals
        if all(each.get(name, 0) == value for name, value in rows)
        and (ORIGIN not in each or flow.table.id >= LEARN.id)
        and (flow.table is not TELL or _asks_tell(switch, each))
    ]
    values = {0, STRANGER} if lost in _SAID else set()
    if lost in _SAID:
        tables = (CLAIM, DISCOVERY, flow.table)
        values |= {v for table in tables for each in switch.flows(table) for name, v, _ in each.match if name == lost}
    nowhere = dict.fromkeys(_SENDER, 0)
    for state in visits.met[flow][:_BASES]:
        for each in others:
            for said in [{lost: value} for value in values if value >> FIELDS[lost].bits == 0] or [{}]:
                packet = visits.packet(state) | nowhere | each | said
                if not _unmoved(switch, flow, packet) and _claimed(switch, flow.table, packet):
                    return False
    return True


def _claimed(switch: Switch, table: Table, packet: Fields) -> bool:
    """Whether `claim` and `discovery` let a packet get to a table, if only with other options than it has there.

    In tables that do not see what these two look at, anything may have got there.
    """
    kind = (packet.get("eth_type", 0), packet.get("ip_proto", 0), packet.get("icmpv6_type", 0))
    if table not in (NOTICE, RESPOND) or kind not in ((ARP, 0, 0), (IPV6, 58, 135), (IPV6, 58, 136)):
        return True
    for option in (0, packet["eth_src"]):
        whole = {"arp_op": 1, "nw_ttl": 255, "nd_sll": option, "nd_tll": option} | packet
        found = [switch.find(each, whole) for each in (CLAIM, DISCOVERY)]
        if all(each is not None and not each.kind.is_drop for each in found):
            return True
    return False


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
    arrivals = {name: arriving(bench, name) for name in bench.switches}
    for number, mutant in enumerate(tried):
        progress(number)
        visits = known[mutant.chassis, mutant.original.table.id]
        states = _may_notice(bench, known, mutant)
        if noticed(bench, mutant, _first(visits, states, chance)):
            continue
        if why := equivalent(bench, known, arrivals[mutant.chassis], mutant):
            explained[why].append(mutant)
        elif not noticed(bench, mutant, _every(visits, states)):
            unexplained.append(mutant)
    return Survivors(len(tried), explained, unexplained)
