"""The controller's sessions over TLS, with python-ovs, as they are and under eventlet as `ryu-manager` has it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ovsdb.embedded import schema
from tests.certificates import Authority, free_port, options
from tests.overlay_database import needs_ovsdb, serving

pytestmark = [needs_ovsdb, pytest.mark.server]

PROGRAM = """
import sys, time, json, resource
patched, remote, seconds, name, write = sys.argv[1:6]
if patched == "patched":
    from ryu.lib import hub
    hub.patch(thread=False)
    hub.patch(thread=True)
from ovsdb.session import Session
schema = json.loads(open(sys.argv[6]).read())
session = Session(remote, schema, name=name or None)
began = time.monotonic()
turns = 0
while time.monotonic() < began + float(seconds):
    turns += 1
    session.run()
    if session.in_sync or (sys.argv[7] and sys.argv[7] in session.fault):
        break
    session.block()
said = {"in_sync": session.in_sync, "fault": session.fault, "turns": turns, "took": time.monotonic() - began,
        "address": session.local_address}
if session.in_sync and int(write):
    def fill(idl, transaction):
        for number in range(int(write)):
            row = transaction.insert(idl.tables["Tenant"])
            row.name, row.description = f"t{number}", "\\u00e9" * 200
    began = time.monotonic()
    while not session.transact(fill):
        session.run()
    said["wrote"] = time.monotonic() - began
if session.in_sync:
    said["tenants"] = len(session.idl.tables["Tenant"].rows)
usage = resource.getrusage(resource.RUSAGE_SELF)
said["cpu"] = usage.ru_utime + usage.ru_stime
session.close()
print(json.dumps(said))
"""


@pytest.fixture(params=["plain", "patched"])
def patched(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("ours"))
    made.issue("controller", "h1", "h2")
    return made


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def serve(running: ExitStack, directory: Path, home: Path) -> str:
    port = free_port()
    running.enter_context(serving(directory, f"--remote=pssl:{port}:127.0.0.1", *options(home)))
    return f"ssl:127.0.0.1:{port}"


def session(
    patched: str, remote: str, home: Path | None, *, seconds: float = 4, name: str = "", write: int = 0, words: str = ""
) -> Any:
    """What became of a session that was given that long to be in sync, or to say these words."""
    argv = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        PROGRAM,
        patched,
        remote,
        str(seconds),
        name,
        str(write),
        schema(),
        words,
    ]
    env = {**os.environ, "OVERLAY_PKI": str(home) if home else ""}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_much_is_written_and_read(patched: str, ours: Authority, running: ExitStack, tmp_path: Path) -> None:
    remote = serve(running, tmp_path, ours.directory / "controller")
    wrote = session(patched, remote, ours.directory / "controller", seconds=10, write=3000)
    assert (wrote["in_sync"], wrote["fault"], wrote["address"]) == (True, "", "127.0.0.1")
    read = session(patched, remote, ours.directory / "controller", seconds=20)
    assert read["tenants"] == 3000
    assert read["took"] < 10


@pytest.mark.parametrize(
    ("server", "client", "words"),
    [
        ("ours/controller", "theirs/controller", "another CA than"),
        ("theirs/controller", "ours/controller", "its certificate is of another CA than ours"),
        ("mixed/controller", "ours/controller", "its certificate is of another CA than ours"),
        ("ours/controller", "mixed/controller", "our certificate is of another CA than it knows"),
        ("ours/expired-controller", "ours/controller", "TLS: its certificate has expired"),
        ("ours/controller", "ours/expired-controller", "our certificate has expired"),
        ("ours/h1", "ours/controller", "its certificate is of 'h1', not of 'controller', 'database'"),
        ("ours/controller", None, "set OVERLAY_PKI to a directory with key.pem"),
        ("ours/controller", "ours/nobody", "there is no"),
    ],
)
def test_what_is_refused_is_said(
    patched: str, server: str, client: str | None, *, words: str, running: ExitStack, tmp_path: Path
) -> None:
    kinds = {kind: Authority(tmp_path / kind) for kind in ("ours", "theirs")}
    for made in kinds.values():
        made.issue("controller", "h1")
        made.expired("controller")
    mixed = tmp_path / "mixed" / "controller"
    mixed.mkdir(parents=True)
    for name, kind in (("key.pem", "theirs"), ("cert.pem", "theirs"), ("cacert.pem", "ours")):
        (mixed / name).symlink_to(tmp_path / kind / "controller" / name)
    remote = serve(running, tmp_path, tmp_path / server)
    said = session(patched, remote, tmp_path / client if client else None, seconds=8, words=words)
    assert not said["in_sync"]
    assert words in said["fault"]


def test_a_chassis_has_its_own_name(patched: str, ours: Authority, running: ExitStack, tmp_path: Path) -> None:
    remote = serve(running, tmp_path, ours.directory / "h2")
    assert session(patched, remote, ours.directory / "controller", name="h2")["in_sync"]
    words = "its certificate is of 'h2', not of 'h1'"
    wrong = session(patched, remote, ours.directory / "controller", name="h1", words=words)
    assert not wrong["in_sync"]
    assert words in wrong["fault"]


def test_who_is_silent_costs_nothing(patched: str, ours: Authority) -> None:
    """A TCP connection is made, and then nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = f"ssl:127.0.0.1:{silent.getsockname()[1]}"
        said = session(patched, remote, ours.directory / "controller", seconds=5)
    assert not said["in_sync"]
    assert said["turns"] < 100
    assert said["fault"]


def test_who_speaks_no_tls_is_named(patched: str, ours: Authority, running: ExitStack, tmp_path: Path) -> None:
    port = free_port()
    running.enter_context(serving(tmp_path, f"--remote=ptcp:{port}:127.0.0.1"))
    said = session(patched, f"ssl:127.0.0.1:{port}", ours.directory / "controller", seconds=4)
    assert not said["in_sync"]
    assert "TLS" in said["fault"] or "no answer" in said["fault"]


def test_renewed_files_count_without_a_restart(ours: Authority, tmp_path: Path) -> None:
    """A session that was refused takes the next certificate at its next attempt."""
    with ExitStack() as running:
        remote = serve(running, tmp_path, ours.directory / "controller")
        home = ours.expired("controller")
        argv = [sys.executable, "-W", "ignore", "-c", PROGRAM, "plain", remote, "15", "", "0", str(schema()), ""]
        env = {**os.environ, "OVERLAY_PKI": str(home)}
        with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as waiting:
            try:
                waiting.wait(1.5)
            except subprocess.TimeoutExpired:
                fresh = ours.directory / "controller"
                for name in ("key.pem", "cert.pem"):
                    (home / f"{name}.new").write_bytes((fresh / name).read_bytes())
                    (home / f"{name}.new").replace(home / name)
            assert json.loads(waiting.communicate(timeout=30)[0])["in_sync"]
