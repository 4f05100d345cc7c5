"""Moves of a declared port between chassis: both places serve while it moves, a third is refused, nothing is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.system.steps import eventually, fresh_name, problems, settle
from topologies import bench_moves, gaps
from topologies.bench_moves import MOVER, PEER, Contender
from topologies.lab import Lab

pytestmark = [pytest.mark.system, pytest.mark.alone]

MOVES = 4
GAP_MS = 50.0
"""The promise, for a machine that does nothing else; of several moves the best one counts, for this one does."""


@pytest.fixture(scope="module")
def overlay() -> Iterator[Contender]:
    with bench_moves.ours(fresh_name(), None) as contender:
        bench_moves.warm_up(contender)
        yield contender


def lab_of(contender: Contender) -> Lab:
    assert isinstance(contender.fabric, Lab)
    return contender.fabric


def test_a_live_migration_loses_nothing(overlay: Contender) -> None:
    found = []
    at, other = bench_moves.PLACES
    for _ in range(MOVES):
        record, back = bench_moves.live(overlay, at, other)
        assert back
        found.append(gaps.gap(record))
        at, other = other, at
    print(found)
    assert min(each.lost for each in found) == 0
    assert min(each.ms for each in found) <= GAP_MS
    # What a busy machine adds is a packet here and there, and nothing like the time of a command.
    assert sorted(each.lost for each in found)[MOVES // 2] <= 10


def test_a_restart_elsewhere_is_back_soon(overlay: Contender) -> None:
    at, other = bench_moves.PLACES
    for source, destination in ((at, other), (other, at)):
        record, back = bench_moves.elsewhere(overlay, source, destination)
        assert back
        assert gaps.gap(record).ms <= 1000


def test_both_places_serve_until_one_is_unplugged(overlay: Contender) -> None:
    """What is sent to it comes to both; who is in neither place, and who is in one of them, is served by both."""
    lab = lab_of(overlay)
    bench_moves.plug(lab, MOVER, "h2")
    try:
        told = eventually(lambda: problems(lab).get("h2/mover"), 10)
        settle(lab)
        assert "is moving here from h1/mover: both get its packets until it is unplugged there" in told
        for place in bench_moves.PLACES:
            with bench_moves.Probe(lab, place) as probe:
                time.sleep(0.5)
            assert gaps.gap(probe.record).lost <= 5, place
    finally:
        bench_moves.unplug(lab, "h2")
        settle(lab)
    eventually(lambda: not any(where.endswith("/mover") for where in problems(lab)), 10)


def test_a_third_claim_is_refused_and_changes_nothing(overlay: Contender) -> None:
    lab = lab_of(overlay)
    bench_moves.plug(lab, MOVER, "h2")
    eventually(lambda: "h2/mover" in problems(lab), 10)
    settle(lab)
    # Made before: while Open vSwitch makes a port it forwards nothing in userspace, whosever the port is.
    lab.run("h3", "ovs-vsctl", "add-port", "br-int", "third", "--", "set", "interface", "third", "type=internal")
    try:
        with bench_moves.Probe(lab, "h2") as probe:
            lab.run("h3", "ovs-vsctl", "set", "interface", "third", f"external_ids:iface-id={MOVER.name}")
            told = eventually(lambda: problems(lab).get("h3/third"), 10)
            assert "is also on h1 at mover, which has the port, and is moving to h2 at mover; unplug one" in told
            time.sleep(0.5)
    finally:
        lab.run("h3", "ovs-vsctl", "del-port", "br-int", "third")
        bench_moves.unplug(lab, "h2")
    assert gaps.gap(probe.record).lost <= 10
    eventually(lambda: not any(where.endswith("/mover") for where in problems(lab)), 10)
    settle(lab)
    with bench_moves.Probe(lab, "h1") as probe:
        time.sleep(0.5)
    assert gaps.gap(probe.record).lost <= 5
    assert PEER.chassis == "h3"


def test_a_third_claim_whose_name_comes_first_cuts_no_move(overlay: Contender) -> None:
    """The port goes from h2 to h3, and h1 is the stray; also for a controller that was started meanwhile."""
    lab = lab_of(overlay)
    bench_moves.plug(lab, MOVER, "h2")
    settle(lab)
    bench_moves.unplug(lab, "h1")
    settle(lab)
    second = ["add-port", "br-int", "second", "--", "set", "interface", "second", "type=internal"]

    def as_it_was() -> bool:
        told = problems(lab)
        moves = "is moving here from h2/mover" in told.get("h3/second", "")
        return moves and "is also on h2 at mover, which has the port, and is mov" in told.get("h1/mover", "")

    try:
        lab.run("h3", "ovs-vsctl", *second, f"external_ids:iface-id={MOVER.name}")
        eventually(lambda: "is moving here from h2/mover" in problems(lab).get("h3/second", ""), 10)
        bench_moves.plug(lab, MOVER, "h1")
        eventually(as_it_was, 10)
        places = json.loads(lab.overlayctl("--format", "json", "port-show", MOVER.name))["places"]
        assert [place["chassis"] for place in places] == ["h1", "h2", "h3"]
        lab.stop_controller()
        lab.start_controller()
        settle(lab)
        eventually(as_it_was, 10)
    finally:
        lab.run("h3", "ovs-vsctl", "--if-exists", "del-port", "br-int", "second")
    eventually(lambda: "is moving here from h2/mover" in problems(lab).get("h1/mover", ""), 10)
    bench_moves.unplug(lab, "h2")
    eventually(lambda: not any(where.endswith("/mover") for where in problems(lab)), 10)
