"""`auto` in a file made a value: what the port has stays, else one is chosen. Pure; chance is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from controller.cli.declarative.document import AUTO, FAMILIES, Document, Network, Port, ordered
from flows import ipam


class NoneLeftError(Exception):
    """A network that has no address left for a port."""

    def __init__(self, port: Port, text: str) -> None:
        super().__init__(text)
        self.port = port


def settled(present: Document, wanted: Document, chance: Callable[[int], bytes]) -> Document:
    """The wanted document without `auto`; `chance` gives so many random octets. Raises NoneLeftError."""
    asking = {port.network for port in wanted.ports.values() if port.mac == AUTO or FAMILIES.keys() & set(port.ips)}
    ports = dict(wanted.ports)
    for name in sorted(asking):
        network = (wanted.networks or {})[name]
        ports |= _of_network(network, _members(wanted, name), _members(present, name), chance)
    return replace(wanted, ports=ports) if asking else wanted


def _members(document: Document, network: str) -> dict[str, Port]:
    return {name: port for name, port in document.ports.items() if port.network == network}


def _of_network(
    network: Network, wanted: dict[str, Port], present: Mapping[str, Port], chance: Callable[[int], bytes]
) -> dict[str, Port]:
    """All ports of a network, for whom `present` are those that it has now. What is written goes before what is kept,
    and that before what is chosen."""
    plan = ipam.plan(network.subnets, network.gateways, network.ranges, network.excludes)
    macs = {mac for port in wanted.values() for mac in (port.mac, *port.extra_macs)}
    taken = {ip for port in wanted.values() for ip in port.ips if ip not in FAMILIES}
    kept: dict[str, Port] = {}
    for name, port in sorted(wanted.items()):
        before = present.get(name)
        mac, ips = port.mac, [ip for ip in port.ips if ip not in FAMILIES]
        if mac == AUTO and before is not None and before.mac not in macs:
            mac = before.mac
            macs.add(mac)
        for version in _versions(port, plan):
            mine = [ip for ip in (before.ips if before else ()) if (":" in ip) == (version == 6) and ip not in taken]
            usable = ordered(set(mine) - set(ipam.outside(plan, mine)))
            if usable:
                ips.append(usable[0])
                taken.add(usable[0])
            else:
                ips.append(f"auto{version}")
        kept[name] = replace(port, mac=mac, ips=ordered(ips))
    supply = {version: ipam.each_free(plan, version, taken) for version in (4, 6)}
    return {
        name: replace(
            port, mac=_mac(port.mac, macs, chance), ips=ordered([_ip(ip, port, supply, network) for ip in port.ips])
        )
        for name, port in kept.items()
    }


def _versions(port: Port, plan: ipam.Plan) -> list[int]:
    """The families of which a port asks for an address."""
    asked = {version for word in port.ips for version in FAMILIES.get(word, ()) if word != AUTO}
    return sorted(asked | (set(plan.versions) if AUTO in port.ips else set()))


def _mac(mac: str, macs: set[str], chance: Callable[[int], bytes]) -> str:
    while mac == AUTO:
        chosen = ":".join(["02", *(f"{octet:02x}" for octet in chance(5))])
        if chosen not in macs:
            macs.add(chosen)
            mac = chosen
    return mac


def _ip(ip: str, port: Port, supply: Mapping[int, Iterator[str]], network: Network) -> str:
    if ip not in FAMILIES:
        return ip
    try:
        return next(supply[FAMILIES[ip][0]])
    except ipam.NoneFreeError as full:
        raise NoneLeftError(port, f"network {network.name!r}: {full}; give it another subnet or range") from None
