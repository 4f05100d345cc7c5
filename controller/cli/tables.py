"""Rows on a terminal: aligned columns, colours, JSON."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from controller.cli.errors import CommandError, one_of
from controller.cli.text import escaped

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
    """A value as a table shows it: on one line, whoever wrote it."""
    return escaped(_exact(value))


def _exact(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(_exact, value)) or "-"
    if isinstance(value, dict):
        return " ".join(f"{key}={_exact(item)}" for key, item in value.items()) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
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
    """Says a list in the format asked for: a table with these columns, or those of `--columns`; JSON has all.

    CommandError for a column that there is not.
    """
    chosen = _chosen(rows[0], args.columns) if args.columns and rows else None
    if args.format == "json":
        draft.say(as_json([{column: row[column] for column in chosen} for row in rows] if chosen else rows))
        return
    shown = chosen or (args.columns.split(",") if args.columns else list(columns))
    if args.format == "csv":
        heads = [] if args.no_headings else [shown]
        draft.lines += _csv([*heads, *([plain(row[column]) for column in shown] for row in rows)])
    elif rows:
        heading, *lines = aligned(
            [[column.upper() for column in shown], *([cell(row[column]) for column in shown] for row in rows)]
        )
        if not args.no_headings:
            draft.say(paint(heading, "bold", coloured(args)))
        draft.lines += lines


def print_row(draft: Draft, row: dict[str, Any], args: Namespace) -> None:
    """Says one thing in the format asked for: a line per column, or a JSON object."""
    columns = _chosen(row, args.columns) if args.columns else list(row)
    if args.format == "json":
        draft.say(as_json({column: row[column] for column in columns}))
    elif args.format == "csv":
        draft.lines += _csv([*([] if args.no_headings else [columns]), [plain(row[column]) for column in columns]])
    else:
        width = max(map(len, columns))
        for column in columns:
            value = row[column]
            several = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
            for number, each in enumerate(several):
                heading = "" if number or args.no_headings else column
                draft.say(f"{paint(f'{heading:<{width}}', 'dim', coloured(args))}  {cell(each)}")


def plain(value: Any) -> str:
    """A value as CSV has it: nothing for nothing, several with spaces."""
    shown = _exact(value)
    return "" if shown == "-" else shown


def _chosen(row: dict[str, Any], wanted: str) -> list[str]:
    columns = [column.strip() for column in wanted.split(",")]
    for column in columns:
        if column not in row:
            raise CommandError(f"there is no column {column!r}; {one_of(list(row), column)}")
    return columns


def _csv(rows: Sequence[Sequence[str]]) -> list[str]:
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    # splitlines() would also split at what only looks like the end of a line, such as U+2028.
    return text.getvalue().split("\n")[:-1]
