"""The overlay that is proven: eight tenants with the same MACs and addresses, on three chassis, every kind of port.

VXLAN and GRE, over IPv4 and IPv6; h3 has no VXLAN over IPv4, so each pair of chassis uses another tunnel.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from flows.bind import bind
from flows.model import (
    Chassis,
    Encap,
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

_GRE: Final = frozenset({Encap.GRE})
CHASSIS: Final = (
    Chassis("h1", (Vtep("192.0.2.1"),)),
    Chassis("h2", (Vtep("192.0.2.2"), Vtep("2001:db8::2"))),
    Chassis("h3", (Vtep("192.0.2.3", _GRE), Vtep("2001:db8::3", frozenset(Encap), 1400))),
)
NETWORKS: Final = (
    Network("plain", "t1", 5001),
    Network("open", "t2", 5002, Encap.GRE),
    Network("closed", "t3", 5003, drops_unknown=True, unknown_neighbor=UnknownNeighbor.DROP),
    Network("shared", "t4", 5004, Encap.GRE, unknown_neighbor=UnknownNeighbor.FLOOD),
    Network("transparent", "t5", 5005, transparent=True),
    Network(
        "routed", "t6", 5006, Encap.GRE, unknown_neighbor=UnknownNeighbor.GATEWAY, drops_multicast=True,
        routers=("10.0.0.1", "fd00::1"),
    ),
    Network("behind", "t7", 5007),
    Network("trunk", "t8", 5008, Encap.GRE),
)  # fmt: skip
VIRTUAL: Final = "00:00:5e:00:01:07"
"""The MAC of a virtual router (RFC 5798)."""


def port(network: str, number: int) -> Port:
    """A network's n-th port: MAC and addresses are the same in all networks."""
    name = f"{network}{number}"
    return Port(name, network, f"02:00:00:00:00:{number:02x}", (f"10.0.0.{number}", f"fd00::{number:x}"))


def _ports() -> dict[str, Port]:
    ports = {each.name: each for network in NETWORKS for each in (port(network.name, n) for n in range(1, 9))}

    def set_(name: str, **fields: object) -> None:
        ports[name] = replace(ports[name], **fields)  # type: ignore[arg-type]

    for name in ("open7", "open8", "transparent8", "closed8"):
        del ports[name]  # plugged in by VNI
    set_("plain6", extra_macs=("02:00:00:00:01:06", "02:00:00:00:01:16"))
    set_("plain7", ips=("10.0.0.7",))
    set_("open6", flood_rate=100)
    set_("closed5", secure=False)
    set_("closed6", secure=False, ips=(), extra_macs=("02:00:00:00:01:06",))
    virtual = (Pair("10.0.0.100", VIRTUAL), Pair("fd00::100", VIRTUAL))
    set_("shared1", pairs=virtual)
    set_("shared2", pairs=virtual)
    set_("shared3", pairs=(Pair("10.0.0.101"), Pair("fd00::101")))
    set_("shared4", pairs=(Pair("10.1.0.0/24"), Pair("fd01::/64")))
    set_("shared6", pairs=(Pair("10.0.0.101"), Pair("fd00::101")))
    further = "02:00:00:00:01:07"
    set_("shared7", extra_macs=(further,), pairs=(Pair("10.0.0.107", further), Pair("fd00::107", VIRTUAL)))
    set_("shared5", ips=(), pairs=(Pair("10.0.0.105"),))
    set_("transparent6", secure=False)
    set_("transparent7", ips=())
    set_("routed1", may=frozenset({May.ROUTER}))
    set_("routed2", may=frozenset({May.DHCP_SERVER}))
    set_("routed3", may=frozenset(May), secure=False)
    set_("behind1", parent="trunk1", tag=100)
    set_("behind2", parent="trunk1", tag=200, service_tag=True)
    set_("behind3", parent="trunk2", tag=100)
    set_("behind4", parent="trunk3", tag=101, secure=False)
    set_("transparent5", parent="trunk1", tag=300)
    set_("trunk7", ips=())
    set_("trunk8", flood_rate=0)
    return ports


PORTS: Final = _ports()


