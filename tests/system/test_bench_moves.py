"""The benchmark of moving ports: its probe tells the truth of links that are cut for a known time, and it runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.steps import fresh_name
from topologies import bench_moves, gaps, namespaces, state
from topologies.bench_moves import Contender
from topologies.gaps import Record

pytestmark = [pytest.mark.system, pytest.mark.alone]

SLACK = 0.3
"""Seconds in which a machine that is busy may lose or delay what the fabric did not."""


@pytest.fixture(scope="module")
def overlay() -> Iterator[Contender]:
    with bench_moves.ours(fresh_name(), None) as contender:
        bench_moves.warm_up(contender)
        yield contender


def unanswered(record: Record, since: float, until: float) -> list[tuple[int, int]]:
    """For each direction, of the probes sent in that time: how many were not answered, and how many in all."""
    found = []
    for stream in record.streams:
        meant = [answered for sent, answered in stream if since <= sent < until]
        found.append((meant.count(None), len(meant)))
    return found


def test_a_link_that_is_cut_is_a_gap_of_that_length_and_a_loss_of_those_probes(overlay: Contender) -> None:
    fabric = overlay.fabric
    with bench_moves.Probe(fabric, "h1") as probe:
        time.sleep(0.5)
        before = time.monotonic()
        fabric.cut("h3")
        cut = time.monotonic()
        time.sleep(0.6)
        heal = time.monotonic()
        fabric.heal("h3")
        after = time.monotonic()
        time.sleep(0.5 + SLACK)
    found = gaps.gap(probe.record)
    assert (heal - cut) * 1000 - 5 <= found.ms <= (after - before + SLACK) * 1000
    # Those that were sent while it was surely cut are lost, each of them; nothing else is.
    for lost, sent in unanswered(probe.record, cut, heal - 0.01):
        assert lost == sent
        assert sent >= 0.8 * (heal - cut - 0.01) / gaps.INTERVAL
    outside = [*unanswered(probe.record, 0, before - 0.05), *unanswered(probe.record, after + SLACK, after + 3600)]
    assert [lost for lost, _ in outside] == [0, 0, 0, 0]
    assert found.lost == sum(lost for lost, _ in unanswered(probe.record, before - 0.05, after + SLACK))


def test_a_vm_that_resumes_where_its_port_is_not_is_never_heard_again(overlay: Contender) -> None:
    with bench_moves.Probe(overlay.fabric, "h1") as probe:
        time.sleep(0.3)
        gone = time.monotonic()
        probe.go("h2")
        asked = time.monotonic()
        time.sleep(0.5)
        end = time.monotonic()
    found = gaps.gap(probe.record)
    assert found.ms >= (end - asked) * 1000 - 50
    assert [lost for lost, _ in unanswered(probe.record, 0, gone - 0.05)] == [0, 0]
    for lost, sent in unanswered(probe.record, asked + 0.05, end):
        assert lost == sent > 0


def test_both_sorts_of_move_bring_the_port_back(overlay: Contender) -> None:
    """There and back, so that the fixture's port is where it was."""
    record, back = bench_moves.elsewhere(overlay, "h1", "h2")
    assert back
    assert gaps.gap(record).lost > 0  # between the two commands it is nowhere
    last = max(sent for stream in record.streams for sent, _ in stream)
    assert all(lost <= sent // 10 for lost, sent in unanswered(record, last - 0.2, last))
    record, back = bench_moves.live(overlay, "h2", "h1")
    assert back
    last = max(sent for stream in record.streams for sent, _ in stream)
    assert all(lost <= sent // 10 for lost, sent in unanswered(record, last - 0.2, last))


def test_the_benchmark_runs_without_ovn_and_leaves_nothing_behind(tmp_path: Path) -> None:
    argv = ["bench", "--moves", "--moves-count", "1", "--without-ovn", "--format", "json"]
    running = subprocess.Popen(
        [sys.executable, "-m", "topologies", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        printed, said = running.communicate(timeout=120)
    except BaseException:
        running.terminate()  # it takes its lab down
        running.communicate(timeout=30)
        raise
    assert running.returncode == 0, said
    report = json.loads(printed)
    figures = {each["name"]: each for each in report}
    assert {each["beside"] for each in report} == {"OVN: left out"}
    assert list(figures) == [f"{sort}, {what}" for sort in bench_moves.SORTS for what in ("gap", "lost")]
    assert all(len(each["ours"]) == 1 and each["ovn"] == [] and each["ratio"] is None for each in figures.values())
    assert figures["restart elsewhere, lost"]["ours"][0] > figures["nothing moves, lost"]["ours"][0]
    assert 0 < figures["restart elsewhere, gap"]["ours"][0] < bench_moves.PATIENCE * 1000
    assert list(namespaces.DIRECTORY.glob(f"moves{running.pid}-*")) == []
    assert list(state.root().glob(f"moves{running.pid}*")) == []
