"""A packet across the tunnels of several switches, until nothing of it is under way any more."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from flows.fields import FIELDS
from flows.model import GRE6, TUNNELS, Chassis, Encap, TunnelPort, Vtep, is_ipv4, tunnels_from
from flows.simulate.packets import Packet
from flows.simulate.switch import LoopError, Sent, Switch, Trace

MAX_HOPS: Final = 4
"""The most tunnels a packet may pass one after the other before it is taken to go round."""
_TUNNELS: Final = {tunnel.ofport: tunnel for tunnel in TUNNELS}
_FAMILIES: Final = ("tun_", "tun_ipv6_")
"""What the fields of a tunnel's two ends begin with, of IPv4 and of IPv6."""
_KEY_MASK: Final[Mapping[Encap, int]] = {Encap.VXLAN: (1 << 24) - 1, Encap.GRE: (1 << 32) - 1}
"""What of `tun_id` a tunnel header carries (RFC 7348, RFC 2890)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A packet, as on the wire, out of a port that is no tunnel."""

    chassis: str
    ofport: int
    packet: Packet


@dataclass(frozen=True, slots=True)
class Journey:
    """What became of a packet on all the chassis it reached, in the order it reached them."""

    deliveries: tuple[Delivery, ...]
    lost: tuple[tuple[str, Sent], ...]
    """What a chassis sent into a tunnel that ends nowhere."""
    traces: tuple[tuple[str, Trace], ...]


def journey(
    switches: Mapping[str, Switch],
    chassis: Mapping[str, Chassis],
    origin: str,
    packet: Packet,
    *,
    teach: bool = True,
    gre6: TunnelPort = GRE6,
) -> Journey:
    """Takes a packet that came in at `origin` through its flows, the tunnels, and the flows behind those.

    `gre6` is the tunnel port at which GRE over IPv6 comes in; which one it is depends on the datapath.
    Raises LoopError when it passes more than `MAX_HOPS` tunnels one after the other.
    """
    deliveries: list[Delivery] = []
    lost: list[tuple[str, Sent]] = []
    traces: list[tuple[str, Trace]] = []
    waiting = deque([(origin, packet, 0)])
    while waiting:
        here, arrived, hops = waiting.popleft()
        if hops > MAX_HOPS:
            raise LoopError(f"{packet} passed {hops} tunnels, the last one to {here}")
        trace = switches[here].send(arrived, teach=teach)
        traces.append((here, trace))
        written: Packet | None = None
        for sent in trace.outputs:
            if sent.packet is not written:
                written, wire = sent.packet, sent.packet.on_wire()
            tunnel = _TUNNELS.get(sent.port)
            if tunnel is None:
                deliveries.append(Delivery(here, sent.port, wire))
                continue
            reached = _through(chassis, chassis[here], tunnel, gre6, sent.packet)
            if reached is None:
                lost.append((here, sent))
                continue
            there, outer = reached
            waiting.append((there, Packet.of({**dict(wire.items), **outer}), hops + 1))
    return Journey(tuple(deliveries), tuple(lost), tuple(traces))


def _through(
    chassis: Mapping[str, Chassis], here: Chassis, tunnel: TunnelPort, gre6: TunnelPort, sent: Packet
) -> tuple[str, dict[str, int]] | None:
    """The chassis at the other end of a tunnel, and what a packet has of it there; None where it ends nowhere.

    That is so unless exactly one address family has a far end, both ends are VTEPs that offer the encap, and the
    tunnel port is one for that family.
    """
    fields = dict(sent.items)
    families = [family for family in _FAMILIES if fields.get(family + "dst", 0)]
    if len(families) != 1:
        return None
    family = families[0]
    ours = [vtep for vtep in here.vteps if is_ipv4(vtep.ip) == (family == "tun_")]
    # What names no source leaves from whichever address of the host its routes prefer, and that may be no VTEP.
    local = next((vtep for vtep in ours if _number(family, vtep) == sent[family + "src"]), None)
    far = [
        (each, vtep)
        for each in chassis.values()
        for vtep in each.vteps
        if is_ipv4(vtep.ip) == (family == "tun_") and _number(family, vtep) == fields[family + "dst"]
    ]
    if local is None or not far:
        return None
    there, remote = far[0]
    arrives = tunnels_from(tunnel.encap, local.ip)
    leaves = arrives if not is_ipv4(local.ip) else arrives[:1]
    if tunnel not in leaves or tunnel.encap not in local.encaps & remote.encaps:
        return None
    return there.name, {
        "in_port": (gre6 if GRE6 in arrives and not is_ipv4(local.ip) else arrives[0]).ofport,
        "tun_id": fields.get("tun_id", 0) & _KEY_MASK[tunnel.encap],
        family + "src": _number(family, local),
        family + "dst": _number(family, remote),
    }


@lru_cache(maxsize=4096)
def _number(family: str, vtep: Vtep) -> int:
    """The address of a VTEP as it stands in a packet."""
    return FIELDS[family + "src"].value(vtep.ip)
