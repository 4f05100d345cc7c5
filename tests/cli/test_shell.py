"""What is made from the parser for shells and readers, and commands read from a script."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.cli.main import main
from controller.cli.man import page
from controller.cli.parser import COMMON, build, verb_parser
from controller.cli.verbs import VERBS
from ovsdb.rpc import Connection
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb
BIN = str(Path(sys.executable).parent)
BASH = """
source "$SCRIPT"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_overlayctl
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compdef() { }
source "$SCRIPT"
compadd() { for each in "${@:2}"; do [[ $each == "${words[CURRENT]}"* ]] && print -r -- "$each"; done; true }
words=("$@"); CURRENT=$#
_overlayctl
"""
needs = {
    shell: pytest.param(shell, marks=pytest.mark.skipif(shutil.which(shell) is None, reason=f"needs {shell}"))
    for shell in ("bash", "zsh")
}


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("shell", needs.values())
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("port-a", {"port-add"}),
        ("net-add red --tenant acme -- port-sh", {"port-show"}),
        ("port-del we", {"web1", "web2"}),
        ("--db {db} net-del ", {"red", "blue"}),
        ("--wait --timeout 5 chassis-show h", {"h1", "h2"}),
        ("port-add x --net r", {"red"}),
        ("port-add web", {"web1", "web2"}),
        ("net-set red --tenant ", {"acme", "umbra"}),
        ("port-list --format j", {"json"}),
        ("list Chas", {"Chassis"}),
        ("get Network r", {"red"}),
        ("destroy Port web1 w", {"web1", "web2"}),
        ("completion ", {"bash", "zsh", "names"}),
        ("tenant-del --casc", {"--cascade"}),
        ("sync --wa", {"--wait"}),
        ("net-add x --vni ", set()),
        ("--db unix:/nowhere net-del ", set()),
    ],
)
def test_completion(served: str, tmp_path: Path, shell: str, line: str, offered: set[str]) -> None:
    script = tmp_path / "script"
    script.write_text(made("completion", shell))
    words = ["overlayctl", *line.format(db=served).split()] + ([""] if line.endswith(" ") else [])
    done = subprocess.run(
        [shell, *(["-f"] if shell == "zsh" else []), "-c", BASH if shell == "bash" else ZSH, shell, *words],
        env={**os.environ, "SCRIPT": str(script), "OVERLAY_DB": served, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (set(done.stdout.split()), done.stderr) == (offered, "")


def made(*arguments: str) -> str:
    return subprocess.run([f"{BIN}/overlayctl", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_every_option_of_the_parser_is_completed(shell: str) -> None:
    lines = {line.split(")")[0].strip(): line for line in made("completion", shell).splitlines() if "options=" in line}
    for name in VERBS:
        for action in verb_parser(VERBS[name])._actions:
            assert set(action.option_strings) - {"-h"} <= set(lines[name].replace('"', " ").replace("=", " ").split())
    assert {flag for action in build()._actions for flag in action.option_strings} - {"-h"} <= set(
        lines["*"].replace('"', " ").replace("=", " ").split()
    )


@pytest.mark.parametrize("command", [["mandoc", "-Tlint", "-Wwarning"], ["groff", "-man", "-ww", "-z"]])
def test_the_manual_page(command: list[str], tmp_path: Path) -> None:
    text = "\n".join(page())
    for name in VERBS:
        assert name.replace("-", "\\-") in text
        for action in verb_parser(VERBS[name])._actions:
            assert all(option.replace("-", "\\-") in text for option in action.option_strings if option != "-h") or (
                "--help" in action.option_strings
            )
    assert len(COMMON) > 5
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    file = tmp_path / "overlayctl.8"
    file.write_text(text + "\n")
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


SCRIPT = """\
# a comment

net-add red --tenant acme --vni 100 --subnet 10.0.0.0/24
port-add web1 --net red --ip auto4 --mac 02:00:00:00:00:01 --description 'two words'
port-add web1 --net red
fly
port-list --no-headings --net red -- net-list --no-headings
show --db unix:/x
man
apply -f -
port-add
"""


def test_a_script(database: Connection, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(SCRIPT))
    assert main(["batch", "--status"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "# 0",
        "# 0",
        "# 0",
        "web1: MAC 02:00:00:00:00:01, IP 10.0.0.1",
        "# 0",
        "# 1",
        "# 2",
        "web1  red      02:00:00:00:00:01  10.0.0.1",
        "red   acme    100  vxlan  1      -    -",
        "# 0",
        "# 1",
        "# 1",
        "# 1",
        "# 2",
    ]
    assert "overlayctl: line 5: port 'web1' exists already, in network 'red'" in printed.err
    assert "overlayctl: line 6: there is no verb 'fly'" in printed.err
    assert "overlayctl: line 10: apply -f - would read the lines of the batch" in printed.err
    assert "overlayctl: line 11: port-add: the following arguments are required: PORT, --net" in printed.err
    assert "usage:" not in printed.err
    assert "line 8: --db stands before batch" in printed.err
    assert "man has no place in a batch" in printed.err
    assert database.select("Port")[0]["description"] == "two words"
    monkeypatch.setattr(sys, "stdin", io.StringIO("net-del red\nnet-del red --cascade"))
    assert main(["batch", "--stop-on-error"]) == 1
    assert database.select("Network")


def test_what_is_said_to_batch_counts_for_every_line(
    database: Connection, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("net-add red --tenant acme --vni 100\nnet-list --format table\n"))
    assert main(["--dry-run", "--format", "json", "batch"]) == 0
    assert capsys.readouterr().out.startswith('{\n  "changes": [')
    assert database.select("Network") == []


def test_a_script_gets_each_answer_before_it_asks_the_next(database: Connection, served: str) -> None:
    with subprocess.Popen(
        [f"{BIN}/overlayctl", "batch", "--status"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OVERLAY_DB": served},
    ) as script:
        assert script.stdin is not None
        assert script.stdout is not None
        guard = threading.Timer(20, script.kill)
        guard.start()
        for number in range(3):
            print(f"net-add n{number} --tenant acme --vni {number + 1}", file=script.stdin, flush=True)
            assert script.stdout.readline() == "# 0\n"
            assert len(database.select("Network")) == number + 1
        script.stdin.close()
        assert script.wait() == 0
        guard.cancel()


def test_names_come_fast_or_not_at_all(
    run: Callable[..., str], served: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("tenant-add acme")
    assert run("completion names tenant") == "acme\n"
    assert run("completion names nothing") == ""
    started = time.monotonic()
    for away in ("unix:/nowhere", "what", "tcp:192.0.2.254:1"):
        monkeypatch.setenv("OVERLAY_DB", away)
        assert main(["completion", "names", "Tenant"]) == 0
    assert time.monotonic() - started < 3
    assert capsys.readouterr() == ("", "")
