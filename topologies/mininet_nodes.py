"""The nodes of a Mininet network of ours: chassis, VMs, the controller, and the bridges between them.

Mininet's own switches share the machine's one Open vSwitch, so a tunnel between two of them never leaves it.
Here a chassis is a Mininet host: daemons of its own in private directories, a cable to the underlay and one
to the management network (both Linux bridges), and its VMs, Mininet hosts too, cabled to it.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mininet.log import info
from mininet.node import Host, Switch
from mininet.nodelib import LinuxBridge

from topologies import chassis, controller, namespaces, processes, wiring
from topologies.topology import CONTROLLER, PhysicalHost, Topology, Vm, network
from topologies.topology import chassis as chassis_of

OVS_DIRECTORIES: Final = ("/etc/openvswitch", "/var/run/openvswitch", "/var/log/openvswitch")
PATIENCE: Final = 60.0

_FOR_SHELLS = ("PATH", "OVERLAY_RUNDIR", "OVERLAY_DBDIR")

Crew = dict[str, "Member"]
"""The hosts of a network by name; each enters itself."""


class Member(Host):
    """A host of ours: it knows the topology and the others, and has a directory that goes when it goes."""

    def __init__(self, name: str, topology: Topology, crew: Crew, **params: Any) -> None:
        self.topology, self.crew = topology, crew
        self.home = Path(tempfile.mkdtemp(prefix=f"overlay-{name}-"))
        crew[name] = self
        super().__init__(name, **params)

    @property
    def netns(self) -> str:
        """Its network namespace."""
        return f"/proc/{self.pid}/ns/net"

    def terminate(self) -> None:
        """End whatever runs in it, then do as Mininet does."""
        if self.shell:
            inhabitants = processes.in_network_namespace(Path(self.netns))
            processes.end(one for one in inhabitants if one.pid != self.pid)
        super().terminate()
        shutil.rmtree(self.home, ignore_errors=True)


class Chassis(Member):
    """A host with Open vSwitch; plain `ovs-vsctl` typed on it finds its own."""

    def __init__(self, name: str, datapath: str, **params: Any) -> None:
        self.datapath = datapath
        super().__init__(name, **params)
        self.cmd(f"unset {' '.join(chassis.environment(self.home))}")
        for directory in OVS_DIRECTORIES:
            self.cmd(f"mkdir -p {directory} && mount --bind {self.home} {directory}")

    def config(self, **params: Any) -> dict[str, Any]:
        """Once its cables are there: bring them up, and start Open vSwitch."""
        configured = super().config(**params)
        topology = self.topology
        about = chassis_of(topology, self.name)
        lines = wiring.chassis_lines(topology, about, self.datapath)
        for vm in topology.vms:
            if vm.chassis == self.name:
                lines += wiring.vm_port_lines(topology, vm)
        namespaces.script(self.netns, lines)
        if self.datapath == "system":
            chassis.wait_for_cpu_count()
        chassis.start_database(self.netns, self.home)
        chassis.introduce(self.netns, self.home, about)
        chassis.start_switch(self.netns, self.home, topology, about, self.datapath)
        return configured

    def type(self, *argv: str) -> None:
        """Run one of Open vSwitch's programs on it, and show that."""
        info(f"{self.name:>12} # {' '.join(argv)}\n")
        namespaces.run(self.netns, argv, env=chassis.environment(self.home))


class Guest(Member):
    """A VM."""

    def __init__(self, name: str, vm: Vm, datapath: str, **params: Any) -> None:
        self.vm, self.datapath = vm, datapath
        super().__init__(name, **params)

    def config(self, **params: Any) -> dict[str, Any]:
        """What Mininet does, and what a VM behind a tunnel needs: its MTU, and its own checksums."""
        configured = super().config(**params)
        nic = self.defaultIntf().name
        namespaces.script(self.netns, wiring.vm_lines(self.topology, self.vm, self.datapath, nic=nic))
        return configured

    def requests_received(self) -> int:
        """How many echo requests have reached it so far, its own to itself included."""
        # The two lines of Icmp: names, then values.
        lines = Path(f"/proc/{self.pid}/net/snmp").read_text().splitlines()
        names, values = (line.split() for line in lines if line.startswith("Icmp: "))
        return int(values[names.index("InEchos")])


