"""What several controllers tell each other through the overlay database: who is there, who has which chassis, and what
is decided for all of them.

A chassis has one owner. Whoever takes it writes its name and a higher generation there, and the database takes but one
such write. The generation goes with it to the switch and to the chassis' own database, which refuse earlier ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import ovs.db.idl

from flows.bind import Exit, Outlet
from flows.model import Chassis, Encap, Vtep


@dataclass(frozen=True, slots=True)
class Controller:
    """A Controller row: its columns, without the name."""

    instance: str = ""
    beat: int = 0
    openflow: str = ""
    reaches: frozenset[str] = frozenset()
    written: int = 0
    applied: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Share:
    """A chassis as its owner tells of it; `vteps` are (in use, accepted besides), None while nothing stands there.

    `heard` is the generation of the owner that has read the chassis' database, or tried in vain; `seen` the state of
    the overlay database that the chassis has last seen.
    """

    owner: str = ""
    generation: int = 0
    connected: bool = False
    state: str = ""
    error: str = ""
    exits: tuple[Exit, ...] = ()
    vteps: tuple[tuple[Vtep, ...], tuple[Vtep, ...]] | None = None
    heard: int = 0
    seen: str = ""


@dataclass(frozen=True)
class Shared:
    """All of it. `outlets` are those that are open, or (False) closing; controllers and chassis are by name."""

    controllers: Mapping[str, Controller] = field(default_factory=dict)
    chassis: Mapping[str, Share] = field(default_factory=dict)
    leader: str = ""
    outlets: Mapping[Outlet, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """What one controller, of that name, has to say of itself and of all.

    `claims` are the chassis that it takes, or has already, each with a generation that is higher than before. `leads`:
    it decides for all, `present` and `outlets`; `takes_lead`: it is about to. `others` are those that live. `heard` are
    its chassis that it has read, or tried to read in vain, and `seen` what they have seen of the overlay database.
    """

    name: str
    row: Controller
    claims: Mapping[str, int] = field(default_factory=dict)
    takes_lead: bool = False
    leads: bool = False
    present: Mapping[str, Chassis] = field(default_factory=dict)
    outlets: Mapping[Outlet, bool] = field(default_factory=dict)
    exits: Mapping[str, tuple[Exit, ...]] = field(default_factory=dict)
    connected: Mapping[str, bool] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    heard: frozenset[str] = frozenset()
    seen: Mapping[str, str] = field(default_factory=dict)


class NameTakenError(RuntimeError):
    """Another process has our name."""


class NotOursError(Exception):
    """What was to be written is another controller's to write by now."""


def read(idl: ovs.db.idl.Idl) -> Shared:
    """What stands there now. What can't be read is as if it were not there."""
    leader = next((row.leader for row in idl.tables["Overlay_Global"].rows.values()), "")
    outlets: dict[Outlet, bool] = {}
    for row in idl.tables["Network"].rows.values():
        for written, state in row.outlets.items():
            chassis, physical, vlan = (*written.split(" "), "", "")[:3]
            if vlan.isdigit():
                outlets[Outlet(row.name, chassis, physical, int(vlan))] = state == "open"
    return Shared(
        {
            row.name: Controller(
                row.instance,
                row.beat,
                row.openflow,
                frozenset(row.reaches),
                row.written,
                dict(row.applied),
                dict(row.notes),
            )
            for row in idl.tables["Controller"].rows.values()
        },
        {row.name: _share(row) for row in idl.tables["Chassis"].rows.values()},
        str(leader),
        outlets,
    )


def _share(row: Any) -> Share:
    exits = []
    for physical, written in sorted(row.exits.items()):
        interface, _, ofport = written.rpartition(" ")
        if ofport.isdigit():
            exits.append(Exit(row.name, physical, interface, int(ofport)))
    return Share(
        row.owner,
        row.generation,
        row.connected,
        row.state[0] if row.state else "",
        row.error,
        tuple(exits),
        _vteps(row.present),
        row.heard,
        row.seen,
    )


@lru_cache(maxsize=4096)
def _vteps(written: str) -> tuple[tuple[Vtep, ...], tuple[Vtep, ...]] | None:
    try:
        used, besides = (
            tuple(Vtep(ip, frozenset(map(Encap, encaps)), mtu) for ip, encaps, mtu in each)
            for each in json.loads(written or "null")
        )
    except (TypeError, ValueError):
        return None
    return (used, besides) if used else None


@lru_cache(maxsize=4096)
def _text(chassis: Chassis) -> str:
    ends = [[[vtep.ip, sorted(vtep.encaps), vtep.mtu] for vtep in each] for each in (chassis.vteps, chassis.besides)]
    return json.dumps(ends, separators=(",", ":"))


