"""The program as it is installed, its help, and what it costs to start."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli.main import main
from controller.cli.parser import parse_all
from controller.cli.verbs import VERBS
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb


def overlayctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("overlayctl"))
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("session")
def test_the_console_script() -> None:
    done = overlayctl("net-list")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("NAME  TENANT")
    assert overlayctl("net-del", "red").returncode == 1


def test_help_of_everything() -> None:
    overview = overlayctl("--help").stdout
    assert max(map(len, overview.splitlines())) <= 80
    assert VERBS.keys() <= set(overview.partition("verbs (")[2].partition("examples:")[0].split())
    for verb in VERBS:
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0


def test_help_has_examples_that_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        assert "examples:\n  overlayctl " in capsys.readouterr().out
        assert VERBS[verb].examples
        for example in VERBS[verb].examples:
            assert verb in [args.verb for args in parse_all(shlex.split(re.split(" [<>|] ", example)[0]))]


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "show",
        "completion names Network",
        "port-add x --net red --mac 02:00:00:00:00:09 --ip 10.0.0.9",
        "net-add x --tenant t --vni 7 -- port-add x --net red --ip 2001:db8::1",
        "--timeout 0 port-add x --net red --ip auto",
    ],
)
@pytest.mark.usefixtures("session")
def test_a_command_loads_no_more_than_it_needs(line: str) -> None:
    program = (
        "import sys\n"
        "from controller.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    # Each of these costs as much as a short command, or more.
    assert not {"ovs", "eventlet", "ryu", "logging", "asyncio", "uuid", "subprocess", "email", "netaddr"} & loaded
