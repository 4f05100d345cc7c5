"""The frames that a proof sends: every class, for every ordered pair of ports, and whatever an underlay may bring.

Each is a name and the fields of a packet; those of a port behind a trunk have its tag.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from itertools import permutations

from flows.model import TUNNELS, Binding, Overlay, is_ipv4
from flows.simulate import Packet
from flows.truth.frame import ARP, BROADCAST, IPV4, IPV6, Address, address, link_local, mac_number

Fields = dict[str, int]
Named = tuple[str, Fields]

STRANGER = mac_number("02:77:00:00:00:01")
NOBODY = mac_number("02:77:00:00:00:02")
TOLD = mac_number("02:77:00:00:00:77")
"""Who has told of itself; see `tenants.with_neighbors`."""
STRANGE4, STRANGE6 = address("10.0.0.250")[1], address("fd00::250")[1]
NODES = mac_number("33:33:00:00:00:01")
ALL_NODES = address("ff02::1")[1]
LARGE = 9014
SMALL_ENOUGH = 1300
_EDGES = (1344, 1345, 1352, 1353, 1464, 1465, 1472, 1473)
"""What just goes through the tunnels of an underlay of 1400 and of 1500 octets, and one octet more."""
_PRESENT = 0x1000
_GROUPS = {
    "mDNS": "01:00:5e:00:00:fb",
    "IPv4 multicast": "01:00:5e:7f:00:01",
    "all nodes": "33:33:00:00:00:01",
    "solicited node": "33:33:ff:00:00:99",
    "IPv6 multicast": "33:33:00:02:00:05",
    "multicast that is no IP": "01:80:c2:00:00:21",
    "multicast beside PVST+": "01:00:0c:cc:cc:ce",
}
_RESERVED = ("01:80:c2:00:00:00", "01:80:c2:00:00:01", "01:80:c2:00:00:0e", "01:80:c2:00:00:0f", "01:00:0c:cc:cc:cc")


def sent(fields: Fields) -> Packet:
    """The fields as a packet."""
    return Packet(tuple(sorted([item for item in fields.items() if item[1]])))


def wrapped(binding: Binding, fields: Fields) -> Fields:
    """A frame as it leaves a port: with the tag that the port has."""
    return tagged(fields, binding.tag, service=binding.service_tag) if binding.tag else fields


def tagged(fields: Fields, tag: int, *, priority: int = 0, service: bool = False) -> Fields:
    """A frame with one tag more in front."""
    out = dict(fields)
    if out.get("vlan_tci", 0):
        out["inner_tci"], out["inner_tpid"] = out["vlan_tci"], out.pop("vlan_tpid", 0)
    out["vlan_tci"] = _PRESENT | priority << 13 | tag
    if service:
        out["vlan_tpid"] = 0x88A8
    if "octets" in out:
        out["octets"] += 4
    return out


@lru_cache(maxsize=4096)
def mac_of(binding: Binding) -> int:
    """The MAC that a port sends from: its own, or one of nobody's."""
    return mac_number(binding.mac) if binding.mac is not None else _made_up(binding)


def _made_up(binding: Binding) -> int:
    host = sum(binding.chassis.encode())
    return 0x02FE00000000 | (host & 0xFF) << 24 | (binding.ofport & 0xFFF) << 12 | binding.tag


@lru_cache(maxsize=4096)
def ip_of(binding: Binding, family: int) -> int:
    """The address that a port sends from: its own, or one of nobody's."""
    for ip in binding.ips:
        if address(ip)[0] == family:
            return address(ip)[1]
    if binding.secure and binding.ips and family == 6:
        return link_local(mac_of(binding))[1]
    made_up = _made_up(binding) & 0xFFFF
    return (10 << 24 | 200 << 16 | made_up) if family == 4 else (0xFD << 120 | 0xEE << 64 | made_up)


# -- what packets are made of


def ipv4(src: int, dst: int, source: int, target: int, **more: int) -> Fields:
    """A packet of UDP, unless said otherwise."""
    fields = {"eth_src": src, "eth_dst": dst, "eth_type": IPV4, "ip_src": source, "ip_dst": target, "nw_ttl": 64}
    return fields | {"ip_proto": 17, "udp_src": 4000, "udp_dst": 4000} | more


def ipv6(src: int, dst: int, source: int, target: int, **more: int) -> Fields:
    """The same in IPv6."""
    fields = {"eth_src": src, "eth_dst": dst, "eth_type": IPV6, "ipv6_src": source, "ipv6_dst": target, "nw_ttl": 64}
    return fields | {"ip_proto": 17, "udp_src": 4000, "udp_dst": 4000} | more


def icmpv6(src: int, dst: int, source: int, target: int, kind: int, **more: int) -> Fields:
    """An ICMPv6 message as neighbor discovery has it."""
    fields = {"eth_src": src, "eth_dst": dst, "eth_type": IPV6, "ipv6_src": source, "ipv6_dst": target, "nw_ttl": 255}
    return fields | {"ip_proto": 58, "icmpv6_type": kind} | more


