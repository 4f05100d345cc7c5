"""Tables notice, told and tell: ARP and neighbor discovery that tell something new reach the controller once.

Notice knows what is known already. Told holds what the controller was told within the last seconds, so that it is not
told again while its answer is under way, or when it does not want to know; tell copies the rest, within a rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from flows.compile.guard import COPIED, COPIED_ND, copy
from flows.compile.headers import ADVERTISES, ARP, SOLICITS, TAGGED
from flows.compile.view import Known, View
from flows.flow import (
    KIND_SHIFT,
    OWNER_COOKIE,
    Action,
    Flow,
    Goto,
    Learn,
    LearnLoad,
    LearnMatch,
    Match,
    Resubmit,
    flow,
)
from flows.model import is_ipv4
from flows.plan import Key
from flows.tables import FORWARD, FROM_PORT, NOTICE, ORIGIN, RESPOND, TELL, TOLD, TOLD_TABLE, Kind

TOLD_S: Final = 4
"""Seconds for which the controller is not told the same again.

Less than VRRP's daemons wait before they announce an address once more: the first copy may have been over the rate.
"""
TOLD_LIMIT: Final = 1024
"""The most that is remembered of one port for that long."""

_ARP: Final[Match] = {"eth_type": ARP}
_WHAT: Final[tuple[tuple[Match, tuple[str, ...]], ...]] = (
    (_ARP, ("arp_spa", "arp_sha")),
    (SOLICITS, ("ipv6_src", "eth_src")),
    (ADVERTISES, ("nd_target", "eth_src")),
)
"""What tells of a neighbor, and the fields that hold its address and its MAC."""


def notice(view: View) -> Iterator[Flow]:
    """Of ports that may speak for more than is declared, all that is not known to be there."""
    for port in view.ports:
        if not port.tells:
            continue
        here: Match = {"metadata": view.vni, "in_port": port.ofport}
        settled = [known for known in view.neighbors if known.ofport == port.ofport]
        for known in settled:
            yield from _noticed(view, known)
        cookie = _cookie(view.vni, port.ofport, [known for known in settled if known.learned])
        for what, fields in _WHAT:
            yield flow(NOTICE, Kind.NOTICE, 100, {**here, **what}, [Resubmit(TOLD_TABLE), Goto(TELL)])
            same = [LearnMatch(name, name) for name in ("metadata", "in_port", *fields)]
            constants = [LearnMatch(name, _number(value)) for name, value in what.items()]
            teach = Learn(TOLD_TABLE, cookie, 100, TOLD_S, TOLD_LIMIT, (*constants, *same, LearnLoad(TOLD, 1)))
            octets = COPIED if what is _ARP else COPIED_ND
            steps: list[Action] = [teach, copy(port.ofport, octets), Goto(RESPOND)]
            yield flow(TELL, Kind.TELL, 100, {**here, TOLD: 0, **what}, steps)


def listening(view: View) -> dict[Key, str]:
    """The flows that count what the learned neighbors of this chassis send, by key, and whose address each is of."""
    telling = {port.ofport for port in view.ports if port.tells}
    return {
        counts.key: known.ip
        for known in view.neighbors
        if known.learned and known.ofport in telling
        for counts in _noticed(view, known)
    }


def _noticed(view: View, known: Known) -> Iterator[Flow]:
    """What tells that a neighbor is where it is known to be. At any other port it is news."""
    here: Match = {"metadata": view.vni, "in_port": known.ofport}
    if is_ipv4(known.ip):
        told: tuple[Match, ...] = ({**_ARP, "arp_spa": known.ip, "arp_sha": known.mac},)
    else:
        told = (
            {**SOLICITS, "ipv6_src": known.ip, "eth_src": known.mac},
            {**ADVERTISES, "nd_target": known.ip, "eth_src": known.mac},
        )
    for what in told:
        yield flow(NOTICE, Kind.NOTICED, 200, {**here, **what}, [Goto(RESPOND)])


def _cookie(vni: int, ofport: int, learned: Iterable[Known]) -> int:
    """The cookie of what was told of a port: another one whenever something was learned there, or has left.

    What was told under the old one goes with the flows that taught it. Else a neighbor that moves and comes back
    would come back unheard.
    """
    place = repr((vni, ofport, sorted((known.ip, known.mac) for known in learned)))
    digest = blake2b(place.encode(), digest_size=8).digest()
    return OWNER_COOKIE | Kind.TOLD << KIND_SHIFT | int.from_bytes(digest, "big") & (1 << KIND_SHIFT) - 1


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


def misses() -> Iterator[Flow]:
    """Who probes claims nothing yet (RFC 5227: no sender address; RFC 4862: no source); all else tells nothing."""
    yield flow(NOTICE, Kind.PASS_TAGGED, 400, {ORIGIN: FROM_PORT, "vlan_tci": TAGGED}, [Goto(FORWARD)])
    for probe in ({**_ARP, "arp_spa": "0.0.0.0"}, {**SOLICITS, "ipv6_src": "::"}):
        yield flow(NOTICE, Kind.NOTICED, 300, {ORIGIN: FROM_PORT, **probe}, [Goto(RESPOND)])
    yield flow(NOTICE, Kind.CONTINUE, 0, {}, [Goto(RESPOND)])
    yield flow(TELL, Kind.ALREADY_TOLD, 0, {}, [Goto(RESPOND)])
