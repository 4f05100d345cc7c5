"""The OVSDB client: against a real server where that can be made to do it, else against a scripted one."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovsdb import paths, remotes, rpc
from ovsdb.rpc import Connection, TransactionError, UnreachableError, WrongDatabaseError, connect
from tests.overlay_database import needs_ovsdb, serving
from topologies.cluster import run_tool


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("db")) as served:
        yield served


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and the server's end of it."""
    ours, theirs = socket.socketpair()
    with theirs, Connection(ours, "unix:/test", "Overlay") as connection:
        yield connection, theirs


def reply(number: int, result: Any, error: Any = None) -> bytes:
    return json.dumps({"id": number, "result": result, "error": error}).encode()


@needs_ovsdb
def test_a_transaction_returns_one_result_per_operation(remote: str) -> None:
    with connect(remote) as database:
        row = {"name": 'ö}{"', "description": "this one"}
        inserted, found = database.transact(
            [{"op": "insert", "table": "Tenant", "row": row}, rpc.select("Tenant", [["description", "==", "this one"]])]
        )
        assert found["rows"][0]["_uuid"] == inserted["uuid"]
        assert database.select("Tenant", rpc.same_row(inserted["uuid"][1]))[0]["name"] == 'ö}{"'


@needs_ovsdb
def test_a_refused_transaction_says_why_and_does_nothing(remote: str) -> None:
    row = {"name": "a"}
    with connect(remote) as database:
        with pytest.raises(TransactionError) as refused:
            database.transact([{"op": "insert", "table": "Tenant", "row": row}] * 2)
        assert refused.value.error == "constraint violation"
        assert database.select("Tenant", [["name", "==", "a"]]) == []


@needs_ovsdb
def test_a_long_answer_arrives_whole(remote: str) -> None:
    with connect(remote) as database:
        database.transact(
            [
                {
                    "op": "insert",
                    "table": "Neighbor",
                    "row": {"network": "n" * 50, "ip": f"10.1.{number >> 8}.{number & 255}", "mac": "x"},
                }
                for number in range(5000)
            ]
        )
        rows = database.select("Neighbor", [["network", "==", "n" * 50]])
        database.transact([{"op": "delete", "table": "Neighbor", "where": []}])
    assert len({row["ip"] for row in rows}) == 5000


@needs_ovsdb
@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_tcp(tmp_path: Path, address: str) -> None:
    family = socket.AF_INET6 if address.startswith("[") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((address.strip("[]"), 0))
        port = probe.getsockname()[1]
    with serving(tmp_path, f"--remote=ptcp:{port}:{address}"), connect(f"tcp:{address}:{port}") as database:
        assert database.call("echo", ["x"]) == ["x"]


@needs_ovsdb
def test_the_first_server_that_answers_is_taken(remote: str) -> None:
    with connect(f"unix:/nowhere.sock,{remote}") as database:
        assert database.where == remote


@needs_ovsdb
def test_another_database_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.ovsschema"
    other.write_text(
        json.dumps({"name": "Other", "version": "1.0.0", "tables": {"T": {"columns": {"c": {"type": "string"}}}}})
    )
    run_tool("create", tmp_path / "test.db", other)
    named = "does not serve the database 'Overlay'; it serves: Other"
    with serving(tmp_path) as served, connect(served) as database, pytest.raises(WrongDatabaseError, match=named):
        database.select("Network")


@needs_ovsdb
def test_a_server_side_wait_ends_when_the_value_is_there(remote: str) -> None:
    until = {
        "op": "wait",
        "table": "Tenant",
        "where": [["name", "==", "late"]],
        "columns": ["name"],
        "until": "!=",
        "rows": [],
        "timeout": 5000,
    }

    def insert() -> None:
        time.sleep(0.2)
        with connect(remote) as other:
            other.transact([{"op": "insert", "table": "Tenant", "row": {"name": "late"}}])

    writer = threading.Thread(target=insert)
    writer.start()
    started = time.monotonic()
    with connect(remote) as database:
        database.transact([until], 10)
    writer.join()
    assert 0.15 < time.monotonic() - started < 2


