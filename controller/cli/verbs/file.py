"""Verbs of the declarative file."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs.verb import ALONE, Argument, Verb, arg


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError
    return int(text)


_number.__name__ = "number"  # argparse says: invalid number value

NAMED: Final[Argument] = arg(
    "-f", "--file", metavar="FILE", required=True, help="the file; - is standard input", complete="file"
)
FILE: Final = (
    Verb(
        "apply",
        "make the database what a file says, in one transaction",
        "declarative.verbs:apply",
        (
            NAMED,
            arg(
                "--allow-delete",
                metavar="N",
                type=_number,
                help="delete up to N things; without it, of the ports, networks and chassis each 10 or a fifth, "
                "whichever is more, and not all of 3 or more",
            ),
        ),
        ("apply -f net.yaml", "--wait apply -f net.yaml", "apply -f net.yaml --allow-delete 120"),
        epilog="What is in the database and not in the file is deleted, in the sections that the file has: a file\n"
        "without 'chassis:' leaves all chassis alone. docs/declarative-file.md describes the format.",
    ),
    Verb(
        "diff",
        "say what apply would change",
        "declarative.verbs:diff",
        (NAMED,),
        ("diff -f net.yaml", "diff -f net.yaml --format json"),
        kind=ALONE,
        epilog="exit codes: 0 nothing would change; 1 something would; 2 the file is wrong, or the database away",
    ),
    Verb(
        "export",
        "write all that is declared as a file for apply",
        "declarative.verbs:export",
        (arg("-o", "--output", metavar="FILE", help="where to (default: standard output)", complete="file"),),
        ("export", "export -o net.yaml"),
    ),
)
