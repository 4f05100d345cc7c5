"""A packet through flows, as Open vSwitch would take it: one switch, or across the tunnels of several.

Runs on what `compile` returns or `text.parse` reads back, learned flows included, and answers with values:
the flows that were met, what was sent where, what was copied to the controller. For tests and `trace`.
Stricter than a switch in one point: two flows of equal priority that both match are an error, for which
of them a switch would take is not defined (OpenFlow 1.4 section 5.3).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Final

from flows.fields import FIELDS, Field
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
from flows.model import GRE6, TUNNELS, Chassis, Encap, TunnelPort, Vtep, is_ipv4, tunnels_from
from flows.tables import CLASSIFY, TAG_PRESENT, Kind, Table
from flows.text import with_cookie

STATE: Final = frozenset(
    {"in_port", "metadata", "tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst"}
    | {"reg0", "reg1", "reg2", "reg3", "reg4", "reg5", "reg6", "reg7"}
)
"""The fields that are the pipeline's own and not on the wire."""
BEYOND: Final = {
    field.name: field
    for field in (
        Field("octets", 16, "int", 0, 0, ""),
        Field("vlan_tpid", 16, "hex", 0, 0, ""),
        Field("inner_tci", 16, "hex", 0, 0, ""),
        Field("inner_tpid", 16, "hex", 0, 0, ""),
    )
}
"""What a packet has that no flow can match: its length with its Ethernet header, 0 for a small one; the EtherType of
its VLAN tag, 0 for 802.1Q's; and a second tag behind that, and that one's EtherType."""
_NEEDS: Final[Mapping[str, tuple[Mapping[str, int], ...]]] = {
    **dict.fromkeys(
        ("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"), ({"eth_type": 0x0806}, {"eth_type": 0x8035})
    ),
    **dict.fromkeys(("ip_proto", "nw_ttl", "ip_frag"), ({"eth_type": 0x0800}, {"eth_type": 0x86DD})),
    **dict.fromkeys(("ip_src", "ip_dst"), ({"eth_type": 0x0800},)),
    **dict.fromkeys(("ipv6_src", "ipv6_dst"), ({"eth_type": 0x86DD},)),
    **dict.fromkeys(("udp_src", "udp_dst"), ({"ip_proto": 17},)),
    "icmp_type": ({"eth_type": 0x0800, "ip_proto": 1},),
    "icmpv6_type": ({"eth_type": 0x86DD, "ip_proto": 58},),
    **dict.fromkeys(("nd_target", "nd_reserved", "nd_options_type"), ({"icmpv6_type": 135}, {"icmpv6_type": 136})),
    "nd_sll": ({"icmpv6_type": 135},),
    "nd_tll": ({"icmpv6_type": 136},),
}
"""Which packets have a field at all: those that agree with one of these, and have what that needs (ovs-fields(7))."""
_PORTS_AND_TYPES: Final = frozenset({"udp_src", "udp_dst", "icmp_type", "icmpv6_type"})
"""What Open vSwitch takes for 0 in any fragment, as long as it is not told to reassemble them."""
_UNSEEN_IN_FRAGMENTS: Final = dict.fromkeys(_PORTS_AND_TYPES, 0)
_FRAGMENT: Final = 1
MAX_DEPTH: Final = 64
"""The most lookups one inside the other (Open vSwitch's limit for resubmit)."""
MAX_HOPS: Final = 4
"""The most tunnels a packet may pass one after the other before it is taken to go round."""
_TUNNELS: Final = {tunnel.ofport: tunnel for tunnel in TUNNELS}
_VLAN: Final = 0x8100
_TAGS: Final = frozenset({"vlan_tci", "vlan_tpid", "inner_tci", "inner_tpid"})
_FAMILIES: Final = ("tun_", "tun_ipv6_")
"""What the fields of a tunnel's two ends begin with, of IPv4 and of IPv6."""
_KEY_MASK: Final[Mapping[Encap, int]] = {Encap.VXLAN: (1 << 24) - 1, Encap.GRE: (1 << 32) - 1}
"""What of `tun_id` a tunnel header carries (RFC 7348, RFC 2890)."""


