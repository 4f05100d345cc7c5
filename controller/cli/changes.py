"""`changes`: the log of what was written, by whom and when."""

from __future__ import annotations

import time
from argparse import Namespace

from controller.cli.draft import Draft
from controller.cli.tables import print_rows
from ovsdb.rpc import Row, uuid_of

COLUMNS = ("at", "by", "what")


def moment(seconds: int) -> str:
    """A time in seconds since 1970 as lists spell it, '' for 0, which stands for none."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else ""


def order(row: Row) -> tuple[int, str, str]:
    """When a change was sent: the second, and within it the time in its row's UUID, where that has one (version 7).

    That is the order of commits for all that one host writes; between hosts it is as good as their clocks agree. The
    database itself keeps no order.
    """
    uuid = uuid_of(row)
    return row["at"], uuid if uuid[14] == "7" else "", row["what"]


def show_list(draft: Draft, args: Namespace) -> None:
    """`changes`."""
    rows = [
        {
            "at": moment(row["at"]),
            "by": row["by"],
            "what": row["what"],
            "request": row["request"],
        }
        for row in sorted(draft.read("Change").values(), key=order)
    ]
    print_rows(draft, COLUMNS, rows, args)
