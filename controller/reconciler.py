"""The loop of one chassis: wait until something is dirty, compile, plan, apply, confirm.

One greenthread per chassis, so a slow switch delays nobody else.
"""

from __future__ import annotations

import logging
from collections import Counter
from time import monotonic
from typing import Final

from ryu.lib import hub

from controller.channel import Channel, ChannelError
from controller.state import State
from flows import probe, text
from flows.compile import Cache, compile, notice
from flows.plan import Key, plan
from flows.tables import Kind

LOG: Final = logging.getLogger("overlay.reconciler")
REREAD_S: Final = 30
"""Seconds between full reads of a switch's flows, which find what somebody else changed."""


class Reconciler:
    """Keeps one chassis' flows what they should be, as long as it lives."""

    def __init__(self, chassis: str, state: State) -> None:
        self.chassis = chassis
        self._state = state
        self._dirty = hub.Event()
        self._cache: Cache = {}
        self._channel: Channel | None = None
        self._installed: set[Key] | None = None
        self._warmed: frozenset[probe.Way] = frozenset()
        self._read_at = monotonic()
        self._listened_at = monotonic()

    def wake(self) -> None:
        """Something that the flows depend on may have changed."""
        self._dirty.set()

    def attach(self, channel: Channel) -> None:
        """Take a new connection to the switch; an older one is ended."""
        if self._channel is not None:
            self._channel.close()
            self._channel.on_end()
        self._channel, self._installed, self._warmed = channel, None, frozenset()
        self.wake()

    def detach(self, channel: Channel) -> bool:
        """Drop the connection if it is the present one; whether it was."""
        channel.on_end()
        if self._channel is not channel:
            return False
        self._channel = None
        return True

    def run(self) -> None:
        """The loop; never returns."""
        while True:
            due = min(self._read_at + REREAD_S, self._listened_at + (self._state.listens or REREAD_S))
            self._dirty.wait(timeout=max(0.0, due - monotonic()))
            self._dirty.clear()
            if monotonic() >= self._listened_at + (self._state.listens or REREAD_S):
                self._listen()
            if monotonic() >= self._read_at + REREAD_S:
                self._read_again()
            channel = self._channel
            if channel is None:
                continue
            try:
                self._reconcile(channel)
            except ChannelError as error:
                LOG.warning("%s: %s", self.chassis, error)
                if channel is self._channel:
                    channel.close()

    def _read_again(self) -> None:
        """Look for what somebody else changed; the next pass repairs it, this one tells."""
        self._read_at = monotonic()
        channel, remembered = self._channel, self._installed
        self._warmed = frozenset()
        if channel is None or remembered is None:
            return
        try:
            found = channel.read()
        except ChannelError as error:
            LOG.warning("%s: %s", self.chassis, error)
            return
        if found != remembered and channel is self._channel and remembered is self._installed:
            gone, strange = len(remembered - found), len(found - remembered)
            LOG.warning("%s: flows changed by somebody else: %d gone, %d added", self.chassis, gone, strange)
            self._installed = found

    def _listen(self) -> None:
        """Look which learned neighbors were heard at the switch, and let it ask those that were not for long."""
        self._listened_at = monotonic()
        channel, state = self._channel, self._state
        if channel is None or self._installed is None or state.listens is None:
            return
        whose = {key: (view.vni, ip) for view in self._cache for key, ip in notice.listening(view).items()}
        if not whose and all(neighbor.chassis != self.chassis for neighbor in state.overlay.neighbors):
            return
        counted: Counter[tuple[int, str]] = Counter()
        try:
            for key, packets in channel.counted(Kind.NOTICED).items():
                if key in whose:
                    counted[whose[key]] += packets
            for frame, actions in state.listen(self.chassis, counted, monotonic()):
                channel.send_packet(frame, actions)
        except ChannelError as error:
            LOG.warning("%s: %s", self.chassis, error)

    def _reconcile(self, channel: Channel) -> None:
        """One pass. Nothing is touched before the overlay and the chassis' own ports are known."""
        state = self._state
        known = state.chassis.get(self.chassis)
        if state.alarm or not state.complete or known is None or known.plugged is None:
            return
        version, nb_cfg, overlay = state.version, state.nb_cfg, state.overlay
        if self.chassis not in overlay.chassis:
            return
        if self._installed is None:
            installed = channel.read()
            LOG.info("%s: connected, %d of our flows found", self.chassis, len(installed))
            self._installed = installed
        desired = compile(overlay, self.chassis, self._cache)
        todo = plan(desired, self._installed)
        refused: dict[Key, str] = {}
        if todo:
            refused = channel.apply(todo)
            self._installed |= {flow.key for flow in todo.adds if flow.key not in refused}
            self._installed -= set(todo.deletes)
            LOG.info("%s: %d flows added, %d deleted", self.chassis, len(todo.adds), len(todo.deletes))
        if known.plugged.datapath_type == "netdev":
            self._warm(channel)
        named = tuple(
            f"flow refused ({refused[flow.key]}): {text.text(flow)}" for flow in todo.adds if flow.key in refused
        )
        state.confirm(self.chassis, version, nb_cfg, len(self._installed), named)

    def _warm(self, channel: Channel) -> None:
        """Send a probe through each new tunnel.

        The userspace datapath drops the first packet to a VTEP whose underlay neighbor it has not resolved.
        """
        ways = probe.ways(self._cache)
        for way in sorted(ways - self._warmed):
            channel.send_packet(probe.FRAME, probe.actions(way))
        self._warmed = ways
