"""What is learned of who has which address: from whom, for how long, and how it is asked whether that is still so.

A neighbor that says nothing is not gone. What it says is counted by its switch; after half its age in silence it is
asked; after all of it, it is forgotten. Pure but for memory: times are seconds of a clock that only rises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from struct import pack
from typing import Final

import netaddr

from controller.packet_in import Seen
from controller.strange import Strange
from flows.compile.respond import ASKER
from flows.compile.view import link_local
from flows.flow import Action, Output, PushVlan, set_field
from flows.model import Binding, Neighbor, Port, is_ipv4
from flows.tables import TAG_PRESENT

NEIGHBORS_PER_PORT: Final = 256
NEIGHBORS_PER_GATEWAY: Final = 4096
"""The most neighbors that are learned behind one port, and behind one that leads out of the overlay."""
NEIGHBOR_AGE: Final = 300
"""Seconds of silence after which a learned neighbor is forgotten, when nothing else is said."""
SEEN_STEP_S: Final = 60.0
"""The time at which a neighbor was heard is told in steps of this length: telling it is a write to a database."""
_LOOK_S: Final = 30.0
"""The most seconds between two looks at what switches have counted."""

Address = tuple[str, str]
"""(network, IP)."""
Place = tuple[str, str, str]
"""(network, chassis, interface)."""


@dataclass(frozen=True)
class Claims:
    """Who is declared to have what: the ports, and where they are bound."""

    ports: Mapping[str, Port]
    bindings: tuple[Binding, ...]

    @cached_property
    def _at(self) -> dict[tuple[str, int], list[Binding]]:
        found: dict[tuple[str, int], list[Binding]] = {}
        for binding in self.bindings:
            found.setdefault((binding.chassis, binding.ofport), []).append(binding)
        return found

    @cached_property
    def _by_place(self) -> dict[Place, Binding]:
        return {place(binding): binding for binding in self.bindings}

    @cached_property
    def _holders(self) -> dict[str, Binding]:
        return {each.port: each for each in self.bindings if each.port is not None and not each.standby}

    @cached_property
    def _owners(self) -> dict[Address, str]:
        found = {(port.network, ip): name for name, port in self.ports.items() for ip in port.ips}
        for each in self._holders.values():
            if each.mac is not None and each.secure and not all(map(is_ipv4, each.ips)):
                found.setdefault((each.network, link_local(each.mac)), each.port or "")
        return found

    @cached_property
    def _noted(self) -> dict[Address, Place]:
        return {(each.network, ip): place(each) for each in self.bindings if each.port is None for ip in each.ips}

    @cached_property
    def _macs(self) -> dict[tuple[str, str], str]:
        return {(port.network, mac): name for name, port in self.ports.items() for mac in port.macs}

    def binding(self, chassis: str, ofport: int, vni_of: Mapping[str, int], vni: int | None) -> Binding | None:
        """The binding of an ofport; of a trunk port the one in the network of that VNI."""
        here = self._at.get((chassis, ofport), [])
        return next((each for each in here if vni is None or vni_of.get(each.network) == vni), None)

    def at(self, neighbor: Neighbor) -> Binding | None:
        """The binding a neighbor was learned at."""
        return self._by_place.get((neighbor.network, neighbor.chassis, neighbor.interface))

    def owner(self, network: str, ip: str) -> tuple[str, Binding | None] | None:
        """The port that an address is declared for, and where that is bound."""
        name = self._owners.get((network, ip))
        return None if name is None else (name, self._holders.get(name))

    def noted_elsewhere(self, binding: Binding, ip: str) -> bool:
        """Whether the operator noted the address on another port that is not declared."""
        return self._noted.get((binding.network, ip), place(binding)) != place(binding)

    def has_mac(self, network: str, mac: str) -> str | None:
        """The port that a MAC is declared for."""
        return self._macs.get((network, mac))


def place(binding: Binding) -> Place:
    """Where a neighbor is that is learned at a binding."""
    return (binding.network, binding.chassis, binding.interface)


def allows(binding: Binding, ip: str, mac: str | None = None) -> bool:
    """Whether one of the binding's pairs holds an address; with that MAC, where one is given."""
    return any(
        _holds(pair.ip, ip) and (mac is None or mac == (pair.mac or binding.mac))
        for pair in binding.pairs
        if is_ipv4(pair.ip) == is_ipv4(ip)
    )


def _holds(pair: str, ip: str) -> bool:
    return ip == pair if "/" not in pair else netaddr.IPAddress(ip) in netaddr.IPNetwork(pair)


