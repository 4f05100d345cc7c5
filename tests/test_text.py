"""Flows as text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import text
from flows.flow import (
    IN_PORT,
    KIND_SHIFT,
    OWNER_COOKIE,
    Controller,
    Flow,
    Goto,
    Learn,
    LearnLoad,
    LearnMatch,
    Match,
    Meter,
    Move,
    Output,
    OutputField,
    Resubmit,
    SetField,
    flow,
    set_field,
)
from flows.tables import CLASSIFY, DELIVER, FDB, FLOOD, FORWARD, GUARD, LEARN, MESSAGE, NOTICE, RESPOND, TAGS, Kind
from tests.vocabulary import flows, meters

LEARNED = OWNER_COOKIE | Kind.LEARNED << KIND_SHIFT | 0xABC
TEACH = Learn(
    FDB,
    LEARNED,
    7,
    300,
    5,
    (
        LearnMatch("metadata", "metadata"),
        LearnMatch("eth_dst", "eth_src"),
        LearnLoad("tun_dst", "tun_src"),
        LearnLoad("reg1", "in_port"),
    ),
)
LISTED = (
    (
        flow(CLASSIFY, Kind.DROP_NO_NETWORK, 0, {}, []),
        "table=0, priority=0, actions=drop",
    ),
    (
        flow(
            CLASSIFY,
            Kind.VTEP,
            100,
            {"tun_src": "192.0.2.2", "in_port": 65001, "tun_id": 100},
            [set_field("metadata", 100), Goto(TAGS)],
        ),
        "table=0, priority=100, in_port=65001, tun_id=0x64, tun_src=192.0.2.2, "
        "actions=set_field:0x64->metadata,goto_table:5",
    ),
    (
        flow(GUARD, Kind.DROP_RESERVED, 2, {"eth_dst": ("01:80:c2:00:00:00", "ff:ff:ff:ff:ff:f0")}, []),
        "table=10, priority=2, eth_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0, actions=drop",
    ),
    (
        flow(LEARN, Kind.LEARN_LOCAL, 1, {"in_port": 5}, [TEACH, Goto(NOTICE)]),
        "table=20, priority=1, in_port=5, actions=learn(table=60,hard_timeout=300,priority=7,delete_learned,"
        "cookie=0xe71200000000abc,limit=5,OXM_OF_METADATA[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
        "load:NXM_NX_TUN_IPV4_SRC[]->NXM_NX_TUN_IPV4_DST[],load:OXM_OF_IN_PORT[]->NXM_NX_REG1[]),"
        "goto_table:30",
    ),
    (
        flow(
            RESPOND,
            Kind.ANSWER,
            1,
            {"arp_tpa": "10.0.0.1", "arp_op": 1, "eth_type": 0x0806},
            [Move("arp_sha", "arp_tha"), set_field("arp_sha", "02:00:00:00:00:01"), Output(IN_PORT)],
        ),
        "table=40, priority=1, eth_type=0x806, arp_op=1, arp_tpa=10.0.0.1, "
        "actions=move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:02:00:00:00:00:01->arp_sha,IN_PORT",
    ),
    (
        flow(FORWARD, Kind.LOOK_UP_LEARNED, 0, {}, [Resubmit(FDB), Goto(DELIVER)]),
        "table=50, priority=0, actions=resubmit(,60),goto_table:70",
    ),
    (
        flow(DELIVER, Kind.DELIVER, 0, {"reg1": 7}, [OutputField("reg1"), Output(3)]),
        "table=70, priority=0, reg1=0x7, actions=output:NXM_NX_REG1[],output:3",
    ),
)


@pytest.mark.parametrize(("one", "written"), LISTED, ids=[one.table.name for one, _ in LISTED])
def test_text_and_back(one: Flow, written: str) -> None:
    assert text.text(one, cookie=False) == written
    assert text.parse(text.text(one)) == [one]


@given(st.lists(flows()))
def test_every_flow_comes_back(many: list[Flow]) -> None:
    back = text.parse(text.dump(many), meters(many))
    assert sorted(map(repr, back)) == sorted(map(repr, many))
    assert sorted(one.key for one in back) == sorted(one.key for one in many)


def test_dump_is_sorted_by_table_priority_and_match() -> None:
    rows = [
        flow(FLOOD, Kind.FLOOD_FROM_PORT, 5, {"metadata": 1}, []),
        flow(CLASSIFY, Kind.LOCAL_PORT, 1, {"in_port": 2}, []),
        flow(CLASSIFY, Kind.LOCAL_PORT, 9, {"in_port": 3}, []),
        flow(CLASSIFY, Kind.LOCAL_PORT, 1, {"in_port": 1}, []),
    ]
    dumped = text.dump(rows, cookie=False)
    assert [line.split(", actions")[0] for line in dumped.splitlines()] == [
        "table=0, priority=9, in_port=3",
        "table=0, priority=1, in_port=1",
        "table=0, priority=1, in_port=2",
        "table=80, priority=5, metadata=0x1",
    ]
    assert text.dump(reversed(rows)) == text.dump(rows)


DUMPED = """\
OFPST_FLOW reply (OF1.4) (xid=0x2):
 cookie=0xe70200000000001, duration=0.058s, table=0, n_packets=4, n_bytes=0, priority=0 actions=drop
 cookie=0xe71200000000abc, duration=0.009s, table=60, n_packets=0, n_bytes=0, hard_timeout=300, \
idle_age=3, priority=100,metadata=0x64,dl_dst=02:00:00:00:00:01 \
actions=load:0xc0000202->NXM_NX_TUN_IPV4_DST[],load:0->NXM_NX_TUN_ID[],load:0xfde9->NXM_NX_REG1[]
 cookie=0xe71800000000002, table=30, arp,reg0=0,arp_spa=10.0.0.0/24 actions=CONTROLLER:64
