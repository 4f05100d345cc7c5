"""The simulator on flows written by hand; `system/test_differential.py` holds it against Open vSwitch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import text
from flows.flow import (
    IN_PORT,
    KIND_SHIFT,
    OWNER_COOKIE,
    Action,
    Controller,
    Flow,
    Goto,
    Learn,
    LearnLoad,
    LearnMatch,
    Move,
    Output,
    OutputField,
    Resubmit,
    flow,
    set_field,
)
from flows.model import Chassis, Encap
from flows.simulate import (
    STATE,
    Delivery,
    LoopError,
    OverlapError,
    Packet,
    Sent,
    Switch,
    journey,
    packet,
)
from flows.tables import CLASSIFY, DELIVER, FDB, FLOOD, FORWARD, GUARD, LEARN, NOTICE, Kind
from tests.vocabulary import flows

VXLAN = 65001
GRE = 65002
MAC1 = "02:00:00:00:00:01"
MAC2 = "02:00:00:00:00:02"
FRAME = packet(in_port=1, eth_src=MAC1, eth_dst=MAC2, eth_type=0x0800)


def classify(*actions: Action, priority: int = 1, kind: Kind = Kind.LOCAL_PORT, **match: int) -> Flow:
    return flow(CLASSIFY, kind, priority, match, actions)


def test_the_highest_priority_wins_and_the_steps_are_told() -> None:
    low = classify(Output(2))
    high = classify(set_field("metadata", 7), Goto(GUARD), priority=2, in_port=1)
    there = flow(GUARD, Kind.CONTINUE, 1, {"eth_src": ("02:00:00:00:00:00", "ff:00:00:00:00:00")}, [Output(3)])
    trace = Switch([low, high, there]).send(FRAME)
    assert trace.steps == ((CLASSIFY, high), (GUARD, there))
    assert trace.outputs == (Sent(3, FRAME.but(metadata=7)),)
    assert trace.dropped is None
    assert Switch([low, high, there]).send(FRAME.but(in_port=5)).outputs == (Sent(2, FRAME.but(in_port=5)),)


def test_a_miss_is_a_step_without_a_flow() -> None:
    first = classify(Goto(GUARD))
    trace = Switch([first]).send(FRAME)
    assert trace.steps == ((CLASSIFY, first), (GUARD, None))
    assert trace.dropped is Kind.LOCAL_PORT
    assert Switch([]).send(FRAME).dropped is None


def test_a_drop_names_its_kind() -> None:
    assert Switch([classify(kind=Kind.DROP_NO_NETWORK)]).send(FRAME).dropped is Kind.DROP_NO_NETWORK


def test_overlapping_flows_of_one_priority_are_an_error() -> None:
    one = classify(Goto(GUARD))
    rows = [
        flow(GUARD, Kind.CONTINUE, 1, {"eth_src": MAC1}, []),
        flow(GUARD, Kind.CONTINUE, 1, {"eth_dst": MAC2}, []),
    ]
    switch = Switch([one, *rows])
    switch.send(FRAME.but(eth_dst=MAC1))
    with pytest.raises(OverlapError, match="both match"):
        switch.send(FRAME)
    with pytest.raises(OverlapError, match="would replace"):
        Switch([classify(Output(1)), classify(Output(2))])


def test_output_leaves_out_the_port_of_origin_and_port_0() -> None:
    every = classify(Output(1), Output(2), OutputField("reg1"), set_field("reg1", 3), OutputField("reg1"))
    assert [sent.port for sent in Switch([every]).send(FRAME).outputs] == [2, 3]
    back = Switch([classify(Output(IN_PORT))]).send(FRAME)
    assert [sent.port for sent in back.outputs] == [1]


def test_each_output_carries_the_packet_as_it_was() -> None:
    one = classify(
        set_field("tun_dst", "192.0.2.2"),
        Output(2),
        Controller(64),
        set_field("tun_dst", "192.0.2.3"),
        Move("eth_src", "eth_dst"),
        Output(3),
    )
    trace = Switch([one]).send(FRAME)
    assert [sent.packet for sent in trace.outputs] == [
        FRAME.but(tun_dst="192.0.2.2"),
        FRAME.but(tun_dst="192.0.2.3", eth_dst=MAC1),
    ]
    assert [(copy.max_len, copy.packet) for copy in trace.copies] == [(64, FRAME.but(tun_dst="192.0.2.2"))]


def test_resubmit_comes_back_and_keeps_what_was_written() -> None:
    first = classify(Goto(GUARD))
    on = [
        flow(GUARD, Kind.CONTINUE, 1, {}, [Goto(LEARN)]),
        flow(LEARN, Kind.CONTINUE, 1, {}, [Goto(NOTICE)]),
    ]
    look_up = flow(FORWARD, Kind.LOOK_UP_LEARNED, 0, {}, [Resubmit(FDB), Goto(DELIVER)])
    found = flow(FDB, Kind.LEARNED, 1, {"eth_dst": MAC2}, [set_field("reg1", 4)])
    out = flow(DELIVER, Kind.DELIVER, 0, {}, [OutputField("reg1")])
    jump = flow(NOTICE, Kind.CONTINUE, 0, {}, [])
    switch = Switch([first, *on, look_up, found, out, jump])
    assert [table.name for table, _ in switch.send(FRAME).steps] == ["classify", "guard", "learn", "notice"]
    short = Switch([Flow(CLASSIFY, Kind.CONTINUE, 0, (), (Goto(FORWARD),)), look_up, found, out])
    trace = short.send(FRAME)
    assert [table.name for table, _ in trace.steps] == ["classify", "forward", "fdb", "deliver"]
    assert [sent.port for sent in trace.outputs] == [4]
    missed = short.send(FRAME.but(eth_dst=MAC1))
    assert missed.steps[2] == (FDB, None)
    assert missed.dropped is Kind.DELIVER


def test_lookups_without_end_are_refused() -> None:
    with pytest.raises(LoopError, match="inside each other"):
        Switch([Flow(CLASSIFY, Kind.CONTINUE, 0, (), (Resubmit(CLASSIFY),))]).send(FRAME)


COOKIE = OWNER_COOKIE | Kind.LEARNED << KIND_SHIFT | 5


def teacher(limit: int, cookie: int = COOKIE, **match: int) -> Flow:
    specs = (
        LearnMatch("metadata", "metadata"),
        LearnMatch("eth_dst", "eth_src"),
        LearnLoad("tun_dst", "tun_src"),
        LearnLoad("reg1", "in_port"),
        LearnLoad("reg0", 9),
    )
    learn = Learn(FDB, cookie, 7, 300, limit, specs)
    return Flow(CLASSIFY, Kind.LEARN_LOCAL, 1, tuple((k, v, None) for k, v in match.items()), (learn,))


def learned(mac: str, port: int) -> Flow:
    writes = [set_field("tun_dst", 0), set_field("reg1", port), set_field("reg0", 9)]
    return flow(FDB, Kind.LEARNED, 7, {"metadata": 3, "eth_dst": mac}, writes)


def test_a_flow_is_learned_from_the_next_packet_on() -> None:
    switch = Switch([teacher(9)])
    trace = switch.send(FRAME.but(metadata=3), teach=False)
    assert trace.taught == ((learned(MAC1, 1), 9),)
    assert switch.flows(FDB) == []
    switch.send(FRAME.but(metadata=3))
    assert switch.flows(FDB) == [learned(MAC1, 1)]
    assert switch.flows(FDB)[0].cookie == COOKIE


def test_a_mac_that_moves_is_learned_anew() -> None:
    switch = Switch([teacher(9)])
    switch.send(FRAME.but(metadata=3))
    switch.send(FRAME.but(metadata=3, in_port=2))
    assert switch.flows(FDB) == [learned(MAC1, 2)]


def test_the_limit_counts_flows_of_one_cookie() -> None:
    switch = Switch([teacher(1, in_port=1), teacher(1, COOKIE + 1, in_port=2)])
    switch.send(FRAME.but(metadata=3))
    switch.send(FRAME.but(metadata=3, eth_src=MAC2))
    assert switch.flows(FDB) == [learned(MAC1, 1)]
    switch.send(FRAME.but(metadata=3, eth_src=MAC2, in_port=2))
    assert switch.flows(FDB) == [learned(MAC1, 1), learned(MAC2, 2)]


def test_part_of_a_field_is_learned_with_a_mask() -> None:
    learn = Learn(FDB, COOKIE, 7, 0, 0, (LearnMatch("metadata", "in_port"), LearnLoad("reg1", "eth_src")))
    switch = Switch([Flow(CLASSIFY, Kind.LEARN_LOCAL, 1, (), (learn,))])
    switch.send(FRAME)
    expected = flow(FDB, Kind.LEARNED, 7, {"metadata": (1, 0xFFFFFFFF)}, [set_field("reg1", 1)])
    assert switch.flows(FDB) == [expected]


CHASSIS = {
    "h1": Chassis("h1", "192.0.2.1"),
    "h2": Chassis("h2", "192.0.2.2"),
    "h3": Chassis("h3", "192.0.2.3", frozenset({Encap.GRE})),
}


def to(vtep: str, port: int, tun_id: int = 100) -> list[Action]:
    return [set_field("tun_id", tun_id), set_field("tun_dst", vtep), Output(port)]


def test_a_tunnel_leads_to_the_chassis_with_that_vtep() -> None:
    from_h1 = {"tun_id": 100, "tun_src": 0xC0000201}
    switches = {
        "h1": Switch([classify(*to("192.0.2.2", VXLAN), *to("192.0.2.3", GRE))]),
        "h2": Switch([classify(Output(5), in_port=VXLAN, **from_h1)]),
        "h3": Switch([classify(Output(6), in_port=GRE, **from_h1)]),
    }
    done = journey(switches, CHASSIS, "h1", FRAME)
    wire = FRAME.on_wire()
    assert done.deliveries == (Delivery("h2", 5, wire), Delivery("h3", 6, wire))
    assert done.lost == ()
    assert [name for name, _ in done.traces] == ["h1", "h2", "h3"]
    assert done.traces[1][1].outputs[0].packet["tun_dst"] == 0xC0000202


def test_what_ends_nowhere_is_lost() -> None:
    """No such VTEP, and an encap the other chassis does not offer."""
    switches = {name: Switch([classify(*to("192.0.2.9", GRE), *to("192.0.2.3", VXLAN))]) for name in CHASSIS}
    done = journey(switches, CHASSIS, "h1", FRAME)
    assert done.deliveries == ()
    assert [(name, sent.port, sent.packet["tun_dst"] & 255) for name, sent in done.lost] == [
        ("h1", GRE, 9),
        ("h1", VXLAN, 3),
    ]


def test_a_tunnel_header_has_24_or_32_bits_for_the_key() -> None:
    switches = {
        "h1": Switch([classify(*to("192.0.2.2", VXLAN, 0x7_0123_4567), *to("192.0.2.2", GRE, 0x7_0123_4567))]),
        "h2": Switch([classify(Output(5))]),
    }
    done = journey(switches, CHASSIS, "h1", FRAME)
    assert [trace.outputs[0].packet["tun_id"] for _, trace in done.traces[1:]] == [0x234567, 0x01234567]


def test_a_packet_that_goes_round_is_refused() -> None:
    def passes_on(vtep: str) -> Switch:
        # Into the other kind of tunnel, for out of the one it came by it would not go.
        return Switch([classify(*to(vtep, VXLAN)), classify(*to(vtep, GRE), priority=2, in_port=VXLAN)])

    switches = {"h1": passes_on("192.0.2.2"), "h2": passes_on("192.0.2.1")}
    with pytest.raises(LoopError, match="tunnels"):
        journey(switches, CHASSIS, "h1", FRAME)


def test_a_packet_is_its_fields_whatever_their_order() -> None:
    assert packet(eth_src=MAC1, in_port=1) == packet(in_port=1, eth_src=MAC1, metadata=0)
    assert packet(in_port=1)["metadata"] == 0
    assert FRAME.on_wire() == packet(eth_src=MAC1, eth_dst=MAC2, eth_type=0x0800)
    with pytest.raises(ValueError, match="is no mac value"):
        packet(eth_src="x")
    with pytest.raises(KeyError):
        packet(colour=1)


@given(st.lists(flows(), unique_by=lambda one: (one.table.id, one.priority, one.match)), st.data())
def test_a_dumped_pipeline_does_the_same(many: list[Flow], data: st.DataObject) -> None:
    """Through text and back, and in any order, flows treat a packet alike."""
    again = text.parse(text.dump(data.draw(st.permutations(many))))
    sent = Packet(tuple(sorted({(name, value) for one in many[:3] for name, value, _ in one.match if value})))
    sent = packet(**dict(sent.items))
    try:
        trace = Switch(many).send(sent)
    except OverlapError:
        with pytest.raises(OverlapError):
            Switch(again).send(sent)
    else:
        assert Switch(again).send(sent) == trace


def test_state_fields_are_what_flows_know_beside_the_wire() -> None:
    """A field that is added must be put on one side or the other."""
    from flows.fields import FIELDS

    wire = {
        "eth_dst",
        "eth_src",
        "eth_type",
        "vlan_tci",
        "arp_op",
        "arp_spa",
        "arp_tpa",
        "arp_sha",
        "arp_tha",
    }
    assert wire | STATE == set(FIELDS)
    assert not wire & STATE


def test_flood_reaches_each_once() -> None:
    flood = flow(FLOOD, Kind.FLOOD_FROM_PORT, 1, {}, [Output(1), Output(2), Output(3)])
    trace = Switch([Flow(CLASSIFY, Kind.LOCAL_PORT, 0, (), (Goto(FLOOD),)), flood]).send(FRAME.but(in_port=2))
    assert [sent.port for sent in trace.outputs] == [1, 3]
