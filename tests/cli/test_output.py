"""Where the output goes: a standard output that is closed or full, and encodings that have not every character."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.cli.transaction import logged
from ovsdb.rpc import Connection
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb
PROGRAM = str(Path(sys.executable).with_name("overlayctl"))


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'"{PROGRAM}" {line}'],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.usefixtures("session")
def test_what_is_done_is_done_although_nobody_can_be_told(database: Connection) -> None:
    done = shell("port-add web3 --net red >&-")
    assert (done.returncode, done.stderr) == (0, "")
    done = shell("port-add web4 --net red > /dev/full")
    unwritten = "overlayctl: done, but its output could not be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (4, unwritten)
    assert {"web3", "web4"} <= {row["name"] for row in database.select("Port")}
    for line in ("show", "--help", "port-add --help", "man", "--version", "list Port --format json"):
        assert (shell(f"{line} >&-").returncode, shell(f"{line} >&-").stderr) == (0, "")
        assert (shell(f"{line} > /dev/full").returncode, shell(f"{line} > /dev/full").stderr) == (4, unwritten)
    for where in (">&-", "> /dev/full"):
        done = shell(f"port-add web4 --net red {where}")
        assert done.returncode == 1
        assert done.stderr.startswith("overlayctl: port 'web4' exists already")
    assert shell("port-add web4 --net red >&- 2>&-").returncode == 1
    assert shell("fly > /dev/full").returncode == 2


def test_a_script_ends_where_its_output_does(database: Connection) -> None:
    done = shell("batch --status > /dev/full <<END\ntenant-add acme\ntenant-add umbra\nEND")
    assert done.returncode == 4
    assert [row["name"] for row in database.select("Tenant")] == ["acme"]


def test_an_encoding_that_has_not_every_character(database: Connection) -> None:
    assert shell("tenant-add acme --description 'Käse ☃'").returncode == 0
    done = shell("tenant-list", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "K\\xe4se \\u2603" in done.stdout


def test_what_is_no_utf8_is_refused(database: Connection) -> None:
    done = shell("tenant-add acme --description \"$(printf 'K\\344se')\"")
    assert done.returncode == 2
    assert done.stderr.endswith("overlayctl: error: --description: b'K\\xe4se' is not UTF-8\n")
    assert shell("tenant-add \"$(printf '\\344')\"").stderr.endswith("argument 2: b'\\xe4' is not UTF-8\n")
    done = shell("batch <<END\ntenant-add x\ntenant-add \"$(printf '\\344')\"\nEND")
    assert done.returncode == 2
    assert "is not UTF-8" in done.stderr
    assert [row["name"] for row in database.select("Tenant")] == ["x"]


def test_very_long_words_cost_little(database: Connection) -> None:
    started = time.monotonic()
    for word in ("a", "secret", "password ", "é", "'"):
        assert len(logged(["tenant-set", "nl", "--description", word * 100_000])) <= 1000
        assert len(logged(["find", *[f"{word}=x"] * 100_000])) <= 1000
    assert time.monotonic() - started < 1
    assert logged(["a=1,password=x,token=y"]) == "a=1,password=***"
    assert logged(["password=x\ny"]) == "password=***"
    done = shell(f"tenant-add nl --description {'a' * 40_000}")
    assert (done.returncode, done.stderr) == (
        1,
        "overlayctl: description 'aaaaaaaaaaaaaaaaaaaa'... has 40000 characters; at most 1000 are kept\n",
    )
    assert shell(f"tenant-add nl --description {'a' * 1000}").returncode == 0
    assert shell(f"set Tenant nl description={'b' * 1001}").returncode == 1
