"""Which encap and which two VTEPs a pair of chassis uses, and what their tunnel takes of the underlay's MTU. Pure.

It loads little, for every `overlayctl show` does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from itertools import combinations_with_replacement, product
from typing import Final

from flows.model import Chassis, Encap, Vtep, is_ipv4

ETHERNET: Final = 14
"""Octets of an Ethernet header without tag."""
_OUTER: Final = {True: 20, False: 40}
"""Octets of an IP header, by whether it is IPv4."""
_INNER: Final = {Encap.VXLAN: 8 + 8 + ETHERNET, Encap.GRE: 8 + ETHERNET}
"""Octets between that and the inner packet: UDP and VXLAN (RFC 7348), or GRE with a key (RFC 2890); inner Ethernet."""


def overhead(encap: Encap, ip: str) -> int:
    """Octets that a tunnel to that address takes of the underlay's MTU."""
    return _OUTER[is_ipv4(ip)] + _INNER[encap]


def used(one: Chassis, other: Chassis, preferred: Encap) -> tuple[Encap, Vtep, Vtep] | None:
    """The encap and the two VTEPs by which `one` sends to `other`.

    The preferred encap where both offer it, IPv4 rather than IPv6, which takes more of each packet; then the two
    VTEPs whose addresses have the most leading bits in common, which are likely to be in one underlay.
    """
    found = sorted(
        (encap != preferred, not is_ipv4(here.ip), -common_bits(here.ip, there.ip), encap, here.ip, there.ip)
        for encap, here, there in pairs(one, other)
    )
    if not found:
        return None
    *_, encap, local, remote = found[0]
    ends = {vtep.ip: vtep for vtep in (*one.vteps, *other.vteps)}
    return encap, ends[local], ends[remote]


def pairs(one: Chassis, other: Chassis) -> Iterator[tuple[Encap, Vtep, Vtep]]:
    """Each encap and two VTEPs, of one address family, that both offer."""
    return _pairs(one.vteps, other.vteps)


def accepted(one: Chassis, other: Chassis) -> tuple[tuple[Encap, str], ...]:
    """What `one` takes from `other`: every encap and VTEP, so that a change of what is used loses nothing."""
    return tuple(sorted({(encap, there.ip) for encap, _, there in _pairs(one.ends, other.ends)}))


def apart(chassis: Iterable[Chassis]) -> Iterator[tuple[str, str]]:
    """The names of each two of these that share no encap and address family; the lesser one first.

    Chassis that offer the same count as one, so it takes no time with a thousand of them.
    """
    kinds: dict[frozenset[tuple[Encap, bool]], list[str]] = {}
    for each in chassis:
        offered = frozenset((encap, is_ipv4(vtep.ip)) for vtep in each.vteps for encap in vtep.encaps)
        kinds.setdefault(offered, []).append(each.name)
    for one, other in combinations_with_replacement(kinds, 2):
        if not one & other:
            for here, there in product(kinds[one], kinds[other]):
                if here < there or (here > there and one != other):
                    yield min(here, there), max(here, there)


def _pairs(ours: Iterable[Vtep], theirs: Collection[Vtep]) -> Iterator[tuple[Encap, Vtep, Vtep]]:
    for here in ours:
        for there in theirs:
            if is_ipv4(here.ip) == is_ipv4(there.ip):
                for encap in sorted(here.encaps & there.encaps):
                    yield encap, here, there


def common_bits(one: str, other: str) -> int:
    """How many leading bits two addresses of one family have in common."""
    width = 32 if is_ipv4(one) else 128
    return width - (int(ipaddress.ip_address(one)) ^ int(ipaddress.ip_address(other))).bit_length()
