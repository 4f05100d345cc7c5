"""Where switches connect: takes connections, does TLS, finds out who it is, and hands Ryu what is safe.

It stands in for Ryu's own listener, whose TLS works for one switch only, and which lets the newest connection
win whoever makes it. Each connection has a greenthread of its own; until its switch is admitted it has a few
seconds, and nobody waits for it.
"""

from __future__ import annotations

import _socket
import contextlib
import logging
import socket
import ssl
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, Final

from ryu.controller import ofp_handler
from ryu.controller.controller import Datapath
from ryu.lib import hub

from controller import framing
from controller.admission import Peer, plain_address
from controller.budget import Budget
from controller.events import Event, about
from ovsdb import tls
from ovsdb.our_rows import PACKET_INS

LOG: Final = logging.getLogger("overlay.openflow")
ADMISSION_S: Final = 5.0
"""Seconds a connection has to say who it is, TLS included."""
PROBE_S: Final = 1.0
"""Seconds the switch that is connected has to give a sign of life before another connection takes its place."""
PENDING_PER_PEER: Final = 64
"""Connections from one address that may be without a name at once."""
TOLD_MAX: Final = 1024
TOLD_PER_PEER: Final = 64
"""Addresses that are remembered, and sorts of reasons of each, so that each is told once and nobody fills the log."""
MALFORMED: Final = "what it sent is malformed"
NOBODYS: Final = "no chassis of ours"
"""Sorts of reasons that name what the other end has chosen."""
CHUNK: Final = 1 << 16
TURN: Final = 16
"""Messages of one switch that are handed on before the others have their turn."""
PACKET_INS_A_SECOND: Final = 2 * PACKET_INS[0]
PACKET_INS_AT_ONCE: Final = 2 * PACKET_INS[1]
"""Packet-ins of one switch that are looked at: more than a switch sends that heeds what it was told."""
MESSAGES_A_SECOND: Final = 1000
MESSAGES_AT_ONCE: Final = 20_000
"""Messages of any sort that are taken of one switch: at once as many as answer the largest of plans."""
BEYOND_S: Final = 0.05
"""Seconds of rest after a piece of data with more packet-ins than that."""
_ECHO: Final = bytes([framing.VERSION, framing.ECHO_REQUEST, 0, 8, 0xFF, 0xFF, 0xFF, 0xFF])

Admit = Callable[[int, Peer], tuple[str, str] | None]
"""The chassis of a datapath id, and why it is refused, '' when it is not; None when that is not known yet."""


class RefusedError(ValueError):
    """The connection ends here; the text says why, `sort` what is the same for many of them."""

    def __init__(self, reason: str, sort: str = "") -> None:
        super().__init__(reason)
        self.sort = sort or reason


Contexts = Callable[[], ssl.SSLContext]
"""Makes the context of one connection: so that renewed files count for the next one."""


def handshake(opened: Any, contexts: Contexts, seconds: float = ADMISSION_S) -> tuple[Any, str]:
    """The connection as one with TLS, and the name in the peer's certificate. Raises RefusedError."""
    try:
        wrapped = contexts().wrap_socket(opened, server_side=True, do_handshake_on_connect=False)
    except tls.TlsError as error:
        raise RefusedError(str(error)) from None
    try:
        with hub.Timeout(seconds, TimeoutError()):
            wrapped.do_handshake()
        return wrapped, tls.common_name(wrapped.getpeercert())
    except TimeoutError:
        refusal = f"no TLS handshake within {seconds:g} s"
    except OSError as error:
        refusal = f"TLS: {tls.said(error)}"
    wrapped.close()
    raise RefusedError(refusal)


