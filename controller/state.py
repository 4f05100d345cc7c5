"""Everything that is known, and the overlay that follows from it. Handlers store here and wake; no more.

Nothing here speaks to anybody. `derive()` is the one way from what was stored to the overlay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.chassis_state import ChassisState
from controller.neighbors import NEIGHBOR_AGE, Claims, Neighbors, delivery, question
from controller.outlets import OpenOutlets
from controller.packet_in import Seen
from controller.strange import Strange
from controller.vteps import VtepChanges
from flows.bind import Exit, Place, bind
from flows.compile.view import unreachable_pairs
from flows.flow import Action
from flows.model import Binding, Chassis, Encap, Overlay, Plug
from flows.mtu import Carried, carried, network_mtu, not_carried
from ovsdb.marks import Mark
from ovsdb.snapshot import Declared, LastKnown, Plugged
from ovsdb.status import BindingStatus, ChassisStatus, Drop, Drops, NetworkStatus, Pending, Status
from ovsdb.trust import beyond, objection

LOG = logging.getLogger("overlay.state")


@dataclass
class State:
    """The store. `changed` is called when the overlay is new, `noted` when only its status is.

    `alarm` is why what the overlay database says is not acted on, '' when it is: `declared` then stays what it
    was. `current`: the overlay database can be read now; while it can't, chassis may well have seen more.
    `pending` are chassis that dialled in and are not declared.

    `complete` is true while every chassis was heard or can't be reached. While one that was just declared may
    still tell of ports, a switch that has flows to them knows more than we do, and is left alone.
    """

    changed: Callable[[], None]
    noted: Callable[[], None]
    declared: Declared | None = None
    chassis: dict[str, ChassisState] = field(default_factory=dict)
    overlay: Overlay = field(default_factory=Overlay)
    version: int = 0
    nb_cfg: int = 0
    complete: bool = False
    alarm: str = ""
    current: bool = True
    pending: dict[str, Pending] = field(default_factory=dict)
    _read: Declared | None = None
    _last: LastKnown = field(default_factory=LastKnown)
    _problems: Mapping[Place, str] = field(default_factory=dict)
    _network_problems: Mapping[str, str] = field(default_factory=dict)
    _claims: Claims | None = None
    _outlets: OpenOutlets = field(default_factory=OpenOutlets)
    _vteps: VtepChanges = field(default_factory=VtepChanges)
    _since: dict[Binding, int] = field(default_factory=dict)
    _drops: dict[str, tuple[int, tuple[Drop, ...]]] = field(default_factory=dict)
    _carried: tuple[Mapping[str, Chassis], dict[Encap, Carried | None]] = field(default_factory=lambda: ({}, {}))

    def __post_init__(self) -> None:
        self._strange = Strange(self.noted)
        self._neighbors = Neighbors(self._strange)

    def declare(self, declared: Declared, last: LastKnown) -> None:
        """Store what the overlay database says; `last` counts the first time only."""
        self._read = declared
        if self.declared is None:
            self._last = last
            self._neighbors.set_age(declared.neighbor_age or NEIGHBOR_AGE)
            self._neighbors.restore(last.neighbors, last.seen)
            self._outlets.remember(last.outlets)
        elif declared == self.declared and not self.alarm:
            return
        alarmed = self.alarm
        self._consider()
        # At the start what is declared says at least which chassis there are, to be asked and left as they are.
        if not self.alarm or self.declared is None:
            self._accept(declared, anew=bool(alarmed))

    def _consider(self) -> None:
        """Look whether what was read may be acted on. An objection stands until an operator overrules it.

        Writes go on meanwhile, and would soon have a lost or older database look like one that has gone on.
        """
        if self._read is None or not self.current:
            return
        if self._read.accepted:
            alarm = ""
        else:
            alarm = self.alarm or self._read.alarm or objection(self._read, self.declared, self._marks())
        if alarm != self.alarm:
            self.alarm = alarm
            if alarm:
                LOG.error("%s", alarm)
            self.noted()

    def _marks(self) -> dict[str, Mark]:
        """What each chassis has last seen of the overlay database."""
        return {name: mark for name, known in self.chassis.items() if (mark := known.mark) is not None}

    def _accept(self, declared: Declared, anew: bool) -> None:
        """Act on it; `anew` tells `changed` even when nothing did."""
        before = self.declared
        # A deletion is told to every chassis at once (ovsdb.marks).
        other_rows = anew or before is None or (declared.chassis, declared.epoch) != (before.chassis, before.epoch)
        self.declared = declared
        if before is not None:
            was, now = ({name: row.chassis for name, row in each.chassis.items()} for each in (before, declared))
            self._vteps.compare(was, now, self.version + 1)
            if not any(known.connected for known in self.chassis.values()):
                self._vteps = VtepChanges()  # nobody is there to be waited for
        for name in declared.chassis:
            self.chassis.setdefault(name, ChassisState())
        for name in set(self.chassis) - set(declared.chassis):
            del self.chassis[name]
        if before is None:
            for name in {outlet.chassis for outlet in self._outlets.all()} - set(declared.chassis):
                self._outlets.leave(name)
        self._complete()
        self.derive(other_rows)
        self._complete()
        if before is not None and before.drops_asked != declared.drops_asked:
            self.changed()

    def plug(
        self, chassis: str, plugged: Plugged, problems: tuple[str, ...] = (), provisioned: int | None = None
    ) -> None:
        """Store what a chassis' database says, and what stood in the way of provisioning it.

        `provisioned` is the sequence number of the declarations that were provisioned, None where that is
        not done yet.
        """
        known = self.chassis.get(chassis)
        if known is None:
            return
        before = known.plugged if not known.fault else None
        first = known.plugged is None
        known.fault, known.problems, known.plugged = "", problems, plugged
        if provisioned is not None:
            known.provisioned_cfg = provisioned
        self._consider()
        if before is None or (before.plugs, before.exits) != (plugged.plugs, plugged.exits):
            self.derive()
        else:
            self.noted()
        self._complete()
        if first:
            self.changed()  # its switch was left alone until now, even if what was last known of it is still true

    def lose(self, chassis: str, fault: str, tried: bool) -> None:
        """Store that a chassis' database can't be read, at all or (not `tried`) yet; what is known stays."""
        known = self.chassis.get(chassis)
        if known is not None and known.fault != fault:
            known.fault, known.tried = fault, known.tried or tried
            self.derive()
        self._complete()

    def _complete(self) -> None:
        heard = self.declared is not None and all(k.plugged is not None or k.tried for k in self.chassis.values())
        if heard == self.complete:
            return
        self.complete = heard
        if heard:
            self.changed()

    @property
    def listens(self) -> float | None:
        """Seconds between two looks at what switches count of learned neighbors; None where there is nobody to hear."""
        return self._neighbors.look if len(self._neighbors) and self.complete and not self.alarm else None

    def see(self, chassis: str, ofport: int, seen: Seen, now: float = 0.0, vni: int | None = None) -> None:
        """Store the neighbor that a packet from a port tells of, if the port may tell it.

        Of a trunk port `vni` says which of its networks the packet was in.
        """
        if self.declared is None:
            return
        if self._claims is None:
            self._claims = Claims(self.declared.ports, self.overlay.bindings)
        vnis = {name: network.vni for name, network in self.overlay.networks.items()}
        binding = self._claims.binding(chassis, ofport, vnis, vni)
        if binding is not None and self._neighbors.see(self._claims, binding, seen, now):
            self._learned()

    def listen(
        self, chassis: str, counted: Mapping[tuple[int, str], int], now: float
    ) -> list[tuple[bytes, tuple[Action, ...]]]:
        """Store how many packets learned neighbors of a chassis have sent, by VNI and IP; who is long silent is gone.

        What is returned is to be sent by its switch: frames that ask who is silent for some time, and what sends them.
        """
        names = {network.vni: name for name, network in self.overlay.networks.items()}
        by_name = {(names[vni], ip): packets for (vni, ip), packets in counted.items() if vni in names}
        forgotten, silent = self._neighbors.listen(chassis, by_name, now)
        bindings = (
            {(b.network, b.interface): b for b in self.overlay.bindings if b.chassis == chassis} if silent else {}
        )
        asked = [
            (question(neighbor), delivery(bindings[neighbor.network, neighbor.interface]))
            for neighbor in silent
            if (neighbor.network, neighbor.interface) in bindings
        ]
        if forgotten:
            self._learned()
        else:
            self.noted()
        return asked

    def _learned(self) -> None:
        """What was learned is another, and nothing else is."""
        self.overlay = replace(self.overlay, neighbors=self._neighbors.known())
        self.version += 1
        self.changed()

    def plugs(self) -> Iterable[Plug]:
        """What is plugged in: as its chassis says, or as last written down where that can't be asked."""
        if self.declared is None:
            return
        for name, known in self.chassis.items():
            if known.plugged is not None:
                yield from known.plugged.plugs
            else:
                yield from (plug for plug in self._last.plugs if plug.chassis == name)

    def exits_of(self, chassis: str) -> tuple[tuple[str, str], ...]:
        """(physical network, bridge) pairs that br-int of a chassis is to be connected to: those it is a gateway to."""
        if self.declared is None or chassis not in self.declared.chassis:
            return ()
        gateways = {
            network.gateway.physical
            for network in self.declared.networks.values()
            if network.gateway is not None and network.gateway.chassis == chassis
        }
        gateways |= {outlet.physical for outlet in self._outlets.at(chassis)}
        return tuple(pair for pair in self.declared.chassis[chassis].chassis.bridges if pair[0] in gateways)

    def at_present(self, chassis: Chassis) -> Chassis:
        """A chassis with the VTEPs that it is to have for the time being, while those that are declared change."""
        return self._vteps.of(chassis)

    def left(self, chassis: str) -> None:
        """Store that a chassis is not in the overlay any more: withdrawn from it, or not to be reached for that."""
        if chassis not in self.chassis and self._outlets.leave(chassis):
            self.derive()

    def wrote(self, status: Status) -> None:
        """Store that this stands in the overlay database now."""
        if self._outlets.note(status.outlets()):
            self.derive()

    def mtus_of(self, chassis: str) -> dict[str, int]:
        """The MTU of each interface of a chassis that Open vSwitch itself provides, by name: that of its network."""
        known = self.chassis.get(chassis)
        if known is None or known.plugged is None or not known.plugged.internal:
            return {}
        found = {}
        for binding in self.overlay.bindings:
            if binding.chassis == chassis and binding.interface in known.plugged.internal and not binding.tag:
                network = self.overlay.networks[binding.network]
                mtu = network_mtu(network, self._least(network.encap))
                if mtu is not None:
                    found[binding.interface] = mtu
        return found

    def _least(self, encap: Encap) -> Carried | None:
        """The least that any two chassis carry, for networks that prefer an encap; looked for once."""
        if self._carried[0] is not self.overlay.chassis:
            self._carried = (self.overlay.chassis, {})
        found = self._carried[1]
        if encap not in found:
            found[encap] = carried(self.overlay.chassis.values(), encap)
        return found[encap]

    def _exits(self) -> Iterable[Exit]:
        """The interfaces that lead to physical networks, as each chassis says, or as last written down."""
        for name, known in self.chassis.items():
            if known.plugged is not None:
                yield from known.plugged.exits
            else:
                yield from (each for each in self._outlets.last if each.chassis == name)

    def _stuck(self) -> dict[str, str]:
        """The chassis whose switches can't be told anything, and why. One that is not declared is about to leave."""
        return {
            name: known.fault or known.error or "its switch is not connected"
            for name, known in self.chassis.items()
            if not known.connected or known.plugged is None
        }

    def derive(self, anyway: bool = False) -> None:
        """The overlay anew from what is stored; tells `changed` when it is another, else `noted`."""
        if self.declared is None:
            return
        held = {
            binding.port: (binding.chassis, binding.interface)
            for binding in self.overlay.bindings
            if binding.port is not None and not binding.standby
        }
        bound = bind(
            self.declared.networks,
            self.declared.ports,
            self.plugs(),
            held if self.version else self._last.held,
            {name for name, known in self.chassis.items() if known.tried and known.fault},
            self._exits(),
            self._outlets.known(self._stuck()),
        )
        self._neighbors.keep(bound.bindings)
        # Who looks at what switches count has to know how often.
        anyway = self._neighbors.set_age(self.declared.neighbor_age or NEIGHBOR_AGE) or anyway
        self._claims = None
        overlay = Overlay(
            {name: self._vteps.of(row.chassis) for name, row in self.declared.chassis.items()},
            self.declared.networks,
            bound.bindings,
            self._neighbors.known(),
        )
        self._problems, self._network_problems = bound.problems, bound.networks
        other = anyway or overlay != self.overlay or not self.version
        if self._outlets.keep(bound.outlets, bound.opening, self.version + other):
            self.noted()
        if not other:
            self._advance(self.declared.nb_cfg)
            self.noted()
            for name, known in self.chassis.items():
                if known.connected and known.applied == self.version and self._outlets.confirm(name, self.version):
                    self.derive(anyway=True)
                    break
            return
        self.overlay = overlay
        self.nb_cfg = self.declared.nb_cfg
        self.version += 1
        self._since = {b: self._since.get(b, self.version) for b in overlay.bindings}
        self._strange.keep(self._since)
        self.changed()

    def _advance(self, nb_cfg: int) -> None:
        """What is declared was written, but changes nothing anywhere: who had all has all.

        Most writes are such: a port that is plugged in nowhere, a description. No chassis needs to be looked at.
        """
        for known in self.chassis.values():
            if known.applied == self.version:
                known.cur_cfg = nb_cfg
            if known.provisioned_cfg == self.nb_cfg:
                known.provisioned_cfg = nb_cfg
        self.nb_cfg = nb_cfg

    def confirm(self, chassis: str, version: int, nb_cfg: int, flows: int, refused: tuple[str, ...]) -> None:
        """Store that a chassis' switch has the flows of this version of the overlay."""
        known = self.chassis.get(chassis)
        if known is not None:
            known.applied, known.flows, known.refused = version, flows, refused
            known.cur_cfg = max(nb_cfg, self.nb_cfg) if version == self.version else nb_cfg
            self.noted()
            oldest = min(each.applied for each in self.chassis.values() if each.connected or each is known)
            closed = self._outlets.confirm(chassis, version)  # then the way to a physical network can be taken away
            if self._vteps.confirm(oldest, self.version + 1) or closed:
                self.derive(anyway=True)

    def asked_to_count(self, chassis: str) -> int:
        """The number of the request for counters that the chassis has not answered yet, 0 for none."""
        asked = self.declared.drops_asked if self.declared is not None else 0
        return asked if asked > self._drops.get(chassis, (0, ()))[0] else 0

    def count(self, chassis: str, asked: int, drops: tuple[Drop, ...]) -> None:
        """Store what a chassis has dropped, in answer to that request."""
        self._drops[chassis] = (asked, drops)
        self.noted()

    def _all_drops(self) -> Drops | None:
        """The answer to the latest request, once every chassis that is connected has given its own."""
        asked = self.declared.drops_asked if self.declared is not None else 0
        waiting = [name for name, known in self.chassis.items() if known.connected and self.asked_to_count(name)]
        if not asked or waiting:
            return None
        return Drops(asked, tuple(drop for name in sorted(self._drops) for drop in self._drops[name][1]))

    def pend(self, pending: Pending) -> None:
        """Store that a chassis dialled in that is not declared."""
        self.pending[pending.name] = pending
        self.noted()

    def unpend(self, name: str) -> None:
        """Store that it is declared now, or went away."""
        if self.pending.pop(name, None) is not None:
            self.noted()

    def connect(self, chassis: str, connected: bool) -> None:
        """Store whether a chassis' switch is connected."""
        known = self.chassis.get(chassis)
        if known is not None:
            known.connected, known.turned_away = connected, ""
            self.noted()
            if self._outlets.all():
                self.derive()  # whether it can be told to close one

    def turn_away(self, chassis: str, why: str) -> None:
        """Store why a connection that said to be a chassis' switch was refused; it counts while there is no other."""
        known = self.chassis.get(chassis)
        if known is not None and not known.connected and known.turned_away != why:
            known.turned_away = why
            self.noted()

    def status(self, now: float = 0.0, clock: float = 0.0) -> Status:
        """What is to stand in the overlay database about all this; `now` in seconds of a clock that only rises.

        `clock` is the same moment in seconds since 1970.
        """
        self._strange.fade(now)
        unreachable: dict[str, list[str]] = {}
        for network, one, other in unreachable_pairs(self.overlay):
            for here, there in ((one, other), (other, one)):
                text = f"shares no encap and address family with {there}, so network '{network}' is cut in two"
                unreachable.setdefault(here, []).append(text)
        chassis = {}
        declared = self.declared.chassis if self.declared is not None else {}
        for name, known in self.chassis.items():
            error = "; ".join(filter(None, [known.error, *unreachable.get(name, [])]))
            installed = min(known.cur_cfg, known.provisioned_cfg)
            if not (self._outlets.settled(name) and self._vteps.settled()):
                installed = max(0, min(installed, self.nb_cfg - 1))
            datapath = known.plugged.datapath_type if known.plugged is not None else ""
            state = "error" if error and known.state == "ready" else known.state
            chassis[name] = ChassisStatus(state, error, datapath, known.datapath_id, installed, known.flows)
        at: dict[Place, dict[int, Binding]] = {}
        for binding in self.overlay.bindings:
            at.setdefault((binding.chassis, binding.interface), {})[binding.tag] = binding
        bindings = {}
        for plug in self.plugs():
            place = (plug.chassis, plug.interface)
            for tag, binding in {0: None, **at.get(place, {})}.items():
                wrong = self._problems.get(place, "") if tag == 0 else ""
                bindings[(*place, tag)] = BindingStatus(
                    plug,
                    binding.network if binding is not None else None,
                    binding.port if binding is not None else None,
                    binding is not None and self._is_up(binding),
                    wrong or (self._strange.about(binding) if binding is not None else ""),
                )
        exits = {(each.chassis, each.physical): each for each in self._exits()}
        for outlet in self._outlets.all():
            at_ = exits.get((outlet.chassis, outlet.physical))
            if at_ is not None:
                binding = at.get((at_.chassis, at_.interface), {}).get(outlet.vlan)
                bindings[at_.chassis, at_.interface, outlet.vlan] = BindingStatus(
                    Plug(at_.chassis, at_.interface, at_.ofport),
                    outlet.network,
                    None,
                    binding is not None and self._is_up(binding),
                    "",
                    outlet.physical,
                )
        asked = frozenset(name for name, known in self.chassis.items() if known.plugged is not None)
        for name, why in (self._read.unusable if self._read is not None else {}).items():
            chassis.setdefault(name, ChassisStatus("error", why, "", "", 0, 0))
        return Status(
            chassis,
            bindings,
            self.overlay.neighbors,
            self.nb_cfg,
            asked,
            self._read.nb_cfg if self._read is not None else 0,
            self.alarm,
            tuple(self.pending[name] for name in sorted(self.pending)),
            frozenset(name for name, row in declared.items() if row.takes_over and self._is_ours(name)),
            beyond(self._read, self._marks()) if self.complete and self._read and self._read.accepted else None,
            networks=self._networks(),
            drops=self._all_drops(),
            seen=self._neighbors.seen(now, clock),
        )

    def _networks(self) -> dict[str, NetworkStatus]:
        """What each network's tunnels carry, and what is wrong with how it is declared, connected, or with its MTU."""
        if self.declared is None:
            return {}
        members: dict[str, set[str]] = {}
        for binding in self.overlay.bindings:
            members.setdefault(binding.network, set()).add(binding.chassis)
        found = {}
        for name, network in self.declared.networks.items():
            least = self._least(network.encap)
            chassis = [self.overlay.chassis[each] for each in members.get(name, ()) if each in self.overlay.chassis]
            faults = (
                self._read.network_faults.get(name, "") if self._read is not None else "",
                self._network_problems.get(name, ""),
                not_carried(network, chassis),
            )
            carries = least.mtu if least is not None else None
            found[name] = NetworkStatus(carries, "; ".join(filter(None, faults)))
        return found

    def _is_ours(self, chassis: str) -> bool:
        """Whether a chassis remembers that it belongs to this overlay database."""
        mark = self.chassis[chassis].mark if chassis in self.chassis else None
        return mark is not None and self.declared is not None and mark.database_id == self.declared.database_id

    def _is_up(self, binding: Binding) -> bool:
        """Whether every switch that is connected has the binding's flows, its own above all."""
        since = self._since.get(binding, self.version)
        own = self.chassis.get(binding.chassis)
        others = (known.applied for known in self.chassis.values() if known.connected)
        return own is not None and own.applied >= since and all(applied >= since for applied in others)
