"""The controller's OpenFlow port, as anybody on the network meets it: a whole controller, and sockets."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import struct
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.cli.main import main as overlayctl
from ovsdb import tls
from ovsdb.wanted import datapath_id
from tests.certificates import Authority, free_port
from tests.overlay_database import await_answer, needs_ovsdb

pytestmark = [needs_ovsdb, pytest.mark.server]

HELLO = bytes.fromhex("0600001000000001000100080000007e")
CHASSIS = ("h1", "h2", "h3")


def features(name: str) -> bytes:
    return struct.pack("!BBHIQIBB2xII", 5, 6, 32, 2, int(datapath_id(name), 16), 0, 254, 0, 0, 0)


@dataclass
class Controller:
    """A controller with three chassis that no OVSDB server answers for; only their switches matter here."""

    port: int
    log: Path
    pki: Path | None

    def said(self) -> str:
        return self.log.read_text()

    def eventually(self, words: str, seconds: float = 10) -> str:
        deadline = time.monotonic() + seconds
        while not (found := re.search(words, self.said())):
            assert time.monotonic() < deadline, f"{words!r} is not in\n{self.said()}"
            time.sleep(0.05)
        return found[0]


class Switch:
    """One end of an OpenFlow connection, by hand."""

    def __init__(self, controller: Controller, who: str | Path | None = None, source: str = "127.0.0.1") -> None:
        self.socket: socket.socket = socket.create_connection(
            ("127.0.0.1", controller.port), timeout=10, source_address=(source, 0)
        )
        if who is not None:
            assert controller.pki is not None
            home = controller.pki / who
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.load_verify_locations(controller.pki / "cacert.pem")
            if (home / "cert.pem").exists():
                context.load_cert_chain(home / "cert.pem", home / "key.pem")
            self.socket = context.wrap_socket(self.socket)

    def __enter__(self) -> Switch:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def message(self) -> bytes:
        """The next message, echo requests answered; b'' when the connection has ended."""
        while True:
            head = self._exactly(8)
            if not head:
                return b""
            body = self._exactly(int.from_bytes(head[2:4], "big") - 8)
            if head[1] != 2:
                return head + body
            with contextlib.suppress(ConnectionError, ssl.SSLError):  # it has ended meanwhile, and recv will say so
                self.send(head[:1] + b"\3" + head[2:] + body)

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            try:
                more = self.socket.recv(size - len(found))
            except (ConnectionError, ssl.SSLError):
                return b""
            if not more:
                return b""
            found += more
        return found

    def until(self, kind: int) -> bool:
        """Whether a message of that type comes before the end."""
        while message := self.message():
            if message[1] == kind:
                return True
        return False

    def greet(self, name: str) -> bool:
        """Say who it is; whether that was believed: then the controller asks for its ports."""
        try:
            self.send(HELLO + features(name))
            if not self.until(18):
                return False
            self.send(struct.pack("!BBHIHH4x", 5, 19, 16, 3, 13, 0))
        except (ConnectionError, ssl.SSLError):
            return False
        return True

    def lives(self) -> bool:
        """Whether the controller answers an echo."""
        with contextlib.suppress(OSError):
            self.send(bytes.fromhex("0502000800000063"))
            return self.until(3)
        return False


@contextlib.contextmanager
def running(directory: Path, pki: Path | None, *options: str) -> Iterator[Controller]:
    port = free_port()
    option = "--ofp-ssl-listen-port" if pki else "--ofp-tcp-listen-port"
    home = directory / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "OVERLAY_RUNDIR": str(home),
        "OVERLAY_DBDIR": str(home),
        "OVERLAY_DIAL_IN": "off",
        "OVERLAY_DB": "",
        tls.VARIABLE: str(pki / "controller") if pki else "",
    }
    log = directory / "log"
    ryu = [str(Path(sysconfig.get_path("scripts")) / "ryu-manager"), "overlay_app", option, str(port), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(ryu, env=environment, stdout=output, stderr=output, cwd=directory)
    try:
        remote = f"unix:{home}/overlay.sock"
        await_answer(remote, 20)
        for number, name in enumerate(CHASSIS, 1):
            argv = ["chassis-add", name, f"unix:{home}/{name}.sock", "--vtep", f"192.0.2.{number}"]
            argv += ["--", "set", "Chassis", name, f"external_ids:openflow-from=127.0.{number}.1"]
            assert overlayctl(["--db", remote, "--wait=db", *argv]) == 0
        yield Controller(port, log, pki)
    finally:
        process.terminate()
        process.wait(10)
    text = log.read_text()
    print(text)
    assert "Traceback" not in text
    assert "CRITICAL" not in text


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki"))
    made.issue("controller", *CHASSIS)
    return made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    with running(tmp_path_factory.mktemp("plain"), None) as found:
        yield found


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Controller]:
    with running(tmp_path_factory.mktemp("secure"), authority.directory) as found:
        yield found


@pytest.fixture
def victim(secure: Controller) -> Iterator[Switch]:
    """h1, connected as it should be, and undisturbed by whatever is tried meanwhile."""
    with Switch(secure, "h1") as switch:
        assert switch.greet("h1")
        assert switch.lives()
        yield switch
        assert switch.lives()


def test_every_switch_has_tls_not_only_the_first(secure: Controller) -> None:
    with contextlib.ExitStack() as stack:
        switches = [stack.enter_context(Switch(secure, name)) for name in CHASSIS]
        assert [switch.greet(name) for switch, name in zip(switches, CHASSIS, strict=True)] == [True] * 3
        assert [switch.lives() for switch in switches] == [True] * 3


def test_the_name_of_another(secure: Controller, victim: Switch) -> None:
    with Switch(secure, "h2") as other:
        assert not other.greet("h1")
    secure.eventually("its certificate is of 'h2', and its datapath id is that of chassis 'h1'")


def test_a_datapath_that_nobody_has(secure: Controller, victim: Switch) -> None:
    with Switch(secure, "h2") as other:
        assert not other.greet("h7")
    secure.eventually("is no chassis of ours")


def test_a_second_connection_while_the_first_lives(secure: Controller, victim: Switch) -> None:
    """Even with the right certificate: today's connection is the switch's own until it is silent."""
    with Switch(secure, "h1") as second:
        begun = time.monotonic()

        # The victim answers the controller's question while the second waits.
        second.send(HELLO + features("h1"))
        victim.socket.settimeout(2)
        with contextlib.suppress(TimeoutError):
            victim.message()
        victim.socket.settimeout(10)
        assert not second.until(18)
        assert time.monotonic() - begun < 5
    secure.eventually("chassis 'h1' is connected already")


def test_a_switch_that_came_back_takes_the_place_of_its_dead_connection(secure: Controller) -> None:
    with Switch(secure, "h3") as dead:
        assert dead.greet("h3")
        assert dead.lives()  # all it sent was read; from now on it is silent, as one whose host has lost its power
        with Switch(secure, "h3") as alive:
            begun = time.monotonic()
            assert alive.greet("h3")
            assert time.monotonic() - begun < 4
            assert alive.lives()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda ours, theirs: theirs.directory / "h1", "TLS: its certificate is of another CA than ours"),
        (lambda ours, theirs: ours.expired("h1"), "TLS: its certificate has expired"),
        (lambda ours, theirs: Path("/nonexistent"), "TLS: it showed no certificate"),
    ],
    ids=["another CA", "expired", "none"],
)
def test_certificates_that_are_no_good(
    secure: Controller,
    victim: Switch,
    authority: Authority,
    tmp_path: Path,
    *,
    make: Callable[[Authority, Authority], Path],
    words: str,
) -> None:
    theirs = Authority(tmp_path / "theirs")
    theirs.issue("h1")
    with contextlib.suppress(OSError), Switch(secure, make(authority, theirs)) as other:
        assert not other.greet("h1")
    secure.eventually(words)


def test_who_speaks_no_tls(secure: Controller, victim: Switch) -> None:
    with Switch(secure) as other:
        assert not other.greet("h1")
    secure.eventually("TLS: the other end does not speak TLS")


def test_the_silent_are_sent_away_and_hold_up_nobody(secure: Controller, victim: Switch) -> None:
    """30 that never begin TLS, and 10 that never say who they are; h2 connects at once meanwhile."""
    with contextlib.ExitStack() as stack:
        mute = [stack.enter_context(Switch(secure)) for _ in range(30)]
        mute += [stack.enter_context(Switch(secure, "h3")) for _ in range(10)]
        begun = time.monotonic()
        with Switch(secure, "h2") as other:
            assert other.greet("h2")
            assert time.monotonic() - begun < 1
        for switch in mute:
            while switch.message():
                pass
        assert time.monotonic() - begun < 8
    secure.eventually("no TLS handshake within 5 s")
    secure.eventually("it did not say who it is within 5 s")


def test_who_trickles_gets_no_more_time(secure: Controller) -> None:
    with Switch(secure, "h3") as slow:
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            for octet in HELLO * 10:
                slow.send(bytes([octet]))
                time.sleep(0.2)
                if time.monotonic() - begun > 8:
                    break
        assert time.monotonic() - begun < 8


@pytest.mark.parametrize(
    "sent",
    [
        bytes.fromhex("05000010000000010001000000000000"),  # a hello of 16 bytes, whose element has no length
        bytes.fromhex("0500000000000001"),
        bytes.fromhex("050000ff00000001") + bytes(247),
        HELLO + bytes.fromhex("0513004800000001") + bytes(64),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_messages_hold_up_nobody(secure: Controller, victim: Switch, sent: bytes) -> None:
    with Switch(secure, "h2") as rogue, contextlib.suppress(OSError):
        rogue.send(sent)
        begun = time.monotonic()
        assert victim.lives()
        assert time.monotonic() - begun < 1


def test_without_tls_the_address_counts(plain: Controller) -> None:
    """A chassis behind a unix socket is on this host; its VTEP's address is its own as well."""
    with Switch(plain) as one, Switch(plain, source="127.0.2.1") as two:
        assert one.greet("h1")
        assert two.greet("h2")
        with Switch(plain, source="127.0.9.9") as other:
            assert not other.greet("h1")
        assert one.lives()
        assert two.lives()
    plain.eventually(
        r"127\.0\.9\.9 is no address of chassis 'h1', which has 127\.0\.0\.1, 127\.0\.1\.1, 192\.0\.2\.1, ::1"
    )