class Outsider(Member):
    """A host of a physical network."""

    def __init__(self, name: str, host: PhysicalHost, datapath: str, **params: Any) -> None:
        self.host, self.datapath = host, datapath
        super().__init__(name, **params)

    def config(self, **params: Any) -> dict[str, Any]:
        """What Mininet does, then its addresses."""
        configured = super().config(**params)
        namespaces.script(self.netns, wiring.host_lines(self.host, self.datapath))
        return configured


class ControllerHost(Member):
    """The host that runs `ryu-manager overlay_app`; `overlayctl` typed on it finds it."""

    running: namespaces.Background | None = None

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        env = namespaces.environment(controller.controller_environment(self.home))
        told = (f"export {name}={value};" for name, value in env.items() if name in _FOR_SHELLS)
        self.cmd("unset OVERLAY_DB;", *told)

    def config(self, **params: Any) -> dict[str, Any]:
        """Once its cable is there: bring it up."""
        configured = super().config(**params)
        namespaces.script(self.netns, wiring.controller_lines(self.topology))
        return configured

    def begin(self) -> None:
        """Start the controller and wait for its database."""
        info(f"{self.name:>12} # ryu-manager overlay_app\n")
        self.running = controller.start(self.netns, self.home)
        controller.await_database(self.running, self.home, PATIENCE)

    def overlayctl(self, *argv: str, shown: bool = True) -> None:
        """Run `overlayctl` on it."""
        if shown:
            info(f"{self.name:>12} # overlayctl {' '.join(argv)}\n")
        env = controller.client_environment(self.home)
        namespaces.run(self.netns, [*controller.overlayctl(), *argv], env=env, timeout=PATIENCE + 10)

    def terminate(self) -> None:
        """The controller first, then the host."""
        if self.running:
            self.running.stop(signal.SIGTERM)
        super().terminate()


class Bridge(LinuxBridge):
    """Mininet's Linux bridge, in a namespace of its own, and without brctl."""

    controlIntf = None

    @classmethod
    def setup(cls) -> None:
        """There is nothing to check: `ip` is there, and a new namespace has no firewall."""

    def start(self, controllers: Sequence[Any]) -> None:
        """Bring it up."""
        ports = [f"ip link set dev {interface} master {self} up" for interface in self.intfList()]
        kind = "type bridge stp_state 0 mcast_snooping 0"
        namespaces.script(
            f"/proc/{self.pid}/ns/net",
            [wiring.QUIET, f"ip link add name {self} {kind}", f"ip link set dev {self} up", *ports],
        )

    def stop(self, deleteIntfs: bool = True) -> None:
        """Take it down."""
        self.cmd(f"ip link del dev {self}")
        Switch.stop(self, deleteIntfs)


class Underlay(Bridge):
    """The underlay. Mininet starts switches after all else and this one last: so then the session begins."""

    def __init__(self, name: str, topology: Topology, crew: Crew, **params: Any) -> None:
        self.topology, self.crew = topology, crew
        super().__init__(name, **params)

    def start(self, controllers: Sequence[Any]) -> None:
        """Bring it up, then the overlay."""
        super().start(controllers)
        info("\n*** Bringing the overlay up\n")
        bring_up(self.topology, self.crew)


def bring_up(topology: Topology, crew: Crew) -> None:
    """The session: managers, controller, declarations, plugs; returns when all is installed."""
    ctl: Any = crew[CONTROLLER]
    hosts: dict[str, Any] = {each.name: crew[each.name] for each in topology.chassis}
    for host in hosts.values():
        host.type(*chassis.MANAGER)
    ctl.begin()
    for argv in controller.declarations(topology, chassis.unusual(next(iter(hosts.values())).datapath)):
        ctl.overlayctl(*argv)
    for vm in topology.vms:
        host = hosts[vm.chassis]
        namespaces.run(
            host.netns,
            ["ovs-vsctl", f"--timeout={PATIENCE:.0f}", "wait-until", "Bridge", "br-int"],
            env=chassis.environment(host.home),
            timeout=PATIENCE + 10,
        )
        host.type(*controller.add_port(vm, network(topology, vm.network).vni))
    info("*** Waiting until everything is installed\n")
    for vm in topology.vms:
        port = vm.name if vm.declared else f"{vm.chassis}/{vm.name}"
        ctl.overlayctl("--timeout", f"{PATIENCE:g}", "port-wait", port, shown=False)
    ctl.overlayctl("--timeout", f"{PATIENCE:g}", "sync", shown=False)
