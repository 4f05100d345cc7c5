"""Where `overlayctl` begins: options in, exit code out."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from controller.cli.errors import CommandError
from controller.cli.output import OutputError, standard_output
from controller.cli.parser import parse_all
from controller.cli.text import escaped_lines
from controller.cli.verbs.verb import ALONE, DATABASE

if TYPE_CHECKING:
    from controller.cli.database import Database
    from controller.cli.output import Output


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the verbs of one command line; returns 0, or what `overlayctl --help` says about exit codes."""
    argv = sys.argv[1:] if argv is None else argv
    with standard_output() as output:
        try:
            return _ended(argv)
        except OutputError as failure:
            output.give_up()
            print(f"overlayctl: done, but its output could not be written: {failure}", file=sys.stderr)
            return failure.exit_code
        except BrokenPipeError:
            # Whoever read our output has seen enough.
            output.give_up()
            return 0
        except KeyboardInterrupt:
            return 130


def _ended(argv: Sequence[str]) -> int:
    """The exit code, when all that was printed is written."""
    try:
        code = run(parse_all(argv), argv)
    except CommandError as failure:
        # What was printed before comes before; when it can't, that it was refused is said all the same.
        try:
            sys.stdout.flush()
        except (OutputError, BrokenPipeError):
            cast("Output", sys.stdout).give_up()
        print(f"overlayctl: {escaped_lines(str(failure))}", file=sys.stderr)
        return failure.exit_code
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def run(commands: Sequence[Namespace], argv: Sequence[str]) -> int:
    """Runs the verbs that were parsed, in one transaction; returns the exit code, or raises CommandError."""
    first = commands[0]
    if first.kind == ALONE:
        return _function(first.run)(first) or 0
    from controller.cli.database import opened
    from ovsdb.rpc import DatabaseError, WrongDatabaseError

    try:
        reads = all(args.reads for args in commands)
        with opened(first.db, reads, getattr(first, "any_version", False), first.timeout * first.retry) as database:
            return run_on(database, commands, argv)
    except WrongDatabaseError as failure:
        raise CommandError(f"{failure}; name the overlay database with --db or OVERLAY_DB") from None
    except DatabaseError as failure:
        raise CommandError(str(failure)) from None


def run_on(database: Database, commands: Sequence[Namespace], argv: Sequence[str]) -> int:
    """The same, on a database that is open; raises DatabaseError as well."""
    if commands[0].kind == DATABASE:
        return _function(commands[0].run)(database, commands[0]) or 0
    from controller.cli.transaction import transact

    return transact(database, commands, argv, _function)


def _function(named: str) -> Callable[..., Any]:
    # By name, so that a command loads its own verb and no other.
    module, _, function = named.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(f"controller.cli.{module}"), function)
    return loaded


if __name__ == "__main__":
    sys.exit(main())
