"""Isolation, proven: what flows do with every class of frame is what is declared, and wrong flows are noticed."""

from __future__ import annotations

import random

import pytest

from flows.compile import compile
from flows.model import Encap
from tests.proof import tenants
from tests.proof.check import Bench
from tests.proof.mutations import met, mutants, survivors
from tests.proof.proving import Story, classes, everything, some, told
from tests.proof.random_overlays import overlay as random_overlay


@pytest.fixture(scope="module")
def bench() -> Bench:
    overlay = tenants.with_neighbors(tenants.overlay())
    return Bench(overlay, {name: compile(overlay, name) for name in overlay.chassis})


@pytest.fixture(scope="module")
def stories(bench: Bench) -> list[Story]:
    return list(everything(bench))


def test_the_overlay_is_large_and_mixed(bench: Bench) -> None:
    overlay = bench.overlay
    assert len(overlay.bindings) >= 64
    assert len({network.tenant for network in overlay.networks.values()}) == 8
    assert len(overlay.chassis) == 3
    assert {network.encap for network in overlay.networks.values()} == set(Encap)
    macs = [binding.mac for binding in overlay.bindings if binding.mac is not None]
    assert len(set(macs)) < len(macs) / 4, "tenants have the same MACs"
    assert classes(overlay) > 64 * 63 * 50


def test_every_pair_and_every_class(bench: Bench, stories: list[Story]) -> None:
    wrong = [said for story in stories if (said := told(bench, story))]
    assert wrong == []


def test_random_overlays() -> None:
    for seed in range(100):
        overlay = random_overlay(seed)
        small = Bench(overlay, {name: compile(overlay, name) for name in overlay.chassis})
        for story in some(small, random.Random(seed)):
            assert told(small, story) == "", f"seed {seed}"


def test_wrong_flows_are_noticed(bench: Bench, stories: list[Story]) -> None:
    """A sample of all mutants; `./lab prove --mutations` tries each of them (docs/isolation.md: 98.3 % are noticed)."""
    known = met(bench, stories)
    sample = random.Random(7).sample(list(mutants(bench, known)), 400)
    result = survivors(bench, known, sample, random.Random(7))
    assert len(result.unexplained) <= 0.035 * result.altered, "\n".join(map(str, result.unexplained))
