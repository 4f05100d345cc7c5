"""What is logged of the overlay: what is another than before, each once, in words and with keys."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from controller.decisions import NEIGHBORS, Moment, decisions
from controller.events import EVENTS, Event
from flows.model import Binding, Chassis, Neighbor, Overlay, Vtep
from tests.overlays import THREE


def told(before: Overlay, now: Overlay) -> list[tuple[str, dict[str, object]]]:
    """The events, and what they are about; every key is one that the table has."""
    found = []
    for text, extra in decisions(Moment(before), Moment(now)):
        assert text
        assert set(extra["about"]) <= set(EVENTS[extra["event"]].keys)
        found.append((str(extra["event"]), extra["about"]))
    return found


def bound(*bindings: Binding) -> Overlay:
    return replace(THREE, bindings=bindings)


WEB1 = Binding("h1", "vm1", 1, "red", "web1", "02:00:00:00:00:01", ("10.0.0.1",))
LONE = Binding("h2", "vm9", 9, "red")
OUT = Binding("h1", "patch", 7, "red", tag=20, gateway=True)


def test_nothing_is_told_of_what_is_as_before() -> None:
    assert told(THREE, replace(THREE)) == []
    assert told(THREE, replace(THREE, bindings=tuple(replace(each) for each in THREE.bindings))) == []


def test_ports_come_move_and_go() -> None:
    place = {"network": "red", "chassis": "h1", "interface": "vm1", "port": "web1"}
    assert told(bound(), bound(WEB1)) == [("port-bound", place)]
    assert told(bound(WEB1), bound()) == [("port-unbound", place)]
    moved = replace(WEB1, chassis="h2", interface="vm4")
    before = {"chassis_before": "h1", "interface_before": "vm1"}
    assert told(bound(WEB1), bound(moved)) == [
        ("port-moved", {**place, "chassis": "h2", "interface": "vm4", **before}),
    ]
    assert told(bound(WEB1), bound(replace(WEB1, ips=("10.0.0.7",)))) == []


def test_one_that_is_about_to_move_has_not_moved() -> None:
    coming = replace(WEB1, chassis="h2", standby=True)
    assert told(bound(WEB1), bound(WEB1, coming)) == []
    [(event, keys)] = told(bound(WEB1, coming), bound(replace(coming, standby=False)))
    assert (event, keys["chassis"]) == ("port-moved", "h2")


def test_undeclared_ports_are_known_by_their_place() -> None:
    there = {"network": "red", "chassis": "h2", "interface": "vm9"}
    assert told(bound(), bound(LONE)) == [("port-bound", there)]
    assert told(bound(LONE), bound(replace(LONE, interface="vm8"))) == [
        ("port-unbound", there),
        ("port-bound", {**there, "interface": "vm8"}),
    ]


def test_gateways() -> None:
    place = {"network": "red", "chassis": "h1", "interface": "patch", "tag": 20}
    assert told(bound(), bound(OUT)) == [("gateway-opened", place)]
    assert told(bound(OUT), bound()) == [("gateway-closed", place)]


def test_neighbors_that_move_and_no_more_than_a_few() -> None:
    seen = [Neighbor("red", f"10.0.0.{n}", "02:00:00:00:00:09", "h2", "vm9") for n in range(1, 51)]
    before = replace(THREE, neighbors=tuple(seen))
    assert told(replace(THREE, neighbors=()), before) == told(before, replace(THREE, neighbors=())) == []
    other = replace(seen[0], mac="02:00:00:00:00:0a")
    assert told(before, replace(before, neighbors=(other, *seen[1:]))) == [
        ("neighbor-moved", {
            "network": "red", "ip": "10.0.0.1", "mac": other.mac, "mac_before": seen[0].mac, "chassis": "h2",
            "interface": "vm9", "chassis_before": "h2", "interface_before": "vm9",
        }),
    ]  # fmt: skip
    all_moved = tuple(replace(each, chassis="h1") for each in seen)
    assert len(told(before, replace(before, neighbors=all_moved))) == NEIGHBORS


def test_steps_of_vteps() -> None:
    old, new = Vtep("192.0.2.1"), Vtep("192.0.2.11")
    ways = [((old,), ()), ((old,), (new,)), ((new,), (old,)), ((new,), ())]
    steps = [Chassis("h1", vteps, besides=besides) for vteps, besides in ways]
    overlays = [replace(THREE, chassis={**THREE.chassis, "h1": each}) for each in steps]
    found = [told(one, other) for one, other in pairwise(overlays)]
    first, second = ["192.0.2.1=gre+vxlan"], ["192.0.2.11=gre+vxlan"]
    assert [(keys["vteps"], keys["accepted"]) for [(_, keys)] in found] == [
        (first, second),
        (second, first),
        (second, []),
    ]
    assert told(overlays[0], replace(overlays[0], chassis=dict(overlays[0].chassis))) == []


def test_a_chassis_is_ready_again() -> None:
    moments = [Moment(THREE, {"h1": word}) for word in ("connecting", "ready", "ready", "unreachable", "ready")]
    assert [[each.extra["event"] for each in decisions(*pair)] for pair in pairwise(moments)] == [
        [Event.CHASSIS_READY], [], [], [Event.CHASSIS_READY],
    ]  # fmt: skip
