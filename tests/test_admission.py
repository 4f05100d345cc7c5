"""Which switch is let in, and what the others are told."""

from __future__ import annotations

import json

import pytest

from controller.admission import Peer, addresses, admit
from flows.model import Chassis, Vtep
from ovsdb.snapshot import ChassisRow
from ovsdb.wanted import Listens, controller_target, datapath_id


def row(name: str, remote: str, vteps: tuple[str, ...] = ("192.0.2.1",), added: str = "") -> ChassisRow:
    details = {"vteps": [{"ip": ip, "encaps": []} for ip in vteps]}
    if added:
        details["external_ids"] = {"openflow-from": added}  # type: ignore[assignment]
    return ChassisRow(Chassis(name, tuple(map(Vtep, vteps))), remote, details=json.dumps(details))


ROWS = {
    "h1": row("h1", "tcp:198.51.100.1:6640"),
    "h2": row("h2", "ssl:[2001:db8::2]:6640", ("192.0.2.2", "2001:db8:1::2")),
    "h3": row("h3", "unix:/run/h3.sock", ("192.0.2.3",)),
    "h4": row("h4", "dial-in:h4", ("192.0.2.4",)),
    "h5": row("h5", "tcp:198.51.100.5:6640", ("192.0.2.5",), "203.0.113.5, 2001:DB8::0:5"),
}


def decide(name: str, address: str, certified: str | None = None, tls: bool = False, local: str = "") -> str:
    peer = Peer(address, local or "198.51.100.254", certified, tls)
    found, reason = admit(int(datapath_id(name), 16), peer, ROWS, {"h4": "198.51.100.4"})
    assert found == (name if name in ROWS else "")
    return reason


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("h1", "198.51.100.1"),
        ("h1", "192.0.2.1"),
        ("h1", "::ffff:198.51.100.1"),
        ("h2", "2001:db8::2"),
        ("h2", "2001:db8:1::2"),
        ("h3", "127.0.0.1"),
        ("h3", "::1"),
        ("h4", "198.51.100.4"),
        ("h4", "192.0.2.4"),
        ("h5", "203.0.113.5"),
        ("h5", "2001:db8::5"),
    ],
)
def test_from_an_address_of_its_own(name: str, address: str) -> None:
    assert decide(name, address) == ""


def test_a_chassis_on_this_host_may_come_from_any_address_of_the_host() -> None:
    assert decide("h3", "198.51.100.254", local="198.51.100.254") == ""
    assert decide("h1", "198.51.100.254", local="198.51.100.254") != ""


@pytest.mark.parametrize("address", ["198.51.100.5", "203.0.113.9", "127.0.0.1", "2001:db8::2"])
def test_from_elsewhere(address: str) -> None:
    said = decide("h1", address)
    assert f"{address} is no address of chassis 'h1', which has 192.0.2.1, 198.51.100.1" in said
    assert f"overlayctl chassis-set h1 --openflow-from {address}" in said


def test_with_tls_the_name_counts_and_the_address_does_not() -> None:
    assert decide("h1", "203.0.113.9", "h1", tls=True) == ""
    assert "its certificate is of 'h2'" in decide("h1", "198.51.100.1", "h2", tls=True)
    assert "its certificate is of ''" in decide("h1", "198.51.100.1", "", tls=True)


def test_who_has_a_certificate_shows_it() -> None:
    """Where both are listened for, the port without TLS is not the way round the certificate."""
    assert "this connection is without TLS" in decide("h2", "2001:db8::2", tls=True)
    assert decide("h1", "198.51.100.1", tls=True) == ""


def test_nobody_we_know() -> None:
    assert decide("h9", "198.51.100.1").endswith("is no chassis of ours")
    assert decide("h9", "198.51.100.1", "h9", tls=True).endswith("is no chassis of ours")


def test_addresses_are_spelled_one_way() -> None:
    assert addresses(ROWS["h5"]) == {"198.51.100.5", "192.0.2.5", "203.0.113.5", "2001:db8::5"}


def test_the_target_a_chassis_is_given() -> None:
    assert controller_target("tcp:192.0.2.9:1", "198.51.100.254", Listens(None, 6653), True) == "tcp:192.0.2.9:1"
    assert controller_target(None, "198.51.100.254", Listens(), True) == "tcp:198.51.100.254:6653"
    assert controller_target(None, "2001:db8::1", Listens(None, 6653), False) == "ssl:[2001:db8::1]:6653"
    both = Listens(6653, 6654)
    assert controller_target(None, "198.51.100.254", both, True) == "ssl:198.51.100.254:6654"
    assert controller_target(None, None, both, False) == "tcp:127.0.0.1:6653"
