"""The verbs of networks: layer-2 domains, each of one tenant and with a VNI."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter

from controller.cli import conflicts, tenants, written
from controller.cli.draft import Draft
from controller.cli.errors import CommandError, listed
from controller.cli.tables import print_rows
from ovsdb.rpc import Row

COLUMNS = ("name", "tenant", "vni", "encap", "ports")


def add(draft: Draft, args: Namespace) -> None:
    """`net-add`."""
    row: Row = {"name": written.name(args.name, "network"), "encap": "vxlan", **_columns(draft, args)}
    present = draft.find("Network", row["name"]) if args.may_exist else None
    if present is None:
        draft.insert("Network", row)
        return
    here = {**present, "tenant": conflicts.tenant(draft, present)}
    if differs := conflicts.difference(here, {**row, "tenant": args.tenant}):
        raise CommandError(f"network {row['name']!r} exists with {differs}; change it with net-set")


def change(draft: Draft, args: Namespace) -> None:
    """`net-set`."""
    draft.update("Network", draft.get("Network", args.name), _columns(draft, args))


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
    draft.load("Tenant", "Network", "Port")
    owners = draft.read("Tenant")
    members = Counter(port["network"][1] for port in draft.read("Port").values())
    rows = [
        {
            "name": row["name"],
            "tenant": owners[row["tenant"][1]]["name"],
            "vni": row["vni"],
            "encap": row["encap"],
            "ports": members[uuid],
        }
        for uuid, row in sorted(draft.read("Network").items(), key=lambda item: item[1]["name"])
    ]
    print_rows(draft, COLUMNS, rows, args)


def _columns(draft: Draft, args: Namespace) -> Row:
    row: Row = {}
    if args.vni is not None:
        row["vni"] = written.vni(args.vni)
    if args.encap is not None:
        row["encap"] = written.encap(args.encap)
    if args.tenant is not None:
        row["tenant"] = tenants.made(draft, args.tenant)
    return row
