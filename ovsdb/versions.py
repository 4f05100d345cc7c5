"""Whether a database is of the schema version that this program is written for, and what to do when it is not."""

from __future__ import annotations

import re

from ovsdb.paths import schema
from ovsdb.rpc import Connection, DatabaseError
from ovsdb.stages import is_stage, numbers, released


class VersionError(DatabaseError):
    """A database of another schema version than the program's."""


def present() -> str:
    """The version of the schema in this package."""
    found = re.search(r'"version": *"([0-9.]+)"', schema().read_text())
    if found is None:
        raise DatabaseError(f"{schema()} has no version")
    return found.group(1)


def check(connection: Connection) -> None:
    """Raises VersionError, with what to do, unless the database is of the present version."""
    version, ours = connection.version(), present()
    if numbers(version) == numbers(ours):
        return
    what = f"the overlay database at {connection.listed} is of schema version {version}"
    if numbers(version) > numbers(ours):
        raise VersionError(f"{what}, newer than this program's {ours}; upgrade ovs-overlay on this host")
    if is_stage(version):
        raise VersionError(
            f"{what}: its upgrade from {released(version)} is under way or was cut off; "
            f"to finish it: overlayctl db-upgrade"
        )
    raise VersionError(f"{what}, and this program's is {ours}; to upgrade it in place: overlayctl db-upgrade")
