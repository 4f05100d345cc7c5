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
    LEARN_LOCAL = 0x10
    LEARN_REMOTE = 0x11
    LEARNED = 0x12
    KNOWN_SOURCE = 0x13
    NOTICE = 0x18
    NOTICED = 0x19
    ANSWER = 0x20
    OWN_QUESTION = 0x21
    KNOWN = 0x28
    GROUP_ADDRESS = 0x29
    LOOK_UP_LEARNED = 0x2A
    DELIVER = 0x30
    NOT_FOUND = 0x31
    DROP_SPLIT_HORIZON = 0x32
    DROP_UNKNOWN = 0x33
    FLOOD_FROM_PORT = 0x38
    FLOOD_FROM_TUNNEL = 0x39
    DROP_NO_MEMBERS = 0x3A

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


_PURPOSES: Final[dict[Kind, str]] = {
    Kind.CONTINUE: "a miss that goes on to the next table",
    Kind.DROP_NO_NETWORK: "a packet from a port that is in no network",
    Kind.DROP_FOREIGN_TUNNEL: "a tunnel packet whose VNI, encap and source VTEP do not belong together",
    Kind.LOCAL_PORT: "a port of this chassis and the network it is in",
    Kind.VTEP: "a VTEP that may send for a network",
    Kind.DROP_PROBE: "a probe that keeps a tunnel's way warm (VNI 0, which no network has)",
    Kind.DROP_TAGGED: "a VLAN-tagged packet",
    Kind.DROP_RESERVED: "link-local control traffic (STP, LLDP, LACP, pause)",
    Kind.DROP_MULTICAST_SOURCE: "a source address that is a group address",
    Kind.LEARN_LOCAL: "teaches fdb that a MAC is behind a port",
    Kind.LEARN_REMOTE: "teaches fdb that a MAC is behind a VTEP",
    Kind.LEARNED: "a MAC the switch learned by itself",
    Kind.KNOWN_SOURCE: "a source MAC whose place is declared: not learned",
    Kind.NOTICE: "a copy of an ARP packet to the controller, which learns the neighbor",
    Kind.NOTICED: "an ARP packet that tells what is already known",
    Kind.ANSWER: "an ARP request answered in place of a known neighbor",
    Kind.OWN_QUESTION: "a neighbor that asks for its own address (RFC 5227): never answered",
    Kind.KNOWN: "a MAC whose place is declared",
    Kind.GROUP_ADDRESS: "broadcast and multicast",
    Kind.LOOK_UP_LEARNED: "a MAC whose place is not declared: fdb may know it",
    Kind.DELIVER: "a packet whose port is found",
    Kind.NOT_FOUND: "unknown unicast",
    Kind.DROP_SPLIT_HORIZON: "a packet from a tunnel that would leave by a tunnel",
    Kind.DROP_UNKNOWN: "unknown unicast, in a network that does not flood it",
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
    "a local port, or (encap, VNI, source VTEP), gives the packet its VNI; all else is dropped. "
    "The only table that sets the VNI",
    frozenset({"in_port", "tun_id", "tun_src"}),
    ("guard",),
    Kind.DROP_NO_NETWORK,
)
GUARD: Final = Table(
    10,
    "guard",
    "what no port may send: VLAN tags, link-local control traffic, group addresses as source",
    frozenset({"eth_src", "eth_dst", "vlan_tci"}),
    ("learn",),
    Kind.CONTINUE,
)
LEARN: Final = Table(
    20,
    "learn",
    "the source MAC of an undeclared port is learned in the switch, with a limit per port or VTEP",
    frozenset({"metadata", "in_port", "eth_src", ORIGIN, "tun_src"}),
    ("notice",),
    Kind.CONTINUE,
    teaches=("fdb",),
)
NOTICE: Final = Table(
    30,
    "notice",
    "an ARP packet from a local port that tells something new is copied to the controller",
    frozenset({"metadata", ORIGIN, "eth_type", "arp_spa", "arp_sha"}),
    ("respond",),
    Kind.CONTINUE,
)
RESPOND: Final = Table(
    40,
    "respond",
    "ARP requests for known neighbors are answered in the switch",
    frozenset({"metadata", ORIGIN, "eth_type", "arp_op", "arp_tpa", "arp_sha"}),
    ("forward",),
    Kind.CONTINUE,
)
FORWARD: Final = Table(
    50,
    "forward",
    "known unicast: the port, or the VTEP and tunnel port, of a declared MAC",
    frozenset({"metadata", "eth_dst"}),
    ("fdb", "deliver", "flood"),
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
    frozenset({"metadata", ORIGIN, OUTPORT}),
    ("flood",),
    Kind.DELIVER,
)
FLOOD: Final = Table(
    80,
    "flood",
    "BUM to local members and, unless it came from a tunnel, to the VTEPs that have members",
    frozenset({"metadata", ORIGIN}),
    (),
    Kind.DROP_NO_MEMBERS,
)

PIPELINE: Final = (CLASSIFY, GUARD, LEARN, NOTICE, RESPOND, FORWARD, FDB, DELIVER, FLOOD)
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
