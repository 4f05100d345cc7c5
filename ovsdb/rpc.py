"""A blocking OVSDB client (RFC 7047) for what runs once and ends: a command, or the start of a server.

What follows a database for long uses python-ovs' IDL instead. This exists because a command must answer
in a fraction of a second, and importing python-ovs takes half of one.
"""

from __future__ import annotations

import errno
import json
import socket
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from ovsdb.paths import DATABASE
from ovsdb.remotes import Remote, Ssl, Tcp, remotes

Row = dict[str, Any]
"""A row as `select` returns it: column names and values in OVSDB's JSON (RFC 7047, section 5.1)."""
Operation = dict[str, Any]
"""One operation of a transaction (RFC 7047, section 5.2)."""

CHUNK: Final = 1 << 18
GRACE: Final = 5.0
"""Seconds for an answer, over and above the time the server was asked to wait."""


class DatabaseError(Exception):
    """A database that cannot be used; the text says which, why, and what to do."""


class UnreachableError(DatabaseError):
    """Nobody serves the database there, or it went away."""


class WrongDatabaseError(DatabaseError):
    """A server is there, but it serves something else."""


class TransactionError(DatabaseError):
    """A transaction the server refused: nothing of it was done.

    `error` is RFC 7047's word for it ("constraint violation", "timed out", ...), `details` the server's text.
    """

    def __init__(self, error: str, details: str) -> None:
        super().__init__(f"{error}: {details}" if details else error)
        self.error = error
        self.details = details


def connect(where: str, database: str = DATABASE, timeout: float = GRACE) -> Connection:
    """A connection to the first server of a comma-separated list that answers.

    Raises ValueError for a list that is malformed, UnreachableError when no server of it answers.
    """
    refusals = []
    for place in remotes(where):
        try:
            return Connection(_open(place, timeout, database), str(place), database)
        except OSError as failure:
            refusals.append(f"{place}: {_reason(failure)}")
    raise UnreachableError("; ".join(refusals))


def _open(place: Remote, timeout: float, database: str) -> socket.socket:
    if isinstance(place, Ssl):
        return _open_tls(place, timeout, database)
    if isinstance(place, Tcp):
        return socket.create_connection((place.host, place.port), timeout)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.settimeout(timeout)
        opened.connect(place.path)
    except BaseException:
        opened.close()
        raise
    return opened


def _open_tls(place: Ssl, timeout: float, database: str) -> socket.socket:
    """A connection whose server has shown a certificate of our CA and, for our own database, a name of ours."""
    from ovsdb import tls  # most connections are none of TLS, and it takes a tenth of a command to load

    try:
        context = tls.client_context()
    except tls.TlsError as missing:
        raise DatabaseError(f"{place}: {missing}") from None
    opened = context.wrap_socket(
        socket.create_connection((place.host, place.port), timeout), do_handshake_on_connect=False
    )
    try:
        opened.do_handshake()
        if database == DATABASE:
            tls.check_overlay_server(opened.getpeercert())
    except BaseException:
        opened.close()
        raise
    return opened


def _reason(failure: OSError) -> str:
    known = {
        errno.ENOENT: "there is no such socket",
        errno.ECONNREFUSED: "nobody listens there",
        errno.EACCES: "no permission to connect (are you root?)",
    }
    if isinstance(failure, TimeoutError):
        return "no answer"
    if type(failure).__module__ == "ssl":
        from ovsdb import tls

        return f"TLS: {tls.said(failure)}"
    return known.get(failure.errno or 0) or failure.strerror or str(failure)


