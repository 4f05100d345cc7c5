"""What is read of the overlay database from a cache is what is read anew, whatever was changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ovsdb import document, rpc, snapshot
from ovsdb.session import Session
from tests.overlay_database import needs_ovsdb, serving

pytestmark = needs_ovsdb


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[rpc.Connection, Session, snapshot.PortCache]]:
    with serving(tmp_path) as remote, rpc.connect(remote) as database:
        session = Session(remote, document.schema())
        cache = snapshot.PortCache()
        session.tell(cache.stale)
        yield database, session, cache
        session.close()


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def insert(table: str, number: int, **row: Any) -> dict[str, Any]:
    return {"op": "insert", "table": table, "uuid": uuid(number), "row": row}


def update(table: str, number: int, **row: Any) -> dict[str, Any]:
    return {"op": "update", "table": table, "where": rpc.same_row(uuid(number)), "row": row}


def catch_up(session: Session, nb_cfg: int) -> None:
    deadline = time.monotonic() + 5
    session.run()
    while not session.in_sync or snapshot.declared(session.idl).nb_cfg != nb_cfg:
        assert time.monotonic() < deadline
        session.block()
        session.run()


def test_a_cache_changes_nothing(served: tuple[rpc.Connection, Session, snapshot.PortCache]) -> None:
    database, session, cache = served
    database.transact(
        [
            insert("Overlay_Global", 1, nb_cfg=1),
            insert("Tenant", 2, name="acme"),
            insert("Network", 3, name="red", tenant=["uuid", uuid(2)], vni=100, encap="vxlan"),
            insert("Address", 4, network=["uuid", uuid(3)], ip="10.0.0.1"),
            insert(
                "Port", 5, name="p1", network=["uuid", uuid(3)], mac="02:00:00:00:00:01", addresses=["uuid", uuid(4)]
            ),
            insert("Port", 6, name="p2", network=["uuid", uuid(3)], mac="wrong"),
        ]
    )
    steps: list[list[dict[str, Any]]] = [
        [update("Port", 5, mac="02:00:00:00:00:11")],
        [update("Network", 3, name="scarlet")],
        [update("Address", 4, ip="2001:db8::1")],
        [update("Port", 6, mac="02:00:00:00:00:02", enabled=False)],
        [update("Port", 5, name="p3", description="renamed")],
        [update("Port", 5, addresses=["set", []])],
        [{"op": "delete", "table": "Port", "where": rpc.same_row(uuid(6))}],
        [insert("Port", 7, name="p1", network=["uuid", uuid(3)], mac="02:00:00:00:00:07")],
    ]
    seen = []
    for number, step in enumerate([[], *steps], 1):
        database.transact([*step, update("Overlay_Global", 1, nb_cfg=number)])
        catch_up(session, number)
        fresh = snapshot.declared(session.idl)
        assert snapshot.declared(session.idl, cache) == fresh
        seen.append((fresh.ports, fresh.faults))
    assert seen[0][0]["p1"].mac == "02:00:00:00:00:01"
    assert seen[0][1] == ("port 'p2': MAC 'wrong' is not of the form 02:00:00:00:00:01",)
    assert all(one != other for one, other in pairwise(seen)), "each step is one"
    session.idl.force_reconnect()
    database.transact([update("Port", 7, mac="02:00:00:00:00:08"), update("Overlay_Global", 1, nb_cfg=99)])
    catch_up(session, 99)
    assert snapshot.declared(session.idl, cache) == snapshot.declared(session.idl)
    assert snapshot.declared(session.idl, cache).ports["p1"].mac == "02:00:00:00:00:08"
