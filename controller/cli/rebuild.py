"""`rebuild`: an overlay database that was lost, built anew from what the chassis remember.

Three sources, in this order of trust: what the controller wrote on each chassis (`ovsdb.marks`), the remotes
that the operator names now, and what stands on interfaces that joined by VNI. The first half reads, the second
is pure: what was found in, rows out.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from controller.cli import written
from controller.cli.draft import Draft, ref
from controller.cli.errors import CommandError, listed
from ovsdb import marks, rpc
from ovsdb.entries import DIAL_IN
from ovsdb.marks import Mark, Remembered, remembered
from ovsdb.rpc import Row, as_set

DECLARED: Final = ("Chassis", "Port", "Network", "Tenant")
LOST_TENANT: Final = "recovered"
"""The tenant of networks of which only the VNI is known."""
SETS: Final = {
    "Network": (
        *("subnets", "gateways", "ranges", "excludes", "mtu", "unknown_unicast", "unknown_neighbor", "multicast"),
        *("vlan_transparent", "physical", "physical_vlan", "gateway_chassis"),
    ),
    "Port": (
        *("extra_macs", "allowed_pairs", "security", "enabled", "may", "flood_rate", "parent", "tag", "service_tag"),
    ),
    "Chassis": ("datapath_type", "controller"),
}
MAPS: Final = ("external_ids", "bridges")
TEXTS: Final = ("description",)


@dataclass(frozen=True)
class Found:
    """What one chassis tells: where it was asked, its name, its marks, and the VNIs on its interfaces."""

    remote: str
    name: str
    told: Remembered
    vnis: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recovered:
    """What all of them tell together: rows by name, the latest mark, and what should be looked at."""

    chassis: Mapping[str, Mapping[str, Any]]
    networks: Mapping[str, Mapping[str, Any]]
    ports: Mapping[str, Mapping[str, Any]]
    mark: Mark | None
    notes: tuple[str, ...]


def rebuild(draft: Draft, args: Namespace) -> None:
    """`rebuild`."""
    there = [f"{len(rows)} {table.lower()} rows" for table in DECLARED if (rows := draft.read(table))]
    if there:
        raise CommandError(
            f"the overlay database is not empty ({', '.join(there)}); rebuild fills an empty one only: "
            "move its file away and start the controller anew"
        )
    found: list[Found] = []
    for remote in dict.fromkeys(part.strip() for remotes in args.from_chassis for part in remotes.split(",")):
        found += dialled_in(draft) if remote == DIAL_IN.rstrip(":") else [ask(written.ovsdb(remote, ""))]
    recovered = recover(found)
    if not recovered.chassis:
        raise CommandError("no chassis that was asked remembers an overlay; nothing to rebuild from")
    _write(draft, recovered)
    for note in recovered.notes:
        draft.say(f"note: {note}")
    draft.say(
        f"rebuilt from {len(found)} chassis: {len(recovered.networks)} networks, {len(recovered.ports)} ports "
        "(declared ports that were not plugged in anywhere are not known to any chassis)"
    )


def ask(remote: str) -> Found:
    """What the chassis behind a remote tells; CommandError when it can't be asked."""
    try:
        with rpc.connect(remote, "Open_vSwitch") as chassis:
            roots = chassis.select("Open_vSwitch")
            entries, vnis = marks.ask(chassis)
    except rpc.DatabaseError as failure:
        raise CommandError(f"chassis at {remote} can't be asked: {failure}") from None
    told = remembered(entries)
    system_id = rpc.mapping(roots[0]["external_ids"]).get("system-id", "") if roots else ""
    return Found(remote, str((told.chassis or {}).get("name") or system_id), told, vnis)


def dialled_in(draft: Draft) -> list[Found]:
    """What the chassis tell that dialled in and are pending: the controller has asked them."""
    found = [
        Found(DIAL_IN + row["name"], row["name"], remembered(rpc.mapping(row["remembered"])), rpc.mapping(row["vnis"]))
        for row in draft.read("Pending").values()
    ]
    if not found:
        raise CommandError("no chassis has dialled in and is pending; overlayctl pending-list")
    return sorted(found, key=lambda each: each.name)


