"""The controller of a lab: how `ryu-manager overlay_app` and `overlayctl` are called, and what they hear."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import Final

from topologies import namespaces
from topologies.namespaces import Background
from topologies.processes import wait_until
from topologies.topology import Chassis, Encap, Network, Topology, Vm, management_address

NAMES: Final = ("amber", "birch", "cedar")
"""What controllers are called where there are several. Of three chassis h1, h2 and h3 each has one then."""
SCRIPTS: Final = Path(sysconfig.get_path("scripts"))


def controller_environment(directory: Path) -> dict[str, str]:
    """What the controller is told: to keep its own database there (none is named, so it starts one)."""
    return {"OVERLAY_RUNDIR": str(directory), "OVERLAY_DBDIR": str(directory), "PYTHONUNBUFFERED": "1"}


def client_environment(directory: Path) -> dict[str, str]:
    """What makes `overlayctl`, by that name, find the controller's database."""
    return {"OVERLAY_RUNDIR": str(directory), "OVERLAY_DB": f"unix:{socket(directory)}"}


def socket(directory: Path) -> Path:
    """The socket of the controller's own database."""
    return directory / "overlay.sock"


def ryu_manager() -> list[str]:
    """The command `ryu-manager` of the running interpreter."""
    return _script("ryu-manager", "ryu.cmd.manager")


def overlayctl() -> list[str]:
    """The command `overlayctl` of the running interpreter."""
    return _script("overlayctl", "controller.cli.main")


def start(netns: str, home: Path, *options: str, env: dict[str, str] | None = None) -> Background:
    """Start `ryu-manager overlay_app` with a database of its own in `home`, where its log goes too."""
    return namespaces.start(
        netns,
        [*ryu_manager(), "overlay_app", *options],
        log(home),
        env=env or controller_environment(home),
        cwd=home,
    )


def await_database(running: Background, home: Path, patience: float) -> None:
    """Wait until it serves its database; RuntimeError, with its log, when it ends or the time is up."""

    def settled() -> bool:
        return running.ended() or (_newer(socket(home), running.began) and _answers(socket(home)))

    in_time = wait_until(settled, patience, poll=0.05)
    if running.ended() or not in_time:
        how = "the controller ended" if running.ended() else f"no database after {patience:g} s"
        raise RuntimeError(f"{how}; its log:\n{log(home).read_text(errors='replace')}")


def log(home: Path) -> Path:
    """The controller's log."""
    return home / "controller.log"


def chassis_add(topology: Topology, chassis: Chassis, datapath: str | None = None) -> list[str]:
    """`overlayctl`'s arguments for a chassis; the encaps are named where a VTEP does not offer all."""
    remote = f"tcp:{management_address(topology, chassis.name)}:6640"
    vteps = [
        vtep.ip if vtep.encaps == frozenset(Encap) else f"{vtep.ip}={'+'.join(sorted(vtep.encaps))}"
        for vtep in chassis.vteps
    ]
    argv = ["chassis-add", chassis.name, remote, "--vtep", ",".join(vteps)]
    for physical, bridge in chassis.bridges:
        argv += ["--bridge", f"{physical}={bridge}"]
    if datapath:
        argv += ["--datapath", datapath]
    return argv


def net_add(network: Network) -> list[str]:
    """`overlayctl`'s arguments for a network."""
    argv = ["net-add", network.name, "--tenant", network.tenant, "--vni", str(network.vni), "--encap", network.encap]
    if network.transparent:
        argv += ["--vlan-transparent", "on"]
    if network.gateway is not None:
        argv += ["--physical", f"{network.gateway.physical}:{network.gateway.vlan}"]
        argv += ["--gateway-chassis", network.gateway.chassis]
    return argv


def port_add(vm: Vm) -> list[str]:
    """`overlayctl`'s arguments for a declared VM."""
    return ["port-add", vm.name, "--net", vm.network, "--mac", vm.mac, "--ip", vm.ip]


def declarations(topology: Topology, datapath: str | None = None) -> list[list[str]]:
    """Everything `overlayctl` is told of a topology, in order."""
    return [
        *(chassis_add(topology, each, datapath) for each in topology.chassis),
        *(net_add(each) for each in topology.networks),
        *(port_add(each) for each in topology.vms if each.declared),
    ]


def add_port(vm: Vm, vni: int) -> list[str]:
    """The `ovs-vsctl` command that plugs a VM in."""
    say = f"external_ids:iface-id={vm.name}" if vm.declared else f"external_ids:overlay-vni={vni}"
    return ["ovs-vsctl", "add-port", "br-int", vm.name, "--", "set", "interface", vm.name, say]


def del_port(vm: Vm) -> list[str]:
    """The `ovs-vsctl` command that unplugs a VM."""
    return ["ovs-vsctl", "del-port", "br-int", vm.name]


def _newer(path: Path, moment: float) -> bool:
    """Whether there is a file, made since then: a socket of a server that is about to end is not meant."""
    try:
        return path.stat().st_ctime >= moment - 0.01
    except FileNotFoundError:
        return False


def _answers(path: Path) -> bool:
    argv = ["ovsdb-client", "--timeout=2", "list-dbs", f"unix:{path}"]
    return namespaces.run(None, argv, check=False).returncode == 0


def _script(name: str, module: str) -> list[str]:
    path = SCRIPTS / name
    return [str(path)] if path.exists() else [sys.executable, "-m", module]
