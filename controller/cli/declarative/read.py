"""A declarative file read: bytes in, a Document out, or everything that is wrong with it at once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.cli import written
from controller.cli.declarative import checks, yaml_nodes
from controller.cli.declarative.difference import misplaced
from controller.cli.declarative.document import (
    AUTO,
    ENCAPS,
    FAMILIES,
    VERSION,
    Chassis,
    Connection,
    Document,
    Network,
    Pairs,
    Port,
    Tenant,
    Vtep,
    encaps,
    ordered,
)
from controller.cli.declarative.fields import Faults, Fields, Found, below, kind, pairs, scalar, values
from controller.cli.declarative.yaml_nodes import Fault, Node, Scalar, WrongYamlError
from controller.cli.declarative.yaml_nodes import Sequence as List
from controller.cli.errors import one_of
from flows import ipam

SECTIONS: Final = ("version", "tenants", "networks", "chassis", "connections", "options", "external-ids")
BESIDE: Final = ("description", "external-ids")
TENANT: Final = BESIDE
NETWORK: Final = (
    *("tenant", "vni", "encap", "subnets", "gateways", "ranges", "excludes", "mtu", "unknown-unicast"),
    *("unknown-neighbor", "multicast", "vlan-transparent", "physical", "physical-vlan", "gateway-chassis"),
    *(*BESIDE, "ports"),
)
PORT: Final = (
    *("mac", "extra-macs", "ips", "allowed-pairs", "security", "enabled"),
    *("may", "flood-rate", "parent", "tag", "service-tag", *BESIDE),
)
CHASSIS: Final = ("ovsdb", "vteps", "datapath", "controller", "bridges", *BESIDE)
CONNECTION: Final = ("role", "read-only", "inactivity-probe", "max-backoff")
EXPECTED_VTEPS: Final = "expected a list of at least one, such as vteps: [192.0.2.1]"

Taken = dict[Any, tuple[str, int]]
"""Values that only one may have: who has them, and in which line."""


class WrongFileError(Exception):
    """A file that says nothing that could be done; `faults` has all that is wrong with it, by place."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = sorted(faults)


@dataclass(frozen=True)
class Read:
    """What a file says, and where (line, column) it says it, by path."""

    document: Document
    places: Mapping[str, tuple[int, int]]


def read(data: bytes) -> Read:
    """The document in a file; raises WrongFileError."""
    faults = Faults()
    try:
        root, of_yaml = yaml_nodes.parsed(yaml_nodes.decoded(data))
    except WrongYamlError as wrong:
        raise WrongFileError([wrong.fault]) from None
    faults.found += of_yaml
    document = _document(faults, root or Scalar(1, 1, "", True))
    if unknown := [fault for fault in faults.found if fault.path == "version"]:
        raise WrongFileError(unknown)  # of another version nobody knows what is right
    if faults.found:
        raise WrongFileError(faults.found)
    return Read(document, faults.places)


def _document(faults: Faults, root: Node) -> Document:
    top = Fields.of(faults, root, root, "", SECTIONS)
    top.sections(*SECTIONS[1:])
    if isinstance(root, yaml_nodes.Mapping) or (isinstance(root, Scalar) and root.empty):
        top.one("version", _version, needed=str(VERSION))
    tenants = networks = chassis = connections = None
    ports: dict[str, Port] = {}
    stated: set[str] = set()
    if "tenants" in top.items:
        tenants = {
            name: _tenant(faults, name, key, node)
            for name, key, node in faults.things(top.items["tenants"], "tenants", checks.name("tenant"))
        }
    if "networks" in top.items:
        others = (_names(top.items.get("tenants")), _names(top.items.get("chassis")))
        networks = _networks(faults, top.items["networks"], others, ports, stated)
    if "chassis" in top.items:
        chassis = _all_chassis(faults, top.items["chassis"])
    if "connections" in top.items:
        connections = {
            name: _connection(faults, name, key, node)
            for name, key, node in faults.things(top.items["connections"], "connections", checks.target)
        }
    options, external_ids = (
        pairs(faults, top.items[section], section) if section in top.items else None
        for section in ("options", "external-ids")
    )
    return Document(tenants, networks, ports, frozenset(stated), chassis, connections, options, external_ids)