def test_a_rogue_is_told_of_whatever_else_came_from_there(plain: Controller) -> None:
    """Malformed messages of every length are one reason, so they don't use up what is told of an address."""
    for length in range(13, 113):
        with Switch(plain, source="127.0.6.6") as other, contextlib.suppress(OSError):
            other.send(struct.pack("!BBHI", 5, 0, length, 1) + bytes([0, 9, 0, 1]) + bytes(length - 12))
            other.message()
    with Switch(plain, source="127.0.6.6") as other:
        assert not other.greet("h2")
    plain.eventually(r"127\.0\.6\.6 is no address of chassis 'h2'")
    assert len(re.findall(r"from 127\.0\.6\.6 refused", plain.said())) < 8


def test_who_is_refused_is_told_once(plain: Controller) -> None:
    for _ in range(5):
        with Switch(plain, source="127.0.8.8") as other:
            assert not other.greet("h3")
    assert len(re.findall(r"127\.0\.8\.8 refused", plain.said())) == 1


def test_one_address_can_not_have_all(plain: Controller) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(80):
            stack.enter_context(Switch(plain, source="127.0.7.7"))
        plain.eventually("more than 64 connections that do not say who they are")
        with Switch(plain) as one:
            assert one.greet("h1")


@pytest.mark.parametrize(
    ("pki", "options", "words"),
    [
        (False, ("--ofp-ssl-listen-port", "1"), "TLS needs OVERLAY_PKI"),
        (True, ("--ofp-tcp-listen-port", "6653"), "port 6653 can't be with and without TLS"),
    ],
)
def test_what_the_command_line_can_not_want(
    pki: bool, options: tuple[str, ...], words: str, authority: Authority, tmp_path: Path
) -> None:
    ryu = [str(Path(sysconfig.get_path("scripts")) / "ryu-manager"), "overlay_app", *options]
    named = {tls.VARIABLE: str(authority.directory / "controller") if pki else ""}
    places = {"OVERLAY_RUNDIR": str(tmp_path), "OVERLAY_DBDIR": str(tmp_path), "OVERLAY_DB": ""}
    done = subprocess.run(
        ryu, env={**os.environ, **places, **named}, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert f"overlay_app: {words}" in done.stdout + done.stderr


def test_files_that_are_no_good_end_it_at_once(authority: Authority, tmp_path: Path) -> None:
    ryu = [str(Path(sysconfig.get_path("scripts")) / "ryu-manager"), "overlay_app"]
    named = {tls.VARIABLE: str(tmp_path / "nowhere")}
    done = subprocess.run(ryu, env={**os.environ, **named}, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert f"overlay_app: OVERLAY_PKI={tmp_path}/nowhere: there is no {tmp_path}/nowhere/key.pem" in (
        done.stdout + done.stderr
    )
