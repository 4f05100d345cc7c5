"""Table learn: the switch learns the MACs of undeclared ports by itself, with or without a controller.

Where nobody is undeclared nothing is learned. A learned flow's cookie names the place that taught it, so
`delete_learned` takes what was learned there when the place goes, and the limit counts per place.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from flows.compile.view import View
from flows.flow import KIND_SHIFT, OWNER_COOKIE, Flow, Goto, Learn, LearnLoad, LearnMatch, Match, flow
from flows.tables import FDB, FROM_TUNNEL, LEARN, NOTICE, ORIGIN, OUTPORT, Kind

AGE: Final = 300
"""Seconds after which a MAC that sent nothing is forgotten (IEEE 802.1D's default)."""
PORT_LIMIT: Final = 1024
VTEP_LIMIT: Final = 16384
"""The most MACs learned behind one port, and behind one VTEP for one network."""

_WHO: Final = (LearnMatch("metadata", "metadata"), LearnMatch("eth_dst", "eth_src"))


def learn(view: View) -> Iterator[Flow]:
    """One flow for each undeclared port, one for each VTEP that has some, and what is known is not learned.

    A learned copy of a known MAC's place would outlive it when its port is unplugged.
    """
    if not any(port.learns for port in view.ports) and not any(member.learns for member in view.members):
        return
    known = {mac for member in view.members for mac in member.macs}
    known |= {mac for port in view.ports for mac in port.macs}
    for mac in sorted(known):
        taught: Match = {"metadata": view.vni, "eth_src": mac}
        yield flow(LEARN, Kind.KNOWN_SOURCE, 200, taught, [Goto(NOTICE)])
    for port in view.ports:
        if port.learns:
            teach = Learn(
                FDB,
                _cookie(view.vni, port.ofport),
                100,
                AGE,
                PORT_LIMIT,
                (*_WHO, LearnLoad(OUTPORT, "in_port")),
            )
            match = {"metadata": view.vni, "in_port": port.ofport}
            yield flow(LEARN, Kind.LEARN_LOCAL, 100, match, [teach, Goto(NOTICE)])
    for member in view.members:
        if member.learns:
            teach = Learn(
                FDB,
                _cookie(view.vni, member.vtep),
                100,
                AGE,
                VTEP_LIMIT,
                (
                    *_WHO,
                    LearnLoad("tun_id", "tun_id"),
                    LearnLoad("tun_dst", "tun_src"),
                    LearnLoad(OUTPORT, "in_port"),
                ),
            )
            from_vtep: Match = {"metadata": view.vni, ORIGIN: FROM_TUNNEL, "tun_src": member.vtep}
            yield flow(LEARN, Kind.LEARN_REMOTE, 100, from_vtep, [teach, Goto(NOTICE)])


def misses() -> Iterator[Flow]:
    """Nothing to learn."""
    yield flow(LEARN, Kind.CONTINUE, 0, {}, [Goto(NOTICE)])


def _cookie(vni: int, place: int | str) -> int:
    digest = blake2b(f"{vni} {place}".encode(), digest_size=8).digest()
    return OWNER_COOKIE | Kind.LEARNED << KIND_SHIFT | int.from_bytes(digest, "big") & (1 << KIND_SHIFT) - 1
