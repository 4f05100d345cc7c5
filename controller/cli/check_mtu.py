"""`check mtu`: what each pair of chassis carries, whether each network's MTU fits there, and which pair carries least.

It reads what is declared and computes as the controller does; nothing is sent.
"""

from __future__ import annotations

import ipaddress
from argparse import Namespace
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from controller.cli.draft import Draft
from controller.cli.errors import listed
from controller.cli.tables import as_json, print_rows
from controller.cli.text import escaped
from flows.model import UNDERLAY_MTU, Chassis, Encap, Network, Vtep
from flows.mtu import LEAST_IPV6, Carried, carried, not_carried, pair
from flows.vteps import apart
from ovsdb.rpc import Row, elements, optional, uuid_of

COLUMNS: Final = ("chassis", "vteps", "encap", "underlay", "overhead", "carries", "fits", "too_large")
WRONG: Final = 1
"""The exit code when the MTU of any network is more than chassis with its ports carry, or two of them share no way."""
MOST: Final = 40
"""How many pairs a table, or what is wrong with one network, has room for; --format csv and json have all."""


def hosts(draft: Draft) -> dict[str, Chassis]:
    """The chassis as values, by name; of their VTEPs those that can be one."""
    draft.load("Chassis", "Vtep")
    ends = draft.read("Vtep")
    return {
        row["name"]: Chassis(row["name"], tuple(_vteps(ends[each] for each in elements(row["vteps"]) if each in ends)))
        for row in sorted(draft.read("Chassis").values(), key=lambda row: row["name"])
    }


def _vteps(rows: Iterable[Row]) -> Iterator[Vtep]:
    for row in sorted(rows, key=lambda row: row["ip"]):
        try:
            ip = str(ipaddress.ip_address(row["ip"]))
        except ValueError:
            continue  # the controller says so
        encaps = frozenset(map(Encap, elements(row["encaps"]))) or frozenset(Encap)
        yield Vtep(ip, encaps, optional(row["mtu"]) or UNDERLAY_MTU)


def narrowest(draft: Draft) -> dict[str, dict[str, Any] | None]:
    """The pair that carries least, as `show` has it, by the encap that a network prefers; None where there is none."""
    known = hosts(draft).values()
    return {str(encap): described(found) if (found := carried(known, encap)) else None for encap in Encap}


def described(found: Carried) -> dict[str, Any]:
    """What a pair carries, as JSON has it."""
    return {
        "mtu": found.mtu,
        "chassis": [found.one, found.other],
        "encap": str(found.encap),
        "vteps": [found.local, found.remote],
        "underlay": found.underlay,
        "overhead": found.overhead,
        "how": str(found),
    }


@dataclass(frozen=True, slots=True)
class _Checked:
    """A network, the chassis that it has ports on, and the pair that carries least of all chassis.

    `ipv6`: it has a subnet of IPv6, or a port with such an address.
    """

    network: Network
    members: frozenset[str]
    least: Carried | None
    ipv6: bool

    @property
    def mtu(self) -> int | None:
        if self.network.mtu is not None:
            return self.network.mtu
        return self.least.mtu if self.least is not None else None


def check(draft: Draft, args: Namespace) -> None:
    """`check mtu`."""
    known = hosts(draft)
    checked = _networks(draft, known, args.net)
    rows = [*_rows(known, checked)]
    findings = [finding for each in checked for finding in _findings(each, known)]
    assumed = sorted(_assumed(draft))
    draft.code = WRONG if findings else 0
    if args.format == "json":
        networks = [_as_json(each) for each in checked]
        draft.say(as_json({"pairs": rows, "networks": networks, "findings": findings, "assumed": assumed}))
        return
    flat = [{**row, "chassis": "-".join(row["chassis"]), "vteps": "-".join(row["vteps"])} for row in rows]
    if args.format == "csv":
        print_rows(draft, COLUMNS, flat, args)
        return
    print_rows(draft, COLUMNS, flat[:MOST], args)
    if len(flat) > MOST:
        draft.say(f"and {len(flat) - MOST} more pairs, which carry no less; overlayctl check mtu --format csv")
    draft.lines += [escaped(line) for each in checked for line in _told(each, known)]
    if assumed:
        said = f"of VTEP {listed(assumed)} no MTU is declared, and {UNDERLAY_MTU} assumed"
        draft.say(f"{said}; if that is wrong: overlayctl chassis-set CHASSIS --vtep-mtu BYTES")
    draft.lines += map(escaped, findings or ["nothing is wrong"])


