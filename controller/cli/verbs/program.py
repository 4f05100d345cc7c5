"""Verbs that look at all of it, and those of the program itself."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs.verb import ALONE, DATABASE, Verb, arg

SHOW_JSON: Final = """\
--format json prints one object:
  database, configured, installed    the server; the last configuration asked for, and installed, by --wait
  alarm       what stopped the controller, in words; empty when nothing did
  controllers [{name, openflow, lives, leads, chassis}]; chassis: the names of its own
  chassis     [{name, state, vteps, encaps, datapath, ovsdb, controller, bridges, flows, error}]
                vteps: [{ip, encaps, mtu}]; bridges: {physical: bridge}
  networks    [{name, tenant, vni, encap, mtu, carries, physical, physical_vlan, gateway_chassis,
                subnets, ports, undeclared, neighbors}]; carries: the MTU of its tunnels
    subnets     [{subnet, used, free, others, gateway}]; others: taken, outside the ranges
    ports       [{name, mac, ips, parent, tag, status, places}]
                status: up, down, problem, not plugged in, disabled
    undeclared  [place]: interfaces that joined by VNI
    neighbors   [{ip, mac, chassis, interface, seen}]: learned; seen: when, in seconds since 1970
  pending     [{name, address, vtep, ovs_version}]: chassis that ask to join
  unresolved  [place]: interfaces that belong to no network
  problems    [{where, what, advice}]
  a place is  {chassis, interface, tag, ofport, up, error, stale, iface_id, vni, attached_mac, overlay_ip,
              trunk}; tag: the VLAN tag behind a trunk, 0 for none;
              stale: its chassis does not answer, and this is what was last known"""

LOOK: Final = (
    Verb(
        "show",
        "show chassis, networks, ports, where they are, and what is wrong",
        "show:show",
        (arg("--all", action="store_true", help="everything, not only what one screen has room for"),),
        examples=("show", "show --all", "show --format json"),
        epilog=SHOW_JSON,
    ),
    Verb(
        "check",
        "show how full subnets are, and all that is wrong",
        "check:check",
        (
            arg("what", nargs="?", choices=("mtu",), help="mtu: what each pair of chassis carries; else all"),
            arg("--net", "--network", metavar="NETWORK", help="with mtu, only this network", complete="Network"),
        ),
        examples=("check", "check --format json", "check mtu --net red", "check > /dev/null || overlayctl show"),
        epilog="Wrong are: an alarm, what show lists under Problems, and addresses outside of the subnets.\n"
        "Ports that are plugged in nowhere are listed, and no fault.\n"
        "check mtu lists each pair of chassis, those that carry least first: encap, VTEPs, the MTU of the\n"
        "underlay, what the tunnel takes of it, what it carries, and the networks whose MTU fits or does not.\n"
        "Wrong is an MTU that is more than two chassis with ports of the network carry. Nothing is sent.\n"
        "exit codes: 0 nothing is wrong; 1 something is, or it could not be found out",
    ),
    Verb(
        "health",
        "say in a word whether the overlay is served, for monitors",
        "health:health",
        examples=(
            "health",
            "health --format json",
            "health --timeout 5",
            "health > /dev/null || echo 'look at overlayctl show'",
        ),
        kind=ALONE,
        epilog="The first line says it in a word: OK, WARNING or CRITICAL. Critical are a database that does not\n"
        "answer or can't be written, no controller at work, an alarm, and no chassis that is ready.\n"
        "It ends within --timeout, whatever the database does.\n"
        "exit codes, as monitoring plugins have them: 0 OK; 1 WARNING; 2 CRITICAL, also of a wrong option",
    ),
    Verb(
        "drops",
        "ask what the switches have dropped, and why",
        "drops:drops",
        (
            arg("--chassis", metavar="CHASSIS", help="only at this chassis", complete="Chassis"),
            arg("--network", metavar="NETWORK", help="only of this network", complete="Network"),
            arg("--port", metavar="PORT", help="only what this declared port has sent", complete="Port"),
            arg("--all", action="store_true", help="also what has dropped nothing, and probes of tunnels"),
            arg("--last", action="store_true", help="what the controller read last, without asking it anew"),
        ),
        ("drops", "drops --network red --format json", "drops --chassis h1 --port web1 --all"),
        kind=DATABASE,
        epilog="It waits for the controller, which reads the counters of all switches, as long as --timeout says;\n"
        "exit code 3 when it does not answer. A counter begins anew when its flow is made anew.",
    ),
    Verb(
        "sync",
        "wait until every chassis has installed all that is declared",
        "waiting:sync",
        examples=("sync --timeout 10",),
        waits=True,
    ),
    Verb(
        "changes",
        "list who wrote what, and when, in the last day",
        "changes:show_list",
        examples=("changes", "changes --format json"),
    ),
)

PROGRAM: Final = (
    Verb(
        "batch",
        "run a command per line of standard input, over one connection",
        "batch:batch",
        (
            arg("--stop-on-error", action="store_true", help="end at the first command that is refused"),
            arg("--status", action="store_true", help="print '# CODE' after the output of each line, its exit code"),
        ),
        ("batch < commands", "batch --stop-on-error --status"),
        kind=ALONE,
        epilog="A line is what would stand after 'overlayctl', with quotes as in a shell, and -- between\n"
        "the verbs of one transaction. Empty lines and those that begin with # do nothing. The\n"
        "exit code is that of the first command that failed. Common options of batch, such as\n"
        "--dry-run and --format, count for every line.",
    ),
    Verb(
        "completion",
        "print what bash or zsh need to complete overlayctl's command line",
        "completion:completion",
        (
            arg("shell", choices=("bash", "zsh", "names"), help="a shell; names: the names of a table's rows"),
            arg("table", nargs="?", metavar="TABLE", help="the table, for names", complete="table"),
        ),
        ("completion bash > /etc/bash_completion.d/overlayctl", "completion names Network"),
        kind=ALONE,
    ),
    Verb(
        "man",
        "print the manual page",
        "man:man",
        (),
        ("man | man -l -", "man > /usr/local/share/man/man8/overlayctl.8"),
        kind=ALONE,
    ),
)
