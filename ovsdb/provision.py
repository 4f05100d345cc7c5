"""Makes a chassis what it should be: br-int, tunnel ports, ways to physical networks, the controller. One transaction.

Idempotent: it compares and writes what differs. It touches rows with our mark and no others; where a name
is taken by somebody else it says so and does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

import ovs.db.idl

from flows.model import GRE6, TUNNELS, Chassis, TunnelPort, is_ipv4
from ovsdb import held, marks
from ovsdb.remotes import OPENFLOW_PORT, Ssl, Tcp
from ovsdb.session import Session
from ovsdb.snapshot import BRIDGE, MARK, PHYSICAL, find, is_ours, only

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


_OPEN: Final = frozenset({"datapath_type", "datapath_id"})
"""Columns that are settled only when ovs-vswitchd has tried what they say."""
_MARKED: Final = ("Bridge", "Port", "Interface", "Controller")
"""Tables that have rows of ours."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a chassis is to be. `controllers` are OpenFlow targets by the controller's name; `datapath_type` None leaves
    it to the chassis.

    `exits` are (physical network, bridge) pairs that br-int is to be connected to; `mtus` what the interfaces that
    Open vSwitch itself provides are to be set to, by name. `marks` are the entries of br-int's external_ids by which
    the chassis remembers (`ovsdb.marks`). `sourced`: the flows of its switch say from which VTEP a packet leaves.
    """

    chassis: Chassis
    controllers: Mapping[str, str]
    datapath_type: str | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    exits: tuple[tuple[str, str], ...] = ()
    mtus: Mapping[str, int] = field(default_factory=dict)
    sourced: bool = True


def datapath_id(chassis: str) -> str:
    """The stable datapath id of a chassis' br-int: 16 hexadecimal digits made from its name."""
    return "0e70" + blake2b(chassis.encode(), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True)
class Listens:
    """The TCP ports at which we listen for switches, None where not: without TLS, and with it."""

    plain: int | None = OPENFLOW_PORT
    secure: int | None = None


def controller_target(configured: str | None, local_address: str | None, listens: Listens, secure: bool) -> str:
    """The OpenFlow target a chassis is given: the configured one, else our own address as it sees it.

    With TLS where we offer nothing else, or it reaches us (`secure`: or we it) with TLS already.
    """
    if configured:
        return configured
    address = local_address or "127.0.0.1"
    if listens.secure is not None and (secure or listens.plain is None):
        return str(Ssl(address, listens.secure))
    return str(Tcp(address, listens.plain or OPENFLOW_PORT))


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What stands in the way of a chassis being as wanted, and what was written to make it so, in words.

    `failed`: ovs-vswitchd says of a port of ours that it could not make it, and nothing is left that we could write.
    """

    problems: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    failed: bool = False


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


def provision(session: Session, wanted: Wanted) -> Provisioned:
    """Write what differs.

    Raises TransactionError when the server refuses the transaction.
    """
    idl = session.idl
    bridge = find(idl, "Bridge", BRIDGE)
    if bridge is None and any(find(idl, table, BRIDGE) for table in ("Port", "Interface")):
        return Provisioned((f"{BRIDGE} is the name of a port that is not ours; rename or remove it",))
    if bridge is not None and not is_ours(bridge):
        return Provisioned(
            (
                f"bridge {BRIDGE} is there already and is not ours; remove it, or hand it over: "
                f"ovs-vsctl set bridge {BRIDGE} external_ids:{MARK[0]}={MARK[1]}",
            )
        )
    problems = [
        f"{name} is the name of a port that is not ours; rename or remove it"
        for name in [*(tunnel.name for tunnel in needed(wanted.chassis)), *(name for _, _, name in _ends(wanted))]
        if not _free(idl, name)
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
    if bridge is not None and _lacks_datapath(idl, bridge):
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
        _write(idl, transaction, wanted)
        if bridge is not None and transaction._txn_rows:
            bridge.verify("external_ids")  # another controller may have it by now, and says so there
            transaction._txn_rows[bridge.uuid] = bridge
        written[:] = _written(transaction)

    session.transact(write)
    marked = (row for table in _MARKED for row in idl.tables[table].rows.values() if is_ours(row))
    idl.ours = frozenset(row.uuid for row in marked)
    done = not written and settled(idl)
    faults = tuple(_faults(bridge, done))
    return Provisioned((*problems, *faults), tuple(written), bool(faults) and done)


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

    def write(idl: ovs.db.idl.Idl, _: ovs.db.idl.Transaction) -> None:
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

    session.transact(write)


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


def _lacks_datapath(idl: ovs.db.idl.Idl, bridge: Any) -> bool:
    """Whether ovs-vswitchd has seen the bridge and could not make it a datapath."""
    return not bridge.datapath_id and settled(idl)


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


def needed(chassis: Chassis) -> tuple[TunnelPort, ...]:
    """The tunnel ports that a chassis needs for its VTEPs."""
    families = {(encap, is_ipv4(vtep.ip)) for vtep in chassis.ends for encap in vtep.encaps}
    return tuple(
        tunnel
        for tunnel in TUNNELS
        if any(encap is tunnel.encap and _carries(tunnel, ipv4) for encap, ipv4 in families)
    )


def _carries(tunnel: TunnelPort, ipv4: bool) -> bool:
    """Whether a tunnel port is for an underlay of that family: GRE has one for each."""
    return tunnel.type == "vxlan" or (tunnel is GRE6) != ipv4


def _free(idl: ovs.db.idl.Idl, name: str) -> bool:
    """Whether nobody else has that name for a port."""
    rows = [find(idl, table, name) for table in ("Port", "Interface")]
    return all(row is None or is_ours(row) for row in rows)


def _ends(wanted: Wanted) -> Iterator[tuple[str, str, str]]:
    """The physical network, and the names of a bridge and of our port there, for both ends of each exit."""
    for bridge, physical in {bridge: physical for physical, bridge in reversed(wanted.exits)}.items():
        yield physical, BRIDGE, f"overlay-to-{bridge}"
        yield physical, bridge, f"overlay-of-{bridge}"


def _write(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, wanted: Wanted) -> None:
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
    ends = list(_ends(wanted))
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
            if port is None and _free(idl, place[1]):
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
