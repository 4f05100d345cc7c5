"""One transaction in the making: what several verbs, one after the other, read and write before it is committed.

Nothing is sent before the end: a draft keeps what is to change and shows it in what is read afterwards, so that
a verb sees what the verbs before it did. Every change is guarded by the values it was based on. How a draft gets
into the database is `commit`'s business.

In short, for who writes a verb:

    draft.read("Port")                          all rows, by UUID
    draft.where("Address", network=reference)   the rows that have these values
    draft.find("Network", "red")                the row of this name, or None; `get` raises CommandError
    uuid = draft.insert("Tenant", {"name": "acme"})
    draft.update("Network", row, {"tenant": ref(uuid)})
    draft.delete("Port", row)                   with the rows that only it refers to
    draft.say("a line")                         printed when the transaction is committed

Rows have every column, and `_uuid`; values are OVSDB's JSON (RFC 7047, section 5.1).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from controller.cli import schema
from controller.cli.database import Database, meets, normal
from controller.cli.errors import CommandError, one_of
from ovsdb.rpc import Operation, Row, elements, same_row, select, uuid_of

OWNED: Final = {
    "Port": ("addresses", "Address"),
    "Chassis": ("vteps", "Vtep"),
    "Overlay_Global": ("connections", "Connection"),
}
"""Tables whose rows belong to one row of another: the column there that refers to them."""
WORDS: Final = {"Vtep": "VTEP"}
"""Tables whose row has another word than the table's name in small letters."""


class Pending(NamedTuple):
    """A row that the draft changes: as it was (None: it is new), and as it will be (None: it goes)."""

    table: str
    uuid: str
    was: Row | None
    will: Row | None


