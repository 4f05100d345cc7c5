"""Verbs of the overlay database itself."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs.verb import Verb, several

DATABASES: Final = (
    Verb(
        "rebuild",
        "fill an empty overlay database with what the chassis remember",
        "rebuild:rebuild",
        (several("--from-chassis", "OVSDB", "the OVSDB server of a chassis to ask", required=True),),
        (
            "rebuild --dry-run --from-chassis tcp:192.0.2.1:6640,tcp:192.0.2.2:6640",
            "rebuild --from-chassis tcp:192.0.2.1:6640,tcp:192.0.2.2:6640",
        ),
        epilog="Declared ports that are plugged in nowhere are known to no chassis: take backups.",
    ),
    Verb(
        "db-accept",
        "let the controller act on a database that it objects to (show says why)",
        "accept:accept",
        examples=("db-accept",),
    ),
)
