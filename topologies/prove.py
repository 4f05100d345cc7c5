"""`./lab prove`: compiled flows are held against what is declared, in numbers that no test has the time for.

Builds nothing: all of it happens in the simulator. docs/isolation.md says what it shows, and what it does not.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.proof.check import Bench
    from tests.proof.proving import Story

_SHOWN = 10
"""Of what is wrong so much is printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prove, print, and return 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(
        prog="./lab prove",
        description="Every frame class between every two ports of eight tenants, through compiled flows: does what is "
        "declared become of it? The same for random overlays; and with each flow deleted or altered: is it noticed?",
    )
    parser.add_argument("--topologies", type=int, default=0, metavar="N", help="N random overlays instead")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first of their numbers (default: 0)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: one a core)"
    )
    parser.add_argument(
        "--mutations", action="store_true", help="every mutant of every flow of the eight tenants instead"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="so many mutants, by the seed, instead of all")
    args = parser.parse_args(argv)
    # What is proven, and how, belongs to the tests; they are beside this package, not installed with it.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    gc.disable()  # what a proof makes is in no circle, and the collector would look through it all again and again
    began = time.monotonic()
    if args.mutations:
        said, wrong = _mutations(args.seed, args.sample)
    elif args.topologies:
        said, wrong = _random(args.seed, args.topologies, args.jobs)
    else:
        said, wrong = _tenants()
    _clear()
    for line in wrong[:_SHOWN]:
        print(f"  {line}")
    if len(wrong) > _SHOWN:
        print(f"  and {len(wrong) - _SHOWN} more")
    print(f"{said}, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


def _tenants() -> tuple[str, list[str]]:
    from tests.proof.proving import classes, told

    bench, stories = _all_stories()
    wrong = []
    for number, story in enumerate(stories):
        _progress(number, len(stories), "frames")
        if said := told(bench, story):
            wrong.append(said)
    ports = len(bench.overlay.bindings)
    sent = f"{classes(bench.overlay)} pairs of ports and classes, {len(stories)} different frames"
    return f"{ports} ports, {sent}: {len(wrong)} wrong", wrong


def _all_stories() -> tuple[Bench, list[Story]]:
    from flows.compile import compile
    from tests.proof import tenants
    from tests.proof.check import Bench
    from tests.proof.proving import everything

    overlay = tenants.with_neighbors(tenants.overlay())
    bench = Bench(overlay, {name: compile(overlay, name) for name in overlay.chassis})
    return bench, list(everything(bench))


def prove_seed(seed: int) -> tuple[int, list[str]]:
    """How many frames of the random overlay of a seed were sent, and what was wrong, in words."""
    from flows.compile import compile
    from tests.proof.check import Bench
    from tests.proof.proving import some, told
    from tests.proof.random_overlays import overlay as of_seed

    overlay = of_seed(seed)
    try:
        bench = Bench(overlay, {name: compile(overlay, name) for name in overlay.chassis})
        stories = list(some(bench, random.Random(seed)))
        wrong = [f"seed {seed}: {said}" for story in stories if (said := told(bench, story))]
    except ValueError as error:
        return 0, [f"seed {seed}: {error}"]
    return sum(len(story.steps) for story in stories), wrong


def _random(seed: int, topologies: int, jobs: int) -> tuple[str, list[str]]:
    frames, wrong = 0, []
    with Pool(jobs) as pool:
        seeds = range(seed, seed + topologies)
        for number, (sent, said) in enumerate(pool.imap_unordered(prove_seed, seeds, chunksize=8)):
            _progress(number, topologies, "overlays")
            frames += sent
            wrong += said
    return f"{topologies} random overlays from seed {seed}, {frames} frames: {len(wrong)} wrong", wrong


def _mutations(seed: int, sample: int | None) -> tuple[str, list[str]]:
    from tests.proof.mutations import met, mutants, survivors

    bench, stories = _all_stories()
    known, wrong = met(bench, stories)
    if wrong:
        return f"{len(wrong)} frames are wrong as it is", wrong
    tried = list(mutants(bench, known))
    chance = random.Random(seed)
    if sample is not None:
        tried = chance.sample(tried, min(sample, len(tried)))
    result = survivors(bench, known, tried, chance, lambda number: _progress(number, len(tried), "mutants"))
    _clear()
    for why, same in sorted(result.explained.items()):
        print(f"  {len(same):5} do what the flow does: {why}")
    kinds = Counter((each.original.table.name, each.original.kind.label, each.what) for each in result.unexplained)
    for (table, kind, what), number in sorted(kinds.items()):
        print(f"  {number:5} not noticed: {table}, {kind}: {what}")
    noticed = result.altered - len(result.unexplained)
    share = 100 * noticed / max(1, result.altered)
    said = (
        f"{len(tried)} mutants, {result.altered} of which do something else; {noticed} of them noticed ({share:.2f} %)"
    )
    return said, [f"not noticed: {mutant}" for mutant in result.unexplained] if share < 99 else []


def _progress(number: int, of: int, what: str) -> None:
    if sys.stderr.isatty() and number % 50 == 0:
        print(f"\r{number} of {of} {what} ", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