def _networks(draft: Draft, known: Mapping[str, Chassis], wanted: str | None) -> list[_Checked]:
    """The networks to look at, by name; CommandError where there is none of that name."""
    draft.load("Network", "Tenant", "Binding", "Address")
    rows = sorted(draft.read("Network").values(), key=lambda row: row["name"])
    if wanted is not None:
        rows = [draft.get("Network", wanted)]
    six = {address["network"][1] for address in draft.read("Address").values() if ":" in address["ip"]}
    members: dict[str, set[str]] = {}
    for binding in draft.read("Binding").values():
        members.setdefault(optional(binding["network"]) or "", set()).add(binding["chassis"])
    least = {encap: carried(known.values(), encap) for encap in Encap}
    return [
        _Checked(
            Network(row["name"], "", row["vni"], Encap(row["encap"]), mtu=optional(row["mtu"])),
            frozenset(members.get(row["name"], set()) & known.keys()),
            least[Encap(row["encap"])],
            uuid_of(row) in six or any(":" in subnet for subnet in elements(row["subnets"])),
        )
        for row in rows
    ]


def _rows(known: Mapping[str, Chassis], checked: Sequence[_Checked]) -> Iterator[dict[str, Any]]:
    """Each pair of chassis and way that some network uses there, those that carry least first."""
    found: dict[tuple[str, str, Carried | None], list[_Checked]] = {}
    for one, other in combinations(known.values(), 2):
        ways = {encap: pair(one, other, encap) for encap in {each.network.encap for each in checked} or {Encap.VXLAN}}
        for encap, way in sorted(ways.items()):
            users = [each for each in checked if each.network.encap is encap]
            found.setdefault((one.name, other.name, way), []).extend(users)
    none = Carried(0, "", "", Encap.VXLAN, "", "", 0)
    for (one_, other_, way), users in sorted(found.items(), key=lambda item: (item[0][2] or none, item[0][:2])):
        fits = [each for each in users if way is not None and each.mtu is not None and each.mtu <= way.mtu]
        yield {
            "chassis": [one_, other_],
            "vteps": [] if way is None else [way.local, way.remote] if way.one == one_ else [way.remote, way.local],
            "encap": str(way.encap) if way is not None else None,
            "underlay": way.underlay if way is not None else None,
            "overhead": way.overhead if way is not None else None,
            "carries": way.mtu if way is not None else None,
            "fits": [each.network.name for each in fits],
            "too_large": [each.network.name for each in users if way is not None and each not in fits],
        }


def _findings(each: _Checked, known: Mapping[str, Chassis]) -> Iterator[str]:
    """What is wrong: of chassis that the network has ports on, and with what is declared."""
    members = [known[name] for name in sorted(each.members)]
    cut = sorted(apart(members))
    for one, other in cut[:MOST]:
        yield (
            f"network {each.network.name}: {one} and {other} share no encap and address family, so it is cut in two; "
            f"overlayctl chassis-set {one} --vtep IP"
        )
    if len(cut) > MOST:
        yield f"network {each.network.name}: so do {len(cut) - MOST} more pairs of chassis"
    if wrong := not_carried(each.network, members):
        yield f"network {each.network.name}: {wrong}"
    least = carried(members, each.network.encap)
    if each.ipv6 and least is not None and least.mtu < LEAST_IPV6:
        yield (
            f"network {each.network.name}: {least.one} and {least.other} carry {least.mtu} ({least}), but IPv6 needs "
            f"{LEAST_IPV6} (RFC 8200); raise the underlay's MTU, then overlayctl chassis-set {least.one} --vtep-mtu N"
        )
    if each.ipv6 and each.network.mtu is not None and each.network.mtu < LEAST_IPV6:
        yield (
            f"network {each.network.name}: its MTU is declared as {each.network.mtu}, but IPv6 needs {LEAST_IPV6} "
            f"(RFC 8200); overlayctl net-set {each.network.name} --mtu {LEAST_IPV6}, or auto"
        )


def _told(each: _Checked, known: Mapping[str, Chassis]) -> Iterator[str]:
    """What MTU the hosts of a network should use, and which pair says so."""
    name, least = each.network.name, each.least
    if each.mtu is None or least is None:
        yield f"network {name}: MTU not known, for no two chassis share a tunnel"
        return
    source = "declared" if each.network.mtu is not None else "auto"
    yield f"network {name}: MTU {each.mtu} ({source}); {least.one} and {least.other} carry least: {least.mtu} ({least})"
    if each.network.mtu is not None and not_carried(each.network, known.values()):
        members = [known[member] for member in sorted(each.members)]
        if not not_carried(each.network, members):
            yield f"network {name}: that is too much between {least.one} and {least.other}; it has no ports on both yet"


def _assumed(draft: Draft) -> Collection[str]:
    """The VTEPs of which nobody said what MTU their underlay has."""
    return {row["ip"] for row in draft.read("Vtep").values() if optional(row["mtu"]) is None}


def _as_json(each: _Checked) -> dict[str, Any]:
    return {
        "name": each.network.name,
        "mtu": each.mtu,
        "declared": each.network.mtu is not None,
        "chassis": sorted(each.members),
        "least": described(each.least) if each.least is not None else None,
    }
