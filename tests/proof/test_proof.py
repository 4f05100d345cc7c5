"""Isolation, proven: what flows do with every class of frame is what is declared, and wrong flows are noticed."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator

import pytest

from flows.compile import compile
from flows.model import Encap
from tests.proof import tenants
from tests.proof.check import Bench
from tests.proof.mutations import Met, met, mutants, survivors
from tests.proof.proving import classes, everything, some, told
from tests.proof.random_overlays import overlay as random_overlay

_OVERLAYS = 30
_MUTANTS = 150
"""What there is time for in a test; `./lab prove` takes as many as it is told."""


@pytest.fixture(scope="module", autouse=True)
def uncollected() -> Iterator[None]:
    """A proof makes a million values, none of them in a circle, and the collector looks through them in vain."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def bench() -> Bench:
    overlay = tenants.with_neighbors(tenants.overlay())
    return Bench(overlay, {name: compile(overlay, name) for name in overlay.chassis})


@pytest.fixture(scope="module")
def played(bench: Bench) -> tuple[Met, list[str]]:
    """What all stories meet, and what is wrong with them: each is played once, for both tests."""
    return met(bench, everything(bench))


def test_the_overlay_is_large_and_mixed(bench: Bench) -> None:
    overlay = bench.overlay
    assert len(overlay.bindings) >= 64
    assert len({network.tenant for network in overlay.networks.values()}) == 8
    assert len(overlay.chassis) == 3
    assert {network.encap for network in overlay.networks.values()} == set(Encap)
    macs = [binding.mac for binding in overlay.bindings if binding.mac is not None]
    assert len(set(macs)) < len(macs) / 4, "tenants have the same MACs"
    assert classes(overlay) > 64 * 63 * 50


def test_every_pair_and_every_class(played: tuple[Met, list[str]]) -> None:
    _, wrong = played
    assert wrong == []


def test_random_overlays() -> None:
    for seed in range(_OVERLAYS):
        overlay = random_overlay(seed)
        small = Bench(overlay, {name: compile(overlay, name) for name in overlay.chassis})
        for story in some(small, random.Random(seed)):
            assert told(small, story) == "", f"seed {seed}"


def test_wrong_flows_are_noticed(bench: Bench, played: tuple[Met, list[str]]) -> None:
    """A sample, always the same, of all mutants; `./lab prove --mutations` tries each of them (docs/isolation.md)."""
    known, _ = played
    chance = random.Random(7)
    result = survivors(bench, known, chance.sample(list(mutants(bench, known)), _MUTANTS), chance)
    assert len(result.unexplained) <= 0.01 * result.altered, "\n".join(map(str, result.unexplained))