def write(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, told: Told) -> None:
    """Fill a transaction with what differs from the rows. Raises NameTakenError."""
    _write_own(idl, transaction, told)
    for row in idl.tables["Overlay_Global"].rows.values():
        if told.takes_lead and row.leader != told.name:
            row.verify("leader")
            row.leader = told.name
    for row in idl.tables["Chassis"].rows.values():
        _write_chassis(row, told)
    if told.leads:
        for row in idl.tables["Controller"].rows.values():
            _set(row, "lives", row.name == told.name or row.name in told.others)
        of: dict[str, dict[str, str]] = {}
        for outlet, open_ in told.outlets.items():
            key = f"{outlet.chassis} {outlet.physical} {outlet.vlan}"
            of.setdefault(outlet.network, {})[key] = "open" if open_ else "closing"
        for row in idl.tables["Network"].rows.values():
            _set(row, "outlets", of.get(row.name, {}))


def _write_chassis(row: Any, told: Told) -> None:
    if row.name in told.claims and row.generation < told.claims[row.name]:
        for column in ("owner", "generation"):
            row.verify(column)
        row.owner, row.generation = told.name, told.claims[row.name]
    if told.leads and row.name in told.present:
        _set(row, "present", _text(told.present[row.name]))
    if row.name in told.exits:
        _set(row, "exits", {each.physical: f"{each.interface} {each.ofport}" for each in told.exits[row.name]})
    if row.name in told.connected:
        _set(row, "connected", told.connected[row.name])
    if row.name in told.seen:
        _set(row, "seen", told.seen[row.name])
    if row.name in told.heard and row.owner == told.name:
        _set(row, "heard", row.generation)


def _write_own(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, told: Told) -> None:
    row = next((row for row in idl.tables["Controller"].rows.values() if row.name == told.name), None)
    if row is None:
        row = transaction.insert(idl.tables["Controller"])
        row.name, row.instance = told.name, told.row.instance
    elif row.instance != told.row.instance:
        if told.row.beat > 1:
            raise NameTakenError(
                f"another controller is called {told.name!r} and has begun after this one, which ends; "
                "give one of them another name: OVERLAY_NAME"
            )
        row.instance = told.row.instance  # of a process that has ended, or is about to
    row.beat = told.row.beat
    _set(row, "openflow", told.row.openflow)
    _set(row, "reaches", sorted(told.row.reaches))
    _set(row, "written", told.row.written)
    _set(row, "applied", dict(told.row.applied))
    _set(row, "notes", dict(told.row.notes))


def fence(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, told: Told) -> None:
    """Let the transaction fail where what it writes of a chassis, or decides, is another's to write by then.

    Raises NotOursError where it is known to be already.
    """
    rows = {row.name: row for row in idl.tables["Chassis"].rows.values()}
    decides = False
    for row in list(transaction._txn_rows.values()):
        table = row._table.name
        changes = frozenset(row._changes or ())
        if table == "Chassis":
            decides |= bool(changes & _DECIDED)
        if table == "Chassis" and changes <= _DECIDED | (_CLAIMED if "generation" in changes else frozenset()):
            continue  # who takes it has made sure of the owner already
        if table in ("Binding", "Neighbor", "Drop", "Chassis"):
            chassis = rows.get(_value(row, "name" if table == "Chassis" else "chassis"))
            if chassis is not None:
                if chassis._data["owner"].as_scalar() != told.name:
                    raise NotOursError(f"{chassis.name} is {chassis.owner}'s")
                _verify(transaction, chassis, "owner")
        elif table == "Network":
            decides = True
    if decides and told.leads:
        for totals in idl.tables["Overlay_Global"].rows.values():
            _verify(transaction, totals, "leader")


_DECIDED: Final = frozenset({"present"})
_CLAIMED: Final = frozenset({"owner", "generation", "heard"})
"""Columns of a chassis that the one that leads writes, and that whoever takes it does."""


def _verify(transaction: ovs.db.idl.Transaction, row: Any, column: str) -> None:
    """Have the transaction fail when the column is another by then; python-ovs alone looks at rows that it changes."""
    row.verify(column)
    transaction._txn_rows[row.uuid] = row


def _value(row: Any, column: str) -> str:
    """A column of a row, which the transaction may insert, change or delete."""
    return str(getattr(row, column) if row._data is None else row._data[column].as_scalar())


def _set(row: Any, column: str, value: Any) -> None:
    now = getattr(row, column, None)
    if (sorted(now) if isinstance(now, list) else now) != value:
        setattr(row, column, value)
