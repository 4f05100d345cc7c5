"""Isolation, proven over what real switches have installed; and real packets on a sample of the pairs.

The overlay of the proof is declared with `overlayctl apply` and plugged in on three chassis; the flows are read back.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from flows import text
from flows.compile import compile
from flows.flow import Flow, Meter
from flows.model import Overlay
from flows.tables import FDB, TOLD_TABLE
from flows.truth.fate import Fate
from flows.truth.frame import BROADCAST
from tests.proof import tenants
from tests.proof.check import Bench
from tests.proof.frames import of_pair, of_port, sent, wrapped
from tests.proof.octets import octets
from tests.proof.proving import everything, name_of, told
from tests.system.steps import eventually, fresh_name, settle
from topologies.lab import Lab
from topologies.topology import FIRST_UNDERLAY, Topology

pytestmark = pytest.mark.system

TOPOLOGY = Topology(
    "isolation", "three chassis, ports without VMs", tenants.CHASSIS, (), (), underlays=(FIRST_UNDERLAY,)
)
_CLASSES = (
    "IPv4", "IPv6", "other than IP", "ARP request", "ARP reply", "solicitation", "802.1Q", "two tags", "its MAC",
    "its ARP sender MAC", "its ARP sender IP", "its ARP reply", "its IPv4 source", "its IPv6 source",
    "its advertisement", "its advertisement's option", "its solicitation's option", "tagged as the other",
    "broadcast", "group as source", "unknown unicast", "all nodes", "IPv4 multicast",
    "router advertisement", "DHCP offer",     "reserved 01:80:c2:00:00:0e", "nobody's MAC", "gratuitous ARP",
)  # fmt: skip
_SAMPLE = 400
_TIMES = 6
_LISTEN = """
import select, socket, sys
PACKET_OUTGOING = 4
sockets = {}
for name in sys.argv[1:]:
    each = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    each.bind((name, 3))
    sockets[each] = name
print("listening", flush=True)
while True:
    for each in select.select(list(sockets), [], [])[0]:
        frame, (_, _, kind, *_) = each.recvfrom(65535)
        if kind != PACKET_OUTGOING and frame[-8:-4] == b"\\xa5\\x5a\\x5a\\xa5":
            print(sockets[each], int.from_bytes(frame[-4:], "big"), flush=True)
