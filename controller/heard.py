"""What ports have told of neighbors and nobody has looked at yet: bounded, the latest of each address.

Pure but for memory. Learning is for all chassis to act on, so it is done in rounds, and a port has its share
of each, whatever others send.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from controller.packet_in import Seen

WAITING_PER_PORT: Final = 64
WAITING_PER_CHASSIS: Final = 1024
"""The most addresses that wait, of one port and of all of a chassis; what is told of others meanwhile is not heard."""


class Told(NamedTuple):
    """What a port of a chassis tells, and of a trunk in the network with which VNI."""

    chassis: str
    ofport: int
    vni: int | None
    seen: Seen


@dataclass
class Heard:
    """What waits, by chassis, port, and address."""

    _waiting: dict[str, dict[int, dict[tuple[int | None, str], Seen]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, told: Told) -> None:
        """Keep it until it is taken; what the port told of that address before is not worth keeping."""
        ports = self._waiting.setdefault(told.chassis, {})
        port = ports.setdefault(told.ofport, {})
        key = (told.vni, told.seen.ip)
        crowded = len(port) >= WAITING_PER_PORT or sum(map(len, ports.values())) >= WAITING_PER_CHASSIS
        if key in port or not crowded:
            port[key] = told.seen
        elif not port:
            del ports[told.ofport]

    def take(self) -> list[Told]:
        """All of it, in the order in which each port told it; nothing waits any more."""
        waiting, self._waiting = self._waiting, {}
        return [
            Told(chassis, ofport, vni, seen)
            for chassis, ports in waiting.items()
            for ofport, port in ports.items()
            for (vni, _), seen in port.items()
        ]
