"""An overlay database of a released schema becomes one of the present, wherever it is served, and loses nothing."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovsdb import embedded, stages, upgrade
from ovsdb.rpc import DatabaseError, TransactionError, UnreachableError, connect, optional, same_row, select, uuid_of
from ovsdb.session import Session
from tests import released
from tests.cluster import eventually, with_schema
from tests.overlay_database import needs_ovsdb
from topologies.cluster import cluster, run_tool, standalone

pytestmark = [needs_ovsdb, pytest.mark.server]
PRESENT = json.loads(embedded.schema().read_text())
STEPS = 6
"""Conversions and fillings from 1.0.0: expand, fill, contract, rename, fill, present."""


class Killed(Exception):
    """The end of whoever upgrades, at any moment."""


@pytest.fixture(params=["standalone", "cluster"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The remote of a database as 1.0.0 left it."""
    serving = standalone if request.param == "standalone" else cluster
    with serving(tmp_path, released.V1) as served:
        where = served.remote if request.param == "cluster" else served.socket
        with connect(where) as database:
            released.fill_1_0(database)
        yield where


def test_nothing_is_lost(old: str) -> None:
    with connect(old) as database:
        before = released.content_1_0(database)
    with connect(old) as database:
        assert upgrade.upgrade(database) == ("1.0.0", PRESENT["version"])
    for where in old.split(","):
        eventually(lambda at=where: version(at) == PRESENT["version"], 20, f"{where} has the new schema")
        with connect(where) as database:
            assert released.content(database) == before
            totals = database.select("Overlay_Global")[0]
            assert len(totals["database_id"]) == 36
            assert (totals["epoch"], totals["read_cfg"]) == (0, 6)
            assert len(database.select("Tenant")) == 2
            assert {optional(row["security"]) for row in database.select("Port")} == {None}
            upgrade.check(database)


@pytest.mark.parametrize("serving", [standalone, cluster])
def test_2_0_0_is_converted_in_one_step(tmp_path: Path, serving: Any) -> None:
    """What 2.1.0 adds needs no stages, a wider index of bindings included; and two tags of an interface fit in then."""
    with serving(tmp_path, released.V2) as served:
        where = served.remote if serving is cluster else served.socket
        said: list[str] = []
        with connect(where) as database:
            released.fill_2_0(database)
            before = released.content(database)
            assert upgrade.upgrade(database, said.append) == ("2.0.0", PRESENT["version"])
        with connect(where) as database:
            assert released.content(database) == before
            upgrade.check(database)
            row = {"chassis": "h1", "interface": "vm1", "tag": 100}
            database.transact([{"op": "insert", "table": "Binding", "row": row}])
            with pytest.raises(TransactionError, match="constraint violation"):
                database.transact([{"op": "insert", "table": "Binding", "row": row}])
            assert len(database.select("Binding", [["interface", "==", "vm1"]])) == 2
    assert said == [f"converting 2.0.0 to {PRESENT['version']}"]


def test_once_more_changes_nothing(old: str) -> None:
    with connect(old) as database:
        upgrade.upgrade(database)
        said: list[str] = []
        before = everything(old)
        assert upgrade.upgrade(database, said.append) == (PRESENT["version"],) * 2
    assert (everything(old), said) == (before, [])


@pytest.mark.parametrize("at", range(STEPS))
def test_it_goes_on_where_it_was_cut_off(tmp_path: Path, at: int) -> None:
    """Whoever upgrades is killed before each step, and so is the server."""
    with standalone(tmp_path, released.V1) as server:
        with connect(server.socket) as database:
            released.fill_1_0(database)
            before = released.content_1_0(database)
            with pytest.raises(Killed):
                upgrade.upgrade(database, killer(at))
        server.kill()
        server.start()
        with connect(server.socket) as database:
            if at > 0:
                with pytest.raises(upgrade.VersionError, match=r"upgrade from 1\.0\.0 is under way .*db-upgrade"):
                    upgrade.check(database)
            assert upgrade.upgrade(database)[0] == "1.0.0"
        with connect(server.socket) as database:
            assert released.content(database) == before


@pytest.mark.system
@pytest.mark.parametrize("at", range(STEPS))
def test_the_leader_dies_meanwhile(tmp_path: Path, at: int) -> None:
    steps: list[str] = []
    with cluster(tmp_path, released.V1, timer=500) as served:
        with connect(served.remote) as database:
            released.fill_1_0(database)
            before = released.content_1_0(database)

        def say(step: str) -> None:
            steps.append(step)
            if len(steps) == at + 1:
                served.leader().kill()

        with connect(served.remote) as database:
            assert upgrade.upgrade(database, say)[0] == "1.0.0"
        with connect(served.remote) as database:
            assert released.content(database) == before


