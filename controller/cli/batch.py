"""`batch`: many commands over one connection, for scripts: what a process costs is paid once."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace

from controller.cli.database import Database, opened
from controller.cli.errors import CommandError
from controller.cli.main import run_on
from controller.cli.parser import DEFAULTS, parse_all
from controller.cli.verbs.verb import ALONE
from ovsdb.rpc import DatabaseError


def batch(args: Namespace) -> int:
    """`batch`."""
    first = 0
    with opened(args.db) as database:
        for number, line in enumerate(sys.stdin, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            code = one(database, line, number, args)
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
        commands = parse_all(words)
        for command in commands:
            if command.kind == ALONE:
                raise CommandError(f"{command.verb} has no place in a batch")
            if command.db is not None:
                raise CommandError("--db stands before batch, and counts for all of it")
            for option, default in DEFAULTS.items():
                # What is said to batch counts for every line that does not say otherwise: --dry-run above all.
                if getattr(command, option) == default:
                    setattr(command, option, getattr(args, option))
        return run_on(database, commands, words)
    except (CommandError, ValueError, DatabaseError) as failure:
        print(f"overlayctl: line {number}: {failure}", file=sys.stderr, flush=True)
        return getattr(failure, "exit_code", 1)
    except SystemExit as ended:
        # argparse has said what is wrong with it.
        return int(ended.code or 0)
