"""Values of columns as ovs-vsctl(8) spells them ("Database Values"), to and from OVSDB's JSON.

The types are those of the schema; CommandError names the table, the column, the value and what was expected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from controller.cli import schema
from controller.cli.errors import CommandError, one_of
from controller.cli.schema import Atom, Column
from ovsdb.rpc import elements

UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
"""Strings that need no quotes, as ovs-vsctl prints them; `true` and `false` are others."""
EXPECTED: Final = {
    "integer": "an integer",
    "real": "a number",
    "boolean": "true or false",
    "string": "a string",
    "uuid": "a row: its name or UUID",
}

Finder = Callable[[str, str], str]
"""The UUID of a row, by its table and how it is written."""


def table(written: str) -> schema.Table:
    """The table of this name, in any case, or the only one that begins so."""
    tables = schema.tables()
    wanted = written.lower().replace("-", "_")
    found = [name for name in tables if name.lower() == wanted] or [
        name for name in tables if name.lower().startswith(wanted)
    ]
    if len(found) != 1:
        raise CommandError(f"there is no table {written!r}; {one_of(list(tables), written)}")
    return tables[found[0]]


def column(of: schema.Table, written: str) -> Column:
    """The column of this name."""
    if written not in of.columns:
        raise CommandError(f"table {of.name} has no column {written!r}; {one_of(list(of.columns), written)}")
    return of.columns[written]


def read(of: schema.Table, to: Column, written: str, finder: Finder) -> Any:
    """A column's value, as OVSDB's JSON."""
    where = f"{of.name}.{to.name}"
    if to.value is not None:
        return ["map", [_entry(where, to, each, finder) for each in _split(written, "{}")]]
    if to.least == 1 and to.most == 1:
        return atom(where, to.key, _unquoted(written), finder)
    if to.most == 1 and to.key.kind == "string" and written not in ("", "[]"):
        parts = [_unquoted(written[1:-1] if written[0] + written[-1] == "[]" else written)]
    else:
        parts = [_unquoted(part) for part in _split(written, "[]")]
    if len(parts) < to.least or (to.most is not None and len(parts) > to.most):
        most = "" if to.most is None else f" to {to.most}"
        raise CommandError(f"{where} takes {to.least}{most} values, not {len(parts)}: {written!r}")
    return ["set", [atom(where, to.key, part, finder) for part in dict.fromkeys(parts)]]


def read_key(of: schema.Table, to: Column, key: str, written: str, finder: Finder) -> list[Any]:
    """The pair of a map that `COLUMN:KEY=VALUE` sets."""
    if to.value is None:
        raise CommandError(f"{of.name}.{to.name} is no map; write {to.name}=VALUE")
    where = f"{of.name}.{to.name}"
    return [atom(where, to.key, key, finder), atom(where, to.value, _unquoted(written), finder)]


def atom(where: str, of: Atom, written: str, finder: Finder) -> Any:
    """One value of a type."""
    value: Any = None
    if of.kind == "string":
        value = written
    elif of.kind == "boolean" and written in ("true", "false"):
        value = written == "true"
    elif of.kind == "integer" and re.fullmatch(r"-?[0-9]+", written):
        value = int(written)
    elif of.kind == "real" and re.fullmatch(r"-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?", written):
        value = float(written)
    elif of.kind == "uuid" and of.table:
        return ["uuid", finder(of.table, written)]
    if value is None:
        raise CommandError(f"{where}: {written!r} is not {EXPECTED[of.kind]}")
    if of.enum and value not in of.enum:
        raise CommandError(f"{where}: {written!r} is unknown; there are: {', '.join(map(str, of.enum))}")
    if (of.least is not None and value < of.least) or (of.most is not None and value > of.most):
        most = "" if of.most is None else str(of.most)
        raise CommandError(f"{where}: {written} is not in {of.least}..{most}")
    return value


def spelled(of: Column | None, value: Any) -> str:
    """A column's value as ovs-vsctl prints it: brackets where there may be several, or are none."""
    if isinstance(value, list) and value[0] == "map":
        return "{" + ", ".join(sorted(f"{_quoted(key)}={_quoted(item)}" for key, item in value[1])) + "}"
    found = sorted(map(_quoted, elements(value)))
    several = len(found) != 1 or (of is not None and of.most != 1)
    return f"[{', '.join(found)}]" if several else found[0]


def plain(of: Column | None, value: Any) -> Any:
    """A value as JSON has it for a program: a list for a set, null for none of one, an object for a map."""
    if isinstance(value, list) and value[0] == "map":
        return dict(value[1])
    found = elements(value)
    if of is not None and of.most != 1:
        return sorted(found, key=str)
    return found[0] if found else None


def _quoted(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)
    bare = UUID.fullmatch(value) or (BARE.fullmatch(value) and value not in ("true", "false"))
    return value if bare else json.dumps(value, ensure_ascii=False)


def _unquoted(written: str) -> str:
    text = written.strip()
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except json.JSONDecodeError:
            raise CommandError(f"{written!r} begins with a quote that does not end") from None
    return text


def _split(written: str, brackets: str) -> list[str]:
    """The elements of a set or map, between optional brackets: separated by commas or spaces outside quotes."""
    text = written.strip()
    if text[:1] == brackets[0] and text[-1:] == brackets[1]:
        text = text[1:-1]
    return [found.group() for found in re.finditer(r'(?:"(?:[^"\\]|\\.)*"|[^",\s])+', text)]


def _entry(where: str, of: Column, written: str, finder: Finder) -> list[Any]:
    found = re.fullmatch(r'("(?:[^"\\]|\\.)*"|[^=]*)=(.*)', written, re.DOTALL)
    if found is None or of.value is None:
        raise CommandError(f"{where}: {written!r} is not of the form KEY=VALUE")
    return [
        atom(where, of.key, _unquoted(found.group(1)), finder),
        atom(where, of.value, _unquoted(found.group(2)), finder),
    ]
