"""Rows to frozen values. A row that can't be one is left out and named; it never blocks the others."""

from __future__ import annotations

import ipaddress
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import ovs.db.idl

from flows import model
from flows.bind import Exit, Outlet, Place, is_moving_there
from flows.model import (
    FLOOD_RATE,
    UNDERLAY_MTU,
    Chassis,
    Encap,
    Gateway,
    May,
    Neighbor,
    Network,
    Pair,
    Plug,
    Port,
    UnknownNeighbor,
    Vtep,
)
from ovsdb import entries
from ovsdb.entries import ACCEPT, DIAL_IN, NEIGHBOR_AGE, TAKE_OVER

BRIDGE: Final = "br-int"
"""The one integration bridge of a chassis."""
MARK: Final = ("overlay-managed", "true")
"""The external_ids entry of every row that is ours."""
PHYSICAL: Final = "overlay-physical"
"""The external_ids entry of our interface that leads to a physical network: its name."""


@dataclass(frozen=True, slots=True)
class ChassisRow:
    """A declared chassis and how it is reached: its OVSDB remote, and what the operator fixed about it.

    `details` is the whole of its declaration, as JSON. `takes_over`: it is taken even from another overlay database.
    `controller` is the OpenFlow target it is to use, None for our own address; `datapath_type` None for what the
    chassis can.
    """

    chassis: Chassis
    remote: str
    datapath_type: str | None = None
    controller: str | None = None
    details: str = ""
    takes_over: bool = False

    @property
    def dials_in(self) -> bool:
        """Whether the chassis connects to the controller, and not the other way round."""
        return self.remote.startswith(DIAL_IN)


