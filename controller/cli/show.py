"""`show`: all tables of the overlay database as one value, which is printed as it is or drawn by `screen`."""

from __future__ import annotations

import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from controller.cli import chassis, check_mtu, networks, ports, written
from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from controller.cli.tables import as_json, coloured
from ovsdb.rpc import Row, elements, optional, uuid_of

TABLES = (
    "Overlay_Global",
    "Tenant",
    "Chassis",
    "Vtep",
    "Network",
    "Port",
    "Address",
    "Binding",
    "Neighbor",
    "Controller",
    "Pending",
    "Connection",
)
WRITTEN = ("iface_id", "vni", "attached_mac", "overlay_ip", "trunk")
"""What an operator writes on an interface."""
NOTHING = {"nb_cfg": 0, "cur_cfg": 0, "alarm": "", "heartbeat": 0, "leader": ""}
"""Overlay_Global while it has no row."""
SILENCE_S = 45
"""Seconds after which a controller that left no sign of life is missed; it leaves one every ten."""
NAMED = 3
"""Of many things alike so many are named."""
STALE = ("connecting", "unreachable")
"""States of a chassis in which what is said of its interfaces is what was last known."""


def show(draft: Draft, args: Namespace) -> None:
    """`show`."""
    seen = overview(draft) | {"database": draft.database.where}
    if args.format == "json":
        draft.say(as_json(seen))
    else:
        from controller.cli.screen import draw

        draft.lines += draw(seen, coloured(args), args.all)


def overview(draft: Draft) -> dict[str, Any]:
    """What `show --help` describes, of one moment."""
    draft.load(*TABLES)
    tables = {table: list(draft.read(table).values()) for table in TABLES}
    hosts = chassis.listed(draft)
    names = {uuid_of(row): row["name"] for row in tables["Network"]}
    tenants = {uuid_of(row): row["name"] for row in tables["Tenant"]}
    declared = ports.listed(draft)
    bindings = sorted(tables["Binding"], key=lambda row: (row["chassis"], row["interface"], row["tag"]))
    port_names = {row["name"] for row in declared}
    stale = {host["name"] for host in hosts if host["state"] in STALE}
    of_port, of_network, unresolved = _places(bindings, port_names, set(names.values()), stale)
    members = defaultdict(list)
    for port in declared:
        members[port["network"]].append(_port(port, of_port[port["name"]]))
    neighbors = defaultdict(list)
    for row in sorted(tables["Neighbor"], key=lambda row: written.ip_order(row["ip"])):
        neighbors[row["network"]].append({key: row[key] for key in ("ip", "mac", "chassis", "interface", "seen")})
    uses, faults = _uses(draft)
    least = check_mtu.narrowest(draft)
    shown = [
        {
            "name": row["name"],
            "tenant": tenants[row["tenant"][1]],
            "vni": row["vni"],
            "encap": row["encap"],
            "mtu": optional(row["mtu"]),
            "carries": optional(row["carries"]),
            "narrowest": least[row["encap"]],
            **{column: optional(row[column]) for column in networks.OUTSIDE},
            "subnets": uses[row["name"]],
            "ports": members[row["name"]],
            "undeclared": of_network[row["name"]],
            "neighbors": neighbors[row["name"]],
        }
        for row in sorted(tables["Network"], key=lambda row: row["name"])
    ]
    counters = tables["Overlay_Global"][0] if tables["Overlay_Global"] else NOTHING
    return {
        "configured": counters["nb_cfg"],
        "installed": counters["cur_cfg"],
        "alarm": counters["alarm"],
        "controllers": controllers(tables["Controller"], tables["Chassis"], counters),
        "chassis": hosts,
        "networks": shown,
        "unresolved": unresolved,
        "pending": [
            {
                "name": row["name"],
                "address": row["address"],
                "vtep": optional(row["vtep"]),
                "ovs_version": optional(row["ovs_version"]),
            }
            for row in sorted(tables["Pending"], key=lambda row: row["name"])
        ],
        "problems": [
            *silence(counters, hosts),
            *gone(tables["Controller"]),
            *deaf(tables["Connection"]),
            *faults,
            *problems(hosts, tables["Network"], bindings),
        ],
    }


