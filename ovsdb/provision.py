"""Makes a chassis what it should be: br-int, a tunnel port for each encap, the controller. One transaction.

Idempotent: it compares and writes what differs. It touches rows with our mark and no others; where a name
is taken by somebody else it says so and does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

import ovs.db.idl

from flows.model import TUNNEL_NAMES, TUNNEL_OFPORTS, Chassis, Encap
from ovsdb import marks
from ovsdb.remotes import OPENFLOW_PORT, Ssl, Tcp
from ovsdb.session import Session
from ovsdb.snapshot import BRIDGE, MARK, find, is_ours, only

PROTOCOLS: Final = ("OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15")
"""What br-int speaks: 1.4 with us, the others so that plain `ovs-ofctl` goes on working."""
PACKET_INS: Final = (200, 400)
"""Packets per second, and burst, that a chassis may send to the controller."""
MAX_BACKOFF_MS: Final = 1000
"""The longest a switch waits before it tries the controller again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a chassis is to be. `datapath_type` None leaves it to the chassis.

    `marks` are the entries of br-int's external_ids by which the chassis remembers (`ovsdb.marks`).
    """

    chassis: Chassis
    controller: str
    datapath_type: str | None = None
    marks: Mapping[str, str] = field(default_factory=dict)


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


def provision(session: Session, wanted: Wanted) -> tuple[str, ...]:
    """Write what differs; returns what stands in the way, in words.

    Raises TransactionError when the server refuses the transaction.
    """
    idl = session.idl
    bridge = find(idl, "Bridge", BRIDGE)
    if bridge is None and any(find(idl, table, BRIDGE) for table in ("Port", "Interface")):
        return (f"{BRIDGE} is the name of a port that is not ours; rename or remove it",)
    if bridge is not None and not is_ours(bridge):
        return (
            f"bridge {BRIDGE} is there already and is not ours; remove it, or hand it over: "
            f"ovs-vsctl set bridge {BRIDGE} external_ids:{MARK[0]}={MARK[1]}",
        )
    problems = [
        f"{TUNNEL_NAMES[encap]} is the name of a port that is not ours; rename or remove it"
        for encap in sorted(wanted.chassis.encaps)
        if not _free(idl, encap)
    ]
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
    session.transact(lambda idl, transaction: _write(idl, transaction, wanted))
    return (*problems, *_faults(bridge))


def withdraw(session: Session) -> None:
    """Take our tunnel ports and controller from br-int: the chassis leaves the overlay.

    A bridge that loses its last controller loses its flows, so nothing is forwarded any more; the bridge
    and the ports that the operator plugged in stay.
    """

    def write(idl: ovs.db.idl.Idl, _: ovs.db.idl.Transaction) -> None:
        bridge = find(idl, "Bridge", BRIDGE)
        if bridge is None or not is_ours(bridge):
            return
        for controller in filter(is_ours, list(bridge.controller)):
            bridge.delvalue("controller", controller)
        for port in filter(is_ours, list(bridge.ports)):
            if port.name != BRIDGE:
                bridge.delvalue("ports", port)
        _remember(bridge, {})

    session.transact(write)


def settled(idl: ovs.db.idl.Idl) -> bool:
    """Whether ovs-vswitchd has done all that its database was told, by us and by anybody who says so."""
    root = next(iter(idl.tables["Open_vSwitch"].rows.values()))
    return bool(root.cur_cfg >= root.next_cfg)


def _lacks_datapath(idl: ovs.db.idl.Idl, bridge: Any) -> bool:
    """Whether ovs-vswitchd has seen the bridge and could not make it a datapath."""
    return not bridge.datapath_id and settled(idl)


def _faults(bridge: Any) -> Iterator[str]:
    """What ovs-vswitchd says of our ports that it could not create."""
    for port in bridge.ports if bridge is not None else ():
        for interface in port.interfaces:
            if is_ours(port) and interface.error:
                yield f"interface {interface.name}: {only(interface.error)}"


def _free(idl: ovs.db.idl.Idl, encap: Encap) -> bool:
    """Whether nobody else has the name of that encap's tunnel port."""
    rows = [find(idl, table, TUNNEL_NAMES[encap]) for table in ("Port", "Interface")]
    return all(row is None or is_ours(row) for row in rows)


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
    changed |= _fill(bridge, _bridge_columns(wanted, bridge))
    if ours:
        _remember(bridge, wanted.marks)  # by entry, so that an operator's entries written meanwhile stay
    changed |= _write_ports(idl, transaction, bridge, wanted)
    changed |= _write_controller(idl, transaction, bridge, wanted)
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
    """The bridge's own port and the tunnels'; whether anything was written."""
    changed = False
    ports = {port.name: port for port in _now(bridge, "ports", [])}
    if BRIDGE not in ports:
        bridge.addvalue("ports", _insert_port(idl, transaction, BRIDGE, {"type": "internal"}))
        changed = True
    for encap in sorted(Encap):
        name = TUNNEL_NAMES[encap]
        columns = _interface_columns(wanted, encap)
        port = ports.get(name)
        if encap not in wanted.chassis.encaps:
            if port is not None and is_ours(port):
                bridge.delvalue("ports", port)
                changed = True
        elif port is None and _free(idl, encap):
            bridge.addvalue("ports", _insert_port(idl, transaction, name, columns))
            changed = True
        elif port is not None and is_ours(port):
            for interface in port.interfaces:
                changed |= _fill(interface, columns)
    return changed


def _write_controller(idl: ovs.db.idl.Idl, transaction: ovs.db.idl.Transaction, bridge: Any, wanted: Wanted) -> bool:
    """Our controller row, changed in place: a bridge that loses its last controller loses its flows."""
    ours = [row for row in _now(bridge, "controller", []) if is_ours(row)]
    changed = len(ours) != 1
    if not ours:
        ours = [transaction.insert(idl.tables["Controller"])]
        bridge.addvalue("controller", ours[0])
    for surplus in ours[1:]:
        bridge.delvalue("controller", surplus)
    return _fill(ours[0], _controller_columns(wanted)) or changed


def _bridge_columns(wanted: Wanted, bridge: Any) -> dict[str, Any]:
    """The columns of br-int. Entries of a map that are somebody else's stay."""
    columns: dict[str, Any] = {
        "fail_mode": ["secure"],
        "protocols": sorted(PROTOCOLS),
        "other_config": {
            **_now(bridge, "other_config", {}),
            "datapath-id": datapath_id(wanted.chassis.name),
            "disable-in-band": "true",
        },
    }
    if _now(bridge, "external_ids", {}).get(MARK[0]) != MARK[1]:
        columns["external_ids"] = {**_now(bridge, "external_ids", {}), **dict([MARK]), **wanted.marks}
    if wanted.datapath_type is not None:
        columns["datapath_type"] = wanted.datapath_type
    return columns


def _interface_columns(wanted: Wanted, encap: Encap) -> dict[str, Any]:
    return {
        "type": str(encap),
        "options": {"remote_ip": "flow", "key": "flow", "local_ip": wanted.chassis.vtep},
        "ofport_request": [TUNNEL_OFPORTS[encap]],
        "external_ids": dict([MARK]),
    }


def _controller_columns(wanted: Wanted) -> dict[str, Any]:
    return {
        "target": wanted.controller,
        "connection_mode": ["out-of-band"],
        "max_backoff": [MAX_BACKOFF_MS],
        "controller_rate_limit": [PACKET_INS[0]],
        "controller_burst_limit": [PACKET_INS[1]],
        "external_ids": dict([MARK]),
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
