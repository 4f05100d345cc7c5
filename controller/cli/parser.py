"""The command line: verbs, options and their help. What a verb does is found by name, when it is run."""

from __future__ import annotations

import argparse
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, Final

DEFAULTS: Final = {
    "db": None,
    "wait": False,
    "timeout": 30.0,
    "format": "table",
    "no_color": False,
    "reads": None,
    "writes": None,
    "waits": False,
    "alters": False,
}
OVERVIEW: Final = """\
examples:
  overlayctl chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1
  overlayctl net-add red --tenant acme --vni 100
  overlayctl port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1
  overlayctl --wait port-add web2 --net red --mac 02:00:00:00:00:02 --ip 10.0.0.2
  overlayctl show

  ovs-vsctl add-port br-int vm1 -- set interface vm1 external_ids:iface-id=web1    (on a chassis)

environment:
  OVERLAY_DB       the overlay database, as --db
  OVERLAY_RUNDIR   where the controller's own database has its socket (/run/ovs-overlay)

exit codes: 0 done; 1 refused, and nothing changed; 2 wrong usage; 3 stored, but not installed in time
'overlayctl VERB --help' tells about a verb."""


def parse(argv: Sequence[str]) -> Namespace:
    """The options of one command. Ends the process, with exit code 2, on wrong usage."""
    args = build().parse_args(argv)
    for option, default in DEFAULTS.items():
        if not hasattr(args, option):
            setattr(args, option, default)
    if args.alters and all(getattr(args, name) is None for name in args.options):
        args.refuse("nothing to change; give at least one of " + ", ".join(f"--{name}" for name in args.options))
    return args


