"""`list`, `find`, `get`, `set`, `create`, `destroy`: any table, with the words of ovs-vsctl(8)."""

from __future__ import annotations

import operator
import re
from argparse import Namespace
from collections.abc import Callable, Iterable
from typing import Any, Final

from controller.cli import checks, schema, values
from controller.cli.database import normal
from controller.cli.draft import Draft
from controller.cli.errors import CommandError, one_of
from controller.cli.tables import as_json, print_rows
from controller.cli.text import escaped
from ovsdb import ownership
from ovsdb.rpc import Row, elements, uuid_of

NAMES: Final = ("name", "ip", "target", "table", "request")
"""The columns by which a row is named, the first that its table has."""
COMPARED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
SETTING: Final = re.compile(r"([A-Za-z_]+)(?::((?:\"(?:[^\"\\]|\\.)*\"|[^=])*))?=(.*)", re.DOTALL)
CONDITION: Final = re.compile(r"([A-Za-z_]+)(?::([^=!<>{]+))?(\{=\}|\{<=\}|!=|<=|>=|=|<|>)(.*)", re.DOTALL)


def show_list(draft: Draft, args: Namespace) -> None:
    """`list`."""
    table = values.table(args.table)
    rows = [record(draft, table.name, each) for each in args.records] or sorted_rows(draft, table)
    _print(draft, table, rows, args)


def find(draft: Draft, args: Namespace) -> None:
    """`find`."""
    table = values.table(args.table)
    conditions = [_condition(draft, table, each) for each in args.conditions]
    rows = [row for row in sorted_rows(draft, table) if all(meets(row) for meets in conditions)]
    _print(draft, table, rows, args)


def get(draft: Draft, args: Namespace) -> None:
    """`get`."""
    table = values.table(args.table)
    row = found_row(draft, table.name, args)
    if row is None:
        return
    for each in args.wanted:
        name, colon, key = each.partition(":")
        value = row["_uuid"] if name == "_uuid" else row[values.column(table, name).name]
        if colon:
            entries = {str(entry): item for entry, item in value[1]} if value and value[0] == "map" else {}
            if key not in entries:
                if args.if_exists:
                    continue
                raise CommandError(f"{table.name}.{name} of {args.record!r} has no key {key!r}")
            value = entries[key]
        draft.say(
            as_json(values.plain(table.columns.get(name), value))
            if args.format == "json"
            else escaped(values.spelled(None if colon else table.columns.get(name), value))
        )


def set_columns(draft: Draft, args: Namespace) -> None:
    """`set`."""
    table = values.table(args.table)
    row = found_row(draft, table.name, args)
    if row is None:
        return
    changes = _settings(draft, table, args.settings, row)
    checks.own(table.name, changes, args.force)
    checks.known(table.name, row, changes)
    draft.update(table.name, row, changes)
    checks.fits(draft, table.name, {**row, **changes}, changes)


def create(draft: Draft, args: Namespace) -> None:
    """`create`."""
    table = values.table(args.table)
    row = _settings(draft, table, args.settings, dict(table.defaults))
    checks.own(table.name, row, args.force)
    checks.known(table.name, dict(table.defaults), row)
    checks.required(table.name, row)
    if table.name in checks.HANGING and not args.id:
        raise CommandError(
            f"a row of {table.name} vanishes unless another refers to it; use {checks.HANGING[table.name]}, or "
            f"give it --id @NAME and refer to that in the same transaction"
        )
    uuid = draft.insert(table.name, row)
    if args.id:
        draft.names[args.id] = uuid
    made = draft.row(table.name, uuid)
    checks.fits(draft, table.name, made or {}, row)
    draft.say(uuid)


def destroy(draft: Draft, args: Namespace) -> None:
    """`destroy`."""
    table = values.table(args.table)
    # A chassis goes with what the controller has written of it, as with chassis-del; so does a network.
    declared = table.name in ("Chassis", "Network")
    checks.own(table.name, () if declared else ownership.theirs(table.name), args.force)
    if not args.records and not args.all:
        raise CommandError("name the rows to destroy, or say --all")
    if args.all:
        for row in sorted_rows(draft, table):
            checks.remove(draft, table.name, row)
    for each in args.records:
        found = _record(draft, table.name, each)
        if found is None and not args.if_exists:
            record(draft, table.name, each)
        if found is not None:
            checks.remove(draft, table.name, found)


def record(draft: Draft, table: str, written: str) -> Row:
    """The row of this name or UUID (`.` the only one); CommandError, with the names there are, when there is none."""
    row = _record(draft, table, written)
    if row is None:
        naming = naming_column(table)
        names = [str(row[naming]) for row in draft.read(table).values()] if naming else []
        raise CommandError(f"{table} has no row {written!r}; {one_of(names, written)}")
    return row


def naming_column(table: str) -> str | None:
    """The column by which a row of this table is named."""
    columns = schema.tables()[table].columns
    return next((column for column in NAMES if column in columns), None)


