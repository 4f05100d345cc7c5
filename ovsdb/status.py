"""What the controller writes into the overlay database: the state of things, never a declaration."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import ovs.db.idl

from flows.bind import Outlet
from flows.model import Neighbor, Plug
from ovsdb import shared
from ovsdb.entries import ACCEPT, TAKE_OVER
from ovsdb.shared import Told

HEARTBEAT_S: Final = 10
"""Seconds between two signs of life that the controller leaves."""
SEEN_S: Final = 30
"""By so much the time at which a neighbor was heard has to differ from what is written, in seconds."""


@dataclass(frozen=True, slots=True)
class ChassisStatus:
    """The columns of a Chassis row that are the controller's; `silent` and `remarks` as they stand there."""

    state: str
    error: str
    datapath: str
    datapath_id: str
    cur_cfg: int
    flows: int
    silent: Mapping[str, str] = field(default_factory=dict)
    impostor: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BindingStatus:
    """A Binding row: the plug as the operator wrote it, and what became of it.

    Of an interface of ours, which leads to a physical network, `physical` is that one's name.
    """

    plug: Plug
    network: str | None
    port: str | None
    up: bool
    error: str
    physical: str | None = None


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """The columns of a Network row that are the controller's: the MTU its tunnels carry in bytes, None while it has
    none, and what is wrong with it."""

    carries: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """A Drop row: packets and octets that flows of one kind have dropped at a chassis, of a network, port and
    interface where the flows are of one. `reason` is the label of the kind."""

    chassis: str
    reason: str
    packets: int
    octets: int
    network: str | None = None
    port: str | None = None
    interface: str | None = None


@dataclass(frozen=True, slots=True)
class Drops:
    """All of them, as of a request (`Declared.drops_asked`)."""

    asked: int
    rows: tuple[Drop, ...] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """A Pending row: a chassis that connected to us and is not declared, and what it says of itself.

    `remembered` are the entries of its br-int that `ovsdb.marks` wrote, `vnis` those of its interfaces.
    """

    name: str
    address: str
    vtep: str | None = None
    ovs_version: str | None = None
    remembered: Mapping[str, str] = field(default_factory=dict)
    vnis: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """Everything the controller has to say.

    `bindings` are by chassis, interface and VLAN tag, 0 for none: an interface has one with 0, and a trunk one for
    each tag besides. Only those of the chassis in `asked` are written: what was last known of the others stands in
    for them and must survive. `seen` is when (seconds since 1970) the neighbor of a network and IP was last heard.
    `networks` are those of which there is anything to say; the others stay as they are. `drops` are fresh counters,
    None while nobody asked. `pending` are the chassis that dialled in and were not accepted; `alarm` is why
    nothing is done, '' while all goes on. `taken_over` are chassis for which that needs not be asked any more;
    `accepted` is the (epoch, nb_cfg) that the database gets now that its state was accepted; `heartbeat` is the
    time, in seconds since 1970. `outlets` are those that are open, or (False) closing. Where several controllers are at
    work, `told` is what this one says of itself, `foreign` are the chassis that are others' to write about, and what
    concerns all of them is written by the one that `leads`.
    """

    chassis: Mapping[str, ChassisStatus]
    bindings: Mapping[tuple[str, str, int], BindingStatus]
    neighbors: tuple[Neighbor, ...]
    cur_cfg: int
    asked: frozenset[str]
    read_cfg: int = 0
    alarm: str = ""
    pending: tuple[Pending, ...] = ()
    taken_over: frozenset[str] = frozenset()
    accepted: tuple[int, int] | None = None
    heartbeat: int = 0
    seen: Mapping[tuple[str, str], int] = field(default_factory=dict)
    networks: Mapping[str, NetworkStatus] = field(default_factory=dict)
    drops: Drops | None = None
    outlets: Mapping[Outlet, bool] = field(default_factory=dict)
    told: Told | None = None
    foreign: frozenset[str] = frozenset()
    leads: bool = True


def write(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, status: Status) -> None:
    """Fill a transaction with what differs from the rows; with nothing when nothing does."""
    _write_chassis(idl, status)
    if status.told is not None:
        shared.write(idl, transaction, status.told)
    _write_totals(idl, transaction, status)
    for row in list(idl.tables["Network"].rows.values()):
        if row.name in status.networks:
            network = status.networks[row.name]
            _fill(row, carries=_optional(network.carries), error=network.error)
    _write_bindings(idl, transaction, status)
    _write_neighbors(idl, transaction, status)
    _write_pending(idl, transaction, status)
    _write_drops(idl, transaction, status)
    if status.told is not None:
        shared.fence(idl, transaction, status.told)


def _write_chassis(idl: ovs.db.idl.Idl, status: Status) -> None:
    for row in list(idl.tables["Chassis"].rows.values()):
        said = status.chassis.get(row.name)
        if said is not None:
            _fill(
                row,
                state=[said.state],
                error=said.error,
                datapath=said.datapath,
                datapath_id=said.datapath_id,
                cur_cfg=said.cur_cfg,
                flows=said.flows,
                silent=dict(said.silent),
                impostor=said.impostor,
                remarks=sorted(said.remarks),
            )
        if row.name in status.taken_over and TAKE_OVER in row.external_ids:
            row.delkey("external_ids", TAKE_OVER)


