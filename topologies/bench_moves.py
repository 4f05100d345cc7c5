"""`./lab bench --moves`: how long a port is out of reach when it moves, ours beside OVN's in one run.

A declared port goes from chassis h1 to h2 and back, while it and a peer on h3 probe each other every millisecond
(`topologies.gaps`). Two labs of the same fabric stand at once, one with the overlay, one with OVN, and take turns,
so that what else the machine does meets both. Two sorts of move:

- live migration: the port is plugged in at the destination, everybody waits until that is installed, the VM goes over
  and is announced as QEMU does it (RARP, and the guest's gratuitous ARP); a second later it is unplugged at the source;
- restart elsewhere: it is unplugged at the source and plugged in at the destination at once, and announced there.

The VM itself goes over in no time, so that what is measured is the network's part alone. OVN does it in the ways that
its manual names (ovn-nb(5)). In a live migration the port has requested-chassis=SOURCE,DESTINATION, and
requested-chassis=DESTINATION before it is unplugged at the source; once with activation-strategy=rarp, which keeps the
destination closed until the VM is announced there, and once without ("both open"), which is for a VM that is silent
until it goes over. To be restarted elsewhere a port is bound where it is plugged in.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any, Final

from topologies import gaps, namespaces, ovn
from topologies.controller import port_add
from topologies.fabric import Fabric
from topologies.gaps import Gap, Station
from topologies.lab import Lab
from topologies.namespaces import Background
from topologies.processes import wait_until
from topologies.three_chassis import TOPOLOGY as THREE
from topologies.topology import Topology, Vm

NETWORK: Final = "red"
MOVER: Final = Vm("mover", NETWORK, "h1", "02:00:00:00:00:01", "10.0.0.1")
PEER: Final = Vm("peer", NETWORK, "h3", "02:00:00:00:00:03", "10.0.0.3")
PLACES: Final = ("h1", "h2")
"""Between which the mover goes."""
GUEST: Final = "guest0"
"""The far end of a port's cable, where the VM would be."""

HOLD: Final = 1.0
"""Seconds for which a live migration has its port at both places, before the VM goes over and after."""
PATIENCE: Final = 20.0
"""Seconds after which a port that moved, and is not heard of, is given up."""
_SETTLE: Final = 0.5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contender:
    """One who moves ports: its lab, and what its operator does beyond plugging in and unplugging.

    `begin` is called before a live migration's port is plugged in at the destination, with source, destination, and
    whether the destination stays closed until the VM is announced, where that can be chosen; `settled` returns when
    the port is installed there; `end` is called before it is unplugged at the source. `restart` comes before a restart
    elsewhere, and before its probe.
    """

    name: str
    fabric: Fabric
    settled: Callable[[], None]
    begin: Callable[[str, str, bool], None] = lambda source, destination, closed: None
    end: Callable[[str, str], None] = lambda source, destination: None
    restart: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Series:
    """One figure of one sort of move, in `unit`, of every move: ours and OVN's (none when there is no OVN)."""

    name: str
    unit: str
    ours: tuple[float, ...]
    ovn: tuple[float, ...]

    @property
    def ratio(self) -> float | None:
        """Ours over OVN's, of the medians; None when there is none."""
        return median(self.ours) / median(self.ovn) if self.ovn and median(self.ovn) > 0 else None


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured; `ovn` says its version, or why there is none. `late_ms` is the probe's own worst."""

    datapath: str
    moves: int
    ovn: str
    late_ms: float
    series: tuple[Series, ...]


def topology() -> Topology:
    """Three chassis; the VMs are the probe's, which makes their cables itself."""
    return replace(THREE, name="moves", vms=())


# -- the contenders


