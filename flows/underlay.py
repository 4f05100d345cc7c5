"""How packets get from one chassis to another: which VTEPs and encap a pair uses, and what fits through. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flows.flow import Action, set_field
from flows.model import Chassis, Encap, TunnelPort, is_ipv4, tunnel_to
from flows.vteps import overhead, used


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """How a chassis sends to another one.

    `local` is the VTEP to send from, `limit` the largest packet, in octets without its Ethernet header, that the tunnel
    carries.
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
            steps += [set_field(other + "dst", none), set_field(other + "src", none)]
            after = None
        if after is None or after.local != self.local:
            steps.append(set_field(kind + "src", self.local))
        return (*steps, set_field(kind + "dst", self.remote))


def way(one: Chassis, other: Chassis, preferred: Encap) -> Way | None:
    """How `one` sends to `other`; None where they share neither encap nor address family."""
    found = used(one, other, preferred)
    if found is None:
        return None
    encap, here, there = found
    limit = min(here.mtu, there.mtu) - overhead(encap, there.ip)
    return Way(there.ip, encap, here.ip, limit)
