"""Plugs to bindings: every wrong one named, none in the way of another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from flows.bind import Exit, Outlet, Outlets, bind
from flows.model import Binding, Gateway, Network, Plug, Port

NETWORKS = {"red": Network("red", "acme", 100), "blue": Network("blue", "umbra", 200)}
PORTS = {
    "web1": Port("web1", "red", "02:00:00:00:00:01", ("10.0.0.1",)),
    "web2": Port("web2", "red", "02:00:00:00:00:02", ("10.0.0.2",)),
    "off": Port("off", "red", "02:00:00:00:00:03", enabled=False),
}
GOOD = Plug("h9", "good", 7, iface_id="web2")


def problem_of(plug: Plug) -> str:
    """What is said of the plug; the good one beside it must be bound whatever it is."""
    bound = bind(NETWORKS, PORTS, [plug, GOOD], {})
    assert [b.port for b in bound.bindings if b.chassis == "h9"] == ["web2"]
    return bound.problems.get((plug.chassis, plug.interface), "")


def test_declared_and_undeclared() -> None:
    bound = bind(NETWORKS, PORTS, [Plug("h1", "a", 1, iface_id="web1"), Plug("h1", "b", 2, vni="200")], {})
    declared, undeclared = bound.bindings
    assert (declared.port, declared.mac, declared.ips, declared.learns) == (
        "web1", "02:00:00:00:00:01", ("10.0.0.1",), False,
    )  # fmt: skip
    assert (undeclared.network, undeclared.mac, undeclared.learns) == ("blue", None, True)
    assert not bound.problems


@pytest.mark.parametrize(
    ("plug", "words"),
    [
        (Plug("h1", "a", 1, iface_id="nobody"), "'nobody' is no declared port"),
        (Plug("h1", "a", 0, iface_id="web1"), ""),
        (Plug("h1", "a", 1, iface_id="off"), "port 'off' is disabled; overlayctl port-set off --enable"),
        (Plug("h1", "a", -1, vni="100", fault="no such device"), "can't use the interface: no such device"),
        (Plug("h1", "a", 1, vni="300"), "VNI of no declared network; overlayctl net-add"),
        (Plug("h1", "a", 1, vni="0"), "VNI 0 is not in 1..16777215"),
        (Plug("h1", "a", 1, vni="16777216"), "VNI 16777216 is not in"),
        (Plug("h1", "a", 1, vni="red"), "'red' is not a number"),
        (Plug("h1", "a", 1, iface_id=""), "iface-id is empty"),
        (
            Plug("h1", "a", 1, attached_mac="02:00:00:00:00:08"),
            "nor overlay-vni=VNI nor overlay-trunk=TAG=VNI",
        ),
    ],
)
def test_what_can_not_be_bound_says_why(plug: Plug, words: str) -> None:
    assert words in problem_of(plug)
    assert len(bind(NETWORKS, PORTS, [plug, GOOD], {}).bindings) == 1


@pytest.mark.parametrize(
    ("plug", "words"),
    [
        (Plug("h1", "a", 1, vni="100", attached_mac="02:00:00:00:00:01"), "that of a declared port"),
        (Plug("h1", "a", 1, vni="100", attached_mac="mac"), "'mac' is not of the form"),
        (Plug("h1", "a", 1, vni="100", attached_mac="01:00:5e:00:00:01"), "group address"),
        (
            Plug("h1", "a", 1, vni="100", attached_mac="02:00:00:00:00:08", overlay_ip="10.0.0.2"),
            "that of the declared port 'web2'",
        ),
        (Plug("h1", "a", 1, vni="100", overlay_ip="10.0.0.8"), "needs an attached-mac"),
    ],
)
def test_a_wrong_hint_is_ignored_and_said(plug: Plug, words: str) -> None:
    assert words in problem_of(plug)
    binding = bind(NETWORKS, PORTS, [plug], {}).bindings[0]
    assert binding.network == "red"
    assert binding.ips == ()


def test_hints_of_an_undeclared_port_count() -> None:
    plug = Plug("h1", "a", 1, vni="100", attached_mac="02-00-00-00-00-08", overlay_ip="10.0.0.8")
    binding = bind(NETWORKS, PORTS, [plug], {}).bindings[0]
    assert (binding.mac, binding.ips) == ("02:00:00:00:00:08", ("10.0.0.8",))
    other = Plug("h2", "a", 1, vni="100", attached_mac="02:00:00:00:00:08")
    bound = bind(NETWORKS, PORTS, [plug, other], {})
    assert "also that of h1/a" in bound.problems["h2", "a"]
    assert [b.mac for b in bound.bindings] == ["02:00:00:00:00:08", None]


def where(bindings: Iterable[Binding]) -> list[tuple[str, bool]]:
    """The chassis of bindings, and whether the port is only moving there."""
    return [(binding.chassis, binding.standby) for binding in bindings]


def test_of_two_ports_with_one_mac_or_address_the_first_by_name_has_it_wherever_they_are() -> None:
    """No index lets that in; a database without them may. Nobody gets anybody's packets by coming later, or earlier."""
    twins = {
        "a": Port("a", "red", "02:00:00:00:00:0a", ("10.0.0.10",)),
        "b": Port("b", "red", "02:00:00:00:00:0a", ("10.0.0.11",)),
        "c": Port("c", "red", "02:00:00:00:00:0c", ("10.0.0.10", "10.0.0.12")),
        "d": Port("d", "blue", "02:00:00:00:00:0a", ("10.0.0.10",)),
    }
    for order in (sorted(twins), sorted(twins, reverse=True)):
        ports = {name: twins[name] for name in order}
        plugs = [Plug(f"h{9 - number}", name, number, iface_id=name) for number, name in enumerate(sorted(twins), 1)]
        bound = bind(NETWORKS, ports, plugs, {})
        assert {b.port: b.ips for b in bound.bindings} == {
            "a": ("10.0.0.10",),
            "c": ("10.0.0.12",),
            "d": ("10.0.0.10",),
        }
        assert bound.problems == {
            ("h7", "b"): "MAC 02:00:00:00:00:0a is that of port 'a' too; overlayctl port-set b --mac MAC",
            ("h6", "c"): "address 10.0.0.10 is that of port 'a' too, which has it; overlayctl port-set c --ip IP",
        }


