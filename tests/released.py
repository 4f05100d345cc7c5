"""Databases as released versions made them, with something in every table, and what must be there of it later."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ovsdb.rpc import Connection, Operation, elements, optional, select, uuid_of

SCHEMAS: Final = Path(__file__).parent / "schemas"
V1: Final = SCHEMAS / "1.0.0.ovsschema"
V2: Final = SCHEMAS / "2.0.0.ovsschema"

ADDED: Final[dict[str, Any]] = {"tag": 0, "trunk": ["set", []], "physical": ["set", []], "seen": 0}
"""Columns of Binding and Neighbor that released versions had not, and what they are after an upgrade."""


def fill_1_0(database: Connection) -> None:
    """Two chassis, networks of two tenants, ports with addresses, bindings, neighbors."""
    database.transact(_OPERATIONS)


def fill_2_0(database: Connection) -> None:
    """The same in a database of schema 2.0.0."""
    tenants = [_insert("Tenant", label, name=name) for name, label in _TENANTS.items()]
    database.transact([*tenants, *(each for operation in _OPERATIONS for each in _as_2_0(operation))])


def content_1_0(database: Connection) -> dict[str, Any]:
    """What a database of schema 1.0.0 says, by names."""
    tables = _tables(database)
    return _common(tables) | {
        "networks": {
            row["name"]: (uuid_of(row), row["tenant"], row["vni"], row["encap"], _map(row)) for row in tables["Network"]
        },
        "chassis": {
            row["name"]: (uuid_of(row), [(row["vtep"], sorted(elements(row["encaps"])))], _chassis(row))
            for row in tables["Chassis"]
        },
    }


def content(database: Connection) -> dict[str, Any]:
    """The same of a database of the present schema."""
    tables = _tables(database, "Tenant", "Vtep")
    tenants = {uuid_of(row): row["name"] for row in tables["Tenant"]}
    vteps = {uuid_of(row): (row["ip"], sorted(elements(row["encaps"]))) for row in tables["Vtep"]}
    return _common(tables) | {
        "networks": {
            row["name"]: (uuid_of(row), tenants[row["tenant"][1]], row["vni"], row["encap"], _map(row))
            for row in tables["Network"]
        },
        "chassis": {
            row["name"]: (uuid_of(row), sorted(vteps[each] for each in elements(row["vteps"])), _chassis(row))
            for row in tables["Chassis"]
        },
    }


def _tables(database: Connection, *more: str) -> dict[str, list[Any]]:
    names = ("Overlay_Global", "Chassis", "Network", "Port", "Address", "Binding", "Neighbor", *more)
    results = database.transact([select(name) for name in names])
    return {name: result["rows"] for name, result in zip(names, results, strict=True)}


def _common(tables: dict[str, list[Any]]) -> dict[str, Any]:
    networks = {uuid_of(row): row["name"] for row in tables["Network"]}
    addresses = {uuid_of(row): (networks[row["network"][1]], row["ip"]) for row in tables["Address"]}
    return {
        "totals": [(row["nb_cfg"], row["cur_cfg"], row["options"], _map(row)) for row in tables["Overlay_Global"]],
        "addresses": sorted(addresses.values()),
        "ports": {
            row["name"]: (
                uuid_of(row),
                networks[row["network"][1]],
                row["mac"],
                sorted(addresses[each] for each in elements(row["addresses"])),
                _map(row),
            )
            for row in tables["Port"]
        },
        "bindings": _plain(tables["Binding"]),
        "neighbors": _plain(tables["Neighbor"]),
    }


def _map(row: Any) -> Any:
    return sorted(row["external_ids"][1])


def _chassis(row: Any) -> Any:
    kept = ("ovsdb", "error", "datapath", "datapath_id", "cur_cfg", "flows")
    optionals = ("datapath_type", "controller", "state")
    return [row[name] for name in kept] + [optional(row[name]) for name in optionals] + _map(row)


def _plain(rows: list[Any]) -> list[str]:
    """Rows without what later versions have added, which says nothing yet."""
    added = {"_version", *(name for name, none in ADDED.items() if all(row.get(name, none) == none for row in rows))}
    return sorted(str({name: value for name, value in sorted(row.items()) if name not in added}) for row in rows)


def _insert(table: str, label: str, /, **row: Any) -> Operation:
    return {"op": "insert", "table": table, "row": row, "uuid-name": label}


def _ids(**pairs: str) -> list[Any]:
    return ["map", [[key, value] for key, value in pairs.items()]]


def _as_2_0(operation: Operation) -> list[Operation]:
    """A row of 1.0.0 as 2.0.0 has it: tenants and VTEPs are rows."""
    row, label = dict(operation["row"]), operation["uuid-name"]
    if operation["table"] == "Network":
        row["tenant"] = ["named-uuid", _TENANTS[row["tenant"]]]
    if operation["table"] == "Chassis":
        end = _insert("Vtep", f"{label}end", ip=row.pop("vtep"), encaps=row.pop("encaps", ["set", []]))
        row["vteps"] = ["named-uuid", f"{label}end"]
        return [end, {**operation, "row": row}]
    return [{**operation, "row": row}]


_TENANTS: Final = {"acme": "acme", 'umbra "ö" & co': "umbra"}
_OPERATIONS: Final[list[Operation]] = [
    _insert("Overlay_Global", "totals", nb_cfg=7, cur_cfg=6, options=_ids(a="b"), external_ids=_ids(note="ours")),
    _insert(
        "Chassis",
        "h1",
        name="h1",
        ovsdb="tcp:192.0.2.1:6640",
        vtep="192.0.2.1",
        state="ready",
        datapath="netdev",
        datapath_id="00000a0b0c0d0e0f",
        cur_cfg=6,
        flows=31,
        external_ids=_ids(rack="7"),
    ),
    _insert(
        "Chassis",
        "h2",
        name="h2",
        ovsdb="unix:/h2.sock",
        vtep="192.0.2.2",
        encaps="gre",
        datapath_type="system",
        controller="tcp:198.51.100.254:6653",
        state="unreachable",
        error="unix:/h2.sock: no answer",
    ),
    _insert("Chassis", "h3", name="h3", ovsdb="unix:/h3.sock", vtep="192.0.2.3", encaps=["set", ["vxlan", "gre"]]),
    _insert("Network", "red", name="red", tenant="acme", vni=100, encap="vxlan", external_ids=_ids(n="1")),
    _insert("Network", "green", name="green", tenant="acme", vni=16777215, encap="gre"),
    _insert("Network", "blue", name="blue", tenant='umbra "ö" & co', vni=200, encap="gre"),
    _insert("Address", "a1", network=["named-uuid", "red"], ip="10.0.0.1"),
    _insert("Address", "a2", network=["named-uuid", "red"], ip="10.0.0.2"),
    _insert("Address", "a3", network=["named-uuid", "blue"], ip="10.0.0.1"),
    _insert(
        "Port",
        "web1",
        name="web1",
        network=["named-uuid", "red"],
        mac="02:00:00:00:00:01",
        addresses=["set", [["named-uuid", "a1"], ["named-uuid", "a2"]]],
        external_ids=_ids(owner="alice"),
    ),
    _insert(
        "Port",
        "db1",
        name="db1",
        network=["named-uuid", "blue"],
        mac="02:00:00:00:00:01",
        addresses=["named-uuid", "a3"],
    ),
    _insert("Port", "bare", name="bare", network=["named-uuid", "green"], mac="02:00:00:00:00:02"),
    _insert(
        "Binding",
        "b1",
        chassis="h1",
        interface="vm1",
        ofport=3,
        iface_id="web1",
        network="red",
        port="web1",
        up=True,
    ),
    _insert("Binding", "b2", chassis="h2", interface="vm9", ofport=4, vni="100", network="red", error="no such"),
    _insert("Neighbor", "n1", network="red", ip="10.0.0.9", mac="02:00:00:00:00:09", chassis="h2", interface="vm9"),
]
