"""The controller's own ovsdb-server, as a real child."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ovsdb import embedded
from ovsdb.embedded import DatabaseError, EmbeddedServer
from ovsdb.rpc import connect
from tests.overlay_database import needs_ovsdb, serving
from topologies.cluster import run_tool

pytestmark = needs_ovsdb

PARENT = """
import sys, time
if sys.argv[3] == "eventlet":
    import eventlet
    eventlet.monkey_patch()
from pathlib import Path
from ovsdb import embedded
def begin():
    server = embedded.start(Path(sys.argv[1]), Path(sys.argv[2]))
    print(server.process.pid, flush=True)
    return server
if sys.argv[3] == "eventlet":
    server = eventlet.spawn(begin).wait()
    eventlet.spawn(eventlet.sleep, 0).wait()
else:
    server = begin()
time.sleep(60)
"""


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """The file and the socket, in directories that are not there yet."""
    return tmp_path / "lib" / "overlay.db", tmp_path / "run" / "overlay.sock"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "HANDOVER", 0.3)


@contextmanager
def running(database: Path, socket_path: Path) -> Iterator[EmbeddedServer]:
    server = embedded.start(database, socket_path)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def parent(database: Path, socket_path: Path, kind: str = "plain") -> Iterator[tuple[int, int]]:
    """The pids of a process that has started a server, and of that server."""
    command = [sys.executable, "-W", "ignore", "-c", PARENT, str(database), str(socket_path), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process.pid, child
        finally:
            process.kill()
            process.wait()
            await_end(child)


def await_end(pid: int, timeout: float = 5.0) -> None:
    deadline = time.monotonic() + timeout
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.01)


def insert_tenant(remote: str, name: str) -> None:
    with connect(remote) as database:
        database.transact([{"op": "insert", "table": "Tenant", "row": {"name": name}}])


def tenants(remote: str) -> list[str]:
    with connect(remote) as database:
        return sorted(row["name"] for row in database.select("Tenant"))


def test_it_makes_the_file_serves_it_and_keeps_it(places: tuple[Path, Path]) -> None:
    with running(*places) as server:
        assert server.remote == f"unix:{places[1]}"
        assert server.poll() is None
        insert_tenant(server.remote, "red")
    assert "ended (SIGTERM)" in (server.poll() or "")
    assert not places[1].exists()
    with running(*places) as server:
        assert tenants(server.remote) == ["red"]
    assert places[0].with_suffix(".log").exists()


def test_its_end_is_told(places: tuple[Path, Path]) -> None:
    with running(*places) as server:
        server.process.kill()
        server.process.wait()
        assert "SIGKILL" in (server.poll() or "")
        assert str(places[0]) in (server.poll() or "")


@pytest.mark.parametrize("kind", ["plain", "eventlet"])
def test_it_dies_with_its_parent(places: tuple[Path, Path], kind: str) -> None:
    with parent(*places, kind) as (controller, child):
        insert_tenant(f"unix:{places[1]}", "red")
        time.sleep(0.2)
        os.kill(child, 0)
        os.kill(controller, signal.SIGKILL)
        await_end(child)
    with running(*places) as server:
        assert tenants(server.remote) == ["red"]


def test_it_can_be_started_anew_at_once(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "HANDOVER", 3.0)
    with parent(*places) as (controller, _):
        os.kill(controller, signal.SIGKILL)
        with running(*places) as server:
            assert server.poll() is None


def test_a_terminals_interrupt_is_not_for_it(places: tuple[Path, Path]) -> None:
    with running(*places) as server:
        assert os.getsid(server.process.pid) != os.getsid(0)


def test_a_thread_may_not_start_it(places: tuple[Path, Path]) -> None:
    raised: list[Exception] = []

    def attempt() -> None:
        try:
            embedded.start(*places)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])


def test_a_second_controller_is_told_of_the_first(places: tuple[Path, Path]) -> None:
    with parent(*places) as (controller, _):
        with pytest.raises(DatabaseError) as refused:
            embedded.start(*places)
        for part in (f"pid {controller}", str(places[0]), f"OVERLAY_DB=unix:{places[1]}"):
            assert part in str(refused.value)
        assert tenants(f"unix:{places[1]}") == []


def test_a_second_server_on_one_file_is_told_of_the_first(places: tuple[Path, Path], tmp_path: Path) -> None:
    with parent(*places) as (_, child):
        with pytest.raises(DatabaseError) as refused:
            embedded.start(places[0], tmp_path / "run2" / "overlay.sock")
        for part in (str(places[0]), f"pid {child}", f"OVERLAY_DB=unix:{places[1]}"):
            assert part in str(refused.value)
        assert tenants(f"unix:{places[1]}") == []


def test_a_living_servers_socket_is_not_taken(tmp_path: Path) -> None:
    with serving(tmp_path) as remote:
        socket_path = Path(remote.removeprefix("unix:"))
        with pytest.raises(DatabaseError, match=rf"another server answers on .*; .*OVERLAY_DB={remote}"):
            embedded.start(tmp_path / "other.db", socket_path)
        assert tenants(remote) == []


def test_a_dead_servers_socket_is_no_obstacle(places: tuple[Path, Path]) -> None:
    places[1].parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(places[1]))
    with running(*places) as server:
        assert tenants(server.remote) == []


def test_a_newer_file_is_left_alone(places: tuple[Path, Path], tmp_path: Path) -> None:
    newer = json.loads(embedded.schema().read_text()) | {"version": "77.10.0"}
    newer["tables"]["Future"] = {"columns": {"x": {"type": "string"}}}
    (tmp_path / "newer.ovsschema").write_text(json.dumps(newer))
    places[0].parent.mkdir()
    run_tool("create", places[0], tmp_path / "newer.ovsschema")
    before = places[0].read_bytes()
    with pytest.raises(DatabaseError, match=r"version 77\.10\.0, newer than this program's \d"):
        embedded.start(*places)
    assert places[0].read_bytes() == before


def test_a_file_that_is_no_database(places: tuple[Path, Path]) -> None:
    places[0].parent.mkdir()
    places[0].write_text("hello\n")
    with pytest.raises(DatabaseError, match=r"overlay\.db cannot be read; move it away") as refused:
        embedded.start(*places)
    assert "\n" not in str(refused.value)
    assert places[0].read_text() == "hello\n"
    places[0].unlink()
    with running(*places) as server:
        assert tenants(server.remote) == []


def test_a_file_of_another_database(places: tuple[Path, Path], tmp_path: Path) -> None:
    tables = {"T": {"columns": {"c": {"type": "string"}}}}
    other = {"name": "Open_vSwitch", "version": "1.0.0", "tables": tables}
    (tmp_path / "other.ovsschema").write_text(json.dumps(other))
    places[0].parent.mkdir()
    run_tool("create", places[0], tmp_path / "other.ovsschema")
    with pytest.raises(DatabaseError, match="holds the database 'Open_vSwitch', not 'Overlay'"):
        embedded.start(*places)


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match=r"file/lib: Not a directory.*OVERLAY_DBDIR"):
        embedded.start(tmp_path / "file" / "lib" / "overlay.db", tmp_path / "run" / "overlay.sock")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_directory_of_somebody_else(places: tuple[Path, Path]) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            embedded.start(*places)
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read().startswith(
            f"DatabaseError: cannot make directory {places[1].parent}: Permission denied; run as a user"
        )


def test_a_missing_program_names_its_package(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "SYSTEM_PATH", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DatabaseError, match=r"ovsdb-server is not installed; .*apt install openvswitch-"):
        embedded.start(*places)


def test_a_plain_users_path_is_enough(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with running(*places) as server:
        assert server.poll() is None


def test_what_the_server_says_is_told(
    places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "ovsdb-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho ovsdb-server: no space left >&2\nexit 1\n")
    program.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(program.parent), prepend=":")
        with pytest.raises(DatabaseError, match=r"does not serve .*overlay\.db: ovsdb-server: no space left"):
            embedded.start(*places)
    with running(*places) as server:  # the lock was given back
        assert server.poll() is None
