"""A lab in which several controllers serve one overlay database, a three-member RAFT cluster unless told otherwise."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ovsdb.rpc import Connection, DatabaseError, connect
from topologies import controller, processes
from topologies.cluster import Cluster, cluster
from topologies.controller import NAMES
from topologies.lab import Lab
from topologies.log_file import LogFile
from topologies.namespaces import Background
from topologies.topology import CONTROLLER, CONTROLLER_ADDRESS, Topology

SHARES: Final = {"h1": "birch", "h2": "amber", "h3": "cedar"}
"""Who has which of three chassis, once all three are at work."""
FIRST_PORT: Final = 6653
ELECTION_MS: Final = 500


class Several(Lab):
    """A lab whose controllers are started and ended by name; all of them serve its `database`."""

    def __init__(self, topology: Topology, name: str = "lab", *, datapath: str | None = None) -> None:
        super().__init__(topology, name, datapath=datapath)
        self._running: dict[str, Background] = {}

    def start_named(self, name: str, *options: str) -> None:
        """Start a controller."""
        home = self.directory / CONTROLLER / name
        home.mkdir(exist_ok=True)
        port = FIRST_PORT + NAMES.index(name)
        env = self.environment(CONTROLLER) | {
            "OVERLAY_NAME": name,
            "OVERLAY_OPENFLOW": f"tcp:{CONTROLLER_ADDRESS}:{port}",
            "OVERLAY_DIAL_IN": "off",
        }
        running = controller.start(self.netns(CONTROLLER), home, "--ofp-tcp-listen-port", str(port), *options, env=env)
        self._started.append(running)
        self._running[name] = running
        self._remember(f"{CONTROLLER} {name}", running.process)

    def signal_named(self, name: str, number: int) -> None:
        """Send a controller a signal; when it is to end by that, return when it has."""
        running = self._running[name]
        running.popen.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            running.popen.wait(15)

    def runs(self, name: str) -> bool:
        """Whether a controller was started and has not ended."""
        return name in self._running and not self._running[name].ended()

    def pid(self, name: str) -> int:
        """A controller's process id."""
        return self._running[name].popen.pid

    def log_of(self, name: str) -> str:
        """What a controller has logged, over all its starts."""
        path = self._log(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def logged_by(self, name: str) -> LogFile:
        """What a controller logs from now on."""
        return LogFile(self._log(name))

    def _log(self, name: str) -> Path:
        return controller.log(self.directory / CONTROLLER / name)

    def up_with(self, names: Sequence[str] = NAMES, patience: float = 60.0) -> None:
        """From a built lab to a working overlay with these controllers."""
        for name in names:
            self.start_named(name)
        self.declare()
        for vm in self.topology.vms:
            self.plug(vm.name)
        self.wait_up(patience)

    # -- who has what

    def owners(self) -> dict[str, str]:
        """The owner of each chassis whose switch is connected to that, '' of the others."""
        try:
            with self._asking() as database:
                rows = database.select("Chassis")
        except DatabaseError:
            return {}
        return {row["name"]: row["owner"] if row["connected"] and row["state"] == "ready" else "" for row in rows}

    @contextmanager
    def _asking(self) -> Iterator[Connection]:
        with connect(self.database, timeout=2.0, stale=True) as connection:
            yield connection

    def await_owners(self, among: Sequence[str], patience: float) -> float:
        """Wait until every chassis has one of these for its owner; the seconds that took. RuntimeError when not."""
        began = time.monotonic()
        found: dict[str, str] = {}

        def owned() -> bool:
            found.update(self.owners())
            return bool(found) and set(found.values()) <= set(among)

        if not processes.wait_until(owned, patience, poll=0.03):
            raise RuntimeError(f"after {patience:g} s the chassis' owners are {found}, not all of {', '.join(among)}")
        return time.monotonic() - began

    def await_shares(self, shares: dict[str, str], patience: float = 90.0) -> None:
        """Wait until the chassis are shared out like this. RuntimeError, with who reaches whom, when not in time."""
        if not processes.wait_until(lambda: self.owners() == shares, patience, poll=0.1):
            said = [f"after {patience:g} s the chassis' owners are {self.owners()}, and not {shares}"]
            said += [self.overlayctl("show", check=False)]
            for each in self.topology.chassis:
                argv = ("ovs-vsctl", "-f", "csv", "--columns=target,is_connected,role,status", "list", "controller")
                said += [f"{each.name}:", self.run(each.name, *argv, check=False).stdout]
            raise RuntimeError("\n".join(said))


@contextmanager
def several(topology: Topology, name: str, *, datapath: str | None = None) -> Iterator[tuple[Several, Cluster]]:
    """A built lab, and the database that its controllers will serve."""
    with (
        tempfile.TemporaryDirectory(prefix="overlay-raft-") as directory,
        cluster(Path(directory), timer=ELECTION_MS) as servers,
        Several(topology, name, datapath=datapath) as lab,
    ):
        lab.database = servers.remote
        try:
            yield lab, servers
        finally:
            for each in NAMES:
                with contextlib.suppress(ProcessLookupError):
                    if lab.runs(each):
                        lab.signal_named(each, signal.SIGCONT)