def build() -> ArgumentParser:
    """The parser of `overlayctl`."""
    # SUPPRESS, so that an option before the verb is not undone by the verb's own default.
    common = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    options = common.add_argument_group("common options (before or after the verb)")
    options.add_argument(
        "--db",
        metavar="DB",
        help="the overlay database: unix:/path or tcp:IP:PORT, "
        "several with commas (default: $OVERLAY_DB, else the controller's own)",
    )
    options.add_argument("--wait", action="store_true", help="return when every chassis has installed it")
    options.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="how long to wait (default: 30)")
    options.add_argument("--format", choices=("table", "json"), help="how to print (default: table)")
    options.add_argument("--no-color", action="store_true", help="no colours, even on a terminal")

    parser = ArgumentParser(
        prog="overlayctl",
        parents=[common],
        epilog=OVERVIEW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Declares tenants' networks and ports, and the hosts (chassis) they live on.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version, and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")

    def verb(name: str, text: str, *examples: str, **defaults: Any) -> ArgumentParser:
        lines = ["examples:", *(f"  overlayctl {example}" for example in examples)]
        added: ArgumentParser = verbs.add_parser(
            name,
            parents=[common],
            help=text,
            description=text[0].upper() + text[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog="\n".join(lines),
        )
        added.set_defaults(refuse=added.error, **defaults)
        return added

    _chassis(verb)
    _networks(verb)
    _ports(verb)
    verb(
        "sync",
        "wait until every chassis has installed all that is declared",
        "sync --timeout 10",
        writes="waiting:sync",
        waits=True,
    )
    show = verb(
        "show",
        "show chassis, networks, ports, where they are, and what is wrong",
        "show",
        "show --format json",
        reads="show:show",
    )
    show.epilog = f"{show.epilog}\n\n{SHOW_JSON}"
    return parser


def _chassis(verb: Any) -> None:
    add = verb(
        "chassis-add",
        "add a host that runs OVS",
        "chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1",
        "chassis-add h2 tcp:192.0.2.2:6640 --vtep 192.0.2.2 --encap gre --datapath netdev",
        writes="chassis:add",
    )
    add.add_argument("name", metavar="NAME", help="its name")
    add.add_argument(
        "ovsdb",
        metavar="OVSDB",
        help="its OVSDB server: tcp:IP[:PORT] ('ovs-vsctl set-manager "
        "ptcp:6640' on the host opens it), or unix:/path on this host",
    )
    add.add_argument("--may-exist", action="store_true", help="no error when it exists, and is just this")
    alter = verb(
        "chassis-set",
        "change a chassis",
        "chassis-set h1 --vtep 192.0.2.11",
        "chassis-set h1 --encap vxlan,gre --datapath auto",
        writes="chassis:change",
        alters=True,
        options=("ovsdb", "vtep", "encap", "datapath", "controller"),
    )
    alter.add_argument("name", metavar="NAME")
    alter.add_argument("--ovsdb", metavar="OVSDB", help="its OVSDB server: tcp:IP[:PORT] or unix:/path")
    for parser, needed in (add, True), (alter, False):
        parser.add_argument("--vtep", metavar="IP", required=needed, help="the address its tunnels end at")
        parser.add_argument(
            "--encap",
            metavar="ENCAP",
            action="append",
            help="a kind of tunnel it offers, "
            "vxlan or gre; repeat it or use commas" + (" (default: both)" if needed else ""),
        )
        parser.add_argument(
            "--datapath",
            metavar="TYPE",
            help="system (kernel), netdev (userspace), or auto"
            + (" (default): what the host can" if needed else ": what the host can"),
        )
        parser.add_argument(
            "--controller",
            metavar="tcp:IP:PORT",
            help="the controller's address as this chassis sees it, or auto: the one it connects from",
        )
    _delete(verb, "chassis", "remove a chassis from the overlay", "h1")
    verb("chassis-list", "list the chassis", "chassis-list", "chassis-list --format json", reads="chassis:show_list")


def _networks(verb: Any) -> None:
    add = verb(
        "net-add",
        "add a network: a tenant's layer-2 domain",
        "net-add red --tenant acme --vni 100",
        "net-add blue --tenant umbra --vni 200 --encap gre",
        writes="networks:add",
    )
    alter = verb(
        "net-set",
        "change a network",
        "net-set red --encap gre",
        writes="networks:change",
        alters=True,
        options=("tenant", "vni", "encap"),
    )
    for parser, needed in (add, True), (alter, False):
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--tenant", metavar="TENANT", required=needed, help="who owns it")
        parser.add_argument("--vni", metavar="VNI", required=needed, help="its number, 1..16777215")
        parser.add_argument(
            "--encap",
            metavar="ENCAP",
            help="vxlan or gre: the tunnel its chassis use where "
            "both ends offer it" + (" (default: vxlan)" if needed else ""),
        )
    add.add_argument("--may-exist", action="store_true", help="no error when it exists, and is just this")
    _delete(verb, "net", "remove a network that has no ports", "red")
    verb("net-list", "list the networks", "net-list", reads="networks:show_list")


def _ports(verb: Any) -> None:
    add = verb(
        "port-add",
        "add a port: a place where a VM or container plugs in",
        "port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1",
        "--wait port-add web2 --net red --mac 02:00:00:00:00:02 --ip 10.0.0.2,10.0.0.3",
        writes="ports:add",
    )
    alter = verb(
        "port-set",
        "change a port",
        "port-set web1 --ip 10.0.0.7",
        "port-set web1 --ip none",
        writes="ports:change",
        alters=True,
        options=("mac", "ip"),
    )
    for parser, needed in (add, True), (alter, False):
        parser.add_argument("name", metavar="NAME", help="the interface's external_ids:iface-id")
        parser.add_argument("--mac", metavar="MAC", required=needed, help="its MAC, unique in the network")
        parser.add_argument(
            "--ip",
            metavar="IP",
            action="append",
            help="an address, unique in the network; "
            "repeat it or use commas" + ("" if needed else "; replaces all; none: no IP"),
        )
    add.add_argument("--net", metavar="NETWORK", required=True, help="the network it is in")
    add.add_argument("--may-exist", action="store_true", help="no error when it exists, and is just this")
    _delete(verb, "port", "remove a port, and with it its addresses", "web1")
    verb(
        "port-list", "list the ports", "port-list", "port-list --net red --format json", reads="ports:show_list"
    ).add_argument("--net", metavar="NETWORK", help="only those of this network")
    wait = verb(
        "port-wait",
        "wait until a port is plugged in and up",
        "port-wait web1 --timeout 10",
        "port-wait h1/vm9",
        reads="waiting:wait_port",
    )
    wait.add_argument("name", metavar="PORT", help="a port, or CHASSIS/INTERFACE for an undeclared one")


def _delete(verb: Any, kind: str, text: str, example: str) -> None:
    module = {"chassis": "chassis", "net": "networks", "port": "ports"}[kind]
    delete = verb(f"{kind}-del", text, f"{kind}-del {example}", writes=f"{module}:delete")
    delete.add_argument("name", metavar="NAME")
    delete.add_argument("--if-exists", action="store_true", help="no error when there is none")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"overlayctl {version('ovs-overlay')}")
        parser.exit()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86400:
        raise ValueError
    return seconds


_seconds.__name__ = "number of seconds"  # argparse says: invalid number of seconds value

SHOW_JSON: Final = """\
--format json prints one object:
  database, configured, installed    the server; the last configuration asked for, and installed, by --wait
  chassis     [{name, state, vtep, encaps, datapath, ovsdb, controller, flows, error}]
  networks    [{name, tenant, vni, encap, ports, undeclared, neighbors}]
    ports       [{name, mac, ips, status, places}]; status: up, down, problem, not plugged in
    undeclared  [place]: interfaces that joined by VNI
    neighbors   [{ip, mac, chassis, interface}]: learned
  unresolved  [place]: interfaces that belong to no network
  problems    [{where, what, advice}]
  a place is  {chassis, interface, ofport, up, error, stale, iface_id, vni, attached_mac, overlay_ip};
              stale: its chassis does not answer, and this is what was last known"""
