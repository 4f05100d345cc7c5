"""The verbs `pki init`, `issue` and `show`: a small certificate authority in a directory, for a lab or a small site.

    DIR/cakey.pem, cacert.pem                       the authority
    DIR/NAME/key.pem, cert.pem, cacert.pem          what the holder of one name needs, and nothing else

No database is spoken to. A certificate's common name is the name itself: that is what a chassis is told by
(its OVSDB server, its OpenFlow connection, and the rights of a role, ovsdb-server(7)).
"""

from __future__ import annotations

import os
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from controller.cli import written
from controller.cli.errors import CommandError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY_DAYS: Final = 3650
DAYS: Final = 730
SKEW: Final = timedelta(hours=1)
"""How far the clocks of two hosts may be apart."""
CA_KEY: Final = "cakey.pem"
CA_CERT: Final = "cacert.pem"
OURS: Final = ("controller", "operator", "database")
"""Names that are no chassis; of the last one there may be several, `database-1` and so on."""
COLUMNS: Final = ("name", "expires", "days", "state")


def run(args: Namespace) -> None:
    """`pki`: one of its actions."""
    if bool(args.names) != (args.action == "issue"):
        args.refuse("issue needs at least one NAME" if args.action == "issue" else f"{args.action} takes no NAME")
    if args.action != "issue" and args.renew:
        args.refuse("--renew goes with issue")
    {"init": init, "issue": issue, "show": show}[args.action](args)


def init(args: Namespace) -> None:
    """`pki init`."""
    directory = Path(args.directory)
    days = _days(args.days, AUTHORITY_DAYS)
    _make(directory)
    for name in (CA_KEY, CA_CERT):
        if (directory / name).exists():
            raise CommandError(f"{directory / name} is there already; an authority is never made twice in one place")
    key = new_key()
    now = datetime.now(UTC)
    title = f"ovs-overlay authority {now:%Y-%m-%d %H:%M:%S}"
    cert = certificate(title, key, None, now - SKEW, now + timedelta(days=days))
    _write(directory / CA_KEY, key_text(key), 0o600)
    _write(directory / CA_CERT, cert_text(cert), 0o644)
    print(f"made the authority {directory}; keep {directory / CA_KEY} secret, and off the other hosts")
    print(f"next: overlayctl pki issue {directory} controller operator CHASSIS...")


def issue(args: Namespace) -> None:
    """`pki issue`: all names or, where one is wrong, none."""
    directory = Path(args.directory)
    ca_key, ca_cert = authority(directory)
    days = _days(args.days, DAYS)
    names = [written.name(name, "certificate") for name in dict.fromkeys(args.names)]
    now = datetime.now(UTC)
    end = now + timedelta(days=days)
    if end > ca_cert.not_valid_after_utc:
        left = (ca_cert.not_valid_after_utc - now).days
        raise CommandError(f"the authority {directory} expires in {left} days; give --days {max(left, 0)} or fewer")
    for name in names:
        if name in (CA_KEY, CA_CERT):
            raise CommandError(f"{name!r} is the name of a file of the authority; take another")
        if (directory / name).exists() and not args.renew:
            raise CommandError(f"{directory / name} is there already; --renew replaces its key and certificate")
    for name in names:
        key = new_key()
        cert = certificate(name, key, (ca_key, ca_cert), now - SKEW, end)
        home = directory / name
        _make(home)
        _write(home / "key.pem", key_text(key), 0o600)
        _write(home / "cert.pem", cert_text(cert), 0o644)
        _write(home / "cacert.pem", cert_text(ca_cert), 0o644)
        print("\n".join(_next(name, home)))


def show(args: Namespace) -> None:
    """`pki show`."""
    from cryptography import x509

    from controller.cli.tables import aligned, as_json, cell

    directory = Path(args.directory)
    _, ca_cert = authority(directory)
    rows = [_described("(authority)", ca_cert)]
    for path in sorted(directory.glob("*/cert.pem")):
        try:
            rows.append(_described(path.parent.name, x509.load_pem_x509_certificate(path.read_bytes())))
        except (OSError, ValueError) as failure:
            raise CommandError(f"{path} can't be read: {failure}") from None
    if args.format == "json":
        print(as_json(rows))
        return
    heading = [column.upper() for column in COLUMNS]
    print("\n".join(aligned([heading, *([cell(row[column]) for column in COLUMNS] for row in rows)])))


