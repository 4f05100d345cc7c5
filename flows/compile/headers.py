"""Numbers of the protocols that flows tell apart, and the parts of a match that several tables share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.flow import Match, PushVlan
from flows.model import is_ipv4
from flows.tables import SERVICE_TAG, TAG_PRESENT

ARP: Final = 0x0806
RARP: Final = 0x8035
IPV4: Final = 0x0800
IPV6: Final = 0x86DD
VLAN: Final = 0x8100
SERVICE_VLAN: Final = 0x88A8
"""EtherTypes."""
UDP: Final = 17
ICMPV6: Final = 58
SOLICITATION: Final = 135
ADVERTISEMENT: Final = 136
"""Neighbor solicitation and advertisement (RFC 4861, sections 4.3 and 4.4)."""
HOP_LIMIT: Final = 255
"""What neighbor discovery always has: so no router has forwarded it (RFC 4861, section 11.2)."""
NO_MAC: Final = "00:00:00:00:00:00"
"""What a match on a link-layer address option has where there is no such option."""

GROUP: Final = ("01:00:00:00:00:00", "01:00:00:00:00:00")
"""The bit of a MAC that makes it a group address."""
TAGGED: Final = (TAG_PRESENT, TAG_PRESENT)
"""The bit of `vlan_tci` that says there is a tag (ovs-fields(7))."""
PRIORITY_TAG: Final = (TAG_PRESENT, TAG_PRESENT | 0xFFF)
"""A tag with no number (VID 0): it has a priority alone (IEEE 802.1Q, section 9.6)."""

SOLICITS: Final[Match] = {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": SOLICITATION}
ADVERTISES: Final[Match] = {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": ADVERTISEMENT}


def tag_bits() -> Iterator[tuple[PushVlan, tuple[int, int]]]:
    """What puts a tag on, and the match on a register that says so (`OUT_TAG`, `IN_TAG`): 802.1Q, and 802.1ad."""
    yield PushVlan(VLAN), (TAG_PRESENT, TAG_PRESENT | SERVICE_TAG)
    yield PushVlan(SERVICE_VLAN), (TAG_PRESENT | SERVICE_TAG, TAG_PRESENT | SERVICE_TAG)


def source(ip: str) -> Match:
    """A match on packets from an address or prefix."""
    return {"eth_type": IPV4, "ip_src": masked(ip)} if is_ipv4(ip) else {"eth_type": IPV6, "ipv6_src": masked(ip)}


def masked(ip: str) -> str | tuple[int, int]:
    """An address or prefix as a flow matches it."""
    address, slash, length = ip.partition("/")
    width = 32 if is_ipv4(ip) else 128
    if not slash or int(length) == width:
        return address
    import netaddr

    return int(netaddr.IPAddress(address)), (1 << width) - (1 << width - int(length))


def tunnel_source(ip: str) -> Match:
    """A match on packets that came from a VTEP."""
    return {"tun_src" if is_ipv4(ip) else "tun_ipv6_src": ip}


def tunnel_target(ip: str) -> Match:
    """A match on packets that are to go to a VTEP."""
    return {"tun_dst" if is_ipv4(ip) else "tun_ipv6_dst": ip}
