"""`add`, `remove`, `clear`: columns that hold several values, of any table, as ovs-vsctl(8) changes them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable
from typing import Any

from controller.cli import checks, schema, values
from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from controller.cli.generic import finder, found_row
from ovsdb.rpc import Row


def add(draft: Draft, args: Namespace) -> None:
    """`add`: keys that a map has keep their values, as in ovs-vsctl(8)."""

    def more(column: schema.Column, present: Any) -> Any:
        given = [values.read(values.table(args.table), column, each, finder(draft)) for each in args.values]
        if column.value is not None:
            pairs = {entry[0]: entry for each in reversed(given) for entry in each[1]}
            return ["map", list({**pairs, **{entry[0]: entry for entry in present[1]}}.values())]
        return _set_of(column, [*members(present), *(item for each in given for item in members(each))])

    _changed(draft, args, [args.column], more)


def remove(draft: Draft, args: Namespace) -> None:
    """`remove`: values of a set, or keys of a map, or KEY=VALUE where a key shall go only with that value."""

    def fewer(column: schema.Column, present: Any) -> Any:
        if column.value is not None:
            gone = {(key, value if equals else None) for key, equals, value in (w.partition("=") for w in args.values)}
            left = [e for e in present[1] if not {(str(e[0]), None), (str(e[0]), str(e[1]))} & gone]
            return ["map", left]
        table = values.table(args.table)
        read = [item for each in args.values for item in members(values.read(table, column, each, finder(draft)))]
        wrong = members(checks.canonical(table.name, column.name, ["set", read]))
        return _set_of(column, [item for item in members(present) if item not in wrong])

    _changed(draft, args, [args.column], fewer)


def clear(draft: Draft, args: Namespace) -> None:
    """`clear`."""
    _changed(draft, args, args.columns_cleared, lambda column, _: _set_of(column, []))


def _changed(draft: Draft, args: Namespace, names: Iterable[str], made: Callable[[schema.Column, Any], Any]) -> None:
    """Changes columns of a row that hold several values, or none."""
    table = values.table(args.table)
    row = found_row(draft, table.name, args)
    if row is None:
        return
    changes: Row = {}
    for name in names:
        column = values.column(table, name)
        if column.value is None and column.least == 1:
            raise CommandError(
                f"{table.name}.{name} holds just one value; overlayctl set {table.name} ROW {name}=VALUE"
            )
        changes[name] = checks.canonical(table.name, name, made(column, row[name]))
    checks.own(table.name, changes, args.force)
    checks.known(table.name, row, changes)
    draft.update(table.name, row, changes)
    checks.fits(draft, table.name, {**row, **changes}, changes)


def members(value: Any) -> list[Any]:
    """The elements of a set column as the wire has them, references as such."""
    return list(value[1]) if isinstance(value, list) and value[0] == "set" else [value]


def _set_of(column: schema.Column, items: list[Any]) -> Any:
    if column.value is not None:
        return ["map", items]
    items = [item for place, item in enumerate(items) if item not in items[:place]]
    if column.most is not None and len(items) > column.most:
        raise CommandError(f"{column.name} holds at most {column.most} values, and this would be {len(items)}")
    return ["set", items]
