"""`overlayctl health`: one word, an exit code that says the same, and what it is for."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from controller.cli import health
from ovsdb.rpc import Connection
from tests.cli.words import REFUSED, call, insert, update
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb


@pytest.fixture
def served(session: None, database: Connection, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Two chassis that are ready, all installed, a controller at work."""
    monkeypatch.setattr(health, "PATIENCE", 0.1)
    number = database.select("Overlay_Global")[0]["nb_cfg"]
    update(database, "Overlay_Global", [], cur_cfg=number, heartbeat=int(time.time()))
    update(database, "Chassis", [], state="ready", cur_cfg=number)
    return database


def asked(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = call("health --format json")
    return code, json.loads(capsys.readouterr().out)


def test_all_is_well(served: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = asked(capsys)
    assert (code, said["level"]) == (0, "OK")
    assert call("health") == 0
    words = ["database", "controller", "chassis", "tunnels", "others", "impostors", "configuration", "problems"]
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("OK: ")
    assert [line.split()[1] for line in rest] == words


@pytest.mark.parametrize(
    ("change", "level", "what"),
    [
        (("Overlay_Global", [], {"heartbeat": 1}), 2, "no controller has been at work"),
        (("Overlay_Global", [], {"alarm": "an older copy"}), 2, "an older copy"),
        (("Chassis", [["name", "==", "h2"]], {"cur_cfg": 1}), 1, "is not installed everywhere: h2 has 1"),
        (
            ("Chassis", [["name", "==", "h2"]], {"impostor": "OpenFlow from 192.0.2.9 was refused"}),
            1,
            "h2: OpenFlow fr",
        ),
        (("Chassis", [["name", "==", "h2"]], {"state": "unreachable", "error": REFUSED}), 1, "1 of 2 ready; h2 unrea"),
        (
            ("Chassis", [["name", "==", "h1"]], {"silent": ["map", [["vxlan 192.0.2.2", "h2"]]]}),
            1,
            "h1: nothing arrives of what is sent there by h2 (vxlan from 192.0.2.2)",
        ),
        (
            ("Chassis", [["name", "==", "h1"]], {"remarks": ["set", ["1 flows are not ours"]]}),
            1,
            "h1: 1 flows are not ours",
        ),
        (("Chassis", [], {"state": "unreachable"}), 2, "0 of 2 ready"),
    ],
)
def test_what_is_wrong_is_named_first(
    served: Connection, capsys: pytest.CaptureFixture[str], change: Any, level: int, what: str
) -> None:
    table, where, row = change
    update(served, table, where, **row)
    assert call("health") == level
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(("OK", "WARNING", "CRITICAL")[level])
    assert what in first


def test_a_plug_that_is_wrong_is_a_warning(served: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        insert(served, "Binding", chassis="h1", interface=f"vm{number}", ofport=3, error="no such port")
    code, said = asked(capsys)
    assert code == 1
    found = next(each["found"] for each in said["findings"] if each["what"] == "problems")
    assert found.startswith("h1/vm0: no such port")
    assert found.endswith("and 2 more (overlayctl show)")


def test_no_database_is_critical(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    assert call(f"--db unix:{tmp_path}/none.sock health") == 2
    assert capsys.readouterr().out.startswith("CRITICAL: no overlay database at unix:")


@pytest.mark.parametrize("seconds", ["0.3", "0"])
def test_it_takes_no_longer_than_it_may(seconds: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A server that takes connections and says nothing: it hangs, or its host does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(tmp_path / "hung.sock"))
        hung.listen()
        began = time.monotonic()
        assert call(f"--db unix:{tmp_path}/hung.sock --timeout {seconds} health") == 2
        assert time.monotonic() - began < 2
    assert f"has not told all within {seconds} s" in capsys.readouterr().out.splitlines()[0]


def test_what_comes_after_it_is_not_struck_by_its_alarm(served: Connection) -> None:
    before = signal.getsignal(signal.SIGALRM)
    assert call("health --timeout 0.5") == 0
    assert signal.getsignal(signal.SIGALRM) is before
    time.sleep(0.6)
