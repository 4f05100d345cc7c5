"""A packet by its fields: which it has at all, which of them are on the wire, and which a switch looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from flows.fields import FIELDS, Field
from flows.tables import TAG_PRESENT

STATE: Final = frozenset(
    {"in_port", "metadata", "tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst"}
    | {"reg0", "reg1", "reg2", "reg3", "reg4", "reg5", "reg6", "reg7"}
)
"""The fields that are the pipeline's own and not on the wire."""
BEYOND: Final = {
    field.name: field
    for field in (
        Field("octets", 16, "int", 0, 0, ""),
        Field("vlan_tpid", 16, "hex", 0, 0, ""),
        Field("inner_tci", 16, "hex", 0, 0, ""),
        Field("inner_tpid", 16, "hex", 0, 0, ""),
    )
}
"""What a packet has that no flow can match: its length with its Ethernet header, 0 for a small one; the EtherType of
its _VLAN tag, 0 for 802.1Q's; and a second tag behind that, and that one's EtherType."""
_NEEDS: Final[Mapping[str, tuple[Mapping[str, int], ...]]] = {
    **dict.fromkeys(
        ("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"), ({"eth_type": 0x0806}, {"eth_type": 0x8035})
    ),
    **dict.fromkeys(("ip_proto", "nw_ttl", "ip_frag"), ({"eth_type": 0x0800}, {"eth_type": 0x86DD})),
    **dict.fromkeys(("ip_src", "ip_dst"), ({"eth_type": 0x0800},)),
    **dict.fromkeys(("ipv6_src", "ipv6_dst"), ({"eth_type": 0x86DD},)),
    **dict.fromkeys(("udp_src", "udp_dst"), ({"ip_proto": 17},)),
    "icmp_type": ({"eth_type": 0x0800, "ip_proto": 1},),
    "icmpv6_type": ({"eth_type": 0x86DD, "ip_proto": 58},),
    **dict.fromkeys(("nd_target", "nd_reserved", "nd_options_type"), ({"icmpv6_type": 135}, {"icmpv6_type": 136})),
    "nd_sll": ({"icmpv6_type": 135},),
    "nd_tll": ({"icmpv6_type": 136},),
}
"""Which packets have a field at all: those that agree with one of these, and have what that needs (ovs-fields(7))."""
_VLAN: Final = 0x8100
_TAGS: Final = frozenset({"vlan_tci", "vlan_tpid", "inner_tci", "inner_tpid"})


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet's fields by name, sorted; one that is 0 or that the packet does not have is left out."""

    items: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, fields: Mapping[str, int]) -> Packet:
        """The packet with these fields."""
        return cls(tuple(sorted([item for item in fields.items() if item[1]])))

    def __getitem__(self, name: str) -> int:
        return dict(self.items).get(name, 0)

    def on_wire(self) -> Packet:
        """The packet without the pipeline's own fields, and without those that a packet of its kind has not."""
        fields = dict(self.items)
        gone = _absent(*[fields.get(name, 0) for name in _DECIDING])
        if not fields.get("vlan_tci", 0) & TAG_PRESENT:
            gone |= _TAGS
        return Packet(tuple([item for item in self.items if item[0] not in gone]))

    def but(self, **written: int | str) -> Packet:
        """The packet with some fields written anew."""
        values = {name: (BEYOND.get(name) or FIELDS[name]).value(value) for name, value in written.items()}
        return Packet.of({**dict(self.items), **values})


def has(fields: Mapping[str, int], name: str) -> bool:
    """Whether a packet of this kind has such a field."""
    needs = _NEEDS.get(name)
    return needs is None or any(
        all(fields.get(other, 0) == value and has(fields, other) for other, value in need.items()) for need in needs
    )


_DECIDING: Final = ("eth_type", "ip_proto", "icmpv6_type")
"""The fields on which it depends what others a packet has."""


@lru_cache(maxsize=1024)
def _absent(eth_type: int, ip_proto: int, icmpv6_type: int) -> frozenset[str]:
    """The fields that a packet of this kind has not on the wire."""
    fields = dict(zip(_DECIDING, (eth_type, ip_proto, icmpv6_type), strict=True))
    return STATE | {name for name in _NEEDS if not has(fields, name)}


def packet(**written: int | str) -> Packet:
    """A packet from its fields as written; ValueError or KeyError when one is none."""
    return Packet(()).but(**written)


def tpid(ethertype: int) -> int:
    """What stands in a packet for the EtherType of a tag."""
    return 0 if ethertype == _VLAN else ethertype


def seen(packet: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """What Open vSwitch sees of a packet, and what it does not: behind one tag it looks at no further one.

    Of the second tag it sees the EtherType, as if that were the packet's (ovs-vswitchd.conf.db(5), `vlan-limit`).
    """
    if not packet.get("inner_tci", 0) & TAG_PRESENT:
        return packet, {}
    before = {"eth_src", "eth_dst", "vlan_tci", "vlan_tpid", "octets", *STATE}
    unseen = {name: value for name, value in packet.items() if name not in before}
    rest = {name: value for name, value in packet.items() if name in before}
    return {**rest, "eth_type": packet.get("inner_tpid", 0) or _VLAN}, unseen
