"""Lists of what the controller writes, and of addresses."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from controller.cli import schema, values, written
from controller.cli.changes import moment
from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from controller.cli.tables import print_rows
from ovsdb.rpc import elements, uuid_of

SHOWN: Final = {
    "Binding": ("chassis", "interface", "tag", "network", "port", "ofport", "up", "error"),
    "Neighbor": ("network", "ip", "mac", "chassis", "interface", "seen"),
    "Controller": ("name", "openflow", "lives", "reaches"),
    "Pending": ("name", "address", "vtep", "ovs_version"),
}
MOMENTS: Final = frozenset({"seen"})
"""Columns that hold seconds since 1970."""


def show_table(draft: Draft, args: Namespace) -> None:
    """`binding-list`, `neighbor-list`, `pending-list`, `controller-list`.

    A table whose rows are listed as they are, those of `args.net` or `args.chassis` where these are given.
    """
    columns = schema.tables()[args.table].columns
    rows = [
        {name: values.plain(column, row[name]) for name, column in columns.items()}
        for row in draft.read(args.table).values()
    ]
    for option, column in (("net", "network"), ("chassis", "chassis")):
        wanted = getattr(args, option, None)
        if wanted is not None:
            draft.get({"net": "Network", "chassis": "Chassis"}[option], wanted)
            rows = [row for row in rows if row[column] == wanted]
    if args.format != "json":
        for row in rows:
            row |= {name: moment(row[name]) for name in MOMENTS & row.keys()}
    shown = SHOWN[args.table]
    print_rows(draft, shown, sorted(rows, key=lambda row: [str(row[name]) for name in shown[:2]]), args)


def controller_del(draft: Draft, args: Namespace) -> None:
    """`controller-del`."""
    found = draft.find("Controller", args.name)
    if found is None:
        if not args.if_exists:
            draft.get("Controller", args.name)
        return
    if found["lives"] and not args.force:
        raise CommandError(
            f"controller {args.name!r} is at work, and would come back at once; end it first, "
            f"or, if it did end a moment ago: overlayctl controller-del {args.name} --force"
        )
    draft.delete("Controller", found)


def addresses(draft: Draft, args: Namespace) -> None:
    """`address-list`."""
    draft.load("Network", "Port", "Address")
    if args.net is not None:
        draft.get("Network", args.net)
    names = {uuid: row["name"] for uuid, row in draft.read("Network").items()}
    holders = {uuid: port["name"] for port in draft.read("Port").values() for uuid in elements(port["addresses"])}
    rows = [
        {"network": names[row["network"][1]], "ip": row["ip"], "port": holders.get(uuid_of(row), "?")}
        for row in draft.read("Address").values()
    ]
    rows.sort(key=lambda row: (row["network"], written.ip_order(row["ip"])))
    print_rows(draft, ("network", "ip", "port"), [row for row in rows if args.net in (None, row["network"])], args)
