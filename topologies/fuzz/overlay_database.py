"""A real ovsdb-server with the overlay's schema, and `overlayctl` on it: in this process, and closely watched."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from controller.cli import health, parser
from controller.cli.main import main
from ovsdb.paths import schema
from ovsdb.rpc import Connection, UnreachableError, connect, select, uuid_of
from topologies.bench_commands import server
from topologies.fuzz.target import WrongError

MOST_ROWS: Final = 60
"""Rows of all tables together; when there are more, what the first commands declared is all there is again."""
START_S: Final = 20.0
"""Seconds in which the server listens."""
REFUSED: Final = (1, 2)
CODES: Final = frozenset(int(line.split()[0]) for line in parser.EXIT_CODES)
_CLONE_NEWNET: Final = 0x40000000
FIRST: Final = (
    "chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1",
    "chassis-add h2 unix:/nonexistent --vtep 192.0.2.2",
    "net-add red --tenant acme --vni 100 --subnet 10.0.0.0/24,2001:db8::/64 --gateway 10.0.0.1",
    "net-add blue --tenant umbra --vni 200 --encap gre",
    "port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.11",
    "port-add web2 --net red --ip auto",
    "connection-add ptcp:6642:127.0.0.1",
)


class Database:
    """The server, in a directory of its own that is also the working directory; nothing else can be reached."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-db-")))
        os.environ["OVERLAY_DB"] = self._stack.enter_context(server(self.directory, "overlay", str(schema())))
        os.environ["OVERLAY_PKI"] = ""
        os.chdir(self.directory)
        health.PATIENCE = 0.0  # what it waits for, a controller, is not there
        # Addresses that are made up are nobody's: without a network it is said at once that they can't be reached.
        ctypes.CDLL(None).unshare(_CLONE_NEWNET)
        self._connection: Connection = self._stack.enter_context(_connected(os.environ["OVERLAY_DB"]))
        described = json.loads(schema().read_text())["tables"]
        self._tables = sorted(described)
        self._seen: str | None = None
        self._rows = 0
        self._begin()

    def _begin(self) -> None:
        self._connection.transact([{"op": "delete", "table": table, "where": []} for table in self._tables])
        for line in FIRST:
            code, _, error = called(line.split())
            if code:
                raise WrongError(f"{line}: {error}")
        self._seen = None
        self.contents()

    def contents(self) -> str:
        """All that it holds, as a digest."""
        answers = self._connection.transact([select(table) for table in self._tables])
        rows = [sorted(answer["rows"], key=uuid_of) for answer in answers]
        self._rows = sum(map(len, rows))
        self._seen = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
        return self._seen

    def command(self, argv: Sequence[str], stdin: bytes = b"", codes: frozenset[int] = CODES) -> int:
        """Run a command, and return its exit code. Raises WrongError unless it is one of `codes`, and a refusal is one.

        One that is refused says so in lines of its own, and changes nothing.
        """
        before = self._seen or self.contents()
        code, out, error = called(argv, stdin)
        if code not in codes:
            raise WrongError(f"exit code {code}, {error.strip()[:200]}")
        if "Traceback" in error or "Traceback" in out:
            raise WrongError(f"a traceback: {error.strip()[-300:]}")
        if code in REFUSED and codes is CODES and not error.strip() and not _looks(argv):
            raise WrongError(f"exit code {code}, and not a word why")
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", error):
            raise WrongError(f"control characters on the terminal: {error[:200]!r}")
        # A batch does what was right in it.
        if (code in REFUSED or codes is not CODES) and "batch" not in argv:
            if self.contents() != before:
                raise WrongError(f"exit code {code}, and the database is another than before")
        else:
            self._seen = None
            self.contents()
        return code

    def begin(self) -> None:
        """Between two inputs: when there is much, what was there first again."""
        if self._rows > MOST_ROWS:
            self._begin()

    def close(self) -> None:
        """End the server."""
        os.chdir("/")
        self._stack.close()


def _connected(remote: str) -> Connection:
    """A connection; the server's socket is there a moment before the server listens."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return connect(remote)
        except UnreachableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _looks(argv: Sequence[str]) -> bool:
    """Whether it is a command whose exit code is its answer, printed on standard output."""
    return bool({"check", "health", "diff"} & set(argv))


def called(argv: Sequence[str], stdin: bytes = b"") -> tuple[int, str, str]:
    """`overlayctl` in this process: exit code, standard output, standard error."""
    out, error, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8", errors="surrogateescape")
    code: Any
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            try:
                code = main(list(argv))
            except SystemExit as ended:  # argparse
                code = 0 if ended.code is None else ended.code
    finally:
        sys.stdin = before
    if not isinstance(code, int):
        raise WrongError(f"it ended with {code!r}")
    return code, out.getvalue(), error.getvalue()