class Connection:
    """A session with one server about one database."""

    def __init__(self, opened: socket.socket, where: str, database: str) -> None:
        self.where = where
        self.database = database
        self._socket = opened
        self._received = bytearray()
        self._requests = 0

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session; a transaction still under way may or may not be done."""
        self._socket.close()

    def call(self, method: str, params: Sequence[Any], timeout: float = GRACE) -> Any:
        """The result of a request, waiting at most `timeout` seconds; raises DatabaseError."""
        self._requests += 1
        deadline = time.monotonic() + timeout
        try:
            self._send({"method": method, "params": list(params), "id": self._requests}, deadline)
            while True:
                message = self._receive(deadline)
                if message.get("method") == "echo":
                    # The server's probe (RFC 7047, section 4.1.11): unanswered, it hangs up.
                    reply = {"result": message.get("params"), "error": None, "id": message.get("id")}
                    self._send(reply, deadline)
                elif message.get("id") == self._requests and "method" not in message:
                    break
        except TimeoutError:
            raise UnreachableError(f"{self.where}: no answer within {timeout:g} s") from None
        except OSError as failure:
            raise UnreachableError(f"{self.where}: the connection broke off: {_reason(failure)}") from None
        except ValueError as failure:
            raise UnreachableError(f"{self.where}: the connection broke off: {failure}") from None
        if message.get("error") is not None:
            self._refused(message["error"])
        return message.get("result")

    def transact(self, operations: Sequence[Operation], timeout: float = GRACE) -> list[Any]:
        """The results of one transaction, one per operation; after a TransactionError nothing was done.

        `timeout` must exceed what a `wait` operation in it asks for.
        """
        results = self.call("transact", [self.database, *operations], timeout)
        for result in results:
            # A failure of the commit itself is one more result than there are operations.
            if isinstance(result, Mapping) and "error" in result:
                raise TransactionError(str(result["error"]), str(result.get("details", "")))
        return list(results)

    def select(self, table: str, where: Sequence[Any] = ()) -> list[Row]:
        """The rows of a table that meet all conditions."""
        rows: list[Row] = self.transact([select(table, where)])[0]["rows"]
        return rows

    def _refused(self, error: Any) -> None:
        text = json.dumps(error)
        if "unknown database" in text:
            served = ", ".join(name for name in self.call("list_dbs", []) if name != "_Server") or "none"
            raise WrongDatabaseError(f"{self.where} does not serve the database {self.database!r}; it serves: {served}")
        raise DatabaseError(f"{self.where} refused the request: {text}")

    def _send(self, message: Mapping[str, Any], deadline: float) -> None:
        self._socket.settimeout(_left(deadline))
        try:
            self._socket.sendall(json.dumps(message).encode())
        except OSError as failure:
            if type(failure).__module__ == "ssl":
                # With TLS 1.3 a server refuses our certificate after we think us connected, and hangs up: it said why.
                self._socket.recv(1)
            raise

    def _receive(self, deadline: float) -> dict[str, Any]:
        # Messages follow each other without a mark between them, and each is an object: only where a `}` ends
        # what has arrived is it worth trying, which keeps a long answer from being parsed once per chunk.
        ended = self._received.endswith(b"}")
        while True:
            if ended:
                try:
                    text = self._received.decode()
                    message, end = json.JSONDecoder().raw_decode(text)
                except json.JSONDecodeError:
                    pass
                else:
                    self._received = bytearray(text[end:].lstrip().encode())
                    return dict(message)
            self._socket.settimeout(_left(deadline))
            chunk = self._socket.recv(CHUNK)
            if not chunk:
                raise ConnectionResetError("the server closed it")
            self._received += chunk
            if not self._received.startswith(b"{"):
                raise ValueError(f"what answers there is no OVSDB server: {bytes(self._received[:40])!r}")
            ended = chunk.rstrip().endswith(b"}")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def select(table: str, where: Sequence[Any] = (), columns: Sequence[str] | None = None) -> Operation:
    """The operation that reads a table's rows (RFC 7047, section 5.2.2).

    Rows that are equal in all of `columns` come as one: ask for `_uuid` too where they are counted.
    """
    operation: Operation = {"op": "select", "table": table, "where": list(where)}
    if columns is not None:
        operation["columns"] = list(columns)
    return operation


def elements(value: Any) -> list[Any]:
    """The elements of a set column, UUIDs as text; the wire writes a set of one without brackets."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "set":
        return [element for item in value[1] for element in elements(item)]
    if isinstance(value, list) and len(value) == 2 and value[0] == "uuid":
        return [value[1]]
    return [value]


def optional(value: Any) -> Any:
    """The value of a column that holds one or none."""
    found = elements(value)
    return found[0] if found else None


def as_set(values: Sequence[Any]) -> list[Any]:
    """A set as the wire spells it."""
    return ["set", list(values)]


def uuid_of(row: Row) -> str:
    """A row's own UUID."""
    return str(row["_uuid"][1])


def same_row(uuid: str) -> list[Any]:
    """The condition that only the row of this UUID meets."""
    return [["_uuid", "==", ["uuid", uuid]]]
