"""Whether what the overlay database says now may be acted on, or is a loss that must not reach the switches.

A copy that is older than what a chassis has seen, or than what was acted on, and ports that vanished although nobody
deleted them, are signs of a restored, damaged or emptied database (ovsdb-server serves what is left of a file). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from flows.model import Binding
from ovsdb.marks import Mark, mark_of
from ovsdb.snapshot import Declared, LastKnown

LOSS: Final = (10, 0.2)
"""Ports that may vanish and no deletion was counted: this many, or this share, whichever is more; but never all."""
ADVICE: Final = (
    "nothing that it says is acted on; bring back what it has lost (overlayctl restore FILE; where it is "
    "empty: overlayctl rebuild --from-chassis), or, if it is intended: overlayctl db-accept"
)


class Missing(NamedTuple):
    """A port that vanished: a declared one by name, another one by its place; with its `chassis` or `network`, or,
    where both are '', alone."""

    port: str
    chassis: str = ""
    network: str = ""

    def is_back(self, now: Declared) -> bool:
        """Whether what went is declared again."""
        if self.chassis or self.network:
            return self.chassis in now.chassis or self.network in now.networks
        return self.port in now.ports


def missing(
    before: frozenset[Missing], now: Declared, accepted: Declared, bindings: Iterable[Binding]
) -> frozenset[Missing]:
    """What has vanished since somebody last deleted anything: little by little is no way around the guard.

    `before` is what had when `accepted` was acted on, with these bindings. Whoever deletes on purpose counts that.
    """
    if now.accepted or now.epoch > accepted.epoch:
        return frozenset()
    if now is accepted:
        return before
    found = {each for each in before if not each.is_back(now)}
    found |= {Missing(name) for name in accepted.ports if name not in now.ports}
    chassis = accepted.chassis.keys() - now.chassis.keys() - now.unusable.keys()
    networks = accepted.networks.keys() - now.networks.keys()
    for binding in bindings if chassis or networks else ():
        name = binding.port or f"{binding.chassis}/{binding.interface}"
        if binding.chassis in chassis:
            found.add(Missing(name, chassis=binding.chassis))
        elif binding.network in networks:
            found.add(Missing(name, network=binding.network))
    return frozenset(found)


def missing_at_start(now: Declared, last: LastKnown, marks: Mapping[str, Mark]) -> frozenset[Missing]:
    """The same while nobody was there: of what was bound then, if nothing was deleted after the chassis were told.

    `marks` are what the chassis had seen by then.
    """
    told = max((mark.epoch for mark in marks.values() if mark.database_id == now.database_id), default=-1)
    if now.epoch > told:
        return frozenset()
    found = {Missing(name) for name in last.held if name not in now.ports}
    there = now.chassis.keys() | now.unusable.keys()
    found |= {Missing(name, at) for name, places in last.held.items() for at, _ in places if at not in there}
    undeclared = (plug for plug in last.plugs if plug.iface_id is None and plug.chassis not in there)
    return frozenset(found | {Missing(f"{plug.chassis}/{plug.interface}", plug.chassis) for plug in undeclared})


def objection(
    now: Declared, accepted: Declared | None, marks: Mapping[str, Mark], lost: frozenset[Missing] = frozenset()
) -> str:
    """Why `now` is not to be acted on, '' when it may be.

    `accepted` is what was acted on last, None at the start; `marks` are what the chassis have seen; `lost` is what is
    `missing`.
    """
    here = mark_of(now)
    ahead = sorted(name for name, mark in marks.items() if mark.later_than(here))
    if ahead:
        seen = max((marks[name] for name in ahead), key=lambda mark: (mark.epoch, mark.nb_cfg))
        have = "has" if len(ahead) == 1 else "have"
        who = f"chassis {', '.join(ahead)} {have} seen epoch {seen.epoch}, change {seen.nb_cfg}"
    elif accepted is not None and mark_of(accepted).later_than(here):
        who = f"was at epoch {accepted.epoch}, change {accepted.nb_cfg} before"
    else:
        who = ""
    if who:
        is_at = f"it is at epoch {here.epoch}, change {here.nb_cfg}"
        return f"the overlay database is an older copy: {is_at}, and {who}; {ADVICE}"
    had = accepted.database_id if accepted is not None and (accepted.chassis or accepted.ports) else ""
    if had not in ("", now.database_id):
        is_now = f"it was {had}, and is {now.database_id or 'empty'}"
        return f"the overlay database is another one than before ({is_now}); {ADVICE}"
    ports = {each.port for each in lost}
    known = accepted if accepted is not None else now
    total = len(known.ports) + sum(port not in known.ports for port in ports)
    everything = len(ports) == total > 1
    if len(ports) <= max(LOSS[0], LOSS[1] * total) and not everything:
        return ""
    return f"{len(ports)} of {total} {_how(lost)} vanished from the overlay database, and nobody deleted them; {ADVICE}"


def _how(lost: Iterable[Missing]) -> str:
    """What sort of ports they are, and with what they went."""
    chassis, networks = {each.chassis for each in lost} - {""}, {each.network for each in lost} - {""}
    of = [f"chassis {', '.join(sorted(chassis))}"] if chassis else []
    of += [f"network {', '.join(sorted(networks))}"] if networks else []
    return f"ports, with {' and '.join(of)}," if of else "declared ports"


def same_rows(one: Declared, other: Declared) -> bool:
    """Whether the same is declared, whatever else is said."""
    return (one.chassis, one.networks, one.ports) == (other.chassis, other.networks, other.ports)


def beyond(now: Declared, marks: Mapping[str, Mark]) -> tuple[int, int]:
    """The (epoch, nb_cfg) that is later than anything a chassis has seen of this database."""
    seen = [mark_of(now), *(mark for mark in marks.values() if mark.database_id == now.database_id)]
    return max(mark.epoch for mark in seen) + 1, max(mark.nb_cfg for mark in seen) + 1
