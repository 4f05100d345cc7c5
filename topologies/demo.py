"""`./lab demo`: the main job on three chassis, step by step, and every claim checked as it is made."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import Final

from flows import text
from flows.flow import kind_of
from flows.tables import BY_ID, Kind
from topologies.lab import Lab
from topologies.probes import Ping, read_ping
from topologies.story import Story
from topologies.three_chassis import TOPOLOGY
from topologies.topology import CONTROLLER

CHASSIS: Final = [chassis.name for chassis in TOPOLOGY.chassis]
RED: Final = [vm.name for vm in TOPOLOGY.vms if vm.network == "red"]
BLUE: Final = [vm.name for vm in TOPOLOGY.vms if vm.network == "blue"]


def main(argv: Sequence[str]) -> int:
    """Run the demo; its exit status is 0 only when everything held."""
    parser = argparse.ArgumentParser(prog="./lab demo", description=__doc__)
    parser.add_argument("--datapath", choices=("netdev", "system"), help="default: what this machine has")
    parser.add_argument("--pings", type=int, default=1000, help="pings while the controller is dead (1000)")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    story = Story()
    lab = Lab(TOPOLOGY, f"demo{os.getpid()}", datapath=args.datapath, narrate=story.command)
    with lab:
        try:
            tell(story, lab, args.pings)
        except KeyboardInterrupt:
            story.say("\nstopped; taking the lab down")
            return 130
        except Exception as wrong:
            story.check("the demo runs to its end", False, str(wrong))
            story.say("\nThe controller's last words:")
            story.show(lab.controller_log().splitlines()[-25:])
    return story.verdict()


def tell(story: Story, lab: Lab, pings: int) -> None:
    """The steps, in order."""
    begin(story, lab)
    declare(story, lab)
    plug(story, lab)
    reach(story, lab)
    isolate(story, lab)
    answer(story, lab)
    explain(story, lab)
    survive(story, lab, pings)


def begin(story: Story, lab: Lab) -> None:
    kind = "userspace (netdev)" if lab.datapath == "netdev" else "kernel (system)"
    story.step(
        "Three hosts with stock Open vSwitch, and nothing else",
        "Each chassis is a network namespace with its own ovsdb-server and ovs-vswitchd, joined by an underlay "
        f"network. Datapath: {kind}. Two tenants, red (acme) and blue (umbra), use the same MACs and addresses.",
    )
    story.show(line for line in TOPOLOGY.picture.splitlines() if line.strip())
    shown = lab.run("h1", "ovs-vsctl", "show").stdout
    story.command("h1", ["ovs-vsctl", "show"])
    story.show(shown.splitlines())
    story.check("no br-int anywhere yet", "br-int" not in shown)


def declare(story: Story, lab: Lab) -> None:
    story.step(
        "The controller starts, and is told what should be",
        "No configuration file: it keeps its own database. Chassis are reached over OVSDB and made ready: br-int, a "
        "VXLAN and a GRE port, the controller.",
    )
    lab.start_controller()
    lab.declare()
    lab.overlayctl("--wait", "sync")
    ready = lab.overlayctl("show")
    story.show(ready.splitlines())
    story.check("all three chassis are ready", ready.count(" ready") == len(CHASSIS))
    story.command("h1", ["ovs-vsctl", "show"])
    story.show(lab.run("h1", "ovs-vsctl", "show").stdout.splitlines())


def plug(story: Story, lab: Lab) -> None:
    story.step(
        "VMs are plugged in with plain ovs-vsctl",
        "A declared port by its name (iface-id); web9 and db9 were declared by nobody and join by VNI alone.",
    )
    began = time.monotonic()
    for vm in lab.topology.vms:
        lab.plug(vm.name)
    lab.wait_up()
    story.check("every port is up", True, f"{time.monotonic() - began:.1f} s for {len(lab.topology.vms)} VMs")


def reach(story: Story, lab: Lab) -> None:
    story.step(
        "A tenant's VMs reach each other across hosts",
        "Every ordered pair pings; the underlay link of h1 is captured meanwhile.",
    )
    lost = []
    with lab.capture("h1", "udp port 4789 or proto gre") as seen:
        for members in (RED, BLUE):
            for source, target in permutations(members, 2):
                if lab.ping(source, target, count=2).received < 1:
                    lost.append(f"{source}>{target}")
    story.show(lab.overlayctl("show").splitlines())
    vxlan = seen.having("VXLAN", "vni 100", "ICMP echo")
    gre = seen.having("GREv0", "key=0xc8", "ICMP echo")
    story.show([*(_short(line) for line in vxlan[:2]), *(_short(line) for line in gre[:2])])
    pairs = len(RED) * (len(RED) - 1) + len(BLUE) * (len(BLUE) - 1)
    story.check(f"all {pairs} pairs of the same tenant reach each other", not lost, ", ".join(lost))
    story.check("red goes by VXLAN with VNI 100", bool(vxlan) and not seen.having("vni 200"))
    story.check("blue goes by GRE with key 200", bool(gre) and not seen.having("key=0x64"))


def _short(line: str) -> str:
    """A captured line from the outer IP header on, cut to the terminal."""
    return line.partition(" length ")[2].partition(": ")[2][:88] or line[:88]


def isolate(story: Story, lab: Lab) -> None:
    story.step(
        "The other tenant, with the very same addresses, is unreachable",
        "red broadcasts, asks for unknown addresses and pings; every VM of blue captures what arrives. Then web3 is "
        "unplugged: 10.0.0.3 now exists in blue alone, and red must not reach it.",
    )
    for vm in BLUE:
        # So that blue itself is silent: a cache without entries has nothing to look after.
        lab.run(vm, "ip", "neigh", "flush", "all")
    with contextlib.ExitStack() as captures:
        frames = {vm: captures.enter_context(lab.capture(vm)) for vm in BLUE}
        for vm in RED:
            lab.ping(vm, "10.0.0.255", count=2, options=("-b",))
            lab.arping(vm, "10.0.0.99")
        for source, target in permutations(RED, 2):
            lab.ping(source, target, count=1)
    strays = [f"{vm}: {line}" for vm, seen in frames.items() for line in seen.lines]
    story.show(_short(line) for line in strays)
    story.check("no frame of red was seen by any VM of blue", not strays, f"{len(strays)} frames")
    lab.unplug("web3")
    time.sleep(1)
    there, here = lab.ping("db1", "db3", count=2), lab.ping("web1", "10.0.0.3", count=2)
    story.check("blue reaches its 10.0.0.3", there.lost == 0, _score(there))
    story.check("red does not", here.received == 0, _score(here))
    lab.plug("web3")
    lab.wait_up()
    story.check("web3 plugged in again: red reaches its own", lab.ping("web1", "web3", count=2).received > 0)


def _score(ping: Ping) -> str:
    return f"{ping.received} of {ping.sent} answered"


def answer(story: Story, lab: Lab) -> None:
    story.step(
        "ARP is answered where it is asked, without a frame on the underlay",
        "Neighbor caches are emptied, every pair pings again; on the underlay of every chassis ARP inside the tunnels "
        "is counted.",
    )
    frames = {}
    with contextlib.ExitStack() as captures:
        for chassis in CHASSIS:
            frames[chassis] = captures.enter_context(lab.capture(chassis, "udp port 4789 or proto gre"))
        for members in (RED, BLUE):
            for source, target in permutations(members, 2):
                lab.run(source, "ip", "neigh", "flush", "all")
                lab.ping(source, target, count=1)
        asked = lab.arping("web1", "web3")
    story.command("web1", ["arping", "-c", "1", "-I", "eth0", "10.0.0.3"])
    story.show([f"reply from 10.0.0.3 [{mac}]" for mac in asked.macs])
    arp = sum(len(seen.having("ARP")) for seen in frames.values())
    icmp = sum(len(seen.having("ICMP echo")) for seen in frames.values())
    story.check("web1 has an answer for web3, on another chassis", asked.macs == ("02:00:00:00:00:03",))
    story.check("ARP frames on the underlay: none", arp == 0 and icmp > 0, f"{arp} ARP among {icmp} ICMP frames")


def explain(story: Story, lab: Lab) -> None:
    story.step(
        "The flows of h1, with a word on each",
        "One table after the other; every flow of ours says in its cookie what it is for, so every drop has a name.",
    )
    story.say("   What ovs-ofctl dump-flows br-int prints on h1, counted by table and purpose:")
    found = text.parse(lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", "--no-names", "dump-flows", "br-int").stdout)
    groups = Counter((flow.table.id, kind_of(flow.cookie)) for flow in found)
    story.show([f"{'TABLE':<10} {'FLOWS':>5}  {'WHAT':<22} FOR"])
    last = None
    for (table, kind), count in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] or Kind.CONTINUE)):
        name = BY_ID[table].name if table != last else ""
        label, purpose = (kind.label, kind.purpose) if kind is not None else ("?", "not ours")
        story.show([f"{name:<10} {count:>5}  {label:<22} {purpose}"])
        last = table
    story.check(
        "every flow on br-int is accounted for",
        None not in {kind for _, kind in groups},
        f"{len(found)} flows",
    )


def survive(story: Story, lab: Lab, pings: int) -> None:
    story.step(
        "The controller is killed, and traffic goes on; it comes back, and touches nothing",
        f"{pings} pings at 10 ms in each network while ryu-manager gets SIGKILL; the switch reports every change of a "
        "flow (ovs-ofctl monitor) until the new controller has settled.",
    )
    argv = ["ping", "-n", "-q", "-c", str(pings), "-i", "0.01", "-W", "2"]
    story.command("web1", [*argv, "10.0.0.2"])
    with (
        lab.background("h1", "ovs-ofctl", "monitor", "br-int", "watch:!initial") as monitor,
        lab.background("web1", *argv, "10.0.0.2") as red,
        lab.background("db1", *argv, "10.0.0.3") as blue,
    ):
        time.sleep(pings * 0.01 / 10)
        story.command(CONTROLLER, ["kill", "-9", "<ryu-manager>"])
        lab.stop_controller(signal.SIGKILL)
        for running in (red, blue):
            running.wait_for("packets transmitted", 120)
        lab.start_controller()
        lab.overlayctl("--wait", "sync")
        lab.wait_up()
        time.sleep(1)
    for name, running in (("red", red), ("blue", blue)):
        score = read_ping(running.output())
        story.check(f"{name}: no ping lost with the controller dead", score.lost == 0, _score(score))
    changes = [line for line in monitor.output().splitlines() if "event=" in line and "table=60" not in line]
    story.check("the controller that came back changed no flow", not changes, f"{len(changes)} flow mods on h1")
    story.check("and everything is as it was", lab.ping("web1", "web2", count=2).received > 0)
