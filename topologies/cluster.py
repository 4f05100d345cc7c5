"""Overlay databases as an operator runs them: a standalone server, and a RAFT cluster of three members.

Every server is a real `ovsdb-server` on this machine. A cluster has loopback addresses of its own, so that two
of them do not meet.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ovsdb.embedded import SYSTEM_PATH
from ovsdb.embedded import schema as present_schema
from ovsdb.paths import DATABASE
from ovsdb.rpc import DatabaseError, connect
from topologies.processes import wait_until

SEARCH: Final = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
SERVER: Final = shutil.which("ovsdb-server", path=SEARCH)
TOOL: Final = shutil.which("ovsdb-tool", path=SEARCH)
APPCTL: Final = shutil.which("ovs-appctl", path=SEARCH)
RAFT_PORT: Final = 6644
CLIENT_PORT: Final = 6641


@dataclass
class Server:
    """One `ovsdb-server`, that may be killed and started again on the same file."""

    file: Path
    address: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        """The remote on its socket."""
        return f"unix:{self.file.with_suffix('.sock')}"

    @property
    def tcp(self) -> str:
        """The remote on its TCP port."""
        return f"tcp:{self.address}:{CLIENT_PORT}"

    def start(self) -> None:
        """Starts it; returns when its socket is there."""
        command = [
            str(SERVER),
            str(self.file),
            f"--remote=p{self.socket}",
            f"--remote=ptcp:{CLIENT_PORT}:{self.address}",
            f"--unixctl={self.file.with_suffix('.ctl')}",
            "-vconsole:off",
            "-vsyslog:off",
            f"--log-file={self.file.with_suffix('.log')}",
        ]
        Path(self.socket.removeprefix("unix:")).unlink(missing_ok=True)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        _await(lambda: Path(self.socket.removeprefix("unix:")).exists(), 10, f"{self.file} is served")

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: it says goodbye to nobody."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: an orderly end."""
        self._end(signal.SIGTERM)

    @property
    def running(self) -> bool:
        """Whether it was started and did not end."""
        return self.process is not None and self.process.poll() is None

    def appctl(self, *arguments: str) -> str:
        """What `ovs-appctl` prints of it; '' when it does not answer."""
        command = [str(APPCTL), "--timeout=5", "-t", str(self.file.with_suffix(".ctl")), *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout

    def _end(self, number: int) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(number)
                if number != signal.SIGKILL:
                    self.process.send_signal(signal.SIGCONT)  # one that is stopped would not take it
            self.process.wait(10)


@dataclass
class Cluster:
    """The members of one RAFT cluster, in the order in which they joined."""

    members: list[Server] = field(default_factory=list)

    @property
    def remote(self) -> str:
        """What a client is told: every member's socket."""
        return ",".join(member.socket for member in self.members)

    @property
    def tcp(self) -> str:
        """The same over TCP."""
        return ",".join(member.tcp for member in self.members)

    def leader(self, patience: float = 15.0) -> Server:
        """The member that leads, as it says itself; waits while there is none."""
        found: list[Server] = []

        def ask() -> bool:
            found[:] = [each for each in self.members if each.running and role(each) == "leader"]
            return bool(found)

        _await(ask, patience, "the cluster has a leader")
        return found[0]

    def followers(self) -> list[Server]:
        """The running members that do not lead."""
        leader = self.leader()
        return [each for each in self.members if each.running and each is not leader]

    def settle(self, patience: float = 20.0) -> None:
        """Returns when every running member belongs to the cluster."""
        for member in self.members:
            if member.running:
                _await(lambda at=member: in_cluster(at), patience, f"{member.file.name} is in its cluster")


def role(server: Server) -> str:
    """`leader`, `follower` or `candidate`; '' when it does not answer."""
    lines = server.appctl("cluster/status", DATABASE).splitlines()
    return next((line.removeprefix("Role: ") for line in lines if line.startswith("Role: ")), "")


def in_cluster(server: Server) -> bool:
    """Whether a server says that it is connected to the others (ovsdb-server(5), `Database.connected`)."""
    with contextlib.suppress(DatabaseError), connect(server.socket, "_Server", 1.0) as database:
        rows = database.select("Database", [["name", "==", DATABASE]])
        return bool(rows and rows[0]["connected"])
    return False


def _await(check: Callable[[], bool], patience: float, what: str) -> None:
    """Returns when it is true; RuntimeError when it is not in time."""
    if not wait_until(check, patience, poll=0.02):
        raise RuntimeError(f"not within {patience:g} s: {what}")


def run_tool(*arguments: object) -> str:
    """What `ovsdb-tool` prints."""
    command = [str(TOOL), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def own_loopback() -> str:
    """The first three numbers of loopback addresses that nobody else is likely to use."""
    seed = random.Random(os.urandom(8))
    return f"127.{seed.randrange(1, 255)}.{seed.randrange(1, 255)}"


@contextmanager
def standalone(directory: Path, schema: Path | None = None) -> Iterator[Server]:
    """A standalone server on a database file of its own, made new unless it is there."""
    file = directory / "standalone.db"
    if not file.exists():
        run_tool("create", file, schema or present_schema())
    server = Server(file, f"{own_loopback()}.1")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def cluster(directory: Path, schema: Path | None = None, size: int = 3, timer: int = 0) -> Iterator[Cluster]:
    """A RAFT cluster whose members are all connected; `timer` is its election timer in ms, 0 for the default."""
    made = Cluster()
    network = own_loopback()
    try:
        for number in range(1, size + 1):
            file = directory / f"member{number}.db"
            raft = f"tcp:{network}.{number}:{RAFT_PORT}"
            if number == 1:
                options = [f"--election-timer={timer}"] if timer else []
                run_tool(*options, "create-cluster", file, schema or present_schema(), raft)
            else:
                run_tool("join-cluster", file, DATABASE, raft, f"tcp:{network}.1:{RAFT_PORT}")
            member = Server(file, f"{network}.{number}")
            made.members.append(member)
            member.start()
        made.settle()
        yield made
    finally:
        for member in made.members:
            member.kill()
