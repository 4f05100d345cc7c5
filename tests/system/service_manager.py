"""systemd itself as the first process of namespaces of its own, with the units of this project on a root like ours.

What the units start is what is installed here, bound to /opt where they look for it. Nothing outside is changed: /etc
is a copy, /run, /var and /tmp are empty, and of what systemd starts by itself there is the journal alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]
UNITS = PROJECT / "packaging" / "systemd"
SYSTEMD = Path("/lib/systemd/systemd")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
WANTS = Path("/lib/systemd/system")
NOT_MOUNTED = 99
"""Exit status when this machine does not let us mount what is needed."""

BOOT = """
set -e
trap 'exit {not_mounted}' ERR
mount --make-rprivate /
mount -t tmpfs tmpfs /opt
mkdir /opt/python /opt/project /opt/ovs-overlay /opt/ovs-overlay/lib
mount --bind {base} /opt/python
mount --bind {project} /opt/project
mount --bind {prefix}/lib /opt/ovs-overlay/lib
cp -r {root}/bin {root}/pyvenv.cfg /opt/ovs-overlay/
mount --bind {root}/etc /etc
mount -t proc proc /proc
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
for each in /run /var/lib /var/log /tmp; do mount -t tmpfs -o mode=755 tmpfs $each; done
chmod 1777 /tmp
ip link set lo up
cd /
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin {systemd} --system --log-target=journal \
    --show-status=no systemd.unit=basic.target
"""


class NotMounted(Exception):
    """This machine does not let us run another systemd."""


class Manager:
    """A systemd that runs."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def said(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    @property
    def _first(self) -> str:
        """The process id of systemd, outside."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return children[0] if children else ""

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command beside it, as root; what it prints."""
        environment = {"PATH": "/opt/ovs-overlay/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        environment |= {"OVERLAY_DB": "unix:/run/ovs-overlay/overlay.sock", **_python()}
        command = ["nsenter", "-t", self._first, "-m", "-p", "-u", "-i", "-n", "-r", "-w", *argv]
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{argv}: {done.stdout}\n{self.run('journalctl', '--no-pager', '-n', '30', check=False)}"
            )
        return done.stdout

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def await_start(self) -> None:
        """Return when it has begun. Raises NotMounted, or AssertionError after half a minute."""
        deadline = time.monotonic() + 30
        while True:
            if self._process.poll() is not None:
                if self._process.returncode == NOT_MOUNTED:
                    raise NotMounted(self.said().strip().rpartition("\n")[2])
                raise AssertionError(f"systemd ended:\n{self.said()}")
            with contextlib.suppress(OSError):
                if self._first and self.run("systemctl", "is-active", "basic.target", check=False).strip() == "active":
                    return
            assert time.monotonic() < deadline, f"systemd does not begin:\n{self.said()}"
            time.sleep(0.1)

    def end(self) -> None:
        """End it, and all that it has started."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(self._first), signal.SIGKILL)
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def booted(root: Path) -> Iterator[Manager]:
    """systemd with our units, as long as the block lasts; what it needs is made in `root`. Raises NotMounted."""
    _fill(root)
    script = BOOT.format(
        base=sys.base_prefix, prefix=sys.prefix, project=PROJECT, root=root, systemd=SYSTEMD, not_mounted=NOT_MOUNTED
    )
    log = root / "systemd.log"
    apart = ("unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child")
    with log.open("wb") as output:
        process = subprocess.Popen([*apart, "bash", "-c", script], stdout=output, stderr=output, start_new_session=True)
    manager = Manager(process, log)
    try:
        manager.await_start()
        yield manager
    finally:
        manager.end()


def _fill(root: Path) -> None:
    """The environment in /opt/ovs-overlay, and /etc."""
    programs = root / "bin"
    programs.mkdir(parents=True)
    (root / "pyvenv.cfg").write_text("home = /opt/python/bin\ninclude-system-site-packages = false\n")
    (programs / "python3").symlink_to(f"/opt/python/bin/python{PYTHON}")
    for name in ("ryu-manager", "overlayctl"):
        _, _, text = (Path(sysconfig.get_path("scripts")) / name).read_text().partition("\n")
        (programs / name).write_text(f"#!/opt/ovs-overlay/bin/python3\n{text}")
        (programs / name).chmod(0o755)
    etc = root / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore=shutil.ignore_patterns("alternatives", "ssl"))
    (etc / "machine-id").write_text(f"{os.urandom(16).hex()}\n")
    with (etc / "passwd").open("a") as users, (etc / "group").open("a") as groups:
        users.write("ovs-overlay:x:64999:64999::/var/lib/ovs-overlay:/usr/sbin/nologin\n")
        groups.write("ovs-overlay:x:64999:\n")
    system = etc / "systemd" / "system"
    shutil.rmtree(system, ignore_errors=True)
    system.mkdir(parents=True)
    for target in ("sysinit", "basic", "sockets", "timers", "local-fs", "paths", "slices"):
        for each in (WANTS / f"{target}.target.wants").glob("*"):
            if not each.name.startswith("systemd-journald"):
                (system / each.name).symlink_to("/dev/null")
    for unit in UNITS.glob("*.service"):
        shutil.copy(unit, system)
        # What is not installed but lies in the checkout is found there.
        (system / f"{unit.name}.d").mkdir()
        lines = "".join(f"Environment={key}={value}\n" for key, value in _python().items())
        (system / f"{unit.name}.d" / "checkout.conf").write_text(f"[Service]\n{lines}")


def _python() -> dict[str, str]:
    return {"PYTHONPATH": "/opt/project:/opt/project/controller", "LD_LIBRARY_PATH": "/opt/python/lib"}