def _uses(draft: Draft) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, str]]]:
    """How full the subnets of each network are, and which networks contradict themselves."""
    uses: dict[str, list[dict[str, Any]]] = {}
    faults = []
    held = defaultdict(list)
    for address in draft.read("Address").values():
        held[address["network"][1]].append(address["ip"])
    for uuid, row in draft.read("Network").items():
        uses[row["name"]] = []
        if not elements(row["subnets"]):
            continue
        from flows import ipam

        try:
            plan = networks.plan(row)
        except CommandError as wrong:
            faults.append(
                {
                    "where": f"network {row['name']}",
                    "what": str(wrong).removeprefix(f"network {row['name']!r}: "),
                    "advice": "",
                }
            )
            continue
        for use, net in zip(ipam.use(plan, held[uuid]), plan.subnets, strict=True):
            router = next((str(each) for each in plan.gateways if each in net), None)
            uses[row["name"]].append(
                {"subnet": use.subnet, "used": use.used, "free": use.free, "others": use.others, "gateway": router}
            )
    return uses, faults


def _places(
    bindings: Sequence[Row], declared: set[str], networks: set[str], stale: set[str]
) -> tuple[Any, Any, list[Any]]:
    """Bindings as places: of each declared port, of each network's undeclared ones, and of no network."""
    of_port, of_network, unresolved = defaultdict(list), defaultdict(list), []
    for row in bindings:
        place = {
            "chassis": row["chassis"],
            "interface": row["interface"],
            "tag": row["tag"],
            "ofport": row["ofport"],
            "up": row["up"],
            "error": row["error"],
            "stale": row["chassis"] in stale,
            **{column: optional(row[column]) for column in WRITTEN},
        }
        # A port that two interfaces claim is bound to one of them; the other names it all the same.
        # Behind a trunk, though, iface-id names the trunk's own port.
        port = optional(row["port"]) or (place["iface_id"] if not row["tag"] else None)
        network = optional(row["network"])
        if port in declared:
            of_port[port].append(place)
        elif network in networks:
            of_network[network].append(place)
        elif place["trunk"] is None or place["error"]:  # a trunk may be in networks by its tags alone
            unresolved.append(place)
    return of_port, of_network, unresolved


def _port(port: Row, places: list[Any]) -> dict[str, Any]:
    known = {key: port[key] for key in ("name", "mac", "ips", "parent", "tag")}
    return {**known, "status": ports.status(port, places), "places": places}


def silence(counters: Row, hosts: Sequence[Row]) -> list[dict[str, str]]:
    """That no controller is at work, where one should be; then all else that is said is old."""
    if not hosts:
        return []
    ago = int(time.time()) - counters["heartbeat"]
    if ago <= SILENCE_S:
        return []
    since = f"for {_span(ago)} (by this host's clock)" if counters["heartbeat"] else "yet"
    what = f"no controller has been at work {since}; what is said of chassis and ports is what was last known"
    return [{"where": "controller", "what": what, "advice": "start one: ryu-manager overlay_app"}]


def controllers(rows: Sequence[Row], hosts: Sequence[Row], counters: Row) -> list[dict[str, Any]]:
    """Every controller, with the chassis that are its own."""
    return [
        {
            "name": row["name"],
            "openflow": row["openflow"],
            "lives": row["lives"],
            "leads": row["name"] == counters["leader"],
            "chassis": sorted(host["name"] for host in hosts if host["owner"] == row["name"]),
        }
        for row in sorted(rows, key=lambda row: row["name"])
    ]


def gone(rows: Sequence[Row]) -> list[dict[str, str]]:
    """Controllers that others have taken over from: of one that is alone nobody knows."""
    return [
        {
            "where": f"controller {row['name']}",
            "what": "is not at work; others serve its chassis",
            "advice": f"start it again, or, when it has ended for good: overlayctl controller-del {row['name']}",
        }
        for row in sorted(rows, key=lambda row: row["name"])
        if not row["lives"] and any(other["lives"] for other in rows)
    ]