class OverlapError(ValueError):
    """Two flows of one table and priority match the same packet."""


class LoopError(ValueError):
    """A packet that would never come to an end."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet's fields by name, sorted; one that is 0 or that the packet does not have is left out."""

    items: tuple[tuple[str, int], ...]

    def __getitem__(self, name: str) -> int:
        return dict(self.items).get(name, 0)

    def on_wire(self) -> Packet:
        """The packet without the pipeline's own fields, and without those that a packet of its kind has not."""
        fields = dict(self.items)
        gone = _absent(*[fields.get(name, 0) for name in _DECIDING])
        if not fields.get("vlan_tci", 0) & TAG_PRESENT:
            gone |= _TAGS
        return Packet(tuple([item for item in self.items if item[0] not in gone]))

    def but(self, **written: int | str) -> Packet:
        """The packet with some fields written anew."""
        values = {name: (BEYOND.get(name) or FIELDS[name]).value(value) for name, value in written.items()}
        return _packet({**dict(self.items), **values})


def has(fields: Mapping[str, int], name: str) -> bool:
    """Whether a packet of this kind has such a field."""
    needs = _NEEDS.get(name)
    return needs is None or any(
        all(fields.get(other, 0) == value and has(fields, other) for other, value in need.items()) for need in needs
    )


_DECIDING: Final = ("eth_type", "ip_proto", "icmpv6_type")
"""The fields on which it depends what others a packet has."""


@lru_cache(maxsize=1024)
def _absent(eth_type: int, ip_proto: int, icmpv6_type: int) -> frozenset[str]:
    """The fields that a packet of this kind has not on the wire."""
    fields = dict(zip(_DECIDING, (eth_type, ip_proto, icmpv6_type), strict=True))
    return STATE | {name for name in _NEEDS if not has(fields, name)}


def packet(**written: int | str) -> Packet:
    """A packet from its fields as written; ValueError or KeyError when one is none."""
    return Packet(()).but(**written)


def _packet(fields: Mapping[str, int]) -> Packet:
    return Packet(tuple(sorted([item for item in fields.items() if item[1]])))


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


_Shape = tuple[tuple[str, int], ...]
_Key = int | tuple[int, ...]
_FULL: Final = {name: (1 << field.bits) - 1 for name, field in FIELDS.items()}
_NOTHING: Final = dict.fromkeys(FIELDS, 0)
"""A packet in which all fields are 0."""


def _taker(names: Iterable[str]) -> Callable[[Mapping[str, int]], _Key]:
    """What takes the values of some fields out of a packet."""
    wanted = sorted(names)
    return itemgetter(*wanted) if wanted else lambda packet: ()


class _Bits:
    """The flows of one table and priority that match the same bits, by the values of these.

    `take` gives what a packet has of them, as it stands in the index: one number, or several.
    """

    __slots__ = ("flows", "take")

    def __init__(self, shape: _Shape) -> None:
        self.flows: dict[_Key, Flow] = {}
        if all(mask == _FULL[name] for name, mask in shape):
            self.take = _taker(name for name, _ in shape)
        else:
            self.take = lambda packet: tuple([packet[name] & mask for name, mask in shape])


_MOST_FOUND: Final = 10_000
"""The most answers that are kept of one table."""