def arp(mac: int, ip: int, asked: int, *, op: int = 1, dst: int = BROADCAST, **more: int) -> Fields:
    """An ARP packet."""
    fields = {"eth_src": mac, "eth_dst": dst, "eth_type": ARP, "arp_op": op, "arp_sha": mac, "arp_spa": ip}
    return fields | {"arp_tpa": asked} | more


def solicitation(mac: int, ip: int, asked: int, **more: int) -> Fields:
    """A neighbor solicitation to the solicited-node group; one for DAD where the source is 0."""
    group = 0x3333FF000000 | asked & 0xFFFFFF
    target = address("ff02::1:ff00:0")[1] | asked & 0xFFFFFF
    option = {"nd_sll": mac, "nd_options_type": 1} if ip else {}
    return icmpv6(mac, group, ip, target, 135, nd_target=asked) | option | more


def advertisement(mac: int, ip: int, **more: int) -> Fields:
    """An unsolicited neighbor advertisement to all nodes."""
    fields = icmpv6(mac, NODES, ip, ALL_NODES, 136, nd_target=ip, nd_tll=mac, nd_options_type=2)
    return fields | {"nd_reserved": 1 << 29} | more


# -- classes


def of_pair(one: Binding, other: Binding) -> Iterator[Named]:
    """What a port sends to another one, about it, or as if it were it."""
    mac, ip4, ip6 = mac_of(one), ip_of(one, 4), ip_of(one, 6)
    their, their4, their6 = mac_of(other), ip_of(other, 4), ip_of(other, 6)
    yield "IPv4", ipv4(mac, their, ip4, their4)
    yield "IPv6", ipv6(mac, their, ip6, their6)
    yield "other than IP", {"eth_src": mac, "eth_dst": their, "eth_type": 0x88B5}
    yield "IPv4 that fits", ipv4(mac, their, ip4, their4, octets=SMALL_ENOUGH)
    for number in _EDGES:
        yield f"IPv4 of {number} octets", ipv4(mac, their, ip4, their4, octets=number)
    yield "IPv4 too large", ipv4(mac, their, ip4, their4, octets=LARGE)
    yield "IPv6 too large", ipv6(mac, their, ip6, their6, octets=LARGE)
    yield "ARP request", arp(mac, ip4, their4)
    yield "ARP request, unicast", arp(mac, ip4, their4, dst=their)
    yield "ARP probe", arp(mac, 0, their4)
    yield "ARP reply", arp(mac, ip4, their4, op=2, dst=their, arp_tha=their)
    yield "solicitation", solicitation(mac, ip6, their6)
    yield "solicitation, unicast", solicitation(mac, ip6, their6, eth_dst=their, ipv6_dst=their6)
    yield "solicitation without option", solicitation(mac, ip6, their6, eth_dst=their, nd_sll=0, nd_options_type=0)
    own = link_local(their)[1]
    yield "solicitation of its link-local address, unicast", solicitation(mac, ip6, own, eth_dst=their, ipv6_dst=own)
    yield "DAD", solicitation(mac, 0, their6)
    yield "advertisement, unicast", advertisement(mac, ip6, eth_dst=their, ipv6_dst=their6)
    yield "802.1Q", tagged(ipv4(mac, their, ip4, their4), 5)
    yield "priority tag", tagged(ipv4(mac, their, ip4, their4), 0, priority=5)
    yield "two tags", tagged(tagged(ipv4(mac, their, ip4, their4), 6), 5)
    yield "802.1ad and 802.1Q", tagged(tagged(ipv4(mac, their, ip4, their4), 6), 5, service=True)
    for extra in (*other.extra_macs, *other.shared):
        yield f"to {extra}", {"eth_src": mac, "eth_dst": mac_number(extra), "eth_type": 0x88B5}
        yield f"as {extra}", {"eth_src": mac_number(extra), "eth_dst": BROADCAST, "eth_type": 0x88B5}
    for ip in (*other.ips[2:], *(pair.ip for pair in other.pairs if "/" not in pair.ip)):
        family, number = address(ip)
        yield f"request for {ip}", arp(mac, ip4, number) if family == 4 else solicitation(mac, ip6, number)
        yield f"probe for {ip}", arp(mac, 0, number) if family == 4 else solicitation(mac, 0, number)
        yield f"as {ip}", arp(mac, number, number) if family == 4 else advertisement(mac, number)
        yield from _to_who_shares(one, ip, their)
    if other.tag:
        yield "tagged as the other", tagged(ipv4(mac, their, ip4, their4), other.tag, service=other.service_tag)
    for name, source, number in _beside(one):
        family, said = number
        asks = arp(source, said, their4) if family == 4 else solicitation(source, said, their6)
        yield f"{name} asks for it", asks
    if not one.secure:
        yield "its MAC asks for its address, ARP", arp(their, ip4, their4)
        yield "its MAC asks for its address", solicitation(their, ip6, their6)
    yield from _as_another(one, other)