def test_a_port_that_is_plugged_in_on_two_chassis_is_moving() -> None:
    """Both places have it, and both are told; which of them had it before is remembered."""
    claims = [Plug("h1", "a", 1, iface_id="web1"), Plug("h2", "b", 1, iface_id="web1")]
    first = bind(NETWORKS, PORTS, claims, {})
    assert where(first.bindings) == [("h1", False), ("h2", True)]
    assert ("h1", "a") not in first.problems
    assert "moving here from h1/a" in first.problems["h2", "b"]
    held = bind(NETWORKS, PORTS, claims, {"web1": [("h2", "b")]})
    assert where(held.bindings) == [("h1", True), ("h2", False)]
    # The holder gone, the other has it; and a holder without a port number does not keep it.
    assert where(bind(NETWORKS, PORTS, claims[:1], {"web1": [("h2", "b")]}).bindings) == [("h1", False)]
    dead = [claims[0], Plug("h2", "b", -1, iface_id="web1")]
    assert where(bind(NETWORKS, PORTS, dead, {"web1": [("h2", "b")]}).bindings) == [("h1", False)]


def test_of_more_claims_two_count_and_of_those_on_one_chassis_one() -> None:
    claims = [
        Plug("h1", "a", 1, iface_id="web1"),
        Plug("h1", "b", 2, iface_id="web1"),
        Plug("h2", "c", 1, iface_id="web1"),
        Plug("h3", "d", 1, iface_id="web1"),
    ]
    bound = bind(NETWORKS, PORTS, claims, {})
    assert where(bound.bindings) == [("h1", False), ("h2", True)]
    for place in (("h1", "b"), ("h3", "d")):
        told = "is also on h1 at a, which has the port, and is moving to h2 at c; unplug one"
        assert told in bound.problems[place]
    alone = bind(NETWORKS, PORTS, claims[:2], {})
    assert "is also on h1 at a, which has the port; unplug one" in alone.problems["h1", "b"]


def test_of_three_places_the_two_that_came_first_count() -> None:
    """A stray plug cuts no migration, wherever it is in the order of names."""
    claims = [Plug(chassis, "a", 1, iface_id="web1") for chassis in ("h1", "h2", "h3")]
    held = {"web1": [("h2", "a"), ("h3", "a")]}
    bound = bind(NETWORKS, PORTS, claims, held)
    assert where(bound.bindings) == [("h2", False), ("h3", True)]
    assert "is also on h2 at a, which has the port, and is moving to h3 at a" in bound.problems["h1", "a"]
    # The move is done, or given up: then the third is the second.
    assert where(bind(NETWORKS, PORTS, [claims[0], claims[2]], held).bindings) == [("h1", True), ("h3", False)]
    assert where(bind(NETWORKS, PORTS, claims[:2], held).bindings) == [("h1", True), ("h2", False)]
    assert where(bind(NETWORKS, PORTS, claims, held, {"h2"}).bindings) == [("h1", True), ("h3", False)]
    assert where(bind(NETWORKS, PORTS, claims, held, {"h3"}).bindings) == [("h1", True), ("h2", False)]


