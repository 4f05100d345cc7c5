"""A Document written as a declarative file. Pure; what `read` makes of it is the same Document.

What YAML 1.1 or 1.2 takes for anything but text stands in quotes, so that other programs read the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from controller.cli.declarative.document import (
    VERSION,
    Chassis,
    Connection,
    Document,
    Network,
    Pairs,
    Port,
    Tenant,
    Vtep,
)

HEADING: Final = "# The overlay as its database declares it. Makes a database so: overlayctl apply -f FILE"
PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./@+-]*( [A-Za-z0-9_./@+()-]+)*")
"""Text that begins with a letter and has nothing that means anything to YAML."""
IPV4: Final = re.compile(r"[0-9]+(\.[0-9]+){3}(/[0-9]+|-[0-9.]+)?")
"""Addresses, subnets and ranges: three dots, so that nobody takes them for numbers."""
REMOTE: Final = re.compile(r"(p?(tcp|ssl|unix)|dial-in):[A-Za-z0-9_./-]+(:[A-Za-z0-9_./-]+)*")
LONG: Final = 100
"""Characters in a key from which on it is announced; YAML asks for that from 1024 on, escapes counted."""
WORDS: Final = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan"))

Thing = TypeVar("Thing")


def written(document: Document) -> str:
    """The file of a document."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Document) -> Iterator[str]:
    yield HEADING
    yield f"version: {VERSION}"
    if document.options is not None:
        yield from _section("options", [f"  {line}" for line in _pair_lines(document.options)])
    if document.external_ids is not None:
        yield from _section("external-ids", [f"  {line}" for line in _pair_lines(document.external_ids)])
    if document.connections is not None:
        yield from _section("connections", _things(document.connections, _connection))
    if document.chassis is not None:
        yield from _section("chassis", _things(document.chassis, _chassis))
    if document.tenants is not None:
        yield from _section("tenants", _things(document.tenants, _tenant))
    if document.networks is not None:
        members: dict[str, list[Port]] = {name: [] for name in document.stated}
        for port in document.ports.values():
            members[port.network].append(port)
        lines: list[str] = []
        for _, network in sorted(document.networks.items()):
            lines += [""] if lines else []
            lines += _thing(network.name, [*_network(network), *_ports(members.get(network.name))])
        yield from _section("networks", lines)


def _section(name: str, lines: list[str]) -> Iterator[str]:
    yield ""
    yield f"{name}:" if lines else f"{name}: {{}}"
    yield from lines


def _things(things: Mapping[str, Thing], describe: Callable[[Thing], Iterator[str]]) -> list[str]:
    return [line for name, thing in sorted(things.items()) for line in _thing(name, describe(thing))]


def _thing(name: str, inner: Iterable[str]) -> list[str]:
    lines = [f"    {line}" for line in inner]
    return [f"  {spelled(name)}:", *lines] if lines else [f"  {spelled(name)}: {{}}"]


def _tenant(tenant: Tenant) -> Iterator[str]:
    yield from _beside(tenant)


def _network(network: Network) -> Iterator[str]:
    yield f"tenant: {spelled(network.tenant)}"
    yield f"vni: {network.vni}"
    yield f"encap: {network.encap}"
    yield from _list("subnets", network.subnets)
    yield from _list("gateways", network.gateways)
    yield from _list("ranges", network.ranges)
    yield from _list("excludes", network.excludes)
    yield from _number("mtu", network.mtu)
    yield from _text("unknown-unicast", network.unknown_unicast)
    yield from _text("unknown-neighbor", network.unknown_neighbor)
    yield from _text("multicast", network.multicast)
    yield from _truth("vlan-transparent", network.vlan_transparent)
    yield from _text("physical", network.physical)
    yield from _number("physical-vlan", network.physical_vlan)
    yield from _text("gateway-chassis", network.gateway_chassis)
    yield from _beside(network)


def _ports(ports: list[Port] | None) -> Iterator[str]:
    if ports is None:
        return
    yield "ports:" if ports else "ports: {}"
    for port in sorted(ports, key=lambda port: port.name):
        yield from _thing(port.name, _port(port))


def _port(port: Port) -> Iterator[str]:
    yield f"mac: {spelled(port.mac)}"
    yield from _list("extra-macs", port.extra_macs)
    yield from _list("ips", port.ips)
    yield from _list("allowed-pairs", port.allowed_pairs)
    yield from _truth("security", port.security)
    yield from _truth("enabled", port.enabled)
    yield from _list("may", port.may)
    yield from _number("flood-rate", port.flood_rate)
    yield from _text("parent", port.parent)
    yield from _number("tag", port.tag)
    yield from _truth("service-tag", port.service_tag)
    yield from _beside(port)


def _chassis(chassis: Chassis) -> Iterator[str]:
    yield f"ovsdb: {spelled(chassis.ovsdb)}"
    yield f"vteps: [{', '.join(map(_vtep, chassis.vteps))}]"
    yield from _text("datapath", chassis.datapath)
    yield from _text("controller", chassis.controller)
    yield from _pairs("bridges", chassis.bridges)
    yield from _beside(chassis)


def _vtep(vtep: Vtep) -> str:
    if not vtep.encaps and vtep.mtu is None:
        return spelled(vtep.ip)
    encaps = [f"encaps: [{', '.join(vtep.encaps)}]"] if vtep.encaps else []
    mtu = [f"mtu: {vtep.mtu}"] if vtep.mtu is not None else []
    return f"{{{', '.join([f'ip: {spelled(vtep.ip)}', *encaps, *mtu])}}}"


def _connection(connection: Connection) -> Iterator[str]:
    yield from _text("role", connection.role or None)
    yield from _truth("read-only", connection.read_only)
    yield from _number("inactivity-probe", connection.inactivity_probe)
    yield from _number("max-backoff", connection.max_backoff)


def _beside(thing: Tenant | Network | Port | Chassis) -> Iterator[str]:
    yield from _text("description", thing.description or None)
    yield from _pairs("external-ids", thing.external_ids)


def _pairs(name: str, pairs: Pairs) -> Iterator[str]:
    if pairs:
        yield f"{name}:"
        yield from (f"  {line}" for line in _pair_lines(pairs))


def _pair_lines(pairs: Pairs) -> Iterator[str]:
    for key, value in sorted(pairs.items()):
        yield from (
            [f"? {spelled(key)}", f": {spelled(value)}"] if len(key) > LONG else [f"{spelled(key)}: {spelled(value)}"]
        )


def _list(name: str, values: tuple[str, ...]) -> Iterator[str]:
    if values:
        yield f"{name}: [{', '.join(map(spelled, values))}]"


def _text(name: str, value: str | None) -> Iterator[str]:
    if value is not None:
        yield f"{name}: {spelled(value)}"


def _number(name: str, value: int | None) -> Iterator[str]:
    if value is not None:
        yield f"{name}: {value}"


def _truth(name: str, value: bool | None) -> Iterator[str]:
    if value is not None:
        yield f"{name}: {str(value).lower()}"


def spelled(text: str) -> str:
    """A scalar, in quotes where it needs them."""
    if any(form.fullmatch(text) for form in (PLAIN, IPV4, REMOTE)) and text.lower() not in WORDS:
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
