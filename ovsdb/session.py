"""One session per database: a replica that is kept up to date, and transactions on it.

Wraps `ovs.db.idl`. It blocks in python-ovs' own poller, so it serves threads and greenthreads alike, and
another thread's `wake()` ends the wait.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import ovs.db.idl
import ovs.poller
import ovs.timeval
import ovs.vlog

from ovsdb import (
    dial_in,  # noqa: F401 - makes dial-in:NAME a connection method
    json_parser,
    tls,
    tls_stream,
    whole_characters,
)
from ovsdb.entries import DIAL_IN

PROBE_MS: Final = 5000
"""Silence after which the server is asked for a sign of life; after as much again the session is new."""
BACKOFF_MS: Final = (200, 2000)
CLUSTER_BACKOFF_MS: Final = (100, 250)
"""Between attempts at a database that has several servers."""
DIAL_IN_BACKOFF_MS: Final = (100, 300)
IDLE_MS: Final = 1000
"""How long a session waits before it looks whether its reader has anything else to do, unless told otherwise."""
SILENT_MS: Final = 3000
"""How long a server that is connected may send nothing while its content is awaited."""
SLICE_S: Final = 0.005
"""The longest that others have to wait while rows are taken in."""

# Every (re)connection would be told at INFO by the library; ours are told by who owns the session.
ovs.vlog.Vlog.set_level("any", "any", "off")

json_parser.install()
whole_characters.install()

NEW: Final = "not connected yet"
"""The fault of a session that was never connected."""

Write = Callable[[ovs.db.idl.Idl, ovs.db.idl.Transaction], None]
"""Fills a transaction."""


class TransactionError(Exception):
    """A transaction was refused; the text says what the server said."""


class _Replica(ovs.db.idl.Idl):  # type: ignore[misc]
    """python-ovs' replica, which tells of each row that changes, lets others run, and stays with one cluster.

    `unfit` says why the present server won't do, '' when it will.
    """

    told: Callable[[str, uuid.UUID, bool], None] | None = None
    cluster: str | None = None
    unfit = ""
    ours: frozenset[uuid.UUID] = frozenset()
    """Rows that carried our mark when they were last looked at."""
    met: tuple[int, int] = (-1, 0)
    """The connection for which it was noted, and what ovs-vswitchd had answered to by then (`cur_cfg`)."""
    _rested = 0.0

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        if self.told is not None:
            self.told(row._table.name, row.uuid, event == ovs.db.idl.ROW_CREATE)

    def cooperative_yield(self) -> None:
        now = time.monotonic()
        if now - self._rested > SLICE_S:
            time.sleep(0)  # under eventlet this is where the other greenthreads run
            self._rested = time.monotonic()

    def _Idl__check_server_db(self) -> bool:
        """Whether the server will do. The cluster of the first that does is remembered: another may have our name."""
        rows = self.server_tables["Database"].rows.values() if "Database" in self.server_tables else ()
        row = next((row for row in rows if row.name == self._db.name), None)
        cluster = str(row.cid[0]) if row is not None and row.cid else ""
        self.unfit = ""
        if self.cluster not in (None, cluster):
            self.unfit = f"it belongs to {named(cluster)}, and before it was {named(self.cluster)}"
            return False
        fit = bool(super()._Idl__check_server_db())
        if fit:
            self.cluster = cluster
        elif row is None or row.model != ovs.db.idl.CLUSTERED:
            self.unfit = f"it does not serve the database {self._db.name!r}"
        elif not row.connected:
            self.unfit = "it is cut off from the majority of its cluster"
        elif self.leader_only and not row.leader:
            self.unfit = "it does not lead its cluster"
        else:
            self.unfit = "it is behind what was read before"
        return fit


def named(cluster: str | None) -> str:
    """A cluster, or its absence, in words."""
    return f"cluster {cluster}" if cluster else "no cluster"


class Session:
    """A replica of one database on one server, or on any of several that serve the same (with commas).

    `fault` says why there is no connection, '' while there is one; `local_address` is our own IP on
    it, None on a unix socket.
    """

    def __init__(self, remote: str, schema: dict[str, Any], name: str | None = None) -> None:
        """`remote` is an active OVSDB connection method (ovsdb(7)); all columns of `schema` are monitored.

        With TLS the server's certificate must have the common name `name`, without that one of the overlay database's.
        Of a cluster any member will do that is in it: followers pass writes on.
        """
        helper = ovs.db.idl.SchemaHelper(schema_json=schema)
        helper.register_all()
        self.remote = remote
        for place in map(str.strip, remote.split(",")):
            if place.startswith("ssl:"):
                names = tls.serves_overlay if name is None else name.__eq__
                tls_stream.expect(place, names, tls.OVERLAY_NAMES if name is None else repr(name))
        self._address: str | None = None
        self.fault = NEW
        self.idl = _Replica(remote, helper, probe_interval=PROBE_MS, leader_only=False)
        self._widen()
        self._seqno = self.idl.change_seqno
        self._heard = (0, 0, 0)
        # A socket pair and no pipe: reading a pipe without data blocks under eventlet, whatever its flags say.
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._note_faults()

    def _widen(self) -> None:
        """Let every set be of any size here: the server holds to the schema.

        What it sends of a change (RFC 7047 as extended in ovsdb-server(7): `update2`) is the difference. Where two
        values became another one that has three, which python-ovs takes for a fault and leaves out; what it reads from
        then on is wrong, and at last more than it can bear.
        """
        for table in self.idl.tables.values():
            for column in table.columns.values():
                if column.type.n_max > 1:
                    column.type.n_max = sys.maxsize

    def _note_faults(self) -> None:
        reconnect = self.idl._session.reconnect
        # Whether a chassis has dialled in costs nothing to look.
        backoff = CLUSTER_BACKOFF_MS if "," in self.remote else BACKOFF_MS
        # Not by set_backoff(), which makes a second of anything shorter.
        reconnect.min_backoff, reconnect.max_backoff = (
            DIAL_IN_BACKOFF_MS if self.remote.startswith(DIAL_IN) else backoff
        )
        for name in ("connect_failed", "disconnected"):
            inner = getattr(reconnect, name)

            def note(now: int, error: int, inner: Callable[[int, int], None] = inner, name: str = name) -> None:
                # 0: python-ovs gave up by itself, after it waited for an answer in vain.
                closed = "the connection was closed" if error else "no answer"
                self.fault = os.strerror(error) if error > 0 else closed
                self.fault = tls_stream.fault(reconnect.get_name()) or self.fault
                if name == "disconnected" and self.idl.unfit:
                    which = f"{self.idl.session_name()}: " if "," in self.remote else ""
                    self.fault, self.idl.unfit = which + self.idl.unfit, ""
                if error == errno.ENOTCONN and self.remote.startswith(DIAL_IN):
                    kind = "ssl" if os.environ.get(tls.VARIABLE) else "tcp"
                    self.fault = f"it has not dialled in; on the host: ovs-vsctl set-manager {kind}:CONTROLLER:6641"
                inner(now, error)

            setattr(reconnect, name, note)

    @property
    def in_sync(self) -> bool:
        """Whether the replica is complete and its server still answers."""
        return bool(self.idl.state == ovs.db.idl.Idl.IDL_S_MONITORING and self.idl._session.is_connected())

    @property
    def local_address(self) -> str | None:
        """Our own IP address on the present or last connection; None before, and on a unix socket."""
        rpc = self.idl._session.rpc
        with contextlib.suppress(OSError):  # closed a moment ago: the address was that of before
            name = rpc.stream.socket.getsockname() if rpc is not None else None
            self._address = name[0] if isinstance(name, tuple) else self._address
        return self._address

    def tell(self, told: Callable[[str, uuid.UUID, bool], None]) -> None:
        """Have `told` called with the table and UUID of each row that changes, and whether it was created.

        Not when the replica is made anew after a reconnection: its rows are other objects then.
        """
        self.idl.told = told

    @property
    def peer_address(self) -> str | None:
        """The other end's IP address on the present connection; None without one, and on a unix socket."""
        rpc = self.idl._session.rpc
        with contextlib.suppress(OSError):
            name = rpc.stream.socket.getpeername() if rpc is not None else None
            return str(name[0]) if isinstance(name, tuple) else None
        return None

    def run(self) -> bool:
        """Take in what arrived; whether the replica changed."""
        self.idl.run()
        if self.in_sync:
            self.fault = ""
        else:
            self._leave_silent()
        changed = bool(self.idl.change_seqno != self._seqno)
        self._seqno = self.idl.change_seqno
        return changed

    def _leave_silent(self) -> None:
        """Connect anew to a server that does not send what was asked for.

        python-ovs waits for ever when a server refuses to be monitored, as one does whose schema has less than ours;
        it may have been upgraded meanwhile.
        """
        rpc = self.idl._session.rpc
        if rpc is None or not self.idl._session.is_connected():
            return
        session, received = self.idl._session.get_seqno(), rpc.get_received_bytes()
        if self._heard[:2] != (session, received):
            self._heard = (session, received, ovs.timeval.msec())
        elif ovs.timeval.msec() - self._heard[2] > SILENT_MS:
            self.idl.unfit = "it is connected and sends nothing: it hangs, or its schema is of another version"
            self.idl.force_reconnect()

    @property
    def connection(self) -> int:
        """A number that is another after each connection to the server."""
        return int(self.idl._session.get_seqno())

    def block(self, seconds: float = IDLE_MS / 1000) -> None:
        """Wait for news, `wake()`, or so many seconds; not at all when a transaction brought news meanwhile."""
        if self.idl.change_seqno != self._seqno:
            return
        poller = ovs.poller.Poller()
        self.idl.wait(poller)
        poller.fd_wait(self._reader, ovs.poller.POLLIN)
        poller.timer_wait(int(seconds * 1000))
        poller.block()
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)

    def wake(self) -> None:
        """End the present or next `block()`; may be called by anybody."""
        # A socket that is full of earlier calls will wake it all the same.
        with contextlib.suppress(BlockingIOError):
            self._writer.send(b"!")

    def transact(self, write: Write) -> bool:
        """Commit what `write` fills in; False when it must be tried again after the next `run()`.

        Where the connection ends before the answer, it may have been committed all the same.
        Raises TransactionError when the server refuses it.
        """
        transaction = ovs.db.idl.Transaction(self.idl)
        try:
            write(self.idl, transaction)
            status = transaction.commit()
            while status == ovs.db.idl.Transaction.INCOMPLETE:
                self.idl.run()
                if not self.idl._session.is_connected():
                    # commit_block() would wait for the server to come back, which may be never, and nobody would
                    # hear meanwhile that it is gone.
                    return False
                status = transaction.commit()
                if status == ovs.db.idl.Transaction.INCOMPLETE:
                    poller = ovs.poller.Poller()
                    self.idl.wait(poller)
                    poller.block()
        except BaseException:
            transaction.abort()
            raise
        if status in (ovs.db.idl.Transaction.SUCCESS, ovs.db.idl.Transaction.UNCHANGED):
            return True
        if status == ovs.db.idl.Transaction.TRY_AGAIN:
            return False
        raise TransactionError(str(transaction.get_error() or transaction.status_to_string(status)))

    def counts(self) -> dict[str, int]:
        """How much waits, in bytes to send and to read, and in transactions without an answer; rows of the replica."""
        rpc = self.idl._session.rpc
        return {
            "to_send": rpc.get_backlog() if rpc is not None else 0,
            "to_read": len(rpc.input) if rpc is not None else 0,
            "transactions": len(self.idl._outstanding_txns),
            "rows": sum(len(table.rows) for table in self.idl.tables.values()),
        }

    def close(self) -> None:
        """Close the connection; the session is of no use any more."""
        self.idl.close()
        self._reader.close()
        self._writer.close()