@dataclass(slots=True)
class _Learned:
    """A neighbor, and what is known of its being there.

    `silent` are the seconds for which its chassis was listened to and it said nothing, `asked` how many of them had
    passed when it was last asked; `counted` are the packets that its switch had counted then. `heard` is when it was
    last heard, and `told` what was last told of that, None before; `since` stands in for it, in seconds since 1970.
    """

    neighbor: Neighbor
    silent: float = 0.0
    asked: float = 0.0
    counted: int | None = None
    heard: float | None = None
    told: float | None = None
    since: int = 0


@dataclass
class Neighbors:
    """What was learned. `strange` hears of what should not be; `age` is `NEIGHBOR_AGE`, or what was set instead."""

    strange: Strange
    age: float = NEIGHBOR_AGE
    _learned: dict[Address, _Learned] = field(default_factory=dict)
    _behind: Counter[Place] = field(default_factory=Counter)
    _listened: dict[str, float] = field(default_factory=dict)

    @property
    def look(self) -> float:
        """Seconds between two looks at what switches have counted."""
        return max(1.0, min(_LOOK_S, self.age / 10))

    def set_age(self, age: float) -> bool:
        """Let them have another age from now on; whether it is another. Nobody is forgotten without being asked."""
        if age == self.age:
            return False
        self.age = age
        for each in self._learned.values():
            each.silent, each.asked = min(each.silent, age / 2), 0.0
        return True

    def __len__(self) -> int:
        return len(self._learned)

    def known(self) -> tuple[Neighbor, ...]:
        """Every neighbor, by network and address."""
        return tuple(self._learned[key].neighbor for key in sorted(self._learned))

    def seen(self, now: float, clock: float) -> dict[Address, int]:
        """When each was last heard, in seconds since 1970, which it was `clock` at `now`."""
        found = {}
        for key, each in self._learned.items():
            if each.heard is not None and (each.told is None or each.heard >= each.told + SEEN_STEP_S):
                each.told = each.heard
            found[key] = each.since if each.told is None else int(clock - (now - each.told))
        return found

    def restore(self, neighbors: Iterable[Neighbor], seen: Mapping[Address, int]) -> None:
        """Begin with what was written down. Each has its time from now on; not all are asked at once."""
        ordered = sorted(neighbors, key=lambda neighbor: (neighbor.network, neighbor.ip))
        for number, neighbor in enumerate(ordered):
            key = (neighbor.network, neighbor.ip)
            silent = -self.age / 4 * number / len(ordered)
            self._put(key, _Learned(neighbor, silent, since=seen.get(key, 0)))

    def adopt(
        self,
        claims: Claims,
        before: Iterable[Neighbor],
        after: Iterable[Neighbor],
        seen: Mapping[Address, int],
        now: float,
    ) -> None:
        """What other controllers have learned on chassis of theirs, as it was and is written down.

        Who moves to a chassis of theirs is theirs from the moment that they write it down; one that has moved here
        since then is ours, and will be written down so.
        """
        was = {(neighbor.network, neighbor.ip): neighbor for neighbor in before}
        theirs = {(neighbor.network, neighbor.ip): neighbor for neighbor in after}
        for key in was.keys() - theirs.keys():
            if key in self._learned and self._learned[key].neighbor == was[key]:
                self._drop(key)
        for key, neighbor in theirs.items():
            known = self._learned.get(key)
            if known is None or (known.neighbor != neighbor and was.get(key) != neighbor):
                if known is not None:
                    self._moved(claims, known.neighbor, neighbor, now)
                self._put(key, _Learned(neighbor, since=seen.get(key, 0)))
            elif known.neighbor == neighbor:
                known.since = seen.get(key, known.since)

    def keep(self, bindings: Iterable[Binding]) -> None:
        """Forget what was learned elsewhere than at these."""
        places = {place(binding) for binding in bindings}
        for key, each in list(self._learned.items()):
            if _place(each.neighbor) not in places:
                self._drop(key)

    def see(self, claims: Claims, binding: Binding, seen: Seen, now: float) -> bool:
        """Take what a port tells; whether anything is new. What it may not tell is noted, or nothing."""
        if not self._may_tell(claims, binding, seen, now):
            return False
        neighbor = Neighbor(binding.network, seen.ip, seen.mac, binding.chassis, binding.interface)
        key = (neighbor.network, neighbor.ip)
        before = self._learned.get(key)
        if before is not None and before.neighbor == neighbor:
            before.silent, before.asked, before.heard = 0.0, 0.0, now
            return False
        if before is not None and not seen.overrides:
            return False
        limit = NEIGHBORS_PER_GATEWAY if binding.gateway else NEIGHBORS_PER_PORT
        if self._behind[_place(neighbor)] >= limit and (before is None or _place(before.neighbor) != _place(neighbor)):
            self.strange.crowded(binding, limit, now)
            return False
        # One port may have several MACs for one address: VRRP's and its own.
        if before is not None and not (binding.secure and _place(before.neighbor) == _place(neighbor)):
            self._moved(claims, before.neighbor, neighbor, now)
        self._put(key, _Learned(neighbor, heard=now))
        return True

    def _moved(self, claims: Claims, before: Neighbor, after: Neighbor, now: float) -> None:
        """An address is elsewhere than before."""
        ends = (claims.at(before), claims.at(after))
        shared = all(end is not None and allows(end, after.ip) for end in ends)
        self.strange.moved(before, after, claims.bindings, shared, now)

    def _may_tell(self, claims: Claims, binding: Binding, seen: Seen, now: float) -> bool:
        """Whether a port may tell that somebody has an address, which is not declared for any.

        One with its guard on speaks for itself and its pairs, any other for whatever is not declared elsewhere.
        """
        own = (*binding.macs, *binding.shared)
        if seen.mac == ASKER:
            return False
        if binding.secure and seen.mac not in own:
            self.strange.other_mac(binding, seen.mac, now)
            return False
        if not binding.secure and seen.mac not in own and claims.has_mac(binding.network, seen.mac) is not None:
            return False
        allowed = allows(binding, seen.ip, seen.mac) or seen.ip == link_local(seen.mac)
        owner = claims.owner(binding.network, seen.ip)
        if owner is not None:
            name, holder = owner
            # An address may be declared for a port that is never plugged in, so that nobody else is given it.
            if name != binding.port and (holder is not None or not allows(binding, seen.ip)):
                self.strange.claimed(binding, seen, name, holder, now)
            return allowed and name != binding.port and holder is None
        if binding.secure and (binding.ips or binding.pairs) and not allowed:
            self.strange.beyond(binding, seen, now)
            return False
        return not claims.noted_elsewhere(binding, seen.ip)

    def listen(self, chassis: str, counted: Mapping[Address, int], now: float) -> tuple[bool, tuple[Neighbor, ...]]:
        """Take what a switch has counted of the neighbors of its chassis: whether any is forgotten; whom to ask.

        Who can't be listened to does not age: its chassis may be cut off from us, and forward all the same.
        """
        last = self._listened.get(chassis, now)
        self._listened[chassis] = now
        passed = min(now - last, 2 * self.look)
        forgotten, ask = False, []
        for key, each in list(self._learned.items()):
            if each.neighbor.chassis != chassis:
                continue
            packets = counted.get(key, 0)
            if each.counted is not None and packets not in (0, each.counted):
                each.silent, each.asked, each.heard = 0.0, 0.0, now
            else:
                each.silent += passed
            each.counted = packets
            if each.silent >= self.age:
                self._drop(key)
                forgotten = True
            elif each.silent >= self.age / 2 and each.silent - each.asked >= self.look:
                each.asked = each.silent
                ask.append(each.neighbor)
        return forgotten, tuple(ask)

    def _put(self, key: Address, learned: _Learned) -> None:
        self._drop(key)
        self._learned[key] = learned
        self._behind[_place(learned.neighbor)] += 1

    def _drop(self, key: Address) -> None:
        gone = self._learned.pop(key, None)
        if gone is not None:
            where = _place(gone.neighbor)
            self._behind[where] -= 1
            if not self._behind[where]:
                del self._behind[where]


