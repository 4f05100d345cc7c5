"""The verbs of tenants: who owns networks."""

from __future__ import annotations

from argparse import Namespace

from controller.cli import networks, written
from controller.cli.draft import Draft
from controller.cli.errors import CommandError, listed
from controller.cli.tables import print_row, print_rows
from ovsdb.rpc import Row

COLUMNS = ("name", "networks", "ports", "description")


def add(draft: Draft, args: Namespace) -> None:
    """`tenant-add`."""
    name = written.name(args.name, "tenant")
    if not args.may_exist or draft.find("Tenant", name) is None:
        draft.insert("Tenant", {"name": name, **_columns(args)})


def change(draft: Draft, args: Namespace) -> None:
    """`tenant-set`."""
    draft.update("Tenant", draft.get("Tenant", args.name), _columns(args))


def delete(draft: Draft, args: Namespace) -> None:
    """`tenant-del`."""
    row = draft.find("Tenant", args.name) if args.if_exists else draft.get("Tenant", args.name)
    if row is not None:
        remove(draft, row, args.cascade)


def remove(draft: Draft, row: Row, cascade: bool) -> None:
    """Deletes a tenant, with `cascade` its networks and their ports as well."""
    owned = draft.where("Network", tenant=row["_uuid"])
    if owned and not cascade:
        names = listed([network["name"] for network in owned])
        raise CommandError(
            f"tenant {row['name']!r} still has networks: {names}; delete them first (overlayctl net-del NAME), "
            f"or all with tenant-del --cascade"
        )
    for network in owned:
        networks.remove(draft, network, cascade)
    draft.delete("Tenant", row)


def show_list(draft: Draft, args: Namespace) -> None:
    """`tenant-list`."""
    print_rows(draft, COLUMNS, described(draft), args)


def show_one(draft: Draft, args: Namespace) -> None:
    """`tenant-show`."""
    row = draft.get("Tenant", args.name)
    known = next(each for each in described(draft) if each["name"] == args.name)
    names = sorted(network["name"] for network in draft.where("Network", tenant=row["_uuid"]))
    print_row(draft, {**known, "networks": names}, args)


def described(draft: Draft) -> list[Row]:
    """The tenants as a list spells them, by name."""
    draft.load("Tenant", "Network", "Port")
    owner = {uuid: row["tenant"][1] for uuid, row in draft.read("Network").items()}
    of_ports = [owner.get(row["network"][1]) for row in draft.read("Port").values()]
    owners = list(owner.values())
    return [
        {
            "name": row["name"],
            "networks": owners.count(uuid),
            "ports": of_ports.count(uuid),
            "description": row["description"],
        }
        for uuid, row in sorted(draft.read("Tenant").items(), key=lambda item: item[1]["name"])
    ]


def _columns(args: Namespace) -> Row:
    return {} if args.description is None else {"description": written.description(args.description)}
