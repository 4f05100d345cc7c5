"""The overlay database's documentation, from its schema and the texts in `overlay.toml`. Pure but for reading both."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from ovsdb import ownership

Texts = Mapping[str, Mapping[str, Any]]
"""Table -> column -> what it means; '' is the table itself."""


def schema() -> dict[str, Any]:
    """The schema, as JSON has it."""
    loaded: dict[str, Any] = json.loads(files("ovsdb").joinpath("overlay.ovsschema").read_text())
    return loaded


def texts() -> Texts:
    """What every table and column means."""
    return tomllib.loads(files("ovsdb").joinpath("overlay.toml").read_text())


def written(table: str) -> frozenset[str]:
    """The columns of a table that the controller or the server writes, and nobody else should."""
    if table in ownership.TABLES:
        return frozenset(schema()["tables"][table]["columns"])
    return ownership.COLUMNS.get(table, frozenset())


def render() -> str:
    """docs/database.md."""
    declared, said = schema(), texts()
    lines = [
        "# The overlay database",
        "",
        f"Schema `{declared['name']}`, version {declared['version']}: an OVSDB database (RFC 7047). This page is",
        "made from `ovsdb/overlay.ovsschema` and `ovsdb/overlay.toml`.",
        "● marks what the controller writes; the rest is yours.",
        "",
        "A reference is *strong* where its row can't be deleted while it is referred to. Rows of a table that is not a",
        "root are deleted when nothing refers to them.",
    ]
    for table, contents in declared["tables"].items():
        lines += ["", f"## {table}", "", said[table][""], ""]
        lines += list(_facts(contents))
        ours = written(table)
        lines += ["| column | type | |", "|---|---|---|"]
        lines += [
            f"| {'● ' if column in ours else ''}`{column}` | {_type(how['type'])} | {said[table][column]} |"
            for column, how in contents["columns"].items()
        ]
    return "\n".join(lines) + "\n"


def _facts(table: Mapping[str, Any]) -> Iterator[str]:
    facts = [] if table.get("isRoot") else ["not a root"]
    facts += [f"at most {table['maxRows']} row"] if "maxRows" in table else []
    facts += (
        ["unique: " + ", ".join(f"({', '.join(index)})" for index in table["indexes"])] if "indexes" in table else []
    )
    if facts:
        yield "; ".join(facts).capitalize() + "."
        yield ""


def _type(kind: Any) -> str:
    """A column's type in words."""
    if isinstance(kind, str):
        return kind
    key, value = _atom(kind["key"]), kind.get("value")
    least, most = kind.get("min", 1), kind.get("max", 1)
    if value is not None:
        return f"map from {key} to {_atom(value)}"
    if (least, most) == (0, 1):
        return f"optional {key}"
    if most == 1:
        return key
    return f"set of {key}" + (
        f", {least} or more" if least and most == "unlimited" else f", at most {most}" * (most != "unlimited")
    )


def _atom(kind: Any) -> str:
    if isinstance(kind, str):
        return kind
    if "enum" in kind:
        return " or ".join(f"`{choice}`" for choice in kind["enum"][1])
    if "refTable" in kind:
        strength = kind.get("refType", "strong")
        return f"{strength} reference to [{kind['refTable']}](#{kind['refTable'].lower()})"
    low, high = kind.get("minInteger"), kind.get("maxInteger")
    if low is not None:
        return f"{kind['type']}, {low} to {high}" if high is not None else f"{kind['type']}, {low} or more"
    return str(kind["type"])
