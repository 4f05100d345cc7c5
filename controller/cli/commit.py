"""How a draft gets into the database: exactly once, while others write too and servers come and go.

What the database refuses is explained where a row explains it; else somebody was faster, and the verbs are run
again on what is there now. A transaction whose answer never came may have been done: each carries a row of
`Change` with the command's own request id, which is looked for before anything is sent a second time.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from controller.cli import conflicts
from controller.cli.database import Database
from controller.cli.draft import Draft, new_uuid, timed_uuid
from controller.cli.errors import CommandError, UnknownOutcomeError
from ovsdb.rpc import GRACE, Operation, TransactionError, UnreachableError, same_row, select, uuid_of

LOST_RACE: Final = frozenset({"timed out", "constraint violation", "referential integrity violation"})
"""Refusals (RFC 7047, sections 3.1 and 5.2.6) that another client's write can be the reason of."""
ATTEMPTS: Final = 10
"""How often a refusal that nothing explains is tried anew; one by a guard is, as long as there is patience."""
PATIENCE: Final = 30.0
"""Seconds for one command, whoever else writes and whichever server is away."""
PAUSE: Final = 0.5
"""The longest pause between two attempts, in seconds; each is drawn at random, and the first are short."""
DECLARED: Final = frozenset({"Tenant", "Network", "Port", "Chassis"})
"""Tables from which no row may vanish but by a transaction that raises `Overlay_Global.epoch`."""
KEPT_FOR: Final = 86400
"""Seconds for which the log of changes is kept."""
KEPT: Final = 10_000
"""How many changes are kept, and more only while they are younger than `KEPT_ANYWAY` seconds."""
KEPT_ANYWAY: Final = 300
SWEEP: Final = 100
"""Every so many changes those beyond `KEPT` are counted and deleted."""
WHAT: Final = 1000
"""The most characters of a command that the log keeps."""


@dataclass(frozen=True)
class Written:
    """A draft that is done. `number` is the configuration it made; None when it changed nothing."""

    number: int | None
    lines: list[str] = field(default_factory=list)
    code: int = 0
    """The exit code, which a verb that only looks may choose."""


@dataclass
class Request:
    """One command: what it is called in the log, and how long it may take."""

    what: str
    patience: float = PATIENCE
    id: str = field(default_factory=new_uuid)
    sent: dict[str, Draft] = field(default_factory=dict)
    """Drafts whose answer never came, by the UUID of their row of `Change`."""


def write(database: Database, verb: Callable[[Draft], None], request: Request, counted: bool = False) -> Written:
    """Commits what `verb` drafts, `counted` even when it changes nothing; raises CommandError with the reason."""
    deadline = time.monotonic() + request.patience
    unexplained = attempt = lost = 0
    while True:
        attempt += 1
        draft, change = Draft(database, lost), ""
        try:
            if request.sent and (done := _look(database, request)):
                return done
            verb(draft)
            operations = draft.operations()
            if not operations and not counted:
                return Written(None, draft.lines, draft.code)
            change = timed_uuid()
            operations += _accounts(draft, request, change)
            request.sent[change] = draft
            results = database.transact(operations, _patience(deadline))
            return Written(results[-1]["rows"][0]["nb_cfg"], draft.lines)
        except UnreachableError as failure:
            # The answer may still be a yes: `sent` keeps the draft.
            if time.monotonic() >= deadline:
                raise _unanswered(failure, request) from None
        except TransactionError as refused:
            # A cluster that lost its leader tries a transaction again by itself, and then refuses what it has.
            twice = refused.error == "duplicate uuid" or '"Change"' in refused.details
            if twice and (done := _look_again(database, request)):
                return done
            request.sent.pop(change, None)
            lost += 1
            if refused.error not in LOST_RACE and not twice:
                raise CommandError(f"the database {database.where} refused the change: {refused}") from None
            if refused.error != "timed out":
                unexplained += not draft.chosen
                with suppress(UnreachableError):
                    conflicts.explain(draft)
            if unexplained >= ATTEMPTS or time.monotonic() >= deadline:
                raise CommandError(
                    f"the database {database.where} refused the change {attempt} times: {refused}"
                ) from None
        time.sleep(random.uniform(0, min(PAUSE, 0.004 * 2 ** min(attempt, 10))))


