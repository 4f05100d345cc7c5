"""Our rows in a chassis' database: what differs from what is wanted is written, as part of a transaction.

Rows with our mark are touched and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import ovs.db.idl

from flows.model import TunnelPort
from ovsdb import held, marks
from ovsdb.snapshot import BRIDGE, MARK, PHYSICAL, find, is_ours, only
from ovsdb.wanted import Wanted, datapath_id, exit_ports, needed

PROTOCOLS: Final = ("OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15")
"""What br-int speaks: 1.4 with us, the others so that plain `ovs-ofctl` goes on working."""
PACKET_INS: Final = (200, 400)
"""Packets per second, and burst, that a chassis may send to the controller."""
OURS: Final = "overlay-"
"""What the names of our ports begin with, but for br-int's own."""
MTU: Final = "overlay-mtu"
"""The entry of an interface's external_ids that holds the MTU that we asked for."""
NAME: Final = "overlay-controller"
"""The entry of a Controller row's external_ids that says whose target it is."""
MAX_BACKOFF_MS: Final = 1000
"""The longest a switch waits before it tries the controller again."""


def fingerprint(wanted: Wanted) -> str:
    """What a chassis' rows follow from, in 16 hexadecimal digits: the same while nothing else is wanted of them."""
    rows = (
        datapath_id(wanted.chassis.name),
        [tunnel.name for tunnel in needed(wanted.chassis)],
        sorted(wanted.controllers.items()),
        wanted.datapath_type,
        wanted.exits,
        sorted(wanted.mtus.items()),
        *(getattr(held, table) for table in held.__all__),
    )
    return blake2b(repr(rows).encode(), digest_size=8).hexdigest()


def write_ours(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, wanted: Wanted) -> None:
    """The whole of it; what is as it should be is not written, so the transaction may well be empty."""
    root = next(iter(idl.tables["Open_vSwitch"].rows.values()))
    bridge = find(idl, "Bridge", BRIDGE)
    changed = bridge is None
    if bridge is None:
        bridge = transaction.insert(idl.tables["Bridge"])
        bridge.name = BRIDGE
        root.addvalue("bridges", bridge)
    elif wanted.datapath_type not in (None, bridge.datapath_type):
        # ovs-vswitchd leaves the old value where it can't make the new datapath; empty, it tells.
        bridge.datapath_id = []
    ours = _now(bridge, "external_ids", {}).get(MARK[0]) == MARK[1]
    there = not changed
    changed |= _fill(bridge, _bridge_columns(wanted, bridge))
    if there:
        changed |= _fill(bridge, {**held.BRIDGE, "flow_tables": held.flow_tables(bridge.flow_tables)})
    if ours:
        _remember(bridge, wanted.marks)  # by entry, so that an operator's entries written meanwhile stay
    changed |= _write_ports(idl, transaction, bridge, wanted)
    changed |= _write_controllers(idl, transaction, bridge, wanted)
    if changed:
        transaction.add_comment(f"overlay: provision chassis {wanted.chassis.name}")
        root.increment("next_cfg")


def remove_ours(idl: ovs.db.idl.Idl) -> None:
    """Take our ports, controllers and entries away; br-int stays, and whatever is plugged in there."""
    bridge = find(idl, "Bridge", BRIDGE)
    if bridge is None or not is_ours(bridge):
        return
    for controller in list(bridge.controller):  # while there is any, the flows stay
        bridge.delvalue("controller", controller)
    for port in filter(is_ours, list(bridge.ports)):
        if port.name != BRIDGE:
            bridge.delvalue("ports", port)
    for other in idl.tables["Bridge"].rows.values():
        for port in filter(is_ours, list(other.ports) if other.name != BRIDGE else []):
            other.delvalue("ports", port)
    _write_mtus(bridge, {})
    _remember(bridge, {})
    next(iter(idl.tables["Open_vSwitch"].rows.values())).increment("next_cfg")


def is_free(idl: ovs.db.idl.Idl, name: str) -> bool:
    """Whether nobody else has that name for a port."""
    rows = [find(idl, table, name) for table in ("Port", "Interface")]
    return all(row is None or is_ours(row) for row in rows)


