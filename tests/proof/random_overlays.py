"""Small overlays by a seed: two to four chassis with VTEPs of any kind, a few networks, every kind of port."""

from __future__ import annotations

import random
from dataclasses import replace

from flows.bind import Exit, bind
from flows.model import (
    Binding,
    Chassis,
    Encap,
    Gateway,
    May,
    Neighbor,
    Network,
    Overlay,
    Pair,
    Plug,
    Port,
    UnknownNeighbor,
    Vtep,
)

VIRTUAL = ("00:00:5e:00:01:01", "00:00:5e:00:01:02")
_ENCAPS = (frozenset(Encap), frozenset(Encap), frozenset({Encap.GRE}), frozenset({Encap.VXLAN}))


def overlay(seed: int) -> Overlay:
    """The overlay of a seed: always the same."""
    chance = random.Random(seed)
    hosts = {f"h{n}": _chassis(chance, n) for n in range(1, chance.randint(2, 4) + 1)}
    networks = {f"n{n}": _network(chance, n, sorted(hosts)) for n in range(1, chance.randint(1, 3) + 1)}
    ports: dict[str, Port] = {}
    plugs: list[Plug] = []
    count = dict.fromkeys(hosts, 0)

    def plug(chassis: str, **fields: str) -> None:
        count[chassis] += 1
        plugs.append(Plug(chassis, f"vm{count[chassis]}", count[chassis], **fields))  # type: ignore[arg-type]

    for network in networks.values():
        for number in sorted(chance.sample(range(1, 10), chance.randint(1, 5))):
            at = chance.choice(sorted(hosts))
            if chance.random() < 0.25:
                plug(at, **_undeclared(chance, network, number, networks))
                continue
            port = _port(chance, network, number)
            parents = [each for each in ports.values() if each.parent is None and each.network != network.name]
            if parents and chance.random() < 0.25:
                behind = chance.choice(parents).name
                port = replace(
                    port, parent=behind, tag=10 * number + network.vni % 10, service_tag=chance.random() < 0.3
                )
            else:
                plug(at, iface_id=port.name)
                if chance.random() < 0.1:
                    plug(chance.choice(sorted(hosts)), iface_id=port.name)  # it is moving
            ports[port.name] = port
    exits = [Exit(name, "physnet", "patch-physnet", 900) for name in hosts if chance.random() < 0.7]
    bound = bind(networks, ports, plugs, {}, exits=exits)
    told = tuple(_neighbors(chance, bound.bindings))
    return Overlay(hosts, networks, bound.bindings, told)


def _chassis(chance: random.Random, number: int) -> Chassis:
    kinds = [["192.0.2."], ["192.0.2."], ["2001:db8::"], ["192.0.2.", "2001:db8::"], ["192.0.2.", "198.51.100."]]
    mtu = chance.choice([1500, 1500, 1400, 9000])
    return Chassis(
        f"h{number}", tuple(Vtep(f"{net}{number}", chance.choice(_ENCAPS), mtu) for net in chance.choice(kinds))
    )


def _network(chance: random.Random, number: int, hosts: list[str]) -> Network:
    gateway = Gateway("physnet", chance.choice([0, 7, 8]), chance.choice(hosts)) if chance.random() < 0.25 else None
    return Network(
        f"n{number}",
        f"t{number}",
        1000 + number,
        chance.choice(list(Encap)),
        chance.random() < 0.3,
        unknown_neighbor=chance.choice(list(UnknownNeighbor)),
        drops_multicast=chance.random() < 0.3,
        routers=chance.choice([(), ("10.0.0.1", "fd00::1"), ("10.0.0.2",), ("10.0.0.99",)]),
        transparent=chance.random() < 0.25,
        gateway=gateway,
    )


def _undeclared(chance: random.Random, network: Network, number: int, networks: dict[str, Network]) -> dict[str, str]:
    fields = {"vni": str(network.vni)}
    if chance.random() < 0.3:
        fields |= {"attached_mac": f"02:00:00:00:00:{number:02x}"}
        if chance.random() < 0.7:
            fields |= {"overlay_ip": f"10.0.0.{number}"}
    if chance.random() < 0.3:
        others = [each.vni for each in networks.values() if each is not network]
        fields |= {"trunk": ",".join(f"{20 + place}={vni}" for place, vni in enumerate(others))} if others else {}
        if others and chance.random() < 0.5:
            del fields["vni"]
            fields.pop("attached_mac", None)
            fields.pop("overlay_ip", None)
    return fields


def _port(chance: random.Random, network: Network, number: int) -> Port:
    both = (f"10.0.0.{number}", f"fd00::{number:x}")
    pairs: tuple[Pair, ...] = ()
    if chance.random() < 0.3:
        virtual = chance.choice(VIRTUAL)
        pairs = tuple(
            chance.sample(
                [
                    Pair("10.0.0.100", virtual),
                    Pair("fd00::100", virtual),
                    Pair("10.0.0.101"),
                    Pair("fd00::101"),
                    Pair("10.1.0.0/24"),
                    Pair("fd01::/64"),
                    Pair("10.2.0.0/28", virtual),
                    Pair("10.3.0.1", f"02:00:00:00:01:{number:02x}"),
                    Pair("10.0.0.1"),
                    Pair("fd00::1"),
                    Pair("10.0.0.0/30"),
                    Pair("fd00::/64", virtual),
                ],
                chance.randint(1, 3),
            )
        )
    return Port(
        f"{network.name}p{number}",
        network.name,
        f"02:00:00:00:00:{number:02x}",
        chance.choice([both, both, both[:1], both[1:], ()]),
        chance.choice([(), (), (f"02:00:00:00:01:{number:02x}",)]),
        secure=chance.random() < 0.75,
        pairs=pairs,
        may=frozenset(each for each in May if chance.random() < 0.2),
        flood_rate=chance.choice([5000, 5000, 100, 0]),
    )


def _neighbors(chance: random.Random, bindings: tuple[Binding, ...]) -> list[Neighbor]:
    """What some have told of themselves: of nobody's addresses, and of those that are shared."""
    found: dict[tuple[str, str], Neighbor] = {}
    declared = {(each.network, ip) for each in bindings for ip in each.ips}
    for each in bindings:
        if each.learns and chance.random() < 0.6:
            number = chance.randint(60, 63)
            mac = each.mac if each.mac is not None and chance.random() < 0.3 else f"02:66:00:00:00:{number:02x}"
            for ip in chance.sample([f"10.0.0.{number}", f"fd00::{number:x}"], chance.randint(1, 2)):
                found[each.network, ip] = Neighbor(each.network, ip, mac, each.chassis, each.interface)
        for pair in each.pairs:
            free = "/" not in pair.ip and (each.network, pair.ip) not in declared
            if free and each.mac is not None and chance.random() < 0.6:
                mac = pair.mac or each.mac
                found[each.network, pair.ip] = Neighbor(each.network, pair.ip, mac, each.chassis, each.interface)
    return list(found.values())
