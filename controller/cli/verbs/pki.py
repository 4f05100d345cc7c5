"""The verb of certificates."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs.verb import ALONE, Verb, arg

PKI: Final = (
    Verb(
        "pki",
        "make certificates for TLS: an authority (init), a key and a certificate per name (issue), a list (show)",
        "pki:run",
        (
            arg("action", metavar="ACTION", choices=("init", "issue", "show"), help="init, issue or show"),
            arg("directory", metavar="DIR", help="the authority's directory", complete="file"),
            arg(
                "names",
                metavar="NAME",
                nargs="*",
                help="whose certificate: a chassis, 'controller', 'operator' or 'database'",
                complete="Chassis",
            ),
            arg("--days", metavar="N", type=int, help="valid for so long (default: authority 3650, others 730)"),
            arg("--renew", action="store_true", help="replace key and certificate of a name that has them"),
        ),
        ("pki init /root/pki", "pki issue /root/pki controller operator h1 h2", "pki show /root/pki"),
        kind=ALONE,
    ),
)