def _to_who_shares(one: Binding, ip: str, mac: int) -> Iterator[Named]:
    """What is sent to who has an address that is not its own alone: nobody else answers it."""
    family, number = address(ip)
    if family == 4:
        yield f"reply to {ip}", arp(mac_of(one), ip_of(one, 4), number, op=2, dst=mac, arp_tha=mac)
    else:
        yield f"unicast for {ip}", solicitation(mac_of(one), ip_of(one, 6), number, eth_dst=mac, ipv6_dst=number)


def _beside(one: Binding) -> Iterator[tuple[str, int, Address]]:
    """(name, MAC, address) of what a port may speak for beside its own: shared ones, and who told of itself there."""
    for pair in one.pairs:
        if "/" not in pair.ip:
            yield f"who shares {pair.ip}", mac_number(pair.mac) if pair.mac else mac_of(one), address(pair.ip)
    if not one.secure:
        for ip in ("10.0.0.77", "fd00::77"):
            yield f"who told of {ip}", TOLD, address(ip)


def _as_another(one: Binding, other: Binding) -> Iterator[Named]:
    """Each field of somebody else's, one at a time, and all of them."""
    mac, ip4, ip6 = mac_of(one), ip_of(one, 4), ip_of(one, 6)
    their, their4, their6 = mac_of(other), ip_of(other, 4), ip_of(other, 6)
    yield "its MAC", ipv4(their, BROADCAST, ip4, 0xFFFFFFFF)
    yield "its MAC, other than IP", {"eth_src": their, "eth_dst": BROADCAST, "eth_type": 0x88B5}
    yield "its MAC, unicast", ipv4(their, mac, their4, ip4)
    yield "its MAC, ARP", arp(their, ip4, ip4)
    yield "its ARP sender MAC", arp(mac, ip4, ip4, arp_sha=their)
    yield "its ARP probe's sender MAC", arp(mac, 0, ip4, arp_sha=their)
    yield "its ARP request for itself", arp(mac, ip4, their4, arp_sha=their)
    yield "its ARP reply for it", arp(mac, their4, ip4, op=2, arp_sha=their, dst=their)
    yield "its ARP sender IP", arp(mac, their4, STRANGE4)
    yield "its ARP reply", arp(mac, their4, their4, op=2, arp_tha=mac)
    yield "its gratuitous ARP", arp(mac, their4, their4)
    yield "its ARP, whole", arp(their, their4, their4)
    yield "its IPv4 source", ipv4(mac, BROADCAST, their4, 0xFFFFFFFF)
    yield "its IPv4 source, unicast", ipv4(mac, their, their4, their4)
    yield "its IPv6 source", ipv6(mac, NODES, their6, ALL_NODES)
    yield "its link-local source", ipv6(mac, NODES, link_local(their)[1], ALL_NODES)
    yield "its solicitation", solicitation(mac, their6, STRANGE6)
    yield "its solicitation's option", solicitation(mac, ip6, STRANGE6, nd_sll=their)
    yield "its advertisement", advertisement(mac, their6)
    yield "its advertisement's target", advertisement(mac, ip6, nd_target=their6)
    yield "its advertisement's option", advertisement(mac, ip6, nd_tll=their)
    yield "its advertisement's link-local target", advertisement(mac, ip6, nd_target=link_local(their)[1])
    yield "its advertisement's target, no option", advertisement(mac, ip6, nd_target=their6, nd_tll=0)
    yield "its advertisement's option, link-local", advertisement(mac, link_local(mac)[1], nd_tll=their)
    yield "its solicitation's option, link-local", solicitation(mac, link_local(mac)[1], their6, nd_sll=their)
    yield "solicitation of its link-local address", solicitation(mac, ip6, link_local(their)[1])
    yield "solicitation of its address as it", solicitation(their, their6, their6)


