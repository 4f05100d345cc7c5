"""Where a database or a controller is reached, as ovs tools write it: `unix:/path`, `tcp:192.0.2.1:6640`, `ssl:...`.

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


@dataclass(frozen=True, slots=True)
class Ssl:
    """As `Tcp`, with TLS: both ends show certificates of one CA."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"ssl:[{self.host}]:{self.port}" if ":" in self.host else f"ssl:{self.host}:{self.port}"


Remote = Unix | Tcp | Ssl
"""Where a server listens."""


def inet(written: str, default_port: int) -> Tcp | Ssl:
    """`tcp:IP[:PORT]` or `ssl:IP[:PORT]` with IPv6 in brackets; ValueError says what is wrong with it."""
    kind, _, rest = written.partition(":")
    if kind not in ("tcp", "ssl"):
        raise ValueError(f"{written!r} is not of the form tcp:IP:PORT, such as tcp:192.0.2.1:{default_port}, or ssl:")
    if rest.startswith("["):
        host, closed, tail = rest[1:].partition("]")
        if not closed:
            raise ValueError(f"{written!r}: the bracket of the IPv6 address is not closed")
    else:
        host, colon, tail = rest.partition(":")
        tail = colon + tail
        if ":" in tail[1:]:
            raise ValueError(f"{written!r}: an IPv6 address is written in brackets, {kind}:[2001:db8::1]:PORT")
    host = _address(written, host, socket.AF_INET6 if rest.startswith("[") else socket.AF_INET)
    if tail and not tail.startswith(":"):
        raise ValueError(f"{written!r}: {tail!r} is no TCP port")
    port = _port(written, tail[1:] if tail else str(default_port))
    return Ssl(host, port) if kind == "ssl" else Tcp(host, port)


def listen(written: str) -> str:
    """Where a server of the overlay database listens, `ptcp:PORT[:IP]` or `pssl:PORT[:IP]`, with its address.

    Without an address it is 127.0.0.1, where ovsdb-server itself would take every address of the host.
    ValueError says what is wrong with it.
    """
    kind, _, rest = written.partition(":")
    if kind not in ("ptcp", "pssl"):
        raise ValueError(f"{written!r} is not of the form pssl:PORT:IP or ptcp:PORT:IP, such as pssl:6642:192.0.2.254")
    digits, colon, host = rest.partition(":")
    if colon and not host:
        raise ValueError(f"{written!r}: the address is missing; write one, such as 0.0.0.0, or leave out the colon")
    if host.startswith("["):
        if not host.endswith("]"):
            raise ValueError(f"{written!r}: the bracket of the IPv6 address is not closed")
        address = _address(written, host[1:-1], socket.AF_INET6)
    elif ":" in host:
        raise ValueError(f"{written!r}: an IPv6 address is written in brackets, {kind}:PORT:[2001:db8::1]")
    else:
        address = _address(written, host or "127.0.0.1", socket.AF_INET)
    return f"{kind}:{_port(written, digits)}:" + (f"[{address}]" if ":" in address else address)


def _address(written: str, host: str, family: socket.AddressFamily) -> str:
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, host))
    except (OSError, ValueError):
        raise ValueError(f"{written!r}: {host!r} is no IP address (names are not looked up)") from None


def _port(written: str, digits: str) -> int:
    if not digits.isascii() or not digits.isdigit():
        raise ValueError(f"{written!r}: {digits!r} is no TCP port")
    if not 1 <= int(digits) <= 65535:
        raise ValueError(f"{written!r}: TCP port {int(digits)} is not in 1..65535")
    return int(digits)


def remote(written: str) -> Remote:
    """Where an OVSDB server listens, `unix:/path`, `tcp:IP[:PORT]` or `ssl:IP[:PORT]`; ValueError when it is none."""
    if written.startswith("unix:"):
        path = written.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{written!r}: the path of a socket starts with /, such as unix:/run/db.sock")
        return Unix(path)
    if written.startswith(("tcp:", "ssl:")):
        return inet(written, OVSDB_PORT)
    raise ValueError(
        f"{written!r} is neither tcp:IP:PORT, such as tcp:192.0.2.1:6640, nor the same with ssl:, nor unix:/path"
    )


def remotes(written: str) -> tuple[Remote, ...]:
    """The servers of one database, separated by commas (a cluster has several); ValueError as `remote`."""
    return tuple(remote(part.strip()) for part in written.split(","))
