"""The verbs of networks: layer-2 domains, each of one tenant and with a VNI."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter

from controller.cli import conflicts, written
from controller.cli.draft import Draft
from controller.cli.errors import CommandError, listed
from controller.cli.tables import print_rows
from ovsdb.rpc import Connection, Row, select, uuid_of

COLUMNS = ("name", "tenant", "vni", "encap", "ports")


def add(draft: Draft, args: Namespace) -> None:
    """`net-add`."""
    row: Row = {"name": written.name(args.name, "network"), "encap": "vxlan", **_columns(args)}
    present = draft.find("Network", row["name"]) if args.may_exist else None
    if present is None:
        draft.insert("Network", row)
    elif differs := conflicts.difference(present, row):
        raise CommandError(f"network {row['name']!r} exists with {differs}; change it with net-set")


def change(draft: Draft, args: Namespace) -> None:
    """`net-set`."""
    draft.update("Network", draft.get("Network", args.name), _columns(args))


def delete(draft: Draft, args: Namespace) -> None:
    """`net-del`."""
    row = draft.find("Network", args.name) if args.if_exists else draft.get("Network", args.name)
    if row is None:
        return
    plugged = draft.database.select("Binding", [["network", "includes", row["name"]], ["port", "==", ["set", []]]])
    if plugged:
        # Declared ports are held by the schema; of these the database knows only what the controller saw.
        where = listed([f"{binding['chassis']}/{binding['interface']}" for binding in plugged])
        raise CommandError(
            f"network {row['name']!r} still has undeclared ports: {where}; "
            "unplug them first (ovs-vsctl del-port br-int INTERFACE)"
        )
    draft.delete("Network", row)


def show_list(database: Connection, args: Namespace) -> None:
    """`net-list`."""
    networks, ports = (
        result["rows"]
        for result in database.transact([select("Network"), select("Port", columns=["_uuid", "network"])])
    )
    members = Counter(port["network"][1] for port in ports)
    rows = [
        {column: row[column] for column in COLUMNS[:-1]} | {"ports": members[uuid_of(row)]}
        for row in sorted(networks, key=lambda row: row["name"])
    ]
    print_rows(COLUMNS, rows, args)


def _columns(args: Namespace) -> Row:
    row: Row = {}
    if args.tenant is not None:
        row["tenant"] = written.name(args.tenant, "tenant")
    if args.vni is not None:
        row["vni"] = written.vni(args.vni)
    if args.encap is not None:
        row["encap"] = written.encap(args.encap)
    return row
