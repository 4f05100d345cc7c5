"""`batch`: many commands over one connection, for scripts: what a process costs is paid once."""

from __future__ import annotations

import io
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stderr

from controller.cli.database import Database, opened
from controller.cli.errors import CommandError, UsageError
from controller.cli.main import run_on
from controller.cli.parser import DEFAULTS, parse_all
from controller.cli.text import escaped_lines
from controller.cli.verbs.verb import ALONE
from ovsdb.rpc import DatabaseError


def batch(args: Namespace) -> int:
    """`batch`."""
    first = 0
    if isinstance(sys.stdin, io.TextIOWrapper):
        # What is no UTF-8 is the fault of its line, and not the end of all.
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    with opened(args.db) as database:
        for number, line in enumerate(sys.stdin, 1):
            empty = not line.strip() or line.lstrip().startswith("#")
            code = 0 if empty else one(database, line, number, args)
            first = first or code
            if args.status:
                print(f"# {code}")
            sys.stdout.flush()
            if code and args.stop_on_error:
                break
    return first


def one(database: Database, line: str, number: int, args: Namespace) -> int:
    """Runs one line; returns its exit code. What is wrong goes to standard error, with the line's number."""
    try:
        words = shlex.split(line)
        commands = parsed(words)
        for command in commands:
            if command.kind == ALONE:
                raise CommandError(f"{command.verb} has no place in a batch")
            if command.db is not None:
                raise CommandError("--db stands before batch, and counts for all of it")
            if getattr(command, "file", None) == "-":
                raise CommandError(f"{command.verb} -f - would read the lines of the batch; name a file")
            for option, default in DEFAULTS.items():
                # What is said to batch counts for every line that does not say otherwise: --dry-run above all.
                if getattr(command, option) == default:
                    setattr(command, option, getattr(args, option))
        return run_on(database, commands, words)
    except (CommandError, ValueError, DatabaseError) as failure:
        sys.stdout.flush()
        print(f"overlayctl: line {number}: {escaped_lines(str(failure))}", file=sys.stderr, flush=True)
        return getattr(failure, "exit_code", 1)
    except SystemExit as ended:  # of --help
        return int(ended.code or 0)


def parsed(words: Sequence[str]) -> list[Namespace]:
    """The commands of a line; UsageError where argparse would end the process."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return parse_all(words)
    except SystemExit as ended:
        if not ended.code:
            raise
        verb, _, wrong = said.getvalue().strip().rpartition("\noverlayctl")[2].partition(": error: ")
        raise UsageError(f"{verb.strip()}: {wrong}" if verb else wrong) from None
