"""One transaction in the making, and how it gets into the database while others write too.

A verb reads what it needs through the draft and adds operations; every update is guarded by the values it was
based on, every reference by the schema. What the database refuses is explained where a row explains it; else
somebody was faster, and the verb is run again on what is there now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.cli import conflicts
from controller.cli.errors import CommandError, one_of
from ovsdb.rpc import Connection, Operation, Row, TransactionError, same_row, select, uuid_of

ATTEMPTS: Final = 10
LOST_RACE: Final = frozenset({"timed out", "constraint violation", "referential integrity violation"})
"""Refusals (RFC 7047, sections 3.1 and 5.2.6) that another client's write can be the reason of."""


@dataclass(frozen=True)
class Written:
    """A committed transaction. `number` is the configuration it made, when it was asked to be counted."""

    number: int | None


class Draft:
    """What one transaction reads and writes."""

    def __init__(self, database: Connection) -> None:
        self.database = database
        self.operations: list[Operation] = []
        self.claims: list[conflicts.Claim] = []
        self.deleted: list[tuple[str, Row]] = []

    def find(self, table: str, name: str) -> Row | None:
        """The row of this name, or None."""
        rows = self.database.select(table, [["name", "==", name]])
        return rows[0] if rows else None

    def get(self, table: str, name: str) -> Row:
        """The row of this name; CommandError, with the names there are, when there is none."""
        row = self.find(table, name)
        if row is None:
            names = [found["name"] for found in self.database.select(table)]
            raise CommandError(f"there is no {table.lower()} {name!r}; {one_of(names, name)}")
        return row

    def insert(self, table: str, row: Row) -> list[str]:
        """Adds a row; returns the reference by which others of this draft point at it."""
        name = f"row{len(self.operations)}"
        self.operations.append({"op": "insert", "table": table, "row": row, "uuid-name": name})
        self.claims += conflicts.claims(table, row)
        return ["named-uuid", name]

    def update(self, table: str, row: Row, changes: Mapping[str, Any]) -> None:
        """Changes columns of a row that was read, unless somebody else changes the same ones first."""
        uuid = uuid_of(row)
        guard = {column: row[column] for column in changes}
        self.operations += [
            {
                "op": "wait",
                "table": table,
                "where": same_row(uuid),
                "columns": list(changes),
                "until": "==",
                "rows": [guard],
                "timeout": 0,
            },
            {"op": "update", "table": table, "where": same_row(uuid), "row": dict(changes)},
        ]
        self.claims += conflicts.claims(table, {**row, **changes}, uuid)

    def delete(self, table: str, row: Row) -> None:
        """Removes a row; one that somebody else has removed already is no error."""
        self.operations.append({"op": "delete", "table": table, "where": same_row(uuid_of(row))})
        self.deleted.append((table, row))

    def count(self) -> None:
        """Makes this transaction a numbered configuration: `Overlay_Global.nb_cfg`, one up."""
        rows = self.database.select("Overlay_Global")
        if rows:
            this = same_row(uuid_of(rows[0]))
            there = [{"_uuid": rows[0]["_uuid"]}]
            self.operations += [
                {
                    "op": "wait",
                    "table": "Overlay_Global",
                    "where": this,
                    "columns": ["_uuid"],
                    "until": "==",
                    "rows": there,
                    "timeout": 0,
                },
                {"op": "mutate", "table": "Overlay_Global", "where": this, "mutations": [["nb_cfg", "+=", 1]]},
            ]
        else:
            # Of two that insert it at once, one breaks the table's maxRows, and comes back to the above.
            self.operations.append({"op": "insert", "table": "Overlay_Global", "row": {"nb_cfg": 1}})
        self.operations.append(select("Overlay_Global", columns=["nb_cfg"]))


def write(database: Connection, verb: Callable[[Draft], None], counted: bool) -> Written:
    """Commits what `verb` drafts; raises CommandError for what cannot be, with its reason."""
    for _ in range(ATTEMPTS):
        draft = Draft(database)
        verb(draft)
        if counted:
            draft.count()
        if not draft.operations:
            return Written(None)
        try:
            results = database.transact(draft.operations)
        except TransactionError as refused:
            last = refused
            if refused.error not in LOST_RACE:
                raise CommandError(f"the database {database.where} refused the change: {refused}") from None
            conflicts.explain(database, draft.claims, draft.deleted)
        else:
            return Written(results[-1]["rows"][0]["nb_cfg"] if counted else None)
    raise CommandError(f"the database {database.where} refused the change {ATTEMPTS} times: {last}")
