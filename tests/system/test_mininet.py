"""The Mininet topologies: they come up, their pingall tells the truth, and nothing is left of them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from topologies.catalogue import TOPOLOGIES

pytestmark = pytest.mark.system

PROJECT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent


def run(*argv: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a command whose temporary files, and so each node's directory, are in `tmp_path`."""
    return subprocess.run(
        argv,
        cwd="/",
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )


def left_of(tmp_path: Path) -> list[str]:
    """What is left of networks that had their directories there: files, and processes that name them."""
    found = [str(path) for path in tmp_path.iterdir()]
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(tmp_path) in entry.read_text(errors="replace"):
                found.append((entry.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has ended meanwhile
    return found


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory with a short name: a node's directory has sockets in it, and a socket's path has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="mn") as made:
        yield Path(made)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_the_script_tests_itself(name: str, short_path: Path) -> None:
    done = run(sys.executable, f"{PROJECT}/topologies/mininet_{name}.py", "--test", tmp_path=short_path)
    assert done.returncode == 0, done.stdout
    assert "as it should be" in done.stdout
    assert left_of(short_path) == []


def test_any_python_will_do(short_path: Path) -> None:
    """Who types `python3` gets the machine's; the script goes on in the project's own."""
    script = f"{PROJECT}/topologies/mininet_two_chassis.py"
    done = run("/usr/bin/python3", script, "--help", tmp_path=short_path)
    assert "--test" in done.stdout


def test_mn_loads_it(short_path: Path) -> None:
    custom = f"{PROJECT}/topologies/mininet_two_chassis.py"
    argv = [f"{SCRIPTS}/mn", "--custom", custom, "--topo", "two_chassis", "--controller", "none"]
    done = run(sys.executable, *argv, "--test", "pingall", tmp_path=short_path)
    assert "web1 -> web2" in done.stdout
    assert "as it should be" in done.stdout
    assert left_of(short_path) == []


DAMAGED = """
from topologies.mininet_lab import OverlayNet, OverlayTopo
from topologies.three_chassis import TOPOLOGY
net = OverlayNet(topo=OverlayTopo(TOPOLOGY), controller=None)
try:
    net.start()
    assert net.pingAll() == 0
    net["controller"].running.stop()
    # What comes to h2 for red's web2 goes to blue's as well; and web3 is unplugged.
    flow = "table=0,priority=65535,icmp,in_port=overlay-vxlan,actions=output:web2,output:db2"
    net["h2"].type("ovs-ofctl", "add-flow", "br-int", flow)
    net["h3"].type("ovs-vsctl", "del-port", "web3")
    print("WRONG", net.pingAll(), net.wrong)
finally:
    net.stop()
"""


def test_pingall_finds_what_is_wrong(short_path: Path) -> None:
    done = run(sys.executable, "-c", DAMAGED, tmp_path=short_path)
    assert done.returncode == 0, done.stdout
    (verdict,) = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert "web1 (red) reaches db2 (blue)" in verdict
    assert "web1 does not reach web3" in verdict
    assert "db1" not in verdict
    assert left_of(short_path) == []


def test_a_network_that_cannot_be_finished_is_taken_down(short_path: Path) -> None:
    program = (
        "import sys\n"
        "from topologies import controller, mininet_lab, two_chassis\n"
        "controller.overlayctl = lambda: ['false']\n"
        "sys.exit(mininet_lab.main(two_chassis.TOPOLOGY, ['--test']))"
    )
    done = run(sys.executable, "-c", program, tmp_path=short_path)
    assert done.returncode == 1, done.stdout
    assert "false chassis-add h1" in done.stdout
    assert left_of(short_path) == []
