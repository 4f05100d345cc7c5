"""An overlay database of an older schema made one of the present, by the server that serves it.

`convert` (ovsdb-server(7), section 4.1.19) adds and drops columns, but can neither change what a column holds nor
fill a new one. Such a release is reached in stages, each an atomic step of the server's: *expand* (`ovsdb.stages`:
old columns and new side by side), *fill* (`ovsdb.fill`: one transaction), *contract*, *rename*, and the present
schema. Each stage has a version number of its own, so an upgrade that was cut off goes on where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Final

from ovsdb import fill, stages
from ovsdb.paths import schema
from ovsdb.rpc import Connection, DatabaseError, TransactionError, UnreachableError, connect
from ovsdb.stages import Schema, is_stage, numbers, released
from ovsdb.versions import VersionError, check, present

__all__ = ["VersionError", "check", "is_stage", "numbers", "present", "released", "upgrade"]

LOCK: Final = "overlay_upgrade"
"""The lock that keeps two upgrades apart (RFC 7047, section 4.1.8); of the leader, for each server has its own."""
PATIENCE: Final = 60.0
"""Seconds for a step, and for another upgrade to end."""
ATTEMPTS: Final = 20
"""How often a step is tried that others' writes or a new leader stand in the way of."""
PAUSE: Final = 0.2


def upgrade(connection: Connection, say: Callable[[str], None] = lambda _: None) -> tuple[str, str]:
    """Brings the database to the present schema, and loses nothing; the versions before and after.

    `say` is told of each step before it is done. It may be run again at any time, by several at once as well. Raises
    VersionError for a database that is newer, DatabaseError when a step is refused: the database is whole then, and
    running it again goes on there.
    """
    wanted: Schema = json.loads(schema().read_text())
    before = ""
    for attempt in range(ATTEMPTS):
        try:
            with connect(connection.listed, connection.database, PATIENCE, leader=True) as leader:
                before = before or leader.version()
                clustered = leader.served is not None and leader.served.model == "clustered"
                _steps(leader, stages.persistent(wanted) if clustered else wanted, say)
        except UnreachableError:
            # A leader that went away in the middle: its successor has what was done so far. Or another upgrade's
            # conversion, at which the server hung up before it was asked not to.
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(PAUSE)
        else:
            break
    return released(before), wanted["version"]


def _steps(database: Connection, wanted: Schema, say: Callable[[str], None]) -> None:
    # Without this the server would hang up at each conversion (ovsdb-server(7), section 4.1.18).
    database.call("set_db_change_aware", [True])
    _lock(database, say)
    refused = 0
    while True:
        served: Schema = database.call("get_schema", [database.database])
        version = served["version"]
        if numbers(version) == numbers(wanted["version"]):
            return
        if numbers(version) > numbers(wanted["version"]):
            check(database)
        try:
            if is_stage(version):
                say(f"filling the columns of {version}")
                _fill(database, served)
            following = stages.following(served, wanted)
            say(f"converting {version} to {following['version']}")
            database.call("convert", [database.database, following], PATIENCE)
        except UnreachableError:
            raise
        except DatabaseError as failure:
            # Somebody may have added a row between the filling and the conversion, which refuses to lose it.
            refused += 1
            if refused == ATTEMPTS:
                raise DatabaseError(
                    f"{database.where}: the upgrade stops at version {version}: {failure}; "
                    f"nothing is lost, and 'overlayctl db-upgrade' goes on there"
                ) from None


def _fill(database: Connection, served: Schema) -> None:
    operations = fill.operations(database, served)
    if operations:
        try:
            database.transact(operations, PATIENCE)
        except TransactionError as refused:
            raise DatabaseError(f"filling the columns of {served['version']} is refused: {refused}") from None


def _lock(database: Connection, say: Callable[[str], None]) -> None:
    """Returns when no other upgrade is under way on this server."""
    deadline = time.monotonic() + PATIENCE
    told = False
    while not database.call("lock", [LOCK])["locked"]:
        database.call("unlock", [LOCK])
        if time.monotonic() > deadline:
            raise DatabaseError(f"{database.where}: another upgrade has been under way for {PATIENCE:g} s")
        if not told:
            say("waiting for another upgrade to end")
        told = True
        time.sleep(PAUSE)
