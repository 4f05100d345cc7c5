"""The simulator, the encoder and the text against a real Open vSwitch: it must agree with each of them.

Every flow of every topology and of random overlays is installed as `controller.flow_bytes` encodes it, then the
same packets go through the simulator and through `ofproto/trace`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from controller import flow_bytes, wire
from controller.packet_in import MESSAGE_TYPE, Seen, parse_arp, parse_packet_in
from controller.readback import content
from flows import text
from flows.compile import compile
from flows.compile.view import link_local
from flows.flow import (
    CONTROLLER_PORT,
    IN_PORT,
    OWNER_COOKIE,
    OWNER_MASK,
    Action,
    CheckLarger,
    Controller,
    Flow,
    Goto,
    Learn,
    Output,
    OutputField,
    Recirculate,
    Resubmit,
    SetField,
    flow,
    kind_of,
    set_field,
)
from flows.model import TUNNELS, Overlay
from flows.simulate import STATE, Packet, Switch, Trace, packet
from flows.tables import CLASSIFY, FDB, NOTICE, ORIGIN, TOLD_TABLE, Kind
from tests.overlays import THREE, overlays
from tests.packets import ARP, STRANGERS, UNPLUGGED, every_packet, macs, origins, packets, pairs, topology_overlay
from tests.system.dummy_switch import DummySwitch, RealOutput, RealTrace, dummy_switch
from tests.vocabulary import flows, meters
from topologies.catalogue import TOPOLOGIES

pytestmark = pytest.mark.system

TUNNEL_OFPORTS = {tunnel.ofport for tunnel in TUNNELS}
ENDS = ("tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst")
OFPORTS = range(1, UNPLUGGED + 1)
LEARNED = (FDB, TOLD_TABLE)
"""Tables that the switch writes by itself."""
UNREACHED = {
    Kind.DROP_NO_MEMBERS,
    Kind.DROP_SPLIT_HORIZON,
    Kind.DROP_SPOOFED_TUNNEL,
    # Where the one port that might is the one that has the address.
    Kind.DROP_SPOOFED_ARP,
    Kind.DROP_SPOOFED_IP,
}
"""Kinds of which a topology may have a flow that no packet meets: nets under what should not happen."""


@pytest.fixture(scope="module")
def switch() -> Iterator[DummySwitch]:
    with dummy_switch(OFPORTS) as running:
        yield running


def as_seen(trace: Trace) -> RealTrace:
    """The simulator's trace in the words of Open vSwitch's."""
    copies = []
    for _, one in trace.steps:
        for action in one.actions if one is not None else ():
            if isinstance(action, Controller):
                assert one is not None
                copies.append((one.cookie, action.max_len))
    assert [copy.max_len for copy in trace.copies] == [length for _, length in copies]
    outputs = []
    for sent in trace.outputs:
        into = tuple(sent.packet[name] for name in ENDS) if sent.port in TUNNEL_OFPORTS else None
        outputs.append(RealOutput(sent.port, into, sent.packet.on_wire()))
    steps = tuple((table.id, None if one is None else one.cookie) for table, one in trace.steps)
    return RealTrace(steps, tuple(outputs), tuple(copies))


@pytest.mark.parametrize("copies", [Controller(50), Controller(50, 65537, 10, 20)], ids=["plain", "metered"])
def test_a_packet_goes_out_and_comes_in(switch: DummySwitch, copies: Controller) -> None:
    """A packet-out through the pipeline comes back as the packet-in of a flow, with what the flow had set."""
    copy = flow(NOTICE, Kind.NOTICE, 1, {"metadata": 100}, [set_field(ORIGIN, 1), copies])
    switch.install([copy])
    frame = bytes.fromhex("ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 0a000001")
    frame += bytes.fromhex("000000000000 0a000002") + bytes(18)
    ask_for_packet_ins = struct.pack("!BBHIHH", wire.VERSION, 9, 12, 0, 0, 0xFFFF)
    sent = wire.packet_out(frame, [set_field("metadata", 100), Resubmit(NOTICE)])
    *refused, came = switch.openflow(ask_for_packet_ins + sent, until=MESSAGE_TYPE)
    read = parse_packet_in(came[8:])
    assert refused == []
    assert (read.table, read.cookie) == (NOTICE.id, copy.cookie)
    assert (read.fields["in_port"], read.fields["metadata"], read.fields[ORIGIN]) == (CONTROLLER_PORT, 100, 1)
    # Open vSwitch 3.1 sends the whole packet, whatever max_len says, with a meter or without.
    assert read.data in (frame, frame[:50])
    assert parse_arp(read.data) == Seen("10.0.0.1", "02:00:00:00:00:01")


def agree(switch: DummySwitch, model: Switch, packet: Packet, *, teach: bool = False) -> Trace:
    """Holds the simulator's answer against the switch's."""
    simulated = model.send(packet, teach=teach)
    real = switch.trace(packet, teach=teach)
    assert as_seen(simulated) == real
    if not real.outputs:
        ended = [cookie for _, cookie in real.steps if cookie is not None][-1]
        assert simulated.dropped is kind_of(ended)
    return simulated


def same_flows(dumped: list[Flow], expected: list[Flow]) -> None:
    assert sorted(text.dump(dumped).splitlines()) == sorted(text.dump(expected).splitlines())


@given(st.lists(flows(), max_size=20, unique_by=lambda one: (one.table.id, one.priority, one.match)))
def test_what_is_read_back_is_what_was_sent(switch: DummySwitch, many: list[Flow]) -> None:
    """Else flows would be mended that nobody has altered."""
    try:
        switch.install(many)
    except AssertionError:  # what a switch takes is asked elsewhere
        reject()
    sent = {one.key: content(flow_bytes.body_of(one)) for one in many}
    read = switch.read()
    assert {row.key: content(row.body) for row in read} == sent
    assert switch.openflow(b"".join(map(wire.flow_mod_delete_strict, read))) == []
    assert switch.read() == []


@given(st.lists(flows(), max_size=20, unique_by=lambda one: (one.table.id, one.priority, one.match)))
def test_every_flow_is_taken_as_bytes_and_as_text_and_comes_back(switch: DummySwitch, many: list[Flow]) -> None:
    switch.install(many)
    known = text.meters(switch.ofctl("dump-meters"))
    assert known == meters(many)
    as_bytes = text.parse(switch.ofctl("dump-flows"), known)
    same_flows(as_bytes, many)
    stats = switch.openflow(wire.flow_stats_request(5, OWNER_COOKIE, OWNER_MASK))
    rows = [row for message in stats for row in wire.parse_flow_stats(message[16:])]
    assert sorted(row.key for row in rows) == sorted(one.key for one in many)
    switch.ofctl("del-flows")
    switch.ofctl("add-flows", "-", stdin=text.dump(many))
    same_flows(text.parse(switch.ofctl("dump-flows"), known), many)


def same_learned(dumped: list[Flow], model: Switch) -> None:
    for table in LEARNED:
        same_flows([one for one in dumped if one.table is table], model.flows(table))


def _alone(one: Flow) -> Flow:
    """A flow of any table as the only one of table classify, without what leads on, and with an end one can see."""
    elsewhere = (Goto, Resubmit, Learn, OutputField, Recirculate)  # a trace shows no second datapath flow
    steps: list[Action] = []
    for action in one.actions:
        if isinstance(action, Output) and action.port != IN_PORT:
            steps.append(Output(action.port % UNPLUGGED + 1))
        elif action == SetField("arp_op", 0):
            steps.append(SetField("arp_op", 2))
        elif not isinstance(action, elsewhere) and not (CheckLarger is type(action) in map(type, steps)):
            steps.append(action)
    match = tuple(row for row in one.match if row[0] != "in_port")
    return Flow(CLASSIFY, one.kind, one.priority, match, (*steps, Output(UNPLUGGED)))


@settings(max_examples=300)
@given(flows().map(_alone), st.data())
def test_any_actions_on_any_packet(switch: DummySwitch, one: Flow, data: st.DataObject) -> None:
    """A packet that the flow matches, of any length, with one tag or two where it has one: the same comes out."""
    says = {name: value for name, value, _ in one.match}
    frame = {"in_port": 1, "eth_src": 2, "eth_dst": 4} | says
    # Open vSwitch rewrites nothing in ARP without an operation and IP without a protocol.
    needed = {0x0806: "arp_op", 0x0800: "ip_proto", 0x86DD: "ip_proto"}.get(frame.get("eth_type", 0), "")
    assume(says.get(needed) != 0)
    frame.setdefault(needed or "eth_src", 1)
    if any(isinstance(action, CheckLarger) for action in one.actions):
        frame["octets"] = data.draw(st.integers(60, 0xFF00))
    packet = Packet(tuple(sorted((name, value) for name, value in frame.items() if value)))
    switch.install([one])
    simulated, real = Switch([one]).send(packet), switch.trace(packet)
    assert as_seen(simulated) == real


@given(st.lists(flows(), max_size=20, unique_by=lambda one: (one.table.id, one.priority, one.match)), st.data())
def test_delete_takes_what_it_names(switch: DummySwitch, many: list[Flow], data: st.DataObject) -> None:
    switch.install(many)
    gone = data.draw(st.sets(st.sampled_from(many))) if many else set()
    assert switch.openflow(b"".join(wire.flow_mod_delete(one.key) for one in gone)) == []
    left = text.parse(switch.ofctl("dump-flows"), meters(many))
    same_flows(left, [one for one in many if one not in gone])


@settings(max_examples=100)
@given(overlays(), st.data())
def test_random_overlays(switch: DummySwitch, overlay: Overlay, data: st.DataObject) -> None:
    """Any packet into any chassis, with what was learned from those before it."""
    chassis = data.draw(st.sampled_from(sorted(overlay.chassis)))
    sent = data.draw(st.lists(packets(overlay, chassis), min_size=1, max_size=20))
    compiled = compile(overlay, chassis)
    switch.install(compiled)
    model = Switch(compiled)
    for one in sent:
        agree(switch, model, one, teach=data.draw(st.booleans()))
    dumped = text.parse(switch.ofctl("dump-flows"), meters(compiled))
    same_learned(dumped, model)
    same_flows([one for one in dumped if one.table not in LEARNED], list(compiled))


def witnesses(overlay: Overlay, chassis: str, compiled: Iterable[Flow]) -> Iterator[Packet]:
    """By every way in, honest packets of every MAC, each with what one of the flows looks for; small and large."""
    senders = [("10.0.0.250", mac) for mac in macs(overlay)] + pairs(overlay)
    looked_for = {tuple((name, value) for name, value, _ in one.match if name not in STATE) for one in compiled}
    for way, (ip, mac), looked in product(origins(overlay, chassis), senders, sorted(looked_for)):
        says = dict(looked)
        honest: dict[str, int | str] = {"eth_src": mac, "eth_dst": STRANGERS[1], "eth_type": 0x0800}
        if says.get("eth_type") == ARP:
            honest |= {"arp_op": 1, "arp_sha": mac, "arp_spa": ip}
        elif says.get("eth_type") == 0x86DD:
            honest |= {"ip_proto": 6, "nw_ttl": 255, "ipv6_src": link_local(mac), "nd_sll": mac, "nd_tll": mac}
            honest |= {"nd_target": link_local(mac)}
        elif says.get("eth_type", 0x0800) == 0x0800:
            honest |= {"ip_proto": 6, "ip_src": ip}
        for octets in (0, 9000):
            yield packet(**honest).but(**way).but(**says, octets=octets)


@pytest.mark.parametrize("name", ["three of the tests", *TOPOLOGIES])
def test_topologies(switch: DummySwitch, name: str) -> None:
    """Every frame by every way into every chassis; and every flow that a packet can meet is met."""
    overlay = THREE if name == "three of the tests" else topology_overlay(TOPOLOGIES[name])
    for chassis in overlay.chassis:
        compiled = compile(overlay, chassis)
        switch.install(compiled)
        model = Switch(compiled)
        met = set()
        for sent in every_packet(overlay, chassis):
            met |= {one for _, one in agree(switch, model, sent, teach=True).steps}
        for sent in witnesses(overlay, chassis, compiled):
            if not {one for _, one in model.send(sent, teach=False).steps} <= met:
                met |= {one for _, one in agree(switch, model, sent).steps}
        # What every chassis has may be for what this overlay does not have: IPv6, tags, a VTEP of the other family.
        unmet = [one for one in compiled if one not in met and any(name == "metadata" for name, _, _ in one.match)]
        assert [text.text(one) for one in unmet if one.kind not in UNREACHED] == []


@given(st.integers(0, 3), st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), max_size=12))
def test_limits(switch: DummySwitch, limit: int, sent: list[tuple[int, int]]) -> None:
    """What is learned at, below and above the limit, and by whom, is what Open vSwitch learns."""
    three = [replace(THREE.bindings[-1], ofport=ofport, interface=f"vm{ofport}") for ofport in (1, 2, 3)]
    compiled = [_limited(one, limit) for one in compile(replace(THREE, bindings=tuple(three)), "h2")]
    switch.install(compiled)
    model = Switch(compiled)
    for ofport, number in sent:
        frame = Packet((("eth_dst", 0x020000000009), ("eth_src", 0x020000000000 + number), ("in_port", ofport)))
        agree(switch, model, frame, teach=True)
    dumped = text.parse(switch.ofctl("dump-flows"), meters(compiled))
    same_learned(dumped, model)


def _limited(one: Flow, limit: int) -> Flow:
    actions = tuple(replace(action, limit=limit) if isinstance(action, Learn) else action for action in one.actions)
    return replace(one, actions=actions)
