"""The verbs of chassis: hosts that run OVS."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from controller.cli import conflicts, networks, values, written
from controller.cli.draft import Draft, ref
from controller.cli.errors import CommandError, one_of
from controller.cli.tables import print_row, print_rows
from ovsdb.rpc import Row, as_set, elements, optional

COLUMNS = ("name", "state", "vteps", "encaps", "datapath", "ovsdb", "controller", "flows", "error")
UNDERLAY_MTU = 1500
"""What an underlay carries of which nothing else is said."""
NO_MAP = ("map", ())


def add(draft: Draft, args: Namespace) -> None:
    """`chassis-add`."""
    row: Row = {"name": written.name(args.name, "chassis"), **_columns(args)}
    vteps = _vteps(args, [])
    present = draft.find("Chassis", row["name"]) if args.may_exist else None
    if present is None:
        draft.insert("Chassis", row | {"vteps": as_set(_references(draft, vteps, []))})
        unbridged(draft, row)
        return
    own = _own_vteps(draft, present)
    here = {**present, **_compared(own)}
    wanted = {**row, **_compared(vteps)}
    if differs := conflicts.difference(here, wanted):
        raise CommandError(f"chassis {row['name']!r} exists with {differs}; change it with chassis-set")


def change(draft: Draft, args: Namespace) -> None:
    """`chassis-set`."""
    row = draft.get("Chassis", args.name)
    changes = _columns(args)
    if args.vtep is not None or args.encap is not None or args.vtep_mtu is not None:
        own = _own_vteps(draft, row)
        changes["vteps"] = as_set(_references(draft, _vteps(args, own), own))
    ids = dict(row["external_ids"][1])
    if args.take_over:
        ids["take-over"] = "true"
    if args.openflow_from is not None:
        ids["openflow-from"] = ",".join(written.several(args.openflow_from, written.ip))
    if ids != dict(row["external_ids"][1]):
        changes["external_ids"] = ["map", sorted([key, value] for key, value in ids.items() if value)]
    draft.update("Chassis", row, changes)
    if "bridges" in changes:
        unbridged(draft, {**row, **changes})


def unbridged(draft: Draft, row: Row) -> None:
    """Warns of networks that are to leave the overlay at a chassis, which has no bridge there."""
    for network in draft.where("Network", gateway_chassis=as_set([row["name"]])):
        physical = optional(network["physical"])
        if physical is not None and physical not in dict(row.get("bridges", NO_MAP)[1]):
            draft.say(f"warning: {networks.unbridged(network['name'], row['name'], physical)}")


def accept(draft: Draft, args: Namespace) -> None:
    """`chassis-accept`."""
    pending = draft.find("Pending", args.name)
    if pending is None:
        known = draft.find("Chassis", args.name)
        if known is not None:
            if known["ovsdb"] == f"dial-in:{args.name}" and args.may_exist:
                return
            raise CommandError(f"chassis {args.name!r} is a member already; change it with chassis-set")
        names = [row["name"] for row in draft.read("Pending").values()]
        raise CommandError(
            f"no chassis {args.name!r} asks to join; {one_of(names, args.name)}; on the host: "
            f"ovs-vsctl set-manager tcp:CONTROLLER:6641"
        )
    if args.vtep is None:
        args.vtep = [optional(pending["vtep"]) or _host_of(pending["address"])]
    vteps = _references(draft, _vteps(args, []), [])
    columns = {key: value for key, value in _columns(args).items() if key != "ovsdb"}
    name = written.name(args.name, "chassis")
    draft.insert("Chassis", {"name": name, "ovsdb": f"dial-in:{name}", "vteps": as_set(vteps), **columns})
    draft.say(f"{name}: VTEP {', '.join(written.vteps(args.vtep))}")


def show_one(draft: Draft, args: Namespace) -> None:
    """`chassis-show`."""
    draft.get("Chassis", args.name)
    known = next(row for row in listed(draft) if row["name"] == args.name)
    places = [
        {column: values.plain(None, row[column]) for column in ("interface", "tag", "network", "port", "up", "error")}
        for row in draft.where("Binding", chassis=args.name)
    ]
    print_row(draft, {**known, "interfaces": sorted(places, key=lambda row: (str(row["interface"]), row["tag"]))}, args)


def _host_of(address: str) -> str:
    """The IP of `IP`, `IP:PORT` or `[IPv6]:PORT`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] if address.count(":") == 1 else address


def delete(draft: Draft, args: Namespace) -> None:
    """`chassis-del`."""
    row = draft.find("Chassis", args.name) if args.if_exists else draft.get("Chassis", args.name)
    if row is not None:
        draft.delete("Chassis", row)
        for network in draft.where("Network", gateway_chassis=as_set([args.name])):
            draft.say(
                f"warning: network {network['name']!r} loses its way out of the overlay; "
                f"overlayctl net-set {network['name']} --gateway-chassis CHASSIS"
            )


