"""`--dry-run`: what a draft would change, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.cli import conflicts, schema
from controller.cli.database import Database, normal
from controller.cli.draft import Draft, Pending, changed
from ovsdb.rpc import Row


def told(database: Database, verb: Callable[[Draft], None]) -> list[str]:
    """What `verb` says, and a line per row that it would change; CommandError when it would be refused."""
    draft = Draft(database)
    verb(draft)
    conflicts.explain(draft)
    changes = [_line(draft, pending) for pending in draft.pending()]
    return draft.lines + (
        sorted(changes, key=lambda line: (line[2:].partition(":")[0], "-+~".index(line[0]))) or ["nothing would change"]
    )


def _line(draft: Draft, pending: Pending) -> str:
    table, uuid, was, will = pending
    name = named(draft, table, uuid, was or will or {})
    if will is None:
        return f"- {table} {name}"
    if was is None:
        columns = [
            column for column, value in schema.tables()[table].defaults.items() if normal(will[column]) != normal(value)
        ]
        return f"+ {table} {name}: " + ", ".join(
            f"{column}={spelled(draft, table, column, will[column])}" for column in columns
        )
    return f"~ {table} {name}: " + ", ".join(
        f"{column}: {spelled(draft, table, column, was[column])} -> {spelled(draft, table, column, will[column])}"
        for column in changed(was, will)
    )


def named(draft: Draft, table: str, uuid: str, row: Row) -> str:
    """A row's name, or what stands for one; its UUID when nothing does."""
    for column in ("name", "ip", "target", "request"):
        if isinstance(row.get(column), str):
            return str(row[column])
    return uuid


def spelled(draft: Draft, table: str, column: str, value: Any) -> str:
    """A value as a person reads it: references as the names of rows."""
    described = schema.tables()[table].columns[column]
    if isinstance(value, list) and value[0] == "set":
        return "[" + ", ".join(sorted(spelled(draft, table, column, item) for item in value[1])) + "]"
    if isinstance(value, list) and value[0] == "map":
        return "{" + ", ".join(sorted(f"{key}={item}" for key, item in value[1])) + "}"
    if isinstance(value, list) and value[0] == "uuid":
        target = described.key.table
        row = draft.row(target, value[1]) if target else None
        return named(draft, target or "", value[1], row) if row else str(value[1])
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else '""'
