"""Makes a chassis what it should be: br-int, tunnel ports, ways to physical networks, the controller. One transaction.

Idempotent: it compares and writes what differs. It touches rows with our mark and no others; where a name
is taken by somebody else it says so and does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import ovs.db.idl

from ovsdb.our_rows import is_free, remove_ours, write_ours
from ovsdb.session import Session
from ovsdb.snapshot import BRIDGE, MARK, find, is_our_bridge, is_ours, only
from ovsdb.wanted import Wanted, datapath_id, exit_ports, needed

_OPEN: Final = frozenset({"datapath_type", "datapath_id"})
"""Columns that are settled only when ovs-vswitchd has tried what they say."""
_MARKED: Final = ("Bridge", "Port", "Interface", "Controller")
"""Tables that have rows of ours."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What stands in the way of a chassis being as wanted, and what was written to make it so, in words.

    `ask`: ovs-vswitchd says of a port of ours that it could not make it, or nothing of our bridge, and nothing is left
    that we could write: it is to be asked again (`ask_again`).
    """

    problems: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    ask: bool = False


def provision(session: Session, wanted: Wanted) -> Provisioned:
    """Write what differs.

    Raises TransactionError when the server refuses the transaction.
    """
    idl = session.idl
    bridge = find(idl, "Bridge", BRIDGE)
    if bridge is None and any(find(idl, table, BRIDGE) for table in ("Port", "Interface")):
        return Provisioned((f"{BRIDGE} is the name of a port that is not ours; rename or remove it",))
    if bridge is not None and not is_our_bridge(bridge):
        return Provisioned(
            (
                f"bridge {BRIDGE} is there already and is not ours; remove it, or hand it over: "
                f"ovs-vsctl set bridge {BRIDGE} external_ids:{MARK[0]}={MARK[1]}",
            )
        )
    problems = [
        f"{name} is the name of a port that is not ours; rename or remove it"
        for name in [*(tunnel.name for tunnel in needed(wanted.chassis)), *(name for _, _, name in exit_ports(wanted))]
        if not is_free(idl, name)
    ]
    problems += [
        f"bridge {bridge_}, which leads to physical network '{physical}', is not there; ovs-vsctl add-br {bridge_}"
        for physical, bridge_ in wanted.exits
        if find(idl, "Bridge", bridge_) is None
    ]
    problems += _misfits(idl, wanted, bridge)
    problems += [
        f"bridge {other.name} has the datapath id of our {BRIDGE}; give it another"
        for other in idl.tables["Bridge"].rows.values()
        if other.name != BRIDGE and datapath_id(wanted.chassis.name) in other.datapath_id
    ]
    answered = _answered(session)
    silent = bridge is not None and not bridge.datapath_id and settled(idl)
    if silent and answered:  # it could not make the bridge a datapath
        if wanted.datapath_type is None:
            wanted = replace(wanted, datapath_type="netdev")
        else:
            problems.append(
                f"datapath type {wanted.datapath_type} does not work here; "
                + ("load the kernel module openvswitch, or " if wanted.datapath_type == "system" else "")
                + f"overlayctl chassis-set {wanted.chassis.name} --datapath TYPE"
            )
    written: list[str] = []

    def write(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction) -> None:
        write_ours(idl, transaction, wanted)
        if bridge is not None and transaction._txn_rows:
            bridge.verify("external_ids")  # another controller may have it by now, and says so there
            transaction._txn_rows[bridge.uuid] = bridge
        written[:] = _written(transaction)

    session.transact(write)
    marked = (row for table in _MARKED for row in idl.tables[table].rows.values() if is_ours(row))
    idl.ours = frozenset(row.uuid for row in marked)
    done = not written and settled(idl)
    faults = tuple(_faults(bridge, done))
    return Provisioned((*problems, *faults), tuple(written), done and bool(faults or (silent and not answered)))


def _written(transaction: ovs.db.idl.Transaction) -> Iterator[str]:
    """What a transaction changes, but for counters and what only we remember: rows, and columns with what was there."""
    for row in transaction._txn_rows.values():
        table = row._table.name
        name = f"{table} {getattr(row, 'name', '') or getattr(row, 'target', '')}".rstrip()
        if table == "Open_vSwitch" or row._changes is None:
            continue
        if row._data is None:
            yield f"{name} was not there"
            continue
        for gone in (each for keys in row._mutations.get("_removes", {}).values() for each in keys):
            if isinstance(gone, ovs.db.idl.Row):
                yield f"{name} had {gone._table.name} {getattr(gone, 'name', '') or getattr(gone, 'target', '')}"
        for column in sorted(row._changes.keys() - _OPEN):
            was = row._data[column].to_string()
            if column == "external_ids" and MARK[0] not in was:
                yield f"{name}: external_ids had lost {'='.join(MARK)}"
            elif column != "external_ids" and was != row._changes[column].to_string():
                yield f"{name}: {column} was {was}"


def _misfits(idl: ovs.db.idl.Idl, wanted: Wanted, bridge: Any) -> Iterator[str]:
    """What keeps bridges that are there from being connected: the other datapath, and two names for one bridge."""
    here = wanted.datapath_type or (bridge.datapath_type if bridge is not None else "") or "system"
    first: dict[str, str] = {}
    for physical, name in wanted.exits:
        there = find(idl, "Bridge", name)
        kind = (there.datapath_type or "system") if there is not None else here
        if kind != here:
            yield (
                f"bridge {name}, which leads to physical network '{physical}', has the {kind} datapath, {BRIDGE} the "
                f"{here} one: no packet passes from one to the other; ovs-vsctl set bridge {name} datapath_type={here}"
            )
        if first.setdefault(name, physical) != physical:
            yield (
                f"bridge {name} is said to lead to physical networks '{first[name]}' and '{physical}'; "
                f"overlayctl chassis-set {wanted.chassis.name} --bridge NETWORK=BRIDGE, a bridge for each"
            )


def withdraw(session: Session) -> None:
    """Take our tunnel ports and controller from br-int: the chassis leaves the overlay.

    A bridge that loses its last controller loses its flows, so nothing is forwarded any more; the bridge
    and the ports that the operator plugged in stay.
    """
    session.transact(lambda idl, _: remove_ours(idl))


def settled(idl: ovs.db.idl.Idl) -> bool:
    """Whether ovs-vswitchd has done all that its database was told, by us and by anybody who says so."""
    root = next(iter(idl.tables["Open_vSwitch"].rows.values()))
    return bool(root.cur_cfg >= root.next_cfg)


def ask_again(session: Session) -> bool:
    """Have ovs-vswitchd look at all of its database once more, and say anew which ports it has; False: not written.

    It may have said wrongly that it has not: what it writes it compares with what the database had when its last answer
    was still under way, and leaves out what seems to stand there already.
    """

    def write(idl: ovs.db.idl.Idl, _: ovs.db.idl.Transaction) -> None:
        root = next(iter(idl.tables["Open_vSwitch"].rows.values()))
        root.verify("next_cfg")  # who counted meanwhile has asked
        root.next_cfg += 1  # python-ovs' increment() does nothing where nothing else is written

    return session.transact(write)


def _answered(session: Session) -> bool:
    """Whether ovs-vswitchd has done anything that its database was told since we are connected to that.

    What it says of a bridge is gone with the database's server, and what it has done is not: until it answers anew it
    has said nothing.
    """
    idl = session.idl
    root = next(iter(idl.tables["Open_vSwitch"].rows.values()))
    if idl.met[0] != session.connection:
        idl.met = (session.connection, root.cur_cfg)
    return bool(root.cur_cfg > idl.met[1])


def _faults(bridge: Any, done: bool) -> Iterator[str]:
    """What ovs-vswitchd says of our ports that it could not create; where it is `done`, also of their numbers."""
    for port in bridge.ports if bridge is not None else ():
        for interface in port.interfaces:
            if not is_ours(port):
                continue
            number, asked = only(interface.ofport), only(interface.ofport_request)
            if interface.error:
                yield f"interface {interface.name}: {only(interface.error)}"
            elif done and number is not None and asked is not None and number != asked:
                yield f"interface {interface.name}: has port number {number}, and should have {asked}"
