"""What a database declares: rows in, a Document out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from controller.cli.declarative.document import (
    Chassis,
    Connection,
    Document,
    Network,
    Pairs,
    Port,
    Tenant,
    Vtep,
    encaps,
    ordered,
)
from ovsdb.rpc import Row, elements, optional

TABLES: Final = ("Overlay_Global", "Tenant", "Network", "Port", "Address", "Chassis", "Vtep", "Connection")
"""The tables that a document is made of."""
Rows = Mapping[str, Row]
"""A table's rows by UUID."""


def present(tables: Mapping[str, Rows]) -> Document:
    """Everything that the rows of `TABLES` declare, in sections that are all there."""
    totals: Row = next(iter(tables["Overlay_Global"].values()), {})
    owners = {uuid: row["name"] for uuid, row in tables["Tenant"].items()}
    networks = {uuid: _network(row, owners) for uuid, row in tables["Network"].items()}
    names = {uuid: network.name for uuid, network in networks.items()}
    served = elements(totals.get("connections", ["set", []]))
    return Document(
        {row["name"]: Tenant(row["name"], *_beside(row)) for row in tables["Tenant"].values()},
        {network.name: network for network in networks.values()},
        {row["name"]: _port(row, names, tables["Address"]) for row in tables["Port"].values()},
        frozenset(names.values()),
        {row["name"]: _chassis(row, tables["Vtep"]) for row in tables["Chassis"].values()},
        {row["target"]: _connection(row) for uuid, row in tables["Connection"].items() if uuid in served},
        pairs(totals.get("options")),
        pairs(totals.get("external_ids")),
    )


def pairs(value: Any) -> Pairs:
    """A map column, in order of its keys."""
    return dict(sorted(map(tuple, value[1]))) if value else {}


def _beside(row: Row) -> tuple[str, Pairs]:
    return row["description"], pairs(row["external_ids"])


def _network(row: Row, owners: Mapping[str, str]) -> Network:
    return Network(
        row["name"],
        owners.get(row["tenant"][1], ""),
        row["vni"],
        row["encap"],
        ordered(elements(row["subnets"])),
        ordered(elements(row["gateways"])),
        ordered(elements(row["ranges"])),
        ordered(elements(row["excludes"])),
        optional(row["mtu"]),
        *(optional(row[column]) for column in ("unknown_unicast", "unknown_neighbor", "multicast", "vlan_transparent")),
        *(optional(row[column]) for column in ("physical", "physical_vlan", "gateway_chassis")),
        *_beside(row),
    )


def _port(row: Row, networks: Mapping[str, str], addresses: Rows) -> Port:
    return Port(
        row["name"],
        networks.get(row["network"][1], ""),
        row["mac"],
        ordered(elements(row["extra_macs"])),
        ordered(addresses[uuid]["ip"] for uuid in elements(row["addresses"]) if uuid in addresses),
        ordered(elements(row["allowed_pairs"])),
        optional(row["security"]),
        optional(row["enabled"]),
        ordered(elements(row["may"])),
        *(optional(row[column]) for column in ("flood_rate", "parent", "tag", "service_tag")),
        *_beside(row),
    )


def _chassis(row: Row, vteps: Rows) -> Chassis:
    own = [vteps[uuid] for uuid in elements(row["vteps"])]
    ends = {vtep["ip"]: Vtep(vtep["ip"], encaps(elements(vtep["encaps"])), optional(vtep["mtu"])) for vtep in own}
    return Chassis(
        row["name"],
        row["ovsdb"],
        tuple(ends[ip] for ip in ordered(ends)),
        optional(row["datapath_type"]),
        optional(row["controller"]),
        pairs(row["bridges"]),
        *_beside(row),
    )


def _connection(row: Row) -> Connection:
    return Connection(
        row["target"],
        row["role"],
        *(optional(row[column]) for column in ("read_only", "inactivity_probe", "max_backoff")),
    )
