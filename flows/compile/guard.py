"""Table guard: what no port may send, whoever it belongs to, dropped before anything learns from it."""

from __future__ import annotations

from collections.abc import Iterator

from flows.flow import Flow, Goto, flow
from flows.tables import GUARD, LEARN, Kind

_GROUP_BIT = ("01:00:00:00:00:00", "01:00:00:00:00:00")
_LINK_LOCAL = ("01:80:c2:00:00:00", "ff:ff:ff:ff:ff:f0")
"""The block a bridge never forwards (IEEE 802.1Q, table 8-1)."""
_TAGGED = (0x1000, 0x1000)
"""The bit of `vlan_tci` that says there is a tag (ovs-fields(7))."""


def guard() -> Iterator[Flow]:
    """The three drops, and on."""
    yield flow(GUARD, Kind.DROP_TAGGED, 300, {"vlan_tci": _TAGGED}, [])
    yield flow(GUARD, Kind.DROP_RESERVED, 200, {"eth_dst": _LINK_LOCAL}, [])
    yield flow(GUARD, Kind.DROP_MULTICAST_SOURCE, 100, {"eth_src": _GROUP_BIT}, [])
    yield flow(GUARD, Kind.CONTINUE, 0, {}, [Goto(LEARN)])
