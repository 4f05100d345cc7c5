"""What is strange about what ports send: said while it goes on, of every port that it concerns. Pure but for memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from controller.packet_in import Arp
from flows.model import Binding, Neighbor

STRANGE_S: Final = 60.0
"""Seconds after which a port that sent nothing strange any more is no longer said to."""


@dataclass
class Strange:
    """What was noted of each binding, in words, and when last. `noted` is called when there is something new."""

    noted: Callable[[], None]
    _said: dict[Binding, tuple[str, float]] = field(default_factory=dict)
    _taken: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)

    def about(self, binding: Binding) -> str:
        """What is said of a binding, '' for nothing."""
        return self._said.get(binding, ("",))[0]

    def keep(self, bindings: Collection[Binding]) -> None:
        """Forget what was said of others."""
        self._said = {binding: said for binding, said in self._said.items() if binding in bindings}

    def fade(self, now: float) -> None:
        """Forget what has long not happened again; `now` in seconds of a clock that only rises."""
        self._said = {binding: (said, at) for binding, (said, at) in self._said.items() if now < at + STRANGE_S}
        self._taken = {key: (mac, at) for key, (mac, at) in self._taken.items() if now < at + STRANGE_S}

    def other_mac(self, binding: Binding, mac: str, now: float) -> None:
        """A declared port sends from another MAC than its own: then nothing reaches that one."""
        self._wonder(
            binding,
            f"sends from MAC {mac}, but port '{binding.port}' is declared with {binding.mac}; "
            f"if that is wrong: overlayctl port-set {binding.port} --mac {mac}",
            now,
        )

    def claimed(self, binding: Binding, arp: Arp, owner: str, holder: Binding | None, now: float) -> None:
        """Somebody speaks for an address that is declared for the port `owner`: both are told."""
        where = f" at {holder.chassis}/{holder.interface}" if holder is not None else ", which is not plugged in"
        who = f"port '{binding.port}'" if binding.port is not None else "the undeclared port"
        self._wonder(
            binding, f"claims {arp.spa} with MAC {arp.sha}, but that is the address of port '{owner}'{where}", now
        )
        if holder is not None:
            said = f"{who} at {binding.chassis}/{binding.interface} claims its address {arp.spa} with MAC {arp.sha}"
            self._wonder(holder, said, now)

    def moved(self, before: Neighbor, after: Neighbor, bindings: Iterable[Binding], now: float) -> None:
        """A learned address has another MAC than before. Once it may have moved, but nothing moves to and fro."""
        key = (after.network, after.ip)
        last = self._taken.get(key)
        self._taken[key] = (before.mac, now)
        if last is None or last[0] != after.mac or now >= last[1] + STRANGE_S:
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
