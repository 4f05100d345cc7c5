"""The verbs of ports: places where a VM or container plugs in."""

from __future__ import annotations

import os
import random
from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import Any, Final

from controller.cli import conflicts, networks, written
from controller.cli.draft import Draft, ref
from controller.cli.errors import CommandError
from controller.cli.errors import listed as some
from controller.cli.tables import as_json, print_row, print_rows
from ovsdb.rpc import Row, as_set, elements, optional, select, uuid_of

COLUMNS: Final = ("name", "network", "mac", "ips")
FAMILIES: Final = {"auto": (4, 6), "auto4": (4,), "auto6": (6,)}
"""The words for an address that is chosen, and the families they are for: `auto` is for each that has a subnet."""
BEHIND: Final = ("parent", "tag", "service_tag")
"""The columns of a port that say behind which other one it is."""


def add(draft: Draft, args: Namespace) -> None:
    """`port-add`."""
    name = written.name(args.name, "port")
    network = draft.get("Network", args.net)
    present = draft.find("Port", name) if args.may_exist else None
    if present is not None:
        _same(draft, args, present, network)
        return
    row: Row = {"name": name, "network": network["_uuid"], **_columns(args)}
    row["mac"] = _mac(draft, network, args.mac or written.AUTO)
    ips = _ips(draft, network, _wanted(args.ip or ()), ())
    row["addresses"] = as_set(_addresses(draft, network, ips, ()))
    uuid = draft.insert("Port", row)
    unclaimed(draft, network, row, uuid)
    behind(draft, draft.row("Port", uuid) or {})
    _allowed(draft, network, row)
    if args.mac in (None, written.AUTO) or FAMILIES.keys() & set(_wanted(args.ip or ())):
        _tell(draft, args, name, row["mac"], list(ips))


def change(draft: Draft, args: Namespace) -> None:
    """`port-set`."""
    row = draft.get("Port", args.name)
    network = draft.row("Network", row["network"][1]) or {}
    changes = _columns(args)
    if args.mac is not None:
        changes["mac"] = _mac(draft, network, args.mac)
    if args.ip is not None:
        own = own_addresses(draft, row)
        ips = _ips(draft, network, _wanted(args.ip), own)
        changes["addresses"] = as_set(_addresses(draft, network, ips, own))
    draft.update("Port", row, changes)
    if {"mac", "extra_macs"} & changes.keys():
        unclaimed(draft, network, {**row, **changes}, uuid_of(row))
    if changes.keys() & set(BEHIND):
        behind(draft, {**row, **changes})
    if "allowed_pairs" in changes:
        _allowed(draft, network, {**row, **changes})
    if args.mac == written.AUTO or FAMILIES.keys() & set(_wanted(args.ip or ())):
        _tell(draft, args, args.name, changes.get("mac", row["mac"]), list(ips) if args.ip is not None else None)


def delete(draft: Draft, args: Namespace) -> None:
    """`port-del`."""
    row = draft.find("Port", args.name) if args.if_exists else draft.get("Port", args.name)
    if row is not None:
        remove(draft, row)


def remove(draft: Draft, row: Row) -> None:
    """Deletes a port that no others are behind."""
    if children := _children(draft, row["name"]):
        raise CommandError(
            f"port {row['name']!r} has ports behind it: {some(children)}; delete them first "
            f"(overlayctl port-del NAME), or put them elsewhere (overlayctl port-set NAME --parent none)"
        )
    draft.delete("Port", row)


