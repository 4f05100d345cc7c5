"""Which plugged-in interface is which port: plugs and declarations in, bindings and problems out.

A problem concerns its own plug alone; all others are bound as if it were not there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from flows import model
from flows.model import Binding, Network, Plug, Port

Place = tuple[str, str]
"""(chassis, interface): where a plug is."""


@dataclass(frozen=True)
class Bound:
    """The bindings, sorted by place, and what is wrong with a plug, in words, by its place."""

    bindings: tuple[Binding, ...]
    problems: Mapping[Place, str]


def bind(
    networks: Mapping[str, Network],
    ports: Mapping[str, Port],
    plugs: Iterable[Plug],
    held: Mapping[str, Place],
    away: Collection[str] = (),
) -> Bound:
    """Every plug bound that can be.

    `held` tells where a declared port was bound before: of two plugs that claim one port the holder keeps
    it, and where there is none the first in order of place gets it. A claim on a chassis that is `away`
    (can't be reached) comes after all others: nobody can unplug it there.
    """
    ordered = sorted(plugs, key=lambda plug: (plug.chassis, plug.interface))
    bindings: list[Binding] = []
    problems: dict[Place, str] = {}
    holders: dict[str, Place] = {}
    for plug in sorted(ordered, key=lambda plug: plug.chassis in away):
        name = plug.iface_id
        place = (plug.chassis, plug.interface)
        keeps = name is not None and held.get(name) == place and plug.chassis not in away
        if name is not None and plug.ofport > 0 and (name not in holders or keeps):
            holders[name] = place
    taken = _Taken(
        {(port.network, mac) for port in ports.values() for mac in port.macs},
        {(port.network, ip): port.name for port in ports.values() for ip in port.ips},
        {},
    )
    by_vni = {network.vni: network for network in networks.values()}
    for plug in ordered:
        place = (plug.chassis, plug.interface)
        try:
            if plug.ofport < 0:
                raise ValueError(f"Open vSwitch can't use the interface: {plug.fault or 'no reason given'}")
            if plug.ofport == 0:
                continue  # it will have a number in a moment
            if plug.iface_id is not None:
                bindings.append(_declared(plug, networks, ports, holders))
            elif plug.vni is None:
                raise ValueError("external_ids say neither iface-id=PORT nor overlay-vni=VNI")
            else:
                binding, wrong = _undeclared(plug, by_vni, taken)
                bindings.append(binding)
                if wrong is not None:
                    problems[place] = wrong
        except ValueError as error:
            problems[place] = str(error)
    return Bound(tuple(bindings), problems)


@dataclass(frozen=True)
class _Taken:
    """The (network, MAC) and (network, IP) of declared ports, and what undeclared ones said first."""

    macs: set[tuple[str, str]]
    ips: Mapping[tuple[str, str], str]
    attached: dict[tuple[str, str], Place]


def _declared(
    plug: Plug, networks: Mapping[str, Network], ports: Mapping[str, Port], holders: Mapping[str, Place]
) -> Binding:
    """The binding of a plug with an iface-id; ValueError says why there is none."""
    port = ports.get(plug.iface_id or "")
    if not plug.iface_id:
        raise ValueError("iface-id is empty; it is the name of a declared port")
    if port is None:
        raise ValueError(
            f"iface-id '{plug.iface_id}' is no declared port; "
            f"overlayctl port-add {plug.iface_id} --net NETWORK --mac MAC"
        )
    if port.network not in networks:
        raise ValueError(f"port '{port.name}' is in network '{port.network}', which is not declared")
    if holders[port.name] != (plug.chassis, plug.interface):
        chassis, interface = holders[port.name]
        raise ValueError(f"iface-id '{port.name}' is also on {chassis} at {interface}, which has the port; unplug one")
    if not port.enabled:
        raise ValueError(f"port '{port.name}' is disabled; overlayctl port-set {port.name} --enable")
    return Binding(
        plug.chassis, plug.interface, plug.ofport, port.network, port.name, port.mac, port.ips, port.extra_macs
    )


def _undeclared(plug: Plug, by_vni: Mapping[int, Network], taken: _Taken) -> tuple[Binding, str | None]:
    """The binding of a plug with a VNI, and what is wrong with its hints; ValueError when there is none."""
    try:
        network = by_vni.get(model.vni(plug.vni or ""))
    except ValueError as error:
        raise ValueError(f"overlay-vni: {error}") from error
    if network is None:
        raise ValueError(
            f"overlay-vni {plug.vni} is the VNI of no declared network; "
            f"overlayctl net-add NAME --tenant TENANT --vni {plug.vni}"
        )
    mac, ips, wrong = _hints(plug, network.name, taken)
    return Binding(plug.chassis, plug.interface, plug.ofport, network.name, None, mac, ips), wrong


def _hints(plug: Plug, network: str, taken: _Taken) -> tuple[str | None, tuple[str, ...], str | None]:
    """MAC, addresses and what is wrong with them, of a plug that is not declared.

    What is wrong is left out, and the plug is bound all the same: its MAC is learned.
    """
    if plug.attached_mac is None:
        wrong = "overlay-ip needs an attached-mac beside it; it is ignored" if plug.overlay_ip else None
        return None, (), wrong
    try:
        mac = model.mac(plug.attached_mac)
        ips = (model.ip(plug.overlay_ip),) if plug.overlay_ip is not None else ()
    except ValueError as error:
        return None, (), f"attached-mac or overlay-ip: {error}; both are ignored"
    if (network, mac) in taken.macs:
        return None, (), f"attached-mac {mac} is that of a declared port of '{network}'; it is ignored, and overlay-ip"
    place = (plug.chassis, plug.interface)
    first = taken.attached.setdefault((network, mac), place)
    if first != place:
        return None, (), f"attached-mac {mac} is also that of {'/'.join(first)}; it is ignored, and overlay-ip"
    for ip in ips:
        owner = taken.ips.get((network, ip))
        if owner is not None:
            return mac, (), f"overlay-ip {ip} is that of the declared port '{owner}'; it is ignored"
    return mac, ips, None
