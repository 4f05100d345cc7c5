"""The flows of one table, and which of them a packet meets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from flows.fields import FIELDS
from flows.flow import Flow
from flows.simulate.packets import Packet

_PORTS_AND_TYPES: Final = frozenset({"udp_src", "udp_dst", "icmp_type", "icmpv6_type"})
"""What Open vSwitch takes for 0 in any fragment, as long as it is not told to reassemble them."""
_UNSEEN_IN_FRAGMENTS: Final = dict.fromkeys(_PORTS_AND_TYPES, 0)
_FRAGMENT: Final = 1

_Shape = tuple[tuple[str, int], ...]
_Key = int | tuple[int, ...]
_FULL: Final = {name: (1 << field.bits) - 1 for name, field in FIELDS.items()}
NOTHING: Final = dict.fromkeys(FIELDS, 0)
"""A packet in which all fields are 0."""


class OverlapError(ValueError):
    """Two flows of one table and priority match the same packet."""


def _taker(names: Iterable[str]) -> Callable[[Mapping[str, int]], _Key]:
    """What takes the values of some fields out of a packet."""
    wanted = sorted(names)
    return itemgetter(*wanted) if wanted else lambda packet: ()


class _Bits:
    """The flows of one table and priority that match the same bits, by the values of these.

    `take` gives what a packet has of them, as it stands in the index: one number, or several.
    """

    __slots__ = ("flows", "take")

    def __init__(self, shape: _Shape) -> None:
        self.flows: dict[_Key, Flow] = {}
        if all(mask == _FULL[name] for name, mask in shape):
            self.take = _taker(name for name, _ in shape)
        else:
            self.take = lambda packet: tuple([packet[name] & mask for name, mask in shape])


_MOST_FOUND: Final = 10_000
"""The most answers that are kept of one table."""


@dataclass(slots=True)
class Index:
    """The flows of one table: by priority, then by which bits are matched, then by their values.

    What was found is kept, by the values of all fields that any of the flows matches, until a flow comes or goes.
    """

    priorities: dict[int, dict[_Shape, _Bits]] = field(default_factory=dict)
    descending: list[tuple[_Bits, ...]] = field(default_factory=list)
    found: dict[_Key, Flow | None] = field(default_factory=dict)
    take: Callable[[Mapping[str, int]], _Key] = lambda packet: ()

    def put(self, flow: Flow) -> Flow | None:
        """Adds a flow; one of the same priority and match is replaced and returned."""
        flows, key = self._place(flow)
        before = flows.get(key)
        flows[key] = flow
        self.found.clear()
        return before

    def remove(self, flow: Flow) -> None:
        """Takes away the flow of that priority and match; KeyError when there is none."""
        flows, key = self._place(flow)
        del flows[key]
        self.found.clear()

    def _place(self, flow: Flow) -> tuple[dict[_Key, Flow], _Key]:
        """Where a flow of that priority and match stands, or would stand."""
        shape = tuple([(name, _FULL[name] if mask is None else mask) for name, _, mask in flow.match])
        shapes = self.priorities.setdefault(flow.priority, {})
        if shape not in shapes:
            shapes[shape] = _Bits(shape)
            self.descending = [tuple(self.priorities[each].values()) for each in sorted(self.priorities, reverse=True)]
            self.take = _taker({name for shapes in self.priorities.values() for bits in shapes for name, _ in bits})
        bits = shapes[shape]
        return bits.flows, bits.take({name: value for name, value, _ in flow.match})

    def find(self, packet: Mapping[str, int]) -> Flow | None:
        """The flow that matches; OverlapError when two of one priority do. Every field of a packet is there."""
        if packet["ip_frag"] & _FRAGMENT:
            packet = {**packet, **_UNSEEN_IN_FRAGMENTS}
        values = self.take(packet)
        if values not in self.found:
            if len(self.found) >= _MOST_FOUND:
                self.found.clear()
            self.found[values] = self._search(packet)
        return self.found[values]

    def _search(self, packet: Mapping[str, int]) -> Flow | None:
        for shapes in self.descending:
            found = None
            for bits in shapes:
                hit = bits.flows.get(bits.take(packet))
                if hit is not None:
                    if found is not None:
                        raise OverlapError(f"{found} and {hit} both match {Packet.of(packet)}")
                    found = hit
            if found is not None:
                return found
        return None

    def flows(self) -> list[Flow]:
        """Every flow."""
        return [flow for shapes in self.priorities.values() for bits in shapes.values() for flow in bits.flows.values()]
