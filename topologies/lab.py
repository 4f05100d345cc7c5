"""A lab: a topology made real on this machine, and everything one does with it.

In a test, or anywhere else:

    with Lab(TOPOLOGY, "my-lab") as lab:      # chassis run, cables lie, nothing is plugged in
        lab.up()                              # controller, declarations, plugs; returns when installed
        assert lab.ping("web1", "web2").lost == 0
                                              # and nothing is left of it
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping

from ovsdb.remotes import OPENFLOW_PORT
from topologies import chassis, controller, namespaces, probes, processes, streams, wiring
from topologies.fabric import Fabric, in_parallel
from topologies.namespaces import Background, CommandFailed
from topologies.topology import CONTROLLER, CONTROLLER_ADDRESS, UNDERLAY, vteps_by_underlay
from topologies.topology import chassis as chassis_of
from topologies.topology import host as host_of
from topologies.topology import network as network_of
from topologies.topology import vm as vm_of

_SETTLE = 0.15
"""Seconds a capture goes on for what is still under way when its block has ended."""


class Lab(Fabric):
    """A fabric with VMs to plug in, a controller to start, and probes."""

    database = ""
    """The overlay database, where the controller does not serve its own: an OVSDB remote of unix sockets."""
    _controller: Background | None = None
    beside = int(os.environ.get("OVERLAY_LAB_CONTROLLERS", "1")) - 1
    """How many more controllers are started and ended together with the one that has the database."""
    _beside: tuple[Background, ...] = ()

    def environment(self, where: str) -> dict[str, str]:
        """What commands see there; everybody is told of a database that is not the controller's own."""
        found = super().environment(where)
        return found | {"OVERLAY_DB": self.database} if self.database else found

    # -- VMs

    def plug(self, vm: str, where: str | None = None) -> None:
        """Plug a VM into br-int, as an operator would, once that is there; its cable goes to that chassis."""
        guest, at = vm_of(self.topology, vm), where or self.place(vm)
        if at != self.place(vm):
            self._recable(vm, at)
        self.run(at, "ovs-vsctl", "--timeout=30", "wait-until", "Bridge", "br-int")
        self.run(at, *controller.add_port(guest, network_of(self.topology, guest.network).vni), told=True)

    def unplug(self, vm: str) -> None:
        """Take a VM out of br-int; its cable stays."""
        self.run(self.place(vm), *controller.del_port(vm_of(self.topology, vm)), told=True)

    def move(self, vm: str, where: str) -> None:
        """Move a running VM to another chassis: it keeps its interface, its neighbors and its connections."""
        self.unplug(vm)
        self.plug(vm, where)

    def add_vlan(
        self,
        where: str,
        tag: int,
        *addresses: str,
        parent: str = wiring.VM_NIC,
        mac: str | None = None,
        service: bool = False,
    ) -> str:
        """Give a VM or host a device for a VLAN, with addresses such as 10.0.0.1/24; returns the device's name.

        `service`: with 802.1ad's tag. On such a device, as `parent`, there can be another one.
        """
        lines = wiring.vlan_lines(parent, tag, addresses, mac=mac, service=service)
        namespaces.script(self.netns(where), lines)
        return f"{parent}.{tag}"

    def _recable(self, vm: str, where: str) -> None:
        home, target = self.netns(self.place(vm)), self.netns(where)
        namespaces.script(home, [f"ip link set dev {vm} netns {target}"])
        namespaces.script(target, wiring.vm_port_lines(self.topology, vm_of(self.topology, vm)))
        with self._lock:
            self._places[vm] = where
            self._write()

    # -- the controller

    def start_controller(
        self, *options: str, patience: float = 60.0, environment: Mapping[str, str] | None = None, awaited: bool = True
    ) -> None:
        """Start `ryu-manager overlay_app` and wait for the database it serves; RuntimeError, with its log, without.

        `options` may name further applications, `environment` has more variables; unless `awaited` it may well die.
        """
        home = self.directory / CONTROLLER
        self.narrate(CONTROLLER, ["ryu-manager", "overlay_app", *options])
        named = {"OVERLAY_NAME": controller.NAMES[0]} if self.beside else {}
        env = self.environment(CONTROLLER) | named | dict(environment or {})
        self._controller = controller.start(self.netns(CONTROLLER), home, *options, env=env)
        self._started.append(self._controller)
        self._remember(CONTROLLER, self._controller.process)
        if awaited and not self.database:
            controller.await_database(self._controller, home, patience)
            self._beside = tuple(map(self._start_beside, range(1, self.beside + 1)))

    def _start_beside(self, number: int) -> Background:
        """Another controller on the same database."""
        home, port = self.directory / CONTROLLER, OPENFLOW_PORT + number
        own = home / f"beside{number}"
        own.mkdir(exist_ok=True)
        env = self.environment(CONTROLLER) | {
            "OVERLAY_DB": f"unix:{controller.socket(home)}",
            "OVERLAY_NAME": controller.NAMES[number],
            "OVERLAY_OPENFLOW": f"tcp:{CONTROLLER_ADDRESS}:{port}",
            "OVERLAY_DIAL_IN": "off",
        }
        running = controller.start(self.netns(CONTROLLER), own, "--ofp-tcp-listen-port", str(port), env=env)
        self._started.append(running)
        self._remember(f"{CONTROLLER} {number}", running.process)
        return running

    def controller_runs(self) -> bool:
        """Whether the controller that was started last has not ended."""
        return self._controller is not None and not self._controller.ended()

    def controller_pid(self) -> int:
        """The pid of the controller that was started last, 0 when it has ended."""
        return self._controller.popen.pid if self._controller is not None and not self._controller.ended() else 0

    def stop_controller(self, number: int = signal.SIGTERM) -> None:
        """End the controller (with SIGKILL: kill it) and wait until it has gone."""
        process = self._processes[CONTROLLER]
        processes.send(process, number)
        if not processes.wait_until(lambda: not processes.alive(process), 10):
            raise RuntimeError(f"the controller does not heed signal {number}")
        if self._controller:
            self._controller.ended()  # waits for it, so that no zombie stays
        for running in self._beside:
            running.stop(number)

    def controller_cpu(self) -> float:
        """Seconds of CPU time that the controller started last has used so far."""
        return processes.cpu(self._processes[CONTROLLER])

    def controller_log(self) -> str:
        """What the controller has logged so far, over all its starts."""
        path = controller.log(self.directory / CONTROLLER)
        return path.read_text(errors="replace") if path.exists() else ""

    def overlayctl(self, *argv: str, check: bool = True, timeout: float = 60.0) -> str:
        """Run `overlayctl` beside the controller and return what it printed; CommandFailed when it fails."""
        self.narrate(CONTROLLER, ["overlayctl", *argv])
        done = self.run(CONTROLLER, *controller.overlayctl(), *argv, check=check, timeout=timeout)
        return done.stdout if check else done.stdout + done.stderr

    def declare(self) -> None:
        """Tell `overlayctl` the whole topology: chassis, networks, declared ports."""
        for argv in controller.declarations(self.topology, chassis.unusual(self.datapath)):
            self.overlayctl(*argv)

    def up(self, patience: float = 60.0) -> None:
        """From a built lab to a working overlay: controller, declarations, plugs; returns when installed."""
        self.start_controller()
        self.declare()
        for vm in self.topology.vms:
            self.plug(vm.name)
        self.wait_up(patience)

    def wait_up(self, patience: float = 60.0) -> None:
        """Wait until every VM's port is up, and every chassis has installed all there is."""
        waiting = [*controller.overlayctl(), "--timeout", f"{patience:g}"]

        def wait_for(vm: str) -> None:
            port = vm if vm_of(self.topology, vm).declared else f"{self.place(vm)}/{vm}"
            self.run(CONTROLLER, *waiting, "port-wait", port, timeout=patience + 10)

        in_parallel(wait_for, [vm.name for vm in self.topology.vms])
        self.run(CONTROLLER, *waiting, "sync", timeout=patience + 10)

    # -- probes

    def ping(
        self, source: str, target: str, count: int = 3, interval: float = 0.2, options: tuple[str, ...] = ()
    ) -> probes.Ping:
        """Ping from a VM (or chassis) to another, or to an address; who does not answer is no error."""
        argv = ["ping", "-n", "-c", str(count), "-i", str(interval), "-W", "1", *options]
        argv.append(self.address(target))
        done = self.run(source, *argv, check=False, timeout=count * max(interval, 1.0) + 15)
        try:
            return probes.read_ping(done.stdout)
        except ValueError:
            raise CommandFailed(source, argv, "did not ping", done.stdout + done.stderr) from None

    @contextlib.contextmanager
    def pinging(self, source: str, target: str, interval: float = 0.01) -> Iterator[Callable[[], probes.Ping]]:
        """Ping all the while; what the `with` gives returns, once the block has ended, how it went."""
        argv = ["ping", "-n", "-i", str(interval), "-W", "1", self.address(target)]
        running = self.start(source, *argv)
        try:
            yield lambda: probes.read_pinging(running.output(), under_way=max(1, round(_SETTLE / interval)))
        finally:
            running.stop(signal.SIGINT)

    def arping(self, source: str, target: str, count: int = 1, options: tuple[str, ...] = ()) -> probes.Arping:
        """Ask by ARP who has a VM's address, or an address."""
        argv = ["arping", "-c", str(count), "-w", str(count), "-I", wiring.VM_NIC, *options]
        return probes.read_arping(self.run(source, *argv, self.address(target), check=False).stdout)

    def tcp(self, source: str, target: str, seconds: float = 2.0) -> probes.Tcp:
        """Send TCP from one VM to another as fast as it goes; CommandFailed when nothing gets through."""
        output = self.output("iperf3", target)
        return streams.tcp(self.netns(source), self.netns(target), self.address(target), seconds, output)

    @contextlib.contextmanager
    def capture(self, where: str, expression: str = "", interface: str | None = None) -> Iterator[probes.Frames]:
        """Capture a chassis' (first) underlay link, as the underlay sees it, or the interface of a VM or physical host.

        `expression` is tcpdump's; what the `with` gives has its lines once the block has ended.
        """
        if interface is None and where in {each.name for each in self.topology.chassis}:
            at = chassis_of(self.topology, where)
            number = min(vteps_by_underlay(self.topology, at))
            where, interface = UNDERLAY, wiring.underlay_port(at.name, number)
        interface = interface or wiring.VM_NIC
        frames = probes.Frames()
        with self.background(where, *probes.tcpdump(interface, expression)) as running:
            running.wait_for("listening on")
            yield frames
            time.sleep(_SETTLE)
        frames.lines += probes.read_tcpdump(running.output())

    def address(self, target: str) -> str:
        """A VM's or physical host's address, a chassis' first VTEP, or what is an address already."""
        with contextlib.suppress(KeyError):
            return vm_of(self.topology, target).ip
        with contextlib.suppress(KeyError):
            return host_of(self.topology, target).ip
        with contextlib.suppress(KeyError):
            return chassis_of(self.topology, target).vteps[0].ip
        return target
