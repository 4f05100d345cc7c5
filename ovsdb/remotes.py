"""Where a database or a controller is reached, as ovs tools write it: `unix:/path`, `tcp:192.0.2.1:6640`.

Pure: nothing here connects.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

OVSDB_PORT: Final = 6640
"""IANA's port for OVSDB (RFC 7047, section 6)."""
OPENFLOW_PORT: Final = 6653
"""IANA's port for OpenFlow (OpenFlow 1.3.4, section 6.3.3)."""


@dataclass(frozen=True, slots=True)
class Unix:
    """A socket in the file system."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class Tcp:
    """An IP address, v4 or v6 without brackets, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"


def tcp(written: str, default_port: int) -> Tcp:
    """`tcp:IP[:PORT]` with IPv6 in brackets; ValueError says what is wrong with it."""
    kind, _, rest = written.partition(":")
    if kind == "ssl":
        raise ValueError(f"{written!r}: ssl is not supported yet; write tcp:IP:PORT")
    if kind != "tcp":
        raise ValueError(f"{written!r} is not of the form tcp:IP:PORT, such as tcp:192.0.2.1:{default_port}")
    if rest.startswith("["):
        host, closed, tail = rest[1:].partition("]")
        family = socket.AF_INET6
        if not closed:
            raise ValueError(f"{written!r}: the bracket of the IPv6 address is not closed")
    else:
        host, colon, tail = rest.partition(":")
        tail = colon + tail
        family = socket.AF_INET
        if ":" in tail[1:]:
            raise ValueError(f"{written!r}: an IPv6 address is written in brackets, tcp:[2001:db8::1]:PORT")
    try:
        host = socket.inet_ntop(family, socket.inet_pton(family, host))
    except OSError:
        raise ValueError(f"{written!r}: {host!r} is no IP address (names are not looked up)") from None
    port = tail[1:] if tail else str(default_port)
    if (tail and not tail.startswith(":")) or not port.isascii() or not port.isdigit():
        raise ValueError(f"{written!r}: {tail.lstrip(':')!r} is no TCP port")
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"{written!r}: TCP port {int(port)} is not in 1..65535")
    return Tcp(host, int(port))


def remote(written: str) -> Unix | Tcp:
    """Where an OVSDB server listens, `unix:/path` or `tcp:IP[:PORT]`; ValueError when it is neither."""
    if written.startswith("unix:"):
        path = written.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{written!r}: the path of a socket starts with /, such as unix:/run/db.sock")
        return Unix(path)
    if written.startswith(("tcp:", "ssl:")):
        return tcp(written, OVSDB_PORT)
    raise ValueError(f"{written!r} is neither tcp:IP:PORT, such as tcp:192.0.2.1:6640, nor unix:/path")


def remotes(written: str) -> tuple[Unix | Tcp, ...]:
    """The servers of one database, separated by commas (a cluster has several); ValueError as `remote`."""
    return tuple(remote(part.strip()) for part in written.split(","))
