"""A real ovsdb-server with the overlay schema, for tests; needs Open vSwitch's programs, but not root."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ovsdb.embedded import schema
from ovsdb.rpc import UnreachableError, connect
from topologies.cluster import SERVER, TOOL, run_tool

needs_ovsdb = pytest.mark.skipif(SERVER is None or TOOL is None, reason="needs ovsdb-server and ovsdb-tool")


@contextmanager
def serving(directory: Path, *options: str, file: str = "test.db") -> Iterator[str]:
    """The remote of a server on a file in this directory, made new if it is not there."""
    database, socket = directory / file, directory / f"{file}.sock"
    if not database.exists():
        run_tool("create", database, schema())
    command = [
        str(SERVER),
        str(database),
        f"--remote=punix:{socket}",
        f"--unixctl={directory / 'ctl'}",
        "-vconsole:off",
        "-vsyslog:off",
        *options,
    ]
    process = subprocess.Popen(command)
    try:
        await_answer(f"unix:{socket}")
        yield f"unix:{socket}"
    finally:
        process.terminate()
        process.wait(5)


def await_answer(remote: str, timeout: float = 5.0) -> None:
    """Returns when somebody listens there."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            connect(remote).close()
        except UnreachableError:
            assert time.monotonic() < deadline, f"nobody answers on {remote}"
            time.sleep(0.01)
        else:
            return
