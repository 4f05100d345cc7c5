"""A frame's fields as the octets of a real one, for the classes that are sent for real."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from flows.fields import FIELDS
from flows.truth import frame as ethernet
from tests.proof.frames import Fields


def octets(fields: Fields) -> bytes:
    """The frame of these fields; KeyError for a kind that is not known here."""
    text = {name: FIELDS[name].text(value) for name, value in fields.items() if name in FIELDS}
    frame: Packet = Ether(src=text["eth_src"], dst=text["eth_dst"])
    for tci, tpid in (("vlan_tci", "vlan_tpid"), ("inner_tci", "inner_tpid")):
        if fields.get(tci, 0):
            tag = Dot1AD if fields.get(tpid, 0) else Dot1Q
            frame /= tag(vlan=fields[tci] & 0xFFF, prio=fields[tci] >> 13)
    kind = fields["eth_type"]
    if kind == ethernet.ARP:
        said = {"hwsrc": "arp_sha", "psrc": "arp_spa", "hwdst": "arp_tha", "pdst": "arp_tpa"}
        empty = {"arp_spa": "0.0.0.0", "arp_tpa": "0.0.0.0"}
        values = {name: text.get(field, empty.get(field, "00:00:00:00:00:00")) for name, field in said.items()}
        return bytes(frame / ARP(op=fields.get("arp_op", 0), **values))
    if kind == ethernet.IPV4:
        ip: Packet = IP(src=text.get("ip_src", "0.0.0.0"), dst=text["ip_dst"], ttl=fields["nw_ttl"])
        if fields["ip_proto"] == 1:
            return bytes(frame / ip / ICMP(type=fields["icmp_type"]))
        return bytes(frame / ip / UDP(sport=fields["udp_src"], dport=fields["udp_dst"]) / Raw(b"proof"))
    if kind == ethernet.IPV6:
        ip = IPv6(src=text.get("ipv6_src", "::"), dst=text["ipv6_dst"], hlim=fields["nw_ttl"])
        if fields["ip_proto"] == 17:
            return bytes(frame / ip / UDP(sport=fields["udp_src"], dport=fields["udp_dst"]) / Raw(b"proof"))
        return bytes(frame / ip / _icmpv6(fields, text))
    last = frame.lastlayer()
    last.type = kind
    return bytes(frame / Raw(b"proof"))


def _icmpv6(fields: Fields, text: dict[str, str]) -> Packet:
    kind = fields["icmpv6_type"]
    if kind == 135:
        asks: Packet = ICMPv6ND_NS(tgt=text["nd_target"])
        return asks / ICMPv6NDOptSrcLLAddr(lladdr=text["nd_sll"]) if fields.get("nd_sll") else asks
    if kind == 136:
        says: Packet = ICMPv6ND_NA(tgt=text["nd_target"], R=0, S=0, O=1)
        return says / ICMPv6NDOptDstLLAddr(lladdr=text["nd_tll"]) if fields.get("nd_tll") else says
    return {134: ICMPv6ND_RA, 128: ICMPv6EchoRequest}[kind]()
