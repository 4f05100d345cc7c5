"""THE PIPELINE AS DATA: its tables, the kinds of flow in them, and `describe()`, which renders both.

Each table declares the fields it may match, where it may go, what it may teach and what a miss does;
`flows.flow.flow()` holds every flow against that. The README's table is `describe()`'s output.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

ORIGIN: Final = "reg0"
"""Where a packet came in: `FROM_PORT` or `FROM_TUNNEL`; written by classify."""
FROM_PORT: Final = 0
FROM_TUNNEL: Final = 1
OUTPORT: Final = "reg1"
"""The ofport that forward or fdb found for the packet; 0 while none is found."""
OUT_TAG: Final = "reg2"
"""The VLAN tag it leaves with, as in `vlan_tci`: with `TAG_PRESENT`, and `SERVICE_TAG` if of 802.1ad; 0 for none."""
TAG_PRESENT: Final = 0x1000
SERVICE_TAG: Final = 0x10000
LARGER: Final = "reg3"
"""1 when the packet is larger than the tunnel that it is to leave by can carry; written by deliver."""
LIMIT: Final = "reg5"
"""The largest packet that this tunnel can carry, in octets without Ethernet header; written by deliver."""
IN_TAG: Final = "reg6"
"""The tag that classify has taken off, written as `OUT_TAG` is; 0 for none."""
TOLD: Final = "reg4"
"""1 when the controller was told the same within the last seconds; written by what told holds."""
REASON: Final = "reg7"
"""The kind of drop that the packet ends in, for drop to count it by port; 0 for none."""


class Kind(IntEnum):
    """What a flow is for; it stands in the flow's cookie, so every drop has a name and a counter."""

    CONTINUE = 0x01
    DROP_NO_NETWORK = 0x02
    DROP_FOREIGN_TUNNEL = 0x03
    LOCAL_PORT = 0x04
    VTEP = 0x05
    DROP_PROBE = 0x06
    DROP_TAGGED = 0x08
    DROP_RESERVED = 0x09
    DROP_MULTICAST_SOURCE = 0x0A
    PASS_TAGGED = 0x0B
    OWN_SOURCE = 0x0C
    DROP_SPOOFED_MAC = 0x0D
    REMOTE_SOURCE = 0x0E
    DROP_SPOOFED_TUNNEL = 0x0F
    LEARN_LOCAL = 0x10
    LEARN_REMOTE = 0x11
    LEARNED = 0x12
    KNOWN_SOURCE = 0x13
    OWN_ADDRESS = 0x14
    DROP_SPOOFED_ARP = 0x15
    DROP_SPOOFED_IP = 0x16
    DROP_SPOOFED_ND = 0x17
    NOTICE = 0x18
    NOTICED = 0x19
    TELL = 0x1A
    TOLD = 0x1B
    ALREADY_TOLD = 0x1C
    DROP_ROUTER = 0x1D
    DROP_DHCP_SERVER = 0x1E
    DROP_FRAGMENTED_ND = 0x1F
    ANSWER = 0x20
    OWN_QUESTION = 0x21
    ADVERTISE = 0x22
    ASK_GATEWAY = 0x23
    DROP_UNKNOWN_NEIGHBOR = 0x24
    NOT_ANSWERED = 0x25
    MAY_SEND = 0x26
    DROP_PROBE_ANSWER = 0x27
    KNOWN = 0x28
    GROUP_ADDRESS = 0x29
    LOOK_UP_LEARNED = 0x2A
    MOVING = 0x2B
    DROP_MULTICAST = 0x2C
    DELIVER = 0x30
    NOT_FOUND = 0x31
    DROP_SPLIT_HORIZON = 0x32
    DROP_UNKNOWN = 0x33
    DELIVER_TAGGED = 0x34
    MEASURE = 0x35
    FITS = 0x36
    DROP_TOO_LARGE = 0x37
    FLOOD_FROM_PORT = 0x38
    FLOOD_FROM_TUNNEL = 0x39
    DROP_NO_MEMBERS = 0x3A
    LIMIT = 0x3B
    REFUSE = 0x3C

    @property
    def label(self) -> str:
        """The kind's name as people read it: `drop-split-horizon`."""
        return self.name.lower().replace("_", "-")

    @property
    def purpose(self) -> str:
        """What a flow of this kind is for, in a few words."""
        return _PURPOSES[self]

    @property
    def is_drop(self) -> bool:
        """Whether a packet that ends here is dropped."""
        return self.name.startswith("DROP_")


