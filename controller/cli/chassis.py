"""The verbs of chassis: hosts that run OVS."""

from __future__ import annotations

from argparse import Namespace

from controller.cli import conflicts, written
from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from controller.cli.tables import print_rows
from ovsdb.rpc import Connection, Row, as_set, elements, optional

COLUMNS = ("name", "state", "vtep", "encaps", "datapath", "ovsdb", "controller", "flows", "error")


def add(draft: Draft, args: Namespace) -> None:
    """`chassis-add`."""
    row: Row = {"name": written.name(args.name, "chassis"), **_columns(args)}
    row.setdefault("encaps", as_set(written.ENCAPS))
    present = draft.find("Chassis", row["name"]) if args.may_exist else None
    if present is None:
        draft.insert("Chassis", row)
    elif differs := conflicts.difference(present, row):
        raise CommandError(f"chassis {row['name']!r} exists with {differs}; change it with chassis-set")


def change(draft: Draft, args: Namespace) -> None:
    """`chassis-set`."""
    draft.update("Chassis", draft.get("Chassis", args.name), _columns(args))


def delete(draft: Draft, args: Namespace) -> None:
    """`chassis-del`."""
    row = draft.find("Chassis", args.name) if args.if_exists else draft.get("Chassis", args.name)
    if row is not None:
        draft.delete("Chassis", row)


def show_list(database: Connection, args: Namespace) -> None:
    """`chassis-list`."""
    print_rows(COLUMNS, sorted(map(described, database.select("Chassis")), key=lambda row: row["name"]), args)


def described(row: Row) -> Row:
    """A Chassis row as lists and `show` spell it."""
    offered = elements(row["encaps"])
    return {
        "name": row["name"],
        "state": optional(row["state"]) or "new",
        "vtep": row["vtep"],
        "encaps": [kind for kind in written.ENCAPS if kind in offered],
        "datapath": row["datapath"] or optional(row["datapath_type"]) or written.AUTO,
        "ovsdb": row["ovsdb"],
        "controller": optional(row["controller"]) or written.AUTO,
        "flows": row["flows"],
        "error": row["error"],
    }


def _columns(args: Namespace) -> Row:
    row: Row = {}
    if args.ovsdb is not None:
        row["ovsdb"] = written.ovsdb(args.ovsdb)
    if args.vtep is not None:
        row["vtep"] = written.ip(args.vtep)
    if args.encap is not None:
        row["encaps"] = as_set(written.encaps(args.encap))
    if args.datapath is not None:
        row["datapath_type"] = as_set(written.datapath(args.datapath))
    if args.controller is not None:
        row["controller"] = as_set(written.controller(args.controller))
    return row
