"""What must become of a frame, from what is declared alone: the oracle that compiled flows are held against.

It knows no flow, no table and no order of tables, only what the declarations mean (docs/database.md): who may send
what, who receives it, who is answered by whom. Where a declaration leaves a choice, every choice is given.
"""

from __future__ import annotations

from collections.abc import Mapping

from flows.model import TUNNELS
from flows.tables import Kind
from flows.truth.declared import Declared, Spot
from flows.truth.fate import FORGED, Fate
from flows.truth.frame import PRESENT, Fields, without_tag
from flows.truth.port import from_port
from flows.truth.tunnel import from_tunnel


def truth(known: Declared, chassis: str, fields: Fields, seen: Mapping[tuple[str, int], Spot]) -> tuple[Fate, ...]:
    """What may become of a frame that comes in at a chassis: one of these.

    `seen` tells where a MAC that is not declared was last seen, by network and MAC.
    """
    in_port = fields["in_port"]
    if any(tunnel.ofport == in_port for tunnel in TUNNELS):
        return _unlearned(known, fields, from_tunnel(known, chassis, fields, seen))
    here = known.ports.get((chassis, in_port), {})
    frame = {name: value for name, value in fields.items() if name != "in_port"}
    tci = frame.get("vlan_tci", 0)
    tag = tci & 0xFFF if tci & PRESENT else 0
    if tag and tag in here:
        member = here[tag]
        frame = without_tag(frame)
    elif 0 in here:
        member = here[0]
    else:
        return (Fate(reasons=frozenset({Kind.DROP_NO_NETWORK})),)
    return _unlearned(known, frame, from_port(known, member, frame, seen))


def _unlearned(known: Declared, fields: Fields, fates: tuple[Fate, ...]) -> tuple[Fate, ...]:
    """The same; nothing is learned of a MAC whose place is declared, nor from what is forged."""
    mac = fields["eth_src"]
    return tuple(
        [
            Fate(fate.network, fate.must, fate.may, fate.reasons, fate.told, fate.rates, learns=False)
            if fate.network is None
            or mac in known.segments[fate.network].placed
            or (fate.reasons is not None and fate.reasons & FORGED)
            else fate
            for fate in fates
        ]
    )