def test_a_claim_on_a_chassis_that_is_away_gives_way() -> None:
    """Nobody can unplug a port on a dead host; plugged in elsewhere, it is bound there, and there alone."""
    claims = [Plug("h1", "a", 1, iface_id="web1"), Plug("h2", "b", 1, iface_id="web1")]
    held = {"web1": [("h1", "a")]}
    assert where(bind(NETWORKS, PORTS, claims, held, {"h1"}).bindings) == [("h2", False)]
    assert where(bind(NETWORKS, PORTS, claims[:1], held, {"h1"}).bindings) == [("h1", False)]
    assert where(bind(NETWORKS, PORTS, claims, held, {"h1", "h2"}).bindings) == [("h1", False)]


BEHIND = PORTS | {
    "sub": Port("sub", "blue", "02:00:00:00:00:01", ("10.0.0.1",), parent="web1", tag=20, flood_rate=7),
    "lost": Port("lost", "nowhere", "02:00:00:00:00:05", parent="web1", tag=30),
    "idle": Port("idle", "blue", "02:00:00:00:00:06", enabled=False, parent="web1", tag=40),
}


def test_a_port_behind_another_is_plugged_in_with_it() -> None:
    bound = bind(NETWORKS, BEHIND, [Plug("h1", "a", 1, iface_id="web1"), GOOD], {})
    at = {(b.port, b.network, b.tag, b.flood_rate) for b in bound.bindings if b.chassis == "h1"}
    rate = BEHIND["web1"].flood_rate
    assert at == {("web1", "red", 0, rate), ("sub", "blue", 20, rate)}
    assert "port 'lost' is in network 'nowhere', which is not declared" in bound.problems["h1", "a"]
    alone = bind(NETWORKS, BEHIND, [Plug("h1", "a", 1, iface_id="sub"), GOOD], {})
    assert "port 'sub' is behind port 'web1', with tag 20" in alone.problems["h1", "a"]


def test_it_moves_with_it() -> None:
    claims = [Plug("h1", "a", 1, iface_id="web1"), Plug("h2", "b", 1, iface_id="web1")]
    bound = bind(NETWORKS, BEHIND, claims, {})
    assert [(b.chassis, b.tag, b.standby) for b in bound.bindings] == [
        ("h1", 0, False), ("h1", 20, False), ("h2", 0, True), ("h2", 20, True),
    ]  # fmt: skip


def test_a_trunk_that_is_not_declared() -> None:
    plug = Plug("h1", "t", 3, vni="100", trunk=" 20 = 200")
    bound = bind(NETWORKS, PORTS, [plug, GOOD], {})
    assert [(b.network, b.tag) for b in bound.bindings if b.chassis == "h1"] == [("red", 0), ("blue", 20)]
    only = bind(NETWORKS, PORTS, [Plug("h1", "t", 3, trunk="20=200"), GOOD], {})
    assert [(b.network, b.tag) for b in only.bindings if b.chassis == "h1"] == [("blue", 20)]
    assert not bound.problems


def test_two_tags_of_an_interface_are_not_joined() -> None:
    """As two places of one interface in one network they would be told apart by nothing."""
    for vni, trunk, left, words in (
        ("100", "10=100,20=200", [("red", 0), ("blue", 20)], "tag 10 is in network 'red', and so is what it sends"),
        (None, "10=100,11=100", [("red", 10)], "tag 11 is in network 'red', and so is tag 10; give it another one"),
    ):
        bound = bind(NETWORKS, PORTS, [GOOD, Plug("h1", "t", 3, vni=vni, trunk=trunk)], {})
        assert [(b.network, b.tag) for b in bound.bindings if b.interface == "t"] == left
        assert words in bound.problems["h1", "t"]