def sorted_rows(draft: Draft, table: schema.Table) -> list[Row]:
    """All rows of a table, by name."""
    naming = naming_column(table.name) or "_uuid"
    return sorted(draft.read(table.name).values(), key=lambda row: (str(row[naming]), uuid_of(row)))


def _record(draft: Draft, table: str, written: str) -> Row | None:
    if written in draft.names:
        return draft.row(table, draft.names[written])
    if values.UUID.fullmatch(written):
        return draft.row(table, written.lower())
    if written == ".":
        rows = list(draft.read(table).values())
        return rows[0] if len(rows) == 1 else None
    naming = naming_column(table)
    rows = draft.where(table, **{naming: written}) if naming else []
    if len(rows) > 1:
        raise CommandError(f"{table} has {len(rows)} rows {written!r}; name one by its UUID (overlayctl list {table})")
    return rows[0] if rows else None


def found_row(draft: Draft, table: str, args: Namespace) -> Row | None:
    """The row that a command names, or with `--if-exists` None; CommandError when there is none."""
    return _record(draft, table, args.record) if args.if_exists else record(draft, table, args.record)


def finder(draft: Draft) -> values.Finder:
    """What finds the rows that values refer to."""
    return lambda table, written: uuid_of(record(draft, table, written))


def _settings(draft: Draft, table: schema.Table, settings: Iterable[str], row: Row) -> Row:
    """What `COLUMN=VALUE` and `COLUMN:KEY=VALUE` make of a row's columns."""
    changes: Row = {}
    for each in settings:
        found = SETTING.fullmatch(each)
        if found is None:
            raise CommandError(f"{each!r} is not of the form COLUMN=VALUE or COLUMN:KEY=VALUE")
        name, key, text = found.groups()
        column = values.column(table, name)
        if key is None:
            changes[name] = checks.canonical(table.name, name, values.read(table, column, text, finder(draft)))
        else:
            entry = values.read_key(table, column, key, text, finder(draft))
            present = changes[name] if name in changes else row[name]
            entries = {**dict(present[1]), entry[0]: entry[1]}
            changes[name] = ["map", [list(item) for item in entries.items()]]
    return changes


def _condition(draft: Draft, table: schema.Table, written: str) -> Callable[[Row], bool]:
    """What `COLUMN[:KEY]OP VALUE` asks; OP as in ovs-vsctl(8): = != < > <= >=, {=} and {<=} for sets."""
    found = CONDITION.fullmatch(written)
    if found is None:
        raise CommandError(f"{written!r} is not of the form COLUMN[:KEY]=VALUE (or !=, <, >, <=, >=)")
    name, key, sign, text = found.groups()
    if name == "_uuid":
        return lambda row: (uuid_of(row) == text) == (sign != "!=")
    column = values.column(table, name)
    if key is not None:
        wanted = values.read_key(table, column, key, text, finder(draft))[1]
        return lambda row: _compared(dict(row[name][1]).get(key), sign, wanted)
    wanted = values.read(table, column, text, finder(draft))
    if sign in COMPARED and column.most == 1:
        (limit,) = elements(wanted) or [None]
        return lambda row: any(_compared(each, sign, limit) for each in elements(row[name]))
    if sign in ("<=", ">=", "<", ">", "{<=}"):
        # On sets ovs-vsctl's <= and < ask for subsets.
        theirs = _as_set(wanted)
        ways = {"<=": frozenset.issubset, "{<=}": frozenset.issubset, ">=": frozenset.issuperset}
        way = ways.get(sign, operator.lt if sign == "<" else operator.gt)
        return lambda row: bool(way(_as_set(row[name]), theirs))
    return lambda row: (normal(row[name]) == normal(wanted)) == (sign != "!=")


def _compared(value: Any, sign: str, wanted: Any) -> bool:
    if value is None:
        return sign == "!="
    if sign in COMPARED:
        return COMPARED[sign](value, wanted)
    return bool(value == wanted) == (sign != "!=")


def _as_set(value: Any) -> frozenset[Any]:
    if isinstance(value, list) and value[0] == "map":
        return frozenset(map(tuple, value[1]))
    return frozenset(elements(value))


def _print(draft: Draft, table: schema.Table, rows: list[Row], args: Namespace) -> None:
    columns = ["_uuid", *table.columns]
    if args.columns:
        columns = [
            name if name == "_uuid" else values.column(table, name).name
            for name in map(str.strip, args.columns.split(","))
        ]
    if args.format == "json":
        chosen = [{name: values.plain(table.columns.get(name), row[name]) for name in columns} for row in rows]
        draft.say(as_json(chosen))
    elif args.format == "csv":
        args.columns = ",".join(columns)
        print_rows(
            draft,
            columns,
            [{name: values.spelled(table.columns.get(name), row[name]) for name in columns} for row in rows],
            args,
        )
    else:
        for number, row in enumerate(rows):
            if number:
                draft.say("")
            for name in columns:
                value = escaped(values.spelled(table.columns.get(name), row[name]))
                draft.say(value if args.no_headings else f"{name:<20}: {value}")
