"""TLS for python-ovs: its connection method `ssl:`, in a form that a loop with many sessions can bear.

python-ovs' own one waits for the wrong event during the handshake (a peer that is silent costs a whole CPU), raises
where a file is missing, does not see what OpenSSL has read already, and says "Operation not permitted" of whatever
goes wrong. Here TLS is done in memory, beside a TCP stream of python-ovs that stays as it is, so it makes
no difference whether sockets are eventlet's.
"""

from __future__ import annotations

import errno
import ssl
from typing import Any, Final

import ovs.poller
import ovs.stream

from ovsdb import tls

CHUNK: Final = 1 << 16
"""Bytes read, encrypted and sent at once."""

_names: dict[str, tuple[tls.Names, str]] = {}
_faults: dict[str, str] = {}
_contexts: dict[str, ssl.SSLContext] = {}


def expect(remote: str, names: tls.Names, wanted: str) -> None:
    """Accept on a remote (`ssl:IP:PORT`) certificates of these common names alone; `wanted` says so in words."""
    _names[remote] = names, wanted


def fault(remote: str) -> str:
    """Why the last connection to a remote failed, where that was TLS's doing; '' otherwise."""
    return _faults.get(remote, "")


class TlsStream(ovs.stream.TCPStream):  # type: ignore[misc]
    """A connection to a server, with TLS. Blocks never; errors are errno values, and `fault` says what they mean."""

    def __init__(self, socket: Any, name: str, status: int, is_server: bool = False) -> None:
        super().__init__(socket, name, status)
        self._read, self._written = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = _contexts.pop(name).wrap_bio(self._read, self._written)
        self._up = False
        self._failed = 0

    @staticmethod
    def _open(suffix: str, dscp: int) -> tuple[int, Any]:
        name = f"ssl:{suffix}"
        _faults.pop(name, None)
        try:
            # Anew for each connection, so that renewed files count without a restart.
            context = tls.client_context()
        except tls.TlsError as missing:
            _faults[name] = str(missing)
            return errno.EPROTO, None
        error, socket = ovs.stream.TCPStream._open(suffix, dscp)
        if not error:
            _contexts[name] = context
        return int(error), socket

    def connect(self) -> int:
        """0 once the handshake is done, EAGAIN while it goes on, else why there is no connection."""
        error = self._failed or int(super().connect())
        if error or self._up:
            return error
        try:
            while not self._up:
                try:
                    self._tls.do_handshake()
                    self._check_name()
                    self._up = True
                except ssl.SSLWantReadError:
                    error = self._flush() or self._fill()
                    if error:
                        return error
        except (OSError, ssl.SSLError) as failure:
            self._flush()  # the alert, which tells the other end why
            return self._fail(failure)
        return 0 if (error := self._flush()) == errno.EAGAIN else error

    def recv(self, n: int) -> tuple[int, bytes]:
        """Up to n bytes that have arrived; (EAGAIN, b"") when none have, (0, b"") at the end."""
        if error := self.connect():
            return error, b""
        self._flush()
        while True:
            try:
                return 0, self._tls.read(n)
            except ssl.SSLWantReadError:
                error = self._fill()
                if error == errno.ENOTCONN:
                    return 0, b""
                if error:
                    return error, b""
            except ssl.SSLZeroReturnError:
                return 0, b""
            except (OSError, ssl.SSLError) as failure:
                return self._fail(failure), b""

    def send(self, buf: str | bytes) -> int:
        """How much of it was taken, all or none; negative: why none was."""
        if error := self.connect() or self._flush():
            return -error
        text = buf.encode() if isinstance(buf, str) else bytes(buf)
        try:
            for place in range(0, len(text), CHUNK):
                self._tls.write(text[place : place + CHUNK])
        except (OSError, ssl.SSLError) as failure:
            return -self._fail(failure)
        error = self._flush()
        return -error if error not in (0, errno.EAGAIN) else len(buf)

    def run(self) -> None:
        """Send on what was taken."""
        if self._up:
            self._flush()

    def run_wait(self, poller: Any) -> None:
        """Wake the poller when more can be sent of what was taken."""
        if self._written.pending:
            poller.fd_wait(self.socket, ovs.poller.POLLOUT)

    def wait(self, poller: Any, wait: int) -> None:
        """Wake the poller when `connect`, `recv` or `send` is worth another try."""
        # The first step of the handshake is ours, at the moment that TCP is connected: it may be now.
        error = self.connect()
        if error not in (0, errno.EAGAIN):
            poller.immediate_wake()
            return
        if super().connect() or (wait == ovs.stream.Stream.W_SEND and self._up):
            super().wait(poller, wait)
            return
        if self._tls.pending() or self._read.pending:
            poller.immediate_wake()
        events = ovs.poller.POLLIN | (ovs.poller.POLLOUT if self._written.pending else 0)
        poller.fd_wait(self.socket, events)

    def _check_name(self) -> None:
        names, wanted = _names.get(self.name, (None, ""))
        name = tls.common_name(self._tls.getpeercert())
        if names is not None and not names(name):
            raise tls.WrongNameError(tls.wrong_name(name, wanted))

    def _flush(self) -> int:
        """Send what is encrypted; 0 when all is gone, EAGAIN when not yet."""
        while self._written.pending:
            text = self._written.read(CHUNK)
            sent = 0
            try:
                sent = self.socket.send(text)
            except BlockingIOError:
                return errno.EAGAIN
            except OSError as failure:
                return self._hear(failure)
            finally:
                if sent < len(text):
                    rest = text[sent:] + self._written.read()
                    self._written.write(rest)
        return 0

    def _fill(self) -> int:
        """Take in what has arrived; 0 when there was something, EAGAIN when nothing, ENOTCONN at the end."""
        try:
            text = self.socket.recv(CHUNK)
        except BlockingIOError:
            return errno.EAGAIN
        except OSError as failure:
            return failure.errno or errno.EPROTO
        if not text:
            if not self._up:
                _faults[self.name] = "TLS: it closed the connection; it may not speak TLS"
            return errno.ENOTCONN
        self._read.write(text)
        return 0

    def _hear(self, failure: OSError) -> int:
        """The connection broke; with TLS 1.3 a server that refuses our certificate says why just before."""
        while not self._fill():
            pass
        try:
            self._tls.read(1)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError as said:
            return self._fail(said)
        return failure.errno or errno.EPROTO

    def _fail(self, failure: BaseException) -> int:
        _faults[self.name] = str(failure) if isinstance(failure, tls.WrongNameError) else f"TLS: {tls.said(failure)}"
        self._failed = errno.EPROTO
        return self._failed


ovs.stream.Stream.register_method("ssl", TlsStream)