@pytest.mark.parametrize(
    ("trunk", "words"),
    [
        ("20", "'20' is not TAG=VNI"),
        ("0=200", "a tag in 1..4094"),
        ("4095=200", "a tag in 1..4094"),
        ("x=200", "'x=200' is not TAG=VNI"),
        ("20=300", "VNI 300 is that of no declared network; overlayctl net-add"),
        ("20=0", "VNI 0 is not in"),
        ("30=200,30=100", "tag 30 is there twice"),
    ],
)
def test_a_wrong_tag_is_named_and_the_others_count(trunk: str, words: str) -> None:
    bound = bind(NETWORKS, PORTS, [Plug("h1", "t", 3, trunk=f"{trunk},99=100"), GOOD], {})
    assert words in bound.problems["h1", "t"]
    assert ("red", 99) in [(b.network, b.tag) for b in bound.bindings]


def test_a_network_goes_on_outside_at_its_gateway_alone() -> None:
    networks = {
        "red": replace(NETWORKS["red"], gateway=Gateway("office", 10, "h1")),
        "blue": replace(NETWORKS["blue"], gateway=Gateway("office", 10, "h3")),
        "pink": Network("pink", "acme", 300, gateway=Gateway("office", 0, "h2")),
    }
    exits = [Exit("h1", "office", "overlay-to-br0", 5), Exit("h3", "office", "overlay-to-br0", 5)]
    bound = bind(networks, {}, [], {}, (), exits)
    (binding,) = bound.bindings
    assert (binding.network, binding.chassis, binding.ofport, binding.tag) == ("blue", "h3", 5, 10)
    assert binding.gateway
    assert binding.learns
    # One VLAN is one layer-2 domain, whatever the chassis.
    assert bound.networks["red"].startswith(
        "VLAN 10 of physical network 'office' is that of network 'blue'; overlayctl"
    )
    assert "overlayctl chassis-set h2 --bridge office=BRIDGE" in bound.networks["pink"]


def leads(gateway: Gateway, known: Outlets, name: str = "red") -> tuple[list[tuple[str, str]], str, list[str]]:
    """Where networks go on when this is declared and that is known; what is wrong with one; what is to open."""
    exits = [Exit(chassis, "office", "overlay-to-br0", 5) for chassis in ("h1", "h2", "h3")]
    bound = bind({name: replace(NETWORKS[name], gateway=gateway)}, {}, [], {}, (), exits, known)
    assert bound.outlets == {Outlet(b.network, b.chassis, "office", b.tag) for b in bound.bindings}
    at = [(b.network, b.chassis) for b in bound.bindings]
    return at, bound.networks.get(name, ""), [outlet.chassis for outlet in bound.opening]


AT_H1, AT_H2 = (Outlet("red", chassis, "office", 0) for chassis in ("h1", "h2"))


def test_a_gateway_that_moves_is_closed_before_it_opens() -> None:
    to_h2 = Gateway("office", 0, "h2")
    assert leads(to_h2, Outlets()) == ([("red", "h2")], "", [])
    assert leads(to_h2, Outlets({AT_H1})) == ([], "waits until h1 has stopped being the gateway", [])
    assert leads(to_h2, Outlets({AT_H2})) == ([("red", "h2")], "", [])
    # Another VLAN there is another door as well, and so is the network that had this one.
    other = Outlet("red", "h2", "office", 7)
    assert leads(to_h2, Outlets({other}))[:2] == ([], "waits until h2 has stopped being the gateway")
    assert leads(to_h2, Outlets({AT_H1}), "blue")[0] == []
    assert leads(Gateway("office", 5, "h2"), Outlets({AT_H1}), "blue")[0] == [("blue", "h2")]


def test_a_gateway_stays_where_it_can_not_be_closed() -> None:
    stuck = {"h1": "tcp:198.51.100.1:6640: no answer"}
    at, why, _ = leads(Gateway("office", 0, "h2"), Outlets({AT_H1}, stuck=stuck))
    assert at == [("red", "h1")]
    for words in ("goes on at h1, which can't be told to stop (tcp:198", "at h2 once h1 is back", "chassis-del h1"):
        assert words in why
    # Somebody else's is not ours to go on with.
    assert leads(Gateway("office", 0, "h2"), Outlets({AT_H1}, stuck=stuck), "blue")[0] == []


def test_a_gateway_opens_once_that_is_written_down() -> None:
    here = Gateway("office", 0, "h1")
    assert leads(here, Outlets(noted=())) == ([], "", ["h1"])
    assert leads(here, Outlets({AT_H1}, noted=())) == ([], "", ["h1"])
    assert leads(here, Outlets({AT_H1}, noted={AT_H1})) == ([("red", "h1")], "", [])
