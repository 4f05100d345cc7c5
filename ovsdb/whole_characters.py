"""python-ovs' JSON-RPC connection, made to bear a character that arrives in two pieces.

`ovs.jsonrpc.Connection.recv` decodes UTF-8 with a decoder that it forgets whenever it has to wait. Where a piece
ends within a character, which any description that is not plain English makes likely, the next one is then taken
for garbage and the connection given up. Here the stream keeps such an end back until the rest of it is there.
"""

from __future__ import annotations

import errno
from typing import Any

import ovs.jsonrpc

_LONGEST = 4
"""Bytes of a character (RFC 3629)."""


def end_of_characters(data: bytes) -> int:
    """How many bytes of this are whole characters; what is no UTF-8 at all counts as whole."""
    for back in range(1, min(_LONGEST, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 1 if byte < 0x80 else 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4
        return len(data) - back if back < length else len(data)
    return len(data)


class Connection(ovs.jsonrpc.Connection):  # type: ignore[misc]
    """A connection whose stream hands out whole characters."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._held = b""
        receive = stream.recv

        def recv(most: int) -> tuple[int, Any]:
            error, data = receive(most)
            if error or not data:
                return error, data
            data = self._held + data
            end = end_of_characters(data)
            self._held = data[end:]
            return (0, data[:end]) if end else (errno.EAGAIN, b"")

        stream.recv = recv


def install() -> None:
    """Have python-ovs' sessions use it."""
    ovs.jsonrpc.Connection = Connection
