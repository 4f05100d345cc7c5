"""What ovsdb-server lets a client with the role `chassis` do, and one that may only read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ovsdb import rights, rpc, tls
from ovsdb.embedded import schema
from ovsdb.rpc import Connection, TransactionError, connect
from ovsdb.session import Session
from tests.certificates import Authority, free_port, options
from tests.overlay_database import needs_ovsdb, serving

pytestmark = [needs_ovsdb, pytest.mark.server]
Operation = dict[str, Any]


@dataclass
class Served:
    """A database with two chassis, and where a chassis, and somebody who may only read, connect."""

    root: str
    chassis: str
    reader: str
    pki: Path


def insert(table: str, row: dict[str, Any], name: str = "") -> Operation:
    return {"op": "insert", "table": table, "row": row, **({"uuid-name": name} if name else {})}


def named(name: str) -> list[list[str]]:
    return [["name", "==", name]]


def grant(root: str) -> None:
    """What the controller does at its start."""
    session = Session(root, json.loads(schema().read_text()))
    for _ in range(200):
        session.run()
        if session.in_sync and session.transact(rights.write):
            break
        session.block()
    session.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Authority(tmp_path_factory.mktemp("pki"))
    made.issue("controller", "operator", "h1", "h2")
    ports = free_port(), free_port()
    remote = "--remote=db:Overlay,Overlay_Global,connections"
    with serving(tmp_path_factory.mktemp("db"), remote, *options(made.directory / "controller")) as root:
        grant(root)
        grant(root)  # a second time there is nothing to do
        with connect(root) as database:
            assert len(database.select("RBAC_Role")) == len(database.select("RBAC_Permission")) == 1
            database.transact(
                [
                    insert("Connection", {"target": f"pssl:{ports[0]}:127.0.0.1", "role": rights.ROLE}, "c"),
                    insert("Connection", {"target": f"pssl:{ports[1]}:127.0.0.1", "read_only": True}, "r"),
                    insert("Overlay_Global", {"connections": ["set", [["named-uuid", "c"], ["named-uuid", "r"]]]}),
                    *(insert("Vtep", {"ip": f"192.0.2.{n}"}, f"v{n}") for n in (1, 2)),
                    *(
                        insert("Chassis", {"name": f"h{n}", "ovsdb": f"unix:/h{n}", "vteps": ["named-uuid", f"v{n}"]})
                        for n in (1, 2)
                    ),
                    insert("Tenant", {"name": "t"}, "t"),
                    insert("Network", {"name": "red", "vni": 1, "encap": "vxlan", "tenant": ["named-uuid", "t"]}, "n"),
                    insert("Port", {"name": "web1", "mac": "02:00:00:00:00:01", "network": ["named-uuid", "n"]}),
                ]
            )
        chassis, reader = (f"ssl:127.0.0.1:{port}" for port in ports)
        found = Served(root, chassis, reader, made.directory)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(tls.VARIABLE, str(made.directory / "operator"))
            deadline = time.monotonic() + 10  # it looks at its Connection rows every few seconds
            for where in (chassis, reader):
                while not _answers(where):
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
        yield found


def _answers(remote: str) -> bool:
    try:
        connect(remote).close()
    except rpc.UnreachableError:
        return False
    return True


@pytest.fixture
def h1(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setenv(tls.VARIABLE, str(served.pki / "h1"))
    with connect(served.chassis) as database:
        yield database


def reported(served: Served) -> dict[str, Any]:
    with connect(served.root) as database:
        return {row["name"]: row["reported"][1] for row in database.select("Chassis")}


SAYS = ["map", [["load", "low"]]]


def test_its_own_row(served: Served, h1: Connection) -> None:
    h1.transact([{"op": "update", "table": "Chassis", "where": named("h1"), "row": {"reported": SAYS}}])
    more = [["reported", "insert", ["map", [["more", "1"]]]]]
    h1.transact([{"op": "mutate", "table": "Chassis", "where": named("h1"), "mutations": more}])
    assert reported(served)["h1"] == [["load", "low"], ["more", "1"]]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "update", "table": "Chassis", "where": named("h2"), "row": {"reported": SAYS}},
        {"op": "update", "table": "Chassis", "where": [], "row": {"reported": SAYS}},
        {"op": "mutate", "table": "Chassis", "where": named("h2"), "mutations": [["reported", "insert", SAYS]]},
        {"op": "update", "table": "Chassis", "where": named("h1"), "row": {"ovsdb": "unix:/mine"}},
        {"op": "update", "table": "Chassis", "where": named("h1"), "row": {"reported": SAYS, "error": "none"}},
        {"op": "update", "table": "Chassis", "where": named("h1"), "row": {"name": "h2"}},
        {"op": "delete", "table": "Chassis", "where": named("h1")},
        {"op": "delete", "table": "Network", "where": named("red")},
        {"op": "delete", "table": "Port", "where": []},
        insert("Port", {"name": "mine", "mac": "02:00:00:00:00:02"}),
        insert("Tenant", {"name": "mine"}),
        {"op": "update", "table": "Port", "where": [], "row": {"mac": "02:00:00:00:00:03"}},
        {"op": "update", "table": "RBAC_Permission", "where": [], "row": {"insert_delete": True}},
        {"op": "update", "table": "Connection", "where": [], "row": {"role": ""}},
        {"op": "mutate", "table": "Overlay_Global", "where": [], "mutations": [["nb_cfg", "+=", 1]]},
    ],
    ids=lambda operation: "-".join([operation["op"], operation["table"]]),
)
def test_all_else_is_refused(served: Served, h1: Connection, operation: Operation) -> None:
    with connect(served.root) as database:
        before = {table: database.select(table) for table in ("Chassis", "Network", "Port", "Tenant", "Connection")}
        # What is wrong with the operation is not that it could not be done at all.
        with pytest.raises(TransactionError) as refused:
            h1.transact([operation])
        assert refused.value.error == "permission error"
        for table, rows in before.items():
            ignored = ("is_connected", "status", "_version")
            now = [{name: row[name] for name in row if name not in ignored} for row in database.select(table)]
            assert now == [{name: row[name] for name in row if name not in ignored} for row in rows]


def test_an_operator_is_no_chassis_there(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tls.VARIABLE, str(served.pki / "operator"))
    with connect(served.chassis) as database, pytest.raises(TransactionError, match='client "operator"'):
        database.transact([{"op": "update", "table": "Chassis", "where": named("h1"), "row": {"reported": SAYS}}])


def test_the_schema_stays(h1: Connection) -> None:
    with pytest.raises(rpc.DatabaseError, match="prohibit"):
        h1.call("convert", ["Overlay", json.loads(schema().read_text())])


def test_who_may_only_read(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tls.VARIABLE, str(served.pki / "operator"))
    with connect(served.reader) as database:
        assert [row["name"] for row in database.select("Network")] == ["red"]
        with pytest.raises(TransactionError, match="not allowed"):
            database.transact([{"op": "delete", "table": "Port", "where": []}])


def test_what_rights_do_not_cover(served: Served, h1: Connection) -> None:
    """Everything can be read, and a lock be taken: what the decision on TLS says about that is so."""
    assert [row["name"] for row in h1.select("Port")] == ["web1"]
    with connect(served.root) as controller:
        assert controller.call("lock", ["overlay_controller"]) == {"locked": True}
        assert h1.call("steal", ["overlay_controller"]) == {"locked": True}


def test_other_rights_count_when_the_server_listens_anew(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role given to a connection that is there already is no protection yet: `connection-set` says so."""
    monkeypatch.setenv(tls.VARIABLE, str(served.pki / "h1"))
    remote = "--remote=db:Overlay,Overlay_Global,connections"
    target = f"pssl:{free_port()}:127.0.0.1"
    where = f"ssl:127.0.0.1:{target.split(':')[1]}"

    def may_write() -> bool:
        try:
            with connect(where) as database:
                database.transact([{"op": "update", "table": "Tenant", "where": [], "row": {"description": "x"}}])
        except TransactionError:
            return False
        return True

    def settled(listens: bool) -> None:
        deadline = time.monotonic() + 15
        while _answers(where) != listens:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def listen(connection: list[Any], *operations: Operation) -> None:
        where_: list[Any] = []
        row = {"connections": ["set", connection]}
        database.transact([*operations, {"op": "update", "table": "Overlay_Global", "where": where_, "row": row}])

    with (
        serving(tmp_path, remote, *options(served.pki / "controller")) as root,
        connect(root) as database,
    ):
        grant(root)
        database.transact([insert("Overlay_Global", {})])
        listen([["named-uuid", "c"]], insert("Connection", {"target": target}, "c"))
        settled(True)
        assert may_write()
        database.transact([{"op": "update", "table": "Connection", "where": [], "row": {"role": rights.ROLE}}])
        time.sleep(4)
        assert may_write()
        listen([])
        settled(False)
        listen([["named-uuid", "c"]], insert("Connection", {"target": target, "role": rights.ROLE}, "c"))
        settled(True)
        assert not may_write()
