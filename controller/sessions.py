"""The loops that keep the OVSDB sessions: one for the overlay database, one for each chassis.

What they read they store in `State`; what they write is what `State` and the declarations say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from ipaddress import ip_address
from json import loads
from time import monotonic, time
from typing import Final

from ovs.db.idl import Idl, Transaction
from ryu.lib import hub

from controller.events import Event, about
from controller.flows_mark import FlowsMark
from controller.state import State
from controller.together import tell
from ovsdb import marks, rights, shared, snapshot, status, vswitch
from ovsdb.our_rows import fingerprint
from ovsdb.provision import ask_again, provision, settled, withdraw
from ovsdb.session import NEW, Session, TransactionError
from ovsdb.snapshot import ChassisRow, Plugged
from ovsdb.wanted import Listens, Wanted, controller_target

LOG: Final = logging.getLogger("overlay.sessions")
NOT_READ: Final = ("Change",)
"""Tables of the overlay database that are of no concern here, and may be long."""
WITHDRAWN_S: Final = 5.0
"""Seconds within which a switch does what its database tells it, or is not waited for."""
STATUS_S: Final = 0.02
"""Seconds in which what is new of the status is gathered before it is written."""
LATER_S: Final = 0.05
"""Seconds after which chassis are told what is in no hurry."""
FLOWS_S: Final = 1.0
"""Seconds between two looks whether a switch has its flows."""
WRITE_S: Final = 5.0
"""Seconds after which status is written even if nothing is known to be new of it."""
ASK_S: Final = (0.5, 60.0)
"""Seconds from one time that a switch is asked anew for what it could not make to the next: at first, at last."""
MARK_S: Final = 30.0
"""Seconds in which a chassis is told at most once how far the overlay database is, while nothing is deleted."""


class OverlaySession:
    """The session with the overlay database: declarations in, status out."""

    def __init__(self, remote: str, state: State, listens: Listens) -> None:
        schema = loads(files("ovsdb").joinpath("overlay.ovsschema").read_text())
        for table in NOT_READ:
            del schema["tables"][table]
        self._session = Session(remote, schema)
        self._listens = listens
        self._ports = snapshot.PortCache()
        self._session.tell(self._ports.stale)
        self._state = state
        self._told = NEW
        self._problems: dict[tuple[str, str, int], str] = {}
        self._refused = ""
        self._later = False
        self._ours: frozenset[str] = frozenset()
        self._others: frozenset[str] = frozenset()
        self._wanted = False
        self._written_at = 0.0
        self.turns = 0

    @property
    def in_sync(self) -> bool:
        """Whether the overlay database is read, and answers."""
        return self._session.in_sync

    def counts(self) -> dict[str, int]:
        """How much waits in the session, and how many rows it has."""
        return self._session.counts()

    def wake(self) -> None:
        """There may be status to write. It comes in bunches, and flows go before it."""
        if not self._later:
            self._later = True
            hub.spawn_after(STATUS_S, self._wake_later)

    def _wake_later(self) -> None:
        self._later, self._wanted = False, True
        self._session.wake()

    def run(self) -> None:
        """The loop; never returns. Raises NameTakenError."""
        session, shares = self._session, self._state.shares
        while True:
            self.turns += 1
            changed = session.run()
            self._state.trust.current = session.in_sync
            self._say(session.fault or "connected")
            if session.in_sync:
                shares.openflow = shares.openflow or self._openflow()
                if changed or self._state.declared is None:
                    self._read()
                if changed or self._wanted or monotonic() >= self._written_at + WRITE_S:
                    self._write()
                else:
                    self._beat()
            session.block(shares.pause(monotonic()))

    def _openflow(self) -> str:
        """Where switches are likely to reach us: at the address that the database does, unless that is this host's."""
        address = self._session.local_address
        if address is None or ip_address(address.partition("%")[0]).is_loopback:
            return ""
        return controller_target(None, address, self._listens, secure=self._listens.secure is not None)

    def _say(self, how: str) -> None:
        if how != self._told:
            level = logging.INFO if how == "connected" else logging.WARNING
            extra = about(Event.DATABASE, remote=self._session.remote, state=how)
            LOG.log(level, "overlay database %s: %s", self._session.remote, how, extra=extra)
            self._told = how

    def _read(self) -> None:
        idl = self._session.idl
        declared = snapshot.declared(idl, self._ports)
        for fault in declared.faults:
            LOG.error("overlay database: %s", fault, extra=about(Event.DECLARATION_UNUSABLE, reason=fault))
        now = shared.read(idl)
        self._tell_shares(now)
        # Reading all bindings takes long, and only those of others matter once we have begun.
        last = snapshot.last_known(idl) if self._state.stands_in_after(now) else None
        self._state.declare(declared, last, now, monotonic())

    def _tell_shares(self, now: shared.Shared) -> None:
        """Log what has become ours, or another controller's, and which others there are."""
        ours = frozenset(name for name, share in now.chassis.items() if share.owner == self._state.shares.name)
        for name in sorted(ours - self._ours):
            LOG.info("%s: ours now", name, extra=about(Event.CHASSIS_TAKEN, chassis=name))
        for name in sorted(self._ours - ours):
            if name in now.chassis:
                owner = now.chassis[name].owner
                extra = about(Event.CHASSIS_HANDED_OVER, chassis=name, controller=owner)
                LOG.warning("%s: another controller's now: %s", name, owner, extra=extra)
        self._ours = ours
        others = frozenset(self._state.shares.live()) - {self._state.shares.name}
        for name in sorted(others - self._others):
            LOG.info("controller %s is at work", name, extra=about(Event.CONTROLLER_AT_WORK, controller=name))
        for name in sorted(self._others - others):
            extra = about(Event.CONTROLLER_GONE, controller=name)
            LOG.warning("controller %s is not at work any more", name, extra=extra)
        self._others = others

    def _write(self) -> None:
        said = replace(self._state.status(monotonic(), time()), heartbeat=int(time()))
        self._wanted = False
        self._tell(said)

        def write(idl: Idl, transaction: Transaction) -> None:
            if said.leads:
                rights.write(idl, transaction)
            status.write(idl, transaction, said)

        refused = ""
        try:
            if self._session.transact(write):
                self._written_at = monotonic()
                self._state.wrote(said, self._written_at)
            else:
                self._wanted = True
        except shared.NotOursError:
            self._wanted = True  # it will be known in a moment
        except TransactionError as error:
            # Nothing depends on it but what people see: the next pass tries again.
            refused = str(error)
        if refused and refused != self._refused:
            extra = about(Event.STATUS_UNWRITTEN, reason=refused)
            LOG.error("overlay database: status can't be written: %s", refused, extra=extra)
        self._refused = refused

    def _beat(self) -> None:
        """Write a sign of life, and what we take, where it is time for that."""
        told = tell(self._state, monotonic())
        if told is None:
            return

        def write(idl: Idl, transaction: Transaction) -> None:
            shared.write(idl, transaction, told)
            shared.fence(idl, transaction, told)

        try:
            if self._session.transact(write):
                self._state.shares.wrote(told.row.beat, monotonic())
        except (TransactionError, shared.NotOursError):
            self._wanted = True  # and be told

    def _tell(self, said: status.Status) -> None:
        """Log what is newly wrong with a plug."""
        problems = {
            place: binding.error
            for place, binding in said.bindings.items()
            if binding.error and place[0] not in said.foreign
        }
        for place, error in problems.items():
            if self._problems.get(place) != error:
                chassis, interface, tag = place
                keys = {"chassis": chassis, "interface": interface, "tag": tag or None, "reason": error}
                binding = said.bindings[place]
                extra = about(Event.PORT_REFUSED, network=binding.network, port=binding.port, **keys)
                LOG.warning("%s/%s%s: %s", chassis, interface, f" tag {tag}" if tag else "", error, extra=extra)
        self._problems = problems


