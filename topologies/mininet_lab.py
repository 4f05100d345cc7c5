"""A topology as a Mininet network, and a `pingall` that tells what tenants see.

A plain `pingall` would not: two VMs of different tenants have one address, and that somebody answers does not
say who was reached. Here a VM counts as reached when it has *received* the request, an X means that it has
not, the infrastructure is left out, and the verdict compares all that with what tenants should see: everyone
of their own network, and nobody of another.
"""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

from mininet.cli import CLI
from mininet.log import error, output, setLogLevel
from mininet.net import Mininet
from mininet.topo import Topo

from topologies import streams, wiring
from topologies.chassis import kernel_datapath
from topologies.mininet_nodes import Bridge, Chassis, ControllerHost, Crew, Guest, Outsider, Underlay
from topologies.namespaces import CommandFailed
from topologies.topology import (
    CONTROLLER,
    PREFIX,
    UNDERLAY,
    Topology,
    interface_mac,
    management_address,
    reaches,
    vteps_by_underlay,
)

MANAGEMENT: Final = "management"
_running: set[OverlayNet] = set()


class OverlayTopo(Topo):
    """A topology of ours as Mininet's; `datapath` is `netdev`, `system`, or by what the kernel has."""

    def build(self, topology: Topology, datapath: str | None = None) -> None:
        """What Mininet calls to fill it."""
        crew: Crew = {}
        datapath = datapath or ("system" if kernel_datapath() else "netdev")
        common = {"topology": topology, "crew": crew}
        self.addSwitch(MANAGEMENT, cls=Bridge, inNamespace=True, dpid="1")
        self.addSwitch(UNDERLAY, cls=Underlay, inNamespace=True, dpid="2", **common)
        self._add_member(CONTROLLER, ControllerHost, common)
        for each in topology.chassis:
            self._add_member(each.name, Chassis, {**common, "datapath": datapath})
            for number in vteps_by_underlay(topology, each):
                names = {"intfName1": wiring.underlay_nic(number), "intfName2": wiring.underlay_port(each.name, number)}
                self.addLink(each.name, self._network(wiring.underlay_bridge(number)), **names)
            for physical, _ in each.bridges:
                port = wiring.physical_port(topology, each.name, physical)
                names = {"intfName1": wiring.physical_nic(physical), "intfName2": port}
                self.addLink(each.name, self._network(physical), **names)
        for host in topology.hosts:
            self.addHost(host.name, cls=Outsider, ip=None, mac=host.mac, host=host, datapath=datapath, **common)
            port = wiring.physical_port(topology, host.name, host.physical)
            self.addLink(host.name, self._network(host.physical), intfName1=wiring.VM_NIC, intfName2=port)
        for vm in topology.vms:
            about = {**common, "vm": vm, "datapath": datapath}
            self.addHost(vm.name, cls=Guest, ip=f"{vm.ip}/{PREFIX}", mac=vm.mac, **about)
            self.addLink(vm.name, vm.chassis, intfName2=vm.name)

    def _network(self, bridge: str) -> str:
        """The switch that a network is; made when there is none yet. The underlay proper is to be the last by name."""
        if bridge == UNDERLAY:
            return UNDERLAY
        name = f"net-{bridge}"
        if name not in self.switches():
            self.addSwitch(name, cls=Bridge, inNamespace=True, dpid=f"{3 + len(self.switches()):x}")
        return name

    def _add_member(self, name: str, cls: type, about: dict[str, Any]) -> None:
        """A host on the management network."""
        address = management_address(about["topology"], name)
        mac = interface_mac(address, wiring.MANAGEMENT)
        self.addHost(name, cls=cls, ip=f"{address}/{PREFIX}", mac=mac, **about)
        names = {"intfName1": wiring.MANAGEMENT_NIC, "intfName2": wiring.management_port(name)}
        self.addLink(name, MANAGEMENT, **names)