def _write_totals(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, status: Status) -> None:
    """The one row of Overlay_Global: an alarm by whoever sees a reason for it, all else by the one that leads."""
    for row in list(idl.tables["Overlay_Global"].rows.values()):
        if not status.leads:
            _fill(row, alarm=row.alarm or status.alarm)
            continue
        if abs(status.heartbeat - row.heartbeat) >= HEARTBEAT_S:
            row.heartbeat = status.heartbeat
        _fill(row, cur_cfg=status.cur_cfg, read_cfg=status.read_cfg, alarm=status.alarm)
        if not row.database_id:
            row.database_id = str(uuid.uuid4())
        if status.accepted is not None and ACCEPT in row.options:
            row.verify("epoch")
            row.verify("nb_cfg")
            row.epoch, row.nb_cfg = status.accepted
            row.delkey("options", ACCEPT)
    if not idl.tables["Overlay_Global"].rows:
        row = transaction.insert(idl.tables["Overlay_Global"])
        row.database_id = str(uuid.uuid4())


def _write_bindings(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, status: Status) -> None:
    rows = {(row.chassis, row.interface, row.tag): row for row in idl.tables["Binding"].rows.values()}
    for place, row in rows.items():
        gone = status.leads and place[0] not in status.chassis and place[0] not in status.foreign
        if place not in status.bindings and (place[0] in status.asked or gone):
            row.delete()
    for place, said in status.bindings.items():
        if place[0] not in status.asked:
            continue
        row = rows.get(place)
        if row is None:
            row = transaction.insert(idl.tables["Binding"])
            row.chassis, row.interface, row.tag = place
        plug = said.plug
        _fill(
            row,
            ofport=plug.ofport,
            iface_id=_optional(plug.iface_id),
            vni=_optional(plug.vni),
            attached_mac=_optional(plug.attached_mac),
            overlay_ip=_optional(plug.overlay_ip),
            trunk=_optional(plug.trunk),
            physical=_optional(said.physical),
            network=_optional(said.network),
            port=_optional(said.port),
            up=said.up,
            error=said.error,
        )


def _write_neighbors(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, status: Status) -> None:
    rows = {(row.network, row.ip): row for row in idl.tables["Neighbor"].rows.values()}
    ours = (neighbor for neighbor in status.neighbors if neighbor.chassis not in status.foreign)
    said = {(neighbor.network, neighbor.ip): neighbor for neighbor in ours}
    for key, row in rows.items():
        if key not in said and row.chassis not in status.foreign and (status.leads or row.chassis in status.chassis):
            row.delete()
    for key, neighbor in said.items():
        row = rows.get(key)
        if row is None:
            row = transaction.insert(idl.tables["Neighbor"])
            row.network, row.ip = key
        heard = status.seen.get(key, 0)
        there = (neighbor.mac, neighbor.chassis, neighbor.interface)
        moved = there != tuple(getattr(row, column, None) for column in ("mac", "chassis", "interface"))
        if moved or abs(heard - getattr(row, "seen", 0)) >= SEEN_S:
            row.seen = heard
        _fill(row, mac=neighbor.mac, chassis=neighbor.chassis, interface=neighbor.interface)


def _write_pending(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, status: Status) -> None:
    us = status.told.name if status.told is not None else ""
    rows = {row.name: row for row in idl.tables["Pending"].rows.values()}
    others = status.told.others if status.told is not None else frozenset()
    rows, theirs = (
        {name: row for name, row in rows.items() if (row.controller in others) == them} for them in (False, True)
    )
    said = {pending.name: pending for pending in status.pending}
    for name, row in rows.items():
        if name not in said:
            row.delete()
    for name, pending in said.items():
        row = rows.get(name)
        if name in theirs:
            continue
        if row is None:
            row = transaction.insert(idl.tables["Pending"])
            row.name = name
        _fill(
            row,
            controller=us,
            address=pending.address,
            vtep=_optional(pending.vtep),
            ovs_version=_optional(pending.ovs_version),
            remembered=dict(pending.remembered),
            vnis=dict(pending.vnis),
        )


def _write_drops(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, status: Status) -> None:
    """The rows of our chassis anew, where they answer a request that was not answered yet."""
    totals, drops = next(iter(idl.tables["Overlay_Global"].rows.values()), None), status.drops
    if drops is None or totals is None or not totals.drops_read < drops.asked <= totals.drops_asked:
        return
    chassis = list(idl.tables["Chassis"].rows.values())
    ours = [row for row in chassis if row.name not in status.foreign]
    late = any(row.connected and row.drops_read < drops.asked for row in chassis if row.name in status.foreign)
    if status.leads and not late:
        totals.drops_read = drops.asked
    if ours and all(row.drops_read >= drops.asked for row in ours):
        return
    for row in ours:
        row.drops_read = drops.asked
    for row in list(idl.tables["Drop"].rows.values()):
        if row.chassis not in status.foreign:
            row.delete()
    for drop in drops.rows:
        row = transaction.insert(idl.tables["Drop"])
        row.chassis, row.reason, row.packets, row.octets = drop.chassis, drop.reason, drop.packets, drop.octets
        row.network, row.port, row.interface = map(_optional, (drop.network, drop.port, drop.interface))


def _optional(value: Any) -> list[Any]:
    return [] if value is None else [value]


def _fill(row: Any, **columns: Any) -> None:
    for column, value in columns.items():
        if getattr(row, column, None) != value:
            setattr(row, column, value)
