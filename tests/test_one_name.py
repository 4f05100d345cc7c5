"""Two controllers of one name: the one that began last goes on, and the other one says why it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ovsdb.rpc import connect
from tests.cluster import eventually
from tests.overlay_database import needs_ovsdb
from topologies import controller
from topologies.cluster import SEARCH, Server, standalone

pytestmark = [pytest.mark.server, needs_ovsdb]


@contextmanager
def running(server: Server, home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    home.mkdir()
    env = {
        "PATH": f"{Path(sys.executable).parent}:{SEARCH}",
        "HOME": str(home),
        "OVERLAY_DB": server.socket,
        "OVERLAY_RUNDIR": str(home),
        "OVERLAY_DIAL_IN": "off",
        "OVERLAY_NAME": "twin",
    }
    with (home / "log").open("wb") as log:
        argv = [*controller.ryu_manager(), "--ofp-tcp-listen-port", str(port), "overlay_app"]
        started = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def test_the_later_one_goes_on(tmp_path: Path) -> None:
    first_port = 20000 + os.getpid() % 20000
    with (
        standalone(tmp_path) as server,
        connect(server.socket) as database,
        running(server, tmp_path / "first", first_port) as first,
    ):
        eventually(lambda: leader(database) == "twin", 30, "the first is at work")
        instance = rows(database)[0]
        with running(server, tmp_path / "second", first_port + 1) as second:
            eventually(lambda: rows(database) not in ([], [instance]), 30, "the second has the row")
            assert first.wait(15) == 78
            assert second.poll() is None
    log = (tmp_path / "first" / "log").read_text()
    assert "another controller is called 'twin' and has begun after this one, which ends" in log
    assert "Traceback" not in log


def rows(database: object) -> list[str]:
    return [row["instance"] for row in database.select("Controller")]  # type: ignore[attr-defined]


def leader(database: object) -> str:
    return next((row["leader"] for row in database.select("Overlay_Global")), "")  # type: ignore[attr-defined]
