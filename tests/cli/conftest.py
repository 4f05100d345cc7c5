"""`overlayctl` on a real ovsdb-server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ovsdb.rpc import Connection, connect
from tests.cli.words import TABLES, call, everything
from tests.overlay_database import serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("db")) as remote:
        yield remote


@pytest.fixture
def database(served: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """The empty overlay database, which `overlayctl` uses."""
    monkeypatch.setenv("OVERLAY_DB", served)
    with connect(served) as connection:
        connection.transact([{"op": "delete", "table": table, "where": []} for table in TABLES])
        yield connection


@pytest.fixture
def run(database: Connection, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must succeed; returns what it printed."""

    def run(line: str) -> str:
        code = call(line)
        printed = capsys.readouterr()
        assert (code, printed.err) == (0, "")
        return printed.out

    return run


@pytest.fixture
def refused(database: Connection, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail and change nothing; returns its one line of error."""

    def refused(line: str, code: int = 1) -> str:
        before = everything(database)
        assert call(line) == code
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("overlayctl: ")
        assert printed.err.count("\n") == 1
        assert everything(database) == before
        return printed.err.strip()

    return refused


@pytest.fixture
def session(run: Callable[..., str]) -> None:
    """Two chassis, two networks, two ports."""
    run("chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1")
    run("chassis-add h2 tcp:192.0.2.2:6640 --vtep 192.0.2.2")
    run("net-add red --tenant acme --vni 100 --encap vxlan")
    run("net-add blue --tenant umbra --vni 200 --encap gre")
    run("port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1")
    run("port-add web2 --net red --mac 02:00:00:00:00:02 --ip 10.0.0.2")
