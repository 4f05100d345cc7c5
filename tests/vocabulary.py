"""Any flow that the vocabulary allows and a switch takes, as a hypothesis strategy."""

from __future__ import annotations

from hypothesis import strategies as st

from flows.fields import FIELDS
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
    Match,
    Move,
    Output,
    OutputField,
    Resubmit,
    SetField,
    Written,
    flow,
)
from flows.tables import BY_NAME, LEARN, PIPELINE, Kind, Table

ARP = 0x0806
_ARP_FIELDS = ("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha")
_SETTABLE = ("metadata", "eth_dst", "eth_src", "tun_id", "tun_dst", "reg0", "reg1")
_MASKED = ("metadata", "eth_dst", "eth_src", "tun_id", "tun_src", "reg0", "reg1", "arp_spa", "arp_sha")
_MOVES = (("eth_src", "eth_dst"), ("metadata", "tun_id"), ("tun_src", "tun_dst"), ("reg0", "reg1"))
_ARP_MOVES = (("arp_spa", "arp_tpa"), ("arp_sha", "arp_tha"), ("arp_sha", "eth_dst"), ("arp_tpa", "reg1"))
_LEARNED = ("metadata", "eth_dst", "eth_src", "tun_id", "tun_dst", "reg0", "reg1")
_LEARNED_FROM = ("metadata", "eth_src", "in_port", "tun_id", "tun_src", "reg0")
PORTS = st.integers(1, 0xFEFF)


def _value(name: str) -> st.SearchStrategy[int]:
    if name == "in_port":
        return PORTS
    if name == "arp_op":  # Open vSwitch keeps eight bits of it
        return st.integers(0, 255)
    return st.integers(0, (1 << FIELDS[name].bits) - 1)


@st.composite
def _matches(draw: st.DrawFn, table: Table) -> Match:
    match: dict[str, Written] = {}
    for name in draw(st.sets(st.sampled_from(sorted(table.matches)))):
        if name == "vlan_tci":
            match[name] = draw(st.sampled_from([(0x1000, 0x1000), (0, 0x1000)]))
        elif name in _MASKED and draw(st.booleans()):
            mask = draw(st.integers(1, (1 << FIELDS[name].bits) - 2))
            match[name] = (draw(_value(name)) & mask, mask)
        else:
            match[name] = draw(_value(name))
    if any(name in match for name in _ARP_FIELDS) or ("eth_type" in match and draw(st.booleans())):
        match["eth_type"] = ARP
    return match


@st.composite
def _learn(draw: st.DrawFn) -> Learn:
    specs: list[LearnMatch | LearnLoad] = []
    for kind in (LearnMatch, LearnLoad):
        targets = draw(st.lists(st.sampled_from(_LEARNED), min_size=1, max_size=4, unique=True))
        specs += [kind(target, draw(st.sampled_from(_LEARNED_FROM) | _value(target))) for target in targets]
    return Learn(
        BY_NAME["fdb"],
        OWNER_COOKIE | Kind.LEARNED << KIND_SHIFT | draw(st.integers(0, 0xFFFF)),
        draw(st.integers(1, 0xFFFF)),
        draw(st.integers(0, 0xFFFF)),
        draw(st.sampled_from([0, 1, 1024])),
        tuple(specs),
    )


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """A flow of any table with any match that the table declares and any actions."""
    table = draw(st.sampled_from(PIPELINE))
    match = draw(_matches(table))
    arp = match.get("eth_type") == ARP
    settable = [*_SETTABLE, *(_ARP_FIELDS if arp else ())]
    moves = [*_MOVES, *(_ARP_MOVES if arp else ())]
    field = st.sampled_from(settable)
    kinds: list[st.SearchStrategy[Action]] = [
        PORTS.map(Output),
        st.just(Output(IN_PORT)),
        st.sampled_from([OutputField("reg0"), OutputField("reg1")]),
        st.integers(1, 0xFFE5).map(Controller),
        field.flatmap(lambda name: _value(name).map(lambda value: SetField(name, value))),
        st.sampled_from(moves).map(lambda pair: Move(*pair)),
    ]
    if table.next:
        kinds.append(st.sampled_from(table.next).map(lambda name: Resubmit(BY_NAME[name])))
    if table is LEARN:
        kinds.append(_learn())
    actions = draw(st.lists(st.one_of(kinds), max_size=6))
    if table.next and draw(st.booleans()):
        actions.append(Goto(BY_NAME[draw(st.sampled_from(table.next))]))
    priority = draw(st.integers(0, 0xFFFF))
    return flow(table, draw(st.sampled_from(Kind)), priority, match, actions)
