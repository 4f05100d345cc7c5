"""What an upgrade writes into new columns: one transaction per stage, that may be repeated and then does nothing.

Each row that is filled is guarded by the values that its new columns are made of.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from ovsdb import stages
from ovsdb.rpc import Connection, Operation, Row, same_row, select, uuid_of
from ovsdb.stages import SUFFIX, UNFILLED, Schema


def operations(database: Connection, served: Schema) -> list[Operation]:
    """What there is to write in the stage that is served."""
    number = stages.stage(served["version"])
    if number == 1 and stages.released(served["version"]) == "1.0.0":
        return _from_1_0(database)
    return _copies(database, served) if number == 3 else []


def _from_1_0(database: Connection) -> list[Operation]:
    """2.0.0: a tenant is a row, so is a VTEP, and the database has an identity."""
    tables = ("Network", "Tenant", "Chassis", "Overlay_Global")
    networks, tenants, hosts, totals = (
        result["rows"] for result in database.transact([select(table) for table in tables])
    )
    return [*_tenants(networks, tenants), *_vteps(hosts), *_identity(totals)]


def _tenants(networks: Sequence[Row], tenants: Sequence[Row]) -> list[Operation]:
    made: list[Operation] = []
    reference: dict[str, Any] = {row["name"]: row["_uuid"] for row in tenants}
    for row in networks:
        if row[f"tenant{SUFFIX}"] != UNFILLED:
            continue
        name = row["tenant"]
        if name not in reference:
            reference[name] = ["named-uuid", f"tenant{len(reference)}"]
            made.append({"op": "insert", "table": "Tenant", "row": {"name": name}, "uuid-name": reference[name][1]})
        made += _guarded("Network", row, ["tenant"], {f"tenant{SUFFIX}": reference[name]})
    return made


def _vteps(hosts: Sequence[Row]) -> list[Operation]:
    made: list[Operation] = []
    for number, row in enumerate(hosts):
        if row["vteps"] != UNFILLED:
            continue
        vtep = {"ip": row["vtep"], "encaps": row["encaps"]}
        made.append({"op": "insert", "table": "Vtep", "row": vtep, "uuid-name": f"vtep{number}"})
        made += _guarded("Chassis", row, ["vtep", "encaps"], {"vteps": ["named-uuid", f"vtep{number}"]})
    return made


def _identity(totals: Sequence[Row]) -> list[Operation]:
    identity = str(uuid.uuid4())
    if not totals:
        return [{"op": "insert", "table": "Overlay_Global", "row": {"database_id": identity}}]
    if totals[0]["database_id"]:
        return []
    # What was installed had been read.
    read = {"database_id": identity, "read_cfg": totals[0]["cur_cfg"]}
    return _guarded("Overlay_Global", totals[0], ["database_id"], read)


def _copies(database: Connection, served: Schema) -> list[Operation]:
    """Each column that got its own name back is what it was under the other."""
    made = []
    for table, column in stages.pending(served):
        other = column + SUFFIX
        for row in database.select(table):
            if row[column] != row[other]:
                made += _guarded(table, row, [other], {column: row[other]})
    return made


def _guarded(table: str, row: Row, based_on: Sequence[str], changes: Row) -> list[Operation]:
    this = same_row(uuid_of(row))
    guard = {
        "op": "wait",
        "table": table,
        "where": this,
        "columns": list(based_on),
        "until": "==",
        "rows": [{column: row[column] for column in based_on}],
        "timeout": 0,
    }
    return [guard, {"op": "update", "table": table, "where": this, "row": changes}]
