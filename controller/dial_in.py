"""Where chassis dial in: accepts OVSDB connections that chassis make, and finds out whose they are.

A chassis that is declared so gets its session the connection; any other is pending: it is said to be there,
and nothing is written to it, until somebody accepts it.
"""

from __future__ import annotations

import logging
import re
import socket
from collections import Counter
from collections.abc import Callable
from typing import Final

from ryu.lib import hub

from controller.events import Event, about
from controller.state import State
from ovsdb import dial_in, marks, rpc
from ovsdb.entries import DIAL_IN
from ovsdb.status import Pending

LOG: Final = logging.getLogger("overlay.dial-in")
PATIENCE: Final = 5.0
"""Seconds a chassis may take to say who it is."""
LOOK_S: Final = 2.0
"""Seconds between two looks at a pending chassis; its ovsdb-server hangs up after 5 s without a sign of life."""
MOST: Final = 256
MOST_OF_ONE: Final = 8
"""Connections that may be pending at once, of all and of one address; one more is closed."""
VTEP: Final = "overlay-vtep"
"""The external_ids entry of a chassis' Open_vSwitch row in which it may propose its VTEP."""

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What a chassis may be called, as `overlayctl` has it. Whoever dials in may say anything."""

Secure = Callable[[socket.socket], tuple[socket.socket, str | None]]
"""Makes an accepted connection a TLS one; returns it with the name in the peer's certificate, None without one."""


class DialIn:
    """The listener for chassis that dial in."""

    def __init__(
        self, listening: socket.socket, state: State, connected: Callable[[str], None], secure: Secure
    ) -> None:
        """`connected` is told the name of a declared chassis whose connection has arrived."""
        self._listening = listening
        self._state = state
        self._connected = connected
        self._secure = secure
        self._open: Counter[str] = Counter()

    def run(self) -> None:
        """The loop; never returns."""
        while True:
            connection, peer = self._listening.accept()
            if self._open.total() >= MOST or self._open[peer[0]] >= MOST_OF_ONE:
                connection.close()
                continue
            self._open[peer[0]] += 1
            hub.spawn(self._serve, connection, peer[0])

    def _serve(self, connection: socket.socket, address: str) -> None:
        """One connection, until its session takes it or it ends. Never raises."""
        name = ""
        try:
            connection.settimeout(PATIENCE)
            connection, certified = self._secure(connection)
            asking = rpc.Connection(connection, f"tcp:{address}", "Open_vSwitch")
            pending = self._ask(asking, address, certified)
            name = pending.name
            while not (self._declared(name) and self._state.shares.mine(name)):
                if self._declared(name):
                    self._state.unpend(name)
                    self._state.shares.reach(name, True)  # another controller has it, to which it may not have dialled
                elif self._state.pending.get(name) != pending:
                    extra = about(Event.CHASSIS_PENDING, chassis=name, address=address)
                    what = "%s: dialled in from %s and is pending: overlayctl chassis-accept %s"
                    LOG.info(what, name, address, name, extra=extra)
                    self._state.pend(pending)
                hub.sleep(LOOK_S / 4)
                pending = self._ask(asking, address, certified)
            self._state.unpend(name)
            dial_in.arrive(name, connection)
            self._connected(name)
        except (rpc.DatabaseError, OSError, ValueError) as error:
            extra = about(Event.DIAL_IN_REFUSED, chassis=name or None, address=address, reason=str(error))
            LOG.warning("%s dialled in from %s: %s", name or "somebody", address, error, extra=extra)
            if name:
                self._state.unpend(name)
                self._state.shares.reach(name, False)
            connection.close()
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def _declared(self, name: str) -> bool:
        declared = self._state.declared
        return declared is not None and name in declared.chassis and declared.chassis[name].remote == DIAL_IN + name

    def _ask(self, asking: rpc.Connection, address: str, certified: str | None) -> Pending:
        """Who it is; ValueError when it is nobody, or somebody else than its certificate says."""
        rows = asking.select("Open_vSwitch")
        if not rows:
            raise ValueError("its database has no Open_vSwitch row; on the host: ovs-vsctl init")
        ids = rpc.mapping(rows[0]["external_ids"])
        name = ids.get("system-id", "")
        if name and not NAME.fullmatch(name):
            raise ValueError(
                f"its system-id {name[:80]!r} is no name: 1 to 63 letters, digits, '.', '_' or '-', the first a letter "
                "or a digit; on the host: ovs-vsctl set open_vswitch . external_ids:system-id=NAME"
            )
        if not name:
            raise ValueError("it has no name; on the host: ovs-vsctl set open_vswitch . external_ids:system-id=NAME")
        if certified is not None and certified != name:
            raise ValueError(f"its system-id is {name!r}, but its certificate is that of {certified!r}")
        declared = self._state.declared
        known = declared.chassis.get(name) if declared is not None else None
        if known is not None and not known.dials_in:
            raise ValueError(
                f"chassis {name!r} is declared with {known.remote}; if it is to dial in: "
                f"overlayctl chassis-set {name} --ovsdb dial-in"
            )
        session = self._state.chassis.get(name)
        if known is not None and session is not None and session.plugged is not None and not session.fault:
            raise ValueError(f"chassis {name!r} is connected already; a second one of that name is refused")
        return Pending(name, address, ids.get(VTEP), rpc.optional(rows[0]["ovs_version"]), *marks.ask(asking))
