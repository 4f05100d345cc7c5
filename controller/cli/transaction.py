"""The verbs of one command line as one transaction: committed or only told, and waited for."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from controller.cli.commit import Request, write
from controller.cli.database import Database
from controller.cli.draft import Draft
from controller.cli.errors import CommandError


def transact(
    database: Database, commands: Sequence[Namespace], argv: Sequence[str], function: Callable[[str], Any]
) -> int:
    """Runs the verbs, commits what they draft, prints what they say, and waits when that was asked for.

    Returns the exit code.
    """
    first = commands[0]

    def verb(draft: Draft) -> None:
        for number, args in enumerate(commands, 1):
            try:
                function(args.run)(draft, args)
            except CommandError as failure:
                if len(commands) > 1:
                    failure.args = (f"command {number} ({_named(args)}): {failure}",)
                raise

    if first.dry_run:
        from controller.cli.dry import told

        if lines := told(database, verb, commands):
            print("\n".join(lines))
        return 0
    waits = first.wait or any(args.waits for args in commands)
    done = write(database, verb, Request(logged(argv), first.timeout), bool(waits))
    if done.lines:
        print("\n".join(done.lines), flush=True)
    if waits and done.number is not None:
        from controller.cli.waiting import wait_installed, wait_read

        if first.wait == "db":
            wait_read(database.listed, done.number, first.timeout)
        else:
            wait_installed(database.listed, done.number, first.timeout)
    return done.code


def _named(args: Namespace) -> str:
    """A verb, and what it is to work on."""
    name = getattr(args, "name", None)
    return f"{args.verb} {name}" if isinstance(name, str) else str(args.verb)


def logged(argv: Sequence[str]) -> str:
    """A command line as the log of changes keeps it: without common options, and without what may be secret."""
    import re

    from controller.cli.commit import WHAT
    from controller.cli.parser import COMMON

    valued = {argument.flags[0]: "action" not in argument.keywords for argument in COMMON}
    secret = re.compile(r"(?i)(?:secret|password|passwd|token|psk|private)[^\s=]*=")
    words: list[str] = []
    skip, left = False, WHAT
    for word in argv:
        flag, given, _ = word.partition("=")
        if skip:
            skip = False
        elif flag in valued:
            skip = valued[flag] and not given and flag != "--wait"
        elif left > 0:
            # No more of it is kept, and to look through more of it would only take time.
            kept = word[:WHAT]
            found = secret.search(kept)
            words.append(f"{kept[: found.end()]}***" if found else kept)
            left -= len(kept) + 1
    return " ".join(word if re.fullmatch(r"[\w@%+=:,./\[\]*-]+", word) else repr(word) for word in words)[:WHAT]
