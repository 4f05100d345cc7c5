"""How large a packet of a network may be: what its tunnels carry, and which pair of chassis carries least. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from flows.model import Chassis, Encap, Network, is_ipv4
from flows.vteps import overhead, used

LEAST_IPV6: Final = 1280
"""The least MTU of a link that carries IPv6 (RFC 8200, section 5)."""


@dataclass(frozen=True, slots=True, order=True)
class Carried:
    """The largest packet that some pair of chassis carries, in octets without Ethernet header, and how.

    `local` and `remote` are the two VTEPs, `underlay` the MTU between them.
    """

    mtu: int
    one: str
    other: str
    encap: Encap
    local: str
    remote: str
    underlay: int

    @property
    def overhead(self) -> int:
        """Octets of the underlay's MTU that its tunnel takes."""
        return overhead(self.encap, self.remote)

    def __str__(self) -> str:
        return f"{self.encap} over {'IPv4' if is_ipv4(self.remote) else 'IPv6'}, underlay {self.underlay}"


def pair(one: Chassis, other: Chassis, preferred: Encap) -> Carried | None:
    """What a pair of chassis carries, in a network that prefers this encap; None where they share no tunnel.

    Of the two directions that which carries less: with several VTEPs they may go by different ones.
    """
    return min(filter(None, (_carried(one, other, preferred), _carried(other, one, preferred))), default=None)


def _carried(one: Chassis, other: Chassis, preferred: Encap) -> Carried | None:
    found = used(one, other, preferred)
    if found is None:
        return None
    encap, here, there = found
    underlay = min(here.mtu, there.mtu)
    return Carried(underlay - overhead(encap, there.ip), one.name, other.name, encap, here.ip, there.ip, underlay)


def every_pair(chassis: Iterable[Chassis], preferred: Encap) -> Iterator[Carried]:
    """What each pair carries, by name; those that share no tunnel are left out."""
    for one, other in combinations(sorted(chassis, key=lambda each: each.name), 2):
        if (found := pair(one, other, preferred)) is not None:
            yield found


def carried(chassis: Iterable[Chassis], preferred: Encap) -> Carried | None:
    """The least that any two of these chassis carry, in a network that prefers this encap; None where no two do.

    Chassis with VTEPs of the same kinds count as one, so it takes no time with many. Not where it depends on addresses
    which VTEP is used, and on that what is carried.
    """
    kinds: dict[object, list[Chassis]] = {}
    for each in sorted(chassis, key=lambda each: each.name):
        mtus = {(is_ipv4(vtep.ip), vtep.mtu) for vtep in each.vteps}
        alike = len(mtus) == len({family for family, _ in mtus})
        kind = frozenset((is_ipv4(vtep.ip), vtep.encaps, vtep.mtu) for vtep in each.vteps) if alike else each.name
        kinds.setdefault(kind, []).append(each)
    return min(every_pair((each for group in kinds.values() for each in group[:2]), preferred), default=None)


def network_mtu(network: Network, least: Carried | None) -> int | None:
    """What the hosts of a network should use: as declared, else the least that is carried; None where neither is known.

    That is the least of all chassis, whether they have ports in the network or not: ports come and go, and hosts keep
    their MTU.
    """
    if network.mtu is not None:
        return network.mtu
    return least.mtu if least is not None else None


def not_carried(network: Network, members: Iterable[Chassis]) -> str:
    """That a network's declared MTU is more than some pair of its members carries, in words; '' where it is not."""
    least = carried(members, network.encap) if network.mtu is not None else None
    if network.mtu is None or least is None or network.mtu <= least.mtu:
        return ""
    return (
        f"its MTU is declared as {network.mtu}, but {least.one} and {least.other} carry {least.mtu} ({least}); "
        f"overlayctl net-set {network.name} --mtu {least.mtu}, or auto"
    )