def _patience(deadline: float) -> float:
    return max(0.5, min(GRACE, deadline - time.monotonic()))


def _accounts(draft: Draft, request: Request, change: str) -> list[Operation]:
    """What goes with every transaction: its number, the epoch, the log of changes. The last result is the number."""
    deletes = any(pending.will is None and pending.table in DECLARED for pending in draft.pending())
    now = int(time.time())
    rows = list(draft.read("Overlay_Global").values())
    operations: list[Operation] = []
    if rows:
        row, this = rows[0], same_row(uuid_of(rows[0]))
        new = any(pending.table == "Overlay_Global" and pending.was is None for pending in draft.pending())
        guarded = ([] if new else ["_uuid"]) + ([] if row["database_id"] else ["database_id"])
        for column in guarded:
            guard = {"op": "wait", "table": "Overlay_Global", "where": this, "until": "==", "timeout": 0}
            operations.append({**guard, "columns": [column], "rows": [{column: row[column]}]})
        mutations = [["nb_cfg", "+=", 1]] + ([["epoch", "+=", 1]] if deletes else [])
        operations.append({"op": "mutate", "table": "Overlay_Global", "where": this, "mutations": mutations})
        if not row["database_id"]:
            identity = {"database_id": new_uuid()}
            operations.append({"op": "update", "table": "Overlay_Global", "where": this, "row": identity})
        if row["nb_cfg"] % SWEEP == 0:
            operations += _sweep(draft.database, now)
    else:
        # Of two that insert it at once, one breaks the table's maxRows, and comes back to the above.
        first = {"database_id": new_uuid(), "nb_cfg": 1, "epoch": int(deletes)}
        operations.append({"op": "insert", "table": "Overlay_Global", "row": first})
    log = {"request": request.id, "at": now, "by": who(), "what": request.what[:WHAT]}
    return [
        *operations,
        {"op": "delete", "table": "Change", "where": [["at", "<", now - KEPT_FOR]]},
        {"op": "insert", "table": "Change", "uuid": change, "row": log},
        select("Overlay_Global", columns=["nb_cfg"]),
    ]


def _sweep(database: Database, now: int) -> list[Operation]:
    changes = database.transact([select("Change", columns=["_uuid", "at"])])[0]["rows"]
    oldest = sorted(changes, key=lambda row: row["at"])[: max(0, len(changes) - KEPT)]
    return [
        {"op": "delete", "table": "Change", "where": same_row(uuid_of(row))}
        for row in oldest
        if row["at"] < now - KEPT_ANYWAY
    ]


def _look(database: Database, request: Request) -> Written | None:
    """The outcome of a transaction that was sent before, when the database has it."""
    changes, counters = (
        result["rows"]
        for result in database.transact(
            [select("Change", [["request", "==", request.id]]), select("Overlay_Global", columns=["nb_cfg"])]
        )
    )
    if not changes:
        return None
    return Written(counters[0]["nb_cfg"], request.sent[uuid_of(changes[0])].lines)


def _look_again(database: Database, request: Request) -> Written | None:
    """The same, when the index of `Change` has said that the database has it: this member may not know yet."""
    missing = {"op": "wait", "table": "Change", "where": [["request", "==", request.id]], "columns": ["request"]}
    try:
        database.transact([{**missing, "until": "!=", "rows": [], "timeout": int(GRACE * 1000)}], 2 * GRACE)
        return _look(database, request)
    except (TransactionError, UnreachableError):
        return None


def _unanswered(failure: UnreachableError, request: Request) -> CommandError:
    if not request.sent:
        return CommandError(str(failure))
    return UnknownOutcomeError(
        f"{failure}; whether the change was done is not known: "
        f"it was if overlayctl changes --columns request lists {request.id}"
    )


def who() -> str:
    """Who runs this command, for the log of changes."""
    import pwd

    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    return f"{user}@{os.uname().nodename}"
