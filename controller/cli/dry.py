"""`--dry-run`: what a draft would change, in words."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any, Final

from controller.cli import conflicts, schema, values
from controller.cli.database import Database, normal
from controller.cli.draft import Draft, Pending, changed
from controller.cli.tables import as_json
from controller.cli.text import escaped
from ovsdb.rpc import Row, elements

DELETE: Final = "-"
ADD: Final = "+"
CHANGE: Final = "~"


def told(database: Database, verb: Callable[[Draft], None], commands: Sequence[Namespace]) -> list[str]:
    """What `verb` says, and a line per row that it would change, or one JSON document of both.

    Raises CommandError when it would be refused.
    """
    draft = Draft(database)
    verb(draft)
    conflicts.explain(draft)
    if all(args.reads for args in commands) or (draft.planned and len(commands) == 1):
        return draft.lines
    changes = sorted(draft.pending(), key=lambda pending: _order(draft, pending))
    if commands[0].format == "json":
        said = {"said": list(map(_document, draft.lines))} if draft.lines else {}
        return [as_json(said | {"changes": [_object(draft, pending) for pending in changes]})]
    return draft.lines + ([escaped(_line(draft, pending)) for pending in changes] or ["nothing would change"])


def _order(draft: Draft, pending: Pending) -> tuple[str, str, int]:
    return pending.table, _called(draft, pending), (DELETE, ADD, CHANGE).index(_sign(pending))


def _sign(pending: Pending) -> str:
    return DELETE if pending.will is None else ADD if pending.was is None else CHANGE


def _called(draft: Draft, pending: Pending) -> str:
    return named(draft, pending.table, pending.uuid, pending.was or pending.will or {})


def _document(line: str) -> Any:
    """What a verb has said, as JSON has it."""
    try:
        return json.loads(line)
    except ValueError:
        return line


def _object(draft: Draft, pending: Pending) -> dict[str, Any]:
    columns = schema.tables()[pending.table].columns
    old, new = (
        {column: _plain(draft, columns[column], row[column]) for column in _columns(pending)} if row else None
        for row in (pending.was, pending.will)
    )
    return {
        "action": {DELETE: "delete", ADD: "add", CHANGE: "change"}[_sign(pending)],
        "table": pending.table,
        "name": _called(draft, pending),
        "old": old,
        "new": new,
    }


def _columns(pending: Pending) -> list[str]:
    """The columns that are worth telling: those that change; of a row that comes or goes those that say anything."""
    table, _, was, will = pending
    if was is not None and will is not None:
        return changed(was, will)
    row = was or will or {}
    return [column for column, value in schema.tables()[table].defaults.items() if normal(row[column]) != normal(value)]


def _line(draft: Draft, pending: Pending) -> str:
    table, _, was, will = pending
    heading = f"{_sign(pending)} {table} {_called(draft, pending)}"
    if will is None:
        return heading
    if was is None:
        said = [f"{column}={spelled(draft, table, column, will[column])}" for column in _columns(pending)]
    else:
        said = [
            f"{column}: {spelled(draft, table, column, was[column])} -> {spelled(draft, table, column, will[column])}"
            for column in _columns(pending)
        ]
    return f"{heading}: {', '.join(said)}"


def named(draft: Draft, table: str, uuid: str, row: Row) -> str:
    """A row's name, or what stands for one; its UUID when nothing does."""
    for column in ("name", "ip", "target", "request"):
        if isinstance(row.get(column), str):
            return str(row[column])
    return uuid


def spelled(draft: Draft, table: str, column: str, value: Any) -> str:
    """A value as a person reads it: references as the names of rows."""
    described = schema.tables()[table].columns[column]
    if described.value is None and (described.most != 1 or elements(value) == []):
        return "[" + ", ".join(sorted(_one(draft, described, item) for item in elements(value))) + "]"
    if isinstance(value, list) and value[0] == "map":
        return "{" + ", ".join(sorted(f"{key}={item}" for key, item in value[1])) + "}"
    (only,) = elements(value)
    return _one(draft, described, only)


def _one(draft: Draft, column: schema.Column, value: Any) -> str:
    if column.key.table is not None:
        return named(draft, column.key.table, value, draft.known(column.key.table, value) or {})
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else '""'


def _plain(draft: Draft, column: schema.Column, value: Any) -> Any:
    """A value as JSON has it: references as the names of rows."""
    found = values.plain(column, value)
    target = column.key.table
    if target is None:
        return found
    names = {uuid: named(draft, target, uuid, draft.known(target, uuid) or {}) for uuid in elements(value)}
    return sorted(names.values()) if isinstance(found, list) else names.get(found)