def show_list(draft: Draft, args: Namespace) -> None:
    """`chassis-list`."""
    draft.load("Chassis", "Vtep")
    rows = [
        {**row, "vteps": row["vteps"] if args.format == "json" else [vtep["ip"] for vtep in row["vteps"]]}
        for row in listed(draft)
    ]
    print_rows(draft, COLUMNS, rows, args)


def listed(draft: Draft) -> list[Row]:
    """The chassis as lists and `show` spell them, by name."""
    draft.load("Chassis", "Vtep")
    vteps = draft.read("Vtep")
    rows = sorted(draft.read("Chassis").values(), key=lambda row: row["name"])
    return [described(row, [vteps[uuid] for uuid in elements(row["vteps"]) if uuid in vteps]) for row in rows]


def described(row: Row, vteps: Sequence[Row]) -> Row:
    """A Chassis row, and those of its VTEPs, as lists and `show` spell them."""
    return {
        "name": row["name"],
        "state": optional(row["state"]) or "new",
        "vteps": [
            {"ip": vtep["ip"], "encaps": offered([vtep]), "mtu": optional(vtep["mtu"]) or UNDERLAY_MTU}
            for vtep in sorted(vteps, key=lambda vtep: written.ip_order(vtep["ip"]))
        ],
        "encaps": offered(vteps),
        "datapath": row["datapath"] or optional(row["datapath_type"]) or written.AUTO,
        "ovsdb": row["ovsdb"],
        "controller": optional(row["controller"]) or written.AUTO,
        "bridges": dict(sorted(row["bridges"][1])),
        "flows": row["flows"],
        "installed": row["cur_cfg"],
        "error": row["error"],
        "impostor": row["impostor"],
        "silent": dict(sorted(row["silent"][1])),
        "remarks": sorted(elements(row["remarks"])),
        "description": row["description"],
        "reported": values.plain(None, row["reported"]),
    }


def offered(vteps: Sequence[Row]) -> list[str]:
    """The encaps that any of these VTEPs offers, in their usual order; a VTEP that names none offers all."""
    named = {encap for vtep in vteps for encap in elements(vtep["encaps"]) or written.ENCAPS}
    return [kind for kind in written.ENCAPS if kind in named]


def _columns(args: Namespace) -> Row:
    spelled: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "ovsdb": ("ovsdb", lambda text: written.ovsdb(text, args.name)),
        "datapath": ("datapath_type", lambda text: as_set(written.datapath(text))),
        "controller": ("controller", lambda text: as_set(written.controller(text))),
        "bridge": (
            "bridges",
            lambda options: ["map", [list(item) for item in sorted(written.bridges(options).items())]],
        ),
        "description": ("description", written.description),
    }
    return {
        column: made(getattr(args, option))
        for option, (column, made) in spelled.items()
        if getattr(args, option) is not None
    }


def _vteps(args: Namespace, present: Sequence[Row]) -> list[Row]:
    """The VTEPs a command asks for: those of `--vtep`, else the present ones; `--encap` is for all that name none.

    One that stays keeps its MTU where no other is given.
    """
    every = as_set(written.encaps(args.encap)) if args.encap is not None else None
    mtus = {vtep["ip"]: vtep["mtu"] for vtep in present}
    if args.vtep is None:
        wanted = {vtep["ip"]: every or vtep["encaps"] for vtep in present}
    else:
        named = written.vteps(args.vtep)
        wanted = {ip: as_set(encaps) if encaps else every or as_set([]) for ip, encaps in named.items()}
    if args.vtep_mtu is not None:
        mtus |= {ip: as_set(mtu) for ip, mtu in written.mtus(args.vtep_mtu, list(wanted)).items()}
    return [{"ip": ip, "encaps": encaps, "mtu": mtus.get(ip, as_set([]))} for ip, encaps in wanted.items()]


def _compared(vteps: Sequence[Row]) -> Row:
    """VTEPs as columns of which one that exists has the same, or not."""
    return {
        "vtep": as_set([vtep["ip"] for vtep in vteps]),
        "encaps": as_set(offered(vteps)),
        "vtep_mtu": as_set([f"{vtep['ip']}={mtu}" for vtep in vteps for mtu in elements(vtep["mtu"])]),
    }


def _own_vteps(draft: Draft, row: Row) -> list[Row]:
    rows = (draft.row("Vtep", uuid) for uuid in elements(row["vteps"]))
    return [vtep for vtep in rows if vtep is not None]


def _references(draft: Draft, wanted: Sequence[Row], present: Sequence[Row]) -> list[Any]:
    """References to a Vtep row per wanted one: those the chassis has, changed where need be, and new ones."""
    kept = {vtep["ip"]: vtep for vtep in present}
    references = []
    for vtep in wanted:
        row = kept.get(vtep["ip"])
        if row is None:
            references.append(ref(draft.insert("Vtep", vtep)))
        else:
            draft.update("Vtep", row, {"encaps": vtep["encaps"], "mtu": vtep["mtu"]})
            references.append(row["_uuid"])
    return references