@contextlib.contextmanager
def ours(name: str, datapath: str | None) -> Iterator[Contender]:
    """A lab with the overlay, the mover plugged in on h1 and the peer on h3."""
    with Lab(topology(), name, datapath=datapath) as lab:
        lay_cables(lab)
        lab.start_controller()
        lab.declare()
        await_bridges(lab)
        for vm in (MOVER, PEER):
            lab.overlayctl(*port_add(vm))
            plug(lab, vm, vm.chassis)
            lab.overlayctl("port-wait", vm.name)

        def settled() -> None:
            # Until the controller has heard of the new place there is nothing to wait for.
            if not wait_until(lambda: places_up(lab) == lab_places(lab), PATIENCE, 0.1):
                raise RuntimeError(f"{MOVER.name} is not up wherever it is plugged in within {PATIENCE:g} s")
            lab.overlayctl("sync")

        settled()
        yield Contender("overlay", lab, settled)


@contextlib.contextmanager
def theirs(name: str, datapath: str | None, programs: ovn.Programs) -> Iterator[Contender]:
    """A lab with OVN, the same ports at the same places."""
    with Fabric(topology(), name, datapath=datapath) as fabric:
        lay_cables(fabric)
        running = ovn.start(fabric, programs)
        await_bridges(fabric)
        running.nbctl("ls-add", NETWORK)
        for vm in (MOVER, PEER):
            address = f"{vm.mac} {vm.ip}"
            words = ["lsp-add", NETWORK, vm.name, "--", "lsp-set-addresses", vm.name, address]
            running.nbctl(*words, "--", "lsp-set-port-security", vm.name, address)
            plug(fabric, vm, vm.chassis)
            running.nbctl("wait-until", "Logical_Switch_Port", vm.name, "up=true")
        running.sync()

        def begin(source: str, destination: str, closed: bool) -> None:
            options = [f"requested-chassis={source},{destination}", *(["activation-strategy=rarp"] if closed else [])]
            running.nbctl("--wait=hv", "lsp-set-options", MOVER.name, *options)

        def end(source: str, destination: str) -> None:
            running.nbctl("--wait=hv", "lsp-set-options", MOVER.name, f"requested-chassis={destination}")

        def restart() -> None:
            running.nbctl("--wait=hv", "lsp-set-options", MOVER.name)

        def settled() -> None:
            # `sync` waits for what is in the northbound database, and that a port is plugged in is none of it.
            binding = ["--bare", "--columns=additional_chassis", "find", "Port_Binding", f"logical_port={MOVER.name}"]
            if not wait_until(lambda: running.sbctl(*binding).strip() != "", PATIENCE, 0.1):
                raise RuntimeError(f"OVN does not bind {MOVER.name} at a second place within {PATIENCE:g} s")
            running.sync()

        yield Contender("OVN", fabric, settled, begin, end, restart)


def lab_places(fabric: Fabric) -> int:
    """At how many places the mover is plugged in."""
    listed = (fabric.run(place, "ovs-vsctl", "list-ports", "br-int").stdout.split() for place in PLACES)
    return sum(MOVER.name in ports for ports in listed)


def places_up(lab: Lab) -> int:
    """At how many of them the overlay says that it is up."""
    shown = json.loads(lab.overlayctl("--format", "json", "show"))
    ports = [port for network in shown["networks"] for port in network["ports"] if port["name"] == MOVER.name]
    return sum(place["up"] for port in ports for place in port["places"])


def lay_cables(fabric: Fabric) -> None:
    """A cable for the mover at each of its places, and one for the peer; the probe speaks at their far ends."""
    for where in fabric.topology.chassis:
        vm = PEER if where.name == PEER.chassis else MOVER
        lines = [f"ip link add name {vm.name} type veth peer name {GUEST}"]
        # The chassis' own stack is to be silent on it.
        lines += [f"ip link set dev {each} arp off up" for each in (vm.name, GUEST)]
        namespaces.script(fabric.netns(where.name), lines)


def await_bridges(fabric: Fabric) -> None:
    """Return when every chassis has a br-int."""
    for chassis in fabric.topology.chassis:
        fabric.run(chassis.name, "ovs-vsctl", "--timeout=30", "wait-until", "Bridge", "br-int")


def plug(fabric: Fabric, vm: Vm, where: str) -> None:
    """Plug a port in, as an operator would."""
    interface = ["set", "interface", vm.name, f"external_ids:iface-id={vm.name}"]
    fabric.run(where, "ovs-vsctl", "add-port", "br-int", vm.name, "--", *interface)


