"""A write whose answer is lost is done once, and the command says so; on real servers, behind a wire that breaks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ovsdb.rpc import Connection, connect
from tests.cli.words import call
from tests.overlay_database import needs_ovsdb, serving

pytestmark = [needs_ovsdb, pytest.mark.server]
WRITE = b'"table": "Change", "uuid"'
"""Is in every transaction that writes, and in nothing else."""


class Wire:
    """A listener that passes bytes to a server and back, and breaks at `when` for the first `times` writes."""

    def __init__(self, server: str, when: str, times: int) -> None:
        self.server, self.when, self.left = server.removeprefix("unix:"), when, times
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.remote = f"tcp:127.0.0.1:{self.listener.getsockname()[1]}"
        self.writes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=[client], daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self.server)
            # Requests and answers take turns, and here each is small enough to arrive in one piece.
            while data := client.recv(1 << 20):
                breaks = WRITE in data and self.left > 0
                self.left -= breaks
                self.writes += WRITE in data
                if breaks and self.when == "before":
                    return
                server.sendall(data)
                answer = server.recv(1 << 20)
                if breaks and self.when == "twice":
                    server.sendall(data)
                    client.sendall(server.recv(1 << 20))
                    continue
                if breaks and self.when == "silence":
                    time.sleep(6)
                if breaks:
                    return
                client.sendall(answer)


@contextmanager
def wire(server: str, when: str, times: int = 1) -> Iterator[Wire]:
    made = Wire(server, when, times)
    try:
        yield made
    finally:
        made.listener.close()


ADD = "port-add web9 --net red --mac 02:00:00:00:00:09 --ip 10.0.0.9"


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_broken_connection(
    database: Connection, served: str, when: str, times: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = database.select("Overlay_Global")[0]["nb_cfg"]
    with wire(served, when, times) as broken:
        assert call(f"--db {broken.remote} {ADD}") == 0, capsys.readouterr().err
        assert broken.writes == (1 if when == "after" else times + 1)
    assert capsys.readouterr() == ("", "")
    assert len(database.select("Port", [["name", "==", "web9"]])) == 1
    assert database.select("Overlay_Global")[0]["nb_cfg"] == before + 1


@pytest.mark.usefixtures("session")
def test_a_server_that_falls_silent(database: Connection, served: str, capsys: pytest.CaptureFixture[str]) -> None:
    with wire(served, "silence") as broken:
        assert call(f"--db {broken.remote} {ADD}") == 0, capsys.readouterr().err
        assert broken.writes == 1
    assert len(database.select("Change", [["what", "==", ADD]])) == 1


@pytest.mark.usefixtures("session")
def test_the_next_member_is_asked(database: Connection, served: str, capsys: pytest.CaptureFixture[str]) -> None:
    with wire(served, "after", 9) as broken:
        assert call(f"--db {broken.remote},{served} {ADD}") == 0, capsys.readouterr().err
        assert broken.writes == 1
    assert len(database.select("Change", [["what", "==", ADD]])) == 1


@pytest.mark.usefixtures("session")
def test_patience_ends(database: Connection, served: str, capsys: pytest.CaptureFixture[str]) -> None:
    with wire(served, "before", 10_000) as broken:
        started = time.monotonic()
        assert call(f"--db {broken.remote} --timeout 1 {ADD}") == 5
        assert 1 <= time.monotonic() - started < 4
    said = capsys.readouterr().err
    assert "whether the change was done is not known: it was if overlayctl changes --columns request lists" in said
    assert not database.select("Port", [["name", "==", "web9"]])


@pytest.mark.usefixtures("session")
def test_a_server_that_repeats_it(database: Connection, served: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As a member of a cluster does that was not sure; what comes back is the refusal of the second."""
    with wire(served, "twice") as broken:
        assert call(f"--db {broken.remote} {ADD}") == 0, capsys.readouterr().err
        assert broken.writes == 1
    assert len(database.select("Change", [["what", "==", ADD]])) == 1


def test_a_server_that_restarts_meanwhile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path) as remote:
        assert call(f"--db {remote} net-add red --tenant acme --vni 100") == 0
        codes: list[int] = []

        def many() -> None:
            codes.extend(
                call(f"--db {remote} port-add p{number} --net red --mac 02:00:00:00:01:{number:02x}")
                for number in range(60)
            )

        writing = threading.Thread(target=many)
        writing.start()
        time.sleep(0.1)
    # A command that finds nobody at all is refused at once; one that was under way is not.
    with serving(tmp_path) as remote, connect(remote) as database:
        writing.join()
        names = {row["name"] for row in database.select("Port")}
        assert {f"p{number}" for number, code in enumerate(codes) if code == 0} == names
        assert len(database.select("Change")) == len(names) + 1