@dataclass(frozen=True)
class Declared:
    """The overlay database, without what the controller itself writes there.

    `unusable` names the chassis that can't be one, with the reason; `network_faults` the networks of which something
    was left out, with what. `nb_cfg` counts the changes, `epoch` those that deleted something; `database_id` is made
    with the database. `alarm` is the objection that stands there, `accepted` whether an operator has overruled it.
    `drops_asked` counts the requests for fresh counters of what was dropped. `neighbor_age` is after how many seconds
    of silence a learned neighbor is forgotten, None where nothing is said of that.
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
    drops_asked: int = 0
    neighbor_age: int | None = None
    network_faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LastKnown:
    """What controllers wrote down before: plugs, where declared ports were bound (as `bind` takes it), neighbors,
    when (seconds since 1970) each of these (network, IP) was last heard, and the outlets, each with its interface.

    `moving` are those of the places to which a port was moving."""

    plugs: tuple[Plug, ...] = ()
    held: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)
    neighbors: tuple[Neighbor, ...] = ()
    seen: Mapping[tuple[str, str], int] = field(default_factory=dict)
    outlets: tuple[tuple[Outlet, Exit], ...] = ()
    moving: frozenset[Place] = frozenset()


@dataclass(frozen=True)
class Plugged:
    """What a chassis' own database tells: what is plugged in, and whether it reaches the controller.

    `datapath_type` is br-int's. `channel` is what the switch says of its OpenFlow connection, '' where it
    has one. `mark` is the state of the overlay database that it has last seen, as it was written there. `exits` lead
    to physical networks; `internal` are the interfaces that Open vSwitch itself provides. `ours`: the chassis belongs
    to this overlay database; else nothing of it is read or changed. `owner` is what stands there of the controller that
    writes to it, `rows` and `flows` what does of how they were left (`ovsdb.marks`). `mirrors` are br-int's, by name.
    """

    plugs: tuple[Plug, ...] = ()
    datapath_type: str = "system"
    channel: str = ""
    mark: str | None = None
    exits: tuple[Exit, ...] = ()
    internal: frozenset[str] = frozenset()
    ours: bool = True
    owner: str | None = None
    rows: str | None = None
    flows: str | None = None
    mirrors: tuple[str, ...] = ()


def is_marked(row: Any) -> bool:
    """Whether a row carries our mark."""
    return bool(row.external_ids.get(MARK[0]) == MARK[1])


def is_ours(row: Any) -> bool:
    """Whether a row carries our mark, or did when it was last provisioned: somebody may have cleared its column."""
    return is_marked(row) or row.uuid in getattr(row._idl, "ours", ())


def is_our_bridge(bridge: Any) -> bool:
    """Whether br-int is ours: by its mark, or because ports of ours are there and only the mark was taken from it."""
    return is_ours(bridge) or any(port.name != BRIDGE and is_marked(port) for port in bridge.ports)


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
    networks, network_faults = _networks(tables["Network"].rows.values(), chassis)
    faults += [f"network '{name}': {text}" for name, text in network_faults.items()]
    ports: dict[str, Port] = {}
    for row in tables["Port"].rows.values():
        try:
            port = cache.port(row)
            ports[port.name] = port
        except (ValueError, AttributeError) as error:
            faults.append(f"port '{row.name}': {error}")
    for name, text in _misplaced(ports).items():
        faults.append(f"port '{name}': {text}")
        del ports[name]
    totals = _totals(next(iter(tables["Overlay_Global"].rows.values()), None), faults)
    return Declared(
        chassis,
        networks,
        dict(sorted(ports.items())),
        tuple(sorted(faults)),
        unusable,
        network_faults=network_faults,
        **totals,
    )


def _totals(row: Any, faults: list[str]) -> dict[str, Any]:
    """The columns of the one row of Overlay_Global; what is wrong with an option is added to `faults`."""
    if row is None:
        return {}
    columns = ("nb_cfg", "database_id", "epoch", "alarm", "drops_asked")
    found: dict[str, Any] = {column: getattr(row, column) for column in columns}
    found["accepted"] = row.options.get(ACCEPT) == "true"
    wrong = {
        key: text for key in entries.OPTIONS if key in row.options and (text := entries.fault(key, row.options[key]))
    }
    faults += [f"ignored: {text}" for _, text in sorted(wrong.items())]
    if NEIGHBOR_AGE in row.options and NEIGHBOR_AGE not in wrong:
        found["neighbor_age"] = int(row.options[NEIGHBOR_AGE])
    return found


def _chassis(row: Any) -> ChassisRow:
    """The row with all its VTEPs, IPv4 first; ValueError when one is none."""
    vteps = [
        Vtep(
            model.vtep_ip(vtep.ip), frozenset(map(Encap, vtep.encaps)) or frozenset(Encap), only(vtep.mtu, UNDERLAY_MTU)
        )
        for vtep in row.vteps
    ]
    if not vteps:
        raise ValueError(f"it has no VTEP; overlayctl chassis-set {row.name} --vtep IP")
    vteps.sort(key=lambda vtep: (not model.is_ipv4(vtep.ip), ipaddress.ip_address(vtep.ip).packed))
    ends = [
        {"ip": vtep.ip, "encaps": sorted(vtep.encaps), **({"mtu": vtep.mtu[0]} if vtep.mtu else {})}
        for vtep in sorted(row.vteps, key=lambda vtep: str(vtep.ip))
    ]
    beside = _details(row, "datapath_type", "controller", "bridges", "description", "external_ids")
    details = {"ovsdb": row.ovsdb, "vteps": ends, **json.loads(beside or "{}")}
    return ChassisRow(
        Chassis(row.name, tuple(vteps), tuple(sorted(row.bridges.items()))),
        row.ovsdb,
        only(row.datapath_type),
        only(row.controller),
        json.dumps(details, sort_keys=True),
        row.external_ids.get(TAKE_OVER) == "true",
    )


NETWORK_DETAILS: Final = (
    *("subnets", "gateways", "ranges", "excludes", "mtu", "unknown_neighbor", "multicast", "vlan_transparent"),
    *("physical", "physical_vlan", "gateway_chassis", "description", "external_ids"),
)
"""The declared columns of a network that are kept as they are, for who builds a lost database anew."""
PORT_DETAILS: Final = (
    *("allowed_pairs", "security", "may", "flood_rate", "parent", "tag", "service_tag"),
    *("description", "external_ids"),
)
"""The same of a port."""


def _networks(rows: Iterable[Any], chassis: Mapping[str, ChassisRow]) -> tuple[dict[str, Network], dict[str, str]]:
    """The networks by name, and of which of them what was left out."""
    networks: dict[str, Network] = {}
    faults: dict[str, str] = {}
    taken: dict[tuple[str, int], str] = {}
    vnis: dict[int, str] = {}
    for row in sorted(rows, key=lambda row: str(row.name)):
        wrong: list[str] = []
        if vnis.setdefault(row.vni, row.name) != row.name:  # which the database refuses, if its schema is ours
            first = f"VNI {row.vni} is that of network '{vnis[row.vni]}' too, which has it"
            faults[row.name] = f"it is left out: {first}; overlayctl net-set {row.name} --vni VNI"
            continue
        networks[row.name] = Network(
            row.name,
            row.tenant.name,
            row.vni,
            Encap(row.encap),
            only(row.unknown_unicast, "flood") == "drop",
            _details(row, *NETWORK_DETAILS),
            UnknownNeighbor(only(row.unknown_neighbor, UnknownNeighbor.AUTO)),
            only(row.multicast, "flood") == "drop",
            _routers(row, wrong),
            bool(only(row.vlan_transparent, False)),
            only(row.mtu),
            _gateway(row, chassis, taken, wrong),
        )
        if wrong:
            faults[row.name] = "; ".join(wrong)
    return networks, faults


def _routers(row: Any, wrong: list[str]) -> tuple[str, ...]:
    found = []
    for gateway in row.gateways:
        try:
            found.append(model.ip(gateway))
        except ValueError as error:
            wrong.append(f"gateways: {error}")
    return tuple(sorted(found))


def _gateway(
    row: Any, chassis: Mapping[str, ChassisRow], taken: dict[tuple[str, int], str], wrong: list[str]
) -> Gateway | None:
    """The way out of the overlay. Of two networks that would go on in one VLAN the first has it: they would be one."""
    physical, vlan, name = only(row.physical), only(row.physical_vlan, 0), only(row.gateway_chassis)
    if physical is None and name is None:
        return None
    fault = ""
    if physical is None or name is None:
        fault = f"{'gateway_chassis' if physical is None else 'physical'} needs the other one beside it"
        advice = f"overlayctl net-set {row.name} --physical NAME[:VLAN] --gateway-chassis CHASSIS"
    elif name not in chassis:
        fault = f"its gateway chassis '{name}' is not declared"
        advice = f"overlayctl net-set {row.name} --gateway-chassis CHASSIS"
    elif physical not in dict(chassis[name].chassis.bridges):
        fault = f"its gateway chassis '{name}' has no bridge to the physical network '{physical}'"
        advice = f"overlayctl chassis-set {name} --bridge {physical}=BRIDGE"
    elif (physical, vlan) in taken:
        fault = f"VLAN {vlan} of the physical network '{physical}' is that of network '{taken[physical, vlan]}'"
        advice = f"overlayctl net-set {row.name} --physical NAME[:VLAN]"
    if fault:
        wrong.append(f"it has no way out of the overlay: {fault}; {advice}")
        return None
    taken[physical, vlan] = row.name
    return Gateway(physical, vlan, name)


def _port(row: Any) -> Port:
    parent, tag = only(row.parent), only(row.tag, 0)
    if parent is None and (tag or row.service_tag == [True]):
        raise ValueError(f"it has a tag and no parent; overlayctl port-set {row.name} --parent PORT, or --parent none")
    if parent is not None and not tag:
        raise ValueError(f"it has a parent and no tag; overlayctl port-set {row.name} --tag N")
    return Port(
        row.name,
        row.network.name,
        model.mac(row.mac),
        tuple(sorted(model.ip(address.ip) for address in row.addresses)),
        tuple(sorted(model.mac(mac) for mac in row.extra_macs)),
        bool(only(row.enabled, True)),
        _details(row, *PORT_DETAILS),
        bool(only(row.security, True)),
        tuple(sorted(map(_pair, row.allowed_pairs), key=lambda pair: (pair.mac or "", pair.ip))),
        frozenset(map(May, row.may)),
        only(row.flood_rate, FLOOD_RATE),
        parent,
        tag,
        bool(only(row.service_tag, False)),
    )


def _pair(written: str) -> Pair:
    """`IP[/LENGTH]`, or `MAC IP[/LENGTH]`; ValueError when it is none."""
    owner, space, addresses = written.rpartition(" ")
    mac = model.mac(owner) if space else None
    if "/" not in addresses:
        return Pair(model.ip(addresses), mac)
    try:
        net = ipaddress.ip_network(addresses)
    except ValueError as error:
        raise ValueError(f"allowed pair {written!r}: {error}; expected IP[/LENGTH] or MAC IP[/LENGTH]") from None
    # A prefix of one address is that address: equal things are spelled the same.
    return Pair(str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net), mac)


def _misplaced(ports: Mapping[str, Port]) -> dict[str, str]:
    """The ports that can't be behind their parents, and why; each alone."""
    wrong: dict[str, str] = {}
    taken: dict[tuple[str, int], str] = {}
    for name in sorted(name for name, port in ports.items() if port.parent is not None):
        port, parent = ports[name], ports[name].parent or ""
        first = taken.setdefault((parent, port.tag), name)
        if parent not in ports:
            wrong[name] = f"its parent '{parent}' is no port, or none that can be used"
        elif ports[parent].parent is not None:
            wrong[name] = f"its parent '{parent}' is itself behind a parent"
        elif first != name:
            wrong[name] = f"its tag {port.tag} is that of port '{first}' behind '{parent}' already"
        if name in wrong:
            wrong[name] += f"; overlayctl port-set {name} --parent PORT --tag N"
    return wrong


