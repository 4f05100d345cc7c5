"""The simulator on flows written by hand; `system/test_differential.py` holds it against Open vSwitch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import text
from flows.fields import FIELDS
from flows.flow import (
    IN_PORT,
    KIND_SHIFT,
    OWNER_COOKIE,
    Action,
    CheckLarger,
    Controller,
    Flow,
    Goto,
    Learn,
    LearnLoad,
    LearnMatch,
    Meter,
    Move,
    Output,
    OutputField,
    PopVlan,
    PushVlan,
    Resubmit,
    flow,
    set_field,
)
from flows.model import GRE, GRE6, VXLAN, Chassis, Encap, TunnelPort, Vtep
from flows.simulate import (
    BEYOND,
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
from flows.tables import CLASSIFY, DELIVER, FDB, FLOOD, FORWARD, GUARD, LEARN, MESSAGE, NOTICE, TAGS, TOLD_TABLE, Kind
from tests.vocabulary import flows, meters

MAC1 = "02:00:00:00:00:01"
MAC2 = "02:00:00:00:00:02"
FRAME = packet(in_port=1, eth_src=MAC1, eth_dst=MAC2, eth_type=0x0800)


def classify(*actions: Action, priority: int = 1, kind: Kind = Kind.LOCAL_PORT, **match: int) -> Flow:
    return flow(CLASSIFY, kind, priority, match, actions)


def test_the_highest_priority_wins_and_the_steps_are_told() -> None:
    low = classify(Output(2))
    high = classify(set_field("metadata", 7), Goto(TAGS), priority=2, in_port=1)
    there = flow(TAGS, Kind.CONTINUE, 1, {"eth_type": 0x0800}, [Output(3)])
    trace = Switch([low, high, there]).send(FRAME)
    assert trace.steps == ((CLASSIFY, high), (TAGS, there))
    assert trace.outputs == (Sent(3, FRAME.but(metadata=7)),)
    assert trace.dropped is None
    assert Switch([low, high, there]).send(FRAME.but(in_port=5)).outputs == (Sent(2, FRAME.but(in_port=5)),)


def test_a_miss_is_a_step_without_a_flow() -> None:
    first = classify(Goto(TAGS))
    trace = Switch([first]).send(FRAME)
    assert trace.steps == ((CLASSIFY, first), (TAGS, None))
    assert trace.dropped is Kind.LOCAL_PORT
    assert Switch([]).send(FRAME).dropped is None


def test_a_drop_names_its_kind() -> None:
    assert Switch([classify(kind=Kind.DROP_NO_NETWORK)]).send(FRAME).dropped is Kind.DROP_NO_NETWORK


def test_overlapping_flows_of_one_priority_are_an_error() -> None:
    one = classify(Goto(TAGS))
    rows = [
        flow(TAGS, Kind.CONTINUE, 1, {"metadata": 0}, []),
        flow(TAGS, Kind.CONTINUE, 1, {"eth_type": 0x0800}, []),
    ]
    switch = Switch([one, *rows])
    switch.send(FRAME.but(eth_type=0x86DD))
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
    first = classify(Goto(TAGS))
    on = [
        flow(TAGS, Kind.CONTINUE, 1, {}, [Goto(GUARD)]),
        flow(GUARD, Kind.CONTINUE, 1, {}, [Goto(LEARN)]),
        flow(LEARN, Kind.CONTINUE, 1, {}, [Goto(NOTICE)]),
    ]
    look_up = flow(FORWARD, Kind.LOOK_UP_LEARNED, 0, {}, [Resubmit(FDB), Goto(DELIVER)])
    found = flow(FDB, Kind.LEARNED, 1, {"eth_dst": MAC2}, [set_field("reg1", 4)])
    out = flow(DELIVER, Kind.DELIVER, 0, {}, [OutputField("reg1")])
    jump = flow(NOTICE, Kind.CONTINUE, 0, {}, [])
    switch = Switch([first, *on, look_up, found, out, jump])
    assert [table.name for table, _ in switch.send(FRAME).steps] == ["classify", "tags", "guard", "learn", "notice"]
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
    "h1": Chassis("h1", (Vtep("192.0.2.1"),)),
    "h2": Chassis("h2", (Vtep("192.0.2.2"),)),
    "h3": Chassis("h3", (Vtep("192.0.2.3", frozenset({Encap.GRE})),)),
}


def to(vtep: str, port: int, tun_id: int = 100, source: str = "192.0.2.1") -> list[Action]:
    ends = [set_field("tun_src", source), set_field("tun_dst", vtep)]
    return [set_field("tun_id", tun_id), *ends, Output(port)]


def test_a_tunnel_leads_to_the_chassis_with_that_vtep() -> None:
    from_h1 = {"tun_id": 100, "tun_src": 0xC0000201}
    switches = {
        "h1": Switch([classify(*to("192.0.2.2", VXLAN.ofport), *to("192.0.2.3", GRE.ofport))]),
        "h2": Switch([classify(Output(5), in_port=VXLAN.ofport, **from_h1)]),
        "h3": Switch([classify(Output(6), in_port=GRE.ofport, **from_h1)]),
    }
    done = journey(switches, CHASSIS, "h1", FRAME)
    wire = FRAME.on_wire()
    assert done.deliveries == (Delivery("h2", 5, wire), Delivery("h3", 6, wire))
    assert done.lost == ()
    assert [name for name, _ in done.traces] == ["h1", "h2", "h3"]
    assert done.traces[1][1].outputs[0].packet["tun_dst"] == 0xC0000202


def test_what_ends_nowhere_is_lost() -> None:
    """No such VTEP, and an encap the other chassis does not offer."""
    switches = {
        name: Switch([classify(*to("192.0.2.9", GRE.ofport), *to("192.0.2.3", VXLAN.ofport))]) for name in CHASSIS
    }
    done = journey(switches, CHASSIS, "h1", FRAME)
    assert done.deliveries == ()
    assert [(name, sent.port, sent.packet["tun_dst"] & 255) for name, sent in done.lost] == [
        ("h1", GRE.ofport, 9),
        ("h1", VXLAN.ofport, 3),
    ]


def test_a_tunnel_header_has_24_or_32_bits_for_the_key() -> None:
    switches = {
        "h1": Switch(
            [classify(*(step for port in (VXLAN, GRE) for step in to("192.0.2.2", port.ofport, 0x7_0123_4567)))]
        ),
        "h2": Switch([classify(Output(5))]),
    }
    done = journey(switches, CHASSIS, "h1", FRAME)
    assert [trace.outputs[0].packet["tun_id"] for _, trace in done.traces[1:]] == [0x234567, 0x01234567]


MANY = {
    "h1": Chassis("h1", (Vtep("192.0.2.1"), Vtep("2001:db8::1"), Vtep("198.51.100.1"))),
    "h2": Chassis("h2", (Vtep("192.0.2.2"), Vtep("2001:db8::2", frozenset({Encap.GRE})))),
}


@pytest.mark.parametrize(("gre6", "comes_by"), [(GRE6, GRE6), (GRE, GRE)])
def test_a_chassis_with_several_vteps_sends_from_the_one_it_is_told(gre6: TunnelPort, comes_by: TunnelPort) -> None:
    """And GRE over IPv6 comes in at either port."""
    six = (
        *(set_field("tun_dst", 0), set_field("tun_src", 0)),
        *(set_field("tun_ipv6_src", "2001:db8::1"), set_field("tun_ipv6_dst", "2001:db8::2")),
    )
    sends = classify(
        *to("192.0.2.2", VXLAN.ofport),
        set_field("tun_src", "198.51.100.1"),
        Output(GRE.ofport),
        *six,
        Output(GRE6.ofport),
        Output(VXLAN.ofport),
    )
    done = journey({"h1": Switch([sends]), "h2": Switch([classify(Output(5))])}, MANY, "h1", FRAME, gre6=gre6)
    arrived = [trace.outputs[0].packet for _, trace in done.traces[1:]]
    wire = FRAME.on_wire().but(tun_id=100)
    assert arrived == [
        wire.but(in_port=VXLAN.ofport, tun_src="192.0.2.1", tun_dst="192.0.2.2"),
        wire.but(in_port=GRE.ofport, tun_src="198.51.100.1", tun_dst="192.0.2.2"),
        wire.but(in_port=comes_by.ofport, tun_ipv6_src="2001:db8::1", tun_ipv6_dst="2001:db8::2"),
    ]
    assert [sent.port for _, sent in done.lost] == [VXLAN.ofport]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tun_src": "192.0.2.77"},
        {"tun_ipv6_dst": "2001:db8::2"},
        {"tun_dst": 0},
        {"tun_dst": 0, "tun_ipv6_dst": "2001:db8::77"},
        {"tun_src": 0},
        {"tun_dst": 0, "tun_ipv6_dst": "2001:db8::2"},
    ],
    ids=["no VTEP of its own", "both families", "no far end", "no such VTEP", "no source", "no source, IPv6"],
)
def test_a_tunnel_without_two_ends_leads_nowhere(wrong: dict[str, int | str]) -> None:
    right = {"tun_src": "192.0.2.1", "tun_dst": "192.0.2.2"}
    steps = [set_field(name, value) for name, value in (right | wrong).items()]
    switches = {"h1": Switch([classify(*steps, Output(VXLAN.ofport), Output(GRE.ofport))])}
    done = journey(switches, MANY, "h1", FRAME)
    assert [sent.port for _, sent in done.lost] == [VXLAN.ofport, GRE.ofport]


def test_ipv4_does_not_leave_by_the_port_of_gre_over_ipv6() -> None:
    done = journey({"h1": Switch([classify(*to("192.0.2.2", GRE6.ofport))])}, MANY, "h1", FRAME)
    assert [sent.port for _, sent in done.lost] == [GRE6.ofport]


def sent_by(frame: Packet, *actions: Action) -> list[Packet]:
    return [sent.packet.on_wire() for sent in Switch([classify(*actions)]).send(frame).outputs]


def test_a_tag_goes_on_and_off() -> None:
    plain = FRAME.on_wire()
    tagged = sent_by(
        FRAME, PushVlan(), set_field("vlan_tci", 0x1005), Output(2), PopVlan(), Output(3), PopVlan(), Output(4)
    )
    assert tagged == [plain.but(vlan_tci=0x1005), plain, plain]
    service = sent_by(FRAME.but(reg2=0x11007), PushVlan(0x88A8), Move("reg2", "vlan_tci", 16), Output(2))
    assert service == [plain.but(vlan_tci=0x1007, vlan_tpid=0x88A8)]


def test_a_tag_goes_in_front_of_a_tag() -> None:
    arrives = FRAME.but(vlan_tci=0x1005)
    outer = [PushVlan(0x88A8), set_field("vlan_tci", 0x1007), Output(2), PopVlan(), Output(3)]
    double = arrives.on_wire().but(vlan_tci=0x1007, vlan_tpid=0x88A8, inner_tci=0x1005)
    assert sent_by(arrives, *outer) == [double, arrives.on_wire()]


def test_behind_a_tag_no_further_one_is_looked_at() -> None:
    """Of the second tag its EtherType is seen, of what is behind it nothing; but nothing of it is lost."""
    double = FRAME.but(vlan_tci=0x1007, vlan_tpid=0x88A8, inner_tci=0x1005, ip_proto=17, octets=100)
    seen = classify(PopVlan(), Goto(TAGS), in_port=1)
    second = flow(TAGS, Kind.PASS_TAGGED, 1, {"vlan_tci": (0, 0x1000), "eth_type": 0x8100}, [Goto(GUARD)])
    passes = flow(GUARD, Kind.CONTINUE, 0, {}, [Goto(FORWARD)])
    out = flow(FORWARD, Kind.KNOWN, 0, {}, [set_field("reg1", 2), Goto(DELIVER)])
    trace = Switch([seen, second, passes, out, flow(DELIVER, Kind.DELIVER, 0, {}, [OutputField("reg1")])]).send(double)
    assert [sent.packet.on_wire() for sent in trace.outputs] == [
        FRAME.on_wire().but(vlan_tci=0x1005, ip_proto=17, octets=96)
    ]
    assert sent_by(double, Output(2)) == [double.on_wire()]


@pytest.mark.parametrize(("octets", "larger"), [(0, 0), (1500, 0), (1501, 1)])
def test_the_length_of_a_packet_is_measured(octets: int, larger: int) -> None:
    frame = FRAME.but(octets=octets, reg3=6)
    trace = Switch([classify(CheckLarger(1500, "reg3"), Output(2))]).send(frame)
    assert trace.outputs[0].packet["reg3"] == 6 + larger, "one bit is written, the others stay"


def test_meters_let_pass_and_copies_are_told() -> None:
    trace = Switch([classify(Meter(5, 1, 1), Controller(64, 65537, 1, 1), Output(2))]).send(FRAME)
    assert [copy.max_len for copy in trace.copies] == [64]
    assert [sent.port for sent in trace.outputs] == [2]


def test_part_of_a_field_is_moved() -> None:
    moved = Switch([classify(Move("reg2", "reg3", 8), Output(2))]).send(FRAME.but(reg2=0x1234, reg3=0xABCD))
    assert moved.outputs[0].packet["reg3"] == 0xAB34


FRAGMENT = FRAME.but(eth_type=0x86DD, ip_proto=58, nw_ttl=255, ip_frag=1, icmpv6_type=135)


def test_of_a_fragment_no_ports_and_types_are_seen() -> None:
    solicitation = {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135}
    tags = flow(TAGS, Kind.CONTINUE, 0, {}, [Goto(GUARD)])
    guard = flow(GUARD, Kind.CONTINUE, 0, {}, [Goto(MESSAGE)])
    message = flow(MESSAGE, Kind.DROP_ROUTER, 9, solicitation, [])
    none = flow(MESSAGE, Kind.CONTINUE, 0, {}, [])
    switch = Switch([classify(Goto(TAGS)), tags, guard, message, none])
    assert switch.send(FRAGMENT).steps[-1] == (MESSAGE, none)
    assert switch.send(FRAGMENT.but(ip_frag=0)).steps[-1] == (MESSAGE, message)


def test_a_packet_keeps_on_the_wire_what_its_kind_has() -> None:
    """A solicitation that became an advertisement has no source link-layer address any more."""
    asked = packet(eth_type=0x86DD, ip_proto=58, icmpv6_type=135, nd_target="fe80::1", nd_sll=MAC1)
    answer = asked.but(icmpv6_type=136, nd_tll=MAC2)
    assert answer.on_wire() == packet(eth_type=0x86DD, ip_proto=58, icmpv6_type=136, nd_target="fe80::1", nd_tll=MAC2)
    assert packet(eth_type=0x0800, arp_spa="10.0.0.1").on_wire() == packet(eth_type=0x0800)


def test_what_was_told_is_remembered_in_a_table_of_its_own() -> None:
    cookie = OWNER_COOKIE | Kind.TOLD << KIND_SHIFT | 7
    learn = Learn(TOLD_TABLE, cookie, 100, 10, 8, (LearnMatch("eth_src", "eth_src"), LearnLoad("reg4", 1)))
    switch = Switch([Flow(CLASSIFY, Kind.TELL, 1, (), (learn,))])
    switch.send(FRAME)
    (told,) = switch.flows(TOLD_TABLE)
    assert (told.kind, told.cookie, told.actions) == (Kind.TOLD, cookie, (set_field("reg4", 1),))


def test_a_packet_that_goes_round_is_refused() -> None:
    def passes_on(own: str, vtep: str) -> Switch:
        # Into the other kind of tunnel, for out of the one it came by it would not go.
        back = classify(*to(vtep, GRE.ofport, source=own), priority=2, in_port=VXLAN.ofport)
        return Switch([classify(*to(vtep, VXLAN.ofport, source=own)), back])

    switches = {"h1": passes_on("192.0.2.1", "192.0.2.2"), "h2": passes_on("192.0.2.2", "192.0.2.1")}
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
    again = text.parse(text.dump(data.draw(st.permutations(many))), meters(many))
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
    wire = {"eth_dst", "eth_src", "eth_type", "vlan_tci", "arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"}
    wire |= {"ip_proto", "nw_ttl", "ip_frag", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst", "udp_src", "udp_dst"}
    wire |= {"icmp_type", "icmpv6_type", "nd_target", "nd_sll", "nd_tll", "nd_reserved", "nd_options_type"}
    assert wire | STATE == set(FIELDS)
    assert not wire & STATE
    assert not BEYOND.keys() & FIELDS.keys()


def test_flood_reaches_each_once() -> None:
    flood = flow(FLOOD, Kind.FLOOD_FROM_PORT, 1, {}, [Output(1), Output(2), Output(3)])
    trace = Switch([Flow(CLASSIFY, Kind.LOCAL_PORT, 0, (), (Goto(FLOOD),)), flood]).send(FRAME.but(in_port=2))
    assert [sent.port for sent in trace.outputs] == [1, 3]
