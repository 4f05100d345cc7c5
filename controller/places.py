"""Where everything is plugged in, as `bind` takes it: as each chassis says, or as last written down where that can't be
asked. Reads what is known, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.chassis_state import ChassisState
from controller.outlets import OpenOutlets
from controller.shares import Shares
from flows.bind import Exit, Place
from flows.model import Binding, Plug
from ovsdb.snapshot import LastKnown


def plugs(chassis: Mapping[str, ChassisState], last: LastKnown) -> Iterable[Plug]:
    """What is plugged in."""
    for name, known in chassis.items():
        if known.plugged is not None:
            yield from known.plugged.plugs
        else:
            yield from (plug for plug in last.plugs if plug.chassis == name)


def exits(chassis: Mapping[str, ChassisState], shares: Shares, outlets: OpenOutlets) -> Iterable[Exit]:
    """The interfaces that lead to physical networks."""
    for name, known in chassis.items():
        if known.plugged is not None:
            yield from known.plugged.exits
        else:
            told = shares.share(name).exits
            yield from told or (each for each in outlets.last if each.chassis == name)


def held(bindings: Iterable[Binding] | None, last: LastKnown, shares: Shares) -> dict[str, list[Place]]:
    """Where declared ports are bound by now: we know of our chassis, and others of theirs.

    `bindings` are those of our overlay, None while there is none yet: then what was written down counts everywhere.
    """
    found: dict[str, list[tuple[bool, Place]]] = {}
    for binding in bindings or ():
        if binding.port is not None and shares.mine(binding.chassis):
            place = (binding.chassis, binding.interface)
            found.setdefault(binding.port, []).append((binding.standby, place))
    for port, written in last.held.items():
        for place in written:
            if bindings is None or not shares.mine(place[0]):
                found.setdefault(port, []).append((place in last.moving, place))
    return {port: [place for _, place in sorted(each)] for port, each in found.items()}


def stuck(chassis: Mapping[str, ChassisState]) -> dict[str, str]:
    """The chassis whose switches can't be told anything, and why. One that is not declared is about to leave."""
    return {
        name: known.fault or known.error or "its switch is not connected"
        for name, known in chassis.items()
        if not known.connected or (known.plugged is None and not known.foreign)
    }
