"""Everything that is known, and the overlay that follows from it. Handlers store here and wake; no more.

Nothing here speaks to anybody. `derive()` is the one way from what was stored to the overlay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller import places
from controller.chassis_state import ChassisState
from controller.heard import Told
from controller.neighbors import NEIGHBOR_AGE, Claims, Neighbors, delivery, question
from controller.outlets import OpenOutlets
from controller.packet_in import Seen
from controller.report import report
from controller.shares import Shares
from controller.strange import Strange
from controller.together import Together, begin_to_lead, hand_over
from controller.trust import Trust
from controller.vteps import VtepChanges, as_told
from flows.bind import Exit, Place, bind
from flows.flow import Action
from flows.model import Binding, Chassis, Encap, Overlay, Plug
from flows.mtu import Carried, carried, network_mtu
from ovsdb.marks import Mark, parse
from ovsdb.shared import Shared
from ovsdb.snapshot import Declared, LastKnown, Plugged
from ovsdb.status import Drop, Pending, Status


@dataclass
class State:
    """The store. `changed` is called when the overlay is new, `noted` when only its status is.

    `trust` says what the overlay database says, and whether it is acted on: else `declared` stays what it was.
    `pending` are chassis that dialled in and are not declared. `problems` is what is wrong with a plug, by its
    place, and `network_problems` why a network is not connected to its physical one; `since` the version at which each
    binding came, and `drops` each chassis' latest answer to a request for counters. `controller.report` says all that
    in the overlay database's words.

    `shares` says which chassis are ours; of the others what is known is what their owners wrote down, and `together`
    is how far they have come.

    `complete` is true while every chassis was heard or can't be reached, by us or by the controller that has it. While
    one that was just declared, or taken over, may still tell of ports, a switch that has flows to them knows more than
    we do, and is left alone.
    """

    changed: Callable[[], None]
    noted: Callable[[], None]
    chassis: dict[str, ChassisState] = field(default_factory=dict)
    overlay: Overlay = field(default_factory=Overlay)
    version: int = 0
    nb_cfg: int = 0
    complete: bool = False
    pending: dict[str, Pending] = field(default_factory=dict)
    _last: LastKnown = field(default_factory=LastKnown)
    problems: Mapping[Place, str] = field(default_factory=dict)
    network_problems: Mapping[str, str] = field(default_factory=dict)
    _claims: Claims | None = None
    outlets: OpenOutlets = field(default_factory=OpenOutlets)
    vteps: VtepChanges = field(default_factory=VtepChanges)
    shares: Shares = field(default_factory=Shares)
    together: Together = field(default_factory=Together)
    since: dict[Binding, int] = field(default_factory=dict)
    drops: dict[str, tuple[int, tuple[Drop, ...]]] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    """Who had each chassis, for when its row is gone."""
    _carried: tuple[Mapping[str, Chassis], dict[Encap, Carried | None]] = field(default_factory=lambda: ({}, {}))

    def __post_init__(self) -> None:
        self.strange = Strange(self.noted)
        self.neighbors = Neighbors(self.strange)
        self.trust = Trust(self.shares, self.noted)

    def declare(
        self, declared: Declared, last: LastKnown | None = None, shared: Shared | None = None, now: float = 0.0
    ) -> None:
        """Store what the overlay database says: what is declared, what controllers wrote down, and what they share.

        `last` is needed the first time, and while it stands in for anything (`stands_in_after`); `now` is in seconds
        of a clock that only rises.
        """
        led, before = self.shares.leads and self.together.begun, self._last
        if shared is not None:
            self.shares.take(shared)
        self._declare(declared, last or LastKnown())
        if shared is not None:
            self._share(shared, last, led, before, now)

    def stands_in_after(self, shared: Shared) -> bool:
        """Whether what controllers wrote down stands in for anything, once these are their shares."""
        theirs = any(share.owner != self.shares.name for share in shared.chassis.values())
        return theirs or not self.together.begun or any(known.plugged is None for known in self.chassis.values())

    def _declare(self, declared: Declared, last: LastKnown) -> None:
        self.trust.read = declared
        if self.declared is None:
            self._last = last
            self.neighbors.set_age(declared.neighbor_age or NEIGHBOR_AGE)
            self.neighbors.restore(last.neighbors, last.seen)
            self.outlets.remember(last.outlets)
            self.trust.begin(declared, last, self.marks())
        elif declared == self.declared and not self.trust.alarm:
            self.trust.read = self.declared
            return
        alarmed = self.trust.alarm
        self.trust.consider(self.marks(), self.overlay.bindings)
        # At the start what is declared says at least which chassis there are, to be asked and left as they are.
        if not self.trust.alarm or self.declared is None:
            self._accept(declared, anew=bool(alarmed))

    def _share(self, shared: Shared, last: LastKnown | None, led: bool, before: LastKnown, now: float) -> None:
        """Store what controllers say of themselves and of their chassis; `led`: we have led before."""
        assert self.declared is not None
        self.outlets.follows = not self.shares.leads
        if self.shares.leads and not led:
            begin_to_lead(shared, self.declared, self.outlets, self.vteps, self.version)
        elif not self.shares.leads:
            self.outlets.resume(shared.outlets)
        anew = hand_over(self.shares, self.chassis) or self.shares.leads != led
        if last is not None:
            self._last = last
            was, are = (tuple(n for n in each.neighbors if not self.shares.mine(n.chassis)) for each in (before, last))
            self.neighbors.adopt(Claims(self.declared.ports, self.overlay.bindings), was, are, last.seen, now)
        self.together.take(self.shares, self.chassis)
        self._complete()
        if self.together.news(self.shares, self.chassis, self._last, self.outlets) or anew:
            self.derive(anew)
        self.together.begun = True
        self.together.heard(self.shares, self.version)
        if self.together.step(self.shares, self.chassis, self.outlets, self.vteps, self.version):
            self.derive(anyway=True)
        self._complete()

    @property
    def declared(self) -> Declared | None:
        """What of the overlay database's declarations is acted on; None until it was read."""
        return self.trust.declared

    def _reconsider(self) -> None:
        """Look again, where nothing new was read: what was in doubt may be right after all."""
        alarmed = self.trust.alarm
        self.trust.consider(self.marks(), self.overlay.bindings)
        if alarmed and not self.trust.alarm and self.trust.read is not None:
            self._accept(self.trust.read, anew=True)

    def marks(self) -> dict[str, Mark]:
        """What each chassis has last seen of the overlay database."""
        shared = self.shares.shared
        written = {name: parse(share.seen) for name, share in shared.chassis.items()} if shared is not None else {}
        found = written | {name: known.mark for name, known in self.chassis.items() if known.mark is not None}
        return {name: mark for name, mark in found.items() if mark is not None}

    def _accept(self, declared: Declared, anew: bool) -> None:
        """Act on it; `anew` tells `changed` even when nothing did."""
        before = self.declared
        # A deletion is told to every chassis at once (ovsdb.marks).
        other_rows = anew or before is None or (declared.chassis, declared.epoch) != (before.chassis, before.epoch)
        self.trust.accept(declared, self.overlay.bindings)
        if before is not None:
            was, now = ({name: row.chassis for name, row in each.chassis.items()} for each in (before, declared))
            self.vteps.compare(was, now, self.version + 1)
            if not any(known.connected for known in self.chassis.values()):
                self.vteps = VtepChanges()  # nobody is there to be waited for
        for name in declared.chassis:
            self.chassis.setdefault(name, ChassisState())
        for name in set(self.chassis) - set(declared.chassis):
            if self.chassis.pop(name).foreign:
                self.together.withdrawn_by(name, self._owners.get(name, ""), self.version + 1)
            else:
                self.together.leaving[name] = self.version + 1
            self.drops.pop(name, None)
        self._owners = {name: self.shares.share(name).owner for name in declared.chassis}
        if before is None:
            for name in {outlet.chassis for outlet in self.outlets.all()} - set(declared.chassis):
                self.outlets.leave(name)
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
        if known is None or known.foreign:
            return
        before = known.plugged if not known.fault else None
        first = known.plugged is None
        known.fault, known.problems, known.plugged = "", problems, plugged
        if provisioned is not None:
            known.provisioned_cfg = provisioned
        self._reconsider()
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
        if known is not None and not known.foreign and known.fault != fault:
            known.fault, known.tried = fault, known.tried or tried
            self.derive()
        self._complete()

    def _complete(self) -> None:
        # Of one that has just changed hands not everything was written down: who had it may have had no time for that.
        heard = self.declared is not None and all(
            self.shares.heard(name) if known.foreign else known.heard for name, known in self.chassis.items()
        )
        if heard == self.complete:
            return
        self.complete = heard
        if heard:
            self.changed()

    @property
    def listens(self) -> float | None:
        """Seconds between two looks at what switches count of learned neighbors; None where there is nobody to hear."""
        return self.neighbors.look if len(self.neighbors) and self.complete and not self.trust.alarm else None

    def see(self, chassis: str, ofport: int, seen: Seen, now: float = 0.0, vni: int | None = None) -> None:
        """Store the neighbor that a packet from a port tells of, if the port may tell it.

        Of a trunk port `vni` says which of its networks the packet was in.
        """
        self.see_all([Told(chassis, ofport, vni, seen)], now)

    def see_all(self, told: Iterable[Told], now: float) -> bool:
        """The same for many at once, of which `changed` is told once; whether it was."""
        if self.declared is None:
            return False
        if self._claims is None:
            self._claims = Claims(self.declared.ports, self.overlay.bindings)
        vnis = {name: network.vni for name, network in self.overlay.networks.items()}
        anything = False
        for chassis, ofport, vni, seen in told:
            mine = self.shares.mine(chassis)
            binding = self._claims.binding(chassis, ofport, vnis, vni) if mine else None
            if binding is not None and self.neighbors.see(self._claims, binding, seen, now):
                anything = True
        if anything:
            self._learned()
        return anything

    def listen(
        self, chassis: str, counted: Mapping[tuple[int, str], int], now: float
    ) -> list[tuple[bytes, tuple[Action, ...]]]:
        """Store how many packets learned neighbors of a chassis have sent, by VNI and IP; who is long silent is gone.

        What is returned is to be sent by its switch: frames that ask who is silent for some time, and what sends them.
        """
        names = {network.vni: name for name, network in self.overlay.networks.items()}
        by_name = {(names[vni], ip): packets for (vni, ip), packets in counted.items() if vni in names}
        forgotten, silent = self.neighbors.listen(chassis, by_name, now)
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
        self.overlay = replace(self.overlay, neighbors=self.neighbors.known())
        self.version += 1
        self.changed()

    def plugs(self) -> Iterable[Plug]:
        """What is plugged in (`places.plugs`)."""
        return places.plugs(self.chassis, self._last)

    def exits_of(self, chassis: str) -> tuple[tuple[str, str], ...]:
        """(physical network, bridge) pairs that br-int of a chassis is to be connected to: those it is a gateway to."""
        if self.declared is None or chassis not in self.declared.chassis:
            return ()
        gateways = {
            network.gateway.physical
            for network in self.declared.networks.values()
            if network.gateway is not None and network.gateway.chassis == chassis
        }
        gateways |= {outlet.physical for outlet in self.outlets.at(chassis)}
        return tuple(pair for pair in self.declared.chassis[chassis].chassis.bridges if pair[0] in gateways)

    def remark(self, chassis: str, what: str, remark: str) -> None:
        """Store what others have at a chassis that is left alone, in words; '' when they have nothing of that sort."""
        known = self.chassis.get(chassis)
        if known is not None and known.remarks.get(what, "") != remark:
            known.remarks = {key: said for key, said in {**known.remarks, what: remark}.items() if said}
            self.noted()

    def remark_ports(self, chassis: str, ports: Mapping[int, str]) -> None:
        """Store the same of what is plugged in, by ofport."""
        known = self.chassis.get(chassis)
        if known is not None and known.ports != ports:
            known.ports = ports
            self.noted()

    def outrun(self, chassis: str, generation: int) -> None:
        """Store that a chassis of ours has seen a later generation of owners than ours."""
        self.shares.outrun(chassis, generation)
        self.noted()

    def at_present(self, chassis: Chassis) -> Chassis:
        """A chassis with the VTEPs that it is to have for the time being, while those that are declared change."""
        present = self.shares.share(chassis.name).vteps
        if self.shares.leads or present is None:
            return self.vteps.of(chassis)
        return as_told(chassis, present)

    def left(self, chassis: str) -> None:
        """Store that a chassis is not in the overlay any more: withdrawn from it, or not to be reached for that."""
        if chassis in self.chassis:
            return
        self.together.leaving.pop(chassis, None)
        if self.outlets.leave(chassis):
            self.derive()
        else:
            self.noted()

    def wrote(self, status: Status, now: float = 0.0) -> None:
        """Store that this stands in the overlay database, `now` in seconds of a clock that only rises."""
        if status.told is not None:
            self.shares.wrote(status.told.row.beat, now)
        if self.outlets.note(outlet for outlet, open_ in status.outlets.items() if open_):
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
                mtu = network_mtu(network, self.least(network.encap))
                if mtu is not None:
                    found[binding.interface] = mtu
        return found

    def least(self, encap: Encap) -> Carried | None:
        """The least that any two chassis carry, for networks that prefer an encap; looked for once."""
        if self._carried[0] is not self.overlay.chassis:
            self._carried = (self.overlay.chassis, {})
        found = self._carried[1]
        if encap not in found:
            found[encap] = carried(self.overlay.chassis.values(), encap)
        return found[encap]

    def exits(self) -> Iterable[Exit]:
        """The interfaces that lead to physical networks (`places.exits`)."""
        return places.exits(self.chassis, self.shares, self.outlets)

    def derive(self, anyway: bool = False) -> None:
        """The overlay anew from what is stored; tells `changed` when it is another, else `noted`."""
        if self.declared is None:
            return
        bound = bind(
            self.declared.networks,
            self.declared.ports,
            self.plugs(),
            places.held(self.overlay.bindings if self.version else None, self._last, self.shares),
            {name for name, known in self.chassis.items() if known.tried and known.fault},
            self.exits(),
            self.outlets.known(places.stuck(self.chassis)),
        )
        self.neighbors.keep(bound.bindings)
        # Who looks at what switches count has to know how often.
        anyway = self.neighbors.set_age(self.declared.neighbor_age or NEIGHBOR_AGE) or anyway
        self._claims = None
        overlay = Overlay(
            {name: self.at_present(row.chassis) for name, row in self.declared.chassis.items()},
            self.declared.networks,
            bound.bindings,
            self.neighbors.known(),
        )
        self.problems, self.network_problems = bound.problems, bound.networks
        other = anyway or overlay != self.overlay or not self.version
        if self.outlets.keep(bound.outlets, bound.opening, self.version + other):
            self.noted()
        if not other:
            self._advance(self.declared.nb_cfg)
            self.noted()
            for name, known in self.chassis.items():
                if known.connected and known.applied == self.version and self.outlets.confirm(name, self.version):
                    self.derive(anyway=True)
                    break
            return
        self.overlay = overlay
        self.nb_cfg = self.declared.nb_cfg
        self.version += 1
        self.since = {b: self.since.get(b, self.version) for b in overlay.bindings}
        self.strange.keep(self.since)
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
        if known is not None and not known.foreign:
            known.applied, known.flows, known.refused, known.confirmed = version, flows, refused, True
            known.cur_cfg = max(nb_cfg, self.nb_cfg) if version == self.version else nb_cfg
            self.noted()
            oldest = min(each.applied for each in self.chassis.values() if each.connected or each is known)
            closed = self.outlets.confirm(chassis, version)  # then the way to a physical network can be taken away
            if (self.shares.leads and self.vteps.confirm(oldest, self.version + 1)) or closed:
                self.derive(anyway=True)

    def asked_to_count(self, chassis: str) -> int:
        """The number of the request for counters that the chassis has not answered yet, 0 for none."""
        asked = self.declared.drops_asked if self.declared is not None else 0
        return asked if asked > self.drops.get(chassis, (0, ()))[0] else 0

    def count(self, chassis: str, asked: int, drops: tuple[Drop, ...]) -> None:
        """Store what a chassis has dropped, in answer to that request."""
        self.drops[chassis] = (asked, drops)
        self.noted()

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
        self.shares.reach(chassis, connected)
        if known is not None and not known.foreign:
            known.connected, known.confirmed = connected, False
            self.noted()
            if self.outlets.all():
                self.derive()  # whether it can be told to close one

    def turn_away(self, chassis: str, why: str, now: float) -> None:
        """Store why a connection that said to be a chassis' switch was refused, at `now` of a clock that only rises."""
        known = self.chassis.get(chassis)
        if known is None:
            return
        news = known.impostor is None or known.impostor[0] != why
        known.impostor = (why, now)
        if news:
            self.noted()

    def status(self, now: float = 0.0, clock: float = 0.0) -> Status:
        """What is to stand in the overlay database about all this; `now` in seconds of a clock that only rises.

        `clock` is the same moment in seconds since 1970.
        """
        self.strange.fade(now)
        return report(self, now, clock)
