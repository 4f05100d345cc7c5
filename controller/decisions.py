"""What has been decided between two moments, told from the overlay before and after. Pure.

Where a port is bound, a gateway opened or a VTEP changed follows from all that is known: there is no one place where
it happens, and so none that could log it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from controller.events import Event, about
from flows.model import Binding, Chassis, Neighbor, Overlay, Vtep

NEIGHBORS: Final = 10
"""So many neighbors that have moved are told at once, and no more: who sends what he likes must not fill the log."""

Place = tuple[str, str, int]
"""(chassis, interface, tag)."""


@dataclass(frozen=True)
class Moment:
    """What was known at one moment: the overlay, and the state of each chassis in a word."""

    overlay: Overlay = field(default_factory=Overlay)
    states: Mapping[str, str] = field(default_factory=dict)


class Decision(NamedTuple):
    """One of them: how it is told, and what goes with that line."""

    text: str
    extra: dict[str, Any]


def decisions(before: Moment, now: Moment) -> Iterator[Decision]:
    """Every one, in an order that does not depend on anything else."""
    if before.overlay.bindings is not now.overlay.bindings:
        yield from _ports(before.overlay.bindings, now.overlay.bindings)
    if before.overlay.neighbors is not now.overlay.neighbors:
        yield from _neighbors(before.overlay.neighbors, now.overlay.neighbors)
    if before.overlay.chassis is not now.overlay.chassis:
        yield from _vteps(before.overlay.chassis, now.overlay.chassis)
    for name, state in sorted(now.states.items()):
        if state == "ready" and before.states.get(name) != "ready":
            yield Decision(f"{name}: ready", about(Event.CHASSIS_READY, chassis=name))


def _ports(before: Iterable[Binding], now: Iterable[Binding]) -> Iterator[Decision]:
    """Of declared ports by name, of others by place. One that is about to move here is bound elsewhere yet."""
    was, is_ = _by_what(before), _by_what(now)
    for key in sorted(was.keys() - is_.keys()):
        old = was[key]
        keys = _where(old)
        if old.gateway:
            yield Decision(
                f"{_place(old)}: gateway of network '{old.network}' closed", about(Event.GATEWAY_CLOSED, **keys)
            )
        else:
            text = f"{_place(old)}: {_who(old)} of network '{old.network}' unbound"
            yield Decision(text, about(Event.PORT_UNBOUND, port=old.port, **keys))
    for key in sorted(is_):
        new, old_ = is_[key], was.get(key)
        keys = _where(new)
        if old_ is not None and _at(old_) == _at(new):
            continue
        if old_ is not None:
            text = f"{_place(new)}: {_who(new)} of network '{new.network}' moved here from {_place(old_)}"
            places = {"chassis_before": old_.chassis, "interface_before": old_.interface}
            yield Decision(text, about(Event.PORT_MOVED, port=new.port, **keys, **places))
        elif new.gateway:
            yield Decision(
                f"{_place(new)}: gateway of network '{new.network}' opened", about(Event.GATEWAY_OPENED, **keys)
            )
        else:
            text = f"{_place(new)}: {_who(new)} bound in network '{new.network}'"
            yield Decision(text, about(Event.PORT_BOUND, port=new.port, **keys))


def _by_what(bindings: Iterable[Binding]) -> dict[tuple[str, ...], Binding]:
    return {
        (each.network, "port", each.port) if each.port is not None else (each.network, *map(str, _at(each))): each
        for each in bindings
        if not each.standby
    }


def _at(binding: Binding) -> Place:
    return (binding.chassis, binding.interface, binding.tag)


def _where(binding: Binding) -> dict[str, Any]:
    return {
        "network": binding.network,
        "chassis": binding.chassis,
        "interface": binding.interface,
        "tag": binding.tag or None,
    }


def _place(binding: Binding) -> str:
    return f"{binding.chassis}/{binding.interface}{f' tag {binding.tag}' if binding.tag else ''}"


def _who(binding: Binding) -> str:
    return f"port '{binding.port}'" if binding.port is not None else "an undeclared port"


def _neighbors(before: Iterable[Neighbor], now: Iterable[Neighbor]) -> Iterator[Decision]:
    was = {(each.network, each.ip): each for each in before}
    moved = [(was[key], each) for each in now if (key := (each.network, each.ip)) in was and was[key] != each]
    for old, new in moved[:NEIGHBORS]:
        text = (
            f"network '{new.network}': {new.ip} has moved from {old.mac} at {old.chassis}/{old.interface} "
            f"to {new.mac} at {new.chassis}/{new.interface}"
        )
        keys = {"network": new.network, "ip": new.ip, "mac": new.mac, "mac_before": old.mac}
        places = {"chassis_before": old.chassis, "interface_before": old.interface}
        extra = about(Event.NEIGHBOR_MOVED, **keys, chassis=new.chassis, interface=new.interface, **places)
        yield Decision(text, extra)


def _vteps(before: Mapping[str, Chassis], now: Mapping[str, Chassis]) -> Iterator[Decision]:
    for name in sorted(before.keys() & now.keys()):
        used, accepted = _offers(now[name].vteps), _offers(now[name].besides)
        if (_offers(before[name].vteps), _offers(before[name].besides)) != (used, accepted):
            besides = f", and is also accepted by {', '.join(accepted)}" if accepted else ""
            text = f"{name}: is reached by {', '.join(used)}{besides}"
            yield Decision(text, about(Event.VTEPS_CHANGED, chassis=name, vteps=used, accepted=accepted))


def _offers(vteps: Iterable[Vtep]) -> list[str]:
    return [f"{vtep.ip}={'+'.join(sorted(vtep.encaps))}" for vtep in vteps]
