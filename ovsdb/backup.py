"""A snapshot of the overlay database in a file, and back.

The file is a standalone database of ovsdb-server's own format (ovsdb(5)): `ovsdb-client restore` reads it, and
`ovsdb-server` serves it. It holds everything; what is restored are the declarations, beneath which the state of
chassis and ports that the controller writes stays what it is now.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ovsdb import ownership
from ovsdb.entries import ACCEPT
from ovsdb.paths import DATABASE
from ovsdb.rpc import Connection, DatabaseError, Operation, Row, same_row, select
from ovsdb.versions import check, present

Tables = dict[str, dict[str, Row]]
"""Rows by table and UUID, each with the columns that a file keeps."""

MAGIC: Final = "OVSDB JSON"
STATE_TABLES: Final = ("Binding", "Neighbor")
"""What the controller knows. It goes into a database that has none of it, and into no other."""
LEFT: Final = frozenset({"Overlay_Global", ownership.LOG}) | ownership.TABLES
NAMED: Final = ("Tenant", "Network", "Port", "Chassis")
"""Declared tables whose rows have names that people know."""


@dataclass(frozen=True)
class Snapshot:
    """A database at one moment."""

    schema: Mapping[str, Any]
    tables: Tables

    @property
    def totals(self) -> Row:
        """The row of Overlay_Global; empty when there is none."""
        return next(iter(self.tables.get("Overlay_Global", {}).values()), {})


@dataclass(frozen=True)
class Restoration:
    """What a restoration would do: one transaction, its meaning in names, and why it is doubtful (empty: it is not)."""

    operations: list[Operation]
    lost: tuple[str, ...]
    changed: tuple[str, ...]
    new: tuple[str, ...]
    doubt: str


def take(database: Connection) -> Snapshot:
    """Everything that is in the database, as of one transaction."""
    schema = database.call("get_schema", [database.database])
    names = sorted(schema["tables"])
    results = database.transact([select(name) for name in names])
    tables: Tables = {}
    for name, result in zip(names, results, strict=True):
        kept = [column for column, declared in schema["tables"][name]["columns"].items() if _kept(declared)]
        tables[name] = {row["_uuid"][1]: {column: row[column] for column in kept} for row in result["rows"]}
    return Snapshot(schema, tables)


def _kept(column: Mapping[str, Any]) -> bool:
    return not column.get("ephemeral", False)


def write(path: Path, snapshot: Snapshot, now: float) -> None:
    """Writes a snapshot as a database file, whole or not at all; only its owner may read it. Raises DatabaseError."""
    rows = {name: rows for name, rows in snapshot.tables.items() if rows}
    data = {"_date": int(now * 1000), "_comment": "overlayctl backup", **rows}
    text = "".join(map(_record, (snapshot.schema, data)))
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as failure:
        raise DatabaseError(f"cannot write {path}: {failure.strerror}") from None


def _record(value: Any) -> str:
    line = json.dumps(value, separators=(",", ":")) + "\n"
    return f"{MAGIC} {len(line)} {hashlib.sha1(line.encode(), usedforsecurity=False).hexdigest()}\n{line}"


def read(path: Path) -> Snapshot:
    """The snapshot in a file that `write` or `ovsdb-client backup` made; DatabaseError when it is none."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(MAGIC))
            # What begins otherwise is not read: it may have no end.
            content = begins + file.read() if begins == MAGIC.encode() else begins
    except OSError as failure:
        raise DatabaseError(f"cannot read {path}: {failure.strerror}") from None
    records = list(_records(path, content))
    if len(records) != 2:
        raise DatabaseError(
            f"{path} is no backup: it has {len(records)} records, and a backup has 2 (a database file that was "
            f"served is made one by: ovsdb-tool compact {path})"
        )
    schema, data = records
    if (name := schema.get("name")) != DATABASE:
        raise DatabaseError(f"{path} is no backup of an overlay database: it is one of a database {name!r}")
    return Snapshot(schema, {name: dict(data.get(name, {})) for name in schema["tables"]})


def _records(path: Path, content: bytes) -> Iterator[dict[str, Any]]:
    position = 0
    while position < len(content):
        end = content.find(b"\n", position)
        header = content[position : end if end >= 0 else len(content)].split()
        if b" ".join(header[:2]) != MAGIC.encode() or len(header) != 4 or not header[2].isdigit():
            raise DatabaseError(f"{path} is no backup: what is at byte {position} is no record of a database file")
        body = content[end + 1 : end + 1 + int(header[2])]
        if hashlib.sha1(body, usedforsecurity=False).hexdigest().encode() != header[3]:
            raise DatabaseError(f"{path} is damaged: the record at byte {position} does not have the hash that it says")
        yield json.loads(body)
        position = end + 1 + int(header[2])


