"""`./lab fuzz`: tries mutated inputs on everything that strangers speak to, and says what that did.

docs/reliability.md says what was run, and what it found.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import Final

from topologies.fuzz.parent import Order, Outcome, Run
from topologies.fuzz.target import NAMES, SLOW_S

INPUTS: Final = {"openflow": 20_000, "frames": 50_000, "cli": 2_000, "apply": 2_000}
"""How many, where nothing is said: a minute or so of each."""

EXAMPLES = """
examples:
  ./lab fuzz                                a minute or so of each target
  ./lab fuzz openflow --inputs 1000000      a million connections with mutated messages
  ./lab fuzz frames --guided --minutes 10   inputs that reach new branches are mutated further (pip install atheris)
  ./lab fuzz cli --replay FILE              an input that was kept, once more
  ./lab fuzz --convergence                  does one hostile switch delay the others? (builds a lab)

targets:
  openflow   what a switch sends, before and after it is admitted: framing, Ryu's parsers, handlers, reconciler
  frames     what a tenant sends, in packet-ins: what is learned of it, and what is answered
  cli        command lines of overlayctl, on a real ovsdb-server
  apply      files for overlayctl apply and diff, on a real ovsdb-server
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 when nothing crashed, hung or grew."""
    given = list(sys.argv[1:] if argv is None else argv)
    if "--convergence" in given:
        from topologies.fuzz.convergence import main as convergence

        given.remove("--convergence")
        return convergence(given)
    parser = argparse.ArgumentParser(
        prog="./lab fuzz",
        description=f"Mutated inputs, each for {SLOW_S:g} s at most: no exception, no exit code but the documented, "
        "no traceback, no growing memory; and whatever is refused changes nothing.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--inputs", type=int, metavar="N", help="how many for each target")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other inputs (default: 0)")
    parser.add_argument("--minutes", type=float, metavar="M", help="no longer than that for each target")
    parser.add_argument("--guided", action="store_true", help="choose inputs by the branches they reach (atheris)")
    parser.add_argument("--replay", nargs="+", metavar="FILE", help="these inputs, and no others")
    parser.add_argument("--keep", default="fuzz-found", metavar="DIR", help="where inputs that did wrong are kept")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    args = parser.parse_args(given)
    if unknown := [each for each in args.targets if each not in NAMES]:
        parser.error(f"no target {unknown[0]!r}; known: {', '.join(NAMES)}")
    if args.replay and len(args.targets) != 1:
        parser.error("--replay needs the one target that the files are for")
    if args.guided and find_spec("atheris") is None:
        parser.error("--guided needs atheris, which is not installed: .venv/bin/pip install --group fuzz")
    outcomes = []
    for name in args.targets or NAMES:
        many = args.inputs or (10**9 if args.minutes else INPUTS[name])
        seconds = args.minutes * 60 if args.minutes else 1e9
        order = Order(name, many, args.seed, seconds, args.guided, args.replay or (), args.keep)
        outcome = Run(order, lambda so_far, many=many: _progress(so_far, many)).run()
        outcomes.append(outcome)
        _clear()
        if args.format == "json":
            print(json.dumps(asdict(outcome) | {"grew": outcome.grew}), flush=True)
        else:
            _print(outcome, first=len(outcomes) == 1)
    return 0 if all(each.kept for each in outcomes) else 1


def _print(outcome: Outcome, first: bool) -> None:
    if first:
        print(f"{'':10}{'inputs':>9}{'s':>7}{'inputs/s':>10}{'slowest s':>11}{'MB at start, 1/4, end':>24}")
    rate = outcome.inputs / max(outcome.seconds, 0.001)
    memory = ", ".join(f"{each / 1e6:.1f}" if each else "-" for each in outcome.memory)
    said = "grew" if outcome.grew else ""
    if outcome.faults:
        said = f"{len(outcome.faults)} faults" + (f", {said}" if said else "")
    print(
        f"{outcome.target:10}{outcome.inputs:9}{outcome.seconds:7.0f}{rate:10.0f}{outcome.slowest:11.3f}{memory:>24}  "
        f"{said or 'nothing wrong'}",
        flush=True,
    )
    for fault in outcome.faults:
        print(f"  {fault.kind}: {fault.where}: {fault.text}")
        if fault.trace:
            print("".join(f"    {line}\n" for line in fault.trace.splitlines()[-6:]), end="")
        print(f"    again: ./lab fuzz {outcome.target} --replay {fault.file}")
    if outcome.late:
        print(f"  {outcome.late} took longer than {SLOW_S:g} s once; see above whether it was for long")
    if outcome.again:
        print(f"  and {outcome.again} more at the same places")


def _progress(outcome: Outcome, many: int) -> None:
    if sys.stderr.isatty():
        clock = time.strftime("%H:%M:%S")
        of = f" of {many}" if many < 10**9 else ""
        mb = outcome.memory[2] / 1e6
        text = f"{clock} {outcome.target}: {outcome.inputs}{of}, {len(outcome.faults)} faults, {mb:.0f} MB"
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
