"""How packets get from one chassis to another: which VTEPs and encap a pair uses, and what fits through. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import netaddr

from flows.flow import Action, set_field
from flows.model import Chassis, Encap, TunnelPort, Vtep, is_ipv4, tunnel_to

ETHERNET: Final = 14
"""Octets of an Ethernet header without tag."""
_OUTER: Final = {True: 20, False: 40}
"""Octets of an IP header, by whether it is IPv4."""
_INNER: Final = {Encap.VXLAN: 8 + 8 + ETHERNET, Encap.GRE: 8 + ETHERNET}
"""Octets between that and the inner packet: UDP and VXLAN (RFC 7348), or GRE with a key (RFC 2890); inner Ethernet."""


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """How a chassis sends to another one.

    `local` is the VTEP to send from, '' where the chassis has but one. `limit` is the largest packet, in octets
    without its Ethernet header, that the tunnel carries.
    """

    remote: str
    encap: Encap
    local: str
    limit: int

    @property
    def tunnel(self) -> TunnelPort:
        """The tunnel port by which it leaves."""
        return tunnel_to(self.encap, self.remote)

    def fields(self, vni: int, after: Way | None = None) -> tuple[Action, ...]:
        """What sets the tunnel key and both ends; `after` another way, only what is different.

        Open vSwitch makes a wrong header of a packet that has ends of both families.
        """
        kind = "tun_" if is_ipv4(self.remote) else "tun_ipv6_"
        steps: list[Action] = [] if after is not None else [set_field("tun_id", vni)]
        if after is not None and is_ipv4(after.remote) != is_ipv4(self.remote):
            other, none = ("tun_ipv6_", "::") if is_ipv4(self.remote) else ("tun_", "0.0.0.0")
            steps += [set_field(other + "dst", none)] + ([set_field(other + "src", none)] if after.local else [])
            after = None
        if self.local and (after is None or after.local != self.local):
            steps.append(set_field(kind + "src", self.local))
        return (*steps, set_field(kind + "dst", self.remote))


def overhead(encap: Encap, ip: str) -> int:
    """Octets that a tunnel to that address takes of the underlay's MTU."""
    return _OUTER[is_ipv4(ip)] + _INNER[encap]


def way(one: Chassis, other: Chassis, preferred: Encap) -> Way | None:
    """How `one` sends to `other`; None where they share neither encap nor address family."""
    found = used(one, other, preferred)
    if found is None:
        return None
    encap, here, there = found
    limit = min(here.mtu, there.mtu) - overhead(encap, there.ip)
    return Way(there.ip, encap, here.ip if len(one.vteps) > 1 else "", limit)


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
    for here in one.vteps:
        for there in other.vteps:
            if is_ipv4(here.ip) == is_ipv4(there.ip):
                for encap in sorted(here.encaps & there.encaps):
                    yield encap, here, there


def accepted(one: Chassis, other: Chassis) -> tuple[tuple[Encap, str], ...]:
    """What `one` takes from `other`: every encap and VTEP, so that a change of what is used loses nothing."""
    return tuple(sorted({(encap, there.ip) for encap, _, there in pairs(one, other)}))


def common_bits(one: str, other: str) -> int:
    """How many leading bits two addresses of one family have in common."""
    width = 32 if is_ipv4(one) else 128
    return width - (int(netaddr.IPAddress(one)) ^ int(netaddr.IPAddress(other))).bit_length()
