"""Rows to frozen values. A row that can't be one is left out and named; it never blocks the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import ovs.db.idl

from flows import model
from flows.model import Chassis, Encap, Neighbor, Network, Plug, Port

BRIDGE: Final = "br-int"
"""The one integration bridge of a chassis."""
MARK: Final = ("overlay-managed", "true")
"""The external_ids entry of every row that is ours."""


@dataclass(frozen=True, slots=True)
class ChassisRow:
    """A declared chassis and how it is reached: its OVSDB remote, and what the operator fixed about it.

    `controller` is the OpenFlow target it is to use, None for our own address; `datapath_type` None for
    what the chassis can.
    """

    chassis: Chassis
    remote: str
    datapath_type: str | None = None
    controller: str | None = None


@dataclass(frozen=True)
class Declared:
    """The overlay database, without what the controller itself writes there."""

    chassis: Mapping[str, ChassisRow] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    ports: Mapping[str, Port] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    nb_cfg: int = 0


@dataclass(frozen=True)
class LastKnown:
    """What the controller wrote down before: plugs, where declared ports were bound, neighbors."""

    plugs: tuple[Plug, ...] = ()
    held: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    neighbors: tuple[Neighbor, ...] = ()


@dataclass(frozen=True)
class Plugged:
    """What a chassis' own database tells: what is plugged in, and whether it reaches the controller.

    `datapath_type` is br-int's. `channel` is what the switch says of its OpenFlow connection, '' where it
    has one.
    """

    plugs: tuple[Plug, ...] = ()
    datapath_type: str = "system"
    channel: str = ""


def is_ours(row: Any) -> bool:
    """Whether a row carries our mark."""
    return bool(row.external_ids.get(MARK[0]) == MARK[1])


def only(values: Any, otherwise: Any = None) -> Any:
    """The one element of an optional column."""
    return values[0] if values else otherwise


def declared(idl: ovs.db.idl.Idl) -> Declared:
    """The declarations in the overlay database."""
    faults: list[str] = []
    tables = idl.tables
    chassis = {row.name: _chassis(row) for row in tables["Chassis"].rows.values()}
    networks = {
        row.name: Network(row.name, row.tenant, row.vni, Encap(row.encap)) for row in tables["Network"].rows.values()
    }
    ports: dict[str, Port] = {}
    for row in sorted(tables["Port"].rows.values(), key=lambda row: str(row.name)):
        try:
            ports[row.name] = Port(
                row.name,
                row.network.name,
                model.mac(row.mac),
                tuple(sorted(model.ip(address.ip) for address in row.addresses)),
            )
        except (ValueError, AttributeError) as error:
            faults.append(f"port '{row.name}': {error}")
    totals = next(iter(tables["Overlay_Global"].rows.values()), None)
    return Declared(
        dict(sorted(chassis.items())),
        dict(sorted(networks.items())),
        ports,
        tuple(faults),
        totals.nb_cfg if totals is not None else 0,
    )


def _chassis(row: Any) -> ChassisRow:
    encaps = frozenset(Encap(encap) for encap in row.encaps) or frozenset(Encap)
    return ChassisRow(Chassis(row.name, row.vtep, encaps), row.ovsdb, only(row.datapath_type), only(row.controller))


def last_known(idl: ovs.db.idl.Idl) -> LastKnown:
    """What was bound and learned when the controller last wrote it down."""
    plugs = []
    held = {}
    for row in idl.tables["Binding"].rows.values():
        plugs.append(
            Plug(
                row.chassis,
                row.interface,
                row.ofport,
                only(row.iface_id),
                only(row.vni),
                only(row.attached_mac),
                only(row.overlay_ip),
            )
        )
        if row.port:
            held[row.port[0]] = (row.chassis, row.interface)
    neighbors = [
        Neighbor(row.network, row.ip, row.mac, row.chassis, row.interface)
        for row in idl.tables["Neighbor"].rows.values()
    ]
    return LastKnown(
        tuple(sorted(plugs, key=lambda plug: (plug.chassis, plug.interface))),
        held,
        tuple(sorted(neighbors, key=lambda neighbor: (neighbor.network, neighbor.ip))),
    )


def plugged(idl: ovs.db.idl.Idl, chassis: str) -> Plugged:
    """What is plugged into br-int of a chassis; nothing while br-int is not there or not ours."""
    bridge = find(idl, "Bridge", BRIDGE)
    if bridge is None or not is_ours(bridge):
        return Plugged()
    plugs = [plug for port in bridge.ports for interface in port.interfaces for plug in _plugs(interface, chassis)]
    channel = ""
    for controller in bridge.controller:
        if is_ours(controller) and not controller.is_connected:
            reason = controller.status.get("last_error", "not connected")
            channel = f"OpenFlow to {controller.target}: {reason}"
    return Plugged(tuple(sorted(plugs, key=lambda plug: plug.interface)), bridge.datapath_type or "system", channel)


_MEANT: Final = {"iface-id", "overlay-vni", "attached-mac", "overlay-ip", "iface_id", "overlay_vni"}
"""Entries of external_ids that say somebody means us, the common slips of the pen included."""


def _plugs(interface: Any, chassis: str) -> Iterator[Plug]:
    ids = interface.external_ids
    if is_ours(interface) or not ids.keys() & _MEANT:
        return
    yield Plug(
        chassis,
        interface.name,
        only(interface.ofport, 0),
        ids.get("iface-id"),
        ids.get("overlay-vni"),
        ids.get("attached-mac"),
        ids.get("overlay-ip"),
        only(interface.error, ""),
    )


def find(idl: ovs.db.idl.Idl, table: str, name: str) -> Any:
    """The row of that name, None when there is none."""
    return next((row for row in idl.tables[table].rows.values() if row.name == name), None)
