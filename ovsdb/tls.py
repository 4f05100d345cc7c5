"""What TLS needs, everywhere: the files that `OVERLAY_PKI` names, contexts made of them, and failures in words.

Both ends always show a certificate, and both are checked; TLS 1.2 or later. Names of hosts mean nothing
(everything is reached by address): the common name says who it is. Nothing here connects.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "OVERLAY_PKI"
"""The environment variable that names the directory of the three files."""
KEY: Final = "key.pem"
CERT: Final = "cert.pem"
CACERT: Final = "cacert.pem"
_MADE: Final = "'overlayctl pki issue' makes such a directory"


class TlsError(Exception):
    """TLS is asked for and can't be had; the text names the file, or what is missing, and says what to do."""


@dataclass(frozen=True, slots=True)
class Files:
    """A private key, its certificate, and the CA's that others are checked with."""

    key: Path
    cert: Path
    cacert: Path


def files() -> Files | None:
    """The files of `OVERLAY_PKI`, None when that is not set. Raises TlsError when one can't be read."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    directory = Path(named).absolute()
    found = Files(directory / KEY, directory / CERT, directory / CACERT)
    for path in (found.key, found.cert, found.cacert):
        try:
            path.open("rb").close()
        except FileNotFoundError:
            raise TlsError(f"{VARIABLE}={named}: there is no {path}; {_MADE}") from None
        except OSError as failure:
            raise TlsError(
                f"{VARIABLE}={named}: cannot read {path}: {failure.strerror}; run as the user it belongs to"
            ) from None
    return found


def needed() -> Files:
    """The files of `OVERLAY_PKI`; TlsError when it is not set as well."""
    found = files()
    if found is None:
        raise TlsError(
            f"ssl needs a key and certificates: set {VARIABLE} to a directory with {KEY}, {CERT} and {CACERT}; {_MADE}"
        )
    return found


def client_context() -> ssl.SSLContext:
    """For those who connect: shows our certificate, accepts a server's of our CA. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _load(context, needed())


def server_context() -> ssl.SSLContext:
    """For those who listen: shows our certificate, wants a client's of our CA. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    return _load(context, needed())


def _load(context: ssl.SSLContext, found: Files) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    # A peer that renegotiates would have a writer wait for what a reader waits for.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION

    def ask_nobody() -> str:
        raise TlsError(f"{found.key} is encrypted; a key that a program reads by itself must not be")

    try:
        context.load_cert_chain(found.cert, found.key, ask_nobody)
    except ssl.SSLError as failure:
        if "KEY_VALUES_MISMATCH" in str(failure):
            raise TlsError(f"{found.key} is not the key of {found.cert}; {_MADE}") from None
        raise TlsError(
            f"{found.cert} and {found.key} are not a certificate and its key in PEM form ({said(failure)}); {_MADE}"
        ) from None
    try:
        context.load_verify_locations(found.cacert)
    except ssl.SSLError as failure:
        raise TlsError(f"{found.cacert} holds no certificate in PEM form ({said(failure)}); {_MADE}") from None
    return context


def common_name(certificate: Any) -> str:
    """The common name in what `SSLSocket.getpeercert()` returned, '' where there is none."""
    for attributes in (certificate or {}).get("subject", ()):
        for key, value in attributes:
            if key == "commonName":
                return str(value)
    return ""


def serves_overlay(name: str) -> bool:
    """Whether a server whose certificate has this common name may serve the overlay database.

    A chassis has a certificate of the same CA, and must not pass for the database.
    """
    return name in ("controller", "database") or name.startswith("database-")


class WrongNameError(OSError):
    """The peer's certificate is good, and somebody else's."""


Names = Callable[[str], bool]
"""Which common names a peer may have."""


def wrong_name(name: str, wanted: str) -> str:
    """What is said when the peer is somebody else."""
    return f"TLS: its certificate is of {name!r}, not of {wanted}"


OVERLAY_NAMES: Final = "'controller', 'database' or 'database-...'"


def check_overlay_server(certificate: Any) -> None:
    """WrongNameError when this is no server of the overlay database."""
    name = common_name(certificate)
    if not serves_overlay(name):
        raise WrongNameError(wrong_name(name, OVERLAY_NAMES))


# By OpenSSL's words for it (its error's reason): what the other end did, as seen from here.
_REASONS: Final = {
    "WRONG_VERSION_NUMBER": "the other end does not speak TLS",
    "HTTP_REQUEST": "the other end does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS 1.2 or later",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no TLS 1.2 or later",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate, and got none",
    "TLSV1_ALERT_UNKNOWN_CA": "our certificate is of another CA than it knows",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired, it says",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it does not accept our certificate",
    "TLSV1_ALERT_DECRYPT_ERROR": "our certificate is of another CA than it knows",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refused the handshake; it may want a certificate",
}
_VERIFY: Final = {
    9: "its certificate is not valid yet (are the clocks right?)",
    10: "its certificate has expired",
    18: "its certificate is signed by itself, not by our CA",
    26: "its certificate is not for this use",
}
"""X509_V_ERR_... of OpenSSL, X509_verify_cert_error_string(3)."""


def said(failure: BaseException) -> str:
    """A failure of TLS in words; never anything of a key or a certificate but its name."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        other = "its certificate is of another CA than ours"
        return _VERIFY.get(failure.verify_code, other)
    if isinstance(failure, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "it closed the connection; it may not speak TLS"
    if isinstance(failure, ssl.SSLError):
        reason = getattr(failure, "reason", None) or ""
        return _REASONS.get(reason) or reason.replace("_", " ").lower() or "the handshake failed"
    return str(failure)