def _version(text: str) -> int:
    if text != str(VERSION):
        raise ValueError(f"version {text!r} is unknown; this overlayctl reads version {VERSION}")
    return VERSION


def _names(section: Node | None) -> list[str] | None:
    """The keys of a section; None when it is not there, or none."""
    if isinstance(section, Scalar) and section.empty:
        return []
    return list(section.items) if isinstance(section, yaml_nodes.Mapping) else None


def _beside(row: Fields) -> tuple[str, Pairs]:
    return row.one("description", checks.text, "") or "", row.pairs("external-ids")


def _tenant(faults: Faults, name: str, key: Scalar, node: Node) -> Tenant:
    return Tenant(name, *_beside(Fields.of(faults, key, node, below("tenants", name), TENANT)))


Others = tuple[list[str] | None, list[str] | None]
"""The names of the file's tenants and chassis; None where it has no such section."""


def _networks(
    faults: Faults, section: Node, others: Others, ports: dict[str, Port], stated: set[str]
) -> dict[str, Network]:
    taken: dict[str, Taken] = {"VNI": {}, "VLAN": {}}
    names: Taken = {}
    found = {}
    for name, key, node in faults.things(section, "networks", checks.name("network")):
        row = Fields.of(faults, key, node, below("networks", name), NETWORK)
        found[name] = _network(row, name, others, taken)
        row.sections("ports")
        if "ports" in row.items:
            stated.add(name)
            _ports(row, found[name], names, ports)
    for port, text in misplaced(ports).items():
        path = below(below(below(below("networks", ports[port].network), "ports"), port), "parent")
        faults.found.append(Fault(*faults.places[path], path, text))
    return found


def _network(row: Fields, name: str, others: Others, taken: dict[str, Taken]) -> Network:
    faults = row.faults
    tenants, chassis = others
    tenant = row.one("tenant", checks.name("tenant"), needed="NAME")
    faults.place(row.place("tenant"), row.below("tenant"))
    if tenant is not None and tenants is not None and tenant not in tenants:
        faults.refuse(row.found("tenant", tenant), f"no tenant {tenant!r} in tenants; {one_of(tenants, tenant)}")
    vni = row.one("vni", checks.vni, needed="NUMBER, 1..16777215")
    if vni is not None:
        faults.once(taken["VNI"], row.found("vni", vni), "VNI", f"network {name!r}")
    subnets, gateways, ranges, excludes = _plan(row)
    return Network(
        name,
        tenant or "",
        vni or 0,
        row.one("encap", checks.encap, ENCAPS[0]) or "",
        subnets,
        gateways,
        ranges,
        excludes,
        row.one("mtu", checks.number("MTU", 68, 65535)),
        row.one("unknown-unicast", checks.word("unknown-unicast", written.UNKNOWN_UNICAST)),
        row.one("unknown-neighbor", checks.word("unknown-neighbor", written.UNKNOWN_NEIGHBOR)),
        row.one("multicast", checks.word("multicast", written.MULTICAST)),
        row.one("vlan-transparent", checks.truth),
        *_outside(row, name, chassis, taken["VLAN"]),
        *_beside(row),
    )


def _outside(
    row: Fields, name: str, chassis: list[str] | None, taken: Taken
) -> tuple[str | None, int | None, str | None]:
    """The physical network, the VLAN there and the gateway chassis: all of it, or nothing."""
    faults = row.faults
    physical = row.one("physical", checks.physical)
    vlan = row.one("physical-vlan", checks.number("physical-vlan", 0, 4094))
    gateway = row.one("gateway-chassis", checks.name("chassis"))
    faults.place(row.place("gateway-chassis"), row.below("gateway-chassis"))
    if "physical" in row.items and "gateway-chassis" not in row.items:
        faults.add(row.items["physical"], row.path, "no gateway-chassis; expected one beside physical")
    for key in ("physical-vlan", "gateway-chassis"):
        if key in row.items and "physical" not in row.items:
            faults.add(row.items[key], row.path, f"no physical; expected one beside {key}")
    if gateway is not None and chassis is not None and gateway not in chassis:
        faults.refuse(
            row.found("gateway-chassis", gateway), f"no chassis {gateway!r} in chassis; {one_of(chassis, gateway)}"
        )
    if physical is not None:
        there = Found(f"{vlan or 0} of {physical}", row.place("physical"), row.below("physical"))
        faults.once(taken, there, "VLAN", f"network {name!r}")
    return physical, vlan, gateway


