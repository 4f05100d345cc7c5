"""`./lab soak`: the command, and how what it found is shown."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from topologies import three_chassis
from topologies.faults.ground import Ground
from topologies.lab import Lab
from topologies.namespaces import CommandFailed
from topologies.soak.changing import Changed, change
from topologies.soak.figures import Sample, series, sparkline
from topologies.soak.soaking import Soaked, soak

EXAMPLES: Final = """
examples:
  ./lab soak                       an hour of random faults
  ./lab soak --minutes 5 --seed 7  five minutes of others
  ./lab soak --changes 100000      so many changes of ports, as fast as they are taken
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(
        prog="./lab soak",
        description="Long runs on three chassis: random faults under traffic, or very many changes of ports. "
        "Afterwards all is compared with what a new controller would have, and memory, descriptors and queues with "
        "before.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--minutes", type=float, default=60.0, metavar="N", help="for how long (default: 60)")
    how.add_argument("--changes", type=int, metavar="N", help="changes of ports instead, and no faults")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="which faults and changes (default: 1)")
    parser.add_argument("--datapath", choices=("netdev", "system"), help="which datapath (default: what there is)")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    args = parser.parse_args(argv)
    if args.minutes <= 0 or (args.changes is not None and args.changes <= 0):
        parser.error("nothing to do: --minutes and --changes are more than 0")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with Lab(three_chassis.TOPOLOGY, f"soak{os.getpid()}", datapath=args.datapath) as lab:
            _say("three chassis ...")
            lab.up()
            ground = Ground(lab)
            ground.settle()
            if args.changes is not None:
                changed = change(ground, args.changes, args.seed, _say)
                shown, said, wrong = asdict(changed), change_lines(changed), changed.wrong
            else:
                soaked = soak(ground, args.minutes, args.seed, _say)
                shown, said, wrong = asdict(soaked), soak_lines(soaked), soaked.wrong
    except (CommandFailed, RuntimeError, OSError) as error:
        print(f"lab soak: {error}", file=sys.stderr)
        return 2
    print(json.dumps(shown) if args.format == "json" else "\n".join(said))
    return 1 if wrong else 0


def change_lines(changed: Changed) -> list[str]:
    """Many changes, told."""
    total = sum(changed.kinds.values())
    kinds = ", ".join(f"{number} {kind}" for kind, number in changed.kinds.items())
    growth = 100 * (changed.late / changed.early - 1) if changed.early else 0.0
    return [
        f"{total} changes in {changed.took:.0f} s ({total / changed.took:.0f} a second): {kinds}",
        f"controller: {changed.early:.1f} MB after a tenth, {changed.late:.1f} MB at last ({growth:+.1f} %)",
        *_figures(changed.samples, 0),
        *_verdict(changed.wrong),
    ]


def soak_lines(soaked: Soaked) -> list[str]:
    """A soak, told."""
    lines = [f"{'fault':36}{'times':>6}{'worst s':>9}{'struck':>9}{'lost':>7}"]
    lines += [f"{each.name:36}{each.times:6}{each.worst_s:9.1f}{each.struck:9}{each.lost:7}" for each in soaked.kinds]
    total = sum(each.times for each in soaked.kinds)
    return [
        *lines,
        f"{total} faults in {soaked.took / 60:.1f} min; {soaked.sent} frames sent, {soaked.lost_idle} lost "
        f"while nothing was broken, {soaked.leaked} leaked",
        f"controller: {soaked.slope:+.2f} MB an hour, in its longest life after warm-up",
        *_figures(soaked.samples, soaked.life),
        *_verdict(soaked.wrong),
    ]


def _figures(samples: Sequence[Sample], life: int) -> list[str]:
    """Every figure: least, most and last of one life of the controller, and how that went."""
    names = sorted({name for each in samples for name in each.figures})
    lines = [f"{'':24}{'least':>9}{'most':>9}{'last':>9}"]
    for name in names:
        values = [value for _, value in series(samples, name, life)]
        if values:
            numbers = "".join(f"{_number(value):>9}" for value in (min(values), max(values), values[-1]))
            lines.append(f"{name:24}{numbers}  {sparkline(values)}")
    return lines


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def _verdict(wrong: Sequence[str]) -> list[str]:
    return [f"WRONG: {each}" for each in wrong] or ["nothing is left over, nothing is missing"]


def _say(text: Any) -> None:
    print(text, file=sys.stderr, flush=True)
