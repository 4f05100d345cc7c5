"""What a switch sends into a physical network when a gateway opens there: who lives inside, a frame for each MAC.

Switches outside know the place where a MAC was last seen, and would send to the old gateway until it says something.
They learn the new one by what a virtual machine that has moved is announced with (QEMU's `qemu_announce_self`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import pack
from typing import Final

from flows.model import Binding, Overlay

PAUSES: Final = (0.05, 0.15, 0.25, 0.35)
"""Seconds between the rounds, of which there is one more: QEMU's (`announce-initial`, `announce-step`)."""
RATE: Final = 100
"""Frames that a chassis sends at once, and per second: all of them are broadcast."""
_REVERSE_REQUEST: Final = 3


def frame(mac: str) -> bytes:
    """A request of RARP (RFC 903) that asks nobody anything: only where it comes from matters."""
    source = bytes.fromhex(mac.replace(":", ""))
    said = pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, _REVERSE_REQUEST, source, bytes(4), source, bytes(4))
    return b"\xff" * 6 + source + pack("!H", 0x8035) + said + bytes(18)


def inside(overlay: Overlay, network: str) -> set[str]:
    """The MACs of a network that are known to be behind a port of the overlay, declared or learned with an address."""
    ports = [binding for binding in overlay.bindings if binding.network == network and not binding.gateway]
    places = {(binding.chassis, binding.interface) for binding in ports}
    return {mac for binding in ports for mac in binding.macs} | {
        neighbor.mac
        for neighbor in overlay.neighbors
        if neighbor.network == network and (neighbor.chassis, neighbor.interface) in places
    }


class Announcements:
    """What one chassis has to announce: gateways that opened there, each in a few rounds."""

    def __init__(
        self,
        macs: Callable[[Binding, int], Iterable[str]],
        send: Callable[[Binding, list[bytes]], bool],
        sleep: Callable[[float], None],
    ) -> None:
        """`macs` are those to announce at a gateway in a round, from 0 on; `send` says whether it still is one."""
        self._macs = macs
        self._send = send
        self._sleep = sleep
        self._rounds: dict[Binding, int] = {}

    def opened(self, gateways: Iterable[Binding]) -> bool:
        """Take gateways that have opened; whether there was nothing to announce before, and is now: `run` is over."""
        idle = not self._rounds
        self._rounds |= dict.fromkeys(gateways, 0)
        return idle and bool(self._rounds)

    def run(self) -> None:
        """Announce them, round by round, until there is nothing left to announce."""
        try:
            while self._rounds:
                self._round()
        finally:
            self._rounds.clear()

    def _round(self) -> None:
        """One round of each, and the pause before the next."""
        for gateway in list(self._rounds):
            if self._announce(gateway) and self._rounds[gateway] < len(PAUSES):
                self._rounds[gateway] += 1
            else:
                del self._rounds[gateway]
        if self._rounds:
            self._sleep(PAUSES[max(min(self._rounds.values()) - 1, 0)])

    def _announce(self, gateway: Binding) -> bool:
        """One round of one gateway; whether it still is one."""
        frames = [frame(mac) for mac in sorted(self._macs(gateway, self._rounds[gateway]))]
        for first in range(0, len(frames), RATE):
            some = frames[first : first + RATE]
            if not self._send(gateway, some):
                return False
            self._sleep(len(some) / RATE)
        return True
