"""The pages of docs/pipeline: one per table, with what a real switch has there and what each of its flows does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

from flows.flow import kind_of
from flows.tables import BY_ID, PIPELINE, Table, describe

PAGES: Final = Path(__file__).parent.parent / "docs" / "pipeline"
_DUMPED: Final = re.compile(r"cookie=(0x[0-9a-f]+), (?:table=(\d+), )?(?:(.*?) ?priority=(\d+))?(.*)")
"""Of table 0 ovs-ofctl does not say the number."""
_WHY: Final = tomllib.loads((Path(__file__).parent / "pipeline_pages.toml").read_text())


def page(table: Table, chassis: str, dump: str) -> str:
    """The page of a table; `dump` is the whole of what `ovs-ofctl dump-flows` printed."""
    lines = [
        f"# Table {table.id}: {table.name}",
        "",
        table.purpose[0].upper() + table.purpose[1:] + ".",
        "",
        _WHY[table.name],
        "",
        "| | |",
        "|---|---|",
        f"| looks at | {', '.join(f'`{name}`' for name in sorted(table.matches))} |",
        f"| goes on to | {', '.join(f'[{name}]({_file(name)})' for name in table.next) or 'no other table'} |",
    ]
    if table.teaches:
        lines.append(f"| writes to | {', '.join(f'[{name}]({_file(name)})' for name in table.teaches)} |")
    lines += [f"| a miss | {table.miss.purpose if table.miss is not None else 'goes back to where it came from'} |", ""]
    lines += ["## On a switch", "", f"What `ovs-ofctl` shows of it on {chassis} of the lab in [README](README.md):", ""]
    rows = [row for row in flows(dump) if row[0] == table.id]
    if not rows:
        lines += ["Nothing, at present.", ""]
    kinds = sorted({row[1] for row in rows}, key=[row[1] for row in rows].index)
    for label in kinds:
        purpose = next(row[2] for row in rows if row[1] == label)
        lines += [f"**{label}**: {purpose}", "", "```"]
        lines += [row[3] for row in rows if row[1] == label]
        lines += ["```", ""]
    return "\n".join(lines).rstrip() + "\n"


def flows(dump: str) -> list[tuple[int, str, str, str]]:
    """Table, kind, its purpose, and the flow without cookie and table, of each of our flows; the first match first."""
    found = []
    for line in dump.splitlines():
        dumped = _DUMPED.search(line)
        kind = kind_of(int(dumped[1], 16)) if dumped else None
        if dumped is None or kind is None:
            continue
        priority = int(dumped[4] or 32768)
        text = f"{dumped[3] + ' ' if dumped[3] else ''}priority={priority}{dumped[5]}"
        found.append((int(dumped[2] or 0), -priority, kind.label, kind.purpose, text))
    return [(table, label, purpose, text) for table, _, label, purpose, text in sorted(found)]


def index(intro: str) -> str:
    """The page that leads to the others."""
    rows = describe()
    for table in PIPELINE:
        rows = rows.replace(f"| {table.id} | {table.name} |", f"| {table.id} | [{table.name}]({_file(table.name)}) |")
    return f"# The pipeline\n\n{intro.strip()}\n\n{rows}"


def _file(name: str) -> str:
    table = next(table for table in BY_ID.values() if table.name == name)
    return f"{table.id:02}-{table.name}.md"


def pages(intro: str, chassis: str, dump: str) -> dict[str, str]:
    """Every page by its file's name."""
    return {"README.md": index(intro)} | {_file(table.name): page(table, chassis, dump) for table in PIPELINE}