def of_port(one: Binding) -> Iterator[Named]:
    """What a port sends to nobody in particular."""
    mac, ip4, ip6 = mac_of(one), ip_of(one, 4), ip_of(one, 6)
    yield "broadcast", ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF)
    yield "broadcast too large", ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF, octets=LARGE)
    yield "unknown unicast", ipv4(mac, NOBODY, ip4, STRANGE4)
    yield "unknown unicast, IPv6", ipv6(mac, NOBODY, ip6, STRANGE6)
    yield "to itself", ipv4(mac, mac, ip4, ip4)
    for name, group in _GROUPS.items():
        yield name, {"eth_src": mac, "eth_dst": mac_number(group), "eth_type": 0x88B5}
    for group in _RESERVED:
        yield f"reserved {group}", {"eth_src": mac, "eth_dst": mac_number(group), "eth_type": 0x88B5}
        yield (
            f"reserved {group} with a tag",
            tagged({"eth_src": mac, "eth_dst": mac_number(group), "eth_type": 0x88B5}, 5),
        )
    yield "group as source", ipv4(mac | 1 << 40, BROADCAST, ip4, 0xFFFFFFFF)
    yield "group as source, unicast", ipv4(mac | 1 << 40, NOBODY, ip4, STRANGE4)
    yield "nobody's MAC", ipv4(STRANGER, BROADCAST, ip4, 0xFFFFFFFF)
    yield "nobody's MAC, other than IP", {"eth_src": STRANGER, "eth_dst": BROADCAST, "eth_type": 0x88B5}
    yield "DHCP request of nobody", ipv4(mac, BROADCAST, STRANGE4, 0xFFFFFFFF, udp_src=68, udp_dst=67)
    yield "IPv6 echo of nobody", icmpv6(mac, NODES, STRANGE6, ALL_NODES, 128)
    yield "nobody's MAC, ARP, own IP", arp(STRANGER, ip4, ip4)
    yield "nobody's MAC, ARP", arp(STRANGER, STRANGE4, STRANGE4)
    yield "nobody's IPv4 source", ipv4(mac, BROADCAST, STRANGE4, 0xFFFFFFFF)
    yield "nobody's IPv6 source", ipv6(mac, NODES, STRANGE6, ALL_NODES)
    yield "IPv4 from nowhere", ipv4(mac, BROADCAST, 0, 0xFFFFFFFF)
    yield "IPv6 from nowhere", ipv6(mac, NODES, 0, ALL_NODES)
    yield "tagged broadcast", tagged(ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF), 5)
    yield "tagged ARP", tagged(arp(mac, ip4, STRANGE4), 5)
    yield "RARP", _reverse(mac, mac)
    yield "RARP of nobody", _reverse(mac, STRANGER)
    yield "ARP with a priority tag", tagged(arp(mac, ip4, STRANGE4), 0)
    yield "ARP with two priority tags", tagged(tagged(arp(mac, ip4, STRANGE4), 0), 0)
    yield "tagged ARP, nobody's sender IP", tagged(arp(mac, STRANGE4, STRANGE4), 5)
    yield "nobody's MAC, solicitation, own IP", solicitation(STRANGER, ip6, STRANGE6)
    yield "nobody's MAC, advertisement, own IP", advertisement(STRANGER, ip6)
    yield "nobody's sender MAC, own IP", arp(mac, ip4, ip4, arp_sha=STRANGER)
    yield "tagged unknown unicast", tagged(ipv4(mac, NOBODY, ip4, STRANGE4), 4094)
    yield "802.1ad in 802.1Q", tagged(tagged(ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF), 6, service=True), 5)
    for ip in ("10.0.0.77", "fd00::77"):
        yield from _to_who_shares(one, ip, TOLD)
    yield from _questions(mac, ip4, ip6)
    yield from _messages(mac, ip4, ip6)
    yield from _allowed(one)
    yield from _crossed(one)


def _questions(mac: int, ip4: int, ip6: int) -> Iterator[Named]:
    yield "ARP request for who told of itself", arp(mac, ip4, address("10.0.0.77")[1])
    yield "solicitation for who told of itself", solicitation(mac, ip6, address("fd00::77")[1])
    for source in (mac, TOLD):
        four, six = address("10.0.0.77")[1], address("fd00::77")[1]
        yield f"asks for who told of itself, {source:x}, ARP", arp(source, ip4, four)
        yield f"asks for who told of itself, {source:x}", solicitation(source, ip6, six)
        yield f"who told of itself, {source:x}, ARP", arp(source, four, STRANGE4)
        yield f"who told of itself, {source:x}, gratuitous ARP", arp(source, four, four)
        yield f"who told of itself, {source:x}, ARP probe", arp(source, 0, four)
        yield f"who told of itself, {source:x}, advertisement", advertisement(source, six)
        yield f"who told of itself, {source:x}, solicitation", solicitation(source, six, STRANGE6)
        yield f"who told of itself, {source:x}, solicitation for it", solicitation(source, STRANGE6, six)
    yield "ARP request for a gateway that may be nowhere", arp(mac, ip4, address("10.0.0.99")[1])
    yield "ARP request, nobody's address", arp(mac, ip4, STRANGE4)
    yield "ARP request, nobody's address, unicast", arp(mac, ip4, STRANGE4, dst=NOBODY)
    yield "gratuitous ARP", arp(mac, ip4, ip4)
    yield "gratuitous ARP reply", arp(mac, ip4, ip4, op=2, arp_tha=mac)
    yield "ARP probe, own address", arp(mac, 0, ip4)
    yield "ARP, nobody's sender IP", arp(mac, STRANGE4, STRANGE4)
    yield "ARP that is not read", {"eth_src": mac, "eth_dst": BROADCAST, "eth_type": ARP}
    yield "RARP", {"eth_src": mac, "eth_dst": BROADCAST, "eth_type": 0x8035}
    yield "solicitation, nobody's address", solicitation(mac, ip6, STRANGE6)
    yield "solicitation, link-local", solicitation(mac, link_local(mac)[1], STRANGE6)
    yield "solicitation from afar", solicitation(mac, ip6, STRANGE6, nw_ttl=64)
    yield "solicitation from afar, no option", solicitation(mac, ip6, STRANGE6, nw_ttl=64, nd_sll=0)
    yield "advertisement from afar, no option", advertisement(mac, ip6, nw_ttl=64, nd_tll=0)
    yield "advertisement from afar, link-local", advertisement(mac, link_local(mac)[1], nw_ttl=64)
    yield "advertisement from afar, link-local, no option", advertisement(mac, link_local(mac)[1], nw_ttl=64, nd_tll=0)
    yield "advertisement, link-local, no option", advertisement(mac, link_local(mac)[1], nd_tll=0)
    yield "advertisement, nobody's address, no option", advertisement(mac, ip6, nd_target=STRANGE6, nd_tll=0)
    yield (
        "to who asks for the controller",
        {"eth_src": mac, "eth_dst": mac_number("0e:00:00:00:00:01"), "eth_type": 0x88B5},
    )
    own = link_local(mac)[1]
    for option in (mac, 0):
        far = solicitation(mac, own, STRANGE6, nw_ttl=64, nd_sll=option)
        yield f"solicitation from afar, link-local, {option:x}", far
        said = advertisement(mac, own, nd_target=STRANGE6, nd_tll=option)
        yield f"advertisement of nobody's address, link-local, {option:x}", said
    yield "advertisement from nowhere", advertisement(mac, STRANGE6, ipv6_src=0)
    yield "solicitation that is not read", icmpv6(mac, NODES, ip6, ALL_NODES, 135)
    yield "DAD, own address", solicitation(mac, 0, ip6)
    yield "DAD, nobody's address", solicitation(mac, 0, STRANGE6)
    yield "advertisement", advertisement(mac, ip6)
    yield "advertisement without option", advertisement(mac, ip6, nd_tll=0, nd_options_type=0)
    yield "advertisement, link-local", advertisement(mac, link_local(mac)[1])
    yield "advertisement, nobody's address", advertisement(mac, ip6, nd_target=STRANGE6)
    yield "advertisement from afar", advertisement(mac, ip6, nw_ttl=254)
    yield "advertisement that is not read", icmpv6(mac, NODES, ip6, ALL_NODES, 136)


