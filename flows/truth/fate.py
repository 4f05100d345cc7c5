"""What may become of a frame, as values: who gets it, or why nobody does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from flows.tables import Kind

FORGED: Final = frozenset(
    {Kind.DROP_NO_NETWORK, Kind.DROP_FOREIGN_TUNNEL, Kind.DROP_PROBE, Kind.DROP_TAGGED, Kind.DROP_RESERVED}
    | {Kind.DROP_MULTICAST_SOURCE, Kind.DROP_SPOOFED_MAC, Kind.DROP_SPOOFED_TUNNEL, Kind.DROP_SPOOFED_ARP}
    | {Kind.DROP_SPOOFED_IP, Kind.DROP_SPOOFED_ND, Kind.DROP_ROUTER, Kind.DROP_DHCP_SERVER, Kind.DROP_FRAGMENTED_ND}
)
"""Why a frame is dropped that should not have been sent: nothing is learned from it."""


@dataclass(frozen=True, slots=True)
class Received:
    """A frame that comes out of a port; its fields as on the wire, sorted by name."""

    chassis: str
    ofport: int
    frame: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Fate:
    """What may become of a frame.

    Each of `must` gets it once, each of `may` at most once, nobody else at all. `reasons` are those under one of
    which it is dropped where nobody must get it; None: it needs no name. `told`: whether the controller gets a copy;
    None: it may. `rates`: the limits, in packets per second, that it counts against; None: any. `learns`: whether a
    switch may learn where its source is; never where that is declared, or forged.
    """

    network: str | None = None
    must: frozenset[Received] = frozenset()
    may: frozenset[Received] = frozenset()
    reasons: frozenset[Kind] | None = None
    told: bool | None = False
    rates: frozenset[int] | None = frozenset()
    learns: bool = True

    def optional(self) -> Fate:
        """The same, but nobody need get it."""
        return replace(self, must=frozenset(), may=self.must | self.may, reasons=None, told=None, rates=None)
