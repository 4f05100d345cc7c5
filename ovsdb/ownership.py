"""Who writes which column of the overlay database, beside its operators: read by `overlayctl`, by `backup`, and by the
documentation. No more than names.
"""

from __future__ import annotations

from typing import Final

TABLES: Final = frozenset({"Controller", "Pending", "Binding", "Neighbor", "Drop"})
"""Tables of which the controller writes every column."""
COLUMNS: Final = {
    "Overlay_Global": frozenset({"database_id", "read_cfg", "cur_cfg", "alarm", "heartbeat", "drops_read", "leader"}),
    "Network": frozenset({"carries", "error", "outlets"}),
    "Chassis": frozenset(
        (
            *(
                "state",
                "error",
                "datapath",
                "datapath_id",
                "cur_cfg",
                "flows",
                "silent",
                "impostor",
                "remarks",
                "drops_read",
            ),
            *("owner", "generation", "heard", "seen", "connected", "present", "exits"),
        )
    ),
    "Connection": frozenset({"is_connected", "status"}),
}
"""Columns that the controller or the server writes, in tables whose other columns are declared."""
BESIDE: Final = {
    "Overlay_Global": frozenset({"epoch", "nb_cfg", "drops_asked"}),
    "Chassis": frozenset({"reported"}),
}
"""Columns that whoever writes counts on in passing, or that a chassis writes of itself; nobody sets them by hand."""
LOG: Final = "Change"
"""The table that every write adds a row to."""


def theirs(table: str) -> frozenset[str]:
    """The columns of a table that no operator writes, where it has others as well."""
    return COLUMNS.get(table, frozenset()) | BESIDE.get(table, frozenset())