def _plan(row: Fields) -> tuple[tuple[str, ...], ...]:
    """Subnets, gateways, ranges and excludes, each value of them checked against the subnets."""
    faults = row.faults
    subnets = _fitting(row.many("subnets", checks.subnet), faults, ipam.plan)
    rest = [row.many("gateways", checks.ip), row.many("ranges", checks.span), row.many("excludes", checks.span)]
    if len(subnets) == row.length("subnets"):  # where one of them is wrong, what is outside can't be told
        _fitting(rest[0], faults, lambda values: ipam.plan(subnets, values))
        for found in rest[1]:
            _fitting([found], faults, lambda values: ipam.plan(subnets, ranges=values))
        for found in rest[2]:
            _fitting([found], faults, lambda values: ipam.plan(subnets, excludes=values))
    return ordered(subnets), *map(values, rest)


def _fitting(found: Sequence[Found], faults: Faults, plan: Callable[..., object]) -> list[str]:
    """The values that make a plan with those before them; the others are faults."""
    good: list[str] = []
    for each in found:
        try:
            plan([*good, each.value])
        except ValueError as wrong:
            faults.refuse(each, str(wrong))
        else:
            good.append(each.value)
    return good


def _ports(network: Fields, into: Network, names: Taken, ports: dict[str, Port]) -> None:
    faults, path = network.faults, network.below("ports")
    taken: dict[str, Taken] = {"MAC": {}, "IP": {}}
    whole = len(into.subnets) == network.length("subnets")
    plan = ipam.plan(into.subnets) if whole else None
    for name, key, node in faults.things(network.items["ports"], path, checks.name("port")):
        row = Fields.of(faults, key, node, below(path, name), PORT)
        faults.place(key, row.path)
        faults.once(names, Found(name, key, row.path), "the name", f"a port of network {into.name!r}")
        ports[name] = _port(row, name, into.name, plan, taken)


def _port(row: Fields, name: str, network: str, plan: ipam.Plan | None, taken: dict[str, Taken]) -> Port:
    owner = f"port {name!r}"
    mac = row.one("mac", checks.mac_or_auto, needed="MAC, or auto")
    extra = row.many("extra-macs", checks.mac)
    for found in [*([row.found("mac", mac)] if mac not in (None, AUTO) else []), *extra]:
        row.faults.once(taken["MAC"], found, "MAC", owner)
    addresses = row.many("ips", checks.ip_or_auto)
    for found in addresses:
        if found.value not in FAMILIES:
            row.faults.once(taken["IP"], found, "IP", owner)
            _inside(row.faults, found, plan)
        elif plan is not None and not plan.versions:
            row.faults.refuse(found, f"network {network!r} has no subnets to take an address from; "
                              "expected some, such as subnets: [10.0.0.0/24]")  # fmt: skip
    allowed = row.many("allowed-pairs", checks.pair)
    if wrong := written.too_many_pairs(len(allowed)):
        row.faults.refuse(allowed[written.PAIRS], wrong)
    return Port(
        name,
        network,
        mac or "",
        values(extra),
        values(addresses),
        values(allowed),
        row.one("security", checks.truth),
        row.one("enabled", checks.truth),
        values(row.many("may", checks.may)),
        row.one("flood-rate", checks.number("flood-rate", 0, 999_999_999)),
        *_behind(row),
        *_beside(row),
    )


