"""Chassis whose VTEPs change: the old way is taken away when the new one is up, so nothing is lost between.

First everybody accepts what comes by the new VTEPs, then everybody sends by them, then nobody accepts the old ones.
Each step begins when every switch that is connected has confirmed the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from flows.model import Chassis, Vtep

Present = tuple[tuple[Vtep, ...], tuple[Vtep, ...]]
"""What a chassis uses at present, and what it accepts besides."""


@dataclass(frozen=True, slots=True)
class _Change:
    """`used` and `also` (accepted) are what they were before; `sends`: by what is declared now."""

    used: tuple[Vtep, ...]
    also: tuple[Vtep, ...]
    sends: bool
    since: int


@dataclass
class VtepChanges:
    """The changes under way, by chassis."""

    _of: dict[str, _Change] = field(default_factory=dict)

    def compare(self, before: Mapping[str, Chassis], now: Mapping[str, Chassis], version: int) -> None:
        """What is declared is another; it will be in the overlay of that version."""
        owner = {vtep.ip: name for name, chassis in now.items() for vtep in chassis.vteps}
        for name in set(self._of) - now.keys():
            del self._of[name]
        for name in before.keys() & now.keys():
            if _offers(before[name].vteps) == _offers(now[name].vteps):
                continue
            known = self._of.get(name)
            used = before[name].vteps if known is None or known.sends else known.used
            also = (*known.used, *known.also) if known is not None else ()
            if all(owner.get(vtep.ip, name) == name for vtep in (*used, *also)):
                self._of[name] = _Change(used, also, sends=False, since=version)
            else:
                self._of.pop(name, None)  # somebody else has one of them now

    def resume(self, present: Mapping[str, Present], now: Mapping[str, Chassis], version: int) -> None:
        """Go on from what each chassis uses and accepts at present, where that is not what is declared.

        A change that was under way begins anew where it was, in the overlay of that version, which loses nothing. What
        was known of others before is forgotten.
        """
        self._of.clear()
        for name in present.keys() & now.keys():
            used, besides = present[name]
            if besides or _offers(used) != _offers(now[name].vteps):
                self._of[name] = _Change(used, besides, sends=False, since=version)

    def of(self, chassis: Chassis) -> Chassis:
        """The chassis as it is to be for the time being."""
        change = self._of.get(chassis.name)
        if change is None:
            return chassis
        mtus = {vtep.ip: vtep.mtu for vtep in chassis.vteps}
        vteps = tuple(replace(vtep, mtu=mtus.get(vtep.ip, vtep.mtu)) for vtep in change.used)
        if change.sends:
            return replace(chassis, besides=_besides(chassis.vteps, (*change.used, *change.also)))
        return replace(chassis, vteps=vteps, besides=_besides(vteps, (*chassis.vteps, *change.also)))

    def confirm(self, oldest: int, version: int) -> bool:
        """Every switch that is connected has the flows of the first version, or later ones; the second comes next.

        Whether a step is done.
        """
        done = {name: change for name, change in self._of.items() if change.since <= oldest}
        for name, change in done.items():
            if change.sends:
                del self._of[name]
            else:
                self._of[name] = replace(change, sends=True, since=version)
        return bool(done)

    def settled(self) -> bool:
        """Whether there are none."""
        return not self._of


def as_told(chassis: Chassis, present: Present) -> Chassis:
    """A chassis of which another controller has decided what it uses and accepts; of its MTUs it has not."""
    mtus = {vtep.ip: vtep.mtu for vtep in chassis.vteps}
    used, besides = (tuple(replace(vtep, mtu=mtus.get(vtep.ip, vtep.mtu)) for vtep in each) for each in present)
    return replace(chassis, vteps=used, besides=besides)


def _offers(vteps: Iterable[Vtep]) -> frozenset[tuple[str, str]]:
    return frozenset((vtep.ip, encap) for vtep in vteps for encap in vtep.encaps)


def _besides(vteps: Iterable[Vtep], others: Iterable[Vtep]) -> tuple[Vtep, ...]:
    """Those of the others, each once, and of each the encaps, that the first have not."""
    offered = {vtep.ip: vtep.encaps for vtep in vteps}
    found: dict[str, Vtep] = {}
    for vtep in others:
        encaps = vtep.encaps - offered.get(vtep.ip, frozenset())
        if encaps:
            seen = found.get(vtep.ip)
            found[vtep.ip] = replace(vtep, encaps=encaps | (seen.encaps if seen is not None else frozenset()))
    return tuple(vtep for _, vtep in sorted(found.items()))
