"""Waiting for the controller: that a configuration is installed, that a port is up.

The server does the waiting (`wait`, RFC 7047, section 5.2.6), in short slices, so that a server that went
away is noticed and a connection that broke is made anew.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Final

from controller.cli.database import Database
from controller.cli.draft import Draft
from controller.cli.errors import CommandError, NotInstalledError, one_of
from controller.cli.text import escaped
from ovsdb.rpc import (
    Connection,
    Operation,
    Row,
    TransactionError,
    UnreachableError,
    connect,
    optional,
    select,
)

SLICE: Final = 5.0
PAUSE: Final = 0.2


def sync(draft: Draft, args: Namespace) -> None:
    """`sync`: a configuration that changes nothing."""


def wait_installed(where: str, number: int, timeout: float) -> None:
    """Returns when all chassis have installed configuration `number`; NotInstalledError names the others."""
    behind = [["cur_cfg", "<", number]]
    objected = [["alarm", "!=", ""]]  # an older copy may well be behind what is installed
    done = [
        _until(table, rows, "==")
        for table, rows in (("Chassis", behind), ("Overlay_Global", behind), ("Overlay_Global", objected))
    ]
    if _wait(where, timeout, done):
        return
    with connect(where, stale=True) as database:
        late, globally, totals = (
            result["rows"]
            for result in database.transact(
                [select("Chassis", behind), select("Overlay_Global", behind), select("Overlay_Global")]
            )
        )
    alarm = next((row["alarm"] for row in totals), "")
    if not (late or globally or alarm):
        return
    if alarm:
        raise NotInstalledError(f"configuration {number} is stored, but the controller objects: {escaped(alarm)}")
    stored = f"configuration {number} is stored, but not installed on every chassis within {timeout:g} s"
    if globally and all(row["cur_cfg"] < number for row in globally) and not any(map(_known, late)):
        raise NotInstalledError(
            f"{stored}: the controller has not taken it up; is it running "
            f"(ryu-manager overlay_app) and connected to {where}?"
        )
    if not late:
        raise NotInstalledError(f"{stored}: the controller is still busy with it")
    raise NotInstalledError(f"{stored}: " + "; ".join(sorted(map(_late, late))))


def wait_read(where: str, number: int, timeout: float) -> None:
    """Returns when the controller has read configuration `number`; NotInstalledError when it did not in time."""
    unread = [["read_cfg", "<", number]]
    if not _wait(where, timeout, [_until("Overlay_Global", unread, "==")]):
        raise NotInstalledError(
            f"configuration {number} is stored, but the controller has not read it within {timeout:g} s; is it "
            f"running (ryu-manager overlay_app) and connected to {where}?"
        )


def wait_port(database: Database, args: Namespace) -> None:
    """`port-wait`."""
    chassis, slash, interface = args.name.partition("/")
    if slash:
        place = [["chassis", "==", chassis], ["interface", "==", interface]]
    else:
        Draft(database).get("Port", args.name)
        place = [["port", "==", args.name]]
    up = [*place, ["up", "==", True]]
    if _wait(database.listed, args.timeout, [_until("Binding", up, "!=")]):
        return
    bindings, known, totals = (
        result["rows"]
        for result in database.transact(
            [select("Binding", place), select("Chassis", columns=["name"]), select("Overlay_Global")]
        )
    )
    late = f"port {args.name} is not up after {args.timeout:g} s"
    if any(row["up"] for row in bindings):
        return
    for row in totals:
        if row["alarm"]:
            raise NotInstalledError(f"{late}; the controller objects: {escaped(row['alarm'])}")
    for row in bindings:
        reason = escaped(row["error"]) or "the controller has not set it up yet"
        raise NotInstalledError(f"{late}: plugged in at {row['chassis']}/{row['interface']}, but {reason}")
    if slash and all(row["name"] != chassis for row in known):
        raise CommandError(
            f"{late}: there is no chassis {chassis!r}; {one_of([row['name'] for row in known], chassis)}"
        )
    mark = f"external_ids:{'overlay-vni=VNI' if slash else 'iface-id=' + args.name}"
    raise NotInstalledError(
        f"{late}: it is not plugged in; on its chassis: ovs-vsctl add-port br-int "
        f"{interface or 'INTERFACE'} -- set interface {interface or 'INTERFACE'} {mark}"
    )


def wait_answered(where: str, number: int, timeout: float) -> bool:
    """Whether the controller answers request `number` for fresh counters in time, or one after it."""
    return _wait(where, timeout, [unanswered(number)])


def unanswered(number: int) -> Operation:
    """Waits until that is so."""
    return _until("Overlay_Global", [["drops_read", "<", number]], "==")


def _until(table: str, where: Sequence[Any], comparison: str) -> Operation:
    """Waits until no row (`==`), or any row (`!=`), meets the conditions."""
    return {"op": "wait", "table": table, "where": list(where), "columns": ["_uuid"], "until": comparison, "rows": []}


def _wait(where: str, timeout: float, conditions: Sequence[Operation]) -> bool:
    """Whether all conditions held at one moment within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    database: Connection | None = None
    try:
        while True:
            left = max(0.0, deadline - time.monotonic())
            span = min(left, SLICE)
            try:
                database = database or connect(where, stale=True)
                database.transact(
                    [{**condition, "timeout": int(span * 1000)} for condition in conditions], span + SLICE
                )
            except TransactionError as refused:
                if refused.error != "timed out":
                    raise
            except UnreachableError:
                if left == 0:
                    raise
                if database is not None:
                    database.close()
                    database = None
                time.sleep(min(PAUSE, left))
                continue
            else:
                return True
            if left == 0:
                return False
    finally:
        if database is not None:
            database.close()


def _known(chassis: Row) -> bool:
    """Whether the controller has said anything about a chassis that explains a delay."""
    return bool(chassis["error"]) or optional(chassis["state"]) in ("unreachable", "error")


def _late(chassis: Row) -> str:
    said = f" ({escaped(chassis['error'])})" if chassis["error"] else ""
    return (
        f"chassis {chassis['name']} is {optional(chassis['state']) or 'new'}{said}, "
        f"at configuration {chassis['cur_cfg']}"
    )