def _behind(row: Fields) -> tuple[str | None, int | None, bool | None]:
    """The parent, and the tag there: both, or nothing."""
    row.faults.place(row.place("parent"), row.below("parent"))
    if "parent" in row.items and "tag" not in row.items:
        row.faults.add(row.items["parent"], row.path, "no tag; expected one beside parent, 1..4094")
    for key in ("tag", "service-tag"):
        if key in row.items and "parent" not in row.items:
            row.faults.add(row.items[key], row.path, f"no parent; expected one beside {key}")
    return (
        row.one("parent", checks.name("port")),
        row.one("tag", checks.number("tag", 1, 4094)),
        row.one("service-tag", checks.truth),
    )


def _inside(faults: Faults, found: Found, plan: ipam.Plan | None) -> None:
    if plan is not None:
        try:
            ipam.belongs(found.value, plan)
        except ValueError as wrong:
            faults.refuse(found, str(wrong))


def _all_chassis(faults: Faults, section: Node) -> dict[str, Chassis]:
    servers: Taken = {}
    ends: Taken = {}
    found = {}
    for name, key, node in faults.things(section, "chassis", checks.name("chassis")):
        row = Fields.of(faults, key, node, below("chassis", name), CHASSIS)
        ovsdb = row.one("ovsdb", checks.ovsdb(name), needed="tcp:IP:PORT, ssl:IP:PORT, unix:/PATH or dial-in")
        if ovsdb is not None:
            faults.once(servers, row.found("ovsdb", ovsdb), "the server", f"chassis {name!r}")
        found[name] = Chassis(
            name,
            ovsdb or "",
            _vteps(row, f"chassis {name!r}", ends),
            row.one("datapath", checks.optional(written.datapath)),
            row.one("controller", checks.optional(written.controller)),
            _bridges(row),
            *_beside(row),
        )
    return found


def _vteps(row: Fields, owner: str, ends: Taken) -> tuple[Vtep, ...]:
    node, path, faults = row.items.get("vteps"), row.below("vteps"), row.faults
    items = node.items if isinstance(node, List) else []
    if node is None:
        faults.add(row.at, row.path, f"no vteps; {EXPECTED_VTEPS}")
    elif not items:
        faults.add(node, path, f"{'no vteps' if isinstance(node, List) else kind(node)}; {EXPECTED_VTEPS}")
    found = {}
    for number, item in enumerate(items):
        end, kinds, mtu = _vtep(faults, item, f"{path}[{number}]")
        if end is not None:
            faults.once(ends, end, "VTEP", owner)
            found[end.value] = Vtep(end.value, kinds, mtu)
    return tuple(found[ip] for ip in ordered(found))


def _vtep(faults: Faults, item: Node, path: str) -> tuple[Found | None, tuple[str, ...], int | None]:
    """One VTEP: its address alone, or with encaps and MTU."""
    if not isinstance(item, yaml_nodes.Mapping):
        return scalar(faults, item, path, checks.vtep_ip), (), None
    row = Fields.of(faults, item, item, path, ("ip", "encaps", "mtu"))
    ip = row.one("ip", checks.vtep_ip, needed="IP")
    kinds = row.many("encaps", checks.encap)
    if "encaps" in row.items and row.length("encaps") == 0:
        faults.add(row.items["encaps"], row.below("encaps"), "no encap; expected one, or no such key for all of them")
    mtu = row.one("mtu", checks.number("MTU", 576, 65535))
    return None if ip is None else row.found("ip", ip), encaps(values(kinds)), mtu


def _bridges(row: Fields) -> Pairs:
    """Bridges by the physical network they are in."""
    node, path, found = row.items.get("bridges"), row.below("bridges"), {}
    if node is not None:
        for name, _, value in row.faults.things(node, path, checks.physical):
            bridge = scalar(row.faults, value, below(path, name), checks.bridge)
            if bridge is not None:
                found[name] = bridge.value
    return dict(sorted(found.items()))


def _connection(faults: Faults, name: str, key: Scalar, node: Node) -> Connection:
    row = Fields.of(faults, key, node, below("connections", name), CONNECTION)
    return Connection(
        name,
        row.one("role", checks.text, "") or "",
        row.one("read-only", checks.truth),
        row.one("inactivity-probe", checks.number("inactivity-probe", 0)),
        row.one("max-backoff", checks.number("max-backoff", 1000)),
    )
