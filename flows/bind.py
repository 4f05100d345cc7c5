"""Which plugged-in interface is which port: plugs and declarations in, bindings and problems out.

A problem concerns its own plug alone; all others are bound as if it were not there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flows import model
from flows.model import Binding, May, Network, Plug, Port

Place = tuple[str, str]
"""(chassis, interface): where a plug is."""


@dataclass(frozen=True, slots=True)
class Exit:
    """An interface of a chassis that leads to a physical network; `ofport` as in `Plug`."""

    chassis: str
    physical: str
    interface: str
    ofport: int


@dataclass(frozen=True, slots=True, order=True)
class Outlet:
    """A place where a network goes on outside of the overlay: a physical network and VLAN, at a chassis."""

    network: str
    chassis: str
    physical: str
    vlan: int


@dataclass(frozen=True)
class Outlets:
    """What is known of outlets.

    `open`: packets may pass there, or may do so soon; `noted`: those of them of which that is written down, None where
    none needs to be. `stuck` says of a chassis why it can't be told to close one.
    """

    open: Collection[Outlet] = ()
    noted: Collection[Outlet] | None = None
    stuck: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bound:
    """The bindings, sorted by place and tag, and what is wrong with a plug, in words, by its place.

    `networks` says, by name, why a network is not connected to its physical one. `outlets` are those of the bindings,
    `opening` those that are to be bound as soon as they are noted.
    """

    bindings: tuple[Binding, ...]
    problems: Mapping[Place, str]
    networks: Mapping[str, str] = field(default_factory=dict)
    outlets: frozenset[Outlet] = frozenset()
    opening: frozenset[Outlet] = frozenset()


def bind(  # noqa: PLR0917 - what there is, and what there was
    networks: Mapping[str, Network],
    ports: Mapping[str, Port],
    plugs: Iterable[Plug],
    held: Mapping[str, Sequence[Place]],
    away: Collection[str] = (),
    exits: Iterable[Exit] = (),
    outlets: Outlets = Outlets(),
) -> Bound:
    """Every plug bound that can be, and every network to its gateway's interface.

    `held` tells where a declared port was bound before: the place that had it, then the one that it was moving to. Of
    the plugs that claim one port they come first, in that order, then the others in order of place. The first has the
    port, and the next one on another chassis is bound as well, as one that it is moving to. A claim on a chassis that
    is `away` (can't be reached) comes after all others, and never counts beside one: nobody can unplug it there.
    """
    ordered = sorted(plugs, key=lambda plug: (plug.chassis, plug.interface))
    bindings: list[Binding] = []
    problems: dict[Place, str] = {}
    places = _places(ordered, held, away)
    taken = _taken(ports)
    by_vni = {network.vni: network for network in networks.values()}
    children: dict[str, list[Port]] = defaultdict(list)
    for port in ports.values():
        if port.parent is not None:
            children[port.parent].append(port)
    for plug in ordered:
        place = (plug.chassis, plug.interface)
        wrong: list[str] = []
        first = len(bindings)
        try:
            if plug.ofport < 0:
                raise ValueError(f"Open vSwitch can't use the interface: {plug.fault or 'no reason given'}")
            if plug.ofport == 0:
                continue  # it will have a number in a moment
            if plug.iface_id is not None:
                binding = _declared(plug, networks, ports, places)
                binding = _sole(binding, taken, wrong)
                bindings.append(binding)
                wrong += _moving(binding, places)
                bindings += _behind(binding, children[plug.iface_id], networks, taken, wrong)
                if plug.trunk is not None:
                    wrong.append("overlay-trunk is ignored beside iface-id; overlayctl port-add NAME --parent PORT")
            elif plug.vni is None and plug.trunk is None:
                raise ValueError("external_ids say neither iface-id=PORT nor overlay-vni=VNI nor overlay-trunk=TAG=VNI")
            else:
                if plug.vni is not None:
                    binding, hint = _undeclared(plug, by_vni, taken)
                    bindings.append(binding)
                    wrong += [hint] if hint is not None else []
                bindings += _trunk(plug, by_vni, wrong)
        except ValueError as error:
            wrong.append(str(error))
        bindings[first:] = _once(bindings[first:], wrong)
        if wrong:
            problems[place] = "; ".join(wrong)
    doors = _Doors(networks, exits, outlets)
    bindings += doors.bindings
    return Bound(
        tuple(sorted(bindings, key=lambda each: (each.chassis, each.interface, each.tag))),
        problems,
        doors.problems,
        frozenset(doors.outlets),
        frozenset(doors.opening),
    )


def _once(bindings: Iterable[Binding], wrong: list[str]) -> Iterator[Binding]:
    """Those of an interface, without one that would be in a network for the second time: two of its VLANs joined."""
    tags: dict[str, int] = {}
    for binding in bindings:
        first = tags.setdefault(binding.network, binding.tag)
        if first == binding.tag:
            yield binding
        else:
            which = f"tag {first}" if first else "what it sends without a tag"
            wrong.append(f"tag {binding.tag} is in network '{binding.network}', and so is {which}; give it another one")


@dataclass(frozen=True)
class _Taken:
    """The (network, MAC) and (network, IP) of declared ports, and what undeclared ones said first.

    `owners` has whose MAC it is, where a port has it as its own. Of two the database lets in neither; if one comes in
    all the same, the port whose name comes first has what both have.
    """

    macs: set[tuple[str, str]]
    owners: Mapping[tuple[str, str], str]
    ips: Mapping[tuple[str, str], str]
    attached: dict[tuple[str, str], Place]


def _taken(ports: Mapping[str, Port]) -> _Taken:
    owners: dict[tuple[str, str], str] = {}
    ips: dict[tuple[str, str], str] = {}
    for name in sorted(ports):
        port = ports[name]
        owners.setdefault((port.network, port.mac), name)
        for ip in port.ips:
            ips.setdefault((port.network, ip), name)
    return _Taken({(port.network, mac) for port in ports.values() for mac in port.macs}, owners, ips, {})


def _sole(binding: Binding, taken: _Taken, wrong: list[str]) -> Binding:
    """The binding without addresses that are another port's, which is added to `wrong`; ValueError for such a MAC."""
    network, name = binding.network, binding.port or ""
    owner = taken.owners.get((network, binding.mac or ""), name)
    if owner != name:
        raise ValueError(f"MAC {binding.mac} is that of port '{owner}' too; overlayctl port-set {name} --mac MAC")
    lost = [ip for ip in binding.ips if taken.ips.get((network, ip), name) != name]
    if not lost:
        return binding
    for ip in lost:
        what = f"address {ip} is that of port '{taken.ips[network, ip]}' too, which has it"
        wrong.append(f"{what}; overlayctl port-set {name} --ip IP")
    return replace(binding, ips=tuple(ip for ip in binding.ips if ip not in lost))


def _places(
    ordered: Iterable[Plug], held: Mapping[str, Sequence[Place]], away: Collection[str]
) -> dict[str, list[Place]]:
    """Where each declared port is: the place that has it, and the one that it is moving to."""
    claims: dict[str, list[Place]] = defaultdict(list)
    for plug in ordered:
        if plug.iface_id is not None and plug.ofport > 0:
            claims[plug.iface_id].append((plug.chassis, plug.interface))
    found = {}
    for name, claimed in claims.items():
        before = held.get(name, ())
        late = len(before)
        claimed.sort(key=lambda place: (place[0] in away, before.index(place) if place in before else late))
        holder, *others = claimed
        found[name] = [holder, *[place for place in others if place[0] not in {holder[0], *away}][:1]]
    return found


def _declared(
    plug: Plug, networks: Mapping[str, Network], ports: Mapping[str, Port], places: Mapping[str, Sequence[Place]]
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
    if port.parent is not None:
        raise ValueError(
            f"port '{port.name}' is behind port '{port.parent}', with tag {port.tag}, and plugged in where that is"
        )
    if port.network not in networks:
        raise ValueError(f"port '{port.name}' is in network '{port.network}', which is not declared")
    where = places[port.name]
    place = (plug.chassis, plug.interface)
    if place not in where:
        chassis, interface = where[0]
        moving = "".join(f", and is moving to {chassis} at {interface}" for chassis, interface in where[1:])
        raise ValueError(
            f"iface-id '{port.name}' is also on {chassis} at {interface}, which has the port{moving}; unplug one"
        )
    if not port.enabled:
        raise ValueError(f"port '{port.name}' is disabled; overlayctl port-set {port.name} --enable")
    return _binding(port, plug.chassis, plug.interface, plug.ofport, standby=place != where[0])


def _binding(port: Port, chassis: str, interface: str, ofport: int, *, standby: bool) -> Binding:
    return Binding(
        chassis,
        interface,
        ofport,
        port.network,
        port.name,
        port.mac,
        port.ips,
        port.extra_macs,
        port.secure,
        port.pairs,
        port.may,
        port.flood_rate,
        port.tag,
        port.service_tag,
        standby,
    )


_MOVING = "is moving here from"


def _moving(binding: Binding, places: Mapping[str, Sequence[Place]]) -> list[str]:
    """What is to be known where a port is plugged in that is plugged in elsewhere as well."""
    if not binding.standby:
        return []
    holder = "/".join(places[binding.port or ""][0])
    return [f"port '{binding.port}' {_MOVING} {holder}: both get its packets until it is unplugged there"]


def is_moving_there(problem: str) -> bool:
    """Whether what is said of a place where a port is bound says that it is moving there."""
    return _MOVING in problem


def _behind(
    parent: Binding, children: Sequence[Port], networks: Mapping[str, Network], taken: _Taken, wrong: list[str]
) -> Iterator[Binding]:
    """The bindings of the ports behind a trunk port; what is wrong with one is added to `wrong`."""
    for port in sorted(children, key=lambda port: port.tag):
        if port.network not in networks:
            wrong.append(f"port '{port.name}' is in network '{port.network}', which is not declared")
        elif port.enabled:
            at = _binding(port, parent.chassis, parent.interface, parent.ofport, standby=parent.standby)
            try:
                yield _sole(replace(at, flood_rate=parent.flood_rate), taken, wrong)  # one interface has one meter
            except ValueError as error:
                wrong.append(str(error))


_TRUNK = re.compile(r"\s*([0-9]{1,4})\s*=\s*([0-9]+)\s*")


def _trunk(plug: Plug, by_vni: Mapping[int, Network], wrong: list[str]) -> Iterator[Binding]:
    """The bindings of a trunk port that is not declared; what is wrong with one tag is added to `wrong`."""
    seen: set[int] = set()
    for part in plug.trunk.split(",") if plug.trunk is not None else ():
        written = _TRUNK.fullmatch(part)
        tag = int(written[1]) if written is not None else 0
        try:
            if written is None or not 1 <= tag <= 4094:
                raise ValueError(f"{part.strip()!r} is not TAG=VNI with a tag in 1..4094")
            if tag in seen:
                raise ValueError(f"tag {tag} is there twice")
            seen.add(tag)
            network = by_vni.get(model.vni(written[2]))
            if network is None:
                raise ValueError(
                    f"VNI {written[2]} is that of no declared network; "
                    f"overlayctl net-add NAME --tenant TENANT --vni {written[2]}"
                )
        except ValueError as error:
            wrong.append(f"overlay-trunk: {error}")
            continue
        yield Binding(plug.chassis, plug.interface, plug.ofport, network.name, tag=tag)


class _Doors:
    """A binding for each network at the one chassis where it goes on outside, and why a network has none.

    One that moves is closed at the old place before it opens at the new one: two that are open at once are a loop
    (IEEE 802.1Q bridges would learn so by a spanning tree, which no packet of ours takes part in).
    """

    def __init__(self, networks: Mapping[str, Network], exits: Iterable[Exit], known: Outlets) -> None:
        self.bindings: list[Binding] = []
        self.outlets: list[Outlet] = []
        self.opening: list[Outlet] = []
        self.problems: dict[str, str] = {}
        self._there = {(each.chassis, each.physical): each for each in exits}
        self._known = known
        wanted = [
            Outlet(name, network.gateway.chassis, network.gateway.physical, network.gateway.vlan)
            for name, network in sorted(networks.items())
            if network.gateway is not None
        ]
        taken: dict[tuple[str, int], str] = {}
        for outlet in sorted(wanted, key=lambda outlet: (outlet not in known.open, outlet)):
            first = taken.setdefault((outlet.physical, outlet.vlan), outlet.network)
            if first != outlet.network:
                self.problems[outlet.network] = (
                    f"VLAN {outlet.vlan} of physical network '{outlet.physical}' is that of network '{first}'; "
                    f"overlayctl net-set {outlet.network} --physical {outlet.physical}:VLAN"
                )
            else:
                self._open(outlet)

    def _open(self, outlet: Outlet) -> None:
        """Bind it, unless another one has to be closed before."""
        before = sorted(other for other in self._known.open if other != outlet and _excludes(other, outlet))
        held = next((other for other in before if other.chassis in self._known.stuck), None)
        if held is not None:
            self.problems[outlet.network] = (
                f"goes on at {held.chassis}, which can't be told to stop ({self._known.stuck[held.chassis]}); it opens "
                f"at {outlet.chassis} once {held.chassis} is back, or, when that is switched off for sure, "
                f"after overlayctl chassis-del {held.chassis}"
            )
            if held.network == outlet.network:
                self._bind(held)
        elif before:
            self.problems[outlet.network] = f"waits until {before[0].chassis} has stopped being the gateway"
        elif (outlet.chassis, outlet.physical) not in self._there:
            self.problems[outlet.network] = (
                f"chassis '{outlet.chassis}' is not connected to physical network '{outlet.physical}'; "
                f"overlayctl chassis-set {outlet.chassis} --bridge {outlet.physical}=BRIDGE"
            )
        elif self._known.noted is not None and outlet not in self._known.noted:
            self.opening.append(outlet)
        else:
            self._bind(outlet)

    def _bind(self, outlet: Outlet) -> None:
        at = self._there.get((outlet.chassis, outlet.physical))
        if at is None or at.ofport <= 0:
            return
        may, door = frozenset(May), Binding(at.chassis, at.interface, at.ofport, outlet.network)
        self.bindings.append(replace(door, may=may, flood_rate=0, tag=outlet.vlan, gateway=True))
        self.outlets.append(outlet)


def _excludes(one: Outlet, other: Outlet) -> bool:
    """Whether the one must be closed before the other opens: a network has one, and so has a VLAN."""
    return one.network == other.network or (one.physical, one.vlan) == (other.physical, other.vlan)


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
