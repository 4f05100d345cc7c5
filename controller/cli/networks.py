"""The verbs of networks: layer-2 domains, each of one tenant and with a VNI."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from controller.cli import conflicts, written
from controller.cli.draft import Draft, ref
from controller.cli.errors import CommandError, listed
from controller.cli.tables import print_row, print_rows
from ovsdb.rpc import Row, as_set, elements, optional

if TYPE_CHECKING:
    from flows.ipam import Plan

COLUMNS: Final = ("name", "tenant", "vni", "encap", "ports", "mtu", "carries")
PLANNED: Final = ("subnets", "gateways", "ranges", "excludes")
"""The columns of a network that say which addresses it has."""
OUTSIDE: Final = ("physical", "physical_vlan", "gateway_chassis")
"""The columns of a network that say where it goes on outside of the overlay."""


def add(draft: Draft, args: Namespace) -> None:
    """`net-add`."""
    row: Row = {"name": written.name(args.name, "network"), "encap": "vxlan", **_columns(draft, args)}
    plan({column: row.get(column, as_set([])) for column in PLANNED})
    present = draft.find("Network", row["name"]) if args.may_exist else None
    if present is None:
        uuid = draft.insert("Network", row)
        if row.keys() & set(OUTSIDE):
            outside(draft, draft.row("Network", uuid) or {})
        _asks_somebody(draft, {"gateways": as_set([]), **row}, row)
        return
    here = {**present, "tenant": conflicts.tenant(draft, present)}
    if differs := conflicts.difference(here, {**row, "tenant": args.tenant}):
        raise CommandError(f"network {row['name']!r} exists with {differs}; change it with net-set")


def change(draft: Draft, args: Namespace) -> None:
    """`net-set`."""
    row = draft.get("Network", args.name)
    changes = _columns(draft, args)
    draft.update("Network", row, changes)
    if changes.keys() & set(PLANNED):
        fits(draft, {**row, **changes})
    if changes.keys() & set(OUTSIDE):
        outside(draft, {**row, **changes})
    _asks_somebody(draft, {**row, **changes}, changes)


def _asks_somebody(draft: Draft, row: Row, changes: Row) -> None:
    """Warns where requests are to be sent to gateways, and there are none."""
    asks = {"unknown_neighbor", "gateways"} & changes.keys() and "gateway" in elements(row.get("unknown_neighbor"))
    if asks and not elements(row["gateways"]):
        draft.say(
            f"warning: network {row['name']!r} has no gateway to send requests for unknown neighbors to; "
            f"overlayctl net-set {row['name']} --gateway IP"
        )


def outside(draft: Draft, row: Row) -> None:
    """Returns when a network can go on where it says; CommandError when it can't, or another one is there already."""
    physical, vlan, chassis = (optional(row[column]) for column in OUTSIDE)
    called = f"network {row['name']!r}"
    if physical is None and (chassis is not None or vlan is not None):
        raise CommandError(
            f"{called}: a gateway chassis needs the physical network that it connects to: --physical NAME[:VLAN]; "
            f"without any: --physical none"
        )
    if physical is None:
        return
    if chassis is None:
        raise CommandError(
            f"{called}: physical network {physical!r} needs the one chassis that connects to it: "
            f"--gateway-chassis CHASSIS; without any: --physical none"
        )
    for other in draft.where("Network", physical=row["physical"]):
        if other["_uuid"] != row["_uuid"] and (optional(other["physical_vlan"]) or 0) == (vlan or 0):
            raise CommandError(
                f"VLAN {vlan or 0} of physical network {physical!r} is that of network {other['name']!r}, and the two "
                f"would be one; choose another VLAN, or change that network first"
            )
    draft.hold("Network", "physical_vlan", physical=row["physical"])
    if physical not in dict(draft.get("Chassis", chassis)["bridges"][1]):
        draft.say(f"warning: {unbridged(row['name'], chassis, physical)}")


def unbridged(network: str, chassis: str, physical: str) -> str:
    """That a gateway chassis has no bridge where it should."""
    return (
        f"network {network!r}: its gateway chassis {chassis!r} has no bridge to physical network {physical!r} yet; "
        f"overlayctl chassis-set {chassis} --bridge {physical}=BRIDGE"
    )


def plan(row: Row) -> Plan:
    """Which addresses a network has; CommandError when its columns contradict each other."""
    from flows import ipam

    try:
        return ipam.plan(*(elements(row[column]) for column in PLANNED))
    except ValueError as wrong:
        raise CommandError(f"network {row['name']!r}: {wrong}" if "name" in row else str(wrong)) from None


def fits(draft: Draft, row: Row) -> None:
    """Returns when every address of a network is one of its subnets'; CommandError names the others."""
    from flows import ipam

    ips = [address["ip"] for address in draft.where("Address", network=row["_uuid"])]
    if left := ipam.outside(plan(row), ips):
        holders = listed([f"{ip} ({conflicts.holder(draft, row, ip)})" for ip in left])
        raise CommandError(
            f"network {row['name']!r}: these addresses would be in none of its subnets: {holders}; "
            f"change the ports first (overlayctl port-set PORT --ip IP)"
        )
    draft.hold("Address", "ip", network=row["_uuid"])


def delete(draft: Draft, args: Namespace) -> None:
    """`net-del`."""
    row = draft.find("Network", args.name) if args.if_exists else draft.get("Network", args.name)
    if row is not None:
        remove(draft, row, args.cascade)


