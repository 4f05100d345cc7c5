"""A chassis: its own ovsdb-server and ovs-vswitchd, in its own namespace, started by hand.

Everything a daemon writes (database, sockets, pid file, log) is in one directory; with the variables of
`environment` plain `ovs-vsctl`, `ovs-ofctl` and `ovs-appctl` find it there.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Final

from topologies import namespaces, wiring
from topologies.processes import Process, identify, wait_until
from topologies.topology import Chassis, Topology, interface_mac, vteps_by_underlay

SCHEMA: Final = Path("/usr/share/openvswitch/vswitch.ovsschema")
MANAGER: Final = ("ovs-vsctl", "set-manager", "ptcp:6640")
"""The one command that a chassis needs from its operator."""

_FIRST_CPU_COUNT = 11.0


def environment(directory: Path) -> dict[str, str]:
    """What makes Open vSwitch's programs use that directory."""
    names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
    return dict.fromkeys(names, str(directory))


def kernel_datapath() -> bool:
    """Whether the kernel has, or can load, Open vSwitch's datapath."""
    if Path("/sys/module/openvswitch").exists():
        return True
    try:
        return subprocess.run(["modprobe", "-q", "openvswitch"], check=False).returncode == 0
    except FileNotFoundError:
        return False


def unusual(datapath: str) -> str | None:
    """What the controller must be told of a datapath: by itself it takes the kernel's where there is one."""
    return datapath if datapath == "netdev" and kernel_datapath() else None


def wait_for_cpu_count() -> None:
    """On a machine that has just booted, wait until Open vSwitch can count its CPUs.

    It counts them anew when 10 s have passed since the last time, and takes the machine's start for the
    first time. A kernel datapath opened before gets no upcall handlers, and loses every packet, for good.
    """
    time.sleep(max(0.0, _FIRST_CPU_COUNT - time.monotonic()))


def start_database(netns: str, directory: Path) -> Process:
    """Start the chassis' ovsdb-server, on a new database when there is none."""
    env = environment(directory)
    database = directory / "conf.db"
    if not database.exists():
        namespaces.run(netns, ["ovsdb-tool", "create", str(database), str(SCHEMA)], env=env)
    remotes = ["--remote=punix:db.sock", "--remote=db:Open_vSwitch,Open_vSwitch,manager_options"]
    # As distributions start it (ovs-ctl(8)), so that `ovs-vsctl set-ssl` counts.
    remotes += [
        "--private-key=db:Open_vSwitch,SSL,private_key",
        "--certificate=db:Open_vSwitch,SSL,certificate",
        "--bootstrap-ca-cert=db:Open_vSwitch,SSL,ca_cert",
    ]
    namespaces.run(
        netns,
        ["ovsdb-server", str(database), *remotes, "--pidfile", "--detach", "--log-file", "-vconsole:off"],
        env=env,
    )
    return _of_pidfile(directory, "ovsdb-server")


def start_switch(netns: str, directory: Path, topology: Topology, chassis: Chassis, datapath: str) -> Process:
    """Start the chassis' ovs-vswitchd; with the userspace datapath, see that it has its VTEPs' addresses."""
    env = environment(directory)
    namespaces.run(netns, ["ovs-vswitchd", "--pidfile", "--detach", "--log-file", "-vconsole:off"], env=env)
    process = _of_pidfile(directory, "ovs-vswitchd")
    if datapath == "netdev":
        add_vtep_bridges(netns, directory, topology, chassis)
    add_physical_bridges(netns, directory, chassis, datapath)
    return process


def introduce(netns: str, directory: Path, chassis: Chassis) -> None:
    """Give the chassis' database its first row and the chassis its name."""
    identity = f"external_ids:system-id={chassis.name}"
    argv = ["ovs-vsctl", "--no-wait", "--", "init", "--", "set", "Open_vSwitch", ".", identity]
    namespaces.run(netns, argv, env=environment(directory))


def add_vtep_bridges(netns: str, directory: Path, topology: Topology, chassis: Chassis) -> None:
    """The operator's bridge beneath the tunnels, in each underlay: the NIC a port, the addresses on its interface.

    Userspace tunnels look up their way out in Open vSwitch itself, so a bridge must have the address. Its
    interface dies with ovs-vswitchd; the same call brings it back.
    """
    for number, vteps in vteps_by_underlay(topology, chassis).items():
        bridge = wiring.vtep_bridge(number)
        mac = interface_mac(vteps[0].ip, wiring.VTEP)
        _add_bridge(netns, directory, bridge, "netdev", wiring.underlay_nic(number), f"other_config:hwaddr={mac}")
        namespaces.script(netns, [_wait_for_interface(bridge), *wiring.vtep_lines(bridge, vteps)])


def add_physical_bridges(netns: str, directory: Path, chassis: Chassis, datapath: str) -> None:
    """The operator's bridges to physical networks, the NIC a port of each, as on any host that has such."""
    for physical, bridge in chassis.bridges:
        _add_bridge(netns, directory, bridge, datapath, wiring.physical_nic(physical))


def _add_bridge(netns: str, directory: Path, bridge: str, datapath: str, nic: str, *settings: str) -> None:
    argv = ["ovs-vsctl", "--timeout=20", "--may-exist", "add-br", bridge]
    argv += ["--", "set", "Bridge", bridge, f"datapath_type={datapath}", "fail_mode=standalone", *settings]
    argv += ["--", "--may-exist", "add-port", bridge, nic]
    namespaces.run(netns, argv, env=environment(directory))


def _wait_for_interface(name: str) -> str:
    """A line of shell that waits up to 10 s for an interface: after a restart ovs-vsctl does not."""
    there = f"ip link show dev {name} >/dev/null 2>&1"
    return f"n=0; until {there} || [ $n -ge 200 ]; do n=$((n+1)); sleep 0.05; done"


def _of_pidfile(directory: Path, daemon: str) -> Process:
    path = directory / f"{daemon}.pid"
    if not wait_until(lambda: path.exists() and path.read_text().strip().isdigit(), 10):
        raise RuntimeError(f"{daemon} wrote no {path}")
    return identify(int(path.read_text()))