def _span(seconds: int) -> str:
    """A length of time as people say it."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}s"
    return f"{seconds} seconds"


def deaf(connections: Sequence[Row]) -> list[dict[str, str]]:
    """Where the database's server should listen, and does not: its status names a port where it does."""
    return [
        {
            "where": f"connection {row['target']}",
            "what": "the database's server does not listen there",
            "advice": "just added, it takes some seconds; else the port is taken, or the server was started without "
            "--remote=db:Overlay,Overlay_Global,connections (its log says)",
        }
        for row in connections
        if row["target"].startswith("p") and "bound_port" not in dict(row["status"][1])
    ]


def problems(hosts: Sequence[Row], networks: Sequence[Row], bindings: Sequence[Row]) -> list[dict[str, str]]:
    """What is wrong, where, and what to do about it where the controller's own words do not say."""
    of_chassis = [
        {"where": f"chassis {host['name']}", "what": host["error"] or host["state"], "advice": _advice(host)}
        for host in hosts
        if host["error"] or host["state"] in ("unreachable", "error")
    ]
    of_chassis += [
        {
            "where": f"chassis {host['name']}",
            "what": host["impostor"],
            "advice": "its own switch is connected and goes on; another one says to be it, by its datapath id",
        }
        for host in hosts
        if host["impostor"]
    ]
    of_tunnel = [{"where": f"chassis {name}", "what": what, "advice": advice} for name, what, advice in unheard(hosts)]
    of_others = [{"where": f"chassis {name}", "what": what, "advice": ""} for name, what in remarks(hosts)]
    of_network = [
        {"where": f"network {row['name']}", "what": row["error"], "advice": ""}
        for row in sorted(networks, key=lambda row: str(row["name"]))
        if row["error"]
    ]
    of_interface = [{"where": place(row), "what": row["error"], "advice": ""} for row in bindings if row["error"]]
    return of_chassis + of_tunnel + of_others + of_network + of_interface


def unheard(hosts: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    """The chassis where nothing arrives of what others send by tunnels, in words, and what to do about it."""
    addresses = {host["name"]: [vtep["ip"] for vtep in host["vteps"]] for host in hosts}
    for host in hosts:
        silent = [(*source.split(" "), other) for source, other in host["silent"].items()]
        if not silent:
            continue
        named = ", ".join(f"{other} ({encap} from {ip})" for encap, ip, other in silent[:NAMED])
        more = f" and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
        encap, ip, _ = silent[0]
        way = {"vxlan": "UDP port 4789", "gre": "IP protocol 47"}[encap]
        here = next((each for each in addresses[host["name"]] if (":" in each) == (":" in ip)), "")
        advice = f"does the underlay carry {way} from {ip} to {here}? On that host: ping -I {ip} {here}"
        yield host["name"], f"nothing arrives of what is sent there by {named}{more}", advice


def remarks(hosts: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """The chassis where others have something that is left alone, and what."""
    for host in hosts:
        for remark in host["remarks"]:
            yield host["name"], remark


def place(row: Row) -> str:
    """Where something is plugged in: an interface, or a VLAN tag of it."""
    return f"{row['chassis']}/{row['interface']}" + (f" tag {row['tag']}" if row["tag"] else "")


def _advice(host: Row) -> str:
    name, ovsdb = host["name"], host["ovsdb"]
    if host["state"] in STALE and (ovsdb in host["error"] or not host["error"]):
        if ovsdb.startswith("dial-in:"):
            return f"can the host reach us? If we are to connect: overlayctl chassis-set {name} --ovsdb OVSDB"
        if ovsdb.startswith("unix:"):
            return f"is Open vSwitch running? Another server: overlayctl chassis-set {name} --ovsdb OVSDB"
        return (
            f"on the host: ovs-vsctl set-manager ptcp:{ovsdb.rpartition(':')[2]}; if the address is "
            f"wrong: overlayctl chassis-set {name} --ovsdb tcp:IP:PORT"
        )
    if "OpenFlow to ssl:" in host["error"] and "Protocol not available" in host["error"]:
        return "it has no certificate; on the host: ovs-vsctl set-ssl KEY CERT CACERT"
    if "OpenFlow" in host["error"]:
        return (
            f"can the host reach the controller there? Another address: "
            f"overlayctl chassis-set {name} --controller tcp:IP:PORT"
        )
    return ""
