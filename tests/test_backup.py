"""Backups: a file that Open vSwitch's own tools read as well, and what a restoration does and says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsdb import backup
from ovsdb.embedded import schema
from ovsdb.rpc import DatabaseError, connect
from tests.cli.words import call
from tests.overlay_database import needs_ovsdb
from topologies.cluster import cluster, run_tool, standalone

pytestmark = needs_ovsdb
SETUP = (
    "chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1",
    "net-add red --tenant acme --vni 100",
    "port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1",
    "port-add web2 --net red --mac 02:00:00:00:00:02 --ip 10.0.0.2",
)
DECLARED = ("Tenant", "Network", "Port", "Address", "Chassis", "Vtep")


@pytest.fixture(params=["standalone", "cluster"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The remote of a database in which something is declared, which `overlayctl` uses."""
    with (standalone if request.param == "standalone" else cluster)(tmp_path) as served:
        remote = served.remote if request.param == "cluster" else served.socket
        monkeypatch.setenv("OVERLAY_DB", remote)
        for line in SETUP:
            assert call(line) == 0
        yield remote


@pytest.fixture
def file(tmp_path: Path, where: str) -> Path:
    path = tmp_path / "overlay.backup"
    assert call(f"backup {path}") == 0
    return path


def content(where: str) -> dict[str, dict[str, backup.Row]]:
    with connect(where) as database:
        return {name: rows for name, rows in backup.take(database).tables.items() if name in DECLARED}


def totals(where: str) -> tuple[str, int, int]:
    with connect(where) as database:
        row = database.select("Overlay_Global")[0]
    return row["database_id"], row["epoch"], row["nb_cfg"]


def test_what_was_deleted_and_changed_comes_back(where: str, file: Path) -> None:
    before, (identity, epoch, nb_cfg) = content(where), totals(where)
    assert call("port-del web1") == call("port-set web2 --mac 02:00:00:00:00:09") == 0
    assert call(f"restore {file}") == 0
    assert content(where) == before
    restored = totals(where)
    assert restored[0] == identity
    assert restored[1] > epoch + 1  # port-del had raised it once
    assert restored[2] > nb_cfg + 2
    with connect(where) as database:
        assert any(row["what"] == f"restore {file}" for row in database.select("Change"))


def test_what_would_go_away_is_shown_and_needs_force(
    where: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(where)
    assert call("net-add late --tenant umbra --vni 7") == call("port-set web2 --ip 10.0.0.7") == 0
    changed = content(where)
    capsys.readouterr()
    assert call(f"restore {file}") == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == ["- network late", "- tenant umbra", "~ port web2"]
    assert "network late, tenant umbra would be gone; nothing was changed" in said.err
    assert call(f"--dry-run restore --force {file}") == 0
    assert content(where) == changed
    assert call(f"restore --force {file}") == 0
    assert content(where) == before


def test_what_the_controller_knows_stays(where: str, file: Path) -> None:
    with connect(where) as database:
        database.transact(
            [
                {"op": "update", "table": "Chassis", "where": [], "row": {"state": "ready", "flows": 37}},
                {"op": "insert", "table": "Binding", "row": {"chassis": "h1", "interface": "vm1", "up": True}},
            ]
        )
    assert call(f"restore {file}") == 0
    with connect(where) as database:
        chassis = database.select("Chassis")[0]
        assert (chassis["state"], chassis["flows"]) == ("ready", 37)
        assert len(database.select("Binding")) == 1


def test_into_an_empty_database_and_into_another(
    where: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, identity = content(where), totals(where)[0]
    place = tmp_path / "other"
    place.mkdir()
    with standalone(place) as other:
        monkeypatch.setenv("OVERLAY_DB", other.socket)
        assert call(f"restore {file}") == 0
        assert (content(other.socket), totals(other.socket)[0]) == (before, identity)
        with connect(other.socket) as database:
            change = {"database_id": "00000000-0000-4000-8000-000000000000"}
            database.transact([{"op": "update", "table": "Overlay_Global", "where": [], "row": change}])
        assert call(f"restore {file}") == 1
        assert "the backup is of another database" in capsys.readouterr().err


def test_open_vswitchs_own_tools_read_it(where: str, file: Path, tmp_path: Path) -> None:
    before = content(where)
    assert run_tool("db-name", file).strip() == "Overlay"
    assert file.stat().st_mode & 0o077 == 0
    place = tmp_path / "other"
    place.mkdir()
    with standalone(place) as other, file.open() as backed:
        subprocess.run(["ovsdb-client", "restore", "--force", other.socket, "Overlay"], stdin=backed, check=True)
        ports = {row["name"] for row in content(other.socket)["Port"].values()}
        assert ports == {row["name"] for row in before["Port"].values()}


def test_it_reads_what_ovsdb_client_wrote(where: str, tmp_path: Path) -> None:
    before, file = content(where), tmp_path / "theirs"
    with file.open("w") as backed:
        subprocess.run(["ovsdb-client", "backup", where, "Overlay"], stdout=backed, check=True)
    assert call("port-del web1") == call("chassis-del h1") == 0
    assert call(f"restore {file}") == 0
    assert content(where) == before


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(DatabaseError, match="No such file"):
        backup.read(path)
    path.write_text("hello\n")
    with pytest.raises(DatabaseError, match="is no backup: what is at byte 0"):
        backup.read(path)
    run_tool("create", tmp_path / "empty.db", schema())
    with pytest.raises(DatabaseError, match="it has 1 records"):
        backup.read(tmp_path / "empty.db")
    with pytest.raises(DatabaseError, match="is no backup"):
        backup.read(Path("/dev/zero"))  # which has no end
    backup.write(path, backup.Snapshot(json.loads(schema().read_text()), {}), 0)
    assert backup.read(path).totals == {}
    path.write_bytes(path.read_bytes().replace(b"Tenant", b"Tenanx", 1))
    with pytest.raises(DatabaseError, match="is damaged: the record at byte 0"):
        backup.read(path)


def test_a_backup_of_another_database_is_told_as_that(tmp_path: Path) -> None:
    described = tmp_path / "other.ovsschema"
    described.write_text(json.dumps({"name": "Open_vSwitch", "version": "8.3.1", "tables": {}}))
    path = tmp_path / "conf.db"
    run_tool("create", path, described)
    backup.write(path, backup.Snapshot(json.loads(described.read_text()), {}), 0)
    with pytest.raises(
        DatabaseError, match="is no backup of an overlay database: it is one of a database 'Open_vSwitch'"
    ):
        backup.read(path)