class Draft:
    """What one transaction reads and writes."""

    def __init__(self, database: Database, attempt: int = 0) -> None:
        self.database = database
        self.attempt = attempt
        """How often the same verbs have lost against somebody else before: who chooses chooses otherwise then."""
        self.lines: list[str] = []
        self.code = 0
        """The exit code of the command, where it changes nothing."""
        self.planned = False
        """Whether a dry run's lines tell all that the verb would change, and better than rows do."""
        self.names: dict[str, str] = {}
        """UUIDs of new rows that the command line gave a name."""
        self.guards: list[Operation] = []
        self.chosen: set[str] = set()
        """UUIDs of rows whose values were chosen for the user: when they are taken, others are chosen."""
        self._was: dict[str, dict[str, Row]] = {}
        self._will: dict[str, dict[str, Row | None]] = {}
        self._asked: set[str] = set()

    # What is read

    def load(self, *tables: str) -> None:
        """Reads whole tables at one moment."""
        missing = [table for table in tables if table not in self._asked]
        if missing:
            results = self.database.transact([select(table) for table in missing])
            for table, result in zip(missing, results, strict=True):
                self._remember(table, result["rows"])
                self._asked.add(table)

    def read(self, table: str) -> dict[str, Row]:
        """All rows of a table by UUID, as they will be."""
        self.load(table)
        return dict(self._rows(table))

    def where(self, table: str, **values: Any) -> list[Row]:
        """The rows that have these values in these columns, as they will be."""
        question = f"{table} {sorted(values.items())}"
        if not {table, question} & self._asked:
            conditions = [[column, "==", value] for column, value in values.items()]
            self._remember(table, self.database.select(table, conditions))
            self._asked.add(question)
        wanted = [(column, normal(value)) for column, value in values.items()]
        return [row for _, row in self._rows(table) if all(normal(row[column]) == value for column, value in wanted)]

    def row(self, table: str, uuid: str) -> Row | None:
        """The row of this UUID, or None."""
        if uuid not in self._was.get(table, {}) and uuid not in self._will.get(table, {}) and table not in self._asked:
            self._remember(table, self.database.select(table, same_row(uuid)))
        return self._will.get(table, {}).get(uuid, self._was.get(table, {}).get(uuid))

    def known(self, table: str, uuid: str) -> Row | None:
        """The same, and for a row that goes as it was."""
        return self.row(table, uuid) or self._was.get(table, {}).get(uuid)

    def find(self, table: str, name: str) -> Row | None:
        """The row of this name, or None."""
        rows = self.where(table, name=name)
        return rows[0] if rows else None

    def get(self, table: str, name: str, besides: str = "") -> Row:
        """The row of this name; CommandError, with the names there are `besides` one, when there is none."""
        row = self.find(table, name)
        if row is None:
            names = [found["name"] for found in self.read(table).values() if found["name"] != besides]
            raise CommandError(f"there is no {word(table)} {name!r}; {one_of(names, name)}")
        return row

    # What is written

    def insert(self, table: str, row: Mapping[str, Any]) -> str:
        """Adds a row; returns its UUID, by which others may refer to it at once (`ref`)."""
        uuid = new_uuid()
        self._will.setdefault(table, {})[uuid] = {**schema.tables()[table].defaults, **row, "_uuid": ref(uuid)}
        return uuid

    def update(self, table: str, row: Row, changes: Mapping[str, Any]) -> None:
        """Changes columns of a row, unless somebody else changes the same ones before this is committed.

        Rows that belong to this one and that it refers to no more are deleted.
        """
        uuid = uuid_of(row)
        present = self._known(table, row)
        will = {**present, **changes}
        self._will.setdefault(table, {})[uuid] = will
        for owned, own in self._owned(table, present):
            if uuid_of(own) not in elements(will[OWNED[table][0]]):
                self.delete(owned, own)

    def delete(self, table: str, row: Row) -> None:
        """Removes a row and those that belong to it; one that somebody else has removed already is no error."""
        # ovsdb-server checks references before it collects what nothing refers to, so that a port's addresses
        # would hold its network: the server alone cannot delete both at once.
        for owned, own in list(self._owned(table, self._known(table, row))):
            self.delete(owned, own)
        self._will.setdefault(table, {})[uuid_of(row)] = None

    def hold(self, table: str, *columns: str, **values: Any) -> None:
        """Lets the commit be tried anew unless the rows with these values are those that were read, in these columns.

        For what a verb has concluded from rows that it does not change; they must have been read.
        """
        if (held := f"hold {table} {columns} {sorted(values.items())}") in self._asked:
            return
        self._asked.add(held)
        were = [row for row in self._was.get(table, {}).values() if meets(row, values)]
        where = [[column, "==", value] for column, value in values.items()]
        rows = [{column: row[column] for column in columns} for row in were]
        self.guards.append(_wait(table, where, columns, rows))

    def guard(self, table: str, where: Sequence[Any], columns: Sequence[str], rows: Sequence[Row]) -> None:
        """The same for any condition (RFC 7047, section 5.1): the database's rows that meet it shall be just these."""
        self.guards.append(_wait(table, where, columns, [{column: row[column] for column in columns} for row in rows]))

    def say(self, line: str) -> None:
        """Prints a line when the transaction is committed."""
        self.lines.append(line)

    # What becomes of it

    def pending(self) -> Iterator[Pending]:
        """The rows that differ from what was read."""
        for table, rows in self._will.items():
            for uuid, will in rows.items():
                was = self._was.get(table, {}).get(uuid)
                if will is None or was is None:
                    if will is not was:
                        yield Pending(table, uuid, was, will)
                elif changed(was, will):
                    yield Pending(table, uuid, was, will)

    def pending_rows(self, table: str) -> list[Row]:
        """The rows of a table that are new or will change, as they will be."""
        return [each.will for each in self.pending() if each.table == table and each.will is not None]

    def operations(self) -> list[Operation]:
        """The transaction; nothing when nothing is to change."""
        guards = list(self.guards)
        changes: list[Operation] = []
        for table, uuid, was, will in self.pending():
            if will is None:
                changes.append({"op": "delete", "table": table, "where": same_row(uuid)})
            elif was is None:
                defaults = schema.tables()[table].defaults
                row = {
                    column: value
                    for column, value in will.items()
                    if column in defaults and normal(value) != normal(defaults[column])
                }
                changes.append({"op": "insert", "table": table, "uuid": uuid, "row": row})
            else:
                columns = changed(was, will)
                guards.append(_wait(table, same_row(uuid), columns, [{column: was[column] for column in columns}]))
                row = {column: will[column] for column in columns}
                changes.append({"op": "update", "table": table, "where": same_row(uuid), "row": row})
        return [*guards, *changes] if changes else []

    def forget(self) -> None:
        """Makes the next reads ask the database anew; what is to change stays."""
        self._asked.clear()
        for table, rows in self._was.items():
            mine = self._will.get(table, {})
            self._was[table] = {uuid: row for uuid, row in rows.items() if uuid in mine}

    def _rows(self, table: str) -> Iterator[tuple[str, Row]]:
        will = self._will.get(table, {})
        for uuid, row in self._was.get(table, {}).items():
            if uuid not in will:
                yield uuid, row
        for uuid, changing in will.items():
            if changing is not None:
                yield uuid, changing

    def _remember(self, table: str, rows: Sequence[Row]) -> None:
        was, will = self._was.setdefault(table, {}), self._will.get(table, {})
        for row in rows:
            uuid = uuid_of(row)
            # What a change was based on stays as it was: the guard shall notice that it is no more.
            if uuid not in will or uuid not in was:
                was[uuid] = row

    def _known(self, table: str, row: Row) -> Row:
        uuid = uuid_of(row)
        if uuid not in self._was.get(table, {}) and uuid not in self._will.get(table, {}):
            self._remember(table, [row])
        return self._will.get(table, {}).get(uuid) or self._was[table][uuid]

    def _owned(self, table: str, row: Row) -> Iterator[tuple[str, Row]]:
        if table in OWNED:
            column, owned = OWNED[table]
            for uuid in elements(row[column]):
                own = self.row(owned, uuid)
                if own is not None:
                    yield owned, own


def word(table: str) -> str:
    """What a row of this table is called in a message."""
    return WORDS.get(table, table.lower())


def ref(uuid: str) -> list[str]:
    """A reference to the row of this UUID."""
    return ["uuid", uuid]


def changed(was: Row, will: Row) -> list[str]:
    """The columns in which two states of a row differ."""
    return [column for column in will if not column.startswith("_") and normal(was.get(column)) != normal(will[column])]


def new_uuid() -> str:
    """A random UUID (RFC 9562, version 4); importing `uuid` takes longer than what a short command does."""
    return _uuid(bytearray(os.urandom(16)), 4)


def timed_uuid() -> str:
    """A UUID that is greater than those made before it (RFC 9562, version 7, section 6.2, method 3), to 0.25 us."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    number = bytearray(os.urandom(16))
    number[:6] = milliseconds.to_bytes(6)
    number[6:8] = (rest * 4096 // 1_000_000).to_bytes(2)
    return _uuid(number, 7)


def _uuid(number: bytearray, version: int) -> str:
    number[6] = number[6] & 0x0F | version << 4
    number[8] = number[8] & 0x3F | 0x80
    digits = number.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _wait(table: str, where: Sequence[Any], columns: Sequence[str], rows: Sequence[Row]) -> Operation:
    return {
        "op": "wait",
        "table": table,
        "where": list(where),
        "columns": list(columns),
        "until": "==",
        "rows": list(rows),
        "timeout": 0,
    }
