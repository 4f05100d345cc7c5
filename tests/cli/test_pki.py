"""`overlayctl pki`: certificates that others' TLS accepts, keys that nobody else reads, nothing overwritten."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def pki(*argv: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller.cli.main", "pki", *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


def done(*argv: object) -> str:
    ran = pki(*argv)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def refusal(*argv: object) -> str:
    ran = pki(*argv)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert ran.stdout == ""
    return ran.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki") / "made"
    done("init", directory)
    done("issue", directory, "controller", "h1")
    return directory


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_openssl_accepts_them_by_the_strictest_reading(made: Path) -> None:
    for use in ("sslserver", "sslclient"):
        argv = ["openssl", "verify", "-x509_strict", "-purpose", use, "-CAfile", made / "cacert.pem"]
        subprocess.run([*argv, made / "h1" / "cert.pem"], check=True, capture_output=True)
    argv = ["openssl", "x509", "-in", made / "h1" / "cert.pem", "-noout", "-subject", "-nameopt", "RFC2253"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == "subject=CN=h1"


def test_keys_are_for_their_owner_alone(made: Path) -> None:
    assert mode(made) == 0o700
    assert mode(made / "cakey.pem") == 0o600
    assert mode(made / "h1") == 0o700
    assert mode(made / "h1" / "key.pem") == 0o600
    assert sorted(path.name for path in (made / "h1").iterdir()) == ["cacert.pem", "cert.pem", "key.pem"]


def test_it_says_what_to_do_on_the_chassis(made: Path) -> None:
    said = done("issue", made, "h7", "operator")
    pem = [f"/etc/openvswitch/pki/{name}.pem" for name in ("key", "cert", "cacert")]
    assert f"ovs-vsctl set-ssl {' '.join(pem)}" in said
    assert "ovs-vsctl set-manager pssl:6640" in said
    assert f"OVERLAY_PKI={made}/operator" in said


def test_nothing_is_overwritten_unasked(made: Path) -> None:
    before = (made / "h1" / "cert.pem").read_bytes()
    assert "h1 is there already; --renew" in refusal("issue", made, "h3", "h1")
    assert not (made / "h3").exists()
    assert (made / "h1" / "cert.pem").read_bytes() == before
    assert "cakey.pem is there already" in refusal("init", made)
    done("issue", made, "h1", "--renew")
    assert (made / "h1" / "cert.pem").read_bytes() != before


def test_what_can_not_be(made: Path, tmp_path: Path) -> None:
    assert "is no authority" in refusal("issue", tmp_path, "h1")
    assert "give the directory that overlayctl pki init has made" in refusal("show", tmp_path / "typo")
    assert f"h1 is no authority: {made}/h1/cakey.pem is missing; {made} is one: give that" in refusal(
        "show", made / "h1"
    )
    assert "certificate '../x' is no name" in refusal("issue", made, "../x")
    assert "is the name of a file of the authority" in refusal("issue", made, "cacert.pem")
    assert "expires in 36" in refusal("issue", made, "h9", "--days", "3700")
    assert "--days 0 is not in 1..36500" in refusal("issue", made, "h9", "--days", "0")
    (tmp_path / "file").write_text("")
    assert "cannot make the directory" in refusal("init", tmp_path / "file" / "x")
    assert pki("issue", made).returncode == 2


def test_show_says_when_they_expire(made: Path) -> None:
    done("issue", made, "soon", "--days", "5")
    rows = {row["name"]: row for row in json.loads(done("show", made, "--format", "json"))}
    assert rows["controller"]["state"] == "valid"
    assert rows["(authority)"]["days"] >= 3648
    assert (rows["soon"]["state"], rows["soon"]["days"]) == ("expires soon", 4)
    assert "soon" in done("show", made)


def test_no_key_is_ever_printed(made: Path) -> None:
    said = done("issue", made, "h8") + done("show", made)
    secret = (made / "h8" / "key.pem").read_text().splitlines()
    assert not [line for line in secret if line in said]
