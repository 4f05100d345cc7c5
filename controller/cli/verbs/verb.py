"""What a verb is, as data: its parser, help, completion and manual page are made from it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

DRAFT: Final = "draft"
"""The verb is `run(draft, args)`: it may stand in a transaction with others."""
DATABASE: Final = "database"
"""The verb is `run(database, args)`, and stands alone."""
ALONE: Final = "alone"
"""The verb is `run(args)`, and needs no database."""


READERS: Final = frozenset({"show", "check", "health", "changes", "list", "find", "get", "diff", "export"})
"""Verbs that only read, besides those that are called `-list` and `-show`."""


class Argument(NamedTuple):
    """One argument of a verb: what `ArgumentParser.add_argument` takes, and what completes it.

    `complete` is a table whose names are offered, "file", "verb", or empty.
    """

    flags: tuple[str, ...]
    keywords: dict[str, Any]
    complete: str = ""


class Verb(NamedTuple):
    """One verb. `run` is "module:function" in `controller.cli`, so that a command loads its own and no other."""

    name: str
    text: str
    run: str
    arguments: tuple[Argument, ...] = ()
    examples: tuple[str, ...] = ()
    kind: str = DRAFT
    waits: bool = False
    """Whether it waits for the controller without being told."""
    alters: bool = False
    """Whether it is wrong usage to give none of its options."""
    epilog: str = ""
    fixed: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's default; nobody writes to it
    """Attributes of the Namespace that `run` gets, besides the arguments."""

    @property
    def reads(self) -> bool:
        """Whether it writes nothing."""
        return self.name.endswith(("-list", "-show")) or self.name in READERS


def arg(*flags: str, complete: str = "", **keywords: Any) -> Argument:
    """An argument, as `add_argument` is called."""
    if keywords.get("nargs") == "*":
        keywords.setdefault("default", [])  # else argparse says that it is required when another one is missing
    return Argument(flags, keywords, complete)


def several(flag: str, metavar: str, text: str, **more: Any) -> Argument:
    """An option that may be repeated, and takes several values with commas."""
    return arg(flag, metavar=metavar, action="append", help=f"{text}; repeat it or use commas", **more)


MAY_EXIST: Final = arg("--may-exist", action="store_true", help="no error when it exists, and is just this")
IF_EXISTS: Final = arg("--if-exists", action="store_true", help="no error when there is none")
DESCRIPTION: Final = arg("--description", metavar="TEXT", help="what it is for, in words")