def remove(draft: Draft, row: Row, cascade: bool) -> None:
    """Deletes a network, with `cascade` its ports as well."""
    ports = draft.where("Port", network=row["_uuid"])
    if ports and not cascade:
        names = listed([port["name"] for port in ports])
        raise CommandError(
            f"network {row['name']!r} still has ports: {names}; delete them first (overlayctl port-del NAME), "
            f"or all with net-del --cascade"
        )
    # What leads to a physical network is the controller's own, and goes with the network.
    plugged = draft.where("Binding", network=row["name"], port=["set", []], physical=["set", []])
    if plugged:
        # Declared ports are held by the schema; of these the database knows only what the controller saw.
        where = listed([f"{binding['chassis']}/{binding['interface']}" for binding in plugged])
        raise CommandError(
            f"network {row['name']!r} still has undeclared ports: {where}; "
            "unplug them first (ovs-vsctl del-port br-int INTERFACE)"
        )
    for port in ports:
        draft.delete("Port", port)
    draft.delete("Network", row)


def show_list(draft: Draft, args: Namespace) -> None:
    """`net-list`."""
    print_rows(draft, COLUMNS, described(draft), args)


def show_one(draft: Draft, args: Namespace) -> None:
    """`net-show`."""
    from flows import ipam

    row = draft.get("Network", args.name)
    uses = ipam.use(plan(row), [address["ip"] for address in draft.where("Address", network=row["_uuid"])])
    known = next(each for each in described(draft) if each["name"] == args.name)
    from controller.cli.check_mtu import narrowest

    least = narrowest(draft)[row["encap"]]
    known["narrowest"] = f"{least['chassis'][0]} and {least['chassis'][1]}: {least['how']}" if least else None
    known["use"] = [{"subnet": use.subnet, "used": use.used, "free": use.free, "others": use.others} for use in uses]
    print_row(draft, known, args)


def described(draft: Draft) -> list[Row]:
    """The networks as lists spell them, by name."""
    draft.load("Tenant", "Network", "Port")
    owners = draft.read("Tenant")
    members = Counter(port["network"][1] for port in draft.read("Port").values())
    return [
        {
            "name": row["name"],
            "tenant": owners[row["tenant"][1]]["name"],
            "vni": row["vni"],
            "encap": row["encap"],
            "ports": members[uuid],
            **{column: sorted(elements(row[column]), key=written.ip_order) for column in PLANNED},
            "mtu": optional(row["mtu"]),
            "carries": optional(row["carries"]),
            "unknown_unicast": optional(row["unknown_unicast"]) or written.UNKNOWN_UNICAST[0],
            "unknown_neighbor": optional(row["unknown_neighbor"]) or written.UNKNOWN_NEIGHBOR[0],
            "multicast": optional(row["multicast"]) or written.MULTICAST[0],
            "vlan_transparent": optional(row["vlan_transparent"]) is True,
            **{column: optional(row[column]) for column in OUTSIDE},
            "error": row["error"],
            "description": row["description"],
        }
        for uuid, row in sorted(draft.read("Network").items(), key=lambda item: item[1]["name"])
    ]


def _columns(draft: Draft, args: Namespace) -> Row:
    row: Row = {}
    if args.vni is not None:
        row["vni"] = written.vni(args.vni)
    if args.encap is not None:
        row["encap"] = written.encap(args.encap)
    spelled: dict[str, Any] = {
        "subnets": (args.subnet, written.subnet),
        "gateways": (args.gateway, written.ip),
        "ranges": (args.range, written.span),
        "excludes": (args.exclude, written.span),
    }
    for column, (values, made) in spelled.items():
        if values is not None:
            row[column] = as_set(written.several(values, made))
    if args.mtu is not None:
        row["mtu"] = as_set(written.mtu(args.mtu))
    if args.unknown_unicast is not None:
        row["unknown_unicast"] = written.one_of("unknown unicast", args.unknown_unicast, written.UNKNOWN_UNICAST)
    if args.unknown_neighbor is not None:
        row["unknown_neighbor"] = written.one_of("unknown neighbor", args.unknown_neighbor, written.UNKNOWN_NEIGHBOR)
    if args.multicast is not None:
        row["multicast"] = written.one_of("multicast", args.multicast, written.MULTICAST)
    # Empty means no: a row says no more than it has to.
    if args.vlan_transparent is not None:
        transparent = written.switch("vlan-transparent", args.vlan_transparent)
        row["vlan_transparent"] = as_set([True] if transparent else [])
    row |= _outside(args)
    if args.description is not None:
        row["description"] = written.description(args.description)
    if args.tenant is not None:
        row["tenant"] = _owner(draft, args.tenant)
    return row


def _outside(args: Namespace) -> Row:
    row: Row = {}
    if args.physical == written.NONE:
        row = {column: as_set([]) for column in OUTSIDE}
    elif args.physical is not None:
        name, vlan = written.physical(args.physical)
        row = {"physical": as_set([name]), "physical_vlan": as_set(vlan)}
    if args.gateway_chassis is not None:
        none = args.gateway_chassis == written.NONE
        row["gateway_chassis"] = as_set([] if none else [written.name(args.gateway_chassis, "chassis")])
    return row


def _owner(draft: Draft, name: str) -> list[str]:
    """A reference to the tenant of this name, which is made when it is not there."""
    row = draft.find("Tenant", written.name(name, "tenant"))
    if row is not None:
        return list(row["_uuid"])
    uuid = draft.insert("Tenant", {"name": name})
    draft.chosen.add(uuid)  # somebody who makes the same one first is no obstacle
    return ref(uuid)
