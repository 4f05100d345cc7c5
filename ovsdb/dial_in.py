"""Chassis that connect to us: to python-ovs a connection method of its own, `dial-in:NAME`.

`ovs-vsctl set-manager tcp:CONTROLLER:6641` has a chassis' ovsdb-server connect to the controller. Who accepted
and identified that connection hands its socket over here; the session of that chassis then "connects" by
taking it, and reconnects when another arrives. Nothing here listens or asks who somebody is.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any

import ovs.stream

from ovsdb.entries import DIAL_IN

_arrived: dict[str, socket.socket] = {}


def arrive(name: str, connection: socket.socket) -> None:
    """Hand over a connection from the chassis of that name; one that nobody took yet is closed."""
    before = _arrived.pop(name, None)
    if before is not None:
        before.close()
    connection.setblocking(False)
    _arrived[name] = connection


def waiting(name: str) -> bool:
    """Whether a connection of the chassis is there to be taken."""
    return name in _arrived


def forget(name: str) -> None:
    """Close a connection that nobody took."""
    before = _arrived.pop(name, None)
    if before is not None:
        before.close()


class DialInStream(ovs.stream.SSLStream):  # type: ignore[misc]
    """A stream whose connection is there already: plain TCP, or TLS with its handshake done."""

    @staticmethod
    def _open(suffix: str, dscp: int) -> tuple[int, Any]:
        connection = _arrived.pop(suffix, None)
        return (0, connection) if connection is not None else (errno.ENOTCONN, None)

    def wait(self, poller: Any, wait: int) -> None:
        """As any stream's; what TLS has read already and not handed out is not waited for."""
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            poller.immediate_wake()
        super().wait(poller, wait)

    def connect(self) -> Any:
        """0: the connection is there; an errno when it has failed."""
        return ovs.stream.Stream.connect(self)


ovs.stream.Stream.register_method(DIAL_IN.removesuffix(":"), DialInStream)
