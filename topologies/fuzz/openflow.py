"""Target `openflow`: what a switch sends, through all of the controller that a switch's connection goes through.

A whole controller stands in this process, without a database: listener, framing, Ryu's connection and parsers,
handlers, reconcilers. Only the socket is none. An input is how it is sent, and messages; see `Sending`.
"""

from __future__ import annotations

import logging
import os
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct, pack
from typing import Any, Final

from controller import framing, wire
from flows.model import Chassis, Network, Plug, Port, Vtep
from ovsdb.snapshot import ChassisRow, Declared, LastKnown, Plugged
from ovsdb.wanted import datapath_id
from topologies.fuzz import mutate
from topologies.fuzz.target import WrongError, corpus

AWAITED: Final = b"\x5e\xed\x5e\xed"
"""The number of a message that is an answer: what the controller asked last is put in its place."""
ROUNDS: Final = 6
"""How often everybody else has a turn until nothing is left to be done."""
_HEADER: Final = Struct("!BBHI")
_ASKING: Final = {
    7: "a request for its configuration",
    18: "a multipart request",
    20: "a barrier",
    24: "a request for a role",
}
HELLO: Final = bytes.fromhex("0600001000000001000100080000007e")


@dataclass(frozen=True, slots=True)
class Sending:
    """How an input is sent: its first octet. The next one says where the messages are cut."""

    admitted: bool
    """A good hello and features reply go before the messages."""
    whole: bool
    """A message at a time, as they are written, not cut anywhere."""
    early: bool
    """It was not asked yet what it has: the list of its ports, which Ryu waits for, has not come."""

    @classmethod
    def of(cls, octet: int) -> Sending:
        """What an octet says."""
        return cls(bool(octet & 1), bool(octet & 2), bool(octet & 4))


