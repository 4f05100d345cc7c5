"""`./lab bench --commands`: what a command of `overlayctl` costs, side by side with OVN's in one run.

Two servers, ours and one with OVN's northbound schema, when `ovn-nbctl` is installed (Debian: ovn-common and
ovn-central). Rounds alternate between the two. No chassis and no controller are needed.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from ovsdb.paths import schema
from topologies.controller import SCRIPTS
from topologies.processes import wait_until

OVN_SCHEMA: Final = "/usr/share/ovn/ovn-nb.ovsschema"
NETWORKS: Final = 50
"""Networks that are there before anything is measured, each with a port."""
BATCH: Final = 200
"""Ports added over one connection."""

Row = tuple[str, list[float], list[float]]
"""What was measured, ours and OVN's, in ms."""


@contextmanager
def server(directory: Path, name: str, schema_file: str) -> Iterator[str]:
    """The remote of a server on a new file."""
    file, socket = directory / f"{name}.db", directory / f"{name}.sock"
    subprocess.run(["ovsdb-tool", "create", str(file), schema_file], check=True)
    command = ["ovsdb-server", str(file), f"--remote=punix:{socket}", f"--unixctl={directory / name}.ctl"]
    process = subprocess.Popen([*command, "-vconsole:off", "-vsyslog:off"])
    try:
        if not wait_until(socket.exists, 10):
            raise RuntimeError(f"ovsdb-server does not serve {file}")
        yield f"unix:{socket}"
    finally:
        process.terminate()
        process.wait()


def run(rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Every figure, in turns; without `ovn-nbctl` only ours."""
    ovn = shutil.which("ovn-nbctl") is not None and Path(OVN_SCHEMA).exists()
    if not ovn:
        say("ovn-nbctl is not installed (Debian: apt install ovn-common ovn-central): ours alone")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        here = stack.enter_context(server(directory, "ours", str(schema())))
        there = stack.enter_context(server(directory, "ovn", OVN_SCHEMA)) if ovn else ""
        ours = [str(SCRIPTS / "overlayctl"), f"--db={here}"]
        theirs = ["ovn-nbctl", f"--db={there}"]
        fill(ours, theirs if ovn else None)
        rows: list[Row] = []
        for title, mine, other in commands():
            figures: tuple[list[float], list[float]] = ([], [])
            for turn in range(rounds):
                figures[0].append(timed([*ours, *(word.format(n=turn) for word in mine)]))
                if ovn and other:
                    figures[1].append(timed([*theirs, *(word.format(n=turn) for word in other)]))
            rows.append((title, *figures))
        lines = "".join(f"port-add batch{number} --net net0\n" for number in range(BATCH))
        spent = timed([*ours, "batch"], lines) / BATCH
        rows.append((f"one of {BATCH} ports in a batch", [spent], []))
        return rows


def commands() -> list[tuple[str, list[str], list[str]]]:
    """What is measured: a title, our words, OVN's; `{n}` is the round."""
    return [
        ("--help", ["--help"], ["--help"]),
        ("list networks", ["net-list"], ["ls-list"]),
        ("show", ["show"], ["show"]),
        (
            "add a network",
            ["net-add", "new{n}", "--tenant", "acme", "--vni", "9{n}"],
            ["ls-add", "new{n}"],
        ),
        ("add a port", ["port-add", "p{n}", "--net", "net0"], ["lsp-add", "net0", "p{n}"]),
        (
            "network and port at once",
            ["net-add", "both{n}", "--tenant", "acme", "--vni", "8{n}", "--", "port-add", "q{n}", "--net", "both{n}"],
            ["ls-add", "both{n}", "--", "lsp-add", "both{n}", "q{n}"],
        ),
    ]


def fill(ours: Sequence[str], theirs: Sequence[str] | None) -> None:
    """Networks with a port each, in one transaction."""
    words: list[str] = []
    for number in range(NETWORKS):
        words += ["--", "net-add", f"net{number}", "--tenant", "acme", "--vni", str(1 + number)]
        words += ["--", "port-add", f"port{number}", "--net", f"net{number}"]
    timed([*ours, *words])
    if theirs is not None:
        other: list[str] = []
        for number in range(NETWORKS):
            other += ["--", "ls-add", f"net{number}", "--", "lsp-add", f"net{number}", f"port{number}"]
        timed([*theirs, *other])


def timed(argv: Sequence[str], stdin: str = "") -> float:
    """Milliseconds of a command that must succeed."""
    began = time.monotonic()
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    spent = (time.monotonic() - began) * 1000
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return spent


def table(rows: Sequence[Row], rounds: int) -> str:
    """The figures as a table that fits a terminal."""
    lines = [f"medians of {rounds} rounds in turns, in ms", f"{'':<32} {'overlayctl':>11} {'ovn-nbctl':>10}"]
    for title, ours, theirs in rows:
        other = f"{median(theirs):10.1f}" if theirs else f"{'-':>10}"
        lines.append(f"{title:<32} {median(ours):11.1f} {other}")
    return "\n".join(lines)