def _plugs() -> tuple[Plug, ...]:
    plugs = []
    count = dict.fromkeys(("h1", "h2", "h3"), 0)

    def plug(chassis: str, **fields: str) -> None:
        count[chassis] += 1
        plugs.append(Plug(chassis, f"vm{count[chassis]}", count[chassis], **fields))  # type: ignore[arg-type]

    for place, network in enumerate(NETWORKS):
        for number in range(1, 9):
            name = f"{network.name}{number}"
            chassis = f"h{(place + number) % 3 + 1}"
            declared = PORTS.get(name)
            if declared is None:
                plug(chassis, vni=str(network.vni))
            elif declared.parent is None:
                plug(chassis, iface_id=name)
    plug("h1", vni="5008", attached_mac="02:00:00:00:00:0a", overlay_ip="10.0.0.10")
    plug("h2", trunk="100=5002,101=5007")
    plug("h3", vni="5003", trunk="7=5005")
    plug("h1", iface_id="plain8")  # it is moving there from h3
    plug("h2", vni="5001")
    return tuple(plugs)


PLUGS: Final = _plugs()


def overlay(plugs: tuple[Plug, ...] = PLUGS) -> Overlay:
    """The overlay with its plugs; where there are ofports from."""
    networks = {each.name: each for each in NETWORKS}
    bound = bind(networks, PORTS, plugs, {"plain8": ("h3", _interface(plugs, "h3", "plain8"))})
    return Overlay({each.name: each for each in CHASSIS}, networks, bound.bindings)


def _interface(plugs: tuple[Plug, ...], chassis: str, port: str) -> str:
    return next((each.interface for each in plugs if (each.chassis, each.iface_id) == (chassis, port)), "")


def with_neighbors(overlay: Overlay) -> Overlay:
    """The overlay when some have told of themselves: a host of an undeclared port, and who has the shared ones."""
    stranger = next(each for each in overlay.bindings if each.network == "open" and each.port is None and not each.tag)
    master = next(each for each in overlay.bindings if each.port == "shared1")
    third = next(each for each in overlay.bindings if each.port == "shared3")
    told = (
        Neighbor("open", "10.0.0.77", "02:77:00:00:00:77", stranger.chassis, stranger.interface),
        Neighbor("open", "fd00::77", "02:77:00:00:00:77", stranger.chassis, stranger.interface),
        Neighbor("shared", "10.0.0.100", VIRTUAL, master.chassis, master.interface),
        Neighbor("shared", "fd00::100", VIRTUAL, master.chassis, master.interface),
        Neighbor("shared", "10.0.0.101", "02:00:00:00:00:03", third.chassis, third.interface),
    )
    return replace(overlay, neighbors=told)


def declaration() -> str:
    """The networks and ports as a declarative file (docs/declarative-file.md)."""
    lines = ["version: 1", "tenants:", *(f"  {each.tenant}: {{}}" for each in NETWORKS), "networks:"]
    for network in NETWORKS:
        lines += [
            f"  {network.name}:",
            f"    tenant: {network.tenant}",
            f"    vni: {network.vni}",
            f"    encap: {network.encap}",
            f"    unknown-unicast: {'drop' if network.drops_unknown else 'flood'}",
            f"    unknown-neighbor: {network.unknown_neighbor}",
            f"    multicast: {'drop' if network.drops_multicast else 'flood'}",
            f"    vlan-transparent: {_yaml(network.transparent)}",
            *(['    subnets: [10.0.0.0/24, "fd00::/64"]'] if network.routers else []),
            f"    gateways: {_yaml(list(network.routers))}",
            "    ports:",
            *(f"      {each.name}: {_yaml(_keys(each))}" for each in PORTS.values() if each.network == network.name),
        ]
    return "\n".join(lines) + "\n"


def _keys(port: Port) -> dict[str, object]:
    keys: dict[str, object] = {
        "mac": port.mac,
        "ips": list(port.ips),
        "extra-macs": list(port.extra_macs),
        "allowed-pairs": [f"{pair.mac or ''} {pair.ip}".strip() for pair in port.pairs],
        "security": port.secure,
        "may": sorted(port.may),
        "flood-rate": port.flood_rate,
    }
    if port.parent is not None:
        keys |= {"parent": port.parent, "tag": port.tag, "service-tag": port.service_tag}
        del keys["flood-rate"]  # a trunk's is that of the port that is plugged in
    return keys


def _yaml(value: object) -> str:
    """A value in YAML's flow style, which JSON is a part of."""
    return json.dumps(value)
