"""TLS of the overlay database as a command meets it: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ovsdb import tls
from ovsdb.remotes import listen
from ovsdb.rpc import DatabaseError, UnreachableError, connect
from tests.certificates import Authority, free_port, options
from tests.overlay_database import needs_ovsdb, serving

pytestmark = needs_ovsdb

Served = Callable[..., str]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("ours"))
    made.issue("controller", "operator", "h1", "h2", "database-1")
    return made


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("theirs"))
    made.issue("controller", "operator")
    return made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Starts servers that listen with TLS and the certificate of a directory; returns the remote."""
    with ExitStack() as running:

        def serve(home: Path, kind: str = "pssl") -> str:
            port = free_port()
            directory = tmp_path / str(port)
            directory.mkdir()
            running.enter_context(serving(directory, f"--remote={kind}:{port}:127.0.0.1", *options(home)))
            return f"{'ssl' if kind == 'pssl' else 'tcp'}:127.0.0.1:{port}"

        yield serve


def select(remote: str) -> None:
    """A whole exchange: with TLS 1.3 a client hears of a refusal only with the first answer."""
    with connect(remote) as database:
        database.select("Overlay_Global")


@pytest.mark.parametrize("server", ["controller", "database-1"])
def test_certificates_of_one_authority(
    ours: Authority, served: Served, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = served(ours.directory / server)
    monkeypatch.setenv(tls.VARIABLE, str(ours.directory / "operator"))
    select(remote)
    # The first server of a list that will do, whatever the others are.
    select(f"ssl:127.0.0.1:{free_port()},{remote}")


def test_a_server_of_another_authority(
    ours: Authority, theirs: Authority, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = served(theirs.directory / "controller")
    monkeypatch.setenv(tls.VARIABLE, str(ours.directory / "operator"))
    with pytest.raises(UnreachableError, match=f"{re.escape(remote)}: TLS: its certificate is of another CA than ours"):
        select(remote)


def test_a_client_of_another_authority(
    ours: Authority, theirs: Authority, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = served(ours.directory / "controller")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in ("key.pem", "cert.pem"):
        (mixed / name).symlink_to(theirs.directory / "operator" / name)
    (mixed / "cacert.pem").symlink_to(ours.directory / "cacert.pem")
    monkeypatch.setenv(tls.VARIABLE, str(mixed))
    with pytest.raises(UnreachableError, match="our certificate is of another CA than it knows"):
        select(remote)


def test_an_expired_server(ours: Authority, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = served(ours.expired("controller"))
    monkeypatch.setenv(tls.VARIABLE, str(ours.directory / "operator"))
    with pytest.raises(UnreachableError, match="TLS: its certificate has expired"):
        select(remote)


def test_an_expired_client(ours: Authority, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = served(ours.directory / "controller")
    monkeypatch.setenv(tls.VARIABLE, str(ours.expired("operator")))
    with pytest.raises(UnreachableError, match="our certificate has expired"):
        select(remote)


def test_a_chassis_that_passes_for_the_database(
    ours: Authority, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = served(ours.directory / "h1")
    monkeypatch.setenv(tls.VARIABLE, str(ours.directory / "operator"))
    with pytest.raises(UnreachableError, match="its certificate is of 'h1', not of 'controller', 'database'"):
        select(remote)


def test_a_client_without_a_certificate(ours: Authority, served: Served) -> None:
    """Not one of ours, which always shows one: the server itself refuses."""
    remote = served(ours.directory / "controller")
    argv = [
        "openssl",
        "s_client",
        "-connect",
        remote.removeprefix("ssl:"),
        "-CAfile",
        ours.directory / "cacert.pem",
        "-ign_eof",
    ]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=20)
    assert re.search("alert (certificate required|handshake failure)", done.stdout + done.stderr)


def test_no_tls_where_it_is_wanted_and_the_reverse(
    ours: Authority, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tls.VARIABLE, str(ours.directory / "operator"))
    plain = served(ours.directory / "controller", "ptcp").replace("tcp:", "ssl:")
    with pytest.raises(UnreachableError, match=r"it may not speak TLS|does not speak TLS|no answer"):
        connect(plain, timeout=1)
    secret = served(ours.directory / "controller").replace("ssl:", "tcp:")
    with pytest.raises(UnreachableError, match=f"{re.escape(secret)}: "):
        select(secret)


def test_tls_1_1_is_refused(ours: Authority, served: Served) -> None:
    remote = served(ours.directory / "controller")
    home = ours.directory / "operator"
    argv = ["openssl", "s_client", "-connect", remote.removeprefix("ssl:"), "-tls1_1", "-cipher", "ALL:@SECLEVEL=0",
            "-cert", home / "cert.pem", "-key", home / "key.pem"]  # fmt: skip
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=20)
    assert re.search(
        "alert (protocol version|internal error)|unsupported protocol|no protocols available", done.stdout + done.stderr
    )


def test_what_is_missing_or_wrong_is_named(ours: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote, home = "ssl:127.0.0.1:1", tmp_path / "home"
    monkeypatch.delenv(tls.VARIABLE, raising=False)
    with pytest.raises(DatabaseError, match=r"set OVERLAY_PKI to a directory with key\.pem.*overlayctl pki issue"):
        select(remote)
    monkeypatch.setenv(tls.VARIABLE, str(home))
    with pytest.raises(DatabaseError, match=rf"OVERLAY_PKI={home}: there is no {home}/key\.pem"):
        select(remote)
    home.mkdir()
    for name in ("key.pem", "cert.pem", "cacert.pem"):
        (home / name).write_bytes((ours.directory / "operator" / name).read_bytes())
    with pytest.raises(UnreachableError, match="nobody listens there"):
        select(remote)
    (home / "key.pem").write_bytes((ours.directory / "h1" / "key.pem").read_bytes())
    with pytest.raises(DatabaseError, match=rf"{home}/key\.pem is not the key of {home}/cert\.pem"):
        select(remote)
    (home / "key.pem").write_bytes((ours.directory / "operator" / "key.pem").read_bytes())
    (home / "cacert.pem").write_text("nothing")
    with pytest.raises(DatabaseError, match=rf"{home}/cacert\.pem holds no certificate in PEM form"):
        select(remote)
    (home / "cert.pem").write_text("nothing")
    with pytest.raises(DatabaseError, match=rf"{home}/cert\.pem and {home}/key\.pem are not"):
        select(remote)
    (home / "cert.pem").unlink()
    (home / "cert.pem").mkdir()
    with pytest.raises(DatabaseError, match=rf"cannot read {home}/cert\.pem: Is a directory"):
        select(remote)


def test_an_encrypted_key_is_not_asked_for_at_the_terminal(
    ours: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cert.pem", "cacert.pem"):
        (tmp_path / name).write_bytes((ours.directory / "operator" / name).read_bytes())
    argv = ["openssl", "ec", "-in", ours.directory / "operator" / "key.pem", "-aes256", "-passout", "pass:secret"]
    subprocess.run([*argv, "-out", tmp_path / "key.pem"], check=True, capture_output=True)
    monkeypatch.setenv(tls.VARIABLE, str(tmp_path))
    with pytest.raises(DatabaseError, match=r"key\.pem is encrypted"):
        select("ssl:127.0.0.1:1")


def test_overlayctl_over_tls(ours: Authority, theirs: Authority, served: Served) -> None:
    remote = served(ours.directory / "controller")
    argv = [sys.executable, "-m", "controller.cli.main", "--db", remote, "chassis-list"]

    def run(**env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=20)

    assert run(OVERLAY_PKI=str(ours.directory / "operator")).returncode == 0
    refused = run(OVERLAY_PKI=str(theirs.directory / "operator"))
    assert refused.returncode == 1
    assert f"overlayctl: no overlay database at {remote}: TLS: its certificate is of another CA" in refused.stderr
    assert "OVERLAY_PKI" in run(OVERLAY_PKI="").stderr


def test_nothing_older_than_tls_1_2(ours: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tls.VARIABLE, str(ours.directory / "operator"))
    for context in (tls.client_context(), tls.server_context()):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.verify_mode == ssl.CERT_REQUIRED


def test_tls_is_not_loaded_without_need() -> None:
    program = "import ovsdb.rpc, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert not {"ssl", "ovsdb.tls"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("pssl:6642", "pssl:6642:127.0.0.1"),
        ("ptcp:6642", "ptcp:6642:127.0.0.1"),
        ("pssl:6642:192.0.2.1", "pssl:6642:192.0.2.1"),
        ("pssl:6642:0.0.0.0", "pssl:6642:0.0.0.0"),
        ("pssl:6642:[2001:DB8::1]", "pssl:6642:[2001:db8::1]"),
    ],
)
def test_listen(written: str, canonical: str) -> None:
    assert listen(written) == canonical
    assert listen(canonical) == canonical


@pytest.mark.parametrize(
    "written",
    ["", "pssl", "pssl:", "pssl:0", "pssl:65536", "pssl:x", "ssl:6642", "punix:/x", "pssl:6642:", "pssl:6642:host",
     "pssl:6642:::1", "pssl:6642:[::1", "pssl:192.0.2.1:6642", "pssl:６６", "pssl:6642:[192.0.2.1]"],
)  # fmt: skip
def test_listen_refused(written: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(written))):
        listen(written)