def _place(neighbor: Neighbor) -> Place:
    return (neighbor.network, neighbor.chassis, neighbor.interface)


def question(neighbor: Neighbor) -> bytes:
    """A frame that a neighbor answers if it is there: an ARP probe (RFC 5227) or solicitation, to it alone.

    Its sender has no IPv4 address: who is asked by an address remembers it. A solicitation without one would be
    duplicate address detection.
    """
    mac, asker = bytes.fromhex(neighbor.mac.replace(":", "")), bytes.fromhex(ASKER.replace(":", ""))
    target = netaddr.IPAddress(neighbor.ip).packed
    if is_ipv4(neighbor.ip):
        said = pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, asker, bytes(4), bytes(6), target)
        return mac + asker + pack("!H", 0x0806) + said + bytes(18)
    addresses = netaddr.IPAddress(link_local(ASKER)).packed + target
    said = pack("!4x16sBB6s", target, 1, 1, asker)
    summed = addresses + pack("!HHBB", 4 + len(said), 58, 135, 0) + said
    checksum = 0xFFFF - int.from_bytes(summed, "big") % 0xFFFF
    header = pack("!IHBB", 6 << 28, 4 + len(said), 58, 255)
    return mac + asker + pack("!H", 0x86DD) + header + addresses + pack("!BBH", 135, 0, checksum) + said


def delivery(binding: Binding) -> tuple[Action, ...]:
    """What sends a frame out of a binding's port, with its tag."""
    if not binding.tag:
        return (Output(binding.ofport),)
    push = PushVlan(0x88A8 if binding.service_tag else 0x8100)
    return (push, set_field("vlan_tci", TAG_PRESENT | binding.tag), Output(binding.ofport))
