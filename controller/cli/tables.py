"""Rows on a terminal: aligned columns, colours, JSON."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from controller.cli.draft import Draft

COLOURS: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def coloured(args: Namespace) -> bool:
    """Whether to use colours: only on a terminal, unless `--no-color` or NO_COLOR (no-color.org) say no."""
    return not args.no_color and not os.environ.get("NO_COLOR") and sys.stdout.isatty()


def paint(text: str, colour: str, colours: bool) -> str:
    """Text in a colour, or as it is."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colours and text else text


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with the columns of all rows below each other."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def as_json(value: Any) -> str:
    """One JSON document."""
    return json.dumps(value, indent=2)


def print_rows(draft: Draft, columns: Sequence[str], rows: Sequence[dict[str, Any]], args: Namespace) -> None:
    """Says a list in the format asked for: a table with a heading, or JSON objects with the same names."""
    if args.format == "json":
        draft.say(as_json(rows))
    elif rows:
        heading, *lines = aligned(
            [[column.upper() for column in columns], *([cell(row[column]) for column in columns] for row in rows)]
        )
        draft.say(paint(heading, "bold", coloured(args)))
        draft.lines += lines
