"""A packet through one switch: from table to table, until it is sent, copied, learned from or dropped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from flows.fields import FIELDS
from flows.flow import (
    IN_PORT,
    Action,
    CheckLarger,
    Controller,
    Flow,
    Goto,
    Learn,
    LearnMatch,
    Move,
    Output,
    OutputField,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    kind_of,
)
from flows.simulate.lookup import NOTHING, Index, OverlapError
from flows.simulate.packets import Packet, seen, tpid
from flows.tables import CLASSIFY, TAG_PRESENT, Kind, Table
from flows.text import with_cookie

MAX_DEPTH: Final = 64
"""The most lookups one inside the other (Open vSwitch's limit for resubmit)."""


class LoopError(ValueError):
    """A packet that would never come to an end."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet out of a port of a switch, with the pipeline's fields as they then were."""

    port: int
    packet: Packet


@dataclass(frozen=True, slots=True)
class Copy:
    """A packet copied to the controller."""

    max_len: int
    packet: Packet


@dataclass(frozen=True, slots=True)
class Trace:
    """What one switch did with a packet. A step is a table and the flow that matched; None is a miss."""

    steps: tuple[tuple[Table, Flow | None], ...]
    outputs: tuple[Sent, ...]
    copies: tuple[Copy, ...]
    taught: tuple[tuple[Flow, int], ...]
    """The flows that were learned, each with its limit."""

    @property
    def dropped(self) -> Kind | None:
        """The kind of flow at which the packet ended when it was sent nowhere, else None."""
        matched = [flow for _, flow in self.steps if flow is not None]
        return matched[-1].kind if matched and not self.outputs else None


Watch = Callable[[Table, Mapping[str, int], Flow | None], None]
"""Hears of a lookup: the table, all fields of the packet as they are there, and the flow that was found."""


class Switch:
    """One switch: its flows, and what they teach it as packets pass.

    OverlapError when two of the flows have one table, priority and match: a switch would keep the last.
    """

    def __init__(self, flows: Iterable[Flow]) -> None:
        self.watch: Watch | None = None
        """Is told of each lookup, when it is set."""
        self._tables: dict[int, Index] = defaultdict(Index)
        for flow in flows:
            before = self._tables[flow.table.id].put(flow)
            if before is not None:
                raise OverlapError(f"{flow} would replace {before}")

    def put(self, flow: Flow) -> Flow | None:
        """Adds a flow; one of the same table, priority and match is replaced and returned."""
        return self._tables[flow.table.id].put(flow)

    def remove(self, flow: Flow) -> None:
        """Takes away the flow of that table, priority and match; KeyError when there is none."""
        self._tables[flow.table.id].remove(flow)

    def find(self, table: Table, fields: Mapping[str, int]) -> Flow | None:
        """The flow of a table that a packet with these fields meets; all others are 0."""
        return self._tables[table.id].find({**NOTHING, **fields})

    def all_flows(self) -> list[Flow]:
        """The flows of every table as they are now."""
        return [flow for index in self._tables.values() for flow in index.flows()]

    def flows(self, table: Table) -> list[Flow]:
        """The flows of a table as they are now."""
        return self._tables[table.id].flows()

    def send(self, packet: Packet, *, teach: bool = True) -> Trace:
        """Takes a packet (its `in_port` says from where) through the pipeline; learns unless told not to.

        What is learned counts from the next packet on, as in Open vSwitch, where a packet is looked up
        in the tables as they were when it came.
        """
        passage = _Passage(self._tables, dict(packet.items), self.watch)
        passage.enter(CLASSIFY, 0)
        if teach:
            for flow, limit in passage.taught:
                self._learn(flow, limit)
        return Trace(tuple(passage.steps), tuple(passage.outputs), tuple(passage.copies), tuple(passage.taught))

    def _learn(self, flow: Flow, limit: int) -> None:
        # At the limit nothing is written, not even over a flow for the same MAC (seen on Open vSwitch 3.1).
        index = self._tables[flow.table.id]
        if not limit or sum(other.cookie == flow.cookie for other in index.flows()) < limit:
            index.put(flow)


class _Passage:
    """One packet on its way through one switch."""

    def __init__(self, tables: Mapping[int, Index], packet: dict[str, int], watch: Watch | None) -> None:
        self.tables = tables
        self.watch = watch
        visible, self.unseen = seen(packet)
        self.packet = {**NOTHING, **visible}
        self.kept: Packet | None = None
        """The whole packet, until one of its fields is written."""
        self.steps: list[tuple[Table, Flow | None]] = []
        self.outputs: list[Sent] = []
        self.copies: list[Copy] = []
        self.taught: list[tuple[Flow, int]] = []

    def enter(self, table: Table | None, depth: int) -> None:
        """Looks the packet up in a table and in those it goes on to."""
        if depth > MAX_DEPTH:
            raise LoopError(f"more than {MAX_DEPTH} lookups inside each other: {self.steps[-4:]}")
        while table is not None:
            flow = self.tables[table.id].find(self.packet) if table.id in self.tables else None
            self.steps.append((table, flow))
            if self.watch is not None:
                self.watch(table, self.packet, flow)
            table = None
            for action in flow.actions if flow is not None else ():
                if isinstance(action, Goto):
                    table = action.table
                elif isinstance(action, Resubmit):
                    self.enter(action.table, depth + 1)
                else:
                    self.act(action)

    def act(self, action: Action) -> None:
        """Does one action that leads to no other table. A meter lets everything pass: here is no time.

        To recirculate changes nothing: a packet has no limit here.
        """
        match action:
            case SetField(name, value):
                self.write(name, value)
            case Output(port):
                self.output(port)
            case Move(source, target, bits):
                mask = (1 << (bits or FIELDS[target].bits)) - 1
                self.write(target, self.packet.get(target, 0) & ~mask | self.packet.get(source, 0) & mask)
            case OutputField(name):
                self.output(self.packet.get(name, 0))
            case Controller(max_len):
                self.copies.append(Copy(max_len, self.whole()))
            case PushVlan() | PopVlan():
                self.retag(action)
            case CheckLarger(octets, name):
                self.write(name, self.packet.get(name, 0) & ~1 | (self.packet.get("octets", 0) > octets))
            case Learn():
                self.taught.append((_learned(action, self.packet), action.limit))

    def write(self, name: str, value: int) -> None:
        """Writes a field; the bit that says there is a VLAN tag also makes the packet longer, or shorter."""
        before = self.packet.get(name, 0)
        self.packet[name] = value
        self.kept = None
        if name == "vlan_tci" and "octets" in self.packet and (before ^ value) & TAG_PRESENT:
            self.packet["octets"] += 4 if value & TAG_PRESENT else -4

    def retag(self, action: PushVlan | PopVlan) -> None:
        """Puts an empty tag in front of those there are, or takes the first one off."""
        packet, tagged = self.packet, self.packet.get("vlan_tci", 0) & TAG_PRESENT
        self.kept = None
        if isinstance(action, PopVlan):
            if not tagged:
                return
            packet["vlan_tci"], packet["vlan_tpid"] = packet.pop("inner_tci", 0), packet.pop("inner_tpid", 0)
        else:
            if tagged:
                packet["inner_tci"], packet["inner_tpid"] = packet["vlan_tci"], packet.pop("vlan_tpid", 0)
            packet["vlan_tci"] = TAG_PRESENT
            packet["vlan_tpid"] = tpid(action.ethertype)
        if "octets" in packet:
            packet["octets"] += 4 if isinstance(action, PushVlan) else -4

    def whole(self) -> Packet:
        """The packet with what of it was not seen."""
        if self.kept is None:
            self.kept = self._whole()
        return self.kept

    def _whole(self) -> Packet:
        packet = self.packet
        if self.unseen and not packet.get("inner_tci"):
            packet = {**packet, **self.unseen}
            if not packet.get("vlan_tci"):
                packet["vlan_tci"], packet["vlan_tpid"] = packet.pop("inner_tci"), packet.pop("inner_tpid", 0)
        return Packet.of(packet)

    def output(self, port: int) -> None:
        """Sends the packet: never out of the port it came by, unless that is said; never out of port 0."""
        came_by = self.packet.get("in_port", 0)
        if port == IN_PORT:
            self.outputs.append(Sent(came_by, self.whole()))
        elif port not in (0, came_by):
            self.outputs.append(Sent(port, self.whole()))


def _learned(learn: Learn, packet: Mapping[str, int]) -> Flow:
    """The flow that a learn action makes of a packet."""
    rows: list[tuple[str, int, int | None]] = []
    actions: list[Action] = []
    for spec in learn.specs:
        bits = FIELDS[spec.target].bits
        if isinstance(spec.source, str):
            bits = min(bits, FIELDS[spec.source].bits)
            value = packet.get(spec.source, 0) & (1 << bits) - 1
        else:
            value = spec.source
        if isinstance(spec, LearnMatch):
            rows.append((spec.target, value, None if bits == FIELDS[spec.target].bits else (1 << bits) - 1))
        else:
            actions.append(SetField(spec.target, value))
    return with_cookie(
        Flow(learn.table, kind_of(learn.cookie) or Kind.LEARNED, learn.priority, tuple(sorted(rows)), tuple(actions)),
        learn.cookie,
    )