SINGLE: Final = frozenset(
    (
        *("mtu", "unknown_neighbor", "multicast", "vlan_transparent", "physical", "physical_vlan", "gateway_chassis"),
        *("security", "flood_rate", "parent", "tag", "service_tag", "datapath_type", "controller"),
    )
)
"""Columns with at most one value; the others are sets."""


def _details(row: Any, *columns: str) -> str:
    """The columns that hold anything, as JSON; '' where none does."""
    found = {}
    for column in columns:
        value = getattr(row, column)
        if value not in ([], {}, ""):
            found[column] = value[0] if column in SINGLE else sorted(value) if isinstance(value, list) else value
    return json.dumps(found, sort_keys=True) if found else ""


def last_known(idl: ovs.db.idl.Idl) -> LastKnown:
    """What was bound and learned when the controller last wrote it down."""
    # Each row of an interface has all that was written on it.
    plugs: dict[tuple[str, str], Plug] = {}
    bound: dict[str, list[tuple[bool, Place]]] = {}
    outlets = []
    for row in idl.tables["Binding"].rows.values():
        place = (row.chassis, row.interface)
        if row.physical:
            outlet = Outlet(only(row.network, ""), row.chassis, row.physical[0], row.tag)
            outlets.append((outlet, Exit(row.chassis, row.physical[0], row.interface, row.ofport)))
            continue
        plugs[place] = Plug(
            *place,
            row.ofport,
            only(row.iface_id),
            only(row.vni),
            only(row.attached_mac),
            only(row.overlay_ip),
            trunk=only(row.trunk),
        )
        if row.port:
            bound.setdefault(row.port[0], []).append((is_moving_there(row.error), place))
    heard = [
        (Neighbor(row.network, row.ip, row.mac, row.chassis, row.interface), row.seen)
        for row in idl.tables["Neighbor"].rows.values()
    ]
    return LastKnown(
        tuple(plug for _, plug in sorted(plugs.items())),
        {port: tuple(place for _, place in sorted(places)) for port, places in bound.items()},
        tuple(sorted((neighbor for neighbor, _ in heard), key=lambda neighbor: (neighbor.network, neighbor.ip))),
        {(neighbor.network, neighbor.ip): seen for neighbor, seen in heard},
        tuple(sorted(outlets, key=lambda pair: pair[0])),
        frozenset(place for places in bound.values() for moving, place in places if moving),
    )


def plugged(idl: ovs.db.idl.Idl, chassis: str) -> Plugged:
    """What is plugged into br-int of a chassis; nothing while br-int is not there or not ours."""
    bridge = find(idl, "Bridge", BRIDGE)
    if bridge is None or not is_our_bridge(bridge):
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
        owner=bridge.external_ids.get("overlay-owner"),
        rows=bridge.external_ids.get("overlay-rows"),
        flows=bridge.external_ids.get("overlay-flows"),
        mirrors=tuple(sorted(mirror.name for mirror in bridge.mirrors)),
    )


_MEANT: Final = frozenset(
    (
        *("iface-id", "overlay-vni", "overlay-trunk", "attached-mac", "overlay-ip"),
        *("iface_id", "overlay_vni", "overlay_trunk"),
    )
)
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
        ids.get("overlay-trunk"),
    )


def find(idl: ovs.db.idl.Idl, table: str, name: str) -> Any:
    """The row of that name, None when there is none."""
    return next((row for row in idl.tables[table].rows.values() if row.name == name), None)
