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
from dataclasses import dataclass
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
SHARE: Final = 1.0
"""Seconds that one server of several is given to answer at first, so that a dead one costs little."""
PAUSE: Final = 0.05
"""Seconds until a list of servers none of which would do is tried again."""
SERVER_DATABASE: Final = "_Server"
"""What every ovsdb-server says of itself (ovsdb-server(5))."""


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


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says of a database it serves (ovsdb-server(5), table Database).

    `cluster` is the cluster's UUID, '' for a standalone server.
    """

    model: str
    connected: bool
    leader: bool
    cluster: str


def connect(
    where: str, database: str = DATABASE, timeout: float = GRACE, *, stale: bool = False, leader: bool = False
) -> Connection:
    """A connection to the first server of a comma-separated list that answers and belongs to its cluster.

    A member that lost the others is passed over, since it can commit nothing; with `stale` it serves when no other
    does, for it can be read from. With `leader` only the leader of a cluster will do. A list whose servers do not
    answer, or have no leader yet, is tried for `timeout` seconds; a single server that is not there is an error
    at once. Raises ValueError for a list that is malformed, UnreachableError when nobody of it will do.
    """
    places = remotes(where)
    patience = timeout if len(places) == 1 else min(timeout, SHARE)
    deadline = time.monotonic() + timeout
    while True:
        refusals = []
        second_best: Connection | None = None
        electing = len(places) > 1
        for place in places:
            try:
                connection = Connection(_open(place, patience, database), str(place), database, where)
            except OSError as failure:
                refusals.append(f"{place}: {_reason(failure)}")
                continue
            try:
                unfit = _unfit(connection, patience, leader)
            except UnreachableError as failure:
                connection.close()
                refusals.append(str(failure))
                continue
            if not unfit:
                if second_best is not None:
                    second_best.close()
                return connection
            electing = True
            refusals.append(f"{place}: {unfit}")
            if stale and second_best is None:
                second_best = connection
            else:
                connection.close()
        if second_best is not None:
            return second_best
        if not electing or time.monotonic() > deadline:
            raise UnreachableError("; ".join(refusals))
        time.sleep(PAUSE)


def _unfit(connection: Connection, timeout: float, leader: bool) -> str:
    """Why a server won't do, '' when it will; what it says of itself is kept in `connection.served`."""
    served = connection.ask(timeout)
    if served is None or served.model != "clustered":
        return ""
    if not served.connected:
        return "it is cut off from the majority of its cluster (ovs-appctl cluster/status tells more)"
    return "" if served.leader or not leader else "it does not lead its cluster"


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
    """A session with one server about one database.

    `where` is that server, `listed` all that were named, `served` what it said of the database when it was last asked.
    """

    def __init__(self, opened: socket.socket, where: str, database: str, listed: str = "") -> None:
        self.where = where
        self.listed = listed or where
        self.database = database
        self.served: Served | None = None
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

    def ask(self, timeout: float = GRACE) -> Served | None:
        """What the server says of the database, None when it does not serve it (or is older than 2.9)."""
        # `schema` there would be out of date: a standalone server of 3.1 does not follow a conversion.
        columns = ["model", "connected", "leader", "cid"]
        asking = select("Database", [["name", "==", self.database]], columns)
        try:
            rows = self.call("transact", [SERVER_DATABASE, asking], timeout)[0].get("rows", [])
        except UnreachableError:
            raise
        except DatabaseError:
            rows = []
        self.served = None
        for row in rows:
            self.served = Served(row["model"], row["connected"], row["leader"], str(optional(row["cid"]) or ""))
        return self.served

    def version(self, timeout: float = GRACE) -> str:
        """The version of the database's schema."""
        return str(self.call("get_schema", [self.database], timeout)["version"])

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
            # What may stand between two messages may also come alone.
            self._received += chunk if self._received else chunk.lstrip()
            if self._received and not self._received.startswith(b"{"):
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


def mapping(value: Any) -> dict[str, Any]:
    """The entries of a map column."""
    return dict(value[1])


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
