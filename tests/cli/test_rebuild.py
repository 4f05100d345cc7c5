"""`rebuild`: what the chassis remember of a database is all that was declared of what is plugged in there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.cli import rebuild
from controller.cli.rebuild import MAPS, SETS, TEXTS, Found
from flows.model import Binding
from ovsdb import document, marks, ownership, snapshot
from ovsdb.rpc import Connection
from ovsdb.session import Session
from tests.cli.words import TABLES, insert, update
from tests.overlay_database import needs_ovsdb

GOLDEN = Path(__file__).parent.parent / "golden" / "net.yaml"
BY_HAND = {
    "Network": {"name", "tenant", "vni", "encap"},
    "Port": {"name", "network", "mac", "addresses"},
    "Chassis": {"name", "ovsdb", "vteps"},
}
"""Columns that `rebuild` has code of its own for."""


def test_every_declared_column_is_restored() -> None:
    schema = document.schema()["tables"]
    for table, columns in BY_HAND.items():
        restored = {*columns, *SETS[table], *MAPS, *TEXTS}
        assert set(schema[table]["columns"]) - ownership.theirs(table) - restored == set(), table


@needs_ovsdb
def test_a_lost_database_is_declared_as_before(
    run: Callable[..., str], served: str, database: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A port that is enabled is remembered as one of which nothing is said.
    (tmp_path / "net.yaml").write_text(GOLDEN.read_text().replace("        enabled: true\n", ""))
    run(f"apply -f {tmp_path / 'net.yaml'}")
    before = run("export").splitlines()
    session = Session(served, document.schema())
    deadline = time.monotonic() + 5
    while not session.run() or not session.in_sync or not session.idl.tables["Port"].rows:
        assert time.monotonic() < deadline
        session.block()
    declared = snapshot.declared(session.idl)
    session.close()
    assert declared.faults == ()
    bindings = [Binding("h1", f"vm-{port.name}", 1, port.network, port.name) for port in declared.ports.values()]
    bindings.append(Binding("h2", "vm9", 1, "blue"))
    mark = {marks.KEY: str(marks.mark_of(declared))}
    found = {
        row.remote: Found(row.remote, name, marks.remembered(marks.memory(declared, name, bindings) | mark))
        for name, row in declared.chassis.items()
        if not row.dials_in
    }
    database.transact([{"op": "delete", "table": table, "where": []} for table in TABLES])
    told = marks.memory(declared, "h2", bindings) | mark
    insert(
        database, "Pending", name="h2", address="192.0.2.2:4", remembered=["map", [list(each) for each in told.items()]]
    )
    monkeypatch.setattr(rebuild, "ask", found.__getitem__)
    run("rebuild --from-chassis tcp:192.0.2.1:6640,dial-in")
    # A tenant is remembered by its name, and what is of the whole database by nobody.
    for table in ("Overlay_Global", "Tenant"):
        update(database, table, [], external_ids=["map", []])
    after = run("export").splitlines()
    assert section(after, "chassis:", "tenants:") == section(before, "chassis:", "tenants:")
    assert section(after, "networks:") == section(before, "networks:")


def section(lines: list[str], first: str, last: str = "") -> list[str]:
    return lines[lines.index(first) : lines.index(last) if last else None]
