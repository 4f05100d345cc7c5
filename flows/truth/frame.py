"""A frame by its fields, and addresses as numbers: what can be read off it, whoever sends it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

import netaddr

from flows.model import is_ipv4

Fields = Mapping[str, int]
"""A frame as it is on the wire, by field name; in a tunnel packet with `tun_id` and both ends."""
Address = tuple[int, int]
"""(family, number), the family being 4 or 6."""

ARP: Final = 0x0806
RARP: Final = 0x8035
IPV4: Final = 0x0800
IPV6: Final = 0x86DD
ICMP, UDP, ICMPV6 = 1, 17, 58
BROADCAST: Final = 0xFFFFFFFFFFFF
GROUP: Final = 1 << 40
"""The bit of a MAC that is not one host's."""
PRESENT: Final = 0x1000
"""The bit of `vlan_tci` that says there is a tag."""
_TAGS: Final = frozenset({0x8100, 0x88A8})


@cache
def mac_number(mac: str) -> int:
    """A MAC as a number."""
    return int(mac.replace(":", ""), 16)


@cache
def address(ip: str) -> Address:
    """An IP address as (family, number)."""
    return (4 if is_ipv4(ip) else 6, int(netaddr.IPAddress(ip)))


@cache
def prefix(ip: str) -> tuple[Address, int]:
    """The first address of a prefix, or an address alone, and the mask."""
    found = netaddr.IPNetwork(ip)
    return (found.version, int(found.network)), int(found.netmask)


@cache
def link_local(mac: int) -> Address:
    """The link-local address that goes with a MAC (RFC 4291, appendix A)."""
    return 6, 0xFE80 << 112 | (mac >> 24 ^ 0x020000) << 40 | 0xFFFE << 24 | mac & 0xFFFFFF


def is_tagged(frame: Fields) -> bool:
    """Whether it has a VLAN tag, whichever of the two EtherTypes that has."""
    return bool(frame.get("vlan_tci", 0) & PRESENT) or frame.get("eth_type", 0) in _TAGS


def has_priority_tag(frame: Fields) -> bool:
    """Whether its outermost tag has a priority alone: hosts take what is behind it for untagged."""
    return frame.get("vlan_tci", 0) & (PRESENT | 0xFFF) == PRESENT


def without_tag(frame: dict[str, int]) -> dict[str, int]:
    """A frame without its outermost tag."""
    rest = {name: value for name, value in frame.items() if name not in ("vlan_tci", "vlan_tpid")}
    if "octets" in rest:
        rest["octets"] -= 4
    if "inner_tci" in rest:
        rest["vlan_tci"] = rest.pop("inner_tci")
        if "inner_tpid" in rest:
            rest["vlan_tpid"] = rest.pop("inner_tpid")
    return rest


def with_tag(frame: Fields, tag: int, service_tag: bool) -> tuple[tuple[str, int], ...]:
    """The fields of a frame with a port's tag."""
    out = {name: value for name, value in frame.items() if value}
    if tag:
        if "inner_tci" in out:
            # Behind two tags nothing is told apart any more.
            out["eth_type"] = out.pop("inner_tpid", 0x8100)
            seen = ("eth_src", "eth_dst", "eth_type", "vlan_tci", "vlan_tpid", "octets")
            out = {key: value for key, value in out.items() if key in seen}
        if out.get("vlan_tci", 0) & PRESENT:
            out["inner_tci"] = out["vlan_tci"]
            if "vlan_tpid" in out:
                out["inner_tpid"] = out.pop("vlan_tpid")
        out["vlan_tci"] = PRESENT | tag
        if service_tag:
            out["vlan_tpid"] = 0x88A8
        if "octets" in out:
            out["octets"] += 4
    return tuple(sorted(out.items()))


def is_discovery(frame: Fields) -> bool:
    """Whether it is a neighbor solicitation or advertisement."""
    return (
        frame.get("eth_type", 0) == IPV6
        and frame.get("ip_proto", 0) == ICMPV6
        and not frame.get("ip_frag", 0) & 1
        and frame.get("icmpv6_type", 0) in (135, 136)
    )


def asked_for(frame: Fields) -> Address | None:
    """The address that a request is for; None for all that is no request."""
    if frame.get("eth_type", 0) == ARP and frame.get("arp_op", 0) == 1:
        return 4, frame.get("arp_tpa", 0)
    if is_discovery(frame) and frame["icmpv6_type"] == 135:
        return 6, frame.get("nd_target", 0)
    return None


def asked_from(frame: Fields) -> int:
    """The address that a request comes from; 0 for a probe."""
    return frame.get("arp_spa", 0) if frame["eth_type"] == ARP else frame.get("ipv6_src", 0)
