"""`./lab faults`: breaks one thing after the other under traffic, and prints what that did, a row each."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from topologies import three_chassis
from topologies.faults.case import Case
from topologies.faults.cases import CASES
from topologies.faults.ground import Ground, NotHealed
from topologies.faults.traffic import Pair, Record, Sending
from topologies.lab import Lab
from topologies.namespaces import CommandFailed

SETTLE: Final = 0.5
DECLARED: Final = ("web1", "web2", "web3", "db1", "db2", "db3")
"""The VMs between which there is traffic."""
LOUD: Final = re.compile(r" (WARNING|ERROR|CRITICAL) |Traceback")

EXAMPLES = """
examples:
  ./lab faults                     all of them, once
  ./lab faults F1 F12 --seeds 3    two of them, three times each
  ./lab faults --format json       one object per row, for programs
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What a fault did. `lost` of pairs that it should not touch, `struck` of those that it does."""

    id: str
    fault: str
    promise: str
    seed: int
    sent: int | None = None
    lost: int | None = None
    struck: int | None = None
    gap_s: float | None = None
    leaked: int | None = None
    healed_s: float | None = None
    verdict: str = ""
    remark: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suite and return 0 when every promise that was tried was kept."""
    parser = argparse.ArgumentParser(
        prog="./lab faults",
        description="Break one thing after the other on three chassis, with traffic every 2 ms between all VMs of two "
        "tenants, and say what was lost, what was leaked, and how long healing took.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help=f"which, of {', '.join(case.id for case in CASES)}")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many times each (default: 1)")
    parser.add_argument("--datapath", choices=("netdev", "system"), help="which datapath (default: what there is)")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    args = parser.parse_args(argv)
    known = {case.id: case for case in CASES}
    if unknown := [each for each in args.ids if each not in known]:
        parser.error(f"no fault {unknown[0]!r}; known: {', '.join(known)}")
    cases = [known[each] for each in args.ids] or list(CASES)
    began = time.monotonic()
    rows: list[Row] = []
    _say("building three chassis ...")
    for case in cases:
        for seed in range(args.seeds if case.run else 1):
            _say(f"{case.id} {case.title} ...")
            row = attempt(case, seed, args.datapath)
            rows.append(row)
            if args.format == "json":
                print(json.dumps(asdict(row)), flush=True)
            else:
                _clear()
                if len(rows) == 1:
                    print(HEADING)
                print(line(row), flush=True)
    _clear()
    broken = [row for row in rows if row.verdict == "BROKEN"]
    if args.format == "table":
        untried = sum(row.verdict == "not tried" for row in rows)
        took = time.monotonic() - began
        print(f"{len(rows) - untried} tried, {len(broken)} broken, {untried} not tried, {took:.0f} s")
    return 1 if broken else 0


def attempt(case: Case, seed: int, datapath: str | None) -> Row:
    """One fault in a lab of its own, so that none sees what another left."""
    if case.run is None:
        return Row(case.id, case.title, case.promise, seed, verdict="not tried", remark=case.why)
    try:
        with Lab(three_chassis.TOPOLOGY, f"faults{os.getpid()}", datapath=datapath) as lab:
            lab.up()
            return _tried(case, seed, lab)
    except (CommandFailed, RuntimeError, OSError) as error:
        return Row(
            case.id, case.title, case.promise, seed, verdict="BROKEN", remark=f"the lab: {error}".splitlines()[0]
        )


def _tried(case: Case, seed: int, lab: Lab) -> Row:
    assert case.run is not None
    ground = Ground(lab)
    ground.settle()
    lab.ping("web1", "web9", count=1)
    logged = len(lab.controller_log())
    wrong = ""
    sending = Sending(lab, DECLARED)
    with sending:
        time.sleep(SETTLE)
        try:
            case.run(ground, random.Random(seed))
        except NotHealed as error:
            wrong = str(error)
        time.sleep(SETTLE)
    record = sending.record
    assert record is not None
    log = lab.controller_log()[logged:]
    loud = [each for each in log.splitlines() if LOUD.search(each) and not re.search(case.expected, each)]
    faults = [wrong] if wrong else []
    faults += [f"logged: {each[24:120]}" for each in loud[:1]]
    return judged(case, seed, record, ground, faults)


def judged(case: Case, seed: int, record: Record, ground: Ground, faults: list[str]) -> Row:
    """The row of a fault that was tried."""
    home = {vm.name: vm.chassis for vm in ground.lab.topology.vms}
    touched = [pair for pair in record.lost if {home[name] for name in pair} & case.struck]
    others: list[Pair] = [pair for pair in record.lost if pair not in touched]
    lost, leaked = record.losses(others), sum(record.leaked.values())
    if lost:
        faults.append(f"{lost} lost of pairs it should not touch")
    if leaked:
        faults.append(f"{leaked} leaked")
    if ground.healed_s is not None and ground.healed_s > case.within:
        faults.append(f"healed after {ground.healed_s:.1f} s, not within {case.within:g}")
    if record.stall > 0.05:
        ground.remark(f"the probe itself was {record.stall * 1000:.0f} ms late once")
    return Row(
        case.id, case.title, case.promise, seed, record.sent, lost, record.losses(touched),
        round(record.longest(touched or others), 3), leaked,
        None if ground.healed_s is None else round(ground.healed_s, 2),
        "BROKEN" if faults else "kept", "; ".join([*faults, *ground.remarks]),
    )  # fmt: skip


HEADING = f"{'':7}{'fault':40}{'sent':>8}{'lost':>6}{'struck':>8}{'gap s':>7}{'leaked':>7}{'heals s':>8}  verdict"


def line(row: Row) -> str:
    """A row of the table."""
    cells = f"{row.id:7}{row.fault[:39]:40}"
    numbers = (row.sent, row.lost, row.struck, row.gap_s, row.leaked, row.healed_s)
    widths = (8, 6, 8, 7, 7, 8)
    for number, width in zip(numbers, widths, strict=True):
        cells += f"{'-' if number is None else number:>{width}}"
    remark = f"  ({row.remark})" if row.remark else ""
    return f"{cells}  {row.verdict}{remark}"


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
