"""Table notice: an ARP packet from a local port that tells something new is copied to the controller.

What is known already is recognised here, so a neighbor reaches the controller once, not at each packet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.compile.view import View
from flows.flow import Controller, Flow, Goto, Match, flow
from flows.tables import FROM_PORT, NOTICE, ORIGIN, RESPOND, Kind

ARP: Final = 0x0806
ARP_FRAME: Final = 64
"""Bytes of an ARP packet that are copied: it has 42, and an untagged minimal frame 60."""


def notice(view: View) -> Iterator[Flow]:
    """All ARP of the network's own ports, except what tells a known neighbor or only probes."""
    here: Match = {"metadata": view.vni, ORIGIN: FROM_PORT, "eth_type": ARP}
    for ip, mac in view.neighbors:
        yield flow(NOTICE, Kind.NOTICED, 200, {**here, "arp_spa": ip, "arp_sha": mac}, [Goto(RESPOND)])
    yield flow(NOTICE, Kind.NOTICE, 100, here, [Controller(ARP_FRAME), Goto(RESPOND)])


def misses() -> Iterator[Flow]:
    """An address probe (RFC 5227: no sender address) claims nothing yet; all else is no ARP."""
    probe: Match = {ORIGIN: FROM_PORT, "eth_type": ARP, "arp_spa": "0.0.0.0"}
    yield flow(NOTICE, Kind.NOTICED, 300, probe, [Goto(RESPOND)])
    yield flow(NOTICE, Kind.CONTINUE, 0, {}, [Goto(RESPOND)])
