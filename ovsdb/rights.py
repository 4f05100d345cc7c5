"""Who may write what into the overlay database over a Connection with a role (ovsdb-server(7), "RBAC").

One role, `chassis`: a client that shows the certificate of a chassis may write the column `reported` of that
chassis' own row, and nothing else. A Connection without a role lets every certificate of the CA do everything.
"""

from __future__ import annotations

from typing import Any, Final

import ovs.db.idl

ROLE: Final = "chassis"
TABLE: Final = "Chassis"
OWN: Final = "name"
"""The column that must hold the client's common name."""
MAY_WRITE: Final = "reported"


def write(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction) -> None:
    """Fill a transaction with the rows that are missing; those that are there stay as they are."""
    if _find(idl, "RBAC_Role", "name", ROLE) is not None:
        return
    permission = _find(idl, "RBAC_Permission", "table", TABLE)
    if permission is None:
        permission = transaction.insert(idl.tables["RBAC_Permission"])
        permission.table = TABLE
        permission.authorization = [OWN]
        permission.insert_delete = False
        permission.update = [MAY_WRITE]
    role = transaction.insert(idl.tables["RBAC_Role"])
    role.name = ROLE
    role.permissions = {TABLE: permission}


def _find(idl: ovs.db.idl.Idl, table: str, column: str, value: str) -> Any:
    return next((row for row in idl.tables[table].rows.values() if getattr(row, column) == value), None)
