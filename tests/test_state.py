"""What follows from what was stored: overlay, status, and who may tell of which neighbor."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.neighbors import NEIGHBORS_PER_PORT
from controller.packet_in import Seen
from controller.report import IMPOSTOR_S
from controller.state import State
from flows.compile import compile
from flows.model import Chassis, Encap, Network, Pair, Plug, Port, UnknownNeighbor, Vtep
from ovsdb.marks import Mark
from ovsdb.snapshot import ChassisRow, Declared, LastKnown, Plugged

CHASSIS = {
    name: ChassisRow(Chassis(name, (Vtep(f"192.0.2.{name[1:]}"),)), f"tcp:198.51.100.{name[1:]}:6640")
    for name in ("h1", "h2", "h3")
}
NETWORKS = {"red": Network("red", "acme", 100), "blue": Network("blue", "umbra", 200)}
PORTS = {
    f"web{number}": Port(f"web{number}", "red", f"02:00:00:00:00:0{number}", (f"10.0.0.{number}",)) for number in (1, 2)
}
WEB1 = Plug("h1", "vm1", 1, iface_id="web1")
WEB2 = Plug("h2", "vm2", 1, iface_id="web2")
FREE = Plug("h2", "vm9", 9, vni="100")
UNKNOWN = "02:00:00:00:00:99"


def declared(nb_cfg: int = 0, **changes: object) -> Declared:
    return Declared(**{"chassis": CHASSIS, "networks": NETWORKS, "ports": PORTS, "nb_cfg": nb_cfg, **changes})


def store(*plugs: Plug, last: LastKnown | None = None) -> State:
    """A store that knows the declarations, and every chassis with these plugs."""
    state = State(changed=lambda: None, noted=lambda: None)
    state.declare(declared(), last or LastKnown())
    for name in CHASSIS:
        state.plug(name, Plugged(tuple(plug for plug in plugs if plug.chassis == name)), ())
    return state


def arp(spa: str, sha: str) -> Seen:
    return Seen(spa, sha)


def neighbors(state: State) -> dict[str, str]:
    return {neighbor.ip: neighbor.mac for neighbor in state.overlay.neighbors}


def test_nothing_is_derived_before_the_declarations_are_known() -> None:
    state = State(changed=pytest.fail, noted=lambda: None)
    state.plug("h1", Plugged((WEB1,)), ())
    assert state.version == 0


def test_an_undeclared_port_tells_of_its_neighbors() -> None:
    state = store(FREE)
    state.see("h2", 9, arp("10.0.0.9", UNKNOWN))
    assert neighbors(state) == {"10.0.0.9": UNKNOWN}
    version = state.version
    state.see("h2", 9, arp("10.0.0.9", UNKNOWN))
    assert state.version == version, "told twice, nothing is new"
    state.see("h2", 9, arp("10.0.0.9", "02:00:00:00:00:98"))
    assert neighbors(state) == {"10.0.0.9": "02:00:00:00:00:98"}, "the address moved"
    state.plug("h2", Plugged(()), ())
    assert neighbors(state) == {}, "its place is gone"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (("h2", 9), arp("10.0.0.1", UNKNOWN)),  # an address that is declared
        (("h2", 9), arp("10.0.0.9", "02:00:00:00:00:01")),  # a MAC that is declared
        (("h1", 1), arp("10.0.0.9", UNKNOWN)),  # a declared port with somebody else's MAC
        (("h2", 77), arp("10.0.0.9", UNKNOWN)),  # a port in no network
        (("h7", 9), arp("10.0.0.9", UNKNOWN)),
    ],
)
def test_who_may_not_tell(place: tuple[str, int], told: Seen) -> None:
    state = store(WEB1, FREE)
    state.see(*place, told)
    assert neighbors(state) == {}


def test_a_declared_port_that_sends_from_another_mac_is_said_until_it_is_set_right() -> None:
    state = store(WEB1)
    state.see("h1", 1, arp("10.0.0.1", UNKNOWN), now=5.0)
    assert neighbors(state) == {}
    said = state.status(now=64.0).bindings["h1", "vm1", 0].error
    assert f"sends from MAC {UNKNOWN}, but port 'web1' is declared with 02:00:00:00:00:01" in said
    state.see("h1", 1, arp("10.0.0.1", UNKNOWN), now=64.0)
    assert state.status(now=123.0).bindings["h1", "vm1", 0].error == said
    assert state.status(now=125.0).bindings["h1", "vm1", 0].error == "", "it has long sent nothing of the kind"
    state.see("h1", 1, arp("10.0.0.1", UNKNOWN), now=130.0)
    right = Port("web1", "red", UNKNOWN, ("10.0.0.1",))
    state.declare(declared(ports={**PORTS, "web1": right}), LastKnown())
    assert state.status(now=131.0).bindings["h1", "vm1", 0].error == ""


def test_a_declared_port_may_tell_of_what_it_is_allowed_besides() -> None:
    state = store(WEB1)
    further = arp("10.0.0.100", "02:00:00:00:00:01")
    state.see("h1", 1, further, now=1.0)
    assert neighbors(state) == {}
    said = state.status(now=1.0).bindings["h1", "vm1", 0].error
    assert said.endswith("if it may: overlayctl port-set web1 --allow 10.0.0.100")
    allowed = replace(PORTS["web1"], pairs=(Pair("10.0.0.100"),))
    state.declare(declared(ports={**PORTS, "web1": allowed}), LastKnown())
    state.see("h1", 1, further)
    assert neighbors(state) == {"10.0.0.100": "02:00:00:00:00:01"}


def test_an_address_that_is_allowed_to_one_and_declared_for_another_is_said_of_both_when_it_is_claimed() -> None:
    state = store(WEB1, WEB2)
    allowed = replace(PORTS["web1"], pairs=(Pair("10.0.0.2"),))
    state.declare(declared(ports={**PORTS, "web1": allowed}), LastKnown())
    state.see("h1", 1, arp("10.0.0.2", "02:00:00:00:00:01"), now=5.0)
    said = {place: binding.error for place, binding in state.status(now=6.0).bindings.items()}
    assert "claims 10.0.0.2 with MAC" in said["h1", "vm1", 0]
    assert "that is the address of port 'web2' at h2/vm2" in said["h1", "vm1", 0]
    assert "port 'web1' at h1/vm1 claims its address 10.0.0.2" in said["h2", "vm2", 0]
    assert neighbors(state) == {}
    state.plug("h2", Plugged(()))
    state.see("h1", 1, arp("10.0.0.2", "02:00:00:00:00:01"), now=100.0)
    assert neighbors(state) == {"10.0.0.2": "02:00:00:00:00:01"}, "it is nobody's for now"
    assert state.status(now=100.0).bindings["h1", "vm1", 0].error == ""


def test_an_address_that_two_claim_is_said_of_both() -> None:
    state = store(WEB1, WEB2, FREE)
    state.see("h2", 9, arp("10.0.0.1", UNKNOWN), now=5.0)
    said = {place: binding.error for place, binding in state.status(now=6.0).bindings.items()}
    assert (
        said["h2", "vm9", 0] == f"claims 10.0.0.1 with MAC {UNKNOWN}, but that is the address of port 'web1' at h1/vm1"
    )
    assert said["h1", "vm1", 0] == f"the undeclared port at h2/vm9 claims its address 10.0.0.1 with MAC {UNKNOWN}"
    assert said["h2", "vm2", 0] == ""
    assert neighbors(state) == {}
    assert state.status(now=66.0).bindings["h1", "vm1", 0].error == "", "it has long not been claimed any more"
    state.see("h2", 1, arp("10.0.0.1", "02:00:00:00:00:02"), now=100.0)
    assert "port 'web2' at h2/vm2 claims its address 10.0.0.1" in state.status(now=100.0).bindings["h1", "vm1", 0].error


def test_a_learned_address_may_move_but_not_to_and_fro() -> None:
    other = Plug("h3", "vm8", 8, vni="100")
    state = store(FREE, other)
    state.see("h2", 9, arp("10.0.0.9", UNKNOWN), now=1.0)
    state.see("h3", 8, arp("10.0.0.9", "02:00:00:00:00:98"), now=2.0)
    assert not any(binding.error for binding in state.status(now=2.0).bindings.values()), "it moved"
    state.see("h2", 9, arp("10.0.0.9", UNKNOWN), now=3.0)
    said = {place: binding.error for place, binding in state.status(now=3.0).bindings.items()}
    assert f"claims 10.0.0.9 with MAC {UNKNOWN}, and h3/vm8 with MAC 02:00:00:00:00:98" in said["h2", "vm9", 0]
    assert f"claims 10.0.0.9 with MAC 02:00:00:00:00:98, and h2/vm9 with MAC {UNKNOWN}" in said["h3", "vm8", 0]


def test_one_port_can_not_fill_everything() -> None:
    state = store(FREE)
    for number in range(NEIGHBORS_PER_PORT + 50):
        state.see("h2", 9, arp(f"10.1.{number // 256}.{number % 256}", UNKNOWN))
    assert len(neighbors(state)) == NEIGHBORS_PER_PORT


def test_what_was_last_known_stands_in_until_a_chassis_is_heard() -> None:
    last = LastKnown(plugs=(WEB1, WEB2), held={"web1": (("h1", "vm1"),), "web2": (("h2", "vm2"),)})
    state = State(changed=lambda: None, noted=lambda: None)
    state.declare(declared(), last)
    assert {binding.port for binding in state.overlay.bindings} == {"web1", "web2"}
    state.plug("h1", Plugged((WEB1,)), ())
    assert {binding.port for binding in state.overlay.bindings} == {"web1", "web2"}
    assert state.status().asked == {"h1"}, "what stands in must not be written over"
    state.plug("h2", Plugged(()), ())
    assert {binding.port for binding in state.overlay.bindings} == {"web1"}
    state.lose("h1", "connection refused", tried=True)
    assert {binding.port for binding in state.overlay.bindings} == {"web1"}, "unreachable is not unplugged"
    assert state.status().chassis["h1"].state == "unreachable"


def test_complete_when_every_chassis_was_heard_or_can_not_be() -> None:
    state = State(changed=lambda: None, noted=lambda: None)
    state.declare(declared(), LastKnown())
    state.plug("h1", Plugged(), ())
    state.lose("h2", "not connected yet", tried=False)
    state.plug("h3", Plugged(), ())
    assert not state.complete
    state.lose("h2", "connection refused", tried=True)
    assert state.complete
    state.declare(declared(chassis={**CHASSIS, "h4": CHASSIS["h3"]}), LastKnown())
    assert not state.complete, "it may be in the middle of things: its database was lost, and is rebuilt"
    told: list[str] = []
    state.changed = lambda: told.append("changed")
    state.lose("h4", "connection refused", tried=True)
    assert state.complete, "one that can't be reached holds nobody up"
    assert told


def test_who_is_heard_at_last_is_told_even_when_nothing_is_new() -> None:
    """Its switch waits for that, and what was last known of the chassis stood in for it."""
    state = State(changed=lambda: None, noted=lambda: None)
    state.declare(declared(), LastKnown(plugs=(WEB1,), held={"web1": (("h1", "vm1"),)}))
    for name in CHASSIS:
        state.lose(name, "not yet", tried=True)
    told: list[str] = []
    state.changed = lambda: told.append("changed")
    version = state.version
    state.plug("h1", Plugged((WEB1,)), ())
    assert state.version == version
    assert told


def test_the_holder_keeps_its_port_across_a_restart() -> None:
    claims = (Plug("h1", "a", 1, iface_id="web1"), Plug("h2", "b", 1, iface_id="web1"))
    assert [(b.chassis, b.standby) for b in store(*claims).overlay.bindings] == [("h1", False), ("h2", True)]
    last = LastKnown(plugs=claims, held={"web1": (("h2", "b"),)})
    assert [(b.chassis, b.standby) for b in store(*claims, last=last).overlay.bindings] == [("h1", True), ("h2", False)]


def test_a_gateway_that_nobody_is_known_to_be_is_said_of_its_network() -> None:
    """Requests are for it alone; while it is nowhere they are dropped."""
    asks = replace(NETWORKS["red"], unknown_neighbor=UnknownNeighbor.GATEWAY)

    def said(network: Network, *plugs: Plug) -> str:
        state = store(*plugs)
        state.declare(declared(networks={**NETWORKS, "red": network}), LastKnown())
        return state.status().networks["red"].error

    assert said(asks, WEB1).endswith("so they are dropped; overlayctl net-set red --gateway IP")
    routed = replace(asks, routers=("10.0.0.2", "fd00::2"))
    assert "nobody is known to have the address of its gateway, 10.0.0.2, fd00::2, so" in said(routed, WEB1)
    assert said(routed, WEB1, WEB2).startswith("nobody is known to have the address of its gateway, fd00::2, so")
    assert said(replace(asks, routers=("10.0.0.2",)), WEB1, WEB2) == ""
    assert said(routed) == "", "nobody is there who could ask"
    assert said(replace(routed, unknown_neighbor=UnknownNeighbor.FLOOD), WEB1) == ""


def test_a_stray_plug_cuts_no_move() -> None:
    """Also across a restart: h3 was the second, and stays it although h1 comes before it by name."""
    claims = [Plug(chassis, "a", 1, iface_id="web1") for chassis in ("h2", "h3", "h1")]
    state = store(claims[0])
    for plug in claims[1:]:
        state.plug(plug.chassis, Plugged((plug,)))
    moving = [("h2", False), ("h3", True)]
    assert [(b.chassis, b.standby) for b in state.overlay.bindings] == moving
    assert "is also on h2 at a" in state.status().bindings["h1", "a", 0].error
    last = LastKnown(plugs=tuple(sorted(claims, key=str)), held={"web1": (("h2", "a"), ("h3", "a"))})
    assert [(b.chassis, b.standby) for b in store(*claims, last=last).overlay.bindings] == moving


def test_a_port_is_up_when_every_connected_switch_has_it() -> None:
    state = store(WEB1, WEB2)

    def up() -> list[bool]:
        return [said.up for said in state.status().bindings.values()]

    for name in CHASSIS:
        state.connect(name, True)
    assert up() == [False, False]
    for name in CHASSIS:
        state.confirm(name, state.version, 0, 40, ())
    assert up() == [True, True]
    state.plug("h2", Plugged((WEB2, FREE)), ())
    assert state.status().bindings["h2", "vm9", 0].up is False
    assert up()[:2] == [True, True], "what was up stays up"
    for name in ("h2", "h3"):
        state.confirm(name, state.version, 0, 40, ())
    assert state.status().bindings["h2", "vm9", 0].up is False, "h1 does not have it yet"
    state.connect("h1", False)
    assert state.status().bindings["h2", "vm9", 0].up is True, "who is away is not waited for"


def test_a_chassis_is_ready_when_it_is_reached_connected_and_confirmed() -> None:
    state = store(WEB1)
    assert state.status().chassis["h1"].state == "connecting"
    state.connect("h1", True)
    state.confirm("h1", state.version, 7, 40, ())
    assert state.status().chassis["h1"].cur_cfg == 0, "its database is not as declared yet"
    state.plug("h1", Plugged((WEB1,)), (), provisioned=7)
    said = state.status().chassis["h1"]
    assert (said.state, said.error, said.cur_cfg, said.flows) == ("ready", "", 7, 40)
    state.confirm("h1", state.version, 7, 40, ("flow refused",))
    assert state.status().chassis["h1"].state == "error"


def test_a_write_that_changes_nothing_anywhere_costs_nothing_anywhere() -> None:
    state = store(WEB1)
    told: list[str] = []
    for name in ("h1", "h2"):
        state.plug(name, Plugged((WEB1,) if name == "h1" else ()), (), provisioned=0)
        state.confirm(name, state.version, 0, 40, ())
    state.changed = lambda: told.append("changed")
    spare = Port("spare", "red", "02:00:00:00:00:07")
    state.declare(declared(nb_cfg=5, ports={**PORTS, "spare": spare}), LastKnown())
    assert told == []
    cfgs = {name: said.cur_cfg for name, said in state.status().chassis.items()}
    assert cfgs == {"h1": 5, "h2": 5, "h3": 0}, "who has nothing yet has nothing now"
    state.confirm("h3", state.version, 0, 20, ())
    state.plug("h3", Plugged(()), (), provisioned=5)
    assert state.status().chassis["h3"].cur_cfg == 5, "what it was given meanwhile was the same"
    state.declare(declared(nb_cfg=6, epoch=1), LastKnown())
    assert told, "a deletion is told to every chassis"


def test_chassis_without_a_common_encap_say_so() -> None:
    alone = ChassisRow(Chassis("h2", (Vtep("192.0.2.2", frozenset({Encap.GRE})),)), "tcp:198.51.100.2:6640")
    other = ChassisRow(Chassis("h1", (Vtep("192.0.2.1", frozenset({Encap.VXLAN})),)), "tcp:198.51.100.1:6640")
    state = store(WEB1, WEB2)
    state.declare(declared(chassis={"h1": other, "h2": alone}), LastKnown())
    assert "shares no encap and address family with h2" in state.status().chassis["h1"].error
    assert "shares no encap and address family with h1" in state.status().chassis["h2"].error


EVENTS = st.lists(
    st.sampled_from(
        [
            ("plug", "h1", ()), ("plug", "h1", (WEB1,)), ("plug", "h2", ()), ("plug", "h2", (WEB2,)),
            ("plug", "h2", (WEB2, FREE)), ("plug", "h3", ()), ("plug", "h3", (Plug("h3", "vm1", 4, vni="200"),)),
            ("ports", None, ()), ("ports", None, ("web1",)), ("ports", None, ("web1", "web2")),
            ("lose", "h1", ()), ("lose", "h2", ()),
        ]
    ),
    max_size=30,
)  # fmt: skip


@given(EVENTS)
def test_any_way_to_a_state_of_things_gives_the_same_flows(events: list[tuple[str, str, tuple]]) -> None:
    """What counts is what is stored last, not how it came to be: a store told only that has the same flows."""
    state = store()
    final: dict[str, tuple] = dict.fromkeys(CHASSIS, ())
    ports, epoch = dict(PORTS), 0
    for kind, name, what in events:
        if kind == "plug":
            final[name] = what
            state.plug(name, Plugged(what), ())
        elif kind == "lose":
            state.lose(name, "away", tried=True)
        else:
            ports, epoch = {port: PORTS[port] for port in what}, epoch + 1
            state.declare(declared(ports=ports, epoch=epoch), LastKnown())
    fresh = store(*(plug for plugs in final.values() for plug in plugs))
    fresh.declare(declared(ports=ports, epoch=epoch), LastKnown())
    for name in CHASSIS:
        assert compile(state.overlay, name) == compile(fresh.overlay, name)


def test_in_an_alarm_the_switches_keep_what_was_there_before_and_nothing_of_what_is_suspect() -> None:
    state = store(WEB1)
    state.declare(declared(ports={}), LastKnown())
    assert "2 of 2 declared ports vanished" in state.trust.alarm
    assert state.trust.acts
    assert state.overlay.bindings
    begun = State(changed=lambda: None, noted=lambda: None)
    begun.declare(declared(ports={}, database_id="one", epoch=3), LastKnown())
    begun.plug("h1", Plugged((WEB1,), mark=str(Mark("one", 4, 0)), ours=True), ())
    assert "is an older copy" in begun.trust.alarm
    assert not begun.trust.acts
    begun.declare(declared(database_id="one", epoch=3, accepted=True), LastKnown())
    assert (begun.trust.alarm, begun.trust.acts) == ("", True)


def test_a_chassis_is_ready_when_its_switch_has_its_flows_since_it_connected() -> None:
    state = store()
    state.plug("h1", Plugged(ours=True), (), provisioned=0)
    states = []
    for _ in range(2):  # the second time it comes back, maybe with no flow at all
        state.connect("h1", True)
        states.append(state.chassis["h1"].state)
        state.confirm("h1", state.version, 0, 40, ())
        states.append(state.chassis["h1"].state)
        state.connect("h1", False)
    assert states == ["connecting", "ready"] * 2


def test_a_switch_that_was_turned_away_is_told_also_while_the_right_one_is_there() -> None:
    state = store()
    state.plug("h1", Plugged(), ())
    assert state.status().chassis["h1"].error == ""
    state.turn_away("h1", "the database may say that it is connected, where nobody is left to say otherwise", 0)
    assert state.status().chassis["h1"].error.startswith("the database may say")
    state.plug("h1", Plugged(channel="OpenFlow to tcp:198.51.100.254:6653: connection closed"), ())
    state.turn_away("h1", "OpenFlow from 203.0.113.9 was refused: ...", 0)
    assert state.status().chassis["h1"].error == "OpenFlow from 203.0.113.9 was refused: ..."
    state.connect("h1", True)
    state.turn_away("h1", "somebody else", 100)
    assert (state.status(100).chassis["h1"].error, state.status(100).chassis["h1"].impostor) == ("", "somebody else")
    assert state.status(100 + IMPOSTOR_S).chassis["h1"].impostor == ""