@dataclass(slots=True)
class _Index:
    """The flows of one table: by priority, then by which bits are matched, then by their values.

    What was found is kept, by the values of all fields that any of the flows matches, until a flow comes or goes.
    """

    priorities: dict[int, dict[_Shape, _Bits]] = field(default_factory=dict)
    descending: list[tuple[_Bits, ...]] = field(default_factory=list)
    found: dict[_Key, Flow | None] = field(default_factory=dict)
    take: Callable[[Mapping[str, int]], _Key] = lambda packet: ()

    def put(self, flow: Flow) -> Flow | None:
        """Adds a flow; one of the same priority and match is replaced and returned."""
        flows, key = self._place(flow)
        before = flows.get(key)
        flows[key] = flow
        self.found.clear()
        return before

    def remove(self, flow: Flow) -> None:
        """Takes away the flow of that priority and match; KeyError when there is none."""
        flows, key = self._place(flow)
        del flows[key]
        self.found.clear()

    def _place(self, flow: Flow) -> tuple[dict[_Key, Flow], _Key]:
        """Where a flow of that priority and match stands, or would stand."""
        shape = tuple([(name, _FULL[name] if mask is None else mask) for name, _, mask in flow.match])
        shapes = self.priorities.setdefault(flow.priority, {})
        if shape not in shapes:
            shapes[shape] = _Bits(shape)
            self.descending = [tuple(self.priorities[each].values()) for each in sorted(self.priorities, reverse=True)]
            self.take = _taker({name for shapes in self.priorities.values() for bits in shapes for name, _ in bits})
        bits = shapes[shape]
        return bits.flows, bits.take({name: value for name, value, _ in flow.match})

    def find(self, packet: Mapping[str, int]) -> Flow | None:
        """The flow that matches; OverlapError when two of one priority do. Every field of a packet is there."""
        if packet["ip_frag"] & _FRAGMENT:
            packet = {**packet, **_UNSEEN_IN_FRAGMENTS}
        values = self.take(packet)
        if values not in self.found:
            if len(self.found) >= _MOST_FOUND:
                self.found.clear()
            self.found[values] = self._search(packet)
        return self.found[values]

    def _search(self, packet: Mapping[str, int]) -> Flow | None:
        for shapes in self.descending:
            found = None
            for bits in shapes:
                hit = bits.flows.get(bits.take(packet))
                if hit is not None:
                    if found is not None:
                        raise OverlapError(f"{found} and {hit} both match {_packet(packet)}")
                    found = hit
            if found is not None:
                return found
        return None

    def flows(self) -> list[Flow]:
        """Every flow."""
        return [flow for shapes in self.priorities.values() for bits in shapes.values() for flow in bits.flows.values()]


Watch = Callable[[Table, Mapping[str, int], Flow | None], None]
"""Hears of a lookup: the table, all fields of the packet as they are there, and the flow that was found."""


class Switch:
    """One switch: its flows, and what they teach it as packets pass.

    OverlapError when two of the flows have one table, priority and match: a switch would keep the last.
    """

    def __init__(self, flows: Iterable[Flow]) -> None:
        self.watch: Watch | None = None
        """Is told of each lookup, when it is set."""
        self._tables: dict[int, _Index] = defaultdict(_Index)
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
        return self._tables[table.id].find({**_NOTHING, **fields})

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

    def __init__(self, tables: Mapping[int, _Index], packet: dict[str, int], watch: Watch | None) -> None:
        self.tables = tables
        self.watch = watch
        visible, self.unseen = seen(packet)
        self.packet = {**_NOTHING, **visible}
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
            packet["vlan_tpid"] = _tpid(action.ethertype)
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
        return _packet(packet)

    def output(self, port: int) -> None:
        """Sends the packet: never out of the port it came by, unless that is said; never out of port 0."""
        came_by = self.packet.get("in_port", 0)
        if port == IN_PORT:
            self.outputs.append(Sent(came_by, self.whole()))
        elif port not in (0, came_by):
            self.outputs.append(Sent(port, self.whole()))


def _tpid(ethertype: int) -> int:
    """What stands in a packet for the EtherType of a tag."""
    return 0 if ethertype == _VLAN else ethertype


