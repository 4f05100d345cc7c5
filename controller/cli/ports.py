"""The verbs of ports: places where a VM or container plugs in."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from controller.cli import conflicts, written
from controller.cli.draft import Draft, ref
from controller.cli.errors import CommandError
from controller.cli.tables import print_rows
from ovsdb.rpc import Row, as_set, elements, uuid_of

COLUMNS = ("name", "network", "mac", "ips")


def add(draft: Draft, args: Namespace) -> None:
    """`port-add`."""
    name = written.name(args.name, "port")
    mac = written.mac(args.mac)
    ips = written.ips(args.ip or ())
    network = draft.get("Network", args.net)["_uuid"]
    row = {"name": name, "network": network, "mac": mac}
    present = draft.find("Port", name) if args.may_exist else None
    if present is None:
        draft.insert("Port", row | {"addresses": as_set(_addresses(draft, network, ips, []))})
        return
    if present["network"] != network:
        raise CommandError(
            f"port {name!r} exists in another network than {args.net!r}; "
            f"delete it there first (overlayctl port-del {name})"
        )
    here = {"mac": present["mac"], "ip": as_set([row["ip"] for row in _own_addresses(draft, present)])}
    if differs := conflicts.difference(here, {"mac": mac, "ip": as_set(ips)}):
        raise CommandError(f"port {name!r} exists with {differs}; change it with port-set")


def change(draft: Draft, args: Namespace) -> None:
    """`port-set`."""
    row = draft.get("Port", args.name)
    changes: Row = {}
    if args.mac is not None:
        changes["mac"] = written.mac(args.mac)
    if args.ip is not None:
        ips = written.ips(args.ip)
        changes["addresses"] = as_set(_addresses(draft, row["network"], ips, _own_addresses(draft, row)))
    draft.update("Port", row, changes)


def delete(draft: Draft, args: Namespace) -> None:
    """`port-del`."""
    row = draft.find("Port", args.name) if args.if_exists else draft.get("Port", args.name)
    if row is not None:
        draft.delete("Port", row)


def show_list(draft: Draft, args: Namespace) -> None:
    """`port-list`."""
    draft.load("Network", "Port", "Address")
    names = {uuid: row["name"] for uuid, row in draft.read("Network").items()}
    if args.net is not None:
        draft.get("Network", args.net)
    rows = described(list(draft.read("Port").values()), names, list(draft.read("Address").values()))
    print_rows(draft, COLUMNS, [row for row in rows if args.net in (None, row["network"])], args)


def described(ports: Sequence[Row], networks: dict[str, str], addresses: Sequence[Row]) -> list[Row]:
    """Port rows as lists and `show` spell them, by name; `networks` gives the name of a network's UUID."""
    ips = {uuid_of(row): row["ip"] for row in addresses}
    return [
        {
            "name": row["name"],
            "network": networks[row["network"][1]],
            "mac": row["mac"],
            "ips": sorted((ips[uuid] for uuid in elements(row["addresses"])), key=written.ip_order),
        }
        for row in sorted(ports, key=lambda row: row["name"])
    ]


def _own_addresses(draft: Draft, port: Row) -> list[Row]:
    rows = (draft.row("Address", uuid) for uuid in elements(port["addresses"]))
    return [row for row in rows if row is not None]


def _addresses(draft: Draft, network: list[str], ips: Sequence[str], present: Sequence[Row]) -> list[Any]:
    """References to an Address row per IP: those the port has, and new ones. What nothing refers to goes."""
    kept = {row["ip"]: row["_uuid"] for row in present}
    return [kept.get(ip) or ref(draft.insert("Address", {"network": network, "ip": ip})) for ip in ips]