def unplug(fabric: Fabric, where: str) -> None:
    """Take the mover out of br-int."""
    fabric.run(where, "ovs-vsctl", "del-port", "br-int", MOVER.name)


# -- one move


class Probe:
    """The running probe of one contender's lab; `record` is there when the `with` block has ended."""

    record: gaps.Record

    def __init__(self, fabric: Fabric, at: str) -> None:
        def where(chassis: str) -> str:
            return gaps.place(namespaces.path(fabric.netns(chassis)), GUEST)

        stations = (Station(PEER.mac, PEER.ip), Station(MOVER.mac, MOVER.ip))
        argv = gaps.command(where(PEER.chassis), {place: where(place) for place in PLACES}, at, stations)
        path = fabric.output("probe", at)
        with path.open("wb") as sink:
            popen = subprocess.Popen(
                argv,
                env=namespaces.environment(None),
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert popen.stdin is not None
        self._commands = popen.stdin.fileno()
        self._running = Background("machine", tuple(argv), popen, path, time.time())

    def __enter__(self) -> Probe:
        try:
            self._running.wait_for("probing")
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, raised: type[BaseException] | None, *rest: object) -> None:
        if raised:
            self._kill()
            return
        try:
            self._tell("stop")
            self._running.popen.wait(10)
        finally:
            self._kill()
        self.record = gaps.read(self._running.output())

    def go(self, place: str) -> None:
        """The VM goes over to that place, and is announced there."""
        self._tell(f"go {place}")

    def back(self) -> bool:
        """Whether, within `PATIENCE`, a probe that was sent since was answered in both directions."""
        return wait_until(lambda: "back" in self._running.output().splitlines(), PATIENCE)

    def _tell(self, words: str) -> None:
        os.write(self._commands, f"{words}\n".encode())

    def _kill(self) -> None:
        self._running.popen.kill()  # nothing happens to one that has ended
        self._running.popen.communicate()


def still(contender: Contender, at: str, other: str) -> tuple[gaps.Record, bool]:
    """Nothing moves: what the machine and the probe add by themselves."""
    with Probe(contender.fabric, at) as probe:
        time.sleep(2 * HOLD)
    return probe.record, True


def live(contender: Contender, source: str, destination: str, closed: bool = True) -> tuple[gaps.Record, bool]:
    """A live migration; with the record, whether the VM was heard again."""
    with Probe(contender.fabric, source) as probe:
        contender.begin(source, destination, closed)
        plug(contender.fabric, MOVER, destination)
        contender.settled()
        time.sleep(HOLD)
        probe.go(destination)
        time.sleep(HOLD)
        contender.end(source, destination)
        unplug(contender.fabric, source)
        back = probe.back()
        time.sleep(_SETTLE)
    return probe.record, back


def elsewhere(contender: Contender, source: str, destination: str) -> tuple[gaps.Record, bool]:
    """A restart elsewhere; with the record, whether the VM was heard again."""
    contender.restart()
    with Probe(contender.fabric, source) as probe:
        time.sleep(_SETTLE)
        unplug(contender.fabric, source)
        plug(contender.fabric, MOVER, destination)
        probe.go(destination)
        back = probe.back()
        time.sleep(_SETTLE)
    return probe.record, back


SORTS: Final[dict[str, Callable[[Contender, str, str], tuple[gaps.Record, bool]]]] = {
    "nothing moves": still,
    "live migration": live,
    "live, both open": partial(live, closed=False),
    "restart elsewhere": elsewhere,
}


# -- the benchmark


