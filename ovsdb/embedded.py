"""The controller's own `ovsdb-server`: a child that serves the overlay database from a local file.

It runs while no database is named, dies with its parent whatever kills that, and leaves the file. Nobody
else's file or socket is ever taken: what is locked or answers already is an error that says by whom.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Final

from ovsdb import tls, upgrade
from ovsdb.paths import DATABASE, schema
from ovsdb.rpc import DatabaseError, UnreachableError, connect

PACKAGES: Final = {"ovsdb-server": "openvswitch-common", "ovsdb-tool": "openvswitch-common", "setpriv": "util-linux"}
"""The Debian package of each program."""
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for beside PATH: Debian keeps sbin out of a plain user's."""
HANDOVER: Final = 2.0
"""Seconds given to a controller that is just ending, or to the server of one that was killed, to let go."""
PAUSE: Final = 0.02
FLOCK: Final = "hhqqi"
"""`struct flock` of fcntl(2) on 64-bit Linux: type, whence, start, length, pid."""

__all__ = ["DatabaseError", "EmbeddedServer", "EndedError", "schema", "start"]


class EndedError(DatabaseError):
    """A server of ours that ended by itself; the text says how."""


class EmbeddedServer:
    """A running `ovsdb-server` child; `start` makes one."""

    def __init__(
        self, database: Path, socket: Path, log: Path, process: subprocess.Popen[bytes], lock: IO[str]
    ) -> None:
        self.database = database
        self.socket = socket
        self.log = log
        self.process = process
        self._lock = lock

    @property
    def remote(self) -> str:
        """What a client connects to."""
        return f"unix:{self.socket}"

    def poll(self) -> str | None:
        """None while it runs; else what became of it, for a person."""
        code = self.process.poll()
        if code is None:
            return None
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the overlay database server of {self.database} ended ({how}); see {self.log}"

    def stop(self, patience: float = 5.0) -> None:
        """Ends it, and returns when it has let go of the file; may be called twice."""
        self.end(patience)
        self._lock.close()

    def end(self, patience: float = 5.0) -> None:
        """The same, but the socket's name stays taken: another server is about to follow."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start(database_path: Path, socket_path: Path, timeout: float = 10.0) -> EmbeddedServer:
    """Serves a file, made from the schema if there is none, on a socket; returns when it answers.

    To be called from the main thread: the child dies with the *thread* that starts it (prctl(2),
    PR_SET_PDEATHSIG). Raises DatabaseError.
    """
    if threading.get_native_id() != os.getpid():
        raise RuntimeError("an embedded server is started from the main thread, for it dies with its thread")
    programs = {name: _program(name) for name in PACKAGES}
    for directory in (socket_path.parent, database_path.parent):
        _make(directory)
    lock = _claim(socket_path, database_path)
    try:
        _wait_until_free(database_path, socket_path)
        backup = _prepare(database_path, programs["ovsdb-tool"])
        if backup is not None:
            # An older schema may not have the table that says where else to listen.
            _upgrade(_serve(database_path, socket_path, lock, programs, timeout, connections=False), backup)
        return _serve(database_path, socket_path, lock, programs, timeout)
    except BaseException:
        lock.close()
        raise


def _program(name: str) -> str:
    search = os.pathsep.join(filter(None, [os.environ.get("PATH"), SYSTEM_PATH]))
    found = shutil.which(name, path=search)
    if found is None:
        raise DatabaseError(
            f"{name} is not installed; on Debian: apt install {PACKAGES[name]} "
            f"(or name a database that runs elsewhere with OVERLAY_DB)"
        )
    return found


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as failure:
        raise DatabaseError(f"cannot make directory {directory}: {failure.strerror}; {_ELSEWHERE}") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise DatabaseError(f"cannot write in the directory {directory}; {_ELSEWHERE}")


_ELSEWHERE: Final = "run as a user who may, or set OVERLAY_RUNDIR and OVERLAY_DBDIR to directories of yours"


def _claim(socket_path: Path, database_path: Path) -> IO[str]:
    """A lock on the socket's name that ends with this process, whatever ends that."""
    path = socket_path.with_suffix(".lock")
    try:
        lock = path.open("a+")
    except OSError as failure:
        raise DatabaseError(f"cannot open {path}: {failure.strerror}; {_ELSEWHERE}") from None
    if not _lock(lock):
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise DatabaseError(
            f"another controller (pid {holder}) runs its overlay database on {socket_path}, so "
            f"{database_path} is not served a second time; {_share(f'unix:{socket_path}')}"
        )
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _lock(file: IO[str]) -> bool:
    """Whether this process has it now; a controller that is about to end is waited for."""
    deadline = time.monotonic() + HANDOVER
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE)
        else:
            return True


def _share(remote: str) -> str:
    return f"share its database with OVERLAY_DB={remote}, stop it, or keep apart with OVERLAY_RUNDIR and OVERLAY_DBDIR"


def _wait_until_free(database_path: Path, socket_path: Path) -> None:
    """Returns when nobody serves the file or the socket; DatabaseError when somebody goes on doing so."""
    deadline = time.monotonic() + HANDOVER
    while True:
        holder, answers = _holder(database_path), _answers(socket_path)
        if holder is None and not answers:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(PAUSE)
    if holder is not None:
        raise DatabaseError(
            f"{database_path} is in use by another ovsdb-server (pid {holder}); "
            f"{_share(_remote_of(holder) or 'unix:SOCKET')}"
        )
    raise DatabaseError(f"another server answers on {socket_path}; {_share(f'unix:{socket_path}')}")