def plan(database: Connection, snapshot: Snapshot) -> Restoration:
    """What it takes to make the declarations in the database those of a snapshot.

    The epoch and the number of changes go beyond both, so that the result counts as later than either. Raises
    DatabaseError for a snapshot of another schema version.
    """
    check(database)
    version = snapshot.schema["version"]
    if version != present():
        raise DatabaseError(
            f"the backup is of schema version {version}, and this program's is {present()}; put it in the place of a "
            f"database file, which is upgraded when it is served (overlayctl db-upgrade)"
        )
    now = take(database)
    operations: list[Operation] = []
    lost, changed, new = [], [], []
    for name in sorted(snapshot.tables.keys() & now.tables.keys()):
        if name in LEFT and (name not in STATE_TABLES or now.tables[name]):
            continue
        here, there = now.tables[name], snapshot.tables[name]
        own = _own(snapshot, name)
        for uuid in sorted(here.keys() - there.keys()):
            operations.append({"op": "delete", "table": name, "where": same_row(uuid)})
            lost += _called(name, here[uuid])
        for uuid in sorted(there.keys() - here.keys()):
            operations.append({"op": "insert", "table": name, "uuid": uuid, "row": there[uuid]})
            new += _called(name, there[uuid])
        for uuid in sorted(there.keys() & here.keys()):
            full = {column: _value(snapshot, name, column, there[uuid]) for column in own}
            differs = {column: value for column, value in full.items() if not _same(value, here[uuid][column])}
            if differs:
                operations.append({"op": "update", "table": name, "where": same_row(uuid), "row": differs})
                changed += _called(name, here[uuid])
    # A row that was made anew under its name meanwhile is another row, and still the same thing.
    same = set(lost) & set(new)
    return Restoration(
        [*operations, *_totals(now, snapshot)],
        tuple(name for name in lost if name not in same),
        (*changed, *sorted(same)),
        tuple(name for name in new if name not in same),
        _doubt(now, snapshot),
    )


def _own(snapshot: Snapshot, table: str) -> list[str]:
    """The columns that are declared."""
    columns = snapshot.schema["tables"][table]["columns"]
    state = ownership.theirs(table)
    return [name for name, declared in columns.items() if _kept(declared) and name not in state]


def _value(snapshot: Snapshot, table: str, column: str, row: Row) -> Any:
    """A column of a row in a file, which leaves out what has its default (RFC 7047, section 5.2.1)."""
    if column in row:
        return row[column]
    type_ = snapshot.schema["tables"][table]["columns"][column]["type"]
    if isinstance(type_, Mapping) and (type_.get("min", 1) == 0 or "value" in type_):
        return ["map" if "value" in type_ else "set", []]
    key = type_["key"] if isinstance(type_, Mapping) else type_
    return {"string": "", "integer": 0, "boolean": False, "real": 0.0}[key if isinstance(key, str) else key["type"]]


def _same(one: Any, other: Any) -> bool:
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    """One spelling of a value of which the wire has several."""
    if isinstance(value, list) and len(value) == 2 and value[0] in ("set", "map"):
        items = sorted(json.dumps(item) for item in value[1])
        return items if value[0] == "map" or len(items) != 1 else items[0]
    return json.dumps(value)


def _called(table: str, row: Row) -> list[str]:
    return [f"{table.lower()} {row['name']}"] if table in NAMED else []


def _totals(now: Snapshot, snapshot: Snapshot) -> list[Operation]:
    """The identity of what is restored, and numbers beyond those of both; guarded, for others may write meanwhile."""
    here, there = now.totals, snapshot.totals
    row = {
        "database_id": there.get("database_id", "") or here.get("database_id", ""),
        "epoch": max(here.get("epoch", 0), there.get("epoch", 0)) + 1,
        "nb_cfg": max(here.get("nb_cfg", 0), there.get("nb_cfg", 0)) + 1,
    }
    # The chassis may have seen more than either: the controller is told that it is meant (ovsdb.trust).
    meant = ["map", [[ACCEPT, "true"]]]
    if not here:
        return [{"op": "insert", "table": "Overlay_Global", "row": {**row, "options": meant}}]
    uuid = next(iter(now.tables["Overlay_Global"]))
    guarded = ["nb_cfg", "epoch", "database_id"]
    guard = {
        "op": "wait",
        "table": "Overlay_Global",
        "where": same_row(uuid),
        "columns": guarded,
        "until": "==",
        "rows": [{column: here[column] for column in guarded}],
        "timeout": 0,
    }
    where = same_row(uuid)
    return [
        guard,
        {"op": "update", "table": "Overlay_Global", "where": where, "row": row},
        {"op": "mutate", "table": "Overlay_Global", "where": where, "mutations": [["options", "insert", meant]]},
    ]


def _doubt(now: Snapshot, snapshot: Snapshot) -> str:
    here, there = now.totals.get("database_id", ""), snapshot.totals.get("database_id", "")
    filled = any(now.tables[name] for name in NAMED)
    if filled and here and there and here != there:
        return f"the backup is of another database ({there}) than this one ({here})"
    return ""


def restore(database: Connection, restoration: Restoration, change: Row) -> None:
    """Does it, and enters it in the log of changes as `change`. Raises DatabaseError; then nothing was done."""
    logged: Sequence[Operation] = [{"op": "insert", "table": "Change", "row": change}]
    database.transact([*restoration.operations, *logged], 60)


def identity(snapshot: Snapshot) -> str:
    """What a snapshot is, in words."""
    totals = snapshot.totals
    counted = ", ".join(f"{len(snapshot.tables[name])} {_plural(name)}" for name in NAMED)
    return f"epoch {totals.get('epoch', 0)}, change {totals.get('nb_cfg', 0)}: {counted}"


def _plural(table: str) -> str:
    return "chassis" if table == "Chassis" else f"{table.lower()}s"
