"""Whether tunnels are watched where they end: a probe is counted for who has sent it, and silence is told in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.tunnels import SILENT_LOOKS, Counts, period
from flows import probe
from flows.compile import compile
from flows.compile.headers import tunnel_source
from flows.compile.view import views
from flows.model import PROBE_VNI, Encap, Overlay, tunnels_from
from flows.simulate import Switch, packet
from flows.tables import Kind
from tests.overlays import overlays

VXLAN, GRE = Encap.VXLAN, Encap.GRE
FAR: probe.Peer = (VXLAN, ("192.0.2.2",))
NEAR: probe.Peer = (GRE, ("192.0.2.3", "192.0.2.33"))
ALL = [FAR, NEAR]


@given(overlays())
def test_each_probe_is_counted_for_who_has_sent_it(overlay: Overlay) -> None:
    seen = {name: views(overlay, name) for name in overlay.chassis}
    switches = {name: Switch(compile(overlay, name)) for name in overlay.chassis}
    owners = {vtep.ip: each.name for each in overlay.chassis.values() for vtep in each.vteps}
    come: dict[str, set[probe.Source]] = {name: set() for name in overlay.chassis}
    for name in overlay.chassis:
        for way in probe.ways(seen[name]):
            other = owners[way.remote]
            for tunnel in tunnels_from(way.encap, way.local):
                fields = {"in_port": tunnel.ofport, "tun_id": PROBE_VNI, **tunnel_source(way.local)}
                trace = switches[other].send(packet(**fields))
                assert (trace.dropped, trace.outputs, trace.copies) == (Kind.DROP_PROBE, (), ())
                flow = trace.steps[-1][1]
                assert flow is not None
                assert probe.counters(seen[other])[flow.key] == (way.encap, way.local)
            come[other].add((way.encap, way.local))
    for name, sources in come.items():
        for encap, addresses in probe.peers(seen[name]):
            assert any((encap, ip) in sources for ip in addresses), "nobody sends what is waited for"


@pytest.mark.parametrize("counted", [{}, {(VXLAN, "192.0.2.2"): 7}])
def test_what_nothing_comes_from_is_silent_after_some_looks(counted: dict[probe.Source, int]) -> None:
    counts, others = Counts(), {(GRE, "192.0.2.33"): 0}
    found = []
    for number in range(SILENT_LOOKS + 2):
        others[GRE, "192.0.2.33"] = number
        found.append(counts.look(_all(counted | others), ALL, lambda ip: True))
    assert found == [frozenset()] * SILENT_LOOKS + [{(VXLAN, "192.0.2.2")}] * 2


def test_one_probe_is_enough_to_be_heard_again() -> None:
    counts = Counts()
    for _ in range(SILENT_LOOKS + 1):
        silent = counts.look(_all({}), ALL, lambda ip: True)
    assert silent == {(VXLAN, "192.0.2.2"), (GRE, "192.0.2.3")}
    assert counts.look(_all({(VXLAN, "192.0.2.2"): 1}), ALL, lambda ip: True) == {(GRE, "192.0.2.3")}


def test_who_sends_nothing_is_not_silent() -> None:
    """Its switch is not connected; and once it is it has its time."""
    counts = Counts()
    for _ in range(SILENT_LOOKS + 1):
        assert counts.look(_all({}), ALL, lambda ip: False) == frozenset()
    for _ in range(SILENT_LOOKS - 1):
        assert counts.look(_all({}), ALL, lambda ip: True) == frozenset()
    assert counts.look(_all({}), ALL, lambda ip: True)


@given(st.lists(st.integers(0, 3), max_size=30))
def test_a_flow_that_begins_anew_counts_as_heard(counted: list[int]) -> None:
    """Counters go back when a switch is started anew; only a count that stays the same is silence."""
    counts = Counts()
    for place, number in enumerate(counted):
        silent = counts.look(_all({(VXLAN, "192.0.2.2"): number}), [FAR], lambda ip: True)
        last = counted[max(0, place - SILENT_LOOKS) : place + 1]
        assert bool(silent) == (len(last) == SILENT_LOOKS + 1 and len(set(last)) == 1)


def test_a_large_overlay_has_no_more_probes_a_second() -> None:
    assert period(3) == period(40) == 2
    assert period(1000) == pytest.approx(999)


def _all(counted: dict[probe.Source, int]) -> dict[probe.Source, int]:
    """A count for each address."""
    return {(encap, ip): counted.get((encap, ip), 0) for encap, ips in ALL for ip in ips}