def behind(draft: Draft, row: Row) -> None:
    """Returns when a port is behind none, or can be where it says; CommandError otherwise."""
    parent, tag, service = (optional(row[column]) for column in BEHIND)
    name = row["name"]
    if parent is None:
        if tag is not None or service:
            raise CommandError(
                f"port {name!r}: a tag is what a port has behind another one; name that: --parent PORT, "
                f"or take the tag away: --parent none"
            )
        return
    if tag is None:
        raise CommandError(f"port {name!r} behind {parent!r} needs the tag that its packets have there: --tag 1..4094")
    if parent == name:
        raise CommandError(f"port {name!r} can't be behind itself; name another parent")
    host = draft.get("Port", parent, besides=name)
    if (above := optional(host["parent"])) is not None:
        raise CommandError(f"port {parent!r} is itself behind {above!r}; the parent of {name!r} must be behind none")
    if children := _children(draft, name):
        raise CommandError(f"port {name!r} has ports behind it itself: {some(children)}; move them first")
    for other in draft.where("Port", parent=row["parent"]):
        if other["_uuid"] != row["_uuid"] and optional(other["tag"]) == tag:
            raise CommandError(
                f"tag {tag} behind {parent!r} is taken by port {other['name']!r}; choose another tag, "
                f"or change that port first"
            )
    _apart(draft, row, host)
    draft.hold("Port", "tag", "network", parent=row["parent"])
    draft.hold("Port", "parent", name=parent)


def _apart(draft: Draft, row: Row, host: Row) -> None:
    """Returns when nothing else that comes by the same interface is in the port's network; CommandError otherwise.

    Two VLANs of one trunk in one network would be joined there.
    """
    for other in (host, *draft.where("Port", parent=row["parent"])):
        if other["_uuid"] != row["_uuid"] and other["network"] == row["network"]:
            network = draft.row("Network", row["network"][1]) or {"name": "?"}
            how = "without a tag" if other is host else f"with tag {optional(other['tag'])}"
            raise CommandError(
                f"port {row['name']!r}: {host['name']!r} is in network {network['name']!r} already, {how} "
                f"(port {other['name']!r}); put one of the two in another network or behind another port"
            )


def _children(draft: Draft, name: str) -> list[str]:
    """The names of the ports behind one, which stay these until it is committed."""
    behind_it = sorted(row["name"] for row in draft.where("Port", parent=as_set([name])))
    draft.hold("Port", "name", parent=as_set([name]))
    return behind_it


def show_list(draft: Draft, args: Namespace) -> None:
    """`port-list`."""
    if args.net is not None:
        draft.get("Network", args.net)
    print_rows(draft, COLUMNS, [row for row in listed(draft) if args.net in (None, row["network"])], args)


def show_one(draft: Draft, args: Namespace) -> None:
    """`port-show`."""
    draft.get("Port", args.name)
    known = next(row for row in listed(draft) if row["name"] == args.name)
    # Where it claims to be and is not bound, the interface alone names it; behind a trunk that names the trunk's port.
    claims = [row for row in draft.where("Binding", iface_id=args.name) if not (row["tag"] or elements(row["port"]))]
    places = [
        {column: row[column] for column in ("chassis", "interface", "tag", "up", "error")}
        for row in sorted(
            [*draft.where("Binding", port=args.name), *claims],
            key=lambda row: (row["chassis"], row["interface"], row["tag"]),
        )
    ]
    print_row(draft, {**known, "status": status(known, places), "places": places}, args)


def listed(draft: Draft) -> list[Row]:
    """The ports as lists and `show` spell them, by name."""
    draft.load("Network", "Port", "Address")
    names = {uuid: row["name"] for uuid, row in draft.read("Network").items()}
    ips = {uuid: row["ip"] for uuid, row in draft.read("Address").items()}
    return [
        {
            "name": row["name"],
            "network": names[row["network"][1]],
            "mac": row["mac"],
            "ips": sorted((ips[uuid] for uuid in elements(row["addresses"])), key=written.ip_order),
            "extra_macs": sorted(elements(row["extra_macs"])),
            "allowed_pairs": sorted(elements(row["allowed_pairs"])),
            "security": optional(row["security"]) is not False,
            "enabled": optional(row["enabled"]) is not False,
            "may": sorted(elements(row["may"])),
            "flood_rate": optional(row["flood_rate"]),
            "parent": optional(row["parent"]),
            "tag": optional(row["tag"]),
            "service_tag": optional(row["service_tag"]) is True,
            "description": row["description"],
        }
        for row in sorted(draft.read("Port").values(), key=lambda row: row["name"])
    ]


