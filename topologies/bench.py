"""`./lab bench`: what the overlay costs, side by side in one run with flows written by hand.

Two chassis. The overlay's pair of VMs is joined by the controller's flows; beside it, on the same two switches, stands
a second bridge with a VXLAN port of its own and the fewest flows that join two VMs (one to the tunnel, one from it).
Rounds alternate between the two, so that what else the machine does meets both; printed are medians and their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from flows.model import Encap
from topologies import bench_commands, bench_moves
from topologies.lab import Lab
from topologies.topology import Topology, Vm
from topologies.two_chassis import TOPOLOGY as TWO

HAND_BRIDGE: Final = "br-hand"
HAND_PORT: Final = 4790
"""UDP port of the VXLAN written by hand: 4789 is the overlay's, on the same switch."""
HAND_VNI: Final = 999


@dataclass(frozen=True)
class Series:
    """One figure, measured in turns: ours and by hand, in `unit`."""

    name: str
    unit: str
    ours: tuple[float, ...]
    hand: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Ours over by hand, of the medians."""
        return median(self.ours) / median(self.hand)


def topology() -> Topology:
    """Two chassis with a pair of VMs for each way of joining them."""
    ours = tuple(vm for vm in TWO.vms if vm.declared)
    pair = (next(vm for vm in ours if vm.chassis == "h1"), next(vm for vm in ours if vm.chassis == "h2"))
    hand = tuple(
        Vm(f"hand{number}", vm.network, vm.chassis, f"02:00:00:00:01:0{number}", f"10.9.0.{number}")
        for number, vm in enumerate(pair, 1)
    )
    return replace(TWO, name="bench", vms=(*pair, *hand))


def main(argv: Sequence[str]) -> int:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(prog="./lab bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (5)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds of each TCP stream (3)")
    parser.add_argument("--encap", choices=[*Encap], default=Encap.VXLAN, help="of the overlay's network (vxlan)")
    parser.add_argument("--datapath", choices=("netdev", "system"), help="default: what this machine has")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--commands", action="store_true", help="measure overlayctl beside ovn-nbctl instead")
    instead.add_argument("--moves", action="store_true", help="measure a moving port's gap beside OVN's instead")
    parser.add_argument("--moves-count", type=positive, default=10, metavar="N", help="moves of each sort (10)")
    parser.add_argument("--without-ovn", action="store_true", help="with --moves: ours alone; nothing is fetched")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if args.commands:
        rows = bench_commands.run(args.rounds, lambda text: print(text, file=sys.stderr, flush=True))
        print(json.dumps(rows, indent=2) if args.format == "json" else bench_commands.table(rows, args.rounds))
        return 0
    if args.moves:
        report = bench_moves.run(
            args.moves_count,
            args.datapath,
            not args.without_ovn,
            lambda text: print(text, file=sys.stderr, flush=True),
        )
        shown = json.dumps(bench_moves.plain(report), indent=2) if args.format == "json" else bench_moves.table(report)
        print(shown)
        return 0
    plan = topology()
    plan = replace(plan, networks=tuple(replace(network, encap=Encap(args.encap)) for network in plan.networks))
    with Lab(plan, f"bench{os.getpid()}", datapath=args.datapath) as lab:
        say = (lambda text: None) if args.format == "json" else (lambda text: print(text, file=sys.stderr, flush=True))
        say("building two chassis ...")
        prepare(lab)
        found = measure(lab, args.rounds, args.seconds, say)
        if args.format == "json":
            print(json.dumps([{**vars(each), "ratio": each.ratio} for each in found], indent=2))
        else:
            print(table(found, lab.datapath, args.encap, args.rounds))
    return 0


def positive(text: str) -> int:
    """A number from 1 on; else argparse says what was expected."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of moves: 1 or more")
    return int(text)


def prepare(lab: Lab) -> None:
    """Both ways of joining two VMs, ready."""
    lab.start_controller()
    lab.declare()
    for vm in lab.topology.vms:
        if not vm.name.startswith("hand"):
            lab.plug(vm.name)
            lab.overlayctl("port-wait", vm.name)
        else:
            join_by_hand(lab, vm)
    hand = [vm.name for vm in lab.topology.vms if vm.name.startswith("hand")]
    # The userspace datapath drops what comes before the underlay's neighbor is resolved.
    lab.ping(*hand, count=3)
    if lab.ping(*hand, count=3).lost:
        raise RuntimeError("the VMs that are joined by hand do not reach each other")


def join_by_hand(lab: Lab, vm: Vm) -> None:
    """A bridge with a tunnel to the other chassis, the VM's port, and two flows."""
    peer = next(chassis for chassis in lab.topology.chassis if chassis.name != vm.chassis)
    here = next(chassis for chassis in lab.topology.chassis if chassis.name == vm.chassis)
    lab.run(
        vm.chassis, "ovs-vsctl", "add-br", HAND_BRIDGE,
        "--", "set", "bridge", HAND_BRIDGE, f"datapath_type={lab.datapath}", "fail_mode=secure",
        "--", "add-port", HAND_BRIDGE, "hand-vxlan",
        "--", "set", "interface", "hand-vxlan", "type=vxlan", f"options:remote_ip={peer.vteps[0].ip}",
        f"options:local_ip={here.vteps[0].ip}", f"options:key={HAND_VNI}", f"options:dst_port={HAND_PORT}",
        "ofport_request=2",
        "--", "add-port", HAND_BRIDGE, vm.name, "--", "set", "interface", vm.name, "ofport_request=1",
    )  # fmt: skip
    for flow in ("in_port=1,actions=2", "in_port=2,actions=1"):
        lab.run(vm.chassis, "ovs-ofctl", "add-flow", HAND_BRIDGE, flow)


def measure(lab: Lab, rounds: int, seconds: float, say: Callable[[str], None]) -> list[Series]:
    """TCP throughput, connection set-up and latency, in turns."""
    names = [vm.name for vm in lab.topology.vms]
    pairs = [[name for name in names if name.startswith("hand") == by_hand] for by_hand in (False, True)]
    figures: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ("tcp", "rtt")}
    for turn in range(1, rounds + 1):
        for side, pair in enumerate(pairs):
            tcp = lab.tcp(pair[0], pair[1], seconds)
            figures["tcp"][side].append(tcp.bits_per_second / 1e6)
            ping = lab.ping(pair[0], pair[1], count=100, interval=0.01)
            figures["rtt"][side].append((ping.rtt_ms or 0.0) * 1000)
            say(
                f"round {turn} of {rounds}, {('overlay', 'by hand')[side]:<8} "
                f"{figures['tcp'][side][-1]:8.0f} Mbit/s  {figures['rtt'][side][-1]:6.0f} us"
            )
    titles = {"tcp": ("TCP, one stream", "Mbit/s"), "rtt": ("ping, round trip", "us")}
    return [Series(*titles[key], tuple(a), tuple(b)) for key, (a, b) in figures.items()]


def table(found: Sequence[Series], datapath: str, encap: str, rounds: int) -> str:
    """The figures as a table that fits a terminal."""
    lines = [
        f"datapath {datapath}, {encap} by the overlay, vxlan by hand; medians of {rounds} rounds in turns",
        f"{'':<20} {'unit':<8} {'overlay':>9} {'by hand':>9} {'ratio':>7}",
    ]
    lines += [
        f"{each.name:<20} {each.unit:<8} {median(each.ours):9.0f} {median(each.hand):9.0f} {each.ratio:7.2f}"
        for each in found
    ]
    return "\n".join(lines)
