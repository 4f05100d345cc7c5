"""Whether the tunnels of one chassis carry anything: it sends a probe through each, and counts those of the others.

Each chassis counts what comes from every VTEP that it takes packets from; so a way is watched where it ends, in each
direction by itself, and nobody answers. That costs one reading and one message every so often.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from controller.channel import Channel
from controller.events import Event, about
from controller.state import State
from flows import probe
from flows.model import Chassis, Encap
from flows.tables import Kind

LOG: Final = logging.getLogger("overlay.tunnels")
LOOK_S: Final = 2.0
"""Seconds between two looks, and two probes, in an overlay that is not large."""
PROBES_A_SECOND: Final = 1000
"""Probes that all chassis together send at most: in a large overlay each way has one less often."""
SILENT_LOOKS: Final = 3
"""Looks in a row at which nothing has come, after which a tunnel is said to be silent."""


def period(chassis: int) -> float:
    """Seconds between two looks in an overlay of so many chassis; each controller has to come to the same."""
    return max(LOOK_S, chassis * (chassis - 1) / PROBES_A_SECOND)


class Counts:
    """What has come from each peer at the last look, and for how many looks nothing has. Pure but for memory."""

    def __init__(self) -> None:
        self._seen: dict[probe.Peer, tuple[int, int]] = {}

    def look(
        self, counted: Mapping[probe.Source, int], peers: Iterable[probe.Peer], sends: Callable[[str], bool]
    ) -> frozenset[probe.Source]:
        """The peers that are silent, by their first address; `sends` says whether the chassis of a VTEP sends probes.

        Looks are counted, not seconds: a controller that is stopped sends nothing either.
        """
        before, self._seen = self._seen, {}
        for peer in peers:
            encap, addresses = peer
            total = sum(counted[encap, ip] for ip in addresses)
            last, looks = before.get(peer, (-1, 0))
            self._seen[peer] = (total, looks + 1 if total == last and any(map(sends, addresses)) else 0)
        return frozenset((encap, ips[0]) for (encap, ips), (_, looks) in self._seen.items() if looks >= SILENT_LOOKS)


class Tunnels:
    """The tunnels of one chassis, while its switch is connected to us as its master."""

    def __init__(self, chassis: str, state: State) -> None:
        self._chassis = chassis
        self._state = state
        self._counts = Counts()

    def look(self, channel: Channel, views: probe.Views) -> None:
        """Read what has come, tell what is silent, and send the next probes. Raises ChannelError."""
        state, counted = self._state, Counter[probe.Source]()
        sources = probe.counters(views)
        for row in channel.stats(Kind.DROP_PROBE):
            if row.key in sources:
                counted[sources[row.key]] += row.packets
        at = {vtep.ip: each for each in state.overlay.chassis.values() for vtep in each.ends}
        silent = self._counts.look(counted, probe.peers(views), lambda ip: self._sends(at.get(ip)))
        self._tell({source: at[source[1]].name for source in silent if source[1] in at})
        if not channel.behind:
            channel.send_packets((probe.FRAME, probe.actions(way)) for way in sorted(probe.ways(views)))

    def _sends(self, chassis: Chassis | None) -> bool:
        """Whether a chassis is one that sends probes: its switch is connected, and has its flows."""
        known = self._state.chassis.get(chassis.name) if chassis is not None else None
        return known is not None and known.connected and not known.fault and known.applied >= 0

    def _tell(self, silent: Mapping[tuple[Encap, str], str]) -> None:
        known = self._state.chassis.get(self._chassis)
        if known is None or known.silent == silent:
            return
        for (encap, ip), name in sorted((silent | known.silent).items()):
            if (encap, ip) not in silent:
                extra = about(Event.TUNNEL_HEARD, chassis=self._chassis, other=name, encap=encap, vtep=ip)
                LOG.info("%s: what %s sends by %s arrives again", self._chassis, name, encap, extra=extra)
            elif (encap, ip) not in known.silent:
                extra = about(Event.TUNNEL_SILENT, chassis=self._chassis, other=name, encap=encap, vtep=ip)
                what = "%s: nothing arrives of what %s sends by %s from %s"
                LOG.warning(what, self._chassis, name, encap, ip, extra=extra)
        known.silent = dict(silent)
        self._state.noted()