def status(port: Row, places: Sequence[Row]) -> str:
    """How a port is, in a word: what is wrong anywhere counts before what is well elsewhere."""
    if not port["enabled"]:
        return "disabled"
    if not places:
        return "not plugged in"
    if any(place["error"] for place in places):
        return "problem"
    return "up" if any(place["up"] for place in places) else "down"


def own_addresses(draft: Draft, port: Row) -> list[Row]:
    """The Address rows of a port."""
    rows = (draft.row("Address", uuid) for uuid in elements(port["addresses"]))
    return [row for row in rows if row is not None]


def _columns(args: Namespace) -> Row:
    row: Row = {}
    if args.extra_mac is not None:
        row["extra_macs"] = as_set(written.several(args.extra_mac, written.mac))
    if args.allow is not None:
        pairs = written.several(args.allow, written.pair)
        if wrong := written.too_many_pairs(len(pairs)):
            raise CommandError(wrong)
        row["allowed_pairs"] = as_set(pairs)
    # Empty means yes: a row says no more than it has to.
    if args.security is not None:
        row["security"] = as_set([] if written.switch("security", args.security) else [False])
    if args.enabled is not None:
        row["enabled"] = as_set([] if args.enabled else [False])
    if args.may is not None:
        row["may"] = as_set(written.several(args.may, written.may))
    if args.flood_rate is not None:
        row["flood_rate"] = as_set(written.flood_rate(args.flood_rate))
    if args.parent == written.NONE:
        row |= {column: as_set([]) for column in BEHIND}
    elif args.parent is not None:
        row["parent"] = as_set([written.name(args.parent, "port")])
    if args.tag is not None:
        row["tag"] = as_set([written.tag(args.tag)])
    if args.service_tag is not None:
        row["service_tag"] = as_set([True] if written.switch("service-tag", args.service_tag) else [])
    if args.description is not None:
        row["description"] = written.description(args.description)
    return row


def _same(draft: Draft, args: Namespace, present: Row, network: Row) -> None:
    """Returns when a port that may exist is just what was asked for."""
    name = present["name"]
    if present["network"] != network["_uuid"]:
        raise CommandError(
            f"port {name!r} exists in another network than {args.net!r}; "
            f"delete it there first (overlayctl port-del {name})"
        )
    own = own_addresses(draft, present)
    wanted = {**_columns(args), "ip": as_set(list(_ips(draft, network, _wanted(args.ip or ()), own)))}
    if args.mac not in (None, written.AUTO):
        wanted["mac"] = written.mac(args.mac)
    here = {**present, "ip": as_set([row["ip"] for row in own])}
    if differs := conflicts.difference(here, wanted):
        raise CommandError(f"port {name!r} exists with {differs}; change it with port-set")


def _wanted(options: Sequence[str]) -> list[str]:
    return written.several(options, lambda text: text if text in FAMILIES else written.ip(text))


def _ips(draft: Draft, network: Row, wanted: Sequence[str], present: Sequence[Row]) -> dict[str, bool]:
    """The addresses that are wanted, and whether each was chosen here; where any would do, one that it has stays."""
    fixed = [each for each in wanted if each not in FAMILIES]
    ips = dict.fromkeys(fixed, False)
    if wanted:
        draft.hold("Network", *networks.PLANNED, _uuid=network["_uuid"])
    if not elements(network["subnets"]) and len(fixed) == len(wanted):
        return ips
    from flows import ipam

    plan = networks.plan(network)
    for each in fixed:
        written.checked(lambda text: ipam.belongs(text, plan), each)
    for word in wanted:
        versions = [version for version in FAMILIES.get(word, ()) if word != "auto" or version in plan.versions]
        if word == "auto" and not versions:
            raise CommandError(
                f"network {network['name']!r} has no subnet to take an address from; "
                f"overlayctl net-set {network['name']} --subnet 10.0.0.0/24"
            )
        for version in versions:
            kept = [row["ip"] for row in present if (":" in row["ip"]) == (version == 6) and row["ip"] not in fixed]
            usable = sorted(set(kept) - set(ipam.outside(plan, kept)), key=written.ip_order)
            if usable:
                ips[usable[0]] = False
                continue
            taken = [row["ip"] for row in draft.where("Address", network=network["_uuid"])]
            try:
                ips[ipam.free(plan, version, [*taken, *ips], draft.attempt, random.randrange)] = True
            except ipam.NoneFreeError as full:
                raise CommandError(
                    f"network {network['name']!r}: {full}; give it another subnet or range (overlayctl net-set "
                    f"{network['name']} --subnet ... or --range ...), or delete ports"
                ) from None
    return ips


