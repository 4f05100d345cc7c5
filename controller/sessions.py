"""The loops that keep the OVSDB sessions: one for the overlay database, one for each chassis.

What they read they store in `State`; what they write is what `State` and the declarations say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.resources import files
from json import loads
from time import monotonic
from typing import Final

from controller.state import State
from ovsdb import snapshot, status, vswitch
from ovsdb.provision import Wanted, controller_target, provision, settled, withdraw
from ovsdb.session import NEW, Session, TransactionError
from ovsdb.snapshot import ChassisRow

LOG: Final = logging.getLogger("overlay.sessions")
LOCK: Final = "overlay_controller"
"""The lock in the overlay database that one controller has; another stands by."""


class OverlaySession:
    """The session with the overlay database: declarations in, status out."""

    def __init__(self, remote: str, state: State) -> None:
        schema = loads(files("ovsdb").joinpath("overlay.ovsschema").read_text())
        self._session = Session(remote, schema, LOCK)
        self._state = state
        self._told = NEW
        self._problems: dict[tuple[str, str], str] = {}
        self._refused = ""

    def wake(self) -> None:
        """There may be status to write."""
        self._session.wake()

    def run(self) -> None:
        """The loop; never returns."""
        session = self._session
        while True:
            changed = session.run()
            contended = session.in_sync and session.idl.is_lock_contended
            self._say(session.fault or ("another controller serves it; standing by" if contended else "connected"))
            if contended and self._state.declared is not None:
                raise RuntimeError("another controller took the overlay database over while it could not be reached")
            if session.in_sync and session.has_lock:
                if changed or self._state.declared is None:
                    self._read()
                self._write()
            session.block()

    def _say(self, how: str) -> None:
        if how != self._told:
            level = logging.INFO if how == "connected" else logging.WARNING
            LOG.log(level, "overlay database %s: %s", self._session.remote, how)
            self._told = how

    def _read(self) -> None:
        idl = self._session.idl
        declared = snapshot.declared(idl)
        for fault in declared.faults:
            LOG.error("overlay database: %s", fault)
        self._state.declare(declared, snapshot.last_known(idl))

    def _write(self) -> None:
        said = self._state.status(monotonic())
        self._tell(said)
        refused = ""
        try:
            self._session.transact(lambda idl, transaction: status.write(idl, transaction, said))
        except TransactionError as error:
            # Nothing depends on it but what people see: the next pass tries again.
            refused = str(error)
        if refused and refused != self._refused:
            LOG.error("overlay database: status can't be written: %s", refused)
        self._refused = refused

    def _tell(self, said: status.Status) -> None:
        """Log what is newly wrong with a plug."""
        problems = {place: binding.error for place, binding in said.bindings.items() if binding.error}
        for place, error in problems.items():
            if self._problems.get(place) != error:
                LOG.warning("%s/%s: %s", *place, error)
        self._problems = problems


class ChassisSession:
    """The session with one chassis' own database: provisions it and reads what is plugged in."""

    def __init__(self, row: ChassisRow, state: State, openflow_port: int) -> None:
        self._row = row
        self._openflow_port = openflow_port
        self._state = state
        self._session = Session(row.remote, vswitch.SCHEMA)
        self._problems: tuple[str, ...] = ()
        self._fault = f"{row.remote}: {NEW}"
        self._leaving: Callable[[], None] | None = None

    @property
    def remote(self) -> str:
        """Where the chassis' database is."""
        return self._row.remote

    def declare(self, row: ChassisRow) -> None:
        """What the chassis is to be may have changed (but for its remote)."""
        self._row = row
        self._session.wake()

    def leave(self, withdrawing: bool) -> None:
        """End the loop; with `withdrawing` the chassis leaves the overlay, if it can be reached."""
        self._leaving = self._withdraw if withdrawing else lambda: None
        self._session.wake()

    def run(self) -> None:
        """The loop, until `leave()`."""
        session, name = self._session, self._row.chassis.name
        while self._leaving is None:
            session.run()
            if session.in_sync:
                if self._fault:
                    LOG.info("%s: connected to %s", name, session.remote)
                self._fault = ""
                self._keep()
            else:
                fault = f"{session.remote}: {session.fault}"
                if fault != self._fault:
                    LOG.warning("%s: %s", name, fault)
                self._fault = fault
                self._state.lose(name, fault, tried=session.fault != NEW)
            if self._leaving is None:
                session.block()
        self._leaving()
        session.close()

    def _keep(self) -> None:
        """Provision and read."""
        session, row, declared = self._session, self._row, self._state.nb_cfg
        target = controller_target(row.controller, session.local_address, self._openflow_port)
        try:
            problems = provision(session, Wanted(row.chassis, target, row.datapath_type))
        except TransactionError as error:
            problems = (f"its database refused: {error}",)
        for problem in problems:
            if problem not in self._problems:
                LOG.error("%s: %s", row.chassis.name, problem)
        self._problems = problems
        done = declared if settled(session.idl) and not problems else None
        self._state.plug(row.chassis.name, snapshot.plugged(session.idl, row.chassis.name), problems, done)

    def _withdraw(self) -> None:
        name = self._row.chassis.name
        if not self._session.in_sync:
            LOG.warning("%s: left the overlay, but can't be reached; its br-int is as it was", name)
            return
        try:
            withdraw(self._session)
            LOG.info("%s: left the overlay", name)
        except TransactionError as error:
            LOG.error("%s: %s", name, error)
