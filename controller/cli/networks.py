"""The verbs of networks: layer-2 domains, each of one tenant and with a VNI."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from controller.cli import conflicts, tenants, written
from controller.cli.draft import Draft
from controller.cli.errors import CommandError, listed
from controller.cli.tables import print_row, print_rows
from ovsdb.rpc import Row, as_set, elements, optional

if TYPE_CHECKING:
    from flows.ipam import Plan

COLUMNS: Final = ("name", "tenant", "vni", "encap", "ports", "mtu", "carries")
PLANNED: Final = ("subnets", "gateways", "ranges", "excludes")
"""The columns of a network that say which addresses it has."""
UNKNOWN_UNICAST: Final = ("flood", "drop")


def add(draft: Draft, args: Namespace) -> None:
    """`net-add`."""
    row: Row = {"name": written.name(args.name, "network"), "encap": "vxlan", **_columns(draft, args)}
    plan({column: row.get(column, as_set([])) for column in PLANNED})
    present = draft.find("Network", row["name"]) if args.may_exist else None
    if present is None:
        draft.insert("Network", row)
        return
    here = {**present, "tenant": conflicts.tenant(draft, present)}
    if differs := conflicts.difference(here, {**row, "tenant": args.tenant}):
        raise CommandError(f"network {row['name']!r} exists with {differs}; change it with net-set")


def change(draft: Draft, args: Namespace) -> None:
    """`net-set`."""
    row = draft.get("Network", args.name)
    changes = _columns(draft, args)
    draft.update("Network", row, changes)
    if changes.keys() & set(PLANNED):
        fits(draft, {**row, **changes})


def plan(row: Row) -> Plan:
    """Which addresses a network has; CommandError when its columns contradict each other."""
    from flows import ipam

    try:
        return ipam.plan(*(elements(row[column]) for column in PLANNED))
    except ValueError as wrong:
        raise CommandError(f"network {row['name']!r}: {wrong}" if "name" in row else str(wrong)) from None


def fits(draft: Draft, row: Row) -> None:
    """Returns when every address of a network is one of its subnets'; CommandError names the others."""
    from flows import ipam

    ips = [address["ip"] for address in draft.where("Address", network=row["_uuid"])]
    if left := ipam.outside(plan(row), ips):
        holders = listed([f"{ip} ({conflicts.holder(draft, row, ip)})" for ip in left])
        raise CommandError(
            f"network {row['name']!r}: these addresses would be in none of its subnets: {holders}; "
            f"change the ports first (overlayctl port-set PORT --ip IP)"
        )
    draft.hold("Address", "ip", network=row["_uuid"])


def delete(draft: Draft, args: Namespace) -> None:
    """`net-del`."""
    row = draft.find("Network", args.name) if args.if_exists else draft.get("Network", args.name)
    if row is not None:
        remove(draft, row, args.cascade)


def remove(draft: Draft, row: Row, cascade: bool) -> None:
    """Deletes a network, with `cascade` its ports as well."""
    ports = draft.where("Port", network=row["_uuid"])
    if ports and not cascade:
        names = listed([port["name"] for port in ports])
        raise CommandError(
            f"network {row['name']!r} still has ports: {names}; delete them first (overlayctl port-del NAME), "
            f"or all with net-del --cascade"
        )
    plugged = draft.where("Binding", network=row["name"], port=["set", []])
    if plugged:
        # Declared ports are held by the schema; of these the database knows only what the controller saw.
        where = listed([f"{binding['chassis']}/{binding['interface']}" for binding in plugged])
        raise CommandError(
            f"network {row['name']!r} still has undeclared ports: {where}; "
            "unplug them first (ovs-vsctl del-port br-int INTERFACE)"
        )
    for port in ports:
        draft.delete("Port", port)
    draft.delete("Network", row)


def show_list(draft: Draft, args: Namespace) -> None:
    """`net-list`."""
    print_rows(draft, COLUMNS, described(draft), args)


def show_one(draft: Draft, args: Namespace) -> None:
    """`net-show`."""
    from flows import ipam

    row = draft.get("Network", args.name)
    uses = ipam.use(plan(row), [address["ip"] for address in draft.where("Address", network=row["_uuid"])])
    (known,) = (each for each in described(draft) if each["name"] == args.name)
    from controller.cli.check_mtu import narrowest

    least = narrowest(draft)[row["encap"]]
    known["narrowest"] = f"{least['chassis'][0]} and {least['chassis'][1]}: {least['how']}" if least else None
    known["use"] = [{"subnet": use.subnet, "used": use.used, "free": use.free, "others": use.others} for use in uses]
    print_row(draft, known, args)


def described(draft: Draft) -> list[Row]:
    """The networks as lists spell them, by name."""
    draft.load("Tenant", "Network", "Port")
    owners = draft.read("Tenant")
    members = Counter(port["network"][1] for port in draft.read("Port").values())
    return [
        {
            "name": row["name"],
            "tenant": owners[row["tenant"][1]]["name"],
            "vni": row["vni"],
            "encap": row["encap"],
            "ports": members[uuid],
            **{column: sorted(elements(row[column]), key=written.ip_order) for column in PLANNED},
            "mtu": optional(row["mtu"]),
            "carries": optional(row["carries"]),
            "unknown_unicast": optional(row["unknown_unicast"]) or UNKNOWN_UNICAST[0],
            "description": row["description"],
            "error": row["error"],
        }
        for uuid, row in sorted(draft.read("Network").items(), key=lambda item: item[1]["name"])
    ]


def _columns(draft: Draft, args: Namespace) -> Row:
    row: Row = {}
    if args.vni is not None:
        row["vni"] = written.vni(args.vni)
    if args.encap is not None:
        row["encap"] = written.encap(args.encap)
    spelled: dict[str, Any] = {
        "subnets": (args.subnet, written.subnet),
        "gateways": (args.gateway, written.ip),
        "ranges": (args.range, written.span),
        "excludes": (args.exclude, written.span),
    }
    for column, (values, made) in spelled.items():
        if values is not None:
            row[column] = as_set(written.several(values, made))
    if args.mtu is not None:
        row["mtu"] = as_set(written.mtu(args.mtu))
    if args.unknown_unicast is not None:
        row["unknown_unicast"] = written.one_of("unknown unicast", args.unknown_unicast, UNKNOWN_UNICAST)
    if args.description is not None:
        row["description"] = written.description(args.description)
    if args.tenant is not None:
        row["tenant"] = tenants.made(draft, args.tenant)
    return row
