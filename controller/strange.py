"""What is strange about what ports send: said while it goes on, of every port that it concerns. Pure but for memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from controller.packet_in import Seen
from flows.model import Binding, Neighbor

STRANGE_S: Final = 60.0
"""Seconds after which a port that sent nothing strange any more is no longer said to."""


SHARED_RETURNS: Final = 10
SHARED_S: Final = 30.0
"""So often within so many seconds an address that ports share must come back before that is strange."""

_Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Left:
    """Where a learned address was before (MAC, chassis, interface), when it left, and when it came back of late."""

    place: _Place
    at: float
    returns: tuple[float, ...]


@dataclass
class Strange:
    """What was noted of each binding, in words, and when last. `noted` is called when there is something new."""

    noted: Callable[[], None]
    _said: dict[Binding, tuple[str, float]] = field(default_factory=dict)
    _left: dict[tuple[str, str], _Left] = field(default_factory=dict)

    def about(self, binding: Binding) -> str:
        """What is said of a binding, '' for nothing."""
        return self._said.get(binding, ("",))[0]

    def all(self) -> list[tuple[Binding, str]]:
        """Everything that is said, and of which binding."""
        return [(binding, said) for binding, (said, _) in self._said.items()]

    def keep(self, bindings: Collection[Binding]) -> None:
        """Forget what was said of others."""
        self._said = {binding: said for binding, said in self._said.items() if binding in bindings}

    def fade(self, now: float) -> None:
        """Forget what has long not happened again; `now` in seconds of a clock that only rises."""
        self._said = {binding: (said, at) for binding, (said, at) in self._said.items() if now < at + STRANGE_S}
        self._left = {key: left for key, left in self._left.items() if now < left.at + STRANGE_S}

    def other_mac(self, binding: Binding, mac: str, now: float) -> None:
        """A declared port sends from another MAC than its own: then nothing reaches that one."""
        self._wonder(
            binding,
            f"sends from MAC {mac}, but port '{binding.port}' is declared with {binding.mac}; "
            f"if that is wrong: overlayctl port-set {binding.port} --mac {mac}",
            now,
        )

    def claimed(self, binding: Binding, seen: Seen, owner: str, holder: Binding | None, now: float) -> None:
        """Somebody speaks for an address that is declared for the port `owner`: both are told."""
        where = f" at {holder.chassis}/{holder.interface}" if holder is not None else ", which is not plugged in"
        who = f"port '{binding.port}'" if binding.port is not None else "the undeclared port"
        self._wonder(
            binding, f"claims {seen.ip} with MAC {seen.mac}, but that is the address of port '{owner}'{where}", now
        )
        if holder is not None:
            said = f"{who} at {binding.chassis}/{binding.interface} claims its address {seen.ip} with MAC {seen.mac}"
            self._wonder(holder, said, now)

    def beyond(self, binding: Binding, seen: Seen, now: float) -> None:
        """A port with its guard on speaks for an address that is not its own, and nobody's."""
        pair = seen.ip if seen.mac == binding.mac else f"{seen.mac}={seen.ip}"
        self._wonder(
            binding,
            f"claims {seen.ip} with MAC {seen.mac}, which is none of the addresses of port '{binding.port}'; "
            f"if it may: overlayctl port-set {binding.port} --allow {pair}",
            now,
        )

    def crowded(self, binding: Binding, limit: int, now: float) -> None:
        """There are more neighbors behind a port than are learned."""
        self._wonder(
            binding,
            f"has more than {limit} addresses behind it; others are not learned, and asked for by flooding",
            now,
        )

    def moved(self, before: Neighbor, after: Neighbor, bindings: Iterable[Binding], shared: bool, now: float) -> None:
        """A learned address has another MAC or place than before.

        Once it may have moved, but nothing moves to and fro. What ports share (`shared`) comes back when the one
        that had it first is well again.
        """
        key = (after.network, after.ip)
        last = self._left.get(key)
        if last is not None and now >= last.at + STRANGE_S:
            last = None
        came_back = last is not None and last.place == (after.mac, after.chassis, after.interface)
        returns = tuple(at for at in (last.returns if last is not None else ()) if now < at + SHARED_S)
        returns += (now,) if came_back else ()
        self._left[key] = _Left((before.mac, before.chassis, before.interface), now, returns)
        if not came_back or len(returns) < (SHARED_RETURNS if shared else 1):
            return
        places = {(binding.chassis, binding.interface): binding for binding in bindings}
        for one, other in ((before, after), (after, before)):
            binding = places.get((one.chassis, one.interface))
            if binding is not None:
                said = f"claims {one.ip} with MAC {one.mac}, and {other.chassis}/{other.interface} with MAC {other.mac}"
                self._wonder(binding, f"{said}; two have one address", now)

    def _wonder(self, binding: Binding, said: str, now: float) -> None:
        known = binding in self._said
        self._said[binding] = (self._said[binding][0] if known else said, now)
        if not known:
            self.noted()
