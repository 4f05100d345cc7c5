"""What breaks during a soak, each time at random: what is done, whom that may strike, and how long it lasts."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from topologies import namespaces, wiring
from topologies.faults.ground import Ground, NotHealed
from topologies.gaps import raw_socket
from topologies.namespaces import CommandFailed
from topologies.soak.ports import Ports
from topologies.soak.telling import tell_hosts

CHURN: Final = 20
"""Changes of ports at a time."""
FRAMES: Final = 3000
"""Frames of a flood."""
HEALED_S: Final = 60.0
"""Seconds within which everything must be as before."""
_ALL: Final = b"\xff" * 6


@dataclass(frozen=True, slots=True)
class Site:
    """Where things break: the lab, the ports that come and go in it, and the dice."""

    ground: Ground
    ports: Ports
    chance: random.Random

    def host(self) -> str:
        """Any chassis."""
        return self.chance.choice([each.name for each in self.ground.lab.topology.chassis])


@dataclass(frozen=True, slots=True)
class Breakage:
    """A sort of fault. `run` returns the chassis whose VMs may lose frames by it; it is over when it returns.

    `kills`: it ends the controller.
    """

    name: str
    run: Callable[[Site], frozenset[str]]
    kills: bool = False


NOBODY: Final[frozenset[str]] = frozenset()


def _controller_ends(site: Site, number: signal.Signals) -> frozenset[str]:
    lab = site.ground.lab
    lab.stop_controller(number)
    time.sleep(site.chance.uniform(0, 3))
    lab.start_controller()
    return NOBODY


def _controller_killed(site: Site) -> frozenset[str]:
    return _controller_ends(site, signal.SIGKILL)


def _controller_restarted(site: Site) -> frozenset[str]:
    return _controller_ends(site, signal.SIGTERM)


def _switch_killed(site: Site) -> frozenset[str]:
    host, lab = site.host(), site.ground.lab
    lab.signal_daemon(host, "ovs-vswitchd")
    time.sleep(site.chance.uniform(0, 3))
    lab.start_daemon(host, "ovs-vswitchd")
    return frozenset([host])


def _switch_hung(site: Site) -> frozenset[str]:
    host, lab = site.host(), site.ground.lab
    lab.signal_daemon(host, "ovs-vswitchd", signal.SIGSTOP)
    time.sleep(site.chance.uniform(1, 20))
    lab.signal_daemon(host, "ovs-vswitchd", signal.SIGCONT)
    return frozenset([host])


def _database_restarted(site: Site) -> frozenset[str]:
    """In userspace Open vSwitch forwards nothing while its database is away."""
    host, lab = site.host(), site.ground.lab
    lab.signal_daemon(host, "ovsdb-server", site.chance.choice([signal.SIGKILL, signal.SIGTERM]))
    time.sleep(site.chance.uniform(0, 3))
    lab.start_daemon(host, "ovsdb-server")
    # It is over when ovs-vswitchd has found it again: for that, unlike a look at it, ovs-vsctl waits.
    lab.run(host, "ovs-vsctl", "set", "open_vswitch", ".", f"external_ids:soak={time.monotonic()}")
    return frozenset([host])


def _underlay_cut(site: Site) -> frozenset[str]:
    host = site.host()
    with _cut(site, host, "underlay"):
        time.sleep(site.chance.uniform(0.5, 5))
    return frozenset([host])


def _management_cut(site: Site) -> frozenset[str]:
    with _cut(site, site.host(), "management"):
        time.sleep(site.chance.uniform(0.5, 20))
    return NOBODY


@contextlib.contextmanager
def _cut(site: Site, host: str, network: str) -> Iterator[None]:
    site.ground.lab.cut(host, network)
    try:
        yield
    finally:
        site.ground.lab.heal(host, network)


def _link_flaps(site: Site) -> frozenset[str]:
    """Of a VM that takes no part in the traffic."""
    for _ in range(5):
        for state in ("down", "up"):
            site.ground.lab.run("h2", "ip", "link", "set", "web9", state)
            time.sleep(0.1)
    return NOBODY


def _flows_edited(site: Site) -> frozenset[str]:
    host, lab = site.host(), site.ground.lab
    ours = [line for line in site.ground.flows(host) if line.startswith("cookie=0xe70")]
    for line in site.chance.sample(ours, 5):
        cookie, _, rest = line.removeprefix("cookie=").partition(", ")
        match = rest.partition("actions=")[0].replace(" ", "").rstrip(",")
        table = match.partition(",")[0]
        how = site.chance.choice(
            [
                ("del-flows", f"cookie={cookie}/-1"),
                ("mod-flows", f"cookie={cookie}/-1,{table},actions=drop"),
                ("add-flow", f"{match},actions=drop"),
                ("add-flow", f"cookie={cookie},table=50,priority=1,metadata=0x61,actions=drop"),
            ]
        )
        lab.run(host, "ovs-ofctl", "-O", "OpenFlow14", how[0], "br-int", how[1])
    return frozenset([host])


def _database_edited(site: Site) -> frozenset[str]:
    host = site.host()
    edit = site.chance.choice(
        [
            ("set-fail-mode", "br-int", "standalone"),
            ("set", "interface", "overlay-vxlan", "options:remote_ip=192.0.2.77"),
            ("del-port", "br-int", "overlay-gre"),
            ("clear", "bridge", "br-int", "external_ids"),
            ("set", "bridge", "br-int", "protocols=OpenFlow10"),
            ("del-controller", "br-int"),
            ("set-controller", "br-int", "tcp:192.0.2.99:9999"),
        ]
    )
    site.ground.lab.run(host, "ovs-vsctl", *edit)
    return frozenset([host])


def _ports_churn(site: Site) -> frozenset[str]:
    for each in list(islice(iter(site.ports.change, None), CHURN)):
        if each.line:
            site.ground.lab.overlayctl(*each.line.split())
        tell_hosts(site.ground.lab, [each])
    return NOBODY


def _macs_flood(site: Site) -> frozenset[str]:
    """A VM sends from as many MACs as it has frames."""
    frames = (_ALL + b"\x02" + site.chance.randbytes(5) + struct.pack("!H", 0x0800) + bytes(46) for _ in range(FRAMES))
    _send(site, frames)
    return NOBODY


def _addresses_flood(site: Site) -> frozenset[str]:
    """A VM claims any address by ARP, and asks for any."""

    def frames() -> Iterator[bytes]:
        for _ in range(FRAMES):
            mac = b"\x02\x00\x00\x00\x00\x09" if site.chance.random() < 0.5 else b"\x02" + site.chance.randbytes(5)
            said, asked = (b"\x0a\x00" + site.chance.randbytes(2) for _ in range(2))
            operation = site.chance.choice([1, 2])
            yield (
                _ALL + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, operation) + mac + said + bytes(6) + asked
            )

    _send(site, frames())
    return NOBODY


def _dhcp_noise(site: Site) -> frozenset[str]:
    """A VM asks for a lease, and offers some."""

    def frames() -> Iterator[bytes]:
        for _ in range(FRAMES // 10):
            source, target = site.chance.choice([(68, 67), (67, 68)])
            body = site.chance.randbytes(300)
            udp = struct.pack("!HHHH", source, target, 8 + len(body), 0) + body
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0)
            yield _ALL + b"\x02\x00\x00\x00\x00\x09\x08\x00" + ip + bytes(4) + b"\xff" * 4 + udp

    _send(site, frames())
    return NOBODY


def _send(site: Site, frames: Iterator[bytes]) -> None:
    """From one of the VMs that nobody declared, some thousand frames a second."""
    vm, lab = site.chance.choice(["web9", "db9"]), site.ground.lab
    with contextlib.closing(raw_socket(f"{namespaces.path(lab.netns(vm))}:{wiring.VM_NIC}")) as out:
        for number, frame in enumerate(frames):
            with contextlib.suppress(OSError):  # a full queue
                out.send(frame.ljust(60, b"\0"))
            if number % 20 == 0:
                time.sleep(0.005)


BREAKAGES: Final = (
    Breakage("controller killed", _controller_killed, kills=True),
    Breakage("controller restarted", _controller_restarted, kills=True),
    Breakage("ovs-vswitchd killed", _switch_killed),
    Breakage("ovs-vswitchd hung", _switch_hung),
    Breakage("ovsdb-server restarted", _database_restarted),
    Breakage("underlay cut", _underlay_cut),
    Breakage("controller cut off from a chassis", _management_cut),
    Breakage("a link flaps", _link_flaps),
    Breakage("flows edited", _flows_edited),
    Breakage("a chassis' database edited", _database_edited),
    Breakage("ports come and go", _ports_churn),
    Breakage("a flood of MACs", _macs_flood),
    Breakage("a flood of ARP", _addresses_flood),
    Breakage("DHCP noise", _dhcp_noise),
)


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that was: when it began and was healed, whom it may have struck, and what went wrong, '' for nothing."""

    name: str
    began: float
    healed: float
    struck: frozenset[str]
    wrong: str = ""


def happen(breakage: Breakage, site: Site) -> Done:
    """Have it happen, and wait until it is healed."""
    began = time.monotonic()
    struck, wrong = frozenset(each.name for each in site.ground.lab.topology.chassis), ""
    try:
        struck = breakage.run(site)
        ended = time.monotonic()
        site.ground.until(site.ground.ready, HEALED_S, "healed")
        site.ground.settle()
        return Done(breakage.name, began, time.monotonic(), struck)
    except (NotHealed, CommandFailed, RuntimeError, OSError) as error:
        wrong = str(error).splitlines()[0]
        ended = time.monotonic()
    return Done(breakage.name, began, ended, struck, wrong)
