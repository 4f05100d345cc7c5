"""`db-upgrade`, `backup`, `restore`, `db-schema`: the overlay database as a whole."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path

from controller.cli.commit import who
from controller.cli.database import Database
from controller.cli.draft import new_uuid
from controller.cli.errors import CommandError, UnknownOutcomeError, listed
from ovsdb import backup
from ovsdb.rpc import UnreachableError


def upgrade(database: Database, args: Namespace) -> None:
    """`db-upgrade`."""
    from ovsdb.upgrade import upgrade as upgraded

    before, after = upgraded(database.open(), print)
    print(
        f"upgraded from schema version {before} to {after}" if before != after else f"it is of version {after} already"
    )


def schema(_: Namespace) -> None:
    """`db-schema`."""
    from ovsdb.paths import schema as path

    print(path())


def take(database: Database, args: Namespace) -> None:
    """`backup`."""
    snapshot = backup.take(database.open())
    backup.write(Path(args.file), snapshot, time.time())
    print(f"{args.file}: {backup.identity(snapshot)}")


def restore(database: Database, args: Namespace) -> None:
    """`restore`."""
    snapshot = backup.read(Path(args.file))
    restoration = backup.plan(database.majority(), snapshot)
    for sign, names in ("-", restoration.lost), ("~", restoration.changed), ("+", restoration.new):
        for name in sorted(names):
            print(f"{sign} {name}")
    if args.dry_run:
        return
    if (restoration.lost or restoration.doubt) and not args.force:
        why = [restoration.doubt] if restoration.doubt else []
        why += [f"{listed(list(restoration.lost))} would be gone"] if restoration.lost else []
        raise CommandError(f"{'; '.join(why)}; nothing was changed; if that is intended: restore --force {args.file}")
    change = {"request": new_uuid(), "at": int(time.time()), "by": who(), "what": f"restore {args.file}"}
    connection = database.majority()
    try:
        backup.restore(connection, restoration, change)
    except UnreachableError as lost:
        raise UnknownOutcomeError(
            f"{lost}; whether it was restored is not known: "
            f"it was if overlayctl changes --columns request lists {change['request']}"
        ) from None
    print(f"restored from {args.file}: {backup.identity(snapshot)}")
