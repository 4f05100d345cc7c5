"""Why the database refused: which row has what was wanted.

The database decides, by its indexes; this only finds the words afterwards.
"""

from __future__ import annotations

from typing import Any

from controller.cli import schema
from controller.cli.draft import Draft, word
from controller.cli.errors import CommandError
from ovsdb.rpc import Row, elements, uuid_of

VERBS = {"network": "net", "tenant": "tenant", "chassis": "chassis", "port": "port"}
"""How the verbs for a row of this word begin."""


def explain(draft: Draft) -> None:
    """Raises the CommandError that explains a refusal; returns when nothing (any more) explains it."""
    draft.forget()
    for table, uuid, was, will in reversed(list(draft.pending())):
        if will is None or uuid in draft.chosen:
            continue
        for index in _indexes(table):
            values = {column: will[column] for column in index}
            if was is not None and all(was[column] == value for column, value in values.items()):
                continue
            for row in draft.where(table, **values):
                if uuid_of(row) != uuid:
                    raise CommandError(_taken(draft, table, index, row))


def _indexes(table: str) -> list[tuple[str, ...]]:
    """A table's indexes, the name first: it explains most."""
    return sorted(schema.tables()[table].indexes, key=lambda index: index != ("name",))


def _taken(draft: Draft, table: str, index: tuple[str, ...], row: Row) -> str:  # noqa: PLR0911 - one case per index
    value = row[index[-1]]
    match table, index[-1]:
        case "Port", "name":
            return (
                f"port {value!r} exists already, in network {_network(draft, row)!r}; change it with port-set, or "
                f"move it to another network with port-del and port-add"
            )
        case _, "name" if word(table) in VERBS:
            kind = word(table)
            return f"{kind} {value!r} exists already; change it with {VERBS[kind]}-set, or choose another name"
        case "Chassis", "ovsdb":
            return f"the OVSDB server {value} is that of chassis {row['name']!r} already; one server is one chassis"
        case "Vtep", _:
            return (
                f"VTEP {value} is taken by chassis {_holder(draft, 'Chassis', 'vteps', row)!r}; "
                f"each chassis has addresses of its own"
            )
        case "Network", _:
            return (
                f"VNI {value} is taken by network {row['name']!r} of tenant {tenant(draft, row)!r}; "
                f"choose another VNI, or change that network first"
            )
        case "Port", _:
            return (
                f"MAC {value} is taken by port {row['name']!r} in network {_network(draft, row)!r}; "
                f"choose another MAC, or change that port first"
            )
        case "Address", _:
            return (
                f"IP {value} is taken by port {_holder(draft, 'Port', 'addresses', row)!r} in network "
                f"{_network(draft, row)!r}; choose another IP, or change that port first"
            )
        case _:
            spelled = ", ".join(f"{column} {row[column]}" for column in index)
            return f"there is a row of {table} with {spelled} already ({uuid_of(row)})"


def tenant(draft: Draft, network: Row) -> str:
    """The name of a network's tenant."""
    row = draft.row("Tenant", network["tenant"][1])
    return str(row["name"]) if row else "?"


def holder(draft: Draft, network: Row, ip: str) -> str:
    """The name of the port that has this address."""
    rows = draft.where("Address", network=network["_uuid"], ip=ip)
    return _holder(draft, "Port", "addresses", rows[0]) if rows else "?"


def _network(draft: Draft, row: Row) -> str:
    network = draft.row("Network", row["network"][1])
    return str(network["name"]) if network else "?"


def _holder(draft: Draft, table: str, column: str, own: Row) -> str:
    for row in draft.read(table).values():
        if uuid_of(own) in elements(row[column]):
            return str(row["name"])
    return "?"


def difference(row: Row, wanted: Row) -> str | None:
    """The first column in which a row that may exist is not what was asked for, in words; None if it is."""
    for column, value in wanted.items():
        here, there = elements(row[column]), elements(value)
        if sorted(map(str, here)) != sorted(map(str, there)):
            return f"{column.replace('_', ' ')} {_spelled(here)}, not {_spelled(there)}"
    return None


def _spelled(values: list[Any]) -> str:
    return ", ".join(map(str, values)) or "unset"
