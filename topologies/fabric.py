"""The fabric of a lab: namespaces, cables, and chassis that run Open vSwitch; nothing is plugged in yet."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from flows.model import is_ipv4
from topologies import chassis, controller, namespaces, processes, state, wiring
from topologies.namespaces import Background
from topologies.processes import Process
from topologies.topology import CONTROLLER, UNDERLAY, Topology, members, physical_networks, problems, vteps_by_underlay
from topologies.topology import chassis as chassis_of
from topologies.topology import host as host_of
from topologies.topology import vm as vm_of

Narrator = Callable[[str, list[str]], None]
"""Told where a command is about to run, and the command, where a reader would want to see it typed."""


def silent(where: str, argv: list[str]) -> None:
    """The narrator that says nothing."""


class Fabric:
    """A topology's fabric, on this machine. `where` is a chassis, a VM, `controller` or `underlay`."""

    def __init__(
        self,
        topology: Topology,
        name: str = "lab",
        *,
        datapath: str | None = None,
        ipv6: bool = False,
        narrate: Narrator = silent,
    ) -> None:
        """`datapath` is chosen by what the kernel has when None; `ipv6` lets VMs speak it."""
        if wrong := problems(topology):
            raise ValueError(f"topology {topology.name!r}: {'; '.join(wrong)}")
        self.topology = topology
        self.name = name
        self.directory = state.directory(name)
        self.datapath = datapath or ("system" if chassis.kernel_datapath() else "netdev")
        self.narrate = narrate
        self._ipv6 = ipv6
        self._processes: dict[str, Process] = {}
        self._places = {vm.name: vm.chassis for vm in topology.vms}
        self._started: list[Background] = []
        self._kept = False
        self._lock = threading.Lock()
        self._outputs = itertools.count()

    @classmethod
    def open(cls, name: str = "lab", narrate: Narrator = silent) -> Self:
        """The lab of that name that exists; FileNotFoundError when none does."""
        record = state.read(name)
        lab = cls(record.topology, name, datapath=record.datapath, narrate=narrate)
        lab._processes, lab._places = record.processes, record.places
        return lab

    def __enter__(self) -> Self:
        self.build()
        return self

    def __exit__(self, raised: type[BaseException] | None, *rest: object) -> None:
        if raised or not self._kept:
            self.down()

    def keep(self) -> None:
        """Let the lab outlive its `with` block, unless that ends by an exception."""
        self._kept = True

    # -- building and taking down

    def build(self) -> None:
        """Make namespaces and cables and start the chassis; takes down what it made when it cannot finish."""
        state.claim(self.name)
        for name in self._namespaces():
            if namespaces.path(name).exists():
                state.release(self.name)
                raise FileExistsError(f"network namespace {name!r} is not ours; give the lab another name")
        try:
            self._write()  # before anything is made, so that `down` knows what to look for
            (self.directory / "out").mkdir()
            (self.directory / CONTROLLER).mkdir()
            namespaces.run(None, ["ip", "-batch", "-"], stdin=wiring.batch(self.name, self.topology))
            if self.datapath == "system":
                chassis.wait_for_cpu_count()
            names = [each.name for each in self.topology.chassis]
            in_parallel(self._lay_cables, members(self.topology))
            in_parallel(self._start_chassis, names)
            in_parallel(self._reach_vteps, names)
            for name in names:
                self.run(name, *chassis.MANAGER, told=True)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End what runs in the lab and remove every trace; whatever is gone already is no error."""
        spared = processes.ancestors()
        inhabitants = set(self._processes.values())
        for name in self._namespaces():
            inhabitants.update(processes.in_network_namespace(namespaces.path(name)))
        processes.end(process for process in inhabitants if process.pid not in spared)
        for name in self._namespaces():
            if namespaces.path(name).exists():
                namespaces.run(None, ["ip", "netns", "del", name], check=False)
        for running in self._started:
            running.ended()  # waits for what has ended, so that no zombie stays
        state.release(self.name)

    def _namespaces(self) -> list[str]:
        return [wiring.netns(self.name, member) for member in members(self.topology)]

    def _lay_cables(self, member: str) -> None:
        lines: list[str] = []
        if member == UNDERLAY:
            lines = wiring.fabric_lines(self.topology)
        elif member == CONTROLLER:
            lines = wiring.controller_lines(self.topology)
        elif member in self._places:
            lines = wiring.vm_lines(self.topology, vm_of(self.topology, member), self.datapath, self._ipv6)
        elif member in {host.name for host in self.topology.hosts}:
            lines = wiring.host_lines(host_of(self.topology, member), self.datapath, self._ipv6)
        else:
            lines = wiring.chassis_lines(self.topology, chassis_of(self.topology, member), self.datapath)
            for vm in self.topology.vms:
                if vm.chassis == member:
                    lines += wiring.vm_port_lines(self.topology, vm)
        namespaces.script(wiring.netns(self.name, member), lines)

    def _start_chassis(self, name: str) -> None:
        (self.directory / name).mkdir()
        self.start_daemon(name, "ovsdb-server")
        chassis.introduce(self.netns(name), self.directory / name, chassis_of(self.topology, name))
        self.start_daemon(name, "ovs-vswitchd")

    def _reach_vteps(self, name: str) -> None:
        """Ping the other VTEPs: the underlay works, and the first tunnel packet finds its neighbor known."""
        mine = vteps_by_underlay(self.topology, chassis_of(self.topology, name))
        for other in self.topology.chassis:
            for number, vteps in vteps_by_underlay(self.topology, other).items() if other.name != name else ():
                families = {is_ipv4(vtep.ip) for vtep in mine.get(number, ())}
                for vtep in vteps:
                    if is_ipv4(vtep.ip) in families:
                        self.run(name, "ping", "-c", "1", "-w", "10", "-q", vtep.ip)

    # -- places and commands

    def netns(self, where: str) -> str:
        """The network namespace of a member; KeyError when the lab has none of that name."""
        known = members(self.topology)
        if where not in known:
            raise KeyError(f"no {where!r} in lab {self.name!r}, but {', '.join(known)}")
        return wiring.netns(self.name, where)

    def place(self, vm: str) -> str:
        """The chassis on which a VM's cable ends now."""
        return self._places[vm]

    def environment(self, where: str) -> dict[str, str]:
        """What commands see there: Open vSwitch's programs their chassis, `overlayctl` the lab's database."""
        home = self.directory / CONTROLLER
        if where == CONTROLLER:
            # No database is named here: so `ryu-manager overlay_app`, typed by hand, starts its own.
            return controller.controller_environment(home)
        if where not in {each.name for each in self.topology.chassis}:
            return controller.client_environment(home)
        return controller.client_environment(home) | chassis.environment(self.directory / where)

    def run(
        self, where: str, *argv: str, check: bool = True, timeout: float = 60.0, told: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command somewhere; CommandFailed, with its output, when it fails. `told`: narrate it."""
        if told:
            self.narrate(where, list(argv))
        return namespaces.run(self.netns(where), argv, env=self.environment(where), check=check, timeout=timeout)

    def start(self, where: str, *argv: str) -> Background:
        """Start a command that runs on until it is stopped, or the lab is taken down."""
        output = self.output(argv[0], where)
        running = namespaces.start(self.netns(where), argv, output, env=self.environment(where))
        self._started.append(running)
        return running

    def output(self, program: str, where: str) -> Path:
        """A new file for what a program prints; it goes with the lab."""
        return self.directory / "out" / f"{next(self._outputs)}-{Path(program).name}-{where}"

    @contextlib.contextmanager
    def background(self, where: str, *argv: str) -> Iterator[Background]:
        """A command that runs as long as the `with` block does."""
        running = self.start(where, *argv)
        try:
            yield running
        finally:
            running.stop()

    # -- faults

    def start_daemon(self, name: str, daemon: str) -> None:
        """Start a chassis' `ovsdb-server` or `ovs-vswitchd`."""
        home, directory = self.netns(name), self.directory / name
        if daemon == "ovsdb-server":
            process = chassis.start_database(home, directory)
        else:
            process = chassis.start_switch(
                home, directory, self.topology, chassis_of(self.topology, name), self.datapath
            )
        self._remember(f"{name}/{daemon}", process)

    def signal_daemon(self, name: str, daemon: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a chassis' daemon; after SIGKILL or SIGTERM it has ended when this returns."""
        process = self._processes[f"{name}/{daemon}"]
        processes.send(process, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            processes.wait_until(lambda: not processes.alive(process), 5)

    def stand_back(self, name: str, daemon: str) -> None:
        """Let a chassis' daemon run when nobody else wants the CPU (SCHED_IDLE), as if that host had its own."""
        for thread in Path(f"/proc/{self._processes[f'{name}/{daemon}'].pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))

    def cut(self, member: str, network: str = "underlay") -> None:
        """Let a chassis' `underlay`, `management` or a physical network swallow every frame, its carrier staying up."""
        self._set_port(member, network, 0)

    def heal(self, member: str, network: str = "underlay") -> None:
        """Undo `cut`."""
        self._set_port(member, network, 3)

    def _set_port(self, member: str, network: str, port_state: int) -> None:
        if network in physical_networks(self.topology):
            port = wiring.physical_port(self.topology, member, network)
        elif network == "management":
            port = wiring.management_port(member)
        else:
            port = wiring.underlay_port(member, int(network.removeprefix("underlay") or 0))
        self.run(UNDERLAY, "bridge", "link", "set", "dev", port, "state", str(port_state))

    def _remember(self, what: str, process: Process) -> None:
        with self._lock:
            self._processes[what] = process
            self._write()

    def _write(self) -> None:
        state.write(
            state.Record(
                self.name,
                self.topology,
                self.datapath,
                tuple(self._namespaces()),
                dict(self._processes),
                dict(self._places),
            )
        )


def in_parallel(work: Callable[[str], None], on: Iterable[str]) -> None:
    """Do it for each at the same time; the first error when one fails, after all have come to an end."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        for _ in pool.map(work, on):
            pass