class ChassisSession:
    """The session with one chassis' own database: provisions it and reads what is plugged in."""

    def __init__(self, row: ChassisRow, state: State, listens: Listens) -> None:
        self._row = row
        self._listens = listens
        self._state = state
        self._session = Session(row.remote, vswitch.SCHEMA, name=row.chassis.name)
        self._problems: tuple[str, ...] = ()
        self._fault = f"{row.remote}: {NEW}"
        self._marked_at = -MARK_S
        self._memory: dict[str, str] | None = None
        self._leaving: Callable[[], None] | None = None
        self._awaited = False
        self._provisioned: tuple[Wanted, int] | None = None
        self._settled: Wanted | None = None
        self._asked_at, self._pause = 0.0, 0.0
        self._flows = FlowsMark()
        self._later = False
        self.turns = 0

    @property
    def remote(self) -> str:
        """Where the chassis' database is."""
        return self._row.remote

    @property
    def peer_address(self) -> str | None:
        """The address that the chassis' database is reached at, or connects from; None while it is not."""
        return self._session.peer_address

    def counts(self) -> dict[str, int]:
        """How much waits in the session, and how many rows it has."""
        return self._session.counts()

    def declare(self, row: ChassisRow) -> None:
        """What the chassis is to be may have changed (but for its remote), or what it is to remember.

        When it is only the latter that can wait until the switches have their flows.
        """
        if row != self._row:
            self._row = row
            self._session.wake()
        elif not self._later:
            self._later = True
            hub.spawn_after(LATER_S, self._wake_later)

    def _wake_later(self) -> None:
        self._later = False
        if self._leaving is None:
            self._session.wake()

    def _await_flows(self) -> None:
        """Look again once the switch has its flows: the tunnel ports may wait for that."""
        if self._leaving is not None:
            return  # its session is closed, or about to be
        known = self._state.chassis.get(self._row.chassis.name)
        if known is not None and known.applied < 0:
            hub.spawn_after(FLOWS_S, self._await_flows)
            return
        self._awaited = False
        self._session.wake()

    def wake(self) -> None:
        """There may be something new for it."""
        self._session.wake()

    def leave(self, withdrawing: bool) -> None:
        """End the loop; with `withdrawing` the chassis leaves the overlay, if it can be reached."""
        self._leaving = self._withdraw if withdrawing else lambda: None
        self._session.wake()

    def run(self) -> None:
        """The loop, until `leave()`."""
        session, name = self._session, self._row.chassis.name
        while self._leaving is None:
            self.turns += 1
            session.run()
            if session.in_sync:
                if self._fault:
                    extra = about(Event.CHASSIS_CONNECTED, chassis=name, remote=session.remote)
                    LOG.info("%s: connected to %s", name, session.remote, extra=extra)
                self._fault = ""
                self._keep()
            else:
                fault = f"{session.remote}: {session.fault}"
                if fault != self._fault:
                    extra = about(Event.CHASSIS_UNREACHABLE, chassis=name, reason=fault)
                    LOG.warning("%s: %s", name, fault, extra=extra)
                self._fault = fault
                self._state.lose(name, fault, tried=session.fault != NEW)
            if self._leaving is None:
                session.block()
        self._leaving()
        self._state.left(name)
        session.close()

    def _keep(self) -> None:
        """Provision and read; only read, where the database is not to be trusted or the chassis is another's."""
        session, row, state = self._session, self._row, self._state
        name, declared = row.chassis.name, state.nb_cfg
        seen = session.idl.change_seqno
        plugged = snapshot.plugged(session.idl, name)
        mark = marks.parse(plugged.mark)
        taken = self._taken(mark)
        if state.declared is None or not state.declared.database_id:
            return  # whose it is can't be told yet, so nothing is known of it
        if taken:
            self._tell((taken,))
            state.plug(name, Plugged(ours=False), self._problems)
            return
        if marks.generation(plugged.owner) > state.shares.generation(name):
            # Another controller has it: the database will say so. Or it has forgotten what the chassis remembers.
            state.outrun(name, marks.generation(plugged.owner))
            state.plug(name, plugged, self._problems)
            return
        if state.trust.alarm or (mark is not None and mark.later_than(marks.mark_of(state.declared))):
            state.plug(name, plugged, self._problems)
            return
        known = state.chassis.get(name)
        if known is not None and known.plugged is not None and not known.fault:
            # What was plugged in elsewhere does not wait for this chassis' own database to take what is new for it.
            before = state.version
            state.plug(name, plugged, self._problems)
            if state.version != before:
                hub.sleep(0)  # flows first
        secure = row.dials_in or row.remote.startswith("ssl:")
        targets = self._targets(secure)
        try:
            marks_ = self._marks(plugged)
            exits, mtus = state.exits_of(name), state.mtus_of(name)
            sourced = known is not None and known.applied >= 0
            wanted = Wanted(state.at_present(row.chassis), targets, row.datapath_type, marks_, exits, mtus, sourced)
            rows = fingerprint(wanted)
            problems = self._provision(replace(wanted, marks={**marks_, marks.ROWS: rows}), rows == plugged.rows)
        except TransactionError as error:
            problems = (f"its database refused: {error}",)
        self._tell(problems)
        if not sourced and not self._awaited:
            self._awaited = True
            hub.spawn_after(FLOWS_S, self._await_flows)
        done = declared if settled(session.idl) and not problems else None
        if session.idl.change_seqno != seen:
            plugged = snapshot.plugged(session.idl, name)
        state.plug(name, plugged, problems, done)

    def _targets(self, secure: bool) -> dict[str, str]:
        """Where its switch is to connect to, by the controller's name: to us and to every other one."""
        shares = self._state.shares
        if self._row.controller:
            return {"": self._row.controller}
        own = controller_target(None, self._session.local_address, self._listens, secure)
        shares.openflow = shares.openflow or own
        others = {name: row.openflow for name, row in shares.others().items() if row.openflow}
        return others | {shares.name: shares.openflow if shares.named else own}

    def _provision(self, wanted: Wanted, was_so: bool) -> tuple[str, ...]:
        """What stands in the way; not looked at again while neither what is wanted nor the database has changed.

        `was_so`: nothing else was wanted when somebody of ours was here last.
        """
        seen = self._session.idl.change_seqno
        if (wanted, seen) == self._provisioned:
            return ()
        done = provision(self._session, wanted)
        shape = replace(wanted, marks={})  # what it is to remember changes all the time
        if done.written and (self._settled == shape or (self._settled is None and was_so)):
            # Nothing else is wanted than what was there already, so it was not us who changed it.
            name, written = self._row.chassis.name, "; ".join(done.written)
            extra = about(Event.CHASSIS_REPAIRED, chassis=name, written=written)
            when = "" if self._settled is not None else " while nobody was there"
            LOG.warning("%s: set back what somebody else changed%s: %s", name, when, written, extra=extra)
        elif not done.written:
            self._settled = shape
        self._provisioned = (wanted, seen) if not (done.problems or done.ask) else None
        if not (done.problems or done.ask):
            self._pause = 0.0
        elif done.ask and monotonic() >= self._asked_at + self._pause and ask_again(self._session):
            self._asked_at, self._pause = monotonic(), min(max(2 * self._pause, ASK_S[0]), ASK_S[1])
        return done.problems

    def _tell(self, problems: tuple[str, ...]) -> None:
        """Log what newly stands in the way."""
        for problem in problems:
            if problem not in self._problems:
                name = self._row.chassis.name
                LOG.error("%s: %s", name, problem, extra=about(Event.CHASSIS_PROBLEM, chassis=name, reason=problem))
        self._problems = problems

    def _taken(self, mark: marks.Mark | None) -> str:
        """Why the chassis is not ours to provision, '' when it is: another overlay database has it."""
        declared = self._state.declared
        if mark is None or declared is None or mark.database_id in ("", declared.database_id):
            return ""
        name = self._row.chassis.name
        if self._row.takes_over or not declared.database_id:
            return ""
        return (
            f"belongs to another overlay database ({mark.database_id}); if that one is lost: overlayctl rebuild "
            f"--from-chassis (into an empty database), or overlayctl chassis-set {name} --take-over"
        )

    def _marks(self, plugged: Plugged) -> dict[str, str]:
        """What the chassis is to remember. Only how many changes there were may be told later."""
        declared = self._state.declared
        assert declared is not None
        here, there = marks.mark_of(declared), marks.parse(plugged.mark)
        same = there is not None and (there.database_id, there.epoch) == (here.database_id, here.epoch)
        memory = marks.memory(declared, self._row.chassis.name, self._state.overlay.bindings)
        if same and memory == self._memory and monotonic() < self._marked_at + MARK_S:
            here = there or here
        elif here != there:
            self._marked_at = monotonic()
        self._memory = memory
        known = self._state.chassis.get(self._row.chassis.name)
        flows = self._flows.of(known.had if known is not None else None, plugged.flows or "", monotonic())
        return {marks.KEY: str(here), **memory, **self._owner(), **({marks.FLOWS: flows} if flows else {})}

    def _owner(self) -> dict[str, str]:
        shares = self._state.shares
        return {marks.OWNER: f"{shares.generation(self._row.chassis.name)} {shares.name}"} if shares.shared else {}

    def _withdraw(self) -> None:
        name = self._row.chassis.name
        if not self._session.in_sync:
            extra = about(Event.CHASSIS_LEFT, chassis=name)
            LOG.warning("%s: left the overlay, but can't be reached; its br-int is as it was", name, extra=extra)
            return
        mark = marks.parse(snapshot.plugged(self._session.idl, name).mark)
        declared = self._state.declared
        if mark is not None and declared is not None and mark.database_id != declared.database_id:
            extra = about(Event.CHASSIS_LEFT, chassis=name)
            LOG.info(
                "%s: left the overlay without having been in it: it belongs to another database", name, extra=extra
            )
            return
        try:
            withdraw(self._session)
            self._await_switch()
            LOG.info("%s: left the overlay", name, extra=about(Event.CHASSIS_LEFT, chassis=name))
        except TransactionError as error:
            LOG.error("%s: %s", name, error, extra=about(Event.CHASSIS_PROBLEM, chassis=name, reason=str(error)))

    def _await_switch(self) -> None:
        """Wait until the switch has done what its database was told, for who hears that we left may rely on it."""
        until = monotonic() + WITHDRAWN_S
        while self._session.in_sync and not settled(self._session.idl) and monotonic() < until:
            hub.sleep(0.02)
            self._session.run()
