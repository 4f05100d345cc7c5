"""Which addresses a network gives out: its subnets, checked, and the next free one.

Pure: what is taken comes as an argument, and so does chance. That no address is given twice is the database's
doing (an index); this only chooses well, so that of many who ask at once few ask for the same.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import Final

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network

WINDOW: Final = 8
"""After the first lost race one of twice as many free addresses is drawn, and twice as many after each further."""


class NoneFreeError(ValueError):
    """Every address that may be given out is."""


@dataclass(frozen=True, slots=True)
class Span:
    """Addresses of one family from `first` to `last`, as numbers, both included."""

    version: int
    first: int
    last: int

    def __str__(self) -> str:
        first, last = spelled(self.version, self.first), spelled(self.version, self.last)
        return first if first == last else f"{first}-{last}"


@dataclass(frozen=True, slots=True)
class Use:
    """How full a subnet is: how many addresses may be given out, how many of those are taken, and how many are not.

    `others` counts what is taken beside those: static addresses outside of the ranges, and gateways.
    """

    subnet: str
    size: int
    used: int
    others: int

    @property
    def free(self) -> int:
        """How many are left."""
        return self.size - self.used


@dataclass(frozen=True)
class Plan:
    """The addresses of one network, checked and in order; made by `plan`."""

    subnets: tuple[Subnet, ...] = ()
    gateways: tuple[Address, ...] = ()
    ranges: tuple[Span, ...] = ()
    excludes: tuple[Span, ...] = ()

    @property
    def versions(self) -> tuple[int, ...]:
        """The families that have a subnet."""
        return tuple(sorted({subnet.version for subnet in self.subnets}))


def plan(
    subnets: Iterable[str] = (),
    gateways: Iterable[str] = (),
    ranges: Iterable[str] = (),
    excludes: Iterable[str] = (),
) -> Plan:
    """The plan that these columns of a network spell; ValueError says which value is wrong, and what to write."""
    nets = sorted({subnet(written) for written in subnets}, key=lambda net: (net.version, int(net.network_address)))
    for one, other in pairwise(nets):
        if one.version == other.version and one.overlaps(other):
            raise ValueError(f"subnets {one} and {other} overlap; one network has each address once")
    routers = tuple(_gateway(written, nets) for written in gateways)
    for version in (4, 6):
        if sum(router.version == version for router in routers) > 1:
            named = ", ".join(str(router) for router in routers if router.version == version)
            raise ValueError(f"gateways {named}: a network has one gateway of IPv{version} at most")
    return Plan(
        tuple(nets),
        tuple(sorted(routers, key=lambda router: (router.version, int(router)))),
        _spans(ranges, nets, "range"),
        _spans(excludes, nets, "exclude"),
    )


def address(written: str) -> Address:
    """An address of either family; ValueError when it is none."""
    try:
        return ipaddress.ip_address(written)
    except ValueError:
        raise ValueError(f"IP {written!r} is not an IP address such as 10.0.0.1 or 2001:db8::1") from None


def prefix(written: str, what: str = "prefix") -> Subnet:
    """A prefix in CIDR; ValueError when it is none, or has host bits."""
    try:
        net = ipaddress.ip_network(written, strict=False)
    except ValueError:
        net = None
    if net is None or "/" not in written or "." in written.partition("/")[2]:
        raise ValueError(f"{what} {written!r} is not of the form 10.0.0.0/24 or 2001:db8::/64")
    if ipaddress.ip_interface(written).ip != net.network_address:
        raise ValueError(f"{what} {written!r} has bits of a host; write {net}")
    return net


def subnet(written: str) -> Subnet:
    """A subnet of hosts in CIDR; ValueError as `prefix`, and when hosts can't be in it."""
    net = prefix(written, "subnet")
    if net.is_multicast or net.is_loopback or net.prefixlen == 0:
        raise ValueError(f"subnet {net} is none of unicast addresses")
    return net


def usable(net: Subnet) -> Span:
    """What a host may have in a subnet: neither the network's own address nor, with IPv4, the broadcast address.

    Subnets of two addresses have neither (RFC 3021, RFC 6164).
    """
    first, last = int(net.network_address), int(net.broadcast_address)
    if last - first > 1:
        first += 1
        last -= net.version == 4
    return Span(net.version, first, last)


def belongs(wanted: str, to: Plan) -> None:
    """Returns when a port may have this address by an operator's wish; ValueError says why not.

    A gateway's is for the router's port. A network without subnets takes any, and each takes link-local ones.
    """
    asked = address(wanted)
    if not to.subnets or (asked.version == 6 and asked.is_link_local):
        return
    home = next((net for net in to.subnets if asked in net), None)
    if home is None:
        raise ValueError(f"IP {asked} is in no subnet of the network; it has {', '.join(map(str, to.subnets))}")
    hosts = usable(home)
    if not hosts.first <= int(asked) <= hosts.last:
        raise ValueError(f"IP {asked} is the address of the subnet {home} itself, or its broadcast address")


def free(to: Plan, version: int, taken: Iterable[str], attempt: int, draw: Callable[[int], int]) -> str:
    """An address to give out: the lowest that is free, or, after lost races, any of the lowest ones.

    `attempt` counts the races that were lost, `draw(n)` gives a number below n. Raises NoneFreeError, with the
    numbers, when there is none; takes time in the order of what is taken, however large the subnets.
    """
    window = 1 if attempt == 0 else WINDOW << min(attempt, 24)
    gaps: list[Span] = []
    found = 0
    taken = set(taken)
    for gap in _gaps(_offered(to, version), _blocked(to, version, taken)):
        gaps.append(gap)
        found += gap.last - gap.first + 1
        if found >= window:
            break
    if not found:
        raise NoneFreeError(_exhausted(to, version, taken))
    position = draw(min(found, window)) if window > 1 else 0
    for gap in gaps:
        if position <= gap.last - gap.first:
            return spelled(version, gap.first + position)
        position -= gap.last - gap.first + 1
    raise AssertionError("a position lies in one of the gaps")


