"""Ports that come and go at random: declared, plugged in, moved, given other addresses, unplugged, deleted.

What is said to whom is worked out here and done by others, so that any run can be had again from its seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

KINDS: Final = ("declare", "declare", "plug", "plug", "move", "address", "unplug", "delete")
"""Of a random one; what adds comes more often, so that there are about as many ports as there may be."""
LIMIT: Final = 120
"""The most ports that are declared at once."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change: its kind, a line for `overlayctl` ('' for none), and words for the `ovs-vsctl` of chassis."""

    kind: str
    line: str = ""
    words: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass
class Ports:
    """What is declared (by name, the number) and plugged in (by name, the chassis) after the changes so far.

    No name, MAC or address is used a second time: what were kept of one that is gone would pile up.
    """

    chance: random.Random
    chassis: Sequence[str]
    networks: Sequence[str]
    limit: int = LIMIT
    prefix: str = "x"
    declared: dict[str, int] = field(default_factory=dict)
    plugged: dict[str, str] = field(default_factory=dict)
    _last: int = 0

    def change(self) -> Change:
        """The next one; what is declared and plugged in is so from then on."""
        while True:
            kind = self.chance.choice(KINDS)
            made = getattr(self, f"_{kind}")()
            if made is not None:
                return Change(kind, *made)

    def away(self) -> Iterator[Change]:
        """The changes after which there is none."""
        for name in list(self.plugged):
            yield Change("unplug", words=((self.plugged.pop(name), del_port(name)),))
        for name in list(self.declared):
            del self.declared[name]
            yield Change("delete", f"port-del {name}")

    def _declare(self) -> tuple[str] | None:
        if len(self.declared) >= self.limit:
            return None
        self._last += 1
        name = f"{self.prefix}{self._last}"
        self.declared[name] = self._last
        network = self.networks[self._last % len(self.networks)]
        return (f"port-add {name} --net {network} --mac {mac(self._last)} --ip {ip(self._last)}",)

    def _plug(self) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]] | None:
        name = self._one(name for name in self.declared if name not in self.plugged)
        if name is None:
            return None
        self.plugged[name] = self.chance.choice(self.chassis)
        return "", ((self.plugged[name], add_port(name)),)

    def _move(self) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]] | None:
        name = self._one(self.plugged)
        if name is None:
            return None
        before = self.plugged[name]
        self.plugged[name] = self.chance.choice([each for each in self.chassis if each != before])
        return "", ((before, del_port(name)), (self.plugged[name], add_port(name)))

    def _address(self) -> tuple[str] | None:
        name = self._one(self.declared)
        if name is None:
            return None
        self._last += 1
        return (f"port-set {name} --ip {ip(self._last)} --mac {mac(self._last)}",)

    def _unplug(self) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]] | None:
        name = self._one(self.plugged)
        return None if name is None else ("", ((self.plugged.pop(name), del_port(name)),))

    def _delete(self) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]] | None:
        """Of a port that is plugged in its interface goes as well."""
        name = self._one(self.declared)
        if name is None:
            return None
        del self.declared[name]
        where = self.plugged.pop(name, None)
        return f"port-del {name}", () if where is None else ((where, del_port(name)),)

    def _one(self, names: Iterator[str] | dict[str, str] | dict[str, int]) -> str | None:
        found = sorted(names)
        return self.chance.choice(found) if found else None


def add_port(name: str) -> tuple[str, ...]:
    """For `ovs-vsctl`: plug a port in, with an interface that Open vSwitch makes."""
    return (
        "add-port",
        "br-int",
        name,
        "--",
        "set",
        "interface",
        name,
        "type=internal",
        f"external_ids:iface-id={name}",
    )


def del_port(name: str) -> tuple[str, ...]:
    """For `ovs-vsctl`: unplug it."""
    return ("del-port", "br-int", name)


def mac(number: int) -> str:
    """The number-th MAC, of 2^32."""
    return "02:01:" + ":".join(f"{byte:02x}" for byte in number.to_bytes(4, "big"))


def ip(number: int) -> str:
    """The number-th address, of 2^24 less those of the first network of 2^16."""
    return ".".join(map(str, (10 << 24 | (1 << 16) + number).to_bytes(4, "big")))
