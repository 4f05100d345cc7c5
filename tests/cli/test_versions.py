"""A database of another schema version: who meets it says so and what to do, and `db-upgrade` does it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ovsdb.rpc import connect
from ovsdb.versions import present
from tests import released
from tests.cli.words import call
from tests.cluster import with_schema
from tests.overlay_database import needs_ovsdb
from topologies.cluster import standalone
from topologies.controller import ryu_manager

pytestmark = needs_ovsdb


def test_an_old_database_is_refused_until_it_is_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with standalone(tmp_path, released.V1) as server:
        with connect(server.socket) as database:
            released.fill_1_0(database)
        monkeypatch.setenv("OVERLAY_DB", server.socket)
        for line in ("show", "tenant-add x", "backup x"):
            assert call(line) == 1
            said = capsys.readouterr().err
            assert f"is of schema version 1.0.0, and this program's is {present()}" in said
            assert "overlayctl db-upgrade" in said
        assert "overlayctl db-upgrade" in controller(tmp_path, server.socket)
        assert call("db-upgrade") == 0
        assert f"upgraded from schema version 1.0.0 to {present()}" in capsys.readouterr().out
        assert call("db-upgrade") == 0
        assert capsys.readouterr().out == f"it is of version {present()} already\n"
        assert call("net-list") == 0
        assert "acme" in capsys.readouterr().out


def test_a_new_database_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = with_schema(tmp_path, "newer.ovsschema", version="77.0.0")
    with standalone(tmp_path, newer) as server:
        monkeypatch.setenv("OVERLAY_DB", server.socket)
        before = server.file.read_bytes()
        for line in ("show", "tenant-add x", "db-upgrade"):
            assert call(line) == 1
            assert "77.0.0, newer than this program's" in capsys.readouterr().err
        assert "77.0.0, newer than this program's" in controller(tmp_path, server.socket)
        assert server.file.read_bytes() == before


def test_the_schema_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("db-schema") == 0
    assert Path(capsys.readouterr().out.strip()).name == "overlay.ovsschema"


def controller(home: Path, database: str) -> str:
    """What a controller on this database says when it ends."""
    environment = os.environ | {"OVERLAY_DB": database, "OVERLAY_RUNDIR": str(home)}
    command = [*ryu_manager(), "overlay_app", "--ofp-tcp-listen-port", "16653"]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    return done.stderr
