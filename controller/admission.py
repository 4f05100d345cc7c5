"""Which switch may have an OpenFlow connection. Pure.

A datapath id is no secret and proves nothing: with TLS the certificate must be the chassis' own, without it the
connection must come from an address that the chassis has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from ovsdb.remotes import Ssl, Unix, remote
from ovsdb.snapshot import ChassisRow
from ovsdb.wanted import datapath_id

OPENFLOW_FROM = "openflow-from"
"""The external_ids entry of a Chassis row that lists further addresses its switch may connect from."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection: where it is, where it connected to, and the name in its certificate.

    `certified` is None where the connection is one without TLS; `tls` whether we offer any with it.
    """

    address: str
    local: str
    certified: str | None = None
    tls: bool = False


def plain_address(written: str) -> str:
    """An IP address in one spelling, IPv4 as such even where an IPv6 socket has taken it; others as they are."""
    try:
        address = ip_address(written.partition("%")[0])
    except ValueError:
        return written
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def admit(datapath: int, peer: Peer, rows: Mapping[str, ChassisRow], dialled: Mapping[str, str]) -> tuple[str, str]:
    """The chassis that has this datapath id, '' for none, and why the connection is refused, '' when it is not.

    `dialled` has the address that a chassis' own OVSDB connection comes from, where it made one.
    """
    name = next((name for name in rows if int(datapath_id(name), 16) == datapath), "")
    if not name:
        return "", f"datapath {datapath:016x} is no chassis of ours"
    if peer.certified is not None:
        if peer.certified == name:
            return name, ""
        return name, f"its certificate is of {peer.certified!r}, and its datapath id is that of chassis {name!r}"
    if peer.tls and rows[name].remote.startswith("ssl:"):
        return name, f"chassis {name!r} has a certificate, and this connection is without TLS"
    known = addresses(rows[name], dialled.get(name))
    address = plain_address(peer.address)
    here = rows[name].remote.startswith("unix:") and address == plain_address(peer.local)
    if address in known or here:
        return name, ""
    return name, (
        f"{address} is no address of chassis {name!r}, which has {', '.join(sorted(known))}; "
        f"if it connects from there: overlayctl chassis-set {name} --openflow-from {address}"
    )


def addresses(row: ChassisRow, dialled: str | None = None) -> set[str]:
    """Where a chassis' switch may connect from: its OVSDB server, its VTEPs, and what the operator has added."""
    details = json.loads(row.details or "{}")
    found = {vtep.ip for vtep in row.chassis.vteps}
    added = details.get("external_ids", {}).get(OPENFLOW_FROM, "")
    found.update(part.strip() for part in added.split(",") if part.strip())
    if dialled:
        found.add(dialled)
    if not row.dials_in:
        place = remote(row.remote)
        found |= {"127.0.0.1", "::1"} if isinstance(place, Unix) else {place.host}
    return {plain_address(address) for address in found}


def wants_tls(row: ChassisRow) -> bool:
    """Whether a chassis is reached with TLS, so that its OpenFlow has it too."""
    return not row.dials_in and isinstance(remote(row.remote), Ssl)