def run(moves: int, datapath: str | None, with_ovn: bool, say: Say) -> Report:
    """Build the labs and measure every sort of move, in turns; without OVN only ours."""
    missing, programs = "left out", None
    if with_ovn:
        try:
            programs = ovn.programs()
        except ovn.Unavailable as why:
            missing = str(why)
            say(f"OVN: {missing}; ours alone")
    with contextlib.ExitStack() as stack:
        name = f"moves{os.getpid()}"
        say("building three chassis with the overlay ...")
        contenders = [stack.enter_context(ours(name, datapath))]
        if programs is not None:
            say(f"building three chassis with OVN {ovn.version(programs)} ...")
            contenders.append(stack.enter_context(theirs(f"{name}-ovn", datapath, programs)))
        for each in contenders:
            warm_up(each)
        at, late, series = PLACES[0], 0.0, []
        for sort in SORTS:
            figures, at = measure(contenders, sort, moves, at, say)
            series += as_series(sort, figures)
            late = max(late, *(each.late_ms for side in figures for each in side))
        said = f"OVN {ovn.version(programs)}" if programs is not None else f"OVN: {missing}"
        return Report(contenders[0].fabric.datapath, moves, said, late, tuple(series))


def warm_up(contender: Contender) -> None:
    """Until nothing is lost any more; RuntimeError when that does not come."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with Probe(contender.fabric, PLACES[0]) as probe:
            time.sleep(_SETTLE)
        lost = gaps.gap(probe.record).lost
        if not lost:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{contender.name}: {lost} probes are lost before anything moves")


def measure(contenders: Sequence[Contender], sort: str, moves: int, at: str, say: Say) -> tuple[list[list[Gap]], str]:
    """Every contender's gaps of one sort of move, in turns, and where the port is in the end; `at` is where it was."""
    figures: list[list[Gap]] = [[] for _ in contenders]
    for turn in range(1, moves + 1):
        other = next(place for place in PLACES if place != at)
        for contender, into in zip(contenders, figures, strict=True):
            record, back = SORTS[sort](contender, at, other)
            into.append(gaps.gap(record))
            say(
                f"{sort} {turn} of {moves}, {contender.name:<8} gap {into[-1].ms:7.1f} ms, {into[-1].lost:5} lost; "
                f"the probe itself late by {into[-1].late_ms:.1f} ms at most"
                + ("" if back else f"; NOT heard again within {PATIENCE:g} s")
            )
        at = at if SORTS[sort] is still else other
    return figures, at


def as_series(sort: str, figures: Sequence[Sequence[Gap]]) -> list[Series]:
    """The gaps and the losses of one sort of move."""
    both = [*figures, []][:2]
    return [
        Series(f"{sort}, gap", "ms", *(tuple(round(each.ms, 3) for each in side) for side in both)),
        Series(f"{sort}, lost", "packets", *(tuple(each.lost for each in side) for side in both)),
    ]


def plain(report: Report) -> list[dict[str, Any]]:
    """The report as what json can write, each figure with all that there is to know of it."""
    about = {"datapath": report.datapath, "beside": report.ovn, "late_ms": round(report.late_ms, 3)}
    return [
        {"name": each.name, "unit": each.unit, "ours": each.ours, "ovn": each.ovn, "ratio": each.ratio, **about}
        for each in report.series
    ]


def table(report: Report) -> str:
    """The report as a table that fits a terminal."""
    lines = [
        f"datapath {report.datapath}; {report.moves} moves of each sort, in turns; a probe every ms each way",
        f"the probe itself was late by {report.late_ms:.1f} ms at most; packets are those of both directions",
        "OVN's live migration: requested-chassis=SOURCE,DESTINATION with activation-strategy=rarp,",
        "and without where both are open; ours knows one way, and is measured beside each",
        f"{'':<26} {'unit':<8} {'':<8} {'median':>8} {'min':>8} {'max':>8} {'ratio':>7}",
    ]
    for each in report.series:
        lines.append(_row(each.name, each.unit, "overlay", each.ours, each.ratio))
        lines.append(_row("", "", "OVN", each.ovn, None) if each.ovn else f"{'':<35} {report.ovn}")
    return "\n".join(lines)


def _row(name: str, unit: str, who: str, figures: Sequence[float], ratio: float | None) -> str:
    numbers = " ".join(f"{value:8.1f}" for value in (median(figures), min(figures), max(figures)))
    return f"{name:<26} {unit:<8} {who:<8} {numbers} {f'{ratio:7.2f}' if ratio is not None else ''}".rstrip()