def new_key() -> EllipticCurvePrivateKey:
    """A new private key (P-256)."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    name: str,
    key: EllipticCurvePrivateKey,
    issuer: tuple[EllipticCurvePrivateKey, x509.Certificate] | None,
    begin: datetime,
    end: datetime,
) -> x509.Certificate:
    """A certificate of this common name; without an issuer an authority's own (RFC 5280)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, above = issuer if issuer is not None else (key, None)
    uses = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.subject if above is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=above is None, path_length=0 if above is None else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=above is not None, key_cert_sign=above is None, crl_sign=above is None,
                          **uses),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )  # fmt: skip
    if above is not None:
        # A chassis is both: a server to whom its OVSDB is asked for, a client to the controller.
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return builder.sign(signer, hashes.SHA256())


def key_text(key: EllipticCurvePrivateKey) -> bytes:
    """A private key as a PEM file holds it, not encrypted: a daemon has to read it."""
    from cryptography.hazmat.primitives import serialization as form

    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def cert_text(cert: x509.Certificate) -> bytes:
    """A certificate as a PEM file holds it."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return cert.public_bytes(Encoding.PEM)


def authority(directory: Path) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    """The authority's key and certificate; CommandError when there is none, or it can't be read."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = directory / CA_KEY
    try:
        key = load_pem_private_key(path.read_bytes(), None)
        path = directory / CA_CERT
        cert = x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        raise CommandError(f"{directory} is no authority: {path} is missing; {_expected(directory)}") from None
    except OSError as failure:
        raise CommandError(f"cannot read {path}: {failure.strerror}") from None
    except (ValueError, TypeError):
        raise CommandError(f"{path} is not what overlayctl pki init wrote; put a backup in its place") from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise CommandError(f"{directory / CA_KEY} is no key of overlayctl pki init")
    return key, cert


def _expected(directory: Path) -> str:
    """Which directory was to be given. Not: make an authority here, for then there would be two."""
    above = directory.absolute().parent
    if (above / CA_KEY).exists():
        return f"{above} is one: give that"
    return "give the directory that overlayctl pki init has made"


def _described(name: str, cert: x509.Certificate) -> dict[str, Any]:
    now, end = datetime.now(UTC), cert.not_valid_after_utc
    left = (end - now).days
    state = "expired" if end <= now else "expires soon" if left < 30 else "valid"
    return {"name": name, "expires": f"{end:%Y-%m-%d}", "days": left, "state": state}


def _next(name: str, home: Path) -> list[str]:
    """What to do with a new certificate, in lines."""
    if name == OURS[0]:
        return [f"{home}: for the controller", f"  OVERLAY_PKI={home.absolute()} ryu-manager overlay_app"]
    if name == OURS[1]:
        return [f"{home}: for overlayctl", f"  OVERLAY_PKI={home.absolute()} overlayctl --db ssl:IP:6642 show"]
    if name == OURS[2] or name.startswith(f"{OURS[2]}-"):
        words = [f"--private-key={home.absolute()}/key.pem", f"--certificate={home.absolute()}/cert.pem"]
        return [f"{home}: for a server of the overlay database", *(f"  ovsdb-server ... {w}" for w in words),
                f"  ovsdb-server ... --ca-cert={home.absolute()}/cacert.pem"]  # fmt: skip
    there = "/etc/openvswitch/pki"
    return [
        f"{home}: for chassis {name}; copy it there as {there} (key.pem stays readable for root alone), and there:",
        f"  ovs-vsctl set-ssl {there}/key.pem {there}/cert.pem {there}/cacert.pem",
        "  ovs-vsctl set-manager pssl:6640",
        f"  then here: overlayctl chassis-add {name} ssl:IP:6640 --vtep IP",
    ]


def _days(days: int | None, otherwise: int) -> int:
    days = otherwise if days is None else days
    if not 1 <= days <= 36500:
        raise CommandError(f"--days {days} is not in 1..36500")
    return days


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as failure:
        raise CommandError(f"cannot make the directory {directory}: {failure.strerror}") from None


def _write(path: Path, text: bytes, mode: int) -> None:
    """Write a file that never is, not even for a moment, half written or readable by more than it should be."""
    part = path.with_name(f".{path.name}.new")
    try:
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(text)
        part.replace(path)
    except OSError as failure:
        raise CommandError(f"cannot write {path}: {failure.strerror}") from None