class Openflow:
    """A switch's connection."""

    module = "controller"

    def __init__(self) -> None:
        from ryu.lib import hub

        hub.patch(thread=False)
        from ryu import cfg
        from ryu.base import app_manager
        from ryu.controller import controller as ryu_controller  # noqa: F401 - it registers the options

        os.environ |= {"OVERLAY_DB": "unix:/nonexistent/overlay.sock", "OVERLAY_DIAL_IN": "off", "OVERLAY_PKI": ""}
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        cfg.CONF(args=["--ofp-tcp-listen-port", str(port), "--ofp-listen-host", "127.0.0.1"], project="ryu")
        self._heard = _Heard()
        logging.getLogger().addHandler(self._heard)
        logging.getLogger().setLevel(logging.WARNING)
        manager = app_manager.AppManager.get_instance()
        manager.load_apps(["controller.overlay_app"])
        from controller import overlay_app

        # Databases have no part in this, and to look for them again and again takes time.
        overlay_app.OverlaySession = overlay_app.ChassisSession = _NoSession
        manager.instantiate_apps(**manager.create_contexts())
        from controller.listener import Listener

        self._app = manager.applications["OverlayApp"]
        self._listener = Listener(self._app._admit, self._app._state.turn_away, None)
        self._turn = hub.sleep
        self._declare()
        self.given = self._first_flows()

    def _declare(self) -> None:
        """Two chassis with ports, as if their databases had said so."""
        state = self._app._state
        rows = {
            name: ChassisRow(Chassis(name, (Vtep(f"192.0.2.{name[1:]}"),)), f"unix:/nonexistent/{name}")
            for name in ("h1", "h2")
        }
        ports = {f"web{n}": Port(f"web{n}", "red", f"02:00:00:00:00:0{n}", (f"10.0.0.{n}",)) for n in (1, 2)}
        state.declare(Declared(rows, {"red": Network("red", "acme", 100)}, ports, database_id="fuzz"), LastKnown())
        for name, plugs in (
            ("h1", (Plug("h1", "vm1", 1, iface_id="web1"),)),
            ("h2", (Plug("h2", "vm2", 2, iface_id="web2"), Plug("h2", "vm9", 9, vni="100"))),
        ):
            state.plug(name, Plugged(plugs), ())
        self._rest(50)

    def _first_flows(self) -> tuple[bytes, ...]:
        """What a switch without flows is given, as the entries of flow statistics that it would then send."""
        empty = _reply(1, b"") + _reply(16, b"") + _reply(10, b"") + pack("!BBH", 5, 21, 8) + AWAITED
        switch = self._serve(
            _ADMITTED + b"\0" + b"".join([_reply(16, b""), _reply(1, b""), _reply(10, b""), empty, empty])
        )
        entries = tuple(_as_entry(message) for message in switch.sent if message[1] == wire.FLOW_MOD)
        if not entries:
            raise RuntimeError("the controller gave a good switch no flows")
        return entries

    def seeds(self) -> Sequence[bytes]:
        """Messages of every type, as many as fit, answers among them, and those that are kept."""
        return [
            *_messages(self.given),
            *(message for data in corpus("openflow").values() for message in [data[2:]] if message),
        ]

    def make(self, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
        """One to four messages, most of them mutated, mostly with a length that is right; cut anywhere."""
        head = bytes((chance.choice((0, 1, 1, 1, 3, 3, 5)), chance.randrange(256)))
        talk = (
            _conversation(self.given)
            if chance.random() < 0.3
            else [chance.choice(seeds) for _ in range(chance.choice((1, 1, 2, 4)))]
        )
        hit = chance.randrange(len(talk))
        made = [
            _message(each, chance, seeds) if place == hit or chance.random() < 0.1 else each
            for place, each in enumerate(talk)
        ]
        return head + b"".join(made)

    def run(self, data: bytes) -> None:
        """One connection, from its first byte to its end."""
        self._heard.wrong.clear()
        self._serve(data)
        if self._heard.wrong:
            raise WrongError(self._heard.wrong[0])

    def _serve(self, data: bytes) -> _Switch:
        switch = _Switch(data, self._rest)
        self._listener._serve(switch, "127.0.0.1", False)
        self._rest(ROUNDS)
        if not switch.closed:
            raise WrongError("the connection was not closed")
        return switch

    def _rest(self, rounds: int) -> None:
        for _ in range(rounds):
            self._turn(0)

    def close(self) -> None:
        """The process ends anyway."""


class _NoSession:
    """In the place of a session with a database, of which there is none."""

    peer_address = None
    turns = 0

    def __init__(self, row: Any, *_: Any) -> None:
        self.remote = getattr(row, "remote", "")

    def declare(self, row: Any) -> None:
        """It is the same row still."""

    def run(self) -> None:
        """It has nothing to do."""

    def wake(self) -> None:
        """Nor then."""

    @property
    def in_sync(self) -> bool:
        """There is nothing to be in sync with."""
        return True

    def counts(self) -> dict[str, int]:
        """Nothing is kept."""
        return {}


class _Heard(logging.Handler):
    """What is logged that must not be: exceptions that somebody caught, and what Ryu's parsers could not bear."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """As logging.Handler."""
        said = record.getMessage()
        if record.exc_info or record.levelno >= logging.CRITICAL or "what it sent can't be read" in said:
            error = record.exc_info[1] if record.exc_info else None
            self.wrong.append(said if error is None else f"{said}: {type(error).__name__}: {error}")
            if record.levelno >= logging.CRITICAL:
                print(said, flush=True)  # the process ends here


class _Switch:
    """A socket with the other end of it: gives pieces of the input, and takes what the controller sends."""

    def __init__(self, data: bytes, rest: Any) -> None:
        how = Sending.of(data[0] if data else 0)
        cuts = random.Random(data[1] if len(data) > 1 else 0)
        begin = [HELLO + _features("h2")] * how.admitted
        begin += [_reply(13, b""), _ROLE] * (how.admitted and not how.early)
        self._pieces = begin + (_whole(data[2:]) if how.whole else _cut(data[2:], cuts))
        self._rest = rest
        self._unread = b""
        self._asked = [bytes(4)]
        self.sent: list[bytes] = []
        self.closed = False

    def recv(self, _: int) -> bytes:
        """The next piece, when the controller had the time to ask for it."""
        if not self._pieces:
            self._rest(ROUNDS)
            return b""
        piece = self._pieces.pop(0)
        if AWAITED in piece:
            self._rest(ROUNDS)
            piece = piece.replace(AWAITED, self._asked[-1])
        return piece

    def sendall(self, data: bytes) -> None:
        """What the controller sends."""
        self._unread += bytes(data)
        while len(self._unread) >= _HEADER.size:
            _, kind, length, xid = _HEADER.unpack_from(self._unread)
            if length < _HEADER.size:
                raise WrongError(f"the controller sent a message of {length} bytes")
            if len(self._unread) < length:
                return
            if kind in _ASKING:
                self._asked.append(xid.to_bytes(4, "big"))
            self.sent.append(self._unread[:length])
            self._unread = self._unread[length:]

    def close(self) -> None:
        """As a socket's."""
        self.closed = True

    def getsockname(self) -> tuple[str, int]:
        """As a socket's."""
        return ("127.0.0.1", 6653)

    def settimeout(self, _: float | None) -> None:
        """As a socket's."""

    def setsockopt(self, *_: Any) -> None:
        """As a socket's."""

    def shutdown(self, _: int) -> None:
        """As a socket's: whoever reads finds the end."""
        self._pieces.clear()


_ADMITTED: Final = b"\x03"
_ROLE: Final = pack("!BBH", framing.VERSION, framing.ROLE_REPLY, framing.ROLE) + AWAITED + pack("!I4xQ", 2, 0)
"""What the controller asks first of a switch whose chassis is its own: it is master now."""


def _whole(stream: bytes) -> list[bytes]:
    """A stream, apart where one message ends as it says itself."""
    pieces = []
    while stream:
        length = max(8, int.from_bytes(stream[2:4], "big"))
        pieces.append(stream[:length])
        stream = stream[length:]
    return pieces


def _cut(stream: bytes, cuts: random.Random) -> list[bytes]:
    """A stream, apart at places that have nothing to do with messages."""
    places = sorted({cuts.randrange(len(stream)) for _ in range(cuts.choice((0, 1, 2, 5)))}) if stream else []
    return [stream[one:two] for one, two in zip([0, *places], [*places, len(stream)], strict=True) if stream[one:two]]


def _features(name: str) -> bytes:
    return pack("!BBHIQIBB2xII", 5, 6, 32, 2, int(datapath_id(name), 16), 0, 254, 0, 0, 0)


def message(kind: int, body: bytes = b"", xid: bytes = AWAITED) -> bytes:
    """A message of OpenFlow 1.4."""
    return pack("!BBH", framing.VERSION, kind, (8 + len(body)) & 0xFFFF) + xid + body


def _reply(kind: int, body: bytes, flags: int = 0) -> bytes:
    return message(19, pack("!HH4x", kind, flags) + body)


def _as_entry(flow_mod: bytes) -> bytes:
    """The entry of flow statistics of a flow that was added (sections 7.3.4.1, 7.3.5.2)."""
    cookie, table, priority = flow_mod[8:16], flow_mod[24], flow_mod[30:32]
    body = flow_mod[48:]
    head = pack("!HBBII", 48 + len(body), table, 0, 5, 0) + priority + bytes(10) + cookie + pack("!QQ", 3, 300)
    return head + body


def _conversation(given: Sequence[bytes]) -> list[bytes]:
    """What a switch answers from the moment it is admitted, that has flows of ours already."""
    barrier = message(21)
    meters = pack("!HHIHHII4x", 24, 13, 5, 1, 16, 100, 50)
    half = b"".join(given[::2])
    return [
        _reply(13, bytes(72)),
        _reply(16, b""),
        _reply(1, half[:20000], 1),
        _reply(1, half[20000:40000]),
        _reply(10, meters),
        barrier,
        barrier,
        _reply(13, _PORTS),
        message(8, pack("!HH", 1, 128)),
        barrier,
        message(12, pack("!B7x", 2) + _PORTS[:72]),
        _reply(16, pack("!HH4x", 8, 1)),
        _packet_in(_ARP),
    ]


_ARP: Final = bytes.fromhex(
    "ffffffffffff020000000009 0806 0001 0800 06 04 0001 020000000009 0a000009 000000000000 0a000001"
)


_PORTS: Final = b"".join(
    pack("!IHxx6sxx16sIIHH28x", number, 72, bytes((2, *bytes(4), number & 0xFF)), name, 1 << 5, 4, 0, 32)
    for number, name in ((1, b"vm1"), (65001, b"overlay-vxlan"))
)
"""Ports that somebody has shut, one of them ours."""


def _packet_in(data: bytes, cookie: int = 0xE7, in_port: int = 9) -> bytes:
    match = pack("!HHIIIQII", 1, 32, 0x80000004, in_port, 0x80000408, 100, 0x00010A04, 1400)
    return message(10, pack("!IHBBQ", 0xFFFFFFFF, len(data), 1, 30, cookie) + match + bytes(2) + data)


def _messages(given: Sequence[bytes]) -> list[bytes]:
    """One message of every type that OpenFlow 1.4 has, and of every sort of multipart reply."""
    from flows.flow import KIND_SHIFT, OWNER_COOKIE
    from flows.tables import Kind

    too_large = OWNER_COOKIE | Kind.DROP_TOO_LARGE << KIND_SHIFT
    ipv4 = bytes.fromhex("020000000001 020000000009 0800 45 00 05dc 0001 4000 40 11 0000 0a000009 0a000001") + bytes(40)
    from topologies.fuzz.frames import mended

    entries = {
        1: given[0] + given[-1],
        9: pack("!IH6xIIQQII", 5, 56, 1, 4, 5, 6, 7, 8) + bytes(8),
        10: pack("!HHIHHII4x", 24, 13, 5, 1, 16, 100, 50),
        12: pack("!HBB", 64, 1, 0) + bytes(60),
        13: _PORTS,
        16: pack("!HHHHHBBQ", 40, 0, 0, 0, 9, 0, 0, 7) + pack("!HH4x", 1, 4) + bytes(12),
        **{kind: bytes(size) for kind, size in _SIZES.items()},
    }
    every = [message(kind, bytes(40)) for kind in range(36)]
    return [
        *(_reply(kind, body) for kind, body in entries.items()),
        *every,
        HELLO,
        _features("h2"),
        _features("h1"),
        _packet_in(_ARP),
        _packet_in(mended(ipv4), too_large),
        message(1, pack("!HH", 4, 2) + bytes(24)),
        message(1, pack("!HH", 0, 0) + b"no"),
        message(2, b"echo"),
        message(3),
        message(21),
        message(0, pack("!HHI", 1, 8, 0x20)),
        message(4, bytes(8)),
        message(25, bytes(16)),
        _reply(1, b"".join(given)[:60000], 1),
    ]


_SIZES: Final = {0: 1056, 2: 24, 3: 24, 4: 112, 5: 40, 6: 40, 7: 32, 8: 40, 11: 16, 14: 64, 15: 16, 65535: 16}
"""Entries of zeros, of the other sorts of multipart reply."""


def _message(good: bytes, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One message made wrong; four times of five its length is right again, and half the time its type and number."""
    found = bytearray(mutate.octets(good, chance, seeds, 60000))
    if len(found) >= 8 and chance.random() < 0.8:
        found[2:4] = len(found).to_bytes(2, "big")
    if len(found) >= 8 and chance.random() < 0.6:
        found[:2], found[4:8] = good[:2], good[4:8]
    return bytes(found)
