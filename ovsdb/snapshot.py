"""Rows to frozen values. A row that can't be one is left out and named; it never blocks the others."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import ovs.db.idl

from flows import model
from flows.bind import Exit
from flows.model import Chassis, Encap, Neighbor, Network, Plug, Port
from ovsdb.entries import ACCEPT, DIAL_IN, TAKE_OVER

BRIDGE: Final = "br-int"
"""The one integration bridge of a chassis."""
MARK: Final = ("overlay-managed", "true")
"""The external_ids entry of every row that is ours."""
PHYSICAL: Final = "overlay-physical"
"""The external_ids entry of our interface that leads to a physical network: its name."""


@dataclass(frozen=True, slots=True)
class ChassisRow:
    """A declared chassis and how it is reached: its OVSDB remote, and what the operator fixed about it.

    `fault` says what of its declaration is not done, '' for nothing; `details` is the whole of it, as JSON.
    `takes_over`: it is taken even from another overlay database. `controller` is the OpenFlow target it is
    to use, None for our own address; `datapath_type` None for what the chassis can.
    """

    chassis: Chassis
    remote: str
    datapath_type: str | None = None
    controller: str | None = None
    fault: str = ""
    details: str = ""
    takes_over: bool = False

    @property
    def dials_in(self) -> bool:
        """Whether the chassis connects to the controller, and not the other way round."""
        return self.remote.startswith(DIAL_IN)


@dataclass(frozen=True)
class Declared:
    """The overlay database, without what the controller itself writes there.

    `unusable` names the chassis that can't be one, with the reason. `nb_cfg` counts the changes, `epoch`
    those that deleted something; `database_id` is made with the database. `alarm` is the objection that stands
    there, `accepted` whether an operator has overruled it.
    """

    chassis: Mapping[str, ChassisRow] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    ports: Mapping[str, Port] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    nb_cfg: int = 0
    database_id: str = ""
    epoch: int = 0
    alarm: str = ""
    accepted: bool = False


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
    has one. `mark` is the state of the overlay database that it has last seen, as it was written there. `exits` lead
    to physical networks; `internal` are the interfaces that Open vSwitch itself provides.
    """

    plugs: tuple[Plug, ...] = ()
    datapath_type: str = "system"
    channel: str = ""
    mark: str | None = None
    exits: tuple[Exit, ...] = ()
    internal: frozenset[str] = frozenset()


def is_ours(row: Any) -> bool:
    """Whether a row carries our mark."""
    return bool(row.external_ids.get(MARK[0]) == MARK[1])


def only(values: Any, otherwise: Any = None) -> Any:
    """The one element of an optional column."""
    return values[0] if values else otherwise


class PortCache:
    """Ports read before. Reading a row costs 60 us, and of ten thousand rarely more than one has changed.

    A port's value depends on its own row, its network's name and its addresses' IPs.
    """

    def __init__(self) -> None:
        self._known: dict[uuid.UUID, tuple[Any, Port]] = {}

    def stale(self, table: str, row: uuid.UUID, created: bool) -> None:
        """A row was created, or has changed or gone."""
        if table == "Port":
            self._known.pop(row, None)
        elif table in ("Network", "Address") and not created:
            self._known.clear()

    def port(self, row: Any) -> Port:
        """The port of a row; ValueError or AttributeError when it can't be one."""
        known = self._known.get(row.uuid)
        # After a reconnection the replica may be made of new rows, without a word about each.
        if known is None or known[0] is not row:
            known = self._known[row.uuid] = (row, _port(row))
        return known[1]


