"""`drops`: what the switches have dropped, and why. The controller is asked for fresh counters, and writes them."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any, Final

from controller.cli.database import PAUSE, Database
from controller.cli.draft import Draft
from controller.cli.errors import CommandError, NotInstalledError
from controller.cli.show import SILENCE_S
from controller.cli.tables import print_rows
from controller.cli.waiting import unanswered, wait_answered
from ovsdb.rpc import Row, TransactionError, UnreachableError, optional, select

COLUMNS: Final = ("chassis", "network", "port", "interface", "reason", "packets", "octets", "why")
FILTERS: Final = {"chassis": "Chassis", "network": "Network", "port": "Port"}
BRIEFLY: Final = 5.0
"""Seconds for a controller to answer that has left no sign of life for long."""
_PROBE: Final = "drop-probe"
"""The reason of what is dropped on purpose, at every tunnel port of every chassis: it is told with --all."""
AT_ONCE: Final = 2.0
"""Seconds for a member of a cluster to learn what another one knows."""


def drops(database: Database, args: Namespace) -> None:
    """`drops`."""
    draft = Draft(database)
    wanted = {column: getattr(args, column) for column in FILTERS if getattr(args, column) is not None}
    for column, name in wanted.items():
        draft.get(FILTERS[column], name)
    found = database.select("Drop") if args.last or args.dry_run else _fresh(database, args.timeout)
    rows = [row for row in map(_described, found) if all(row[column] == name for column, name in wanted.items())]
    shown = sorted((row for row in rows if args.all or (row["packets"] and row["reason"] != _PROBE)), key=_order)
    if not shown and args.format == "table":
        draft.say("nothing was dropped")
    print_rows(draft, COLUMNS, shown, args)
    if draft.lines:
        print("\n".join(draft.lines))


def _fresh(database: Database, timeout: float) -> list[Row]:
    """The rows that answer a request of ours, or one after it; NotInstalledError when none does in time."""
    deadline = time.monotonic() + timeout
    number, heartbeat = _asked(database, deadline)
    silent = time.time() - heartbeat > SILENCE_S
    patience = min(timeout, BRIEFLY) if silent else timeout
    if not wait_answered(database.listed, number, min(patience, max(0.0, deadline - time.monotonic()))):
        raise NotInstalledError(
            f"the controller was asked for fresh counters, and has not answered within {patience:g} s; is it running "
            f"(ryu-manager overlay_app) and connected to {database.where}? What it read last: overlayctl drops --last"
        )
    answered = {**unanswered(number), "timeout": int(AT_ONCE * 1000)}
    rows: list[Row] = database.transact([answered, select("Drop")])[1]["rows"]
    return rows


def _asked(database: Database, deadline: float) -> tuple[int, int]:
    """Asks; returns the number of the request, and when a controller was last at work."""
    ask = {"op": "mutate", "table": "Overlay_Global", "where": [], "mutations": [["drops_asked", "+=", 1]]}
    while True:
        try:
            rows = database.transact([ask, select("Overlay_Global", columns=["drops_asked", "heartbeat"])])[1]["rows"]
            break
        except UnreachableError:
            # Asked twice is asked once.
            if time.monotonic() >= deadline:
                raise
            time.sleep(PAUSE)
        except TransactionError as refused:
            raise CommandError(
                f"the database {database.where} lets nobody ask for fresh counters there: {refused}; "
                f"what the controller read last: overlayctl drops --last"
            ) from None
    if not rows:
        raise CommandError(
            f"no controller has ever been at work on {database.where}; start one: ryu-manager overlay_app"
        )
    return rows[0]["drops_asked"], rows[0]["heartbeat"]


def _described(row: Row) -> dict[str, Any]:
    """A row of Drop, and what the kind of flow is for."""
    from flows.tables import OVER_FLOOD_RATE, Kind

    names = {column: optional(row[column]) for column in ("network", "port", "interface")}
    limit = "more packets to all than the port's flood rate: overlayctl port-set PORT --flood-rate N"
    purposes = {OVER_FLOOD_RATE: limit, **{kind.label: kind.purpose for kind in Kind}}
    why = purposes.get(row["reason"], "")
    known = {column: row[column] for column in ("chassis", "reason", "packets", "octets")}
    return {column: {**known, **names, "why": why}[column] for column in COLUMNS}


def _order(row: dict[str, Any]) -> list[str]:
    return [row[column] or "" for column in ("chassis", "network", "port", "interface", "reason")]
