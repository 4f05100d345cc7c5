"""`./lab controllers`: three controllers on a three-member cluster, and one of the six killed or stopped at random."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from topologies import processes, three_chassis
from topologies.cluster import Cluster
from topologies.controller import NAMES
from topologies.faults.ground import Ground
from topologies.faults.traffic import Sending, guest_of
from topologies.namespaces import CommandFailed
from topologies.several import SHARES, Several, several

TALKING: Final = three_chassis.DECLARED
INTERVAL_S: Final = 0.005
TAKEOVER_S: Final = 3.0
"""Seconds within which the chassis of a controller that is gone have another owner."""
EXAMPLES = """
examples:
  ./lab controllers                           ten minutes
  ./lab controllers --minutes 1 --seed 7
  ./lab controllers --format json             an object per kill, and one for the whole, for programs
"""


@dataclass(frozen=True, slots=True)
class Blow:
    """One process killed, or stopped for a while. `chassis` are those that it had; `takeover_s` is until each had
    another owner, `change_s` until a change that was asked for at once was installed everywhere, `flow_mods` those
    before that change."""

    at_s: float
    what: str
    who: str
    chassis: tuple[str, ...] = ()
    takeover_s: float | None = None
    change_s: float | None = None
    flow_mods: int = 0
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All of it."""

    seconds: float
    blows: int
    sent: int
    lost: int
    leaked: int
    flow_mods: int
    takeover_worst_s: float
    takeover_median_s: float
    change_worst_s: float
    wrong: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return 0 when nothing was lost, leaked or rewritten, and every chassis was taken over in time."""
    parser = argparse.ArgumentParser(
        prog="./lab controllers",
        description="Three controllers share three chassis, on a cluster of three database servers. One of these six "
        "processes after the other is killed or stopped at random, while all VMs send to each other every 5 ms.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="how long (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which random choices (default: 0)")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    args = parser.parse_args(argv)
    outcome = run(args.minutes * 60, random.Random(args.seed), json_lines=args.format == "json")
    if args.format == "json":
        print(json.dumps(asdict(outcome)))
    else:
        print(summary(outcome))
    return 1 if outcome.wrong else 0


def run(seconds: float, chance: random.Random, *, json_lines: bool = False) -> Outcome:
    """The blows, each printed as it has been dealt, and what came of all."""
    blows: list[Blow] = []
    with several(three_chassis.TOPOLOGY, f"several{os.getpid()}") as (lab, servers):
        lab.up_with()
        _await_all(lab, servers)
        began = time.monotonic()
        if not json_lines:
            print(HEADING, flush=True)
        with Sending(lab, [guest_of(lab, name) for name in TALKING], INTERVAL_S) as sending:
            while time.monotonic() < began + seconds:
                blow = _deal(lab, servers, chance, began)
                blows.append(blow)
                print(json.dumps(asdict(blow)) if json_lines else line(blow), flush=True)
                try:
                    _await_all(lab, servers)
                except RuntimeError as error:
                    blows.append(Blow(round(time.monotonic() - began, 1), "after it", blow.who, wrong=str(error)))
                    break
                time.sleep(chance.uniform(0.5, 3.0))
        logs = {name: lab.log_of(name) for name in NAMES}
        took = time.monotonic() - began
    record = sending.record
    assert record is not None
    wrong = [f"{blow.who}: {blow.wrong}" for blow in blows if blow.wrong]
    wrong += [f"{name}: a traceback in its log" for name, log in logs.items() if "Traceback" in log]
    lost, leaked = record.losses(list(record.lost)), sum(record.leaked.values())
    wrong += [f"{lost} frames lost"] if lost else []
    wrong += [f"{leaked} frames leaked"] if leaked else []
    takeovers = [blow.takeover_s for blow in blows if blow.takeover_s is not None]
    changes = [blow.change_s for blow in blows if blow.change_s is not None]
    return Outcome(
        round(took, 1), len(blows), record.sent(list(record.lost)), lost, leaked,
        sum(blow.flow_mods for blow in blows),
        max(takeovers, default=0.0), round(statistics.median(takeovers), 2) if takeovers else 0.0,
        max(changes, default=0.0), tuple(wrong),
    )  # fmt: skip


def _await_all(lab: Several, servers: Cluster) -> None:
    """Everybody is there, and has what is to be its own."""
    servers.settle(30)
    lab.await_shares(SHARES)


def _deal(lab: Several, servers: Cluster, chance: random.Random, began: float) -> Blow:
    at = round(time.monotonic() - began, 1)
    ground, victim = Ground(lab), chance.choice([*NAMES, "server", "server", "leader"])
    wrong, took, change = "", None, None
    chassis: tuple[str, ...] = ()
    what = "killed"
    with ground.watching() as events:
        if victim in NAMES:
            chassis = tuple(name for name, owner in lab.owners().items() if owner == victim)
            what = chance.choice(["killed", "ended", "stopped"])
            number = {"killed": signal.SIGKILL, "ended": signal.SIGTERM, "stopped": signal.SIGSTOP}[what]
            lab.signal_named(victim, number)
            try:
                took = round(lab.await_owners([name for name in NAMES if name != victim], 15), 2)
            except RuntimeError as error:
                wrong = str(error)
        else:
            member = servers.leader() if victim == "leader" else chance.choice(servers.members)
            member.kill()
            victim = f"{victim} {member.file.stem}"
            time.sleep(1.0)
    flow_mods = sum(map(len, events.values()))
    try:
        change = _change(lab, chance)
    except CommandFailed as error:
        wrong = wrong or error.output.strip().splitlines()[-1]
    if victim in NAMES:
        wrong = wrong or _return(lab, victim, what)
    else:
        member.start()
    if took is not None and took > TAKEOVER_S:
        wrong = wrong or f"taken over after {took} s, and not within {TAKEOVER_S:g}"
    if flow_mods:
        wrong = wrong or f"{flow_mods} flow mods, and nothing had changed"
    return Blow(at, what, victim, chassis, took, change, flow_mods, wrong)


def _change(lab: Several, chance: random.Random) -> float:
    """Seconds until a change of a port is installed on every chassis. Raises CommandFailed."""
    began = time.monotonic()
    allowed = f"10.0.7.{chance.randrange(1, 255)}"
    lab.overlayctl("--wait", "--timeout", "20", "port-set", chance.choice(TALKING), "--allow", allowed, timeout=30)
    return round(time.monotonic() - began, 2)


def _return(lab: Several, victim: str, what: str) -> str:
    """Have a controller back; what is wrong with how one that was stopped comes back, '' when nothing is."""
    if what != "stopped":
        lab.start_named(victim)
        return ""
    logged = lab.logged_by(victim)
    ground = Ground(lab)
    with ground.watching() as events:
        lab.signal_named(victim, signal.SIGCONT)
        gone = processes.wait_until(lambda: "another controller's now" in logged.since(), 5)
        with contextlib.suppress(RuntimeError):
            lab.await_shares(SHARES, 20)
    if any(events.values()):
        return f"back from being stopped, and {sum(map(len, events.values()))} flow mods"
    return "" if gone else "back from being stopped, it does not say that it has lost anything"


HEADING: Final = (
    f"{'at s':>7}  {'who':18}{'what':10}{'its chassis':14}{'taken over s':>13}{'a change s':>12}{'flow mods':>11}"
)


def line(blow: Blow) -> str:
    """A row of the table."""
    took = "-" if blow.takeover_s is None else f"{blow.takeover_s:.2f}"
    change = "-" if blow.change_s is None else f"{blow.change_s:.2f}"
    cells = f"{blow.at_s:7.1f}  {blow.who:18}{blow.what:10}{','.join(blow.chassis):14}{took:>13}{change:>12}"
    return f"{cells}{blow.flow_mods:>11}" + (f"  WRONG: {blow.wrong}" if blow.wrong else "")


def summary(outcome: Outcome) -> str:
    """The end of the table."""
    text = (
        f"\n{outcome.blows} blows in {outcome.seconds:.0f} s: {outcome.sent} frames sent, {outcome.lost} lost, "
        f"{outcome.leaked} leaked, {outcome.flow_mods} flows rewritten; taken over in {outcome.takeover_median_s:g} s "
        f"(median), {outcome.takeover_worst_s:g} s (worst); a change in {outcome.change_worst_s:g} s at worst"
    )
    return text + "".join(f"\nWRONG: {each}" for each in outcome.wrong)


if __name__ == "__main__":
    sys.exit(main())
