"""Verbs that look at all of it, and those of the program itself."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs.verb import Verb

SHOW_JSON: Final = """\
--format json prints one object:
  database, configured, installed    the server; the last configuration asked for, and installed, by --wait
  alarm       what stopped the controller, in words; empty when nothing did
  chassis     [{name, state, vteps, encaps, datapath, ovsdb, controller, flows, error}]; vteps: [{ip, encaps}]
  networks    [{name, tenant, vni, encap, ports, undeclared, neighbors}]
    ports       [{name, mac, ips, status, places}]; status: up, down, problem, not plugged in
    undeclared  [place]: interfaces that joined by VNI
    neighbors   [{ip, mac, chassis, interface}]: learned
  pending     [{name, address, vtep, ovs_version}]: chassis that ask to join
  unresolved  [place]: interfaces that belong to no network
  problems    [{where, what, advice}]
  a place is  {chassis, interface, ofport, up, error, stale, iface_id, vni, attached_mac, overlay_ip};
              stale: its chassis does not answer, and this is what was last known"""

LOOK: Final = (
    Verb(
        "show",
        "show chassis, networks, ports, where they are, and what is wrong",
        "show:show",
        examples=("show", "show --format json"),
        epilog=SHOW_JSON,
    ),
    Verb(
        "check",
        "show how full subnets are, addresses outside of them, and ports that are nowhere",
        "check:check",
        examples=("check", "check --format json"),
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
