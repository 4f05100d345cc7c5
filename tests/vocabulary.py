"""Any flow that the vocabulary allows and a switch takes, as a hypothesis strategy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import strategies as st

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
    Match,
    Meter,
    Move,
    Output,
    OutputField,
    PopVlan,
    PushVlan,
    Recirculate,
    Resubmit,
    SetField,
    Written,
    flow,
)
from flows.tables import BY_NAME, PIPELINE, Kind, Table

ARP = 0x0806
PORTS = st.integers(1, 0xFEFF)


@dataclass(frozen=True)
class Sort:
    """A sort of packet: what a match on it says, what can then be matched and set as well, and what moved."""

    says: dict[str, int]
    fields: tuple[str, ...] = ()
    settable: tuple[str, ...] = ()
    moves: tuple[tuple[str, str, int], ...] = ()


_IP = ("nw_ttl", "ip_frag")
_IP4 = (*_IP, "ip_src", "ip_dst")
_IP6 = (*_IP, "ipv6_src", "ipv6_dst")
_UDP = ("udp_src", "udp_dst")
_ND = ("nd_target", "nd_reserved", "nd_options_type")
_WITHIN_IP6 = (("ipv6_src", "ipv6_dst", 0), ("ipv6_src", "tun_ipv6_dst", 0), ("ipv6_dst", "reg3", 32))
_ICMP6 = {"eth_type": 0x86DD, "ip_proto": 58}
SORTS = (
    Sort({}, ("eth_type",)),
    Sort({}, ("eth_type",)),
    Sort(
        {"eth_type": ARP},
        ("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"),
        ("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"),
        (("arp_spa", "arp_tpa", 0), ("arp_sha", "arp_tha", 0), ("arp_sha", "eth_dst", 0), ("arp_tpa", "reg1", 0)),
    ),
    Sort({"eth_type": 0x0800}, (*_IP4, "ip_proto"), ("ip_src", "ip_dst", "nw_ttl"), (("ip_src", "ip_dst", 0),)),
    Sort({"eth_type": 0x0800, "ip_proto": 17}, (*_IP4, *_UDP), (*_UDP, "ip_src"), (("udp_src", "udp_dst", 0),)),
    Sort({"eth_type": 0x0800, "ip_proto": 1}, (*_IP4, "icmp_type"), ("icmp_type",)),
    Sort({"eth_type": 0x86DD}, (*_IP6, "ip_proto"), ("ipv6_src", "ipv6_dst", "nw_ttl"), _WITHIN_IP6),
    Sort({"eth_type": 0x86DD, "ip_proto": 17}, (*_IP6, *_UDP), _UDP, _WITHIN_IP6),
    Sort(_ICMP6, (*_IP6, "icmpv6_type"), ("ipv6_src", "icmpv6_type"), _WITHIN_IP6),
    Sort({**_ICMP6, "icmpv6_type": 135}, (*_IP6, *_ND, "nd_sll"), (*_ND, "nd_sll"), (("nd_sll", "eth_dst", 0),)),
    Sort({**_ICMP6, "icmpv6_type": 136}, (*_IP6, *_ND, "nd_tll"), (*_ND, "nd_tll"), (("eth_src", "nd_tll", 0),)),
)
_REGISTERS = ("reg0", "reg1", "reg2", "reg3", "reg4", "reg5", "reg6", "reg7")
_TUNNEL = ("tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst")
_ALWAYS = ("metadata", "eth_dst", "eth_src", "vlan_tci", "in_port", *_TUNNEL, *_REGISTERS)
_SETTABLE = ("metadata", "eth_dst", "eth_src", "vlan_tci", *_TUNNEL, *_REGISTERS)
_MOVES = (
    ("eth_src", "eth_dst", 0),
    ("metadata", "tun_id", 0),
    ("tun_src", "tun_dst", 0),
    ("tun_ipv6_src", "tun_ipv6_dst", 0),
    ("reg0", "reg1", 0),
    ("reg2", "vlan_tci", 16),
    ("vlan_tci", "reg3", 16),
    ("reg2", "reg4", 7),
)
_MOST_TAGS = 2
_LEARNED = ("metadata", "eth_dst", "eth_src", *_TUNNEL, *_REGISTERS)
_LEARNED_FROM = ("metadata", "eth_src", "in_port", "tun_id", "tun_src", "reg0")
_LEARNED_WIDE = ("tun_ipv6_src", "tun_ipv6_dst")


def _value(name: str) -> st.SearchStrategy[int]:
    if name == "in_port":
        return PORTS
    if name == "arp_op":  # Open vSwitch keeps eight bits of it
        return st.integers(0, 255)
    return st.integers(0, (1 << FIELDS[name].bits) - 1)


def _vlan() -> st.SearchStrategy[Written]:
    """The matches on a VLAN tag that Open vSwitch can say in OpenFlow 1.4: a tag or none, its number, its priority."""
    vid, pcp = st.integers(0, 0xFFF), st.integers(0, 7)
    return st.one_of(
        st.sampled_from([(0x1000, 0x1000), (0, 0x1000), (0, 0x1FFF)]),
        vid.map(lambda number: (0x1000 | number, 0x1FFF)),
        pcp.map(lambda number: (0x1000 | number << 13, 0xF000)),
        st.tuples(vid, pcp).map(lambda tag: 0x1000 | tag[0] | tag[1] << 13),
    )


@st.composite
def _matches(draw: st.DrawFn, table: Table, sort: Sort) -> Match:
    match: dict[str, Written] = {}
    names = table.matches.intersection((*_ALWAYS, *sort.fields))
    for name in draw(st.sets(st.sampled_from(sorted(names)))) if names else ():
        if name == "vlan_tci":
            match[name] = draw(_vlan())
        elif name == "ip_frag":
            # A later fragment has no ports and types: a switch refuses a match on both.
            later = [] if "ip_proto" in sort.says else [(3, 3)]
            match[name] = draw(st.sampled_from([(0, 3), (1, 1), (1, 3), (0, 2), *later]))
        elif FIELDS[name].maskable and draw(st.booleans()):
            mask = draw(st.integers(1, (1 << FIELDS[name].bits) - 2))
            if FIELDS[name].kind == "ipv6":
                mask |= 0xF << 124  # one that begins with a decimal digit ovs-ofctl takes for the length of a prefix
            match[name] = (draw(_value(name)) & mask, mask)
        else:
            match[name] = draw(_value(name))
    return {**match, **sort.says}


@st.composite
def _learn(draw: st.DrawFn, table: Table) -> Learn:
    """Something that this table may be taught."""
    specs: list[LearnMatch | LearnLoad] = []
    for kind in (LearnMatch, LearnLoad):
        targets = draw(st.lists(st.sampled_from(_LEARNED), min_size=1, max_size=4, unique=True))
        for target in targets:
            sources = _LEARNED_WIDE if target in _LEARNED_WIDE else _LEARNED_FROM
            specs.append(kind(target, draw(st.sampled_from(sources) | _value(target))))
    kind_taught = Kind.TOLD if table.name == "told" else Kind.LEARNED
    return Learn(
        table,
        OWNER_COOKIE | kind_taught << KIND_SHIFT | draw(st.integers(0, 0xFFFF)),
        draw(st.integers(1, 0xFFFF)),
        draw(st.integers(0, 0xFFFF)),
        draw(st.sampled_from([0, 1, 1024])),
        tuple(specs),
    )


def _meter(id: int) -> tuple[int, int, int]:
    """A meter: its rate and burst are the same wherever the id is."""
    return (id, id % 997 + 1, id % 31 + 1)


METERS = st.integers(1, 131072).map(_meter)


def _tagged(actions: Iterable[Action], match: Match) -> list[Action]:
    """Actions without those that a switch refuses: to take off a tag that may not be there, and to put on a third."""
    said = match.get("vlan_tci", 0)
    tags = 1 if (said[0] if isinstance(said, tuple) else said) in range(0x1000, 0x10000) else 0
    done: list[Action] = []
    for action in actions:
        step = {PushVlan: 1, PopVlan: -1}.get(type(action), 0)
        if 0 <= tags + step <= _MOST_TAGS:
            tags += step
            done.append(action)
    return done


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """A flow of any table with any match that the table declares and any actions."""
    table = draw(st.sampled_from(PIPELINE))
    sort = draw(st.sampled_from([each for each in SORTS if table.matches.issuperset(each.says)]))
    match = draw(_matches(table, sort))
    settable = [*_SETTABLE, *sort.settable]
    field = st.sampled_from(settable)
    kinds: list[st.SearchStrategy[Action]] = [
        PORTS.map(Output),
        st.just(Output(IN_PORT)),
        st.sampled_from(_REGISTERS).map(OutputField),
        st.integers(1, 0xFFE5).map(Controller),
        st.tuples(st.integers(1, 0xFFFF), METERS).map(lambda asked: Controller(asked[0], *asked[1])),
        field.flatmap(lambda name: _value(name).map(lambda value: SetField(name, value))),
        st.sampled_from([*_MOVES, *sort.moves]).map(lambda parts: Move(*parts)),
        st.sampled_from([PushVlan(), PushVlan(0x88A8), PopVlan()]),
        st.tuples(st.integers(1, 0xFFFF), st.sampled_from(_REGISTERS)).map(lambda parts: CheckLarger(*parts)),
    ]
    if table.next:
        kinds.append(st.sampled_from(table.next).map(lambda name: Resubmit(BY_NAME[name])))
    kinds += [_learn(BY_NAME[name]) for name in table.teaches]
    actions = _tagged(draw(st.lists(st.one_of(kinds), max_size=6)), match)
    if draw(st.integers(0, 4)) == 0:
        # Behind it Open vSwitch no longer knows that the packet is of Ethernet: tunnels can be set, and ports named.
        tunnel = st.sampled_from(_TUNNEL).flatmap(lambda name: _value(name).map(lambda value: SetField(name, value)))
        actions += [Recirculate(), *draw(st.lists(st.one_of(tunnel, PORTS.map(Output)), max_size=4))]
    if draw(st.integers(0, 4)) == 0:
        actions.insert(0, Meter(*draw(METERS)))
    if table.next and draw(st.booleans()):
        actions.append(Goto(BY_NAME[draw(st.sampled_from(table.next))]))
    priority = draw(st.integers(0, 0xFFFF))
    return flow(table, draw(st.sampled_from(Kind)), priority, match, actions)


def meters(many: Iterable[Flow]) -> dict[int, tuple[int, int]]:
    """The (rate, burst) of the meters of these flows by their ids."""
    found = {}
    for one in many:
        for action in one.actions:
            if isinstance(action, Meter):
                found[action.id] = (action.rate, action.burst)
            elif isinstance(action, Controller) and action.meter:
                found[action.meter] = (action.rate, action.burst)
    return found
