"""Plugs to bindings: every wrong one named, none in the way of another."""

from __future__ import annotations

import pytest

from flows.bind import bind
from flows.model import Network, Plug, Port

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
        (Plug("h1", "a", 1, attached_mac="02:00:00:00:00:08"), "neither iface-id=PORT nor overlay-vni=VNI"),
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


def test_of_two_claims_the_holder_keeps_the_port() -> None:
    claims = [Plug("h1", "a", 1, iface_id="web1"), Plug("h2", "b", 1, iface_id="web1")]
    first = bind(NETWORKS, PORTS, claims, {})
    assert [b.chassis for b in first.bindings] == ["h1"]
    assert "is also on h1 at a" in first.problems["h2", "b"]
    held = bind(NETWORKS, PORTS, claims, {"web1": ("h2", "b")})
    assert [b.chassis for b in held.bindings] == ["h2"]
    assert "is also on h2 at b" in held.problems["h1", "a"]
    # The holder gone, the other has it; and a holder without a port number does not keep it.
    assert [b.chassis for b in bind(NETWORKS, PORTS, claims[:1], {"web1": ("h2", "b")}).bindings] == ["h1"]
    dead = [claims[0], Plug("h2", "b", -1, iface_id="web1")]
    assert [b.chassis for b in bind(NETWORKS, PORTS, dead, {"web1": ("h2", "b")}).bindings] == ["h1"]


def test_a_claim_on_a_chassis_that_is_away_gives_way() -> None:
    """Nobody can unplug a port on a dead host; plugged in elsewhere, it is bound there."""
    claims = [Plug("h1", "a", 1, iface_id="web1"), Plug("h2", "b", 1, iface_id="web1")]
    held = {"web1": ("h1", "a")}
    assert [b.chassis for b in bind(NETWORKS, PORTS, claims, held, {"h1"}).bindings] == ["h2"]
    assert [b.chassis for b in bind(NETWORKS, PORTS, claims[:1], held, {"h1"}).bindings] == ["h1"]
    assert [b.chassis for b in bind(NETWORKS, PORTS, claims, held, {"h1", "h2"}).bindings] == ["h1"]