def recover(found: Sequence[Found]) -> Recovered:
    """What follows from what all chassis tell; where two differ, the one that has seen the later state is right.

    Raises CommandError when they belong to different overlay databases.
    """
    notes = [f"chassis {each.name or each.remote}: {fault}" for each in found for fault in each.told.faults]
    ids = {each.told.mark.database_id for each in found if each.told.mark is not None}
    if len(ids) > 1:
        owners = [f"{each.name} ({each.told.mark.database_id})" for each in found if each.told.mark is not None]
        raise CommandError(f"these chassis belong to different overlay databases: {listed(owners)}; name those of one")
    chassis: dict[str, Mapping[str, Any]] = {}
    networks: dict[str, Mapping[str, Any]] = {}
    ports: dict[str, Mapping[str, Any]] = {}
    for each in sorted(found, key=_age):
        if each.told.chassis is None:
            notes.append(
                f"chassis at {each.remote} remembers nothing; overlayctl chassis-add NAME {each.remote} --vtep IP"
            )
            continue
        dials_in = str(each.told.chassis.get("ovsdb", "")).startswith(DIAL_IN)
        chassis[each.name] = {**each.told.chassis, "ovsdb": DIAL_IN + each.name if dials_in else each.remote}
        for kind, rows, told in (("network", networks, each.told.networks), ("port", ports, each.told.ports)):
            for name, row in told.items():
                if name in rows and rows[name] != row:
                    notes.append(f"{kind} {name}: {each.name} remembers it differently, and later; that counts")
                rows[name] = row
    known = {row["vni"] for row in networks.values()}
    for each in found:
        for interface, vni in sorted(each.vnis.items()):
            if vni.isascii() and vni.isdigit() and 0 < int(vni) < 1 << 24 and int(vni) not in known:
                networks[f"vni{vni}"] = {"tenant": LOST_TENANT, "vni": int(vni), "encap": "vxlan"}
                known.add(int(vni))
                notes.append(
                    f"network vni{vni}: only its VNI is known, from {each.name}/{interface}; overlayctl net-set"
                )
    for name in [name for name, row in ports.items() if row.get("network") not in networks]:
        notes.append(f"port {name}: no chassis remembers its network {ports[name].get('network')!r}; left out")
        del ports[name]
    seen = [each.told.mark for each in found if each.told.mark is not None]
    latest = max(seen, key=lambda mark: (mark.epoch, mark.nb_cfg), default=None)
    return Recovered(chassis, networks, ports, latest, tuple(notes))


def _age(found: Found) -> tuple[int, int, str]:
    mark = found.told.mark
    return (mark.epoch, mark.nb_cfg, found.name) if mark is not None else (-1, -1, found.name)


def _write(draft: Draft, recovered: Recovered) -> None:
    """The rows, by way of the draft; the database takes the identity of the lost one."""
    tenants = dict.fromkeys(sorted({str(row["tenant"]) for row in recovered.networks.values()}), "")
    for name in tenants:
        tenants[name] = draft.insert("Tenant", {"name": name})
    networks = {}
    for name, row in sorted(recovered.networks.items()):
        columns = {"name": name, "tenant": ref(tenants[str(row["tenant"])]), "vni": row["vni"], "encap": row["encap"]}
        networks[name] = draft.insert("Network", {**columns, **_columns("Network", row)})
    for name, row in sorted(recovered.ports.items()):
        network = ref(networks[row["network"]])
        addresses = [draft.insert("Address", {"network": network, "ip": ip}) for ip in row["ips"]]
        columns = {"name": name, "network": network, "mac": row["mac"], "addresses": as_set([*map(ref, addresses)])}
        draft.insert("Port", {**columns, **_columns("Port", row)})
    for name, row in sorted(recovered.chassis.items()):
        vteps = [
            draft.insert(
                "Vtep",
                {"ip": end["ip"], "encaps": as_set(end["encaps"]), "mtu": as_set([end["mtu"]] if "mtu" in end else [])},
            )
            for end in row["vteps"]
        ]
        columns = {"name": name, "ovsdb": row["ovsdb"], "vteps": as_set([*map(ref, vteps)])}
        draft.insert("Chassis", {**columns, **_columns("Chassis", row)})
    if recovered.mark is not None:
        identity = {
            "database_id": recovered.mark.database_id,
            "epoch": recovered.mark.epoch + 1,
            "nb_cfg": recovered.mark.nb_cfg + 1,
        }
        rows = list(draft.read("Overlay_Global").values())
        if rows:
            draft.update("Overlay_Global", rows[0], identity)
        else:
            draft.insert("Overlay_Global", identity)


def _columns(table: str, row: Mapping[str, Any]) -> Row:
    """The optional columns that are remembered, as the wire spells them."""
    columns: Row = {}
    for column in SETS[table]:
        if column in row:
            columns[column] = as_set(row[column] if isinstance(row[column], list) else [row[column]])
    for column in MAPS:
        if column in row:
            columns[column] = ["map", sorted([key, value] for key, value in row[column].items())]
    for column in TEXTS:
        if column in row:
            columns[column] = row[column]
    return columns
