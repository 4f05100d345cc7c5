"""What the controller writes on a chassis so that the switches alone can tell it again.

Kept in `external_ids` of br-int, under keys that begin with `overlay-`: whose chassis it is and since when
(`Mark`), and what was declared of the chassis, of the networks with ports there, and of the declared ports
bound there. From the marks of all chassis an overlay database that was lost is built anew, and one that is
older than they are is recognised. Values in, texts out, and back; `ask` alone reads a chassis.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flows.model import Binding, Network, Port
from ovsdb.rpc import Connection, mapping, select
from ovsdb.snapshot import BRIDGE, ChassisRow, Declared

KEY: Final = "overlay-mark"
CHASSIS: Final = "overlay-chassis"
NETWORK: Final = "overlay-network/"
PORT: Final = "overlay-port/"
OWNER: Final = "overlay-owner"
"""Which controller writes here: its generation, and its name (`ovsdb.shared`)."""
ROWS: Final = "overlay-rows"
"""What its rows were made from (`ovsdb.our_rows.fingerprint`): what differs then was changed by somebody else."""
FLOWS: Final = "overlay-flows"
"""The flows and meters that its switch was last seen to have (`controller.flows_mark.fingerprint`)."""
OURS: Final = (KEY, CHASSIS, NETWORK, PORT, OWNER, ROWS, FLOWS)
"""What the keys of external_ids begin with that are written here."""

LAST: Final = 1 << 53
"""No count gets so far, and every database can still count on from there: what is beyond was made up."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of the overlay database that a chassis has last seen. Of one database, later ones are greater."""

    database_id: str
    epoch: int
    nb_cfg: int

    def __str__(self) -> str:
        return f"{self.database_id} {self.epoch} {self.nb_cfg}"

    def later_than(self, other: Mark) -> bool:
        """Whether it is of the same database, and the other one has not got so far."""
        mine, theirs = (self.epoch, self.nb_cfg), (other.epoch, other.nb_cfg)
        return self.database_id == other.database_id and mine > theirs


@dataclass(frozen=True)
class Remembered:
    """What the marks of a chassis tell: rows by name, as columns in plain JSON values."""

    mark: Mark | None = None
    chassis: Mapping[str, Any] | None = None
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def mark_of(declared: Declared) -> Mark:
    """The mark of what is declared now."""
    return Mark(declared.database_id, declared.epoch, declared.nb_cfg)


def parse(written: str | None) -> Mark | None:
    """The mark that was written, None for none or for what nobody of ours wrote."""
    parts = (written or "").split(" ")
    numbers = [_number(part) for part in parts[1:]]
    if len(parts) != 3 or numbers[0] is None or numbers[1] is None:
        return None
    return Mark(parts[0], numbers[0], numbers[1])


def generation(written: str | None) -> int:
    """The generation of the controller that wrote this as `OWNER`, 0 for none."""
    return _number((written or "").partition(" ")[0]) or 0


def _number(written: str) -> int | None:
    """A count that somebody of ours may have written; None for what no database could count beyond."""
    if not (written.isascii() and written.isdigit() and len(written) <= len(str(LAST))):
        return None
    return number if (number := int(written)) <= LAST else None


def memory(declared: Declared, chassis: str, bindings: Iterable[Binding]) -> dict[str, str]:
    """The entries of external_ids that tell what is declared of a chassis and of what is bound there.

    All but the mark itself, which changes more often.
    """
    entries = {CHASSIS: _text(_chassis(declared.chassis[chassis]))}
    for binding in bindings:
        network, port = declared.networks.get(binding.network), declared.ports.get(binding.port or "")
        if binding.chassis != chassis or network is None:
            continue
        entries[NETWORK + network.name] = _text(_network(network))
        if port is not None:
            entries[PORT + port.name] = _text(_port(port))
    return entries


def remembered(external_ids: Mapping[str, str]) -> Remembered:
    """What the entries of a br-int tell; what can't be read is named and left out."""
    faults: list[str] = []

    def read(key: str) -> dict[str, Any] | None:
        try:
            value = json.loads(external_ids[key])
            return dict(value) if isinstance(value, dict) else None
        except KeyError:
            return None
        except ValueError as error:
            faults.append(f"external_ids:{key} is not what was written there: {error}")
            return None

    def under(prefix: str) -> dict[str, dict[str, Any]]:
        rows = {key.removeprefix(prefix): read(key) for key in sorted(external_ids) if key.startswith(prefix)}
        return {name: row for name, row in rows.items() if row is not None}

    return Remembered(parse(external_ids.get(KEY)), read(CHASSIS), under(NETWORK), under(PORT), tuple(faults))


def ask(chassis: Connection) -> tuple[dict[str, str], dict[str, str]]:
    """The entries that a chassis' br-int has, and the VNIs of each interface that joined by some.

    Raises DatabaseError when it can't be asked.
    """
    bridges, interfaces = (
        result["rows"]
        for result in chassis.transact(
            [
                select("Bridge", [["name", "==", BRIDGE]], ["external_ids"]),
                select("Interface", columns=["name", "external_ids"]),
            ]
        )
    )
    entries = mapping(bridges[0]["external_ids"]) if bridges else {}
    return (
        {key: value for key, value in entries.items() if is_ours(key)},
        dict(each for row in interfaces for each in vnis_of(row["name"], mapping(row["external_ids"]))),
    )


def vnis_of(interface: str, external_ids: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The VNIs that stand on an interface, by what has each: the interface, or a VLAN tag of it (`eth1:100`)."""
    if "overlay-vni" in external_ids:
        yield interface, external_ids["overlay-vni"]
    for each in external_ids.get("overlay-trunk", "").split(","):
        tag, equals, vni = each.partition("=")
        if equals:
            yield f"{interface}:{tag.strip()}", vni.strip()


def is_ours(key: str) -> bool:
    """Whether an entry of external_ids is one of these."""
    return key.startswith(OURS)


def _chassis(row: ChassisRow) -> dict[str, Any]:
    return {"name": row.chassis.name, **json.loads(row.details or "{}")}


def _network(network: Network) -> dict[str, Any]:
    flood = {"unknown_unicast": "drop"} if network.drops_unknown else {}
    return {
        "tenant": network.tenant,
        "vni": network.vni,
        "encap": str(network.encap),
        **flood,
        **json.loads(network.details or "{}"),
    }


def _port(port: Port) -> dict[str, Any]:
    columns: dict[str, Any] = {"network": port.network, "mac": port.mac, "ips": list(port.ips)}
    if port.extra_macs:
        columns["extra_macs"] = list(port.extra_macs)
    if not port.enabled:
        columns["enabled"] = False
    return {**columns, **json.loads(port.details or "{}")}


def _text(columns: Mapping[str, Any]) -> str:
    return json.dumps(columns, separators=(",", ":"), sort_keys=True)
