"""Why the database refused: which row has what was wanted, or still needs what was to go.

The database decides, by its indexes and references; this only finds the words afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.cli.errors import CommandError, listed
from ovsdb.rpc import Connection, Row, elements, uuid_of

INDEXES: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "Chassis": (("name",), ("ovsdb",), ("vtep",)),
    "Network": (("name",), ("vni",)),
    "Port": (("name",), ("network", "mac")),
    "Address": (("network", "ip"),),
}
"""The indexes of the schema that a command can run into, the name first: it explains most."""


@dataclass(frozen=True)
class Claim:
    """Values of one index that a row (`uuid`, or a new one) is to be the only one to have."""

    table: str
    values: tuple[tuple[str, Any], ...]
    uuid: str | None = None


def claims(table: str, row: Row, uuid: str | None = None) -> list[Claim]:
    """What a row claims for itself alone."""
    return [Claim(table, tuple((column, row[column]) for column in index), uuid) for index in INDEXES.get(table, ())]


def explain(database: Connection, wanted: Iterable[Claim], deleted: Iterable[tuple[str, Row]]) -> None:
    """Raises the CommandError that explains a refusal; returns when nothing (any more) explains it."""
    for claim in wanted:
        if any(isinstance(value, list) and value[0] == "named-uuid" for _, value in claim.values):
            continue  # beneath a row that is new itself, nothing can be taken
        for row in database.select(claim.table, [[column, "==", value] for column, value in claim.values]):
            if uuid_of(row) != claim.uuid:
                raise CommandError(_taken(database, claim, row))
    for table, row in deleted:
        if table == "Network":
            ports = database.select("Port", [["network", "==", row["_uuid"]]])
            if ports:
                names = listed([port["name"] for port in ports])
                raise CommandError(
                    f"network {row['name']!r} still has ports: {names}; delete them first (overlayctl port-del NAME)"
                )


def _taken(database: Connection, claim: Claim, row: Row) -> str:  # noqa: PLR0911 - one case per index
    column, value = claim.values[-1]
    match claim.table, column:
        case "Port", "name":
            return (
                f"port {value!r} exists already, in network {_network(database, row)!r}; change it with port-set, or "
                f"move it to another network with port-del and port-add"
            )
        case table, "name":
            kind = table.lower()
            verb = {"network": "net"}.get(kind, kind)
            return f"{kind} {value!r} exists already; change it with {verb}-set, or choose another name"
        case "Chassis", "ovsdb":
            return f"the OVSDB server {value} is that of chassis {row['name']!r} already; one server is one chassis"
        case "Chassis", _:
            return f"VTEP {value} is taken by chassis {row['name']!r}; each chassis has an address of its own"
        case "Network", _:
            return (
                f"VNI {value} is taken by network {row['name']!r} of tenant {row['tenant']!r}; "
                f"choose another VNI, or change that network first"
            )
        case "Port", _:
            return (
                f"MAC {value} is taken by port {row['name']!r} in network {_network(database, row)!r}; "
                f"choose another MAC, or change that port first"
            )
        case _:
            return (
                f"IP {value} is taken by port {_holder(database, row)!r} in network "
                f"{_network(database, row)!r}; choose another IP, or change that port first"
            )


def _network(database: Connection, row: Row) -> str:
    rows = database.select("Network", [["_uuid", "==", row["network"]]])
    return str(rows[0]["name"]) if rows else "?"


def _holder(database: Connection, address: Row) -> str:
    ports = database.select("Port", [["addresses", "includes", address["_uuid"]]])
    return str(ports[0]["name"]) if ports else "?"


def difference(row: Row, wanted: Row) -> str | None:
    """The first column in which a row that may exist is not what was asked for, in words; None if it is."""
    for column, value in wanted.items():
        here, there = elements(row[column]), elements(value)
        if sorted(map(str, here)) != sorted(map(str, there)):
            return f"{column.replace('_', ' ')} {_spelled(here)}, not {_spelled(there)}"
    return None


def _spelled(values: list[Any]) -> str:
    return ", ".join(map(str, values)) or "unset"