def _addresses(draft: Draft, network: Row, ips: dict[str, bool], present: Sequence[Row]) -> list[Any]:
    """References to an Address row per IP: those the port has, and new ones. What nothing refers to goes."""
    kept = {row["ip"]: row["_uuid"] for row in present}
    references = []
    for ip, chosen in ips.items():
        if ip in kept:
            references.append(kept[ip])
            continue
        uuid = draft.insert("Address", {"network": network["_uuid"], "ip": ip})
        if chosen:
            draft.chosen.add(uuid)
        references.append(ref(uuid))
    return references


def _mac(draft: Draft, network: Row, wanted: str) -> str:
    """The MAC that was given, or one of those that anybody may use locally (IEEE 802, the second bit)."""
    if wanted != written.AUTO:
        return written.mac(wanted)
    while True:
        mac = ":".join(["02", *(f"{octet:02x}" for octet in os.urandom(5))])
        if not draft.where("Port", network=network["_uuid"], mac=mac):
            return mac


def unclaimed(draft: Draft, network: Row, port: Row, uuid: str) -> None:
    """Returns when no other port of the network has one of this one's MACs beside its own; no index sees that."""
    here = ["network", "==", network["_uuid"]]
    further = elements(port.get("extra_macs", as_set([])))
    asked = [[here, ["extra_macs", "includes", as_set([mac])]] for mac in [port["mac"], *further]]
    asked += [[here, ["mac", "==", mac]] for mac in further]
    found = draft.database.transact([select("Port", where) for where in asked])
    others = [row for row in draft.pending_rows("Port") if row["network"] == network["_uuid"]]
    for where, result in zip(asked, found, strict=True):
        draft.guard("Port", where, ["_uuid"], result["rows"])
        others += [row for read in result["rows"] if (row := draft.row("Port", uuid_of(read))) is not None]
    for other in others:
        theirs = set(elements(other["extra_macs"]))
        both = {other["mac"], *theirs} & set(further) | {port["mac"]} & theirs
        if both and uuid_of(other) != uuid:
            raise CommandError(
                f"MAC {min(both)} is taken by port {other['name']!r} in network {network['name']!r}; "
                f"choose another MAC, or change that port first"
            )


def _allowed(draft: Draft, network: Row, port: Row) -> None:
    """Warns of what is allowed to a port and declared for another one, where it stays."""
    for ip in allowed_ips(elements(port.get("allowed_pairs", as_set([])))):
        if draft.where("Address", network=network["_uuid"], ip=ip):
            owner = conflicts.holder(draft, network, ip)
            if owner != port["name"]:
                draft.say(f"warning: {lent(port['name'], ip, owner)}")


def allowed_ips(pairs: Iterable[str]) -> list[str]:
    """The addresses, not the prefixes, that allowed pairs name."""
    return list(dict.fromkeys(ip for pair in pairs if "/" not in (ip := pair.rpartition(" ")[2])))


def lent(name: str, ip: str, owner: str) -> str:
    """That an address is allowed to a port and declared for another one."""
    return (
        f"address {ip} is allowed to port {name!r} and declared for port {owner!r}, where it stays while that is "
        f"plugged in; to share it, declare it for neither, or for a port that is never plugged in "
        f"(overlayctl port-set {owner} --ip ...)"
    )


def _tell(draft: Draft, args: Namespace, name: str, mac: Any, ips: list[str] | None) -> None:
    """Says what was chosen."""
    if args.format == "json":
        draft.say(as_json({"name": name, "mac": mac} | ({} if ips is None else {"ips": ips})))
    else:
        draft.say(f"{name}: MAC {mac}" + (f", IP {', '.join(ips)}" if ips else ""))