def _remote_of(pid: int) -> str | None:
    """Where the server of this pid can be reached, as far as its command line tells."""
    with contextlib.suppress(OSError):
        for argument in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            if argument.startswith("--remote=punix:/"):
                return argument.removeprefix("--remote=p")
    return None


def _answers(socket_path: Path) -> bool:
    """Whether a server is behind the socket; one left by a server that was killed refuses."""
    try:
        connect(f"unix:{socket_path}", timeout=1.0).close()
    except UnreachableError:
        return False
    return True


def _holder(database_path: Path) -> int | None:
    """The pid that has locked the file as ovsdb-server does (Open vSwitch's lib/lockfile.c), or None."""
    real = database_path.resolve()
    try:
        with (real.parent / f".{real.name}.~lock~").open("r+b") as lock:
            asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(lock, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return None
    except OSError as failure:
        raise DatabaseError(f"cannot look at the lock of {database_path}: {failure.strerror}") from None
    return None if kind == fcntl.F_UNLCK else int(pid)


def _prepare(database_path: Path, tool: str) -> Path | None:
    """Makes the file, or a copy of one that is to be upgraded once it is served; that copy, or None."""
    if not database_path.exists():
        _run([tool, "create", str(database_path), str(schema())], f"cannot make {database_path}")
        return None
    if not os.access(database_path, os.R_OK | os.W_OK):
        raise DatabaseError(f"cannot read and write {database_path}; {_ELSEWHERE}")
    damaged = (
        f"{database_path} cannot be read; move it away to start with an empty database, or put a backup in its place"
    )
    name = _run([tool, "db-name", str(database_path)], damaged)
    if name != DATABASE:
        raise DatabaseError(
            f"{database_path} holds the database {name!r}, not {DATABASE!r}; name another directory with OVERLAY_DBDIR"
        )
    version = _run([tool, "db-version", str(database_path)], damaged)
    ours = upgrade.present()
    if upgrade.numbers(version) == upgrade.numbers(ours):
        return None
    if upgrade.numbers(version) > upgrade.numbers(ours):
        raise DatabaseError(
            f"{database_path} is of version {version}, newer than this program's {ours}; "
            f"upgrade ovs-overlay, or name another directory with OVERLAY_DBDIR"
        )
    backup = database_path.with_name(f"{database_path.name}.backup-{upgrade.released(version)}")
    if upgrade.is_stage(version) and backup.exists():
        return backup  # of before the upgrade that was cut off
    half = backup.with_name(f"{backup.name}.part")
    try:
        shutil.copy2(database_path, half)
        half.replace(backup)
    except OSError as failure:
        raise DatabaseError(f"cannot copy {database_path} to {backup}: {failure.strerror}") from None
    return backup


def _upgrade(server: EmbeddedServer, backup: Path) -> None:
    """Brings what is served to the present schema, and ends the server."""
    try:
        with connect(server.remote) as connection:
            upgrade.upgrade(connection)
    except DatabaseError as failure:
        raise DatabaseError(
            f"cannot upgrade {server.database}: {failure}; as it was before it is kept in {backup}"
        ) from None
    finally:
        server.end()


def _run(command: list[str], failing: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DatabaseError(f"{failing}: {_last_line(done.stderr)}")
    return done.stdout.strip()


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"


def _tls_options() -> list[str]:
    """The files of `OVERLAY_PKI`, as ovsdb-server takes them; none where that is not set."""
    try:
        found = tls.files()
    except tls.TlsError as failure:
        raise DatabaseError(str(failure)) from None
    if found is None:
        return []
    return [f"--private-key={found.key}", f"--certificate={found.cert}", f"--ca-cert={found.cacert}"]


def _serve(
    database_path: Path,
    socket_path: Path,
    lock: IO[str],
    programs: dict[str, str],
    timeout: float,
    *,
    connections: bool = True,
) -> EmbeddedServer:
    log = database_path.with_suffix(".log")
    command = [
        programs["setpriv"],
        "--pdeathsig",
        "TERM",
        "--",
        programs["ovsdb-server"],
        str(database_path),
        f"--remote=punix:{socket_path}",
        # Where else it listens, and for whom, is declared in the database itself.
        *([f"--remote=db:{DATABASE},Overlay_Global,connections"] if connections else []),
        *_tls_options(),
        f"--unixctl={socket_path.with_suffix('.ctl')}",
        f"--pidfile={socket_path.with_suffix('.pid')}",
        f"--log-file={log}",
        "-vconsole:off",
        "-vsyslog:off",
        "-vfile:info",
    ]
    with tempfile.TemporaryFile("w+") as said:
        # In a session of its own: a terminal's Ctrl-C is for the controller, which then stops its child.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        server = EmbeddedServer(database_path, socket_path, log, process, lock)
        deadline = time.monotonic() + timeout
        try:
            while not _answers(socket_path):
                if process.poll() is not None:
                    said.seek(0)
                    raise DatabaseError(
                        f"ovsdb-server does not serve {database_path}: {_last_line(said.read())} (see {log})"
                    )
                if time.monotonic() > deadline:
                    raise DatabaseError(f"ovsdb-server does not answer on {socket_path} after {timeout:g} s; see {log}")
                time.sleep(PAUSE)
        except BaseException:
            with contextlib.suppress(DatabaseError):
                server.stop()
            raise
    return server