class Listener:
    """The listening sockets, and what connected to them. `refused` counts those that were refused."""

    def __init__(self, admit: Admit, turned_away: Callable[[str, str, float], None], contexts: Contexts | None) -> None:
        """`turned_away` is told a chassis and why a connection in its name was refused."""
        self._admit = admit
        self._turned_away = turned_away
        self._contexts = contexts
        self._sockets: list[tuple[socket.socket, bool]] = []
        self._pending: Counter[str] = Counter()
        self._present: dict[int, Connection] = {}
        self._told: OrderedDict[str, set[str]] = OrderedDict()
        self.refused = 0

    def listen(self, host: str, port: int, secure: bool) -> None:
        """Listen there as well. Raises OSError: somebody does already, or there is no such address."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Not eventlet's, which shares a port with whoever listens on it (SO_REUSEPORT): each would get some switches.
        opened = socket.create_server((host, port), family=family, backlog=1024, dualstack_ipv6=host == "::")
        self._sockets.append((opened, secure))

    def stand_in(self, spawn: Callable[[Callable[[], None]], None]) -> None:
        """Have Ryu start this listener where it starts its own; `spawn` runs a loop."""

        def start() -> None:
            for listening, secure in self._sockets:
                spawn(partial(self._accept, listening, secure))
            while True:
                hub.sleep(3600)

        ofp_handler.OpenFlowController = lambda: start

    def _accept(self, listening: socket.socket, secure: bool) -> None:
        while True:
            try:
                opened, peer = listening.accept()
            except OSError as error:  # too many open files: those that are open go on
                extra = about(Event.NOT_LISTENING, reason=error.strerror)
                LOG.error("can't accept a switch's connection: %s", error.strerror, extra=extra)
                hub.sleep(0.5)
                continue
            address = plain_address(peer[0])
            if self._pending[address] >= PENDING_PER_PEER:
                opened.close()
                what = f"more than {PENDING_PER_PEER} connections that do not say who they are"
                self._refuse(address, RefusedError(what))
                continue
            self._pending[address] += 1
            hub.spawn(self._serve, opened, address, secure)

    def _serve(self, opened: socket.socket, address: str, secure: bool) -> None:
        """One connection, from TLS to its end. Never raises."""
        deadline = monotonic() + ADMISSION_S
        connection: Connection | None = None
        try:
            certified = None
            if secure:
                assert self._contexts is not None
                opened, certified = handshake(opened, self._contexts)
            peer = Peer(address, opened.getsockname()[0], certified, self._contexts is not None)
            connection = Connection(opened, deadline, lambda datapath: self._decide(datapath, peer, connection))
            with contextlib.closing(Datapath(connection, (address, 0))) as datapath:
                connection.send_queued = datapath.send
                datapath.serve()
            if connection.fault:
                self._refuse(address, connection.fault)
        except RefusedError as refusal:
            self._refuse(address, refusal)
        except OSError as error:
            extra = about(Event.CONNECTION_REFUSED, address=address, reason=str(error))
            LOG.debug("OpenFlow connection from %s: %s", address, error, extra=extra)
        except Exception as error:
            what = f"what it sent can't be read: {type(error).__name__}: {error}"
            self._refuse(address, RefusedError(what, MALFORMED))
        finally:
            if connection is None or not connection.admitted:
                self._forget(address)
            elif self._present.get(connection.datapath_id) is connection:
                del self._present[connection.datapath_id]
            opened.close()

    def _decide(self, datapath: int, peer: Peer, newcomer: Connection | None) -> None:
        """Admit the newcomer as this datapath, or raise RefusedError."""
        assert newcomer is not None
        while (verdict := self._admit(datapath, peer)) is None:
            if newcomer.late():
                raise RefusedError("")  # we are not ready, or stand by: nobody's fault
            hub.sleep(0.05)
        name, reason = verdict
        before = self._present.get(datapath)
        if not reason and before is not None and before.lives():
            reason = f"chassis {name!r} is connected already; a second connection is refused while that one lives"
        if reason:
            if name:
                self._turned_away(name, f"OpenFlow from {peer.address} was refused: {reason}", monotonic())
            raise RefusedError(reason, "" if name else NOBODYS)
        newcomer.datapath_id = datapath
        self._present[datapath] = newcomer
        self._forget(peer.address)

    def _forget(self, address: str) -> None:
        self._pending[address] -= 1
        if self._pending[address] <= 0:
            del self._pending[address]

    def _refuse(self, address: str, refusal: RefusedError) -> None:
        """Count it, and tell it once for each sort: who refers to ever other numbers does not fill the log."""
        reason = str(refusal)
        if not reason:
            return
        self.refused += 1
        told = self._told.setdefault(address, set())
        if refusal.sort in told or len(told) >= TOLD_PER_PEER:
            return
        told.add(refusal.sort)
        extra = about(Event.CONNECTION_REFUSED, address=address, reason=reason)
        what = "OpenFlow connection from %s refused: %s (%d refused so far)"
        LOG.warning(what, address, reason, self.refused, extra=extra)
        if len(self._told) > TOLD_MAX:
            self._told.popitem(last=False)


class Connection:
    """A connection as Ryu's Datapath uses a socket; what it receives is checked first.

    `fault` is why it was ended by us, None when it was not.
    """

    def __init__(self, opened: Any, deadline: float, decide: Callable[[int], None]) -> None:
        """`decide` is given the datapath id the switch claims; it raises RefusedError, or the switch is admitted."""
        self._opened = opened
        self._deadline = deadline
        self._decide = decide
        self._framing = framing.Framing()
        self._timeout: float | None = None
        self._ready: deque[bytes] = deque()
        self._packets = Budget(PACKET_INS_A_SECOND, PACKET_INS_AT_ONCE)
        self._messages = Budget(MESSAGES_A_SECOND, MESSAGES_AT_ONCE)
        self._pause = 0.0
        self._ended = False
        self._heard_at = monotonic()
        self.datapath_id = -1
        self.fault: RefusedError | None = None
        self.send_queued: Callable[[bytes], Any] = lambda message: None

    @property
    def admitted(self) -> bool:
        """Whether it is known whose it is, and that it may be."""
        return self._framing.admitted

    def late(self) -> bool:
        """Whether it has had its time to say who it is."""
        return monotonic() >= self._deadline

    def lives(self) -> bool:
        """Whether the switch gives a sign of life when it is asked for one."""
        asked = monotonic()
        with hub.Timeout(PROBE_S, False):
            self.send_queued(_ECHO)
            while self._heard_at < asked and not self._ended:
                hub.sleep(0.02)
        return self._heard_at >= asked and not self._ended

    # -- what Datapath calls

    def setsockopt(self, *option: Any) -> None:
        """As a socket's."""
        self._opened.setsockopt(*option)

    def settimeout(self, seconds: float | None) -> None:
        """As a socket's; it counts once the switch is admitted."""
        self._timeout = seconds

    def recv(self, _: int) -> bytes:
        """Whole messages that are safe to parse, b'' at the end. Raises TimeoutError when there is none in time."""
        try:
            while not self._ended:
                # A switch that floods us has its turn, and then the others have theirs.
                hub.sleep(0 if self._ready else self._pause)
                if self._ready:
                    return b"".join(self._ready.popleft() for _ in range(min(TURN, len(self._ready))))
                self._receive()
        except RefusedError as refusal:
            self.fault = refusal
        except framing.MalformedError as malformed:
            self.fault = RefusedError(str(malformed), MALFORMED)
        except TimeoutError:
            if self.admitted:
                raise
            self.fault = RefusedError(f"it did not say who it is within {ADMISSION_S:g} s")
        except OSError:
            pass
        self._ended = True
        return b""

    def _receive(self) -> None:
        """Take a piece of data, and what is to be handed on of it; it is the end when there is none."""
        left = self._deadline - monotonic()
        if not self.admitted and left <= 0:
            raise TimeoutError
        self._opened.settimeout(self._timeout if self.admitted else left)
        data = self._opened.recv(CHUNK)
        if not data:
            self._ended = True
            return
        self._heard_at = monotonic()
        safe = self._framing.feed(data)
        if not self.admitted:
            claimed = next((found for found in map(framing.datapath, safe) if found is not None), None)
            if claimed is not None:
                self._decide(claimed)
                self._framing.admitted = True
        self._ready.extend(self._within_budget(safe))

    def _within_budget(self, safe: list[bytes]) -> list[bytes]:
        """The messages without packet-ins beyond what a switch was told to keep to, which nobody looks at.

        Whoever sends more, of whatever sort, is read more slowly: what it can't send costs nobody anything.
        """
        now, kept, packets = monotonic(), [], 0
        allowed = max(0, int(self._packets.left(now)))
        for message in safe:
            packets += framing.is_packet_in(message)
            if packets <= allowed or not framing.is_packet_in(message):
                kept.append(message)
        self._packets.take(min(packets, allowed), now)
        self._pause = max(self._messages.take(len(kept), now), BEYOND_S if packets > allowed else 0.0)
        return kept

    def sendall(self, data: bytes) -> None:
        """As a socket's."""
        self._opened.settimeout(self._timeout)
        self._opened.sendall(data)

    def shutdown(self, how: int) -> None:
        """Ends it in both directions: Ryu does this to close, and would go on reading."""
        self._ended = True
        if isinstance(self._opened, ssl.SSLSocket):
            # Not its own, after which whoever reads or writes would do so without TLS.
            _socket.socket.shutdown(self._opened, how)
        else:
            self._opened.shutdown(how)

    def close(self) -> None:
        """As a socket's."""
        self._ended = True
        self._opened.close()
