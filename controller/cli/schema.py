"""What `ovsdb/overlay.ovsschema` says of tables and columns, as far as commands need it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import ovsdb

_DEFAULTS: Final = {
    "string": "",
    "integer": 0,
    "real": 0.0,
    "boolean": False,
    "uuid": ["uuid", "0" * 8 + "-0000" * 3 + "-" + "0" * 12],
}


@dataclass(frozen=True)
class Atom:
    """The type of a column's key or value (RFC 7047, section 3.2, <base-type>)."""

    kind: str
    enum: tuple[Any, ...] = ()
    least: int | None = None
    most: int | None = None
    table: str | None = None


@dataclass(frozen=True)
class Column:
    """The type of a column (RFC 7047, section 3.2, <type>). `most` is None where there is no limit."""

    name: str
    key: Atom
    value: Atom | None = None
    least: int = 1
    most: int | None = 1

    @property
    def default(self) -> Any:
        """What a row has that was inserted without it, as the wire spells it."""
        if self.value is not None:
            return ["map", []]
        return ["set", []] if self.least == 0 else _DEFAULTS[self.key.kind]


@dataclass(frozen=True)
class Table:
    """A table's columns by name, and its indexes."""

    name: str
    columns: dict[str, Column]
    indexes: tuple[tuple[str, ...], ...] = ()
    root: bool = False
    most: int | None = None
    defaults: dict[str, Any] = field(default_factory=dict)


@cache
def tables() -> dict[str, Table]:
    """The tables of the overlay database by name."""
    with open(os.path.join(os.path.dirname(ovsdb.__file__), "overlay.ovsschema"), encoding="utf-8") as file:
        plain = json.load(file)
    return {name: _table(name, described) for name, described in plain["tables"].items()}


def _table(name: str, plain: dict[str, Any]) -> Table:
    columns = {column: _column(column, described["type"]) for column, described in plain["columns"].items()}
    return Table(
        name,
        columns,
        tuple(map(tuple, plain.get("indexes", ()))),
        plain.get("isRoot", False),
        plain.get("maxRows"),
        {column: described.default for column, described in columns.items()},
    )


def _column(name: str, plain: Any) -> Column:
    if isinstance(plain, str):
        return Column(name, Atom(plain))
    most = plain.get("max", 1)
    return Column(
        name,
        _atom(plain["key"]),
        _atom(plain["value"]) if "value" in plain else None,
        plain.get("min", 1),
        None if most == "unlimited" else most,
    )


def _atom(plain: Any) -> Atom:
    if isinstance(plain, str):
        return Atom(plain)
    enum = plain.get("enum", ())
    return Atom(
        plain["type"],
        tuple(enum[1]) if enum else (),
        plain.get("minInteger"),
        plain.get("maxInteger"),
        plain.get("refTable"),
    )
