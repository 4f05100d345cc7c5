"""Table learn: the switch learns by itself where the MACs are that are declared nowhere, controller or not.

Where there can be none nothing is learned. A learned flow's cookie names the place that taught it, so
`delete_learned` takes what was learned there when the place goes, and the limit counts per place.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from flows.compile.headers import tunnel_source
from flows.compile.view import LocalPort, Member, View
from flows.flow import KIND_SHIFT, OWNER_COOKIE, Flow, Goto, Learn, LearnLoad, LearnMatch, Match, flow
from flows.model import is_ipv4
from flows.tables import FDB, FORWARD, FROM_TUNNEL, LEARN, NOTICE, ORIGIN, OUT_TAG, OUTPORT, Kind

AGE: Final = 300
"""Seconds after which a MAC that sent nothing is forgotten (IEEE 802.1D's default)."""
PORT_LIMIT: Final = 1024
VTEP_LIMIT: Final = 16384
"""The most MACs learned behind one port, and behind one VTEP for one network."""

_WHO: Final = (LearnMatch("metadata", "metadata"), LearnMatch("eth_dst", "eth_src"))


def learn(view: View) -> Iterator[Flow]:
    """Each local port and each VTEP behind which MACs may appear that are not known, or are shared.

    What is known is not learned: a learned copy would outlive it when its port is unplugged.
    """
    for port in view.ports:
        if port.learns or port.shared:
            yield from _from_port(view, port)
    for member in view.members:
        if member.learns or member.shared:
            for ip in member.sources:
                yield from _from_vtep(view, member, ip)


def _from_port(view: View, port: LocalPort) -> Iterator[Flow]:
    here: Match = {"metadata": view.vni, "in_port": port.ofport}
    tag = (LearnLoad(OUT_TAG, port.out_tag),) if port.tag else ()
    specs = (*_WHO, LearnLoad(OUTPORT, "in_port"), *tag)
    teach = Learn(FDB, learned_at(view.vni, port.ofport, port.tag), 100, AGE, PORT_LIMIT, specs)
    for mac in port.macs:
        yield flow(LEARN, Kind.KNOWN_SOURCE, 200, {**here, "eth_src": mac}, [Goto(NOTICE)])
    # Of a port with a guard nothing gets here but from these and the shared ones.
    yield flow(LEARN, Kind.LEARN_LOCAL, 100, here, [teach, Goto(NOTICE)])


def _from_vtep(view: View, member: Member, ip: str) -> Iterator[Flow]:
    """The answer goes to the address the packet came from, and from the one it came to."""
    remote, local = ("tun_src", "tun_dst") if is_ipv4(ip) else ("tun_ipv6_src", "tun_ipv6_dst")
    specs: tuple[LearnMatch | LearnLoad, ...] = (
        *_WHO,
        LearnLoad("tun_id", "tun_id"),
        LearnLoad(local, remote),
        LearnLoad(remote, local),
        LearnLoad(OUTPORT, "in_port"),
    )
    teach = Learn(FDB, _cookie(view.vni, ip), 100, AGE, VTEP_LIMIT, specs)
    match: Match = {"metadata": view.vni, ORIGIN: FROM_TUNNEL, **tunnel_source(ip)}
    yield flow(LEARN, Kind.LEARN_REMOTE, 100, match, [teach, Goto(FORWARD)])


def misses() -> Iterator[Flow]:
    """Nothing to learn."""
    yield flow(LEARN, Kind.CONTINUE, 0, {}, [Goto(NOTICE)])


def learned_at(vni: int, ofport: int, tag: int) -> int:
    """The cookie of what is learned behind a port of the chassis."""
    return _cookie(vni, f"{ofport} {tag}")


def _cookie(vni: int, place: str) -> int:
    digest = blake2b(f"{vni} {place}".encode(), digest_size=8).digest()
    return OWNER_COOKIE | Kind.LEARNED << KIND_SHIFT | int.from_bytes(digest, "big") & (1 << KIND_SHIFT) - 1
