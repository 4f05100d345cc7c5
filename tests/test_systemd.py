"""The systemd units: systemd has nothing to say against them, and what they start serves."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ovsdb.rpc import DatabaseError, connect
from tests.cluster import eventually
from tests.overlay_database import needs_ovsdb
from topologies.cluster import RAFT_PORT, SEARCH, own_loopback, run_tool

PACKAGING = Path(__file__).parent.parent / "packaging"
UNITS = sorted(PACKAGING.glob("systemd/*.service"))
INSTALLED = "/opt/ovs-overlay"
ANALYZE = shutil.which("systemd-analyze")

NEEDED = (Path(sys.executable).resolve(), Path(sys.prefix).resolve() / "bin", PACKAGING.resolve())
NOBODY = 65534 if all(os.stat(each).st_mode & 0o001 for path in NEEDED for each in path.parents) else 0
"""Who runs it. Where what is needed is root's alone: root, who without capabilities may do what its owner may."""
NO_EXECUTION_GAINED = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""What MemoryDenyWriteExecute= does, by the kernel's own way (prctl(2), PR_SET_MDWE); older kernels don't have it."""
POWERLESS = (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
    "--no-new-privs", "--securebits=+noroot,+noroot_locked", "--", sys.executable, "-c", NO_EXECUTION_GAINED,
)  # fmt: skip

pytestmark = [needs_ovsdb, pytest.mark.server]


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze (Debian: systemd)")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_accepts_it(unit: Path, tmp_path: Path) -> None:
    for each in UNITS:
        text = each.read_text().replace(INSTALLED, sys.prefix)
        (tmp_path / each.name).write_text(text)
    command = [str(ANALYZE), "verify", "--man=no", str(tmp_path / unit.name)]
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "ovs-overlay" in line]
    assert (ours, done.returncode) == ([], 0)


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze (Debian: systemd)")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_is_broken_into_is_of_little_use(unit: Path, tmp_path: Path) -> None:
    """systemd's own measure of how much a service may do, from 0 (nothing) to 10 (everything)."""
    (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, sys.prefix))
    command = [str(ANALYZE), "security", "--offline=true", "--no-pager", "--threshold=17", str(tmp_path / unit.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_nothing_runs_as_root(unit: Path) -> None:
    said = settings(unit)
    assert said["User"] == ["ovs-overlay"]
    assert said["CapabilityBoundingSet"] == said["AmbientCapabilities"] == [""]
    assert said["NoNewPrivileges"] == ["yes"]
    assert said["Restart"] == ["always"]
    assert said["StartLimitIntervalSec"] == ["0"], "it is tried for as long as it takes"
    assert "u ovs-overlay " in (PACKAGING / "sysusers.d/ovs-overlay.conf").read_text()


def test_the_controller_and_its_own_database(tmp_path: Path) -> None:
    with started("ovs-overlay.service", tmp_path, OVERLAY_OPTIONS=f"--ofp-tcp-listen-port {free_port()}"):
        eventually(lambda: serves(f"unix:{tmp_path}/run/ovs-overlay/overlay.sock"), 20, "the database is served")
        assert (tmp_path / "lib/ovs-overlay/overlay.db").exists()


def test_a_database_server_and_a_controller_on_it(tmp_path: Path) -> None:
    remote = f"unix:{tmp_path}/run/ovs-overlay-db/overlay.sock"
    listening = f"{own_loopback()}.1"
    with started("ovs-overlay-db.service", tmp_path, OVERLAY_DB_OPTIONS=f"--remote=ptcp:6641:{listening}"):
        eventually(lambda: serves(remote) and serves(f"tcp:{listening}:6641"), 10, "the database is served")
        options = f"--ofp-tcp-listen-port {free_port()}"
        with started("ovs-overlay-shared.service", tmp_path, OVERLAY_DB=remote, OVERLAY_OPTIONS=options) as controller:
            eventually(lambda: at_work(remote), 20, "the controller is at work on the database")
            assert controller.poll() is None
    with started("ovs-overlay-db.service", tmp_path):  # again, on the file that is there
        eventually(lambda: serves(remote), 10, "the database is served")


def test_a_member_of_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "lib/ovs-overlay-db").mkdir(parents=True)
    from ovsdb.paths import schema

    address = own_loopback()
    run_tool("create-cluster", tmp_path / "lib/ovs-overlay-db/cluster.db", schema(), f"tcp:{address}.1:{RAFT_PORT}")
    with started("ovs-overlay-db-cluster.service", tmp_path):
        eventually(lambda: serves(f"unix:{tmp_path}/run/ovs-overlay-db/overlay.sock"), 10, "the database is served")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_without_any_right_runs_it(tmp_path: Path) -> None:
    """As the unit has it: another user, no capability and no way to any, no memory that is written and executed."""
    options = f"--ofp-tcp-listen-port {free_port()}"
    with started("ovs-overlay.service", tmp_path, powerless=True, OVERLAY_OPTIONS=options) as running:
        eventually(lambda: serves(f"unix:{tmp_path}/run/ovs-overlay/overlay.sock"), 30, "the database is served")
        said = Path(f"/proc/{running.pid}/status").read_text()
    assert re.search(rf"^Uid:\t{NOBODY}\t{NOBODY}", said, re.MULTILINE)
    assert set(re.findall(r"^Cap(?:Inh|Prm|Eff|Bnd|Amb):\t(\w+)", said, re.MULTILINE)) == {"0" * 16}
    assert re.search(r"^NoNewPrivs:\t1", said, re.MULTILINE)


@contextmanager
def started(name: str, root: Path, powerless: bool = False, **given: str) -> Iterator[subprocess.Popen[bytes]]:
    """What a unit starts, with /run and /var/lib in `root`, the environment files' content `given`.

    `powerless`: as nobody, and with nothing that would make it more.
    """
    said = settings(PACKAGING / "systemd" / name)
    paths = {"%t": f"{root}/run", "%S": f"{root}/lib", INSTALLED: sys.prefix}
    environment = {"PATH": SEARCH, "HOME": str(root), **given}
    for key, variable, place in (
        ("RuntimeDirectory", "RUNTIME_DIRECTORY", root / "run"),
        ("StateDirectory", "STATE_DIRECTORY", root / "lib"),
    ):
        for directory in said.get(key, []):
            (place / directory).mkdir(parents=True, exist_ok=True)
            if powerless:
                open_way(place / directory)
            environment[variable] = str(place / directory)
    for line in said.get("Environment", []):
        environment |= dict(word.split("=", 1) for word in shlex.split(replaced(line, paths)))
    for line in said.get("ExecStartPre", []):
        subprocess.run(words(line, paths, environment), env=environment, check=True, cwd=root)
    [line] = said["ExecStart"]
    log = (root / f"{name}.log").open("ab")
    with (
        log,
        subprocess.Popen(
            [*(POWERLESS if powerless else ()), *words(line, paths, environment)],
            env=environment,
            cwd=root,
            stdout=log,
            stderr=log,
        ) as ran,
    ):
        try:
            yield ran
        finally:
            ran.terminate()
            try:
                ran.wait(10)
            except subprocess.TimeoutExpired:
                ran.kill()


def open_way(directory: Path) -> None:
    """Give a directory to nobody, and let everybody through to it."""
    os.chown(directory, NOBODY, NOBODY)
    for each in directory.parents:
        if each.owner() == Path.home().owner() and not os.stat(each).st_mode & 0o001:
            each.chmod(os.stat(each).st_mode | 0o011)


def settings(unit: Path) -> dict[str, list[str]]:
    """The lines of a unit by key (systemd.syntax(7))."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith(("#", ";")):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def words(line: str, paths: dict[str, str], environment: dict[str, str]) -> list[str]:
    """A command line as systemd.service(5) has it: `${X}` within a word, `$X` alone as words of its own."""
    made: list[str] = []
    for word in shlex.split(replaced(line, paths)):
        if re.fullmatch(r"\$\w+", word):
            made += environment.get(word[1:], "").split()
        else:
            made.append(re.sub(r"\$\{(\w+)\}", lambda found: environment.get(found[1], ""), word))
    return made


def replaced(text: str, paths: dict[str, str]) -> str:
    for name, path in paths.items():
        text = text.replace(name, path)
    return text


def serves(remote: str) -> bool:
    try:
        with connect(remote, timeout=1) as database:
            return database.select("Tenant") == []
    except DatabaseError:
        return False


def at_work(remote: str) -> bool:
    """Whether a controller decides there."""
    with connect(remote) as database:
        return any(row["leader"] for row in database.select("Overlay_Global"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
