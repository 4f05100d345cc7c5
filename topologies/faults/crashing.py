"""Loaded by `ryu-manager` before the controller: has it die, as by SIGKILL, just before its n-th outgoing message.

`OVERLAY_CRASH` is that number and a file, with a space between; in the file stands how many were sent so far. A message
is an OpenFlow message, or a transaction of a database; what only keeps a connection alive does not count.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import ovs.jsonrpc

from controller import framing, listener

VARIABLE: Final = "OVERLAY_CRASH"


class Countdown:
    """How many messages were sent, and at which the process ends."""

    def __init__(self, last: int, file: Path) -> None:
        self._last, self._file, self._sent = last, file, 0

    def due(self) -> bool:
        """Whether the next message is the one that is never sent; counts it if not."""
        self._sent += 1
        self._file.write_text(str(self._sent))
        return self._sent == self._last


def _arm(countdown: Countdown) -> None:
    plain_send, plain_transact = listener.Connection.sendall, ovs.jsonrpc.Connection.send

    def sendall(self: listener.Connection, data: bytes) -> None:
        """Sends what comes before the last message, and no more."""
        place = 0
        while place < len(data):
            if data[place + 1] not in (framing.ECHO_REQUEST, framing.ECHO_REPLY) and countdown.due():
                plain_send(self, data[:place])
                os._exit(9)
            place += int.from_bytes(data[place + 2 : place + 4], "big")
        plain_send(self, data)

    def send(self: Any, message: Any) -> Any:
        if message.method == "transact" and countdown.due():
            os._exit(9)
        return plain_transact(self, message)

    listener.Connection.sendall = sendall  # type: ignore[method-assign]
    ovs.jsonrpc.Connection.send = send


_number, _, _path = os.environ[VARIABLE].partition(" ")
_arm(Countdown(int(_number), Path(_path)))
