"""Changes into a draft: what `difference` found, as rows that are inserted, updated and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from controller.cli import networks
from controller.cli.declarative.difference import PAIRS, Change
from controller.cli.declarative.document import Chassis, Connection, Network, Pairs, Port, Tenant
from controller.cli.draft import Draft, ref
from ovsdb.rpc import Row, as_set, elements, uuid_of

TABLES: Final = {"tenant": "Tenant", "network": "Network", "port": "Port", "chassis": "Chassis"}
"""The table of a kind of thing that has a name. What one refers to comes before it."""
GLOBAL: Final = "Overlay_Global"

Named = dict[str, dict[str, Row]]
"""Rows by table and name."""


def enact(draft: Draft, changes: Sequence[Change]) -> None:
    """Drafts the changes; raises CommandError for a network that goes and has ports nobody declared."""
    rows: Named = {table: {row["name"]: row for row in draft.read(table).values()} for table in TABLES.values()}
    for kind, table in TABLES.items():
        for change in changes:
            if change.kind == kind and change.will is not None:
                row = rows[table].get(change.name)
                columns = _columns(draft, change.will, row, rows)
                uuid = _write(draft, table, row, columns)
                rows[table][change.name] = {**columns, "_uuid": ref(uuid)}
    for kind, table in reversed(TABLES.items()):
        for change in changes:
            if change.kind == kind and change.will is None:
                row = rows[table][change.name]
                if kind == "network":
                    networks.remove(draft, row, cascade=True)
                else:
                    draft.delete(table, row)
    for change in changes:
        if change.kind == "network" and change.was and change.will and _plan(change.was) != _plan(change.will):
            # Ports that the file does not have keep their addresses.
            networks.fits(draft, rows["Network"][change.name])
    _connections(draft, [change for change in changes if change.kind == "connection"])
    _pairs(draft, [change for change in changes if change.kind in PAIRS])


def _plan(network: Network) -> tuple[tuple[str, ...], ...]:
    return network.subnets, network.gateways, network.ranges, network.excludes


def _columns(draft: Draft, will: Any, row: Row | None, rows: Named) -> Row:
    match will:
        case Tenant():
            return {"name": will.name, **_beside(will)}
        case Network():
            return _network(will, rows)
        case Port():
            return _port(draft, will, row, rows)
        case _:
            return _chassis(draft, will, row)


def _write(draft: Draft, table: str, row: Row | None, columns: Row) -> str:
    if row is not None:
        draft.update(table, row, columns)
        uuid = uuid_of(row)
    else:
        uuid = draft.insert(table, columns)
    # What is in the way of these rows was written meanwhile, and is part of the next attempt's difference.
    draft.chosen.add(uuid)
    return uuid


def _network(will: Network, rows: Named) -> Row:
    return {
        "name": will.name,
        "tenant": rows["Tenant"][will.tenant]["_uuid"],
        "vni": will.vni,
        "encap": will.encap,
        "subnets": as_set(will.subnets),
        "gateways": as_set(will.gateways),
        "ranges": as_set(will.ranges),
        "excludes": as_set(will.excludes),
        "mtu": _optional(will.mtu),
        "unknown_unicast": _optional(will.unknown_unicast),
        "unknown_neighbor": _optional(will.unknown_neighbor),
        "multicast": _optional(will.multicast),
        "vlan_transparent": _optional(will.vlan_transparent),
        "physical": _optional(will.physical),
        "physical_vlan": _optional(will.physical_vlan),
        "gateway_chassis": _optional(will.gateway_chassis),
        **_beside(will),
    }


def _port(draft: Draft, will: Port, row: Row | None, rows: Named) -> Row:
    network = rows["Network"][will.network]["_uuid"]
    kept: dict[str, Any] = {}
    if row is not None and row["network"] == network:
        kept = {own["ip"]: own["_uuid"] for own in _own(draft, "Address", row["addresses"])}
    addresses = []
    for ip in will.ips:
        if ip not in kept:
            kept[ip] = ref(_write(draft, "Address", None, {"network": network, "ip": ip}))
        addresses.append(kept[ip])
    return {
        "name": will.name,
        "network": network,
        "mac": will.mac,
        "extra_macs": as_set(will.extra_macs),
        "addresses": as_set(addresses),
        "allowed_pairs": as_set(will.allowed_pairs),
        "security": _optional(will.security),
        "enabled": _optional(will.enabled),
        "may": as_set(will.may),
        "flood_rate": _optional(will.flood_rate),
        "parent": _optional(will.parent),
        "tag": _optional(will.tag),
        "service_tag": _optional(will.service_tag),
        **_beside(will),
    }


def _chassis(draft: Draft, will: Chassis, row: Row | None) -> Row:
    present = {own["ip"]: own for own in _own(draft, "Vtep", row["vteps"])} if row is not None else {}
    vteps = [
        ref(_write(draft, "Vtep", present.get(end.ip), {"ip": end.ip, "encaps": as_set(end.encaps), "mtu": mtu}))
        for end, mtu in ((end, _optional(end.mtu)) for end in will.vteps)
    ]
    return {
        "name": will.name,
        "ovsdb": will.ovsdb,
        "vteps": as_set(vteps),
        "datapath_type": _optional(will.datapath),
        "controller": _optional(will.controller),
        "bridges": _map(will.bridges),
        **_beside(will),
    }


def _connections(draft: Draft, changes: Sequence[Change]) -> None:
    if not changes:
        return
    totals = _global(draft)
    mine = {row["target"]: row for row in _own(draft, "Connection", totals["connections"])}
    for change in changes:
        if change.will is None:
            del mine[change.name]
        else:
            columns = _connection(change.will)
            uuid = _write(draft, "Connection", mine.get(change.name), columns)
            mine[change.name] = {**columns, "_uuid": ref(uuid)}
    draft.update(GLOBAL, totals, {"connections": as_set([row["_uuid"] for row in mine.values()])})


def _connection(will: Connection) -> Row:
    return {
        "target": will.target,
        "role": will.role,
        "read_only": _optional(will.read_only),
        "inactivity_probe": _optional(will.inactivity_probe),
        "max_backoff": _optional(will.max_backoff),
    }


def _pairs(draft: Draft, changes: Sequence[Change]) -> None:
    if not changes:
        return
    totals = _global(draft)
    columns = {}
    for kind, column in zip(PAIRS, ("options", "external_ids"), strict=True):
        pairs = dict(map(tuple, totals[column][1]))
        for change in changes:
            if change.kind == kind:
                pairs.pop(change.name, None)
                if change.will is not None:
                    pairs[change.name] = change.will
        columns[column] = _map(pairs)
    draft.update(GLOBAL, totals, columns)


def _global(draft: Draft) -> Row:
    """The row of the whole database; it is made when there is none."""
    for row in draft.read(GLOBAL).values():
        return row
    uuid = draft.insert(GLOBAL, {})
    draft.chosen.add(uuid)
    return draft.read(GLOBAL)[uuid]


def _own(draft: Draft, table: str, references: Any) -> list[Row]:
    rows = (draft.row(table, uuid) for uuid in elements(references))
    return [row for row in rows if row is not None]


def _beside(will: Tenant | Network | Port | Chassis) -> Row:
    return {"description": will.description, "external_ids": _map(will.external_ids)}


def _map(pairs: Pairs) -> list[Any]:
    return ["map", [list(item) for item in pairs.items()]]


def _optional(value: Any) -> list[Any]:
    return as_set([] if value is None else [value])
