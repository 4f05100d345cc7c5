"""The schemas between an older schema and the present one, computed from the two. Pure: nothing here connects.

From version A.B.C the stages are A.B.9001 (old columns and new ones together), A.B.9002 (without the old) and
A.B.9003 (new columns under their own names as well). A column that holds something else than before is called
`NAME_next` in them.

A reference that has to be filled is a bare UUID until it is: the default, zero, breaks no constraint, and the
conversion that makes a reference of it is refused where one is still zero. Seen with Open vSwitch 3.1: a row that
can't be converted for another reason crashes the server; and a set column whose default is not empty is read back
wrongly from the file after its first change. So it is one UUID, also where a set of references is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

Schema = dict[str, Any]
"""A database schema in JSON (RFC 7047, section 3.2)."""
FIRST: Final = 9000
SUFFIX: Final = "_next"
UNFILLED: Final = ["uuid", "00000000-0000-0000-0000-000000000000"]
"""What a conversion puts into a reference to be filled (RFC 7047, section 5.2.1)."""


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers, which compare as versions do."""
    return tuple(int(part) for part in version.split("."))


def stage(version: str) -> int:
    """The number of the stage that this is the version of, 0 for a release."""
    patch = numbers(version)[2]
    return patch - FIRST if patch > FIRST else 0


def is_stage(version: str) -> bool:
    """Whether this is the version of an upgrade under way."""
    return stage(version) > 0


def released(version: str) -> str:
    """The release an upgrade under way started from; a release itself as it is."""
    return ".".join([*version.split(".")[:2], "0"]) if is_stage(version) else version


def following(served: Schema, wanted: Schema) -> Schema:
    """The schema to convert to next, from the one that is served, on the way to the one that is wanted."""
    at = stage(served["version"])
    if at == 0 and needs_stages(served, wanted):
        return expanded(served, wanted)
    if at in (1, 2) and pending(served):
        return contracted(served, wanted) if at == 1 else renamed(served, wanted)
    return wanted


def needs_stages(old: Schema, new: Schema) -> bool:
    """Whether the server's own conversion would refuse, or lose something."""
    kept = old["tables"].keys() & new["tables"].keys()
    return (
        bool(old["tables"].keys() - kept)
        or any(columns(old, table).keys() - columns(new, table).keys() for table in kept)
        or any(
            retyped(old, new, table, name) or (name not in columns(old, table) and _must_be_filled(column))
            for table in kept
            for name, column in columns(new, table).items()
        )
    )


def expanded(old: Schema, new: Schema) -> Schema:
    """Everything of both. What is about to go can't be changed any more, so that what was copied of it stays true."""
    tables = deepcopy(new["tables"])
    for name, before in old["tables"].items():
        table = tables.setdefault(name, deepcopy(before))
        merged = {}
        for column, declared in columns(new, name).items() if name in new["tables"] else ():
            if column not in before["columns"]:
                merged[column] = _bare(declared) if _must_be_filled(declared) else declared
            elif retyped(old, new, name, column):
                merged[column] = before["columns"][column] | {"mutable": False}
                merged[column + SUFFIX] = _bare(declared)
            else:
                merged[column] = declared
        for column, declared in before["columns"].items():
            merged.setdefault(column, declared | {"mutable": False})
        table["columns"] = merged
        table["indexes"] = before.get("indexes", [])
    for name in tables.keys() - old["tables"].keys():
        tables[name]["isRoot"] = True  # a bare UUID keeps no row
    return _schema(old, new, 1, tables)


def contracted(served: Schema, new: Schema) -> Schema:
    """The new schema, with those columns that hold something else than before under their other names only."""
    tables = deepcopy(new["tables"])
    for name, column in pending(served):
        own = tables[name]["columns"]
        own[column + SUFFIX] = own.pop(column)
        tables[name]["indexes"] = [index for index in tables[name].get("indexes", []) if column not in index]
    return _schema(served, new, 2, tables)


def renamed(served: Schema, new: Schema) -> Schema:
    """The new schema, with those columns under both names."""
    tables = contracted(served, new)["tables"]
    for name, column in pending(served):
        tables[name]["columns"][column] = _bare(columns(new, name)[column])
    return _schema(served, new, 3, tables)


def pending(served: Schema) -> list[tuple[str, str]]:
    """Table and name of the columns that have another name for a while."""
    return sorted(
        (name, column.removesuffix(SUFFIX))
        for name in served["tables"]
        for column in columns(served, name)
        if column.endswith(SUFFIX)
    )


def persistent(schema: Schema) -> Schema:
    """The schema without ephemeral columns: a cluster has none (ovsdb-tool(1), create-cluster), and hangs on them."""
    kept = deepcopy(schema)
    for table in kept["tables"].values():
        for column in table["columns"].values():
            column.pop("ephemeral", None)
    return kept


def columns(schema: Schema, table: str) -> dict[str, Any]:
    """The columns of a table."""
    declared: dict[str, Any] = schema["tables"][table]["columns"]
    return declared


def retyped(old: Schema, new: Schema, table: str, column: str) -> bool:
    """Whether a column holds something else in the new schema, which no conversion makes of the old."""
    before, after = columns(old, table).get(column), columns(new, table).get(column)
    return before is not None and after is not None and _holds(before["type"]) != _holds(after["type"])


def _holds(type_: Any) -> tuple[Any, ...]:
    whole = type_ if isinstance(type_, Mapping) else {"key": type_}
    atoms = (whole["key"], whole.get("value"))
    return tuple(
        (atom.get("type"), atom.get("refTable")) if isinstance(atom, Mapping) else (atom, None) for atom in atoms
    )


def _must_be_filled(column: Mapping[str, Any]) -> bool:
    """Whether the value that a conversion gives a new column breaks the column's own constraints."""
    type_ = column["type"]
    return isinstance(type_, Mapping) and type_.get("min", 1) > 0 and isinstance(type_["key"], Mapping)


def _bare(column: Mapping[str, Any]) -> dict[str, Any]:
    """A column of references as one UUID. Nothing else has a value yet that means: not filled."""
    type_ = column["type"]
    if not (isinstance(type_, Mapping) and isinstance(type_["key"], Mapping) and "refTable" in type_["key"]):
        raise ValueError(f"a column of type {type_} can't be filled in an upgrade; let it be optional")
    return {**column, "type": "uuid"}


def _schema(served: Schema, new: Schema, number: int, tables: Schema) -> Schema:
    major, minor = numbers(served["version"])[:2]
    return {"name": new["name"], "version": f"{major}.{minor}.{FIRST + number}", "tables": tables}
