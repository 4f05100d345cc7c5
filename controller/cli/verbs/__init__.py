"""All verbs of `overlayctl`, in the groups and the order in which help shows them. A new one is a `Verb` in a group."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs import chassis, database, file, generic, networks, pki, program
from controller.cli.verbs.verb import Verb

GROUPS: Final[dict[str, tuple[Verb, ...]]] = {
    "look": program.LOOK,
    "tenants": networks.TENANTS,
    "networks": networks.NETWORKS,
    "ports": networks.PORTS,
    "chassis": chassis.CHASSIS,
    "file": file.FILE,
    "database": (*chassis.CONNECTIONS, *database.DATABASES),
    "certificates": pki.PKI,
    "any table": generic.GENERIC,
    "program": program.PROGRAM,
}
VERBS: Final[dict[str, Verb]] = {verb.name: verb for group in GROUPS.values() for verb in group}