def each_free(to: Plan, version: int, taken: Iterable[str]) -> Iterator[str]:
    """The addresses that `free` would give one after the other; NoneFreeError at the end."""
    taken = set(taken)
    for gap in _gaps(_offered(to, version), _blocked(to, version, taken)):
        for number in range(gap.first, gap.last + 1):
            yield spelled(version, number)
    # All that could be given out is, whoever has it.
    raise NoneFreeError(_exhausted(to, version, taken))


def use(to: Plan, taken: Iterable[str]) -> list[Use]:
    """How full each subnet is."""
    numbers = _numbers(taken)
    uses = []
    for net in to.subnets:
        here = [span for span in _offered(to, net.version) if int(net.network_address) <= span.first <= int(net[-1])]
        offered = list(_gaps(here, _blocked(to, net.version, ())))
        size = sum(span.last - span.first + 1 for span in offered)
        mine = [
            number for version, number in numbers if version == net.version and int(net[0]) <= number <= int(net[-1])
        ]
        used = sum(any(span.first <= number <= span.last for span in offered) for number in mine)
        uses.append(Use(str(net), size, used, len(mine) - used))
    return uses


def outside(to: Plan, taken: Iterable[str]) -> list[str]:
    """Which of these addresses a port could not be given by hand either, in order."""
    wrong = []
    for ip in taken:
        try:
            belongs(ip, to)
        except ValueError:
            wrong.append(ip)
    return sorted(wrong, key=lambda ip: (_number(ip) or (0, 0), ip))


def spelled(version: int, number: int) -> str:
    """An address as it is written, in the canonical spelling (RFC 5952)."""
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


def _gateway(written: str, nets: Sequence[Subnet]) -> Address:
    router = address(written)
    home = next((net for net in nets if router in net), None)
    if home is None:
        known = ", ".join(map(str, nets)) or "none"
        raise ValueError(f"gateway {router} is in no subnet of the network; there are: {known}")
    hosts = usable(home)
    if not hosts.first <= int(router) <= hosts.last:
        raise ValueError(f"gateway {router} is the address of the subnet {home} itself, or its broadcast address")
    return router


def _spans(written: Iterable[str], nets: Sequence[Subnet], what: str) -> tuple[Span, ...]:
    return tuple(sorted((_span(each, nets, what) for each in written), key=lambda span: (span.version, span.first)))


def _span(written: str, nets: Sequence[Subnet], what: str) -> Span:
    start, dash, end = (part.strip() for part in written.partition("-"))
    first = address(start)
    last = address(end) if dash else first
    if first.version != last.version:
        raise ValueError(f"{what} {written!r}: its ends are of two families")
    if int(first) > int(last):
        raise ValueError(f"{what} {written!r} begins after its end; write {last}-{first}")
    if not any(first in net and last in net for net in nets):
        known = ", ".join(map(str, nets)) or "none"
        raise ValueError(f"{what} {written!r} lies in no subnet of the network; there are: {known}")
    return Span(first.version, int(first), int(last))


def _offered(to: Plan, version: int) -> list[Span]:
    """What may be given out, whoever has what."""
    hosts = [usable(net) for net in to.subnets if net.version == version]
    ranges = [span for span in to.ranges if span.version == version]
    if not ranges:
        return hosts
    cut = [Span(version, max(host.first, span.first), min(host.last, span.last)) for host in hosts for span in ranges]
    return sorted((span for span in cut if span.first <= span.last), key=lambda span: span.first)


def _blocked(to: Plan, version: int, taken: Iterable[str]) -> list[Span]:
    """What must not be given out, in order."""
    blocked = [span for span in to.excludes if span.version == version]
    blocked += [Span(version, int(router), int(router)) for router in to.gateways if router.version == version]
    blocked += [Span(version, number, number) for family, number in _numbers(taken) if family == version]
    return sorted(blocked, key=lambda span: span.first)


def _gaps(offered: Sequence[Span], blocked: Sequence[Span]) -> Iterator[Span]:
    """What is offered and not blocked, in order; both are sorted, and may overlap among themselves."""
    position, at = 0, -1
    for span in offered:
        at = max(at, span.first)
        while at <= span.last:
            while position < len(blocked) and blocked[position].last < at:
                position += 1
            if position == len(blocked) or blocked[position].first > span.last:
                yield Span(span.version, at, span.last)
                at = span.last + 1
            else:
                wall = blocked[position]
                if wall.first > at:
                    yield Span(span.version, at, wall.first - 1)
                at = max(at, wall.last + 1)


def _numbers(taken: Iterable[str]) -> set[tuple[int, int]]:
    return {number for number in map(_number, taken) if number is not None}


@lru_cache(1 << 16)
def _number(written: str) -> tuple[int, int] | None:
    # Who chooses many addresses in a row comes with the same ones taken, each time.
    try:
        parsed = ipaddress.ip_address(written)
    except ValueError:
        return None
    return parsed.version, int(parsed)


def _exhausted(to: Plan, version: int, taken: Iterable[str]) -> str:
    uses = [each for each in use(to, taken) if (":" in each.subnet) == (version == 6)]
    if not uses:
        return f"there is no IPv{version} subnet to take an address from"
    ranges = [str(span) for span in to.ranges if span.version == version]
    full = ", ".join(f"{each.subnet} ({each.used} of {each.size} used)" for each in uses)
    return f"no IPv{version} address is free in {full}" + (f", range {', '.join(ranges)}" if ranges else "")
