"""`./lab faults`: breaks one thing after the other under traffic, and prints what that did, a row each."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from topologies import three_chassis
from topologies.faults import apart, crashes
from topologies.faults.case import Case
from topologies.faults.cases import CASES
from topologies.faults.ground import Ground, NotHealed
from topologies.faults.traffic import INTERVAL, Pair, Record, Sending, guest_of
from topologies.lab import Lab
from topologies.namespaces import CommandFailed
from topologies.topology import vm as vm_of

SETTLE: Final = 0.5
DECLARED: Final = three_chassis.DECLARED
"""The VMs between which there is traffic."""
SLACK: Final = 25
"""Ticks between two losses that may have one cause: Open vSwitch stands still for 10 to 30 ms to make a port."""
_DROPPED: Final = re.compile(r"^(datapath_drop_\w+) .* total: (\d+)$", re.MULTILINE)

EXAMPLES = """
examples:
  ./lab faults                     all of them, once
  ./lab faults F1 F12 --seeds 3    two of them, three times each
  ./lab faults --format json       one object per row, for programs
  ./lab faults F4 --every          a crash before every single message, without traffic: the better part of an hour
  ./lab faults F4 --every 50:100   the same from the 50th message to the 99th
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What a fault did: frames `lost` of pairs that it should not touch, and `struck` of those that it does.

    `stalled`: of pairs that it should not touch, while the network apart lost frames between the same chassis. `load`
    is the machine's, as an average over the last minute.
    """

    id: str
    fault: str
    promise: str
    seed: int
    sent: int | None = None
    lost: int | None = None
    stalled: int | None = None
    struck: int | None = None
    gap_s: float | None = None
    leaked: int | None = None
    healed_s: float | None = None
    load: float | None = None
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
    parser.add_argument(
        "--interval",
        type=float,
        default=INTERVAL * 1000,
        metavar="MS",
        help="between two frames (default: %(default)g)",
    )
    parser.add_argument("--log", action="store_true", help="print every line logged that a fault does not account for")
    parser.add_argument("--format", choices=("table", "json", "markdown"), default="table")
    parser.add_argument(
        "--every", nargs="?", const=":", metavar="FROM:TO", help="of F4: crash before every message, or before these"
    )
    args = parser.parse_args(argv)
    if args.every:
        first, _, last = args.every.partition(":")
        return _everywhere(args.datapath, range(int(first or 1), int(last or sys.maxsize)))
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
            row = attempt(case, seed, args.datapath, args.interval / 1000, args.log)
            rows.append(row)
            if args.format == "json":
                print(json.dumps(asdict(row)), flush=True)
            elif args.format == "markdown":
                print(markdown(row), flush=True)
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


def _everywhere(datapath: str | None, numbers: range) -> int:
    """F4 at every message with one of these numbers; returns 0 when it did no harm anywhere."""
    began = time.monotonic()
    died, wrong = crashes.everywhere(datapath, numbers, lambda text: print(text, file=sys.stderr, flush=True))
    print("".join(f"{each}\n" for each in wrong), end="")
    print(f"{died} crashes, {len(wrong)} that did harm, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


def attempt(
    case: Case, seed: int, datapath: str | None = None, interval: float = INTERVAL, verbose: bool = False
) -> Row:
    """One fault in a lab of its own, so that none sees what another left."""
    if case.run is None:
        return Row(case.id, case.title, case.promise, seed, verdict="not tried", remark=case.why)
    try:
        with (
            Lab(three_chassis.TOPOLOGY, f"faults{os.getpid()}", datapath=datapath) as lab,
            case.servers(lab) as servers,
        ):
            lab.up()
            return _tried(case, seed, lab, servers, interval=interval, verbose=verbose)
    except Exception as error:  # whatever a fault breaks, the others have their turn
        if verbose:
            traceback.print_exc()
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        return Row(case.id, case.title, case.promise, seed, verdict="BROKEN", remark=said)


def _tried(case: Case, seed: int, lab: Lab, servers: Any, *, interval: float, verbose: bool) -> Row:
    assert case.run is not None
    Ground(lab).settle()
    lab.ping("web1", "web9", count=1)
    guests = [guest_of(lab, name) for name in DECLARED] + list(apart.lay(lab))
    ground = Ground(lab)
    if servers is not lab:
        ground.servers = servers
    for path in sorted(lab.directory.glob("*/member*.log")):
        ground.logs.follow(f"{path.parent.name} {path.stem}", path)
    wrong, counted = "", dropped(lab)
    sending = Sending(lab, guests, interval)
    with sending:
        time.sleep(SETTLE)
        try:
            case.run(ground, random.Random(seed))
        except NotHealed as error:
            wrong = str(error)
        time.sleep(SETTLE)
    record = sending.record
    assert record is not None
    more = dropped(lab) - counted
    loud = ground.logs.loud(case.expected)
    faults = [wrong] if wrong else []
    faults += [f"{len(loud)} lines logged: {loud[0][:150]}"] if loud else []
    for each in loud if verbose else ():
        print(each, file=sys.stderr)
    return judged(case, seed, record, ground, faults, drops=more)


def dropped(lab: Lab) -> Counter[str]:
    """How many frames the datapaths of all chassis have dropped, by the name that Open vSwitch gives the reason.

    Not by a flow, but since there was an error, or a lock that was held (`ovs-appctl coverage/show`).
    """
    found = Counter[str]()
    for each in lab.topology.chassis:
        with contextlib.suppress(CommandFailed):
            shown = lab.run(each.name, "ovs-appctl", "-T", "5", "coverage/show").stdout
            found.update({name: int(total) for name, total in _DROPPED.findall(shown)})
    return found


def judged(
    case: Case, seed: int, record: Record, ground: Ground, faults: list[str], *, drops: Mapping[str, int]
) -> Row:
    """The row of a fault that was tried; `drops` is said where something was lost that should not have been."""
    home = {name: vm_of(ground.lab.topology, name).chassis for name in DECLARED}
    pairs = [pair for pair in record.lost if pair[0] in home]
    touched = [pair for pair in pairs if {home[name] for name in pair} & case.struck]
    others: list[Pair] = [pair for pair in pairs if pair not in touched]
    stalled = sum(record.beside(pair, _apart(*map(home.__getitem__, pair)), SLACK) for pair in others)
    lost, leaked = record.losses(others) - stalled, sum(record.leaked.values())
    if lost:
        faults.append(f"{lost} lost of pairs it should not touch")
    if (lost or stalled) and drops:
        ground.remark(f"Open vSwitch counts: {', '.join(f'{name} {drops[name]}' for name in sorted(drops))}")
    if leaked and case.leaks:
        ground.remark(f"{leaked} leaked: {case.leaks}")
    elif leaked:
        faults.append(f"{leaked} leaked")
    if ground.healed_s is not None and ground.healed_s > case.within:
        faults.append(f"healed after {ground.healed_s:.1f} s, not within {case.within:g}")
    if record.stall > 0.05:
        ground.remark(f"the probe itself was {record.stall * 1000:.0f} ms late once")
    return Row(
        case.id, case.title, case.promise, seed, record.sent(pairs), lost, stalled, record.losses(touched),
        round(record.longest(touched or others), 3), leaked,
        None if ground.healed_s is None else round(ground.healed_s, 2),
        round(os.getloadavg()[0], 1), "BROKEN" if faults else "kept", "; ".join([*faults, *ground.remarks]),
    )  # fmt: skip


def _apart(one: str, other: str) -> list[Pair]:
    """The pairs of the networks apart between the same chassis."""
    ends = [(apart.guest(one, encap), apart.guest(other, encap)) for encap in apart.ENCAPS]
    return ends + [(there, here) for here, there in ends]


_COLUMNS: Final = (
    ("sent", 8),
    ("lost", 6),
    ("stalled", 8),
    ("struck", 8),
    ("gap s", 7),
    ("leaked", 7),
    ("heals s", 8),
    ("load", 6),
)
HEADING = f"{'':6}{'fault':34}" + "".join(f"{name:>{width}}" for name, width in _COLUMNS) + "  verdict"


def line(row: Row) -> str:
    """A row of the table."""
    cells = f"{row.id:6}{row.fault[:33]:34}"
    numbers = (row.sent, row.lost, row.stalled, row.struck, row.gap_s, row.leaked, row.healed_s, row.load)
    for number, (_, width) in zip(numbers, _COLUMNS, strict=True):
        cells += f"{'-' if number is None else number:>{width}}"
    remark = f"  ({row.remark})" if row.remark else ""
    return f"{cells}  {row.verdict}{remark}"


def markdown(row: Row) -> str:
    """A row of the table in docs/reliability.md."""
    numbers = (row.sent, row.lost, row.stalled, row.struck, row.gap_s, row.leaked, row.healed_s, row.load)
    verdict = row.verdict.replace("BROKEN", "**broken**") + (f": {row.remark}" if row.remark else "")
    cells = (row.id, row.fault, row.promise, *("-" if each is None else str(each) for each in numbers), verdict)
    return f"| {' | '.join(cells)} |"


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
