"""What one switch is set to beside its flows: read when it tells of a change, and now and then; ours is set back."""

from __future__ import annotations

import logging
from collections.abc import Collection
from time import monotonic
from typing import Final

from controller.channel import Channel
from controller.events import Event, about
from controller.installed import REREAD_S, SUSPECTED_S
from controller.settings_bytes import FRAGMENTS, NO_FWD, NO_RECV, PORT_DOWN, PortSettings

LOG: Final = logging.getLogger("overlay.settings")
LASTING_S: Final = 2.0
"""Seconds for which a port that is not ours is shut before that is told: a device that is made is down at first."""
_SHUT: Final = PORT_DOWN | NO_FWD | NO_RECV


class Settings:
    """The OpenFlow settings of one connection's switch. `shut` says of ports that are not ours why nothing passes."""

    def __init__(self, chassis: str, channel: Channel) -> None:
        self._chassis = chassis
        self._channel = channel
        self._suspected = True
        self._begun = False
        self._looked_at = -REREAD_S
        self._since: dict[PortSettings, float] = {}
        self.shut: dict[int, str] = {}

    def suspect(self) -> None:
        """The switch has told that a port is new, gone or set to something else."""
        self._suspected = True

    def due(self) -> float:
        """When they are to be looked at."""
        if self._suspected:
            return self._looked_at + SUSPECTED_S
        lasting = [since + LASTING_S for port, since in self._since.items() if port.number not in self.shut]
        return min([self._looked_at + REREAD_S, *lasting])

    def look(self, ours: Collection[int]) -> None:
        """Look at all of them; what our ports, by number, and fragments are set to is set back. Raises ChannelError."""
        self._suspected = False
        self._looked_at = now = monotonic()
        ports = self._channel.ports()
        fragments = self._channel.fragments()
        wrong = [port for port in ports if port.number in ours and port.words()]
        told = [f"port {port.name} was set to {port.words()}" for port in wrong]
        if fragments:
            told.append(f"fragments were handled as {FRAGMENTS.get(fragments, str(fragments))}")
        if told:
            self._channel.set_back(wrong, bool(fragments))
            changed, when = "; ".join(told), "" if self._begun else " while nobody was there"
            extra = about(Event.SWITCH_REPAIRED, chassis=self._chassis, changed=changed)
            LOG.warning("%s: set back what somebody else changed%s: %s", self._chassis, when, changed, extra=extra)
        self._begun = True
        shut = [port for port in ports if port.number not in ours and port.config & _SHUT]
        self._since = {port: self._since.get(port, now) for port in shut}
        self.shut = {port.number: _told(port) for port, since in self._since.items() if now >= since + LASTING_S}


def _told(port: PortSettings) -> str:
    """What a port that is plugged in was set to by somebody, who may want it so, in words."""
    parts = []
    if port.config & PORT_DOWN:
        parts.append(f"the device is down, so nothing passes; on the host: ip link set {port.name} up")
    for bit, word in ((NO_RECV, "receive"), (NO_FWD, "forward")):
        if port.config & bit:
            parts.append(f"it is set to no-{word}; on the host: ovs-ofctl mod-port br-int {port.name} {word}")
    return "; ".join(parts)
