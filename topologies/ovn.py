"""OVN on a lab's fabric, for comparison: its programs, its databases and northd, a controller on each chassis.

Nothing else here needs it. Where it is not installed, Debian's packages are fetched with apt and unpacked into a
directory of the user's, never installed: so no service is started, and the machine stays as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flows.model import Chassis
from topologies.fabric import Fabric
from topologies.namespaces import Background
from topologies.processes import wait_until
from topologies.topology import CONTROLLER, CONTROLLER_ADDRESS

PACKAGES: Final = ("ovn-common", "ovn-central", "ovn-host")
SOUTHBOUND_PORT: Final = 6642
_PROGRAMS: Final = ("ovn-northd", "ovn-controller", "ovn-nbctl", "ovn-sbctl")
_PATIENCE: Final = 30
"""Seconds that OVN has for what it is waited for."""


class Unavailable(RuntimeError):
    """There is no OVN on this machine, and none is to be had; says why."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where OVN's programs and schemas are."""

    bin: Path
    schemas: Path


def programs() -> Programs:
    """OVN's programs: the machine's own, those that were fetched before, or fetched now; Unavailable without."""
    installed = shutil.which("ovn-northd")
    if installed and complete(found := _beneath(Path(installed).parents[2])):
        return found
    unpacked = _cache()
    if not complete(_beneath(unpacked)):
        _fetch(unpacked)
    return _beneath(unpacked)


def complete(found: Programs) -> bool:
    """Whether every program and schema is there, and the programs run."""
    files = [*(found.bin / name for name in _PROGRAMS), *(found.schemas / f"ovn-{db}.ovsschema" for db in ("nb", "sb"))]
    if not all(path.exists() for path in files):
        return False
    versions = [subprocess.run([found.bin / name, "--version"], capture_output=True, check=False) for name in _PROGRAMS]
    return all(each.returncode == 0 for each in versions)


def version(found: Programs) -> str:
    """OVN's version, as it says itself."""
    said = subprocess.run([found.bin / "ovn-northd", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split("\n", 1)[0].rpartition(" ")[2]


def _beneath(root: Path) -> Programs:
    return Programs(root / "usr/bin", root / "usr/share/ovn")


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "ovs-overlay" / "ovn"


def _fetch(target: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise Unavailable("not installed, and there is no apt-get to fetch it with")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        directory = Path(name)
        download = ["apt-get", "-q", "download", *PACKAGES]
        if _run(download, directory).returncode != 0:
            # Its lists may be missing, or name packages that are not there any more.
            _run(["apt-get", "-q", "update"], directory)
            if (failed := _run(download, directory)).returncode != 0:
                raise Unavailable(f"not installed, and apt-get fetches none of it: {_last_line(failed.stderr)}")
        root = directory / "root"
        for package in sorted(directory.glob("*.deb")):
            if (failed := _run(["dpkg", "-x", str(package), str(root)], directory)).returncode != 0:
                raise Unavailable(f"cannot unpack {package.name}: {_last_line(failed.stderr)}")
        if not complete(_beneath(root)):
            raise Unavailable(f"the packages {', '.join(PACKAGES)} of this machine's distribution do not run here")
        shutil.rmtree(target, ignore_errors=True)
        root.rename(target)


def _run(argv: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 1, "", "took longer than 180 s")


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "no reason given"


@dataclass(frozen=True, slots=True)
class Ovn:
    """OVN that runs on a fabric; everything of it ends with the fabric."""

    fabric: Fabric
    programs: Programs

    def nbctl(self, *argv: str) -> str:
        """Run `ovn-nbctl` beside the northbound database."""
        return self._ctl("ovn-nbctl", "nb", *argv)

    def sbctl(self, *argv: str) -> str:
        """Run `ovn-sbctl` beside the southbound database."""
        return self._ctl("ovn-sbctl", "sb", *argv)

    def sync(self) -> None:
        """Return when every chassis has installed what is in the northbound database."""
        self.nbctl("--wait=hv", "sync")

    def _ctl(self, program: str, database: str, *argv: str) -> str:
        socket = self.fabric.directory / CONTROLLER / f"{database}.sock"
        options = [f"--db=unix:{socket}", f"--timeout={_PATIENCE}"]
        return self.fabric.run(CONTROLLER, str(self.programs.bin / program), *options, *argv).stdout


def start(fabric: Fabric, found: Programs) -> Ovn:
    """Start OVN's databases and northd beside the controller's place, and its controller on each chassis."""
    ovn = Ovn(fabric, found)
    home = fabric.directory / CONTROLLER
    for database, remotes in (("nb", []), ("sb", [f"--remote=ptcp:{SOUTHBOUND_PORT}:{CONTROLLER_ADDRESS}"])):
        file = home / f"{database}.db"
        schema = found.schemas / f"ovn-{database}.ovsschema"
        fabric.run(CONTROLLER, "ovsdb-tool", "create", str(file), str(schema))
        socket = home / f"{database}.sock"
        options = [f"--remote=punix:{socket}", *remotes, f"--unixctl={home / database}.ctl"]
        fabric.start(CONTROLLER, "ovsdb-server", str(file), *options)
        if not wait_until(socket.exists, 10):
            raise RuntimeError(f"ovsdb-server does not serve {file}")
    databases = [f"--ovn{database}-db=unix:{home / database}.sock" for database in ("nb", "sb")]
    fabric.start(CONTROLLER, str(found.bin / "ovn-northd"), *databases, f"--unixctl={home / 'northd.ctl'}")
    started = [_start_chassis(fabric, found, chassis) for chassis in fabric.topology.chassis]
    if not wait_until(lambda: ovn.sbctl("show").count("Chassis ") == len(started), _PATIENCE, 0.2):
        said = "\n".join(each.output() for each in started)
        raise RuntimeError(f"not every chassis has reported to OVN within {_PATIENCE} s; ovn-controller said:\n{said}")
    return ovn


def _start_chassis(fabric: Fabric, found: Programs, chassis: Chassis) -> Background:
    settings = {
        "ovn-remote": f"tcp:{CONTROLLER_ADDRESS}:{SOUTHBOUND_PORT}",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": chassis.vteps[0].ip,
        "ovn-bridge-datapath-type": fabric.datapath,
        # ovn-controller(8): for environments where all workloads reach each other, as here. A chassis then has all
        # there is to know when a port comes, and need not ask.
        "ovn-monitor-all": "true",
    }
    words = [f'external_ids:{key}="{value}"' for key, value in settings.items()]
    fabric.run(chassis.name, "ovs-vsctl", "set", "Open_vSwitch", ".", *words)
    directory = fabric.directory / chassis.name
    database = f"unix:{directory / 'db.sock'}"
    # It has no option for where its own socket goes.
    program = ["env", f"OVN_RUNDIR={directory}", str(found.bin / "ovn-controller")]
    return fabric.start(chassis.name, *program, database)
