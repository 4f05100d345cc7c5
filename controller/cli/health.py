"""`health`: whether the overlay is served, in a word, for people and for monitors.

Nothing is asked that the database does not say, and nothing is written; it takes as long as one reading.
"""

from __future__ import annotations

import signal
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from controller.cli.database import Database, opened
from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from controller.cli.show import NAMED, overview, remarks, silence, unheard
from controller.cli.tables import as_json, coloured
from controller.cli.text import escaped
from ovsdb.paths import default_database
from ovsdb.rpc import DatabaseError

WORDS: Final = ("OK", "WARNING", "CRITICAL")
"""By exit code, as monitoring plugins have them."""
COLORS: Final = ("32", "33", "31")
PATIENCE: Final = 3.0
"""Seconds that a configuration has to be installed everywhere before it counts as late."""

Finding = tuple[str, int, str]
"""What was looked at, 0 to 2 as in `WORDS`, and what was found."""


def health(args: Namespace) -> int:
    """`health`; the exit code is the worst of what was found, and it takes no longer than `--timeout`."""
    try:
        with _within(args.timeout), opened(args.db, True, False, args.timeout * args.retry) as database:
            findings = list(_findings(database))
    except (DatabaseError, CommandError) as failure:
        findings = [("database", 2, str(failure))]
    except _LateError:
        findings = [("database", 2, f"{args.db or default_database()} has not told all within {args.timeout:g} s")]
    worst = max(level for _, level, _ in findings)
    if args.format == "json":
        rows = [{"what": what, "level": WORDS[level], "found": found} for what, level, found in findings]
        print(as_json({"level": WORDS[worst], "findings": rows}))
        return worst
    paint = coloured(args)
    print(f"{_word(worst, paint)}: {_summary(findings, worst)}")
    for what, level, found in findings:
        print(f"  {_word(level, paint):{8 + (9 if paint else 0)}}  {what:<14} {escaped(found)}")
    return worst


class _LateError(Exception):
    """It has taken too long."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Ends the block with _LateError when it takes longer: a monitor waits for no answer, and calls that unknown."""

    def late(*_: object) -> None:
        raise _LateError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _word(level: int, paint: bool) -> str:
    return f"\033[{COLORS[level]}m{WORDS[level]}\033[0m" if paint else WORDS[level]


def _summary(findings: Sequence[Finding], worst: int) -> str:
    """The first line, which is all that some monitors show."""
    if worst:
        return escaped("; ".join(found for _, level, found in findings if level == worst))
    said = {what: found for what, _, found in findings}
    return escaped(f"chassis {said['chassis']}, configuration {said['configuration']}, no problems")


def _findings(database: Database) -> Iterable[Finding]:
    seen, counters = _settled(database)
    hosts = seen["chassis"]
    served = database.open().served
    if served is not None and not served.connected:
        yield "database", 2, f"{database.where} is cut off from the majority of its cluster: nothing can be written"
    else:
        yield "database", 0, f"{database.where} answers, configuration {seen['configured']}"
    yield from _controllers(seen, counters)
    if seen["alarm"]:
        yield "alarm", 2, seen["alarm"]
    yield _chassis(hosts)
    yield _few("tunnels", [f"{name}: {what}" for name, what, _ in unheard(hosts)], "all that is sent arrives")
    foreign = [f"{name}: {what}" for name, what in remarks(hosts)]
    yield _few("others", foreign, "nobody else has flows or mirrors on br-int")
    yield _few("impostors", [f"{host['name']}: {host['impostor']}" for host in hosts if host["impostor"]], "none")
    yield _configuration(seen)
    told = ("chassis", "controller")
    others = [each for each in seen["problems"] if each["where"].partition(" ")[0] not in told]
    yield _few("problems", [f"{each['where']}: {each['what']}" for each in others], "none", "(overlayctl show)")


def _few(what: str, wrong: Sequence[str], well: str, where: str = "") -> Finding:
    """A finding that names some of what is wrong; `where` the others are told."""
    if not wrong:
        return what, 0, well
    more = [f"and {len(wrong) - NAMED} more {where}".rstrip()] if len(wrong) > NAMED else []
    return what, 1, "; ".join([*wrong[:NAMED], *more])


def _controllers(seen: dict[str, Any], counters: dict[str, Any]) -> Iterable[Finding]:
    gone = silence(counters, seen["chassis"])
    if gone:
        yield "controller", 2, gone[0]["what"].partition(";")[0]
    else:
        ago = max(0, int(time.time()) - counters["heartbeat"]) if counters["heartbeat"] else 0
        sign = f"at work: its last sign of life, of one every 10 s, is {ago} s old"
        yield "controller", 0, sign if seen["chassis"] else "not needed"
    lost = [each["name"] for each in seen["controllers"] if not each["lives"]]
    if lost and len(lost) < len(seen["controllers"]):
        count = len(seen["controllers"])
        yield "controllers", 1, f"{count - len(lost)} of {count} at work; not {', '.join(lost)}"


def _configuration(seen: dict[str, Any]) -> Finding:
    """Whether every chassis has what is declared, also those that can't be reached."""
    number = seen["configured"]
    if seen["alarm"]:
        return "configuration", 1, f"{number} is not acted on; switches have what they had"
    behind = [f"{host['name']} has {host['installed']}" for host in seen["chassis"] if host["installed"] < number]
    if not behind:
        return "configuration", 0, f"{number} is installed everywhere" if seen["chassis"] else f"{number}"
    named = [*behind[:NAMED], *([f"and {len(behind) - NAMED} more"] if len(behind) > NAMED else [])]
    return "configuration", 1, f"{number} is not installed everywhere: {', '.join(named)}"


def _settled(database: Database) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `show` sees, once all is installed that was declared, or when that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while True:
        seen = overview(Draft(database))
        rows = database.select("Overlay_Global")
        if seen["installed"] >= seen["configured"] or not seen["chassis"] or time.monotonic() > deadline:
            return seen, rows[0] if rows else {"nb_cfg": 0, "cur_cfg": 0, "alarm": "", "heartbeat": 0}
        time.sleep(0.1)


def _chassis(hosts: Sequence[Any]) -> Finding:
    if not hosts:
        return "chassis", 1, "none is declared: a new overlay database, or one that was lost"
    down = [host for host in hosts if host["state"] != "ready"]
    if not down:
        return "chassis", 0, f"{len(hosts)} of {len(hosts)} ready"
    named = [host["name"] + " " + host["state"] + (f": {host['error']}" if host["error"] else "") for host in down]
    more = [f"and {len(down) - NAMED} more"] if len(down) > NAMED else []
    found = "; ".join([f"{len(hosts) - len(down)} of {len(hosts)} ready", *named[:NAMED], *more])
    return "chassis", 2 if len(down) == len(hosts) else 1, found