def _messages(mac: int, ip4: int, ip6: int) -> Iterator[Named]:
    own = link_local(mac)[1]
    yield "router solicitation", icmpv6(mac, NODES + 1, own, ALL_NODES + 1, 133)
    yield "router advertisement", icmpv6(mac, NODES, own, ALL_NODES, 134)
    yield "router advertisement, own address", icmpv6(mac, NODES, ip6, ALL_NODES, 134)
    yield "IPv6 redirect", icmpv6(mac, NOBODY, own, STRANGE6, 137)
    yield "IPv6 echo", icmpv6(mac, NODES, ip6, ALL_NODES, 128, nw_ttl=64)
    yield "MLD", icmpv6(mac, NODES + 15, 0, ALL_NODES + 15, 143, nw_ttl=1)
    yield "IPv4 redirect", _icmp(mac, ip4, 5)
    yield "IPv4 echo", _icmp(mac, ip4, 8)
    yield "router advertisement in fragments", icmpv6(mac, NODES, own, ALL_NODES, 0, ip_frag=1)
    yield "last fragment of a router advertisement", icmpv6(mac, NODES, own, ALL_NODES, 0, ip_frag=3)
    yield "IPv6 echo in fragments", icmpv6(mac, NODES, ip6, ALL_NODES, 0, ip_frag=1, nw_ttl=64)
    yield "IPv6 in fragments", ipv6(mac, NODES, ip6, ALL_NODES, ip_frag=1, nw_ttl=255, udp_src=0, udp_dst=0)
    yield "IPv4 in fragments", ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF, ip_frag=3, udp_src=0, udp_dst=0)
    yield "DHCP request", ipv4(mac, BROADCAST, 0, 0xFFFFFFFF, udp_src=68, udp_dst=67)
    yield "DHCP request, own address", ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF, udp_src=68, udp_dst=67)
    yield "DHCP request in fragments", ipv4(mac, BROADCAST, 0, 0xFFFFFFFF, udp_src=0, udp_dst=0, ip_frag=1)
    yield "DHCP offer", ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF, udp_src=67, udp_dst=68)
    yield "DHCP relay", ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF, udp_src=67, udp_dst=67)
    yield "not quite DHCP", ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF, udp_src=1067, udp_dst=68)
    yield "DHCPv6 advertise", ipv6(mac, NODES, own, ALL_NODES, udp_src=547, udp_dst=546)
    yield "DHCPv6 solicit", ipv6(mac, NODES, own, ALL_NODES, udp_src=546, udp_dst=547)
    yield "not quite a DHCP offer", ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF, udp_src=67, udp_dst=1068)
    yield "not quite a DHCPv6 advertise", ipv6(mac, NODES, own, ALL_NODES, udp_src=1547, udp_dst=546)
    yield "not quite a DHCP request", ipv4(mac, BROADCAST, 0, 0xFFFFFFFF, udp_src=68, udp_dst=1067)
    yield "not quite a DHCP request either", ipv4(mac, BROADCAST, 0, 0xFFFFFFFF, udp_src=1068, udp_dst=67)
    for name, fields in (
        ("router advertisement", icmpv6(mac, NODES, own, ALL_NODES, 134)),
        ("IPv6 redirect", icmpv6(mac, NODES, own, ALL_NODES, 137)),
        ("IPv4 redirect", _icmp(mac, ip4, 5)),
        ("DHCP offer", ipv4(mac, BROADCAST, ip4, 0xFFFFFFFF, udp_src=67, udp_dst=68)),
        ("DHCPv6 advertise", ipv6(mac, NODES, own, ALL_NODES, udp_src=547, udp_dst=546)),
        ("router advertisement in fragments", icmpv6(mac, NODES, own, ALL_NODES, 0, ip_frag=1)),
        ("nobody's IPv4 source", ipv4(mac, BROADCAST, STRANGE4, 0xFFFFFFFF)),
        ("DHCP offer of nobody", ipv4(mac, BROADCAST, STRANGE4, 0xFFFFFFFF, udp_src=67, udp_dst=68)),
    ):
        yield f"{name}, tagged", tagged(fields, 5)
    yield "DHCP offer of nobody", ipv4(mac, BROADCAST, STRANGE4, 0xFFFFFFFF, udp_src=67, udp_dst=68)
    yield "DHCPv6 advertise of nobody", ipv6(mac, NODES, STRANGE6, ALL_NODES, udp_src=547, udp_dst=546)
    yield "not quite DHCPv6", ipv6(mac, NODES, own, ALL_NODES, udp_src=547, udp_dst=1546)


