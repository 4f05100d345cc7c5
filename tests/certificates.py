"""Certificates for tests: good ones, and each kind of bad one, as `overlayctl pki` makes them."""

from __future__ import annotations

import socket
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controller.cli import pki


class Authority:
    """An authority of `overlayctl pki` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        pki.init(Namespace(directory=str(directory), days=30))

    def issue(self, *names: str) -> Path:
        """The directory of the last of these names, whose certificates are made now."""
        pki.issue(Namespace(directory=str(self.directory), names=list(names), days=20, renew=False))
        return self.directory / names[-1]

    def expired(self, name: str) -> Path:
        """A directory with a certificate that was valid until yesterday."""
        now = datetime.now(UTC)
        return self._write(name, "expired", now - timedelta(days=9), now - timedelta(days=1))

    def _write(self, name: str, kind: str, begin: datetime, end: datetime) -> Path:
        home = self.directory / f"{kind}-{name}"
        home.mkdir()
        key = pki.new_key()
        ca_key, ca_cert = pki.authority(self.directory)
        (home / "key.pem").write_bytes(pki.key_text(key))
        (home / "cert.pem").write_bytes(pki.cert_text(pki.certificate(name, key, (ca_key, ca_cert), begin, end)))
        (home / "cacert.pem").write_bytes(pki.cert_text(ca_cert))
        return home


def options(home: Path) -> list[str]:
    """What tells `ovsdb-server` and its kind of a directory's files."""
    return [
        f"--private-key={home}/key.pem",
        f"--certificate={home}/cert.pem",
        f"--ca-cert={home}/cacert.pem",
    ]


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
