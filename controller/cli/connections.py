"""The verbs of connections: where the overlay database's server listens for others, and what they may do there."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from controller.cli import conflicts, values, written
from controller.cli.draft import Draft, new_uuid, ref
from controller.cli.errors import CommandError, one_of
from controller.cli.tables import print_rows
from ovsdb.rpc import Row, as_set, elements, optional

COLUMNS: Final = ("target", "role", "read_only", "is_connected", "inactivity_probe")


ROLES: Final = ("chassis",)
"""Roles that the controller describes in RBAC_Role; to ovsdb-server an unknown one has no rights at all."""


def add(draft: Draft, args: Namespace) -> None:
    """`connection-add`."""
    row = {"target": written.listener(args.target), **_columns(args)}
    present = draft.where("Connection", target=row["target"]) if args.may_exist else []
    if present:
        if differs := conflicts.difference(present[0], row):
            raise CommandError(f"connection {row['target']!r} exists with {differs}; change it with connection-set")
        return
    uuid = draft.insert("Connection", row)
    root = _root(draft)
    draft.update("Overlay_Global", root, {"connections": as_set([*_references(root), ref(uuid)])})


def change(draft: Draft, args: Namespace) -> None:
    """`connection-set`."""
    row, columns = _get(draft, args.target), _columns(args)
    draft.update("Connection", row, columns)
    if any(column in columns and columns[column] != row[column] for column in ("role", "read_only")):
        # Seen with ovsdb-server 3.1: those who connect later have the old rights as well.
        draft.say(
            f"ovsdb-server gives everybody at {row['target']} the old rights until it is restarted, or listens there "
            "anew: connection-del, 10 s later connection-add"
        )


def delete(draft: Draft, args: Namespace) -> None:
    """`connection-del`."""
    if args.if_exists and not draft.where("Connection", target=written.listener(args.target)):
        return
    row = _get(draft, args.target)
    root = _root(draft)
    left = [each for each in _references(root) if each != row["_uuid"]]
    draft.update("Overlay_Global", root, {"connections": as_set(left)})


def show_list(draft: Draft, args: Namespace) -> None:
    """`connection-list`."""
    rows = [
        {
            "target": row["target"],
            "role": row["role"],
            "read_only": optional(row["read_only"]) is True,
            "is_connected": row["is_connected"],
            "inactivity_probe": optional(row["inactivity_probe"]),
            "status": values.plain(None, row["status"]),
        }
        for row in sorted(draft.read("Connection").values(), key=lambda row: row["target"])
    ]
    print_rows(draft, COLUMNS, rows, args)


def _root(draft: Draft) -> Row:
    rows = list(draft.read("Overlay_Global").values())
    if rows:
        return rows[0]
    uuid = draft.insert("Overlay_Global", {"database_id": new_uuid()})
    draft.chosen.add(uuid)
    return draft.row("Overlay_Global", uuid) or {}


def _references(root: Row) -> list[Any]:
    return [ref(uuid) for uuid in elements(root["connections"])]


def _get(draft: Draft, target: str) -> Row:
    rows = draft.where("Connection", target=written.listener(target))
    if not rows:
        known = [row["target"] for row in draft.read("Connection").values()]
        raise CommandError(f"there is no connection {target!r}; {one_of(known, target)}")
    return rows[0]


def _columns(args: Namespace) -> Row:
    row: Row = {}
    if args.role is not None:
        if args.role not in (written.NONE, *ROLES):
            raise CommandError(f"role {args.role!r} is unknown; there are: {', '.join(ROLES)}, {written.NONE}")
        row["role"] = "" if args.role == written.NONE else args.role
    if args.read_only is not None:
        row["read_only"] = as_set([True] if args.read_only else [])
    if args.inactivity_probe is not None:
        row["inactivity_probe"] = as_set(written.milliseconds(args.inactivity_probe))
    return row
