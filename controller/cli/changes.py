"""`changes`: the log of what was written, by whom and when."""

from __future__ import annotations

import time
from argparse import Namespace

from controller.cli.draft import Draft
from controller.cli.tables import print_rows

COLUMNS = ("at", "by", "what")


def show_list(draft: Draft, args: Namespace) -> None:
    """`changes`."""
    rows = [
        {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row["at"])),
            "by": row["by"],
            "what": row["what"],
            "request": row["request"],
        }
        for row in sorted(draft.read("Change").values(), key=lambda row: (row["at"], row["request"]))
    ]
    print_rows(draft, COLUMNS, rows, args)