"""
_SEND = """
import json, socket, sys, time
sockets = {}
for name, frame in json.load(open(sys.argv[1])):
    if name not in sockets:
        sockets[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sockets[name].bind((name, 0))
    sockets[name].send(bytes.fromhex(frame))
    time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(TOPOLOGY, fresh_name()) as built:
        built.start_controller()
        built.declare()
        for chassis in tenants.CHASSIS:
            mtus = ",".join(f"{vtep.ip}={vtep.mtu}" for vtep in chassis.vteps)
            built.overlayctl("chassis-set", chassis.name, "--vtep-mtu", mtus)
        path = built.directory / "out" / "tenants.yaml"
        path.write_text(tenants.declaration())
        built.overlayctl("apply", "-f", str(path))
        settle(built)
        plugs = list(tenants.PLUGS)
        last = next(each for each in reversed(plugs) if each.iface_id == "plain8")
        for some in ([each for each in plugs if each is not last], [last]):
            for chassis in ("h1", "h2", "h3"):
                _plug(built, chassis, [each for each in some if each.chassis == chassis])
            settle(built)
        time.sleep(1)
        settle(built)
        yield built
        assert "Traceback" not in built.controller_log()


def _plug(lab: Lab, chassis: str, plugs: list[tenants.Plug]) -> None:
    """Internal ports: a frame that a program sends by such a device is one that came in by that port."""
    argv = ["ovs-vsctl", "--timeout=30"]
    for each in plugs:
        argv += ["--", "add-port", "br-int", each.interface, "--", "set", "interface", each.interface, "type=internal"]
        argv.append(f"ofport_request={each.ofport}")
        said = {"iface-id": each.iface_id, "overlay-vni": each.vni, "attached-mac": each.attached_mac}
        said |= {"overlay-ip": each.overlay_ip, "overlay-trunk": each.trunk}
        argv += [f"external_ids:{key}={json.dumps(value)}" for key, value in said.items() if value is not None]
    if plugs:
        lab.run(chassis, *argv)
    for each in plugs:
        lab.run(chassis, "ip", "link", "set", "dev", each.interface, "up")


@pytest.fixture(scope="module")
def installed(lab: Lab) -> dict[str, list[Flow]]:
    """The flows of each chassis, as `ovs-ofctl` dumps them, but for those that were taught."""

    def read() -> dict[str, list[Flow]]:
        found = {}
        for chassis in ("h1", "h2", "h3"):
            printed = lab.run(chassis, "ovs-ofctl", "-O", "OpenFlow14", "--no-names", "dump-flows", "br-int").stdout
            rates = _meters(lab, chassis)
            parsed = [each for each in text.parse(printed) if each.table not in (FDB, TOLD_TABLE)]
            found[chassis] = [_with_rates(each, rates) for each in parsed]
        return found

    expected = {name: len(compile(tenants.overlay(), name)) for name in ("h1", "h2", "h3")}
    return eventually(lambda: (found := read()) and {n: len(f) for n, f in found.items()} == expected and found, 20)


def _meters(lab: Lab, chassis: str) -> dict[int, int]:
    """The rate of each meter that the switch has, by id: a flow names its meter, no more."""
    printed = lab.run(chassis, "ovs-ofctl", "-O", "OpenFlow14", "dump-meters", "br-int").stdout
    return {int(meter): int(rate) for meter, rate in re.findall(r"meter=(\d+) pktps.*?rate=(\d+)", printed, re.DOTALL)}


def _with_rates(flow: Flow, rates: dict[int, int]) -> Flow:
    """The flow with the rate of its meter; KeyError when the switch has none of that number."""
    return replace(
        flow,
        actions=tuple(
            replace(each, rate=rates[each.id], burst=0) if isinstance(each, Meter) else each for each in flow.actions
        ),
    )


@pytest.fixture(scope="module")
def overlay(lab: Lab) -> Overlay:
    """What is declared, at the ofports that the switches have given."""
    for chassis in ("h1", "h2", "h3"):
        for each in tenants.PLUGS:
            if each.chassis == chassis:
                ofport = lab.run(chassis, "ovs-vsctl", "get", "interface", each.interface, "ofport").stdout.strip()
                assert int(ofport) == each.ofport
    return tenants.overlay()


def test_every_pair_and_every_class_over_dumped_flows(overlay: Overlay, installed: dict[str, list[Flow]]) -> None:
    bench = Bench(overlay, installed)
    wrong = [said for story in everything(bench) if (said := told(bench, story))]
    assert wrong == []


@dataclass(frozen=True)
class Sent:
    name: str
    chassis: str
    interface: str
    frame: bytes
    fates: tuple[Fate, ...]


def test_real_packets(lab: Lab, overlay: Overlay, installed: dict[str, list[Flow]]) -> None:
    """Of each class several pairs: who must receive the frame does, and nobody else, however often it is sent.

    A userspace tunnel loses what it carries first, while it looks for its other end; what did not arrive is sent anew.
    """
    frames = _sample(Bench(overlay, installed))
    left = list(range(len(frames)))
    times = 0
    with _listening(lab) as heard:
        while left and times < _TIMES:
            times += 1
            _send(lab, frames, left)
            time.sleep(1)
            arrived = heard(len(frames))
            left = [number for number, each in enumerate(frames) if not _agrees(arrived[number], each.fates, times)]
    assert [f"{frames[number].name}: {dict(arrived[number])}" for number in left] == []
    assert sum(map(bool, arrived)) > len(frames) / 4
    assert sum(not got for got in arrived) > len(frames) / 4


def test_learned_macs_are_reached(lab: Lab, overlay: Overlay, installed: dict[str, list[Flow]]) -> None:
    """By every sort of tunnel: who was heard from an undeclared port gets what is sent to it, and nobody else does."""
    interfaces = {(each.chassis, each.ofport): each.interface for each in overlay.bindings}
    loose = [each for each in overlay.bindings if each.learns and each.network in ("open", "transparent", "closed")]
    macs = {each: 0x026600000100 + number for number, each in enumerate(loose)}
    frames, wanted = [], {}
    for one in loose:
        fields = {"eth_src": macs[one], "eth_dst": BROADCAST, "eth_type": 0x88B5}
        place = (one.chassis, interfaces[one.chassis, one.ofport])
        frames.append(Sent(f"{name_of(one)} is heard", *place, octets(wrapped(one, fields)), ()))
    for one in loose:
        for other in loose:
            if one.network == other.network and one is not other:
                fields = {"eth_src": macs[one], "eth_dst": macs[other], "eth_type": 0x88B5}
                place = (one.chassis, interfaces[one.chassis, one.ofport])
                wanted[len(frames)] = {(other.chassis, other.ofport)}
                name = f"{name_of(one)} at {one.chassis} to {name_of(other)} at {other.chassis}"
                frames.append(Sent(name, *place, octets(wrapped(one, fields)), ()))
    with _listening(lab) as arrived:
        for _ in range(3):
            _send(lab, frames, list(range(len(loose))))
            time.sleep(0.3)
        _send(lab, frames, list(wanted))
        time.sleep(1)
        got = arrived(len(frames))
    assert [
        f"{frames[number].name}: {dict(got[number])}" for number, to in wanted.items() if set(got[number]) != to
    ] == []


@contextlib.contextmanager
def _listening(lab: Lab) -> Iterator[Callable[[int], list[Counter[tuple[str, int]]]]]:
    """What all ports receive meanwhile; what is given tells, for so many frames, how often each port got each."""
    places = {(each.chassis, each.interface): each.ofport for each in tenants.PLUGS}
    with contextlib.ExitStack() as stack:
        listening = {}
        for chassis in ("h1", "h2", "h3"):
            names = [each.interface for each in tenants.PLUGS if each.chassis == chassis]
            listening[chassis] = stack.enter_context(lab.background(chassis, sys.executable, "-c", _LISTEN, *names))
            listening[chassis].wait_for("listening")

        def arrived(frames: int) -> list[Counter[tuple[str, int]]]:
            found: list[Counter[tuple[str, int]]] = [Counter() for _ in range(frames)]
            for chassis, running in listening.items():
                for line in running.output().splitlines()[1:]:
                    interface, number = line.split()
                    found[int(number)][chassis, places[chassis, interface]] += 1
            return found

        yield arrived


def _send(lab: Lab, frames: list[Sent], numbers: list[int]) -> None:
    """Frames out of their interfaces, each with its number at the end."""
    lines: dict[str, list[tuple[str, str]]] = {}
    for number in numbers:
        each = frames[number]
        whole = each.frame + bytes(max(0, 60 - len(each.frame))) + b"\xa5\x5a\x5a\xa5" + number.to_bytes(4, "big")
        lines.setdefault(each.chassis, []).append((each.interface, whole.hex()))
    for chassis, sent_there in lines.items():
        path = lab.directory / "out" / f"frames-{chassis}.json"
        path.write_text(json.dumps(sent_there))
        lab.run(chassis, sys.executable, "-c", _SEND, str(path))


def _agrees(got: Counter[tuple[str, int]], fates: tuple[Fate, ...], times: int) -> bool:
    """Whether who received a frame, sent so often at the most, is who must and may."""
    for fate in fates:
        must = {(each.chassis, each.ofport) for each in fate.must}
        may = {(each.chassis, each.ofport) for each in fate.may}
        if must <= set(got) <= must | may and all(number <= times for number in got.values()):
            return True
    return False


def _sample(bench: Bench) -> list[Sent]:
    """Some pairs of each class; about declared ports alone, for switches learn where the others are meanwhile."""
    chance = random.Random(11)
    by_class: dict[str, list[Sent]] = {name: [] for name in _CLASSES}
    interfaces = {(each.chassis, each.ofport): each.interface for each in bench.overlay.bindings}
    bindings = bench.overlay.bindings
    pairs = [(one, other) for one in bindings for other in bindings if one is not other and other.port and other.mac]
    for one, other in chance.sample(pairs, 600):
        for name, fields in (*of_pair(one, other), *of_port(one)):
            if name in by_class and "octets" not in fields:
                frame = wrapped(one, fields)
                fates = bench.fates(one.chassis, sent({**frame, "in_port": one.ofport}))
                place = (one.chassis, interfaces[one.chassis, one.ofport])
                by_class[name].append(Sent(f"{name}, {name_of(one)}, {name_of(other)}", *place, octets(frame), fates))
    each_class = max(1, _SAMPLE // len(_CLASSES))
    return [one for found in by_class.values() for one in chance.sample(found, min(each_class, len(found)))]