class OverlayNet(Mininet):
    """Mininet, with a `pingall` that tells what tenants see."""

    wrong: tuple[str, ...] = ()
    """What the last `pingall` found that should not be."""

    def build(self) -> None:
        """Build it; what fails from here on is taken down by `cleanup`."""
        _running.add(self)
        super().build()

    def vms(self) -> list[Guest]:
        """The VMs, without the infrastructure."""
        return [host for host in self.hosts if isinstance(host, Guest)]

    def ping(self, hosts: list[Guest] | None = None, timeout: str | None = None) -> float:
        """Ping between VMs; the percentage of pairs that are not as tenants should see them."""
        vms = hosts or self.vms()
        output("*** Ping: who receives whose requests (X: does not)\n")
        wrong: list[str] = []
        for source in vms:
            output(f"{source.name} -> ")
            for target in vms:
                if source is not target:
                    self._ping_pair(source, target, timeout or "1", wrong)
            output("\n")
        self.wrong = tuple(wrong)
        pairs = len(vms) * (len(vms) - 1)
        inside = sum(self._neighbors(a, b) for a in vms for b in vms if a is not b)
        if wrong:
            error(f"*** Results: WRONG, {len(wrong)} of {pairs} pairs: {'; '.join(wrong)}\n")
        else:
            output(f"*** Results: as it should be: all {inside} pairs of one network reach each other, ")
            output(f"none of the {pairs - inside} others\n")
        return 100.0 * len(wrong) / pairs if pairs else 0.0

    def _ping_pair(self, source: Guest, target: Guest, timeout: str, wrong: list[str]) -> None:
        before = target.requests_received()
        # VMs of two tenants may have one address: then this asks oneself, and the other must not notice.
        answered = ", 0% packet loss" in source.cmd(f"ping -n -c 1 -W {timeout} {target.vm.ip}")
        arrived = target.requests_received() > before
        output(f"{target.name} " if arrived else "X ")
        neighbors = self._neighbors(source, target)
        if arrived and not neighbors:
            wrong.append(f"{source.name} ({source.vm.network}) reaches {target.name} ({target.vm.network})")
        elif neighbors and not (arrived and answered):
            wrong.append(f"{source.name} does not reach {target.name}")

    def _neighbors(self, one: Guest, other: Guest) -> bool:
        return reaches(one.topology, one.vm, other.vm)

    def pingPair(self) -> float:
        """Ping between the first two VMs of one network."""
        return self.ping(hosts=self._pair())

    def iperf(self, hosts: list[Guest] | None = None, seconds: float = 5, **options: Any) -> list[str]:
        """TCP between two VMs, the first two of one network when none are named; the rate, twice as Mininet has it.

        By iperf3: Mininet waits for words that a current iperf does not say. There is no UDP.
        """
        client, server = hosts or self._pair()
        output(f"*** Iperf: TCP from {client} to {server}\n")
        stream = streams.tcp(client.netns, server.netns, server.vm.ip, float(seconds), server.home / "iperf3")
        rate = f"{stream.bits_per_second / 1e6:.1f} Mbits/sec"
        output(f"*** Results: {rate}\n")
        return [rate, rate]

    def stop(self) -> None:
        """Take it down, whatever it was doing."""
        _running.discard(self)
        for node in self.values():
            _interrupt(node)
        try:
            super().stop()
        finally:
            for host in self.hosts:
                host.terminate()

    def _pair(self) -> list[Guest]:
        return next([a, b] for a, b in combinations(self.vms(), 2) if self._neighbors(a, b))


def cleanup() -> None:
    """In `mn`'s stead, when it ends by an error: take our network down, and nobody else's controllers and bridges."""
    for net in list(_running):
        net.stop()


def _interrupt(node: Any) -> None:
    """Ctrl-C for a command that still runs on a node, which would take no other."""
    for _ in range(3):
        if node.shell and node.waiting:
            node.sendInt()
            node.monitor(timeoutms=500)
    node.waiting = False


def main(topology: Topology, argv: Sequence[str] | None = None) -> int:
    """Build the network, then Mininet's CLI, or with `--test` a verdict. Returns the exit status."""
    parser = ArgumentParser(
        description=f"{topology.title}; in Mininet",
        epilog=topology.picture,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--test", action="store_true", help="ping all, send TCP; exit status 0 if that went well")
    parser.add_argument("--datapath", choices=("netdev", "system"), help="default: the kernel's, if there is one")
    args = parser.parse_args(argv)
    if os.geteuid() != 0:
        print("Mininet must run as root", file=sys.stderr)
        return 1
    setLogLevel("info")
    # A plain kill takes the network down just as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    net = OverlayNet(topo=OverlayTopo(topology, args.datapath), controller=None, build=False)
    try:
        net.build()
        net.start()
        if not args.test:
            CLI(net)
            return 0
        loss = net.pingAll()
        net.iperf(seconds=2)
        return 0 if loss == 0 else 1
    except (CommandFailed, RuntimeError) as failed:
        error(f"*** {failed}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        net.stop()
