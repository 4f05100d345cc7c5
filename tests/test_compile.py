"""Compiled flows: golden text, the declaration they are held against, and what does not change them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from flows import text
from flows.compile import compile, everything, step_by_step
from flows.compile.view import unreachable_pairs
from flows.flow import Controller, Goto, flow, kind_of, owned
from flows.model import TUNNELS, Chassis, Neighbor, Overlay, Vtep
from flows.plan import plan
from flows.tables import CLASSIFY, DELIVER, FLOOD, FORWARD, GUARD, PIPELINE, TAGS, Kind
from flows.vteps import accepted
from tests.overlays import THREE, overlays

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("chassis", ["h1", "h2", "h3"])
def test_golden(chassis: str, request: pytest.FixtureRequest) -> None:
    """The flows of each chassis of `THREE`, as text; `pytest --golden` writes them anew."""
    found = text.dump(compile(THREE, chassis))
    path = GOLDEN / f"three-{chassis}.flows"
    if request.config.getoption("--golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text()


@given(overlays())
def test_every_match_behind_classify_carries_the_vni(overlay: Overlay) -> None:
    """A flow of a network matches its metadata, whichever table it is in."""
    fixed = {flow.key for flow in compile(Overlay(overlay.chassis), min(overlay.chassis))}
    for chassis in overlay.chassis:
        for one in compile(overlay, chassis):
            if one.key not in fixed and one.table is not CLASSIFY:
                assert "metadata" in {name for name, _, _ in one.match}, text.text(one)


@given(overlays())
def test_order_of_knowledge_does_not_matter(overlay: Overlay) -> None:
    """The same overlay told in another order has the same flows."""
    shuffled = replace(
        overlay,
        chassis=dict(reversed(overlay.chassis.items())),
        networks=dict(reversed(overlay.networks.items())),
        bindings=tuple(random.Random(1).sample(overlay.bindings, len(overlay.bindings))),
        neighbors=tuple(reversed(overlay.neighbors)),
    )
    for chassis in overlay.chassis:
        assert compile(overlay, chassis) == compile(shuffled, chassis)


@given(overlays(), overlays())
def test_cache_changes_nothing(before: Overlay, after: Overlay) -> None:
    """A compile after another one, with its cache, gives what a full one gives."""
    cache: dict = {}
    compile(before, "h1", cache)
    assert compile(after, "h1", cache) == compile(after, "h1")


def test_others_have_their_turn_within_a_view() -> None:
    """A view with many ports is compiled table by table, and a cached one at once."""
    cache: dict = {}
    assert len(list(step_by_step(THREE, "h1", cache))) > 20
    assert everything(cache) == compile(THREE, "h1")
    assert len(list(step_by_step(THREE, "h1", cache))) == 1


@given(overlays(), overlays())
def test_plan_reaches_desired_and_touches_nothing_else(before: Overlay, after: Overlay) -> None:
    """installed + adds - deletes = desired, and what is in both is in neither list."""
    installed = {flow.key for flow in compile(before, "h1")}
    desired = compile(after, "h1")
    todo = plan(desired, installed)
    added = {flow.key for flow in todo.adds}
    assert (installed | added) - set(todo.deletes) == {flow.key for flow in desired}
    assert not added & installed
    assert not plan(desired, {flow.key for flow in desired})


@given(overlays())
def test_no_two_flows_of_a_table_match_the_same(overlay: Overlay) -> None:
    """On a switch the later would replace the former; and no two flows share a key."""
    for chassis in overlay.chassis:
        flows = compile(overlay, chassis)
        assert len({(flow.table.id, flow.priority, flow.match) for flow in flows}) == len(flows)
        assert len({flow.key for flow in flows}) == len(flows)


def test_plan_leaves_learned_flows_alone() -> None:
    learned = (60, 100, 0x0E7 << 52 | Kind.LEARNED << 44 | 5)
    assert plan([], [learned]).deletes == ()
    assert plan([], [(60, 100, 0x0E7 << 52 | Kind.KNOWN << 44 | 5)]).deletes != ()


def test_plan_fills_the_last_tables_first_and_empties_the_first_tables_first() -> None:
    flows = compile(THREE, "h1")
    todo = plan(flows, [])
    assert [flow.table.id for flow in todo.adds] == sorted((f.table.id for f in flows), reverse=True)
    gone = plan([], {flow.key for flow in flows})
    assert [key[0] for key in gone.deletes] == sorted(flow.table.id for flow in flows)


def test_a_pair_of_chassis_uses_an_encap_both_offer() -> None:
    """red is VXLAN, but h3 offers GRE alone: h1 reaches h2 by VXLAN and h3 by GRE, with the same VNI."""
    shown = [text.text(one) for one in compile(THREE, "h1") if one.table is FLOOD and "metadata=0x64" in text.text(one)]
    assert len(shown) == 2
    assert "set_field:0x64->tun_id,set_field:192.0.2.1->tun_src,set_field:192.0.2.2->tun_dst,output:65001" in shown[0]
    assert "set_field:192.0.2.3->tun_dst,output:65002" in shown[0]
    assert "65001" not in shown[1]


def test_chassis_without_a_common_encap_are_left_out() -> None:
    alone = replace(THREE, chassis={**THREE.chassis, "h1": Chassis("h1", (Vtep("192.0.2.1", frozenset()),))})
    for one in compile(alone, "h1"):
        assert "tun_dst" not in text.text(one)


def test_a_chassis_without_ports_in_a_network_has_no_flow_of_it() -> None:
    assert not [one for one in compile(THREE, "h3") if "0xc8" in text.text(one)]


def test_declared_addresses_are_never_answered_with_a_learned_mac() -> None:
    liar = replace(THREE, neighbors=(Neighbor("red", "10.0.0.1", "02:00:00:00:00:66", "h2", "vm9"),))
    for chassis in THREE.chassis:
        assert "02:00:00:00:00:66" not in text.dump(compile(liar, chassis))


def test_a_flow_is_held_against_its_table() -> None:
    with pytest.raises(ValueError, match="does not declare a match on arp_op"):
        flow(CLASSIFY, Kind.CONTINUE, 1, {"arp_op": 1}, [])
    with pytest.raises(ValueError, match="does not declare guard as next"):
        flow(FORWARD, Kind.CONTINUE, 1, {}, [Goto(GUARD)])
    with pytest.raises(ValueError, match="behind goto"):
        flow(CLASSIFY, Kind.CONTINUE, 1, {}, [Goto(TAGS), Goto(TAGS)])
    with pytest.raises(ValueError, match="does not fit in 32 bits"):
        flow(CLASSIFY, Kind.CONTINUE, 1, {"in_port": 1 << 32}, [])
    with pytest.raises(ValueError, match="is no masked value"):
        flow(FLOOD, Kind.CONTINUE, 1, {"metadata": (3, 1)}, [])


def test_the_pipeline_only_goes_forward() -> None:
    by_name = {table.name: table for table in PIPELINE}
    for table in PIPELINE:
        assert all(by_name[name].id > table.id for name in (*table.next, *table.teaches))


def test_cookies_name_owner_and_kind() -> None:
    for one in compile(THREE, "h1"):
        assert owned(one.cookie)
        assert kind_of(one.cookie) is one.kind
    assert not owned(0)
    assert kind_of(0x123) is None


def test_a_drop_is_a_flow_without_actions_and_has_a_drops_name() -> None:
    """At the most the controller gets a copy; the packet itself goes nowhere."""
    for one in compile(THREE, "h1"):
        empty_flood = one.table is FLOOD and not one.actions
        nothing = all(isinstance(action, Controller) for action in one.actions)
        assert one.kind.is_drop == nothing or empty_flood, text.text(one)


def test_split_horizon_stands_before_delivery() -> None:
    rows = [one for one in compile(THREE, "h1") if one.table is DELIVER]
    drops = [one for one in rows if one.kind is Kind.DROP_SPLIT_HORIZON]
    assert len(drops) == len(TUNNELS)
    assert min(one.priority for one in drops) > max(one.priority for one in rows if one not in drops)


@given(overlays())
def test_who_can_not_reach_whom_is_what_each_pair_says(overlay: Overlay) -> None:
    members = {(b.network, b.chassis) for b in overlay.bindings if b.chassis in overlay.chassis}
    apart = sorted(
        (network, one, other)
        for network, one in members
        for also, other in members
        if network == also and one < other and not accepted(overlay.chassis[one], overlay.chassis[other])
    )
    assert unreachable_pairs(overlay) == apart