OVER_FLOOD_RATE: Final = "over-flood-rate"
"""The reason of what a port's meter has dropped: it sent more to all than its `flood_rate`."""

_PURPOSES: Final[dict[Kind, str]] = {
    Kind.CONTINUE: "a miss that goes on to the next table",
    Kind.DROP_NO_NETWORK: "a packet from a port that is in no network",
    Kind.DROP_FOREIGN_TUNNEL: "a tunnel packet whose VNI, encap and source VTEP do not belong together",
    Kind.LOCAL_PORT: "a port of this chassis and the network it is in",
    Kind.VTEP: "a VTEP that may send for a network",
    Kind.DROP_PROBE: "a probe that keeps a tunnel's way warm (VNI 0, which no network has)",
    Kind.DROP_TAGGED: "a packet with a VLAN tag that its port or network does not allow",
    Kind.PASS_TAGGED: "a tagged packet in a network, or within a service tag, that lets tags pass",
    Kind.OWN_SOURCE: "a port that sends from a MAC it may send from",
    Kind.DROP_SPOOFED_MAC: "a port that sends from a MAC that is not its own",
    Kind.REMOTE_SOURCE: "a source MAC that is behind the VTEP the packet came from",
    Kind.DROP_SPOOFED_TUNNEL: "a tunnel packet whose source MAC is not behind that VTEP",
    Kind.OWN_ADDRESS: "a port that speaks for an address it may speak for",
    Kind.DROP_SPOOFED_ARP: "ARP that speaks for somebody else",
    Kind.DROP_SPOOFED_IP: "a source address that is not the port's",
    Kind.DROP_SPOOFED_ND: "neighbor discovery that speaks for somebody else",
    Kind.DROP_ROUTER: "router advertisements and redirects of a port that may not send them",
    Kind.DROP_DHCP_SERVER: "a DHCP server's messages, of a port that may not send them",
    Kind.DROP_FRAGMENTED_ND: "neighbor discovery in fragments (RFC 6980)",
    Kind.MAY_SEND: "what a port may send that others may not",
    Kind.DROP_RESERVED: "link-local control traffic (STP, PVST+, LLDP, CDP, LACP, pause)",
    Kind.DROP_MULTICAST_SOURCE: "a source address that is a group address",
    Kind.LEARN_LOCAL: "teaches fdb that a MAC is behind a port",
    Kind.LEARN_REMOTE: "teaches fdb that a MAC is behind a VTEP",
    Kind.LEARNED: "a MAC the switch learned by itself",
    Kind.KNOWN_SOURCE: "a source MAC whose place is declared: not learned",
    Kind.NOTICE: "ARP and neighbor discovery of a port that may tell something new",
    Kind.NOTICED: "ARP and neighbor discovery that tells what is already known",
    Kind.TELL: "a copy to the controller, which learns the neighbor",
    Kind.TOLD: "what the controller was told a moment ago",
    Kind.ALREADY_TOLD: "what it need not be told again",
    Kind.ANSWER: "a request (ARP, neighbor solicitation) answered in place of a known neighbor",
    Kind.OWN_QUESTION: "a neighbor that asks for its own address (RFC 5227, RFC 4862): never answered",
    Kind.ADVERTISE: "the rest of the answer to a neighbor solicitation",
    Kind.ASK_GATEWAY: "a request for an address that nobody has, sent to the gateway alone",
    Kind.DROP_UNKNOWN_NEIGHBOR: "a request for an address that nobody can have",
    Kind.NOT_ANSWERED: "a solicitation that can't be answered in the switch",
    Kind.DROP_PROBE_ANSWER: "a neighbor's answer to the controller, which asked whether it is still there",
    Kind.KNOWN: "a MAC whose place is declared",
    Kind.GROUP_ADDRESS: "broadcast and multicast",
    Kind.LOOK_UP_LEARNED: "a MAC whose place is not declared: fdb may know it",
    Kind.MOVING: "a MAC whose port is moving: to both places",
    Kind.DROP_MULTICAST: "multicast, in a network that does not flood it",
    Kind.DELIVER: "a packet whose port is found",
    Kind.NOT_FOUND: "unknown unicast",
    Kind.DROP_SPLIT_HORIZON: "a packet from a tunnel that would leave by a tunnel",
    Kind.DROP_UNKNOWN: "unknown unicast, in a network that does not flood it",
    Kind.DELIVER_TAGGED: "a packet whose port is found, and gets a VLAN tag there",
    Kind.MEASURE: "a packet that is to leave by a tunnel: is it too large?",
    Kind.FITS: "a packet that its tunnel can carry",
    Kind.DROP_TOO_LARGE: "a packet that its tunnel can't carry; the controller answers it (RFC 1191, RFC 8201)",
    Kind.REFUSE: "what nobody may send, or not this port; drop counts it by port",
    Kind.LIMIT: "what a port may send to all, in packets per second",
    Kind.FLOOD_FROM_PORT: "to all members of the network",
    Kind.FLOOD_FROM_TUNNEL: "to the members on this chassis",
    Kind.DROP_NO_MEMBERS: "nobody else is in the network",
}