def _remember(bridge: Any, wanted: Mapping[str, str]) -> None:
    """Make our entries of br-int's external_ids these; ovs-vswitchd has nothing to do for them."""
    now = _now(bridge, "external_ids", {})
    for key in now:
        if marks.is_ours(key) and key not in wanted:
            bridge.delkey("external_ids", key)
    for key, value in wanted.items():
        if now.get(key) != value:
            bridge.setkey("external_ids", key, value)


def _write_ports(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, bridge: Any, wanted: Wanted) -> bool:
    """The bridge's own port, the tunnels' and those to physical networks; whether anything was written."""
    ports: dict[tuple[str, str], Mapping[str, Any]] = {(BRIDGE, BRIDGE): {"type": "internal"}}
    for tunnel in needed(wanted.chassis):
        ports[BRIDGE, tunnel.name] = _tunnel_columns(tunnel, "flow" if wanted.sourced else _local_ip(idl, tunnel))
    ends = list(exit_ports(wanted))
    for (physical, on, name), (_, _, peer) in zip(ends, [ends[place ^ 1] for place in range(len(ends))], strict=True):
        ids = dict([MARK]) | ({PHYSICAL: physical} if on == BRIDGE else {})
        ports[on, name] = {"type": "patch", "options": {"peer": peer}, "external_ids": ids}
    bridges = {row.name: row for row in idl.tables["Bridge"].rows.values()} | {BRIDGE: bridge}
    changed = False
    for name, on in sorted(bridges.items()):
        there = {port.name: port for port in _now(on, "ports", [])}
        for port_name, port in there.items():
            if (name, port_name) not in ports and port_name.startswith(OURS) and is_ours(port):
                on.delvalue("ports", port)
                changed = True
        for place, columns in ports.items():
            port = there.get(place[1])
            if place[0] != name:
                continue
            if port is None and is_free(idl, place[1]):
                on.addvalue("ports", _insert_port(idl, transaction, place[1], columns))
                changed = True
            elif port is not None and place[1] == BRIDGE:
                changed |= _fill_port(idl, transaction, port, held.PORT, {**columns, **held.LOCAL})
            elif port is not None and is_ours(port):
                marked: dict[str, Any] = {"external_ids": {**port.external_ids, **dict([MARK])}}
                changed |= _fill_port(idl, transaction, port, held.PORT | marked, {**columns, **held.INTERFACE})
    return _write_mtus(bridge, wanted.mtus) or changed


def _write_mtus(bridge: Any, wanted: Mapping[str, int]) -> bool:
    """Ask for the MTUs of interfaces that are not ours, where nobody else does; whether anything was written.

    What we asked for stands in external_ids, so that it is known for ours, and an operator's own request is left alone.
    """
    changed = False
    for port in _now(bridge, "ports", []):
        for interface in port.interfaces:
            if _now(interface, "type", "") != "internal" or interface.name == BRIDGE:
                continue
            ours = interface.external_ids.get(MTU)
            if is_ours(interface) or (interface.mtu_request and str(only(interface.mtu_request)) != ours):
                continue
            mtu = wanted.get(interface.name)
            if mtu is None and ours is not None:
                interface.mtu_request = []
                interface.delkey("external_ids", MTU)
            elif mtu is not None and (ours != str(mtu) or not interface.mtu_request):
                interface.mtu_request = [mtu]
                interface.setkey("external_ids", MTU, str(mtu))
            else:
                continue
            changed = True
    return changed


def _write_controllers(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, bridge: Any, wanted: Wanted) -> bool:
    """A row for each controller, changed in place: a bridge that loses its last controller loses its flows.

    Somebody else's could do anything there, and would keep the flows of a chassis that leaves: br-int has ours alone.
    """
    there: dict[str, Any] = {}
    free, foreign = [], []
    for row in _now(bridge, "controller", []):
        if not is_ours(row):
            foreign.append(row)
        else:
            name = row.external_ids.get(NAME, "")
            if name in wanted.controllers and name not in there:
                there[name] = row
            else:
                free.append(row)
    changed = False
    for name, target in sorted(wanted.controllers.items()):
        row = there.get(name)
        if row is None and free:
            row = free.pop(0)
        elif row is None:
            row = transaction.insert(idl.tables["Controller"])
            bridge.addvalue("controller", row)
            changed = True
        else:
            changed |= _fill(row, held.CONTROLLER)
        columns = _controller_columns(name, target)
        ids = {**_now(row, "external_ids", {}), **columns["external_ids"]}
        changed |= _fill(row, {**columns, "external_ids": ids})
    for surplus in (*free, *foreign):
        bridge.delvalue("controller", surplus)
    return changed or bool(free) or bool(foreign)