@pytest.mark.parametrize("at", range(STEPS))
def test_the_controllers_own_database(tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upgraded once its server answers, a copy kept, whenever it was cut off before."""
    file, socket = tmp_path / "overlay.db", tmp_path / "overlay.sock"
    with standalone(tmp_path, released.V1) as server:
        with connect(server.socket) as database:
            released.fill_1_0(database)
            before = released.content_1_0(database)
        server.stop()
        server.file.rename(file)
    pristine = file.read_bytes()
    full = upgrade.upgrade
    monkeypatch.setattr(upgrade, "upgrade", lambda database: full(database, killer(at)))
    with pytest.raises(Killed):
        embedded.start(file, socket)
    monkeypatch.undo()
    started = embedded.start(file, socket)
    try:
        with connect(started.remote) as database:
            assert released.content(database) == before
    finally:
        started.stop()
    assert (tmp_path / "overlay.db.backup-1.0.0").read_bytes() == pristine


def test_two_at_once_and_old_writers(old: str) -> None:
    """Two upgrade together while a program of before goes on adding networks: all or nothing of each arrives."""
    added: list[str] = []
    failures: list[BaseException] = []
    ended = threading.Event()

    def write() -> None:
        for number in itertools.count():
            row = {"name": f"late{number}", "tenant": f"tenant{number % 3}", "vni": 1000 + number, "encap": "gre"}
            if ended.is_set():
                return
            # Refused once `tenant` is no string any more; hung up on by a conversion.
            with contextlib.suppress(DatabaseError), connect(old) as database:
                database.transact([{"op": "insert", "table": "Network", "row": row}])
                added.append(str(row["name"]))
            time.sleep(0.003)

    def run() -> None:
        try:
            try:
                with connect(old) as database:
                    upgrade.upgrade(database)
            except UnreachableError:  # by the other's conversion, before the server knew that this one can bear it
                with connect(old) as database:
                    upgrade.upgrade(database)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=target) for target in (write, run, run)]
    threads[0].start()
    try:
        eventually(lambda: added, 20, "a network is added")
        for thread in threads[1:]:
            thread.start()
        for thread in threads[1:]:
            thread.join()
    finally:
        ended.set()
        threads[0].join()
    assert failures == []
    with connect(old) as database:
        networks = released.content(database)["networks"]
    assert {name: networks[name][1] for name in added} == {name: f"tenant{int(name[4:]) % 3}" for name in added}


def test_what_is_copied_cannot_be_changed_any_more(tmp_path: Path) -> None:
    with standalone(tmp_path, released.V1) as server:
        with connect(server.socket) as database:
            released.fill_1_0(database)
            with pytest.raises(Killed):
                upgrade.upgrade(database, killer(2))
        with connect(server.socket) as database:
            red = uuid_of(database.select("Network", [["name", "==", "red"]])[0])
            change = {"op": "update", "table": "Network", "where": same_row(red), "row": {"tenant": "thief"}}
            with pytest.raises(TransactionError, match="tenant"):
                database.transact([change])


def test_a_session_follows(old: str) -> None:
    """A controller's session of the present schema waits while the database is old, and has all of it afterwards."""
    session = Session(old, PRESENT)
    try:
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            turn(session)
        assert not session.in_sync
        with connect(old) as database:
            upgrade.upgrade(database)
        started = time.monotonic()
        eventually(lambda: turn(session).in_sync and len(session.idl.tables["Port"].rows) == 3, 10, "it is in sync")
        assert time.monotonic() - started < 5
        assert {row.tenant.name for row in session.idl.tables["Network"].rows.values()} == {"acme", 'umbra "ö" & co'}
    finally:
        session.close()


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    newer = with_schema(tmp_path, "newer.ovsschema", version="77.0.0")
    with standalone(tmp_path, newer) as server, connect(server.socket) as database:
        before = server.file.read_bytes()
        with pytest.raises(upgrade.VersionError, match=r"77\.0\.0, newer than this program's"):
            upgrade.check(database)
        with pytest.raises(upgrade.VersionError, match=r"77\.0\.0, newer than this program's"):
            upgrade.upgrade(database)
        assert server.file.read_bytes() == before


def test_an_older_database_is_told_of(tmp_path: Path) -> None:
    with (
        standalone(tmp_path, released.V1) as server,
        connect(server.socket) as database,
        pytest.raises(upgrade.VersionError, match=r"schema version 1\.0\.0.*overlayctl db-upgrade"),
    ):
        upgrade.check(database)


def test_a_release_that_only_adds_needs_no_stages(tmp_path: Path) -> None:
    older = json.loads(embedded.schema().read_text()) | {"version": "0.9.0"}
    del older["tables"]["Neighbor"], older["tables"]["Network"]["columns"]["external_ids"]
    assert not stages.needs_stages(older, PRESENT)
    (tmp_path / "older.ovsschema").write_text(json.dumps(older))
    said: list[str] = []
    with standalone(tmp_path, tmp_path / "older.ovsschema") as server, connect(server.socket) as database:
        assert upgrade.upgrade(database, said.append) == ("0.9.0", PRESENT["version"])
    assert said == [f"converting 0.9.0 to {PRESENT['version']}"]


def test_every_stage_is_a_schema(tmp_path: Path) -> None:
    """`ovsdb-tool` finds nothing wrong with any of them, and each is newer than the one before."""
    served = json.loads(released.V1.read_text())
    versions = []
    while stages.numbers(served["version"]) < stages.numbers(PRESENT["version"]):
        served = stages.following(served, PRESENT)
        versions.append(served["version"])
        path = tmp_path / f"{served['version']}.ovsschema"
        path.write_text(json.dumps(served))
        assert run_tool("schema-version", path).strip() == served["version"]
    assert versions == ["1.0.9001", "1.0.9002", "1.0.9003", PRESENT["version"]]


def killer(at: int) -> Any:
    """Ends the upgrade before its step of this number."""
    steps = iter(range(at + 1))

    def say(_: str) -> None:
        if next(steps) == at:
            raise Killed

    return say


def turn(session: Session) -> Session:
    session.run()
    session.block()
    return session


def version(where: str) -> str:
    with connect(where) as database:
        return database.version()


def everything(where: str) -> Any:
    with connect(where) as database:
        results = database.transact([select(table) for table in PRESENT["tables"]])
    return [sorted(result["rows"], key=uuid_of) for result in results]
