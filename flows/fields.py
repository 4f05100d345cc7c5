"""The packet and pipeline fields that flows match and set, as data.

One row per field: its name (as `ovs-ofctl` spells it), width, how a value is written, and its OXM/NXM
number (ovs-fields(7), OpenFlow 1.4 section 7.2.3.7). Everything else looks here; nothing parses a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import netaddr

OXM_BASIC: Final = 0x8000
"""OXM class of the standard's fields."""
NXM_0: Final = 0x0000
NXM_1: Final = 0x0001
"""OXM classes of Nicira's fields."""
ERICSSON: Final = 0x1000
"""OXM class of Ericsson's fields of neighbor discovery; Open vSwitch has them without an experimenter's id."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a packet or of the pipeline's own state.

    `name` is its name in flow text, `nxm` its name where an action names a whole field (`NXM_OF_ETH_SRC`).
    """

    name: str
    bits: int
    kind: str
    """How a value is written: `int` (decimal), `hex`, `mac`, `ipv4` or `ipv6`."""
    oxm_class: int
    oxm_number: int
    nxm: str
    maskable: bool = True

    @property
    def octets(self) -> int:
        """Length of a value on the wire, in bytes."""
        return (self.bits + 7) // 8

    def value(self, written: int | str) -> int:
        """The number for a value as written; ValueError names field and value when it is not one."""
        try:
            if isinstance(written, int):
                number = written
            elif self.kind == "mac":
                number = int(netaddr.EUI(written))
            elif self.kind == "ipv4":
                number = int(netaddr.IPAddress(written, 4))
            elif self.kind == "ipv6":
                number = int(netaddr.IPAddress(written, 6))
            else:
                number = int(written, 0)
        except (netaddr.AddrFormatError, ValueError) as error:
            raise ValueError(f"{self.name}: {written!r} is no {self.kind} value") from error
        if not 0 <= number < 1 << self.bits:
            raise ValueError(f"{self.name}: {written!r} does not fit in {self.bits} bits")
        return number

    def text(self, number: int) -> str:
        """A value as `ovs-ofctl` writes it."""
        if self.kind == "mac":
            return ":".join(f"{octet:02x}" for octet in number.to_bytes(6, "big"))
        if self.kind == "ipv4":
            return ".".join(str(octet) for octet in number.to_bytes(4, "big"))
        if self.kind == "ipv6":
            return str(netaddr.IPAddress(number, 6))
        return str(number) if self.kind == "int" else hex(number)


_ALL: Final = (
    Field("in_port", 32, "int", OXM_BASIC, 0, "OXM_OF_IN_PORT", maskable=False),
    Field("metadata", 64, "hex", OXM_BASIC, 2, "OXM_OF_METADATA"),
    Field("eth_dst", 48, "mac", OXM_BASIC, 3, "NXM_OF_ETH_DST"),
    Field("eth_src", 48, "mac", OXM_BASIC, 4, "NXM_OF_ETH_SRC"),
    Field("eth_type", 16, "hex", OXM_BASIC, 5, "NXM_OF_ETH_TYPE", maskable=False),
    Field("vlan_tci", 16, "hex", NXM_0, 4, "NXM_OF_VLAN_TCI"),
    Field("ip_proto", 8, "int", OXM_BASIC, 10, "NXM_OF_IP_PROTO", maskable=False),
    Field("nw_ttl", 8, "int", NXM_1, 29, "NXM_NX_IP_TTL", maskable=False),
    Field("ip_frag", 8, "hex", NXM_1, 26, "NXM_NX_IP_FRAG"),
    Field("ip_src", 32, "ipv4", OXM_BASIC, 11, "NXM_OF_IP_SRC"),
    Field("ip_dst", 32, "ipv4", OXM_BASIC, 12, "NXM_OF_IP_DST"),
    Field("ipv6_src", 128, "ipv6", OXM_BASIC, 26, "NXM_NX_IPV6_SRC"),
    Field("ipv6_dst", 128, "ipv6", OXM_BASIC, 27, "NXM_NX_IPV6_DST"),
    Field("udp_src", 16, "int", OXM_BASIC, 15, "NXM_OF_UDP_SRC"),
    Field("udp_dst", 16, "int", OXM_BASIC, 16, "NXM_OF_UDP_DST"),
    Field("icmp_type", 8, "int", OXM_BASIC, 19, "NXM_OF_ICMP_TYPE", maskable=False),
    Field("icmpv6_type", 8, "int", OXM_BASIC, 29, "NXM_NX_ICMPV6_TYPE", maskable=False),
    Field("nd_target", 128, "ipv6", OXM_BASIC, 31, "NXM_NX_ND_TARGET"),
    Field("nd_sll", 48, "mac", OXM_BASIC, 32, "NXM_NX_ND_SLL"),
    Field("nd_tll", 48, "mac", OXM_BASIC, 33, "NXM_NX_ND_TLL"),
    Field("nd_reserved", 32, "int", ERICSSON, 1, "ERICOXM_OF_ICMPV6_ND_RESERVED", maskable=False),
    Field("nd_options_type", 8, "int", ERICSSON, 2, "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", maskable=False),
    Field("arp_op", 16, "int", OXM_BASIC, 21, "NXM_OF_ARP_OP", maskable=False),
    Field("arp_spa", 32, "ipv4", OXM_BASIC, 22, "NXM_OF_ARP_SPA"),
    Field("arp_tpa", 32, "ipv4", OXM_BASIC, 23, "NXM_OF_ARP_TPA"),
    Field("arp_sha", 48, "mac", OXM_BASIC, 24, "NXM_NX_ARP_SHA"),
    Field("arp_tha", 48, "mac", OXM_BASIC, 25, "NXM_NX_ARP_THA"),
    Field("tun_id", 64, "hex", OXM_BASIC, 38, "NXM_NX_TUN_ID"),
    Field("tun_src", 32, "ipv4", NXM_1, 31, "NXM_NX_TUN_IPV4_SRC"),
    Field("tun_dst", 32, "ipv4", NXM_1, 32, "NXM_NX_TUN_IPV4_DST"),
    Field("tun_ipv6_src", 128, "ipv6", NXM_1, 109, "NXM_NX_TUN_IPV6_SRC"),
    Field("tun_ipv6_dst", 128, "ipv6", NXM_1, 110, "NXM_NX_TUN_IPV6_DST"),
    Field("reg0", 32, "hex", NXM_1, 0, "NXM_NX_REG0"),
    Field("reg1", 32, "hex", NXM_1, 1, "NXM_NX_REG1"),
    Field("reg2", 32, "hex", NXM_1, 2, "NXM_NX_REG2"),
    Field("reg3", 32, "hex", NXM_1, 3, "NXM_NX_REG3"),
    Field("reg4", 32, "hex", NXM_1, 4, "NXM_NX_REG4"),
    Field("reg5", 32, "hex", NXM_1, 5, "NXM_NX_REG5"),
    Field("reg6", 32, "hex", NXM_1, 6, "NXM_NX_REG6"),
    Field("reg7", 32, "hex", NXM_1, 7, "NXM_NX_REG7"),
)

FIELDS: Final[dict[str, Field]] = {field.name: field for field in _ALL}
"""Every field by its name; each stands behind those that a match on it needs (ovs-fields(7), prerequisites)."""
PLACE: Final = {name: place for place, name in enumerate(FIELDS)}
"""Where each stands in that order."""