def _icmp(mac: int, ip: int, kind: int) -> Fields:
    fields = ipv4(mac, BROADCAST, ip, 0xFFFFFFFF, ip_proto=1, icmp_type=kind)
    return {name: value for name, value in fields.items() if not name.startswith("udp")}


def _allowed(one: Binding) -> Iterator[Named]:
    """What is declared for a port beside its MAC and first addresses."""
    mac, ip4, ip6 = mac_of(one), ip_of(one, 4), ip_of(one, 6)
    for each in one.extra_macs:
        extra = mac_number(each)
        yield f"extra MAC {each}", {"eth_src": extra, "eth_dst": BROADCAST, "eth_type": 0x88B5}
        yield f"extra MAC {each}, IPv4", ipv4(extra, BROADCAST, ip4, 0xFFFFFFFF)
        yield f"extra MAC {each}, ARP", arp(extra, ip4, ip4)
        own = link_local(extra)[1]
        yield f"extra MAC {each}, IPv6", ipv6(extra, NODES, own, ALL_NODES)
        yield f"extra MAC {each}, ARP probe", arp(extra, 0, STRANGE4)
        yield f"extra MAC {each}, other sender MAC", arp(extra, 0, STRANGE4, arp_sha=mac)
        yield f"own MAC, sender MAC {each}", arp(mac, 0, STRANGE4, arp_sha=extra)
        yield f"extra MAC {each}, own ARP", arp(extra, ip4, STRANGE4, arp_sha=mac)
        yield from _discovery_as(f"extra MAC {each}", extra, mac)
        yield from _discovery_as(f"own MAC, not {each}", mac, extra)
        yield from _own_address_as(f"extra MAC {each}", extra, mac, ip6)
    for ip in one.ips:
        family, number = address(ip)
        yield f"own {ip}", (ipv4 if family == 4 else ipv6)(mac, BROADCAST, number, number)
        yield f"tells own {ip}", arp(mac, number, number) if family == 4 else advertisement(mac, number)
    for pair in one.pairs:
        plain, *prefix = pair.ip.split("/")
        family, first = address(plain)
        width = 32 if family == 4 else 128
        last = first | (1 << width - int(prefix[0]) if prefix else 1) - 1
        from_mac = mac_number(pair.mac) if pair.mac is not None else mac
        for source, other in {(from_mac, mac), (mac, from_mac)}:
            for number in {first, last, last + 1}:
                name = f"pair {pair.ip}, {number - first:+d}, {'own' if source == mac else 'its'} MAC"
                yield name, (ipv4 if family == 4 else ipv6)(source, BROADCAST, number, number)
                if family == 4:
                    yield f"{name}, gratuitous ARP", arp(source, number, number)
                    yield f"{name}, ARP request", arp(source, number, STRANGE4)
                    yield f"{name}, ARP with own IP", arp(source, ip4, STRANGE4)
                    yield f"{name}, other sender MAC", arp(source, number, STRANGE4, arp_sha=other)
                    yield f"{name}, nobody's sender MAC", arp(source, number, STRANGE4, arp_sha=STRANGER)
                else:
                    yield f"{name}, advertisement", advertisement(source, number)
                    yield from _own_address_as(name, source, other, number)
        if pair.mac is not None:
            yield f"pair {pair.ip}, ARP probe", arp(from_mac, 0, first if family == 4 else STRANGE4)
            yield f"pair {pair.ip}, other sender MAC", arp(from_mac, 0, STRANGE4, arp_sha=mac)
            yield f"pair {pair.ip}, own sender MAC", arp(mac, 0, STRANGE4, arp_sha=from_mac)
            yield f"pair {pair.ip}, own IPv4, ARP", arp(from_mac, ip4, STRANGE4, arp_sha=mac)
            yield f"pair {pair.ip}, own IPv4", ipv4(from_mac, BROADCAST, ip4, 0xFFFFFFFF)
            for each in (*one.extra_macs, *one.shared):
                name = f"pair {pair.ip}, from {each}"
                yield name, (ipv4 if family == 4 else ipv6)(mac_number(each), BROADCAST, first, first)
            yield f"pair {pair.ip}, own IPv6", ipv6(from_mac, NODES, ip6, ALL_NODES)
            yield from _discovery_as(f"pair {pair.ip}", from_mac, mac)
            yield from _discovery_as(f"own MAC, not that of {pair.ip}", mac, from_mac)
            yield from _own_address_as(f"pair {pair.ip}, its MAC", from_mac, mac, ip6)


