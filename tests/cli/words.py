"""What the tests of `overlayctl` are written with: commands as lines, rows as keywords."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from controller.cli.main import main
from controller.cli.parser import parse
from ovsdb.rpc import Connection, select, uuid_of

REFUSED = "tcp:192.0.2.2:6640: refused"
TABLES = (
    "Overlay_Global",
    "Change",
    "Chassis",
    "Vtep",
    "Port",
    "Address",
    "Network",
    "Tenant",
    "Binding",
    "Neighbor",
    "Drop",
    "Pending",
    "Connection",
)


def call(line: str) -> int:
    return main(line.split())


def options(line: str) -> Namespace:
    return parse(line.split())


def everything(database: Connection) -> Any:
    results = database.transact([select(table) for table in TABLES[2:]])
    return [sorted(result["rows"], key=uuid_of) for result in results]


def listed(run: Callable[..., str], verb: str, *columns: str) -> list[dict[str, Any]]:
    chosen = f" --columns {','.join(columns)}" if columns else ""
    rows: list[dict[str, Any]] = json.loads(run(f"{verb} --format json{chosen}"))
    return rows


def update(database: Connection, table: str, where: list[Any], **row: Any) -> None:
    database.transact([{"op": "update", "table": table, "where": where, "row": row}])


def insert(database: Connection, table: str, **row: Any) -> None:
    database.transact([{"op": "insert", "table": table, "row": row}])