def declared(idl: ovs.db.idl.Idl, cache: PortCache | None = None) -> Declared:
    """The declarations in the overlay database."""
    cache = cache if cache is not None else PortCache()
    faults: list[str] = []
    tables = idl.tables
    chassis: dict[str, ChassisRow] = {}
    unusable: dict[str, str] = {}
    for row in sorted(tables["Chassis"].rows.values(), key=lambda row: str(row.name)):
        try:
            chassis[row.name] = _chassis(row)
        except (ValueError, AttributeError) as error:
            unusable[row.name] = str(error)
            faults.append(f"chassis '{row.name}': {error}")
    networks = {
        row.name: Network(
            row.name,
            row.tenant.name,
            row.vni,
            Encap(row.encap),
            only(row.unknown_unicast, "flood") == "drop",
            _details(row, "subnets", "gateways", "ranges", "excludes", "mtu", "description", "external_ids"),
        )
        for row in tables["Network"].rows.values()
    }
    ports: dict[str, Port] = {}
    for row in tables["Port"].rows.values():
        try:
            port = cache.port(row)
            ports[port.name] = port
        except (ValueError, AttributeError) as error:
            faults.append(f"port '{row.name}': {error}")
    return Declared(
        chassis,
        dict(sorted(networks.items())),
        dict(sorted(ports.items())),
        tuple(sorted(faults)),
        unusable,
        *_totals(next(iter(tables["Overlay_Global"].rows.values()), None)),
    )


def _totals(row: Any) -> tuple[Any, ...]:
    if row is None:
        return ()
    return row.nb_cfg, row.database_id, row.epoch, row.alarm, row.options.get(ACCEPT) == "true"


def _chassis(row: Any) -> ChassisRow:
    """The row with its first IPv4 VTEP; ValueError when it has none."""
    vteps = {model.ip(vtep.ip): frozenset(map(Encap, vtep.encaps)) or frozenset(Encap) for vtep in row.vteps}
    usable = sorted(filter(model.is_ipv4, vteps), key=lambda ip: tuple(map(int, ip.split("."))))
    if not usable:
        raise ValueError(
            "no VTEP has an IPv4 address, and IPv6 underlays are not used yet; "
            f"overlayctl chassis-set {row.name} --vtep IP"
        )
    idle = sorted(set(vteps) - {usable[0]})
    fault = f"VTEP {', '.join(idle)}: stored, but only {usable[0]} is used yet" if idle else ""
    ends = [{"ip": ip, "encaps": sorted(map(str, encaps))} for ip, encaps in sorted(vteps.items())]
    beside = _details(row, "datapath_type", "controller", "description", "external_ids")
    details = {"ovsdb": row.ovsdb, "vteps": ends, **json.loads(beside or "{}")}
    return ChassisRow(
        Chassis(row.name, usable[0], vteps[usable[0]]),
        row.ovsdb,
        only(row.datapath_type),
        only(row.controller),
        fault,
        json.dumps(details, sort_keys=True),
        row.external_ids.get(TAKE_OVER) == "true",
    )


def _port(row: Any) -> Port:
    return Port(
        row.name,
        row.network.name,
        model.mac(row.mac),
        tuple(sorted(model.ip(address.ip) for address in row.addresses)),
        tuple(sorted(model.mac(mac) for mac in row.extra_macs)),
        bool(only(row.enabled, True)),
        _details(row, "allowed_pairs", "security", "description", "external_ids"),
    )


def _details(row: Any, *columns: str) -> str:
    """The columns that hold anything, as JSON; '' where none does."""
    found = {}
    for column in columns:
        value = getattr(row, column)
        if value not in ([], {}, ""):
            single = column in ("mtu", "security", "datapath_type", "controller")
            found[column] = value[0] if single else sorted(value) if isinstance(value, list) else value
    return json.dumps(found, sort_keys=True) if found else ""


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
    return Plugged(
        tuple(sorted(plugs, key=lambda plug: plug.interface)),
        bridge.datapath_type or "system",
        channel,
        bridge.external_ids.get("overlay-mark"),
        tuple(
            Exit(chassis, interface.external_ids[PHYSICAL], interface.name, only(interface.ofport, 0))
            for port in sorted(bridge.ports, key=lambda port: str(port.name))
            for interface in port.interfaces
            if is_ours(interface) and PHYSICAL in interface.external_ids
        ),
        frozenset(i.name for port in bridge.ports for i in port.interfaces if i.type == "internal" and not is_ours(i)),
    )


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