def _bridge_columns(wanted: Wanted, bridge: Any) -> dict[str, Any]:
    """The columns of br-int. Entries of a map that are somebody else's stay."""
    columns: dict[str, Any] = {
        "fail_mode": ["secure"],
        "protocols": sorted(PROTOCOLS),
        "other_config": {
            **held.other_config(_now(bridge, "other_config", {})),
            "datapath-id": datapath_id(wanted.chassis.name),
            "disable-in-band": "true",
        },
    }
    if _now(bridge, "external_ids", {}).get(MARK[0]) != MARK[1]:
        columns["external_ids"] = {**_now(bridge, "external_ids", {}), **dict([MARK]), **wanted.marks}
    if wanted.datapath_type is not None:
        columns["datapath_type"] = wanted.datapath_type
    return columns


def _local_ip(idl: ovs.db.idl.Idl, tunnel: TunnelPort) -> str:
    """What a tunnel port has that is there already, from an earlier version perhaps."""
    interface = find(idl, "Interface", tunnel.name)
    return str(interface.options.get("local_ip", "flow")) if interface is not None else "flow"


def _tunnel_columns(tunnel: TunnelPort, local_ip: str) -> dict[str, Any]:
    """Packets leave from the VTEP that the flow says, once every flow does: no other is sure to be used.

    A `local_ip` of its own Open vSwitch (userspace) does not heed over IPv6, where it takes the interface's newest
    address; and one that is changed is not changed at the same moment as the flows.
    """
    return {
        "type": tunnel.type,
        "options": {"remote_ip": "flow", "key": "flow", "local_ip": local_ip},
        "ofport_request": [tunnel.ofport],
        "external_ids": dict([MARK]),
    }


def _controller_columns(name: str, target: str) -> dict[str, Any]:
    return {
        "target": target,
        "connection_mode": ["out-of-band"],
        "max_backoff": [MAX_BACKOFF_MS],
        "controller_rate_limit": [PACKET_INS[0]],
        "controller_burst_limit": [PACKET_INS[1]],
        "external_ids": {**dict([MARK]), NAME: name},
    }


def _insert_port(
    idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, name: str, columns: Mapping[str, Any]
) -> Any:
    interface = transaction.insert(idl.tables["Interface"])
    interface.name = name
    _fill(interface, columns)
    port = transaction.insert(idl.tables["Port"])
    port.name = name
    port.interfaces = [interface]
    port.external_ids = dict([MARK])
    return port


def _fill_port(
    idl: ovs.db.idl.Idl,
    transaction: ovs.db.idl.Transaction,
    port: Any,
    columns: Mapping[str, Any],
    interface_columns: Mapping[str, Any],
) -> bool:
    """Make a port that is there, and its one interface, so; whether anything was written."""
    changed = _fill(port, columns)
    own = find(idl, "Interface", port.name)
    if own is None:
        own = transaction.insert(idl.tables["Interface"])
        own.name = port.name
    ids = {**_now(own, "external_ids", {}), **interface_columns.get("external_ids", {})}
    changed |= _fill(own, {**interface_columns, "external_ids": ids})
    if [each.uuid for each in port.interfaces] != [own.uuid]:
        port.interfaces = [own]
        changed = True
    return changed


def _fill(row: Any, columns: Mapping[str, Any]) -> bool:
    """Write the columns that differ; whether any did."""
    changed = False
    for column, value in columns.items():
        now = _now(row, column, None)
        if (sorted(now) if isinstance(now, list) else now) != value:
            setattr(row, column, value)
            changed = True
    return changed


def _now(row: Any, column: str, otherwise: Any) -> Any:
    """A column's value; a row that is being inserted has no values but those written."""
    return getattr(row, column, otherwise)
