"""What rows must be beyond the schema, whichever verb writes them: canonical spellings, and what fits together."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from controller.cli import networks, schema, written
from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from ovsdb import entries, ownership
from ovsdb.rpc import Row, as_set, elements, uuid_of

CANONICAL: Final[dict[tuple[str, str], Callable[[str], Any]]] = {
    ("Tenant", "name"): lambda text: written.name(text, "tenant"),
    ("Network", "name"): lambda text: written.name(text, "network"),
    ("Port", "name"): lambda text: written.name(text, "port"),
    ("Chassis", "name"): lambda text: written.name(text, "chassis"),
    ("Network", "subnets"): written.subnet,
    ("Network", "gateways"): written.ip,
    ("Network", "ranges"): written.span,
    ("Network", "excludes"): written.span,
    ("Port", "mac"): written.mac,
    ("Port", "extra_macs"): written.mac,
    ("Port", "allowed_pairs"): written.pair,
    ("Network", "physical"): lambda text: written.name(text, "physical network"),
    ("Network", "gateway_chassis"): lambda text: written.name(text, "chassis"),
    ("Port", "parent"): lambda text: written.name(text, "port"),
    ("Address", "ip"): written.ip,
    ("Vtep", "ip"): written.vtep_ip,
    ("Chassis", "ovsdb"): lambda text: written.ovsdb(text, text.partition(":")[2]),
    ("Chassis", "controller"): lambda text: written.controller(text)[0],
    ("Connection", "target"): written.listener,
    **{(table, "description"): written.description for table in ("Tenant", "Network", "Port", "Chassis")},
}
HANGING: Final = {"Address": "port-add --ip", "Vtep": "chassis-add --vtep", "Connection": "connection-add"}
"""Tables whose rows vanish unless something refers to them, and the verb that makes one."""


def canonical(table: str, column: str, value: Any) -> Any:
    """A column's value in the one spelling that it has in the database; CommandError when it can't be one."""
    check = CANONICAL.get((table, column))
    if check is None:
        return value
    if schema.tables()[table].columns[column].least == 1:
        return check(value)
    return as_set(list(dict.fromkeys(check(each) for each in elements(value))))


def own(table: str, columns: Collection[str], force: bool) -> None:
    """Returns when these columns are for operators to write; CommandError otherwise, unless it is forced."""
    every = table in ownership.TABLES or table == ownership.LOG
    theirs = {"every column"} if every else set(columns) & ownership.theirs(table)
    if theirs and not force:
        raise CommandError(
            f"{table}: {', '.join(sorted(theirs))} is written by the controller or the server; --force does it anyway"
        )


def known(table: str, row: Row, changes: Row) -> None:
    """Returns when the options that are new or changed mean something to the controller; CommandError otherwise."""
    if table != "Overlay_Global" or "options" not in changes:
        return
    before = dict(row["options"][1])
    for key, value in changes["options"][1]:
        fault = entries.fault(key, value) if before.get(key) != value else ""
        if fault:
            raise CommandError(fault)


def fits(draft: Draft, table: str, row: Row, columns: Collection[str]) -> None:
    """Returns when what was written in these columns of a row agrees with the rows around it."""
    if table == "Network" and set(columns) & set(networks.PLANNED):
        networks.plan(row)
        networks.fits(draft, row)
    if table == "Network" and set(columns) & set(networks.OUTSIDE):
        networks.outside(draft, row)
    if table == "Chassis" and "bridges" in columns:
        from controller.cli import chassis

        for physical, bridge in row["bridges"][1]:
            written.name(physical, "physical network")
            written.bridge_name(bridge)
        chassis.unbridged(draft, row)
    if table == "Chassis" and row["ovsdb"].startswith("dial-in:") and row["ovsdb"] != f"dial-in:{row['name']}":
        raise CommandError(f"chassis {row['name']!r}: ovsdb {row['ovsdb']!r} is another's; write dial-in:{row['name']}")
    if table == "Address":
        _belongs(draft, row)
    if table == "Port" and set(columns) & {"mac", "extra_macs", "network"}:
        from controller.cli import ports

        network = draft.row("Network", row["network"][1])
        if network is not None:
            ports.unclaimed(draft, network, row, uuid_of(row))
    if table == "Port":
        from controller.cli import ports

        if set(columns) & set(ports.BEHIND):
            ports.behind(draft, row)
        for uuid in elements(row["addresses"]):
            address = draft.row("Address", uuid)
            if address is not None and address["network"] != row["network"]:
                raise CommandError(
                    f"port {row['name']!r}: address {address['ip']} is of another network; a port stays in its "
                    f"network: overlayctl port-del {row['name']}, and port-add it there"
                )


def required(table: str, given: Collection[str]) -> None:
    """Returns when a new row has what the schema has no default for; CommandError names what lacks."""
    described = schema.tables()[table]
    indexed = {column for index in described.indexes for column in index}
    lacking = [
        name
        for name, column in described.columns.items()
        if name not in given
        and column.least == 1
        and column.value is None
        and (column.key.kind == "uuid" or column.key.enum or name in indexed)
    ]
    if lacking:
        raise CommandError(f"a row of {table} needs {', '.join(f'{name}=VALUE' for name in lacking)}")


def remove(draft: Draft, table: str, row: Row) -> None:
    """Deletes a row as its verb would."""
    if table == "Tenant":
        from controller.cli import tenants

        tenants.remove(draft, row, cascade=False)
    elif table == "Network":
        networks.remove(draft, row, cascade=False)
    elif table == "Port":
        from controller.cli import ports

        ports.remove(draft, row)
    else:
        draft.delete(table, row)


def _belongs(draft: Draft, address: Row) -> None:
    network = draft.row("Network", address["network"][1])
    if network is not None:
        from flows import ipam

        written.checked(lambda text: ipam.belongs(text, networks.plan(network)), address["ip"])
        draft.hold("Network", *networks.PLANNED, _uuid=["uuid", uuid_of(network)])
