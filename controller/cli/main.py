"""Where `overlayctl` begins: options in, exit code out."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from controller.cli.errors import CommandError
from controller.cli.parser import parse

if TYPE_CHECKING:
    from ovsdb.rpc import Connection


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, or what `overlayctl --help` says about exit codes."""
    args = parse(sys.argv[1:] if argv is None else argv)
    try:
        run(args)
        sys.stdout.flush()
    except CommandError as failure:
        print(f"overlayctl: {failure}", file=sys.stderr)
        return failure.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def run(args: Namespace) -> None:
    """Runs the verb that was parsed; raises CommandError."""
    from ovsdb.paths import default_database
    from ovsdb.rpc import DatabaseError, WrongDatabaseError

    where = args.db or default_database()
    try:
        with _connect(where, args.db) as database:
            if args.reads:
                _function(args.reads)(database, args)
                return
            from controller.cli.draft import write

            verb = _function(args.writes)
            done = write(database, lambda draft: verb(draft, args), args.wait or args.waits)
        if done.number is not None:
            from controller.cli.waiting import wait_installed

            wait_installed(where, done.number, args.timeout)
    except WrongDatabaseError as failure:
        raise CommandError(f"{failure}; name the overlay database with --db or OVERLAY_DB") from None
    except DatabaseError as failure:
        raise CommandError(str(failure)) from None


def _connect(where: str, named: str | None) -> Connection:
    from ovsdb.paths import named_database
    from ovsdb.rpc import UnreachableError, connect

    try:
        return connect(where)
    except ValueError as malformed:
        raise CommandError(f"{'--db' if named else 'OVERLAY_DB'} {malformed}") from None
    except UnreachableError as failure:
        advice = (
            "start what serves it, or name another with --db or OVERLAY_DB"
            if named or named_database()
            else "start the controller, which serves it (ryu-manager overlay_app), "
            "or name another with --db or OVERLAY_DB"
        )
        raise CommandError(f"no overlay database at {failure}; {advice}") from None


def _function(named: str) -> Callable[..., Any]:
    # By name, so that a command loads its own verb and no other.
    module, _, function = named.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(f"controller.cli.{module}"), function)
    return loaded


if __name__ == "__main__":
    sys.exit(main())
