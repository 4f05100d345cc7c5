"""Table drop: what others refuse whoever sends it ends here, so that it is known which port sends it.

One flow where it is refused, and one here for each port: not a copy of every match for every port.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.compile.view import View
from flows.flow import Action, Flow, Goto, flow, set_field
from flows.model import May
from flows.tables import DROP, REASON, Kind

_REASONS: Final[dict[Kind, May | None]] = {
    Kind.DROP_TAGGED: None,
    Kind.DROP_RESERVED: None,
    Kind.DROP_MULTICAST_SOURCE: None,
    Kind.DROP_ROUTER: May.ROUTER,
    Kind.DROP_DHCP_SERVER: May.DHCP_SERVER,
    Kind.DROP_FRAGMENTED_ND: None,
    Kind.DROP_SPOOFED_ARP: None,
    Kind.DROP_SPOOFED_ND: None,
}
"""What ends here, and what a port is allowed that never gets here with it."""


def refuse(reason: Kind) -> list[Action]:
    """What has a packet dropped for a reason, and counted by port."""
    return [set_field(REASON, reason), Goto(DROP)]


def drop(view: View) -> Iterator[Flow]:
    """Each port, and what it may not send."""
    for port in view.ports:
        for reason, allowed in _REASONS.items():
            if allowed not in port.may:
                match = {"metadata": view.vni, "in_port": port.ofport, REASON: int(reason)}
                yield flow(DROP, reason, 100, match, [])


def misses() -> Iterator[Flow]:
    """What came by a tunnel."""
    for reason in _REASONS:
        yield flow(DROP, reason, 50, {REASON: int(reason)}, [])
