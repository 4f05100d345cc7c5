"""The verbs of `./lab`: labs by hand. Every command it runs for the reader it shows as one would type it."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from topologies import namespaces, state
from topologies.catalogue import TOPOLOGIES
from topologies.lab import Lab
from topologies.topology import CONTROLLER, Topology, members

PROJECT = Path(__file__).resolve().parent.parent
EXAMPLES = """\
examples:
  ./lab demo                                the whole of it, step by step
  ./lab up three_chassis                    build it, and leave it to you
  ./lab shell web1 -- ping -c3 10.0.0.2     one command, in a VM, on a chassis or beside the controller
  ./lab shell h1                            a shell there; ovs-vsctl, ovs-ofctl talk to that chassis
  ./lab down
  ./lab bench --moves                       how long a port that moves is out of reach, beside OVN
  ./lab prove --topologies 10000            isolation, over compiled flows of random overlays (docs/isolation.md)
  ./lab fuzz frames --inputs 1000000        mutated input for everything that strangers speak to
  ./lab faults F1 F12 --seeds 3             break things under traffic, and count what is lost and leaked
  ./lab controllers --minutes 10            three controllers, and any of them killed
  ./lab soak --minutes 10                   random faults for long: what grows, and what is left over
  ./lab test -k arp                         the tests, with pytest's options
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit status."""
    # What follows `--`, and all that `test` and the verbs of `_told` are given, is not ours to read.
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["test"]:
        return _test(given[1:])
    if given[:1] in (["demo"], ["bench"], ["prove"], ["faults"], ["fuzz"], ["controllers"], ["soak"]):
        return _told(given[0], given[1:])
    cut = given.index("--") if "--" in given else len(given)
    args = _parser().parse_args(given[:cut])
    args.command = given[cut + 1 :]
    # A plain kill takes the lab down just as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return args.run(args)
    except (namespaces.CommandFailed, OSError, RuntimeError, ValueError, KeyError) as wrong:
        said = wrong.args[0] if isinstance(wrong, KeyError) else wrong
        print(f"lab: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./lab",
        description="Overlay labs on this machine: chassis with their own Open vSwitch, VMs, a controller.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", title="verbs")
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--lab", default="lab", metavar="NAME", help="which lab (default: lab)")

    up = verbs.add_parser("up", parents=[named], help="build a topology and bring its overlay up")
    up.add_argument("topology", choices=TOPOLOGIES, metavar="TOPOLOGY", help=", ".join(TOPOLOGIES))
    up.add_argument("--datapath", choices=("netdev", "system"), help="default: the kernel's where it has one")
    up.add_argument("--bare", action="store_true", help="chassis and cables alone; the rest is yours to type")
    up.set_defaults(run=_up)
    down = verbs.add_parser("down", parents=[named], help="take a lab down; nothing of it stays")
    down.set_defaults(run=_down)
    shell = verbs.add_parser("shell", parents=[named], help="a shell in a lab, or a command after --")
    shell.add_argument("where", metavar="WHERE", help="a chassis, a VM, controller, or underlay")
    shell.set_defaults(run=_shell)
    verbs.add_parser("list", help="the topologies, and the labs that are up").set_defaults(run=_list)
    # For the help alone: these were taken care of above, and so was setup, by the script that calls us.
    verbs.add_parser("demo", help="show what it does on three chassis, and check that it holds")
    verbs.add_parser("bench", help="measure what it costs beside flows by hand, or beside OVN")
    verbs.add_parser("faults", help="break one thing after the other under traffic, and count what is lost and leaked")
    verbs.add_parser("controllers", help="three controllers and three database servers, killed and stopped at random")
    verbs.add_parser("fuzz", help="try mutated messages, frames, command lines and files, each under a watchdog")
    verbs.add_parser("soak", help="break things at random for an hour, or change very many ports, and see what grows")
    verbs.add_parser("prove", help="hold compiled flows against what is declared: tenants, random overlays, mutants")
    verbs.add_parser("test", help="run the tests; further arguments are pytest's")
    verbs.add_parser("setup", help="install what is missing, and nothing else")
    return parser


def _up(args: argparse.Namespace) -> int:
    topology = TOPOLOGIES[args.topology]
    began = time.monotonic()
    lab = Lab(topology, args.lab, datapath=args.datapath, narrate=show_command)
    kind = "userspace" if lab.datapath == "netdev" else "kernel"
    print(f"{topology.title}; {kind} datapath\n{topology.picture}")
    heading(f"{len(topology.chassis)} chassis, each with its own Open vSwitch, and {len(topology.vms)} VMs")
    with lab:
        if not args.bare:
            _bring_up(lab)
        # From here on it is the user's, who takes it down.
        lab.keep()
    print()
    print(f"Lab {lab.name!r} is up, after {time.monotonic() - began:.1f} s. Try:")
    print("".join(f"  {line}\n" for line in _suggestions(topology, args.lab, args.bare)), end="")
    if not args.bare:
        shell = "./lab shell" + ("" if args.lab == "lab" else f" --lab {args.lab}")
        print(f"Logs: {lab.directory}/*/*.log")
        print(f"A controller that was killed begins again: {shell} {CONTROLLER} -- ryu-manager overlay_app")
    return 0


def _bring_up(lab: Lab) -> None:
    heading("The controller, and what it is told")
    try:
        lab.start_controller()
        lab.declare()
        heading("VMs are plugged in, each on its chassis")
        for vm in lab.topology.vms:
            lab.plug(vm.name)
        heading("Waiting until everything is installed")
        lab.wait_up()
    except Exception:
        log = lab.controller_log().splitlines()[-30:]
        print("\nThe controller's last words:", *log, sep="\n  ", file=sys.stderr)
        raise


def _suggestions(topology: Topology, name: str, bare: bool) -> list[str]:
    lab = "" if name == "lab" else f" --lab {name}"
    shell = f"./lab shell{lab}"
    first = topology.vms[0]
    other = next(vm for vm in topology.vms[1:] if vm.network == first.network)
    home = first.chassis
    if bare:
        return [f"{shell} {CONTROLLER}", f"{shell} {home} -- ovs-vsctl show", f"./lab down{lab}"]
    return [
        f"{shell} {first.name} -- ping -c 3 {other.ip}",
        f"{shell} {CONTROLLER} -- overlayctl show",
        f"{shell} {home} -- ovs-ofctl dump-flows br-int",
        f"{shell} {home}",
        f"./lab down{lab}",
    ]


def _down(args: argparse.Namespace) -> int:
    try:
        Lab.open(args.lab).down()
    except FileNotFoundError:
        # A builder that died in its first moment leaves a directory and nothing else.
        if not state.directory(args.lab).exists():
            raise
        state.release(args.lab)
    print(f"lab {args.lab!r} is gone")
    return 0


def _shell(args: argparse.Namespace) -> int:
    lab = Lab.open(args.lab)
    env = namespaces.environment(lab.environment(args.where))
    env |= {"PS1": f"[{args.lab}:{args.where}] \\w \\$ ", "HISTFILE": ""}
    argv = namespaces.enter(lab.netns(args.where), args.command or ["bash", "--norc", "-i"])
    sys.stdout.flush()
    os.execvpe(argv[0], argv, env)


def _list(args: argparse.Namespace) -> int:
    for topology in TOPOLOGIES.values():
        print(f"{topology.name}: {topology.title}\n{topology.picture}")
    up = [state.read(name) for name in state.labs()]
    for record in up:
        print(f"up: {record.name} ({record.topology.name}): {', '.join(members(record.topology))}")
    if not up:
        print("no lab is up; ./lab up TOPOLOGY builds one")
    return 0


def _test(argv: list[str]) -> int:
    """The tests; all of them, a file in each of two processes, and by themselves those that measure."""
    os.chdir(PROJECT)
    pytest = [sys.executable, "-m", "pytest"]
    if argv:
        os.execv(sys.executable, [*pytest, *argv])
    runs = (["-n", "2", "--dist", "loadfile", "-m", "not alone"], ["-m", "alone"])
    return max(subprocess.run([*pytest, *options], check=False).returncode for options in runs)


def _told(verb: str, argv: list[str]) -> int:
    """The verbs that are modules of their own; imported when asked for."""
    return import_module(f"topologies.{verb}").main(argv)


def heading(text: str) -> None:
    """Print a step's heading."""
    print(f"\n== {text}", flush=True)


def show_command(where: str, argv: list[str]) -> None:
    """A narrator: the command, as one would type it there."""
    print(f"  {where:>10} # {shlex.join(argv)}", flush=True)