def _crossed(one: Binding) -> Iterator[Named]:
    """A MAC of a port that names another one of it, with what that one may say."""
    ip4, ip6 = ip_of(one, 4), ip_of(one, 6)
    own = mac_of(one)
    macs = [own, *map(mac_number, (*one.extra_macs, *one.shared))]
    for mac, other in permutations(macs, 2):
        said = [
            address(pair.ip.split("/")[0]) for pair in one.pairs if other == (mac_number(pair.mac) if pair.mac else own)
        ]
        said += [(4, ip4), (6, ip6)] if other == own else [(4, 0)]
        said.append((6, link_local(other)[1]))
        yield f"{mac:x} names {other:x}, RARP", _reverse(mac, other)
        for family, number in said:
            name = f"{mac:x} names {other:x}, {number:x}"
            if family == 4:
                yield name, arp(mac, number, number or STRANGE4, arp_sha=other)
                yield f"{name}, source", ipv4(mac, BROADCAST, number, 0xFFFFFFFF)
            else:
                for option in (other, 0):
                    yield f"{name}, option {option:x}", advertisement(mac, number, nd_tll=option)
                yield f"{name}, source", ipv6(mac, NODES, number, ALL_NODES)


def _reverse(mac: int, named: int) -> Fields:
    return {"eth_src": mac, "eth_dst": BROADCAST, "eth_type": 0x8035, "arp_op": 3, "arp_sha": named, "arp_tha": named}


def _discovery_as(name: str, mac: int, other: int) -> Iterator[Named]:
    """Neighbor discovery from a MAC beside the port's first."""
    own = link_local(mac)[1]
    yield f"{name}, IPv6 link-local", ipv6(mac, NODES, own, ALL_NODES)
    yield f"{name}, IPv6 link-local of the other MAC", ipv6(mac, NODES, link_local(other)[1], ALL_NODES)
    for option in (mac, other, 0):
        for hops in (255, 64):
            said = {"nd_tll": option, "nw_ttl": hops}
            yield f"{name}, advertisement, {option:x} {hops}", advertisement(mac, own, **said)
            yield (
                f"{name}, advertisement of the other, {option:x} {hops}",
                advertisement(mac, link_local(other)[1], **said),
            )
            about = advertisement(mac, own, nd_target=link_local(other)[1], **said)
            yield f"{name}, advertisement about the other, {option:x} {hops}", about
            asked = {"nd_sll": option, "nw_ttl": hops}
            yield f"{name}, solicitation, {option:x} {hops}", solicitation(mac, own, STRANGE6, **asked)


def _own_address_as(name: str, mac: int, other: int, ip: int) -> Iterator[Named]:
    """Neighbor discovery about one of the port's addresses, from one of its MACs."""
    for option in (mac, other, 0):
        about = advertisement(mac, link_local(mac)[1], nd_target=ip, nd_tll=option)
        yield f"{name}, advertises {ip:x}, link-local, {option:x}", about
        for hops in (255, 64):
            yield f"{name}, advertises {ip:x}, {option:x} {hops}", advertisement(mac, ip, nd_tll=option, nw_ttl=hops)
            asks = solicitation(mac, ip, STRANGE6, nd_sll=option, nw_ttl=hops)
            yield f"{name}, asks as {ip:x}, {option:x} {hops}", asks


def from_ports(overlay: Overlay) -> Iterator[tuple[str, Binding, tuple[Binding, ...], Packet]]:
    """(class, from, about whom, packet) for each ordered pair of ports and each port, as it leaves there.

    Of all that look alike (tenants have the same MACs and addresses) the frames are the same ones.
    """
    alike: dict[object, list[Binding]] = defaultdict(list)
    for each in overlay.bindings:
        addresses = (mac_of(each), ip_of(each, 4), ip_of(each, 6), each.ips)
        alike[(*addresses, each.extra_macs, each.pairs, each.tag, each.service_tag)].append(each)
    for one in overlay.bindings:
        for found in alike.values():
            others = tuple([each for each in found if each is not one])
            for name, fields in of_pair(one, others[0]) if others else ():
                yield name, one, others, sent({**wrapped(one, fields), "in_port": one.ofport})
        for name, fields in of_port(one):
            yield name, one, (), sent({**wrapped(one, fields), "in_port": one.ofport})