@dataclass(frozen=True)
class Table:
    """One table of the pipeline.

    `next` and `teaches` name the tables it may go to or add learned flows to; `miss` is the kind of the
    flow of lowest priority.
    """

    id: int
    name: str
    purpose: str
    matches: frozenset[str]
    next: tuple[str, ...]
    miss: Kind | None
    teaches: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # Stands in what a flow's cookie is the hash of: only the number may count there.
        return f"Table({self.id})"


CLASSIFY: Final = Table(
    0,
    "classify",
    "a local port and its VLAN tag, or (encap, VNI, source VTEP), give the packet its VNI; all else is dropped. "
    "The only table that sets the VNI",
    frozenset({"in_port", "vlan_tci", "tun_id", "tun_src", "tun_ipv6_src"}),
    ("tags",),
    Kind.DROP_NO_NETWORK,
)
TAGS: Final = Table(
    5,
    "tags",
    "a packet that still has a VLAN tag is dropped, but for networks and service tags that let tags pass; "
    "a priority tag (VID 0) passes nowhere",
    frozenset({"metadata", "in_port", ORIGIN, "vlan_tci", "eth_type"}),
    ("guard", "drop"),
    Kind.CONTINUE,
)
GUARD: Final = Table(
    10,
    "guard",
    "a local port sends from its own MACs; a tunnel packet's source MAC is behind that VTEP; "
    "nobody sends link-local control traffic or from a group address",
    frozenset({"metadata", ORIGIN, "in_port", "eth_src", "eth_dst", "eth_type", "tun_src", "tun_ipv6_src"}),
    ("message", "learn", "forward", "drop"),
    Kind.CONTINUE,
)
MESSAGE: Final = Table(
    12,
    "message",
    "router advertisements, redirects and a DHCP server's messages only from ports that may send them",
    frozenset({"metadata", "in_port", "vlan_tci", "eth_type", "ip_proto", "udp_dst", "icmp_type"})
    | {"icmpv6_type", "ip_frag", "nw_ttl"},
    ("claim", "learn", "drop"),
    Kind.CONTINUE,
)
CLAIM: Final = Table(
    15,
    "claim",
    "a local port speaks for its own addresses: ARP sender and IP source",
    frozenset({"metadata", ORIGIN, "in_port", "eth_src", "eth_type", "arp_spa", "arp_sha", "ip_src", "ipv6_src"})
    | {"arp_op", "ip_proto", "udp_src", "udp_dst"},
    ("discovery", "drop"),
    Kind.CONTINUE,
)
DISCOVERY: Final = Table(
    17,
    "discovery",
    "and so in neighbor discovery: who asks, target, source and target link-layer address",
    frozenset({"metadata", ORIGIN, "in_port", "eth_src", "eth_type", "ip_proto", "icmpv6_type", "nw_ttl"})
    | {"ipv6_src", "nd_target", "nd_sll", "nd_tll"},
    ("learn", "drop"),
    Kind.CONTINUE,
)
LEARN: Final = Table(
    20,
    "learn",
    "a source MAC whose place is not declared is learned in the switch, with a limit per port or VTEP",
    frozenset({"metadata", "in_port", "eth_src", ORIGIN, "tun_src", "tun_ipv6_src"}),
    ("notice", "forward"),
    Kind.CONTINUE,
    teaches=("fdb",),
)
NOTICE: Final = Table(
    30,
    "notice",
    "ARP and neighbor discovery from a local port that tells something new",
    frozenset({"metadata", ORIGIN, "in_port", "vlan_tci", "eth_src", "eth_type", "arp_spa", "arp_sha"})
    | {"ip_proto", "icmpv6_type", "ipv6_src", "nd_target"},
    ("told", "tell", "respond", "forward"),
    Kind.CONTINUE,
)
TELL: Final = Table(
    32,
    "tell",
    "a copy to the controller, once, and metered",
    frozenset({"metadata", "in_port", TOLD, "eth_type", "ip_proto", "icmpv6_type"}),
    ("respond",),
    Kind.ALREADY_TOLD,
    teaches=("told",),
)
TOLD_TABLE: Final = Table(
    33,
    "told",
    "what the controller was told within the last seconds; only `tell` writes here, never the controller",
    frozenset({"metadata", "in_port", "eth_type", "arp_spa", "arp_sha", "ip_proto", "icmpv6_type", "ipv6_src"})
    | {"nd_target", "eth_src"},
    (),
    None,
)
RESPOND: Final = Table(
    40,
    "respond",
    "requests (ARP, neighbor solicitations) for known neighbors are answered in the switch; those for "
    "unknown ones flooded, sent to the gateway or dropped, as the network says",
    frozenset({"metadata", ORIGIN, "eth_src", "eth_dst", "eth_type", "arp_op", "arp_tpa", "arp_sha"})
    | {"arp_spa", "ip_proto", "icmpv6_type", "ipv6_src", "nd_target", "nd_sll"},
    ("advertise", "forward"),
    Kind.CONTINUE,
)
ADVERTISE: Final = Table(
    45,
    "advertise",
    "the last step from a solicitation to the advertisement that answers it, and the tag of an answer",
    frozenset({IN_TAG, "eth_type", "ip_proto", "icmpv6_type"}),
    (),
    None,
)
FORWARD: Final = Table(
    50,
    "forward",
    "known unicast: the port, or the VTEP and tunnel port, of a declared MAC",
    frozenset({"metadata", ORIGIN, "eth_dst"}),
    ("fdb", "deliver", "police"),
    Kind.LOOK_UP_LEARNED,
)
FDB: Final = Table(
    60,
    "fdb",
    "the same for learned MACs; only `learn` writes here, never the controller",
    frozenset({"metadata", "eth_dst"}),
    (),
    None,
)
DELIVER: Final = Table(
    70,
    "deliver",
    "out of the port that was found; never from a tunnel into a tunnel (split horizon). "
    "Where none was found: flood, or drop where the network says so",
    frozenset({"metadata", ORIGIN, OUTPORT, OUT_TAG, "tun_dst", "tun_ipv6_dst"}),
    ("size", "police"),
    Kind.DELIVER,
)
SIZE: Final = Table(
    72,
    "size",
    "a packet that its tunnel can't carry is dropped, and the controller tells the sender how large it may be",
    frozenset({"metadata", LARGER, "in_port"}),
    (),
    Kind.FITS,
)
POLICE: Final = Table(
    75,
    "police",
    "what a port sends to all is limited to so many packets per second",
    frozenset({"metadata", ORIGIN, "in_port"}),
    ("flood",),
    Kind.CONTINUE,
)
FLOOD: Final = Table(
    80,
    "flood",
    "BUM to local members and, unless it came from a tunnel, to the VTEPs that have members",
    frozenset({"metadata", ORIGIN}),
    (),
    Kind.DROP_NO_MEMBERS,
)
DROP: Final = Table(
    90,
    "drop",
    "what tags, guard, message, claim and discovery refuse whoever sends it, counted by port",
    frozenset({"metadata", "in_port", REASON}),
    (),
    None,
)

PIPELINE: Final = (
    *(CLASSIFY, TAGS, GUARD, MESSAGE, CLAIM, DISCOVERY, LEARN, NOTICE, TELL, TOLD_TABLE),
    *(RESPOND, ADVERTISE, FORWARD, FDB, DELIVER, SIZE, POLICE, FLOOD, DROP),
)
"""Every table, in the order a packet meets them."""
BY_NAME: Final[dict[str, Table]] = {table.name: table for table in PIPELINE}
BY_ID: Final[dict[int, Table]] = {table.id: table for table in PIPELINE}


def describe() -> str:
    """The pipeline as a Markdown table, one row per table."""
    lines = ["| # | table | purpose | goes to | a miss |", "|---|---|---|---|---|"]
    for table in PIPELINE:
        miss = table.miss.label if table.miss is not None else "back to the caller"
        lines.append(f"| {table.id} | {table.name} | {table.purpose} | {', '.join(table.next) or '-'} | {miss} |")
    return "\n".join(lines) + "\n"