def seen(packet: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """What Open vSwitch sees of a packet, and what it does not: behind one tag it looks at no further one.

    Of the second tag it sees the EtherType, as if that were the packet's (ovs-vswitchd.conf.db(5), `vlan-limit`).
    """
    if not packet.get("inner_tci", 0) & TAG_PRESENT:
        return packet, {}
    before = {"eth_src", "eth_dst", "vlan_tci", "vlan_tpid", "octets", *STATE}
    unseen = {name: value for name, value in packet.items() if name not in before}
    rest = {name: value for name, value in packet.items() if name in before}
    return {**rest, "eth_type": packet.get("inner_tpid", 0) or _VLAN}, unseen


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


@dataclass(frozen=True, slots=True)
class Delivery:
    """A packet, as on the wire, out of a port that is no tunnel."""

    chassis: str
    ofport: int
    packet: Packet


@dataclass(frozen=True, slots=True)
class Journey:
    """What became of a packet on all the chassis it reached, in the order it reached them."""

    deliveries: tuple[Delivery, ...]
    lost: tuple[tuple[str, Sent], ...]
    """What a chassis sent into a tunnel that ends nowhere."""
    traces: tuple[tuple[str, Trace], ...]


def journey(
    switches: Mapping[str, Switch],
    chassis: Mapping[str, Chassis],
    origin: str,
    packet: Packet,
    *,
    teach: bool = True,
    gre6: TunnelPort = GRE6,
) -> Journey:
    """Takes a packet that came in at `origin` through its flows, the tunnels, and the flows behind those.

    `gre6` is the tunnel port at which GRE over IPv6 comes in; which one it is depends on the datapath.
    Raises LoopError when it passes more than `MAX_HOPS` tunnels one after the other.
    """
    deliveries: list[Delivery] = []
    lost: list[tuple[str, Sent]] = []
    traces: list[tuple[str, Trace]] = []
    waiting = deque([(origin, packet, 0)])
    while waiting:
        here, arrived, hops = waiting.popleft()
        if hops > MAX_HOPS:
            raise LoopError(f"{packet} passed {hops} tunnels, the last one to {here}")
        trace = switches[here].send(arrived, teach=teach)
        traces.append((here, trace))
        written: Packet | None = None
        for sent in trace.outputs:
            if sent.packet is not written:
                written, wire = sent.packet, sent.packet.on_wire()
            tunnel = _TUNNELS.get(sent.port)
            if tunnel is None:
                deliveries.append(Delivery(here, sent.port, wire))
                continue
            reached = _through(chassis, chassis[here], tunnel, gre6, sent.packet)
            if reached is None:
                lost.append((here, sent))
                continue
            there, outer = reached
            waiting.append((there, _packet({**dict(wire.items), **outer}), hops + 1))
    return Journey(tuple(deliveries), tuple(lost), tuple(traces))


def _through(
    chassis: Mapping[str, Chassis], here: Chassis, tunnel: TunnelPort, gre6: TunnelPort, sent: Packet
) -> tuple[str, dict[str, int]] | None:
    """The chassis at the other end of a tunnel, and what a packet has of it there; None where it ends nowhere.

    That is so unless exactly one address family has a far end, both ends are VTEPs that offer the encap, and the
    tunnel port is one for that family.
    """
    fields = dict(sent.items)
    families = [family for family in _FAMILIES if fields.get(family + "dst", 0)]
    if len(families) != 1:
        return None
    family = families[0]
    ours = [vtep for vtep in here.vteps if is_ipv4(vtep.ip) == (family == "tun_")]
    # What names no source leaves from whichever address of the host its routes prefer, and that may be no VTEP.
    local = next((vtep for vtep in ours if _number(family, vtep) == sent[family + "src"]), None)
    far = [
        (each, vtep)
        for each in chassis.values()
        for vtep in each.vteps
        if is_ipv4(vtep.ip) == (family == "tun_") and _number(family, vtep) == fields[family + "dst"]
    ]
    if local is None or not far:
        return None
    there, remote = far[0]
    arrives = tunnels_from(tunnel.encap, local.ip)
    leaves = arrives if not is_ipv4(local.ip) else arrives[:1]
    if tunnel not in leaves or tunnel.encap not in local.encaps & remote.encaps:
        return None
    return there.name, {
        "in_port": (gre6 if GRE6 in arrives and not is_ipv4(local.ip) else arrives[0]).ofport,
        "tun_id": fields.get("tun_id", 0) & _KEY_MASK[tunnel.encap],
        family + "src": _number(family, local),
        family + "dst": _number(family, remote),
    }


@lru_cache(maxsize=4096)
def _number(family: str, vtep: Vtep) -> int:
    """The address of a VTEP as it stands in a packet."""
    return FIELDS[family + "src"].value(vtep.ip)