UNPLUGGED = 999


def from_elsewhere(overlay: Overlay, chassis: str) -> Iterator[tuple[str, Packet]]:
    """What comes in by no port: from one that is in no network, and from the underlay, forged in every way.

    Of what comes from no other chassis' VTEP, nobody looks at what is inside: that is a few frames for each network.
    """
    frame = ipv4(STRANGER, BROADCAST, STRANGE4, 0xFFFFFFFF)
    yield "from a port of no network", sent(frame | {"in_port": UNPLUGGED})
    yield "from a port of no network, tagged", sent(tagged(frame, 5) | {"in_port": UNPLUGGED})
    local = {each.ofport for each in overlay.bindings if each.chassis == chassis}
    for ofport in sorted(local):
        yield f"port {ofport}, a tag of nobody", sent(tagged(frame, 4000) | {"in_port": ofport})
        yield f"port {ofport}, no tag", sent(frame | {"in_port": ofport})
    frames = list(_inner(overlay, chassis))
    vnis = {name: each.vni for name, each in overlay.networks.items()}
    few = [each for each in frames if each[1] in ("tagged", "group as source", "reserved", "ARP request", "mDNS")]
    others = {vtep.ip for each in overlay.chassis.values() if each.name != chassis for vtep in each.vteps}
    for way, ip, entry in _ways(overlay, chassis):
        for network, name, fields in frames if ip in others else few:
            packet = {**fields, **entry, "tun_id": vnis[network]}
            yield f"{way}, {network}: {name}", sent(packet)
        for vni in (0, 77, 0xFFFFFF):
            yield f"{way}, VNI {vni}", sent({**frame, **entry, "tun_id": vni})


def _ways(overlay: Overlay, chassis: str) -> Iterator[tuple[str, str, Fields]]:
    """(way, from, fields) of every tunnel port, from every VTEP: other chassis', our own, and one of nobody's."""
    here = overlay.chassis[chassis]
    sources = [vtep.ip for each in overlay.chassis.values() for vtep in each.vteps] + ["192.0.2.250", "2001:db8::250"]
    for local in here.vteps:
        family = "tun_" if is_ipv4(local.ip) else "tun_ipv6_"
        for tunnel in TUNNELS:
            for ip in sources:
                if is_ipv4(ip) == is_ipv4(local.ip):
                    ends = {f"{family}src": address(ip)[1], f"{family}dst": address(local.ip)[1]}
                    yield f"{tunnel.name} from {ip}", ip, {"in_port": tunnel.ofport, **ends}


def _inner(overlay: Overlay, chassis: str) -> Iterator[tuple[str, str, Fields]]:
    """(network, class, fields) of what is inside: from each MAC of the network, and nobody's, to some of its MACs."""
    everywhere = {mac_number(mac) for each in overlay.bindings for mac in (*each.macs, *each.shared)}
    for network in overlay.networks:
        members = [each for each in overlay.bindings if each.network == network]
        macs = {mac_number(mac) for each in members for mac in (*each.macs, *each.shared)}
        sources = [*sorted(macs | {mac_of(each) for each in members}), STRANGER]
        for mac in sorted(everywhere - macs):
            yield network, f"{mac:012x} of another network", {"eth_src": mac, "eth_dst": BROADCAST, "eth_type": 0x88B5}
        targets = sorted({mac_number(mac) for each in members for mac in each.macs} | {NOBODY, BROADCAST})
        moving = {mac_number(mac) for each in members if each.standby for mac in each.macs}
        for mac in sources:
            for target in {*targets[:4], *targets[-3:], *moving}:
                fields = {"eth_src": mac, "eth_dst": target, "eth_type": 0x88B5}
                yield network, f"{mac:012x} to {target:012x}", fields
        mac = sources[0]
        yield network, "group as source", {"eth_src": mac | 1 << 40, "eth_dst": BROADCAST, "eth_type": 0x88B5}
        for tag in (5, 0):
            yield network, f"tag {tag}", tagged({"eth_src": mac, "eth_dst": BROADCAST, "eth_type": 0x88B5}, tag)
        for name, group in _GROUPS.items():
            yield network, name, {"eth_src": mac, "eth_dst": mac_number(group), "eth_type": 0x88B5}
        yield network, "reserved", {"eth_src": mac, "eth_dst": mac_number(_RESERVED[2]), "eth_type": 0x88B5}
        here = [each for each in members if each.chassis == chassis and each.ips]
        for each in here[:2]:
            yield network, "ARP request", arp(mac, STRANGE4, ip_of(each, 4))
            yield network, "solicitation", solicitation(mac, STRANGE6, ip_of(each, 6))