def test_the_servers_probe_is_answered(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    server.sendall(b'{"id":"echo","method":"echo","params":["a"]}' + reply(1, ["done"]))
    assert connection.call("echo", []) == ["done"]
    sent = server.recv(4096).decode()
    assert sent.endswith(json.dumps({"result": ["a"], "error": None, "id": "echo"}))


def test_messages_may_arrive_in_any_pieces(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    notice = b'{"id":null,"method":"update","params":["}{",{"a":"\\"}\xc3\xb6"}]}\n'
    whole = notice + reply(0, "old") + reply(1, {"text": "}\u00f6{"}) + reply(2, "next")

    def send() -> None:
        for position in range(len(whole)):
            server.sendall(whole[position : position + 1])
            if position % 16 == 0:
                time.sleep(0.0005)

    sender = threading.Thread(target=send)
    sender.start()
    assert connection.call("a", []) == {"text": "}\u00f6{"}
    assert connection.call("b", []) == "next"
    sender.join()


def test_what_stands_between_messages_may_come_alone(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair

    def send() -> None:
        for piece in (reply(0, "old"), b"\n", b" \n ", reply(1, "asked for") + b"\n"):
            server.sendall(piece)
            time.sleep(0.05)

    sender = threading.Thread(target=send)
    sender.start()
    assert connection.call("a", []) == "asked for"
    sender.join()


def test_silence_ends_in_an_error(pair: tuple[Connection, socket.socket]) -> None:
    started = time.monotonic()
    with pytest.raises(UnreachableError, match=r"unix:/test: no answer within 0\.2 s"):
        pair[0].call("echo", [], timeout=0.2)
    assert time.monotonic() - started < 1


def test_probes_alone_do_not_prolong_it(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    stop = threading.Event()

    def probe() -> None:
        while not stop.wait(0.05):
            server.sendall(b'{"id":"echo","method":"echo","params":[]}')

    prober = threading.Thread(target=probe)
    prober.start()
    try:
        with pytest.raises(UnreachableError, match="no answer"):
            connection.call("echo", [], timeout=0.3)
    finally:
        stop.set()
        prober.join()


def test_a_server_that_closes_or_is_none(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    server.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    with pytest.raises(UnreachableError, match="no OVSDB server"):
        connection.call("echo", [])
    ours, theirs = socket.socketpair()
    with Connection(ours, "unix:/test", "Overlay") as other:
        theirs.close()
        with pytest.raises(UnreachableError, match="unix:/test: the connection broke off"):
            other.call("echo", [])


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"/none\.sock: there is no such socket"):
        connect(f"unix:{tmp_path}/none.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{tmp_path}/left.sock")
    with pytest.raises(UnreachableError, match="nobody listens there"):
        connect(f"unix:{tmp_path}/left.sock")
    with pytest.raises(UnreachableError, match="too long"):
        connect(f"unix:/{'x' * 200}")


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("tcp:192.0.2.1:6641", "tcp:192.0.2.1:6641"),
        ("tcp:192.0.2.1", "tcp:192.0.2.1:6640"),
        ("tcp:[2001:DB8::0:1]", "tcp:[2001:db8::1]:6640"),
        ("ssl:192.0.2.1", "ssl:192.0.2.1:6640"),
        ("ssl:[2001:db8::1]:6642", "ssl:[2001:db8::1]:6642"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
    ],
)
def test_remotes(written: str, canonical: str) -> None:
    assert str(remotes.remote(written)) == canonical


@pytest.mark.parametrize(
    "written",
    [
        "",
        "x",
        "192.0.2.1:6640",
        "tcp:",
        "tcp:host:6640",
        "tcp:192.0.2.1:",
        "tcp:192.0.2.1:0",
        "tcp:192.0.2.1:65536",
        "tcp:192.0.2.1:６６",
        "tcp:192.0.2.256:1",
        "tcp:[::1",
        "tcp:::1:6640",
        "tcp:[::1]6640",
        "ssl:",
        "ssl:host:6640",
        "unix:x",
        "unix:",
        "ptcp:6640",
        "tcp:192.0.2.1:6640:1",
    ],
)
def test_remotes_refused(written: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(written))):
        remotes.remote(written)


def test_a_command_does_not_wait_for_python_ovs_to_load() -> None:
    program = "import ovsdb.rpc, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert not {"ovs", "eventlet", "netaddr", "ryu"} & set(done.stdout.split())


def test_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OVERLAY_RUNDIR", "OVERLAY_DBDIR", "OVERLAY_DB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert paths.default_database() == "unix:/run/ovs-overlay/overlay.sock"
    assert paths.database_path() == Path("/var/lib/ovs-overlay/overlay.db")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert paths.socket_path() == Path("/run/user/1000/ovs-overlay/overlay.sock")
    assert paths.database_path() == Path("/home/u/.local/state/ovs-overlay/overlay.db")
    monkeypatch.setenv("OVERLAY_RUNDIR", "/r")
    monkeypatch.setenv("OVERLAY_DB", "tcp:192.0.2.1:6641")
    assert paths.socket_path() == Path("/r/overlay.sock")
    assert paths.default_database() == "tcp:192.0.2.1:6641"
