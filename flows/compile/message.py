"""Table message: what only routers and DHCP servers send comes from ports alone that may send it.

Open vSwitch does not see the ports and types of fragments, so neighbor discovery in fragments is dropped as such; no
honest host sends it (RFC 6980), and its hop limit gives it away. Tagged packets are not the network's own: no claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.compile.drop import refuse
from flows.compile.headers import HOP_LIMIT, ICMPV6, IPV4, IPV6, TAGGED, UDP
from flows.compile.view import View
from flows.flow import Flow, Goto, Match, flow
from flows.model import May
from flows.tables import CLAIM, LEARN, MESSAGE, Kind

_ICMP: Final = 1
_MESSAGES: Final[dict[May, tuple[Match, ...]]] = {
    May.ROUTER: (
        {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": 134},
        {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": 137},
        {"eth_type": IPV4, "ip_proto": _ICMP, "icmp_type": 5},
    ),
    May.DHCP_SERVER: (
        {"eth_type": IPV4, "ip_proto": UDP, "udp_dst": 68},
        {"eth_type": IPV6, "ip_proto": UDP, "udp_dst": 546},
    ),
}
"""Router advertisement, redirect (RFC 4861), redirect (RFC 792); what goes to clients of DHCP (RFC 2131, RFC 8415),
who look at no source port, and themselves send to other ports."""
_DROPS: Final = {May.ROUTER: Kind.DROP_ROUTER, May.DHCP_SERVER: Kind.DROP_DHCP_SERVER}


def message(view: View) -> Iterator[Flow]:
    """The ports that may."""
    for port in view.ports:
        here: Match = {"metadata": view.vni, "in_port": port.ofport}
        for may in sorted(port.may):
            for sent in _MESSAGES[may]:
                yield flow(MESSAGE, Kind.MAY_SEND, 200, {**here, **sent, "vlan_tci": (0, TAGGED[1])}, [Goto(CLAIM)])


def misses() -> Iterator[Flow]:
    """All others may not."""
    yield flow(MESSAGE, Kind.PASS_TAGGED, 300, {"vlan_tci": TAGGED}, [Goto(LEARN)])
    for may in May:
        for sent in _MESSAGES[may]:
            yield flow(MESSAGE, Kind.REFUSE, 100, {**sent, "vlan_tci": (0, TAGGED[1])}, refuse(_DROPS[may]))
    fragment: Match = {"eth_type": IPV6, "ip_proto": ICMPV6, "ip_frag": (1, 1), "nw_ttl": HOP_LIMIT}
    untagged: Match = {**fragment, "vlan_tci": (0, TAGGED[1])}
    yield flow(MESSAGE, Kind.REFUSE, 110, untagged, refuse(Kind.DROP_FRAGMENTED_ND))
    yield flow(MESSAGE, Kind.CONTINUE, 0, {}, [Goto(CLAIM)])