"""


def test_what_ovs_ofctl_dumps_is_read() -> None:
    """Its own spelling (`dl_dst`, `arp`, `load`, a prefix length), statistics, a priority left out."""
    drop, learned, notice = text.parse(DUMPED)
    assert drop.key == (0, 0, 0xE70200000000001)
    assert learned == flow(
        FDB,
        Kind.LEARNED,
        100,
        {"metadata": 100, "eth_dst": "02:00:00:00:00:01"},
        [set_field("tun_dst", "192.0.2.2"), SetField("tun_id", 0), SetField("reg1", 65001)],
    )
    assert learned.cookie == 0xE71200000000ABC, "its teacher's"
    assert notice.priority == 0x8000
    assert notice.match == (
        ("arp_spa", 0x0A000000, 0xFFFFFF00),
        ("eth_type", 0x0806, None),
        ("reg0", 0, None),
    )


SPELLED = (
    ("icmp6,icmp_type=135", {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135}),
    ("icmp,icmp_type=5", {"eth_type": 0x0800, "ip_proto": 1, "icmp_type": 5}),
    ("udp,tp_dst=68", {"eth_type": 0x0800, "ip_proto": 17, "udp_dst": 68}),
    ("udp6,tp_dst=0x5/0xff", {"eth_type": 0x86DD, "ip_proto": 17, "udp_dst": (5, 255)}),
    ("ip,nw_proto=99,nw_frag=yes,nw_ttl=255", {"eth_type": 0x0800, "ip_proto": 99, "ip_frag": (1, 1), "nw_ttl": 255}),
    ("dl_vlan=5", {"vlan_tci": (0x1005, 0x1FFF)}),
    ("dl_vlan=5,dl_vlan_pcp=1", {"vlan_tci": 0x3005}),
    ("dl_vlan_pcp=1", {"vlan_tci": (0x3000, 0xF000)}),
    ("vlan_tci=0x0000/0x1000", {"vlan_tci": (0, 0x1000)}),
    ("tcp6", {"eth_type": 0x86DD, "ip_proto": 6}),
)


@pytest.mark.parametrize(("written", "match"), SPELLED)
def test_what_ovs_ofctl_spells_its_own_way_is_read(written: str, match: Match) -> None:
    (read,) = text.parse(f" cookie=0xe71c00000000002, table=12, priority=1,{written} actions=drop")
    assert read == flow(MESSAGE, Kind.ALREADY_TOLD, 1, match, [])


def test_both_ports_are_read() -> None:
    (read,) = text.parse(" cookie=0xe71400000000002, table=15, priority=1,udp,tp_src=68,tp_dst=67 actions=drop")
    assert read.match[-2:] == (("udp_dst", 67, None), ("udp_src", 68, None))


def test_a_prefix_of_ipv6_is_read() -> None:
    (read,) = text.parse(" cookie=0xe71400000000002, table=15, priority=1,ipv6,ipv6_src=fe80::/10 actions=drop")
    assert read.match[1] == ("ipv6_src", 0xFE80 << 112, 0xFFC0 << 112)


def test_a_learned_address_of_ipv6_is_read_from_its_halves() -> None:
    (read,) = text.parse(
        " cookie=0xe71200000000abc, table=60, dl_dst=02:00:00:00:00:01 actions=load:0x5->NXM_NX_TUN_IPV6_DST[0..63],"
        "load:0x20010db800000000->NXM_NX_TUN_IPV6_DST[64..127],load:0xfde9->NXM_NX_REG1[]"
    )
    assert read.actions == (set_field("tun_ipv6_dst", "2001:db8::5"), SetField("reg1", 65001))


METERS = """\
OFPST_METER_CONFIG reply (OF1.4) (xid=0x2):
meter=5 pktps burst bands=
type=drop rate=100 burst_size=50

meter=6 kbps bands=
type=drop rate=100

meter=7 pktps burst bands=
type=drop rate=1 burst_size=2
type=drop rate=3 burst_size=4

meter=65537 pktps burst stats bands=
type=drop rate=10 burst_size=20
"""


def test_meters_are_read_and_known_in_flows() -> None:
    assert text.meters(METERS) == {5: (100, 50), 65537: (10, 20)}
    line = " cookie=0xe70400000000001, table=0, priority=1 actions=meter:5,controller(max_len=64,meter_id=65537)"
    (read,) = text.parse(line, text.meters(METERS))
    assert read.actions == (Meter(5, 100, 50), Controller(64, 65537, 10, 20))
    (unknown,) = text.parse(line)
    assert unknown.actions == (Meter(5, 0, 0), Controller(64, 65537))
    (all_of_it,) = text.parse(line.replace("max_len=64,", ""))
    assert all_of_it.actions[1] == Controller(0xFFFF, 65537)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("cookie=0x5, table=0, actions=drop", "not ours"),
        ("cookie=0xe70200000000001, table=0, priority=1", "no actions"),
        ("cookie=0xe70200000000001, table=0, nsh actions=drop", "'nsh'"),
        ("cookie=0xe70200000000001, table=3, actions=drop", "3, in the flow"),
        ("cookie=0xe70200000000001, table=0, eth_src=02:00:00:00:00:01 actions=drop", "does not declare"),
        ("cookie=0xe70200000000001, table=0, actions=NORMAL", "'NORMAL' is no action of ours"),
        ("cookie=0xe70200000000001, table=0, actions=output:x", "'x'"),
        ("cookie=0xe70200000000001, table=0, actions=->", "'->' is no action of ours"),
    ],
)
def test_what_is_not_ours_is_named(line: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as caught:
        text.parse(line)
    assert line in str(caught.value)
