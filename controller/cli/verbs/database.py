"""Verbs of the overlay database itself."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs.verb import ALONE, DATABASE, Verb, arg, several

DATABASES: Final = (
    Verb(
        "rebuild",
        "fill an empty overlay database with what the chassis remember",
        "rebuild:rebuild",
        (
            several(
                "--from-chassis",
                "OVSDB|dial-in",
                "the OVSDB server of a chassis to ask; dial-in: those that dialled in and are pending",
                required=True,
            ),
        ),
        (
            "rebuild --dry-run --from-chassis tcp:192.0.2.1:6640,tcp:192.0.2.2:6640",
            "rebuild --from-chassis tcp:192.0.2.1:6640,tcp:192.0.2.2:6640,dial-in",
        ),
        epilog="Declared ports that are plugged in nowhere are known to no chassis: take backups.",
    ),
    Verb(
        "db-accept",
        "let the controller act on a database that it objects to (show says why)",
        "accept:accept",
        examples=("db-accept",),
    ),
    Verb(
        "db-upgrade",
        "upgrade the database in place to this program's schema",
        "backup:upgrade",
        examples=("--db unix:/run/ovs-overlay-db/db.sock db-upgrade",),
        kind=DATABASE,
        fixed={"any_version": True},
        epilog="It may be run again at any time, and goes on where one was cut off. The controller's own database is\n"
        "upgraded when the controller starts.",
    ),
    Verb(
        "db-schema",
        "print the path of the schema, for ovsdb-tool",
        "backup:schema",
        examples=("db-schema",),
        kind=ALONE,
    ),
    Verb(
        "backup",
        "write the database, as it is at one moment, to a file",
        "backup:take",
        (arg("file", metavar="FILE", help="a file that is made or replaced", complete="file"),),
        ("backup /var/backups/overlay.db",),
        kind=DATABASE,
    ),
    Verb(
        "restore",
        "make the declarations those of a backup, after showing what goes (-), changes (~) and comes (+)",
        "backup:restore",
        (
            arg("file", metavar="FILE", help="what backup, or ovsdb-client backup, has written", complete="file"),
            arg("--force", action="store_true", help="also when something that is declared now goes away"),
        ),
        ("restore --dry-run /var/backups/overlay.db", "restore --force /var/backups/overlay.db"),
        kind=DATABASE,
    ),
)
