"""The overlay database as one command uses it: connected when it is first asked, and anew when that broke."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from controller.cli.errors import CommandError
from ovsdb.rpc import GRACE, Connection, Operation, Row, UnreachableError, connect, select

PAUSE: Final = 0.2
"""Seconds between two attempts to reach anybody, where that is asked for."""
READING: Final = frozenset({"select", "wait", "comment"})
"""Operations that write nothing."""


class Database:
    """One of the servers that `where` lists, and after a failure the next of them.

    Every method raises UnreachableError when the server does not answer; the next call connects anew.
    """

    def __init__(self, where: str, reads: bool = False) -> None:
        self.listed = where
        self._reads = reads
        """Whether a member that can commit nothing will do, if there is no other."""
        self._connection: Connection | None = None

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def where(self) -> str:
        """The server in use; what was listed, while there is none."""
        return self._connection.where if self._connection else self.listed

    def open(self) -> Connection:
        """The connection, made if there is none."""
        if self._connection is None:
            self._connection = connect(self.listed, stale=self._reads)
        return self._connection

    def close(self) -> None:
        """Ends the connection; a transaction under way may or may not be done."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def transact(self, operations: Sequence[Operation], timeout: float = GRACE) -> list[Any]:
        """As `ovsdb.rpc.Connection.transact`."""
        try:
            if not all(operation["op"] in READING for operation in operations):
                self.majority()
            return self.open().transact(operations, timeout)
        except UnreachableError:
            self.next()
            raise

    def select(self, table: str, where: Sequence[Any] = ()) -> list[Row]:
        """The rows of a table that meet all conditions."""
        rows: list[Row] = self.transact([select(table, where)])[0]["rows"]
        return rows

    def majority(self) -> Connection:
        """The connection, to a server that can write."""
        served = self.open().served
        if served is not None and not served.connected:
            self.close()
            self._connection = connect(self.listed)
        return self.open()

    def next(self) -> None:
        """Ends the connection; the next one is to another server, if there is any."""
        # The one that failed is asked last: a server that hangs takes connections, and answers nothing.
        self.close()
        first, *others = self.listed.split(",")
        self.listed = ",".join([*others, first])


def opened(named: str | None, reads: bool = False, any_version: bool = False, patience: float = 0.0) -> Database:
    """The database that `--db` (or what stands in for it) names, connected; CommandError when that cannot be.

    Who only `reads` may be served by a member that lost its cluster, and is told so. A database of another schema
    version is refused but with `any_version`. Where nobody answers it is tried again for `patience` seconds.
    """
    from ovsdb.paths import default_database, named_database

    database = Database(named or default_database(), reads)
    try:
        connection = _ready(database, any_version, time.monotonic() + patience)
        if connection.served is not None and not connection.served.connected:
            print(f"overlayctl: {database.where} is cut off from its cluster: this may be old", file=sys.stderr)
    except ValueError as malformed:
        raise CommandError(f"{'--db' if named else 'OVERLAY_DB'} {malformed}") from None
    except UnreachableError as failure:
        advice = (
            "start what serves it, or name another with --db or OVERLAY_DB"
            if named or named_database()
            else "start the controller, which serves it (ryu-manager overlay_app), "
            "or name another with --db or OVERLAY_DB"
        )
        raise CommandError(f"no overlay database at {failure}; {advice}") from None
    return database


def _ready(database: Database, any_version: bool, deadline: float) -> Connection:
    """A connection to a server of the right version; a member that dies just now is not the last word of a cluster."""
    others = database.listed.count(",")
    while True:
        try:
            connection = database.open()
            if not any_version:
                from ovsdb.versions import check

                check(connection)
            return connection
        except UnreachableError:
            if not others:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(PAUSE)
            others = max(0, others - 1)
            database.next()


def meets(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a row has these values."""
    return all(normal(row[column]) == normal(value) for column, value in wanted.items())


def normal(value: Any) -> Any:
    """One spelling of a value of which OVSDB's JSON has several: a set has no order, and a set of one no brackets."""
    if isinstance(value, list) and len(value) == 2:
        kind, content = value
        if kind == "set":
            return content[0] if len(content) == 1 and not isinstance(content[0], list) else _unordered("set", content)
        if kind == "map":
            return _unordered("map", content)
        if kind == "uuid":
            return ("uuid", content)
    return value


def _unordered(kind: str, content: Sequence[Any]) -> Any:
    items = [tuple(item) if isinstance(item, list) else item for item in content]
    if kind == "set" and len(items) == 1:
        return items[0]
    return (kind, tuple(sorted(items, key=repr)))
