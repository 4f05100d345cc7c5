"""`overlayctl check mtu`: what each pair carries, which carries least, and whether each network's MTU fits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ovsdb.rpc import Connection
from tests.cli.words import call, insert, update
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb


@pytest.fixture
def three(run: Callable[..., str]) -> None:
    """Two chassis with jumbo frames and one without, which has GRE alone; one with IPv6."""
    run("chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1 --vtep-mtu 9000")
    run("chassis-add h2 tcp:192.0.2.2:6640 --vtep 192.0.2.2,2001:db8::2 --vtep-mtu 9000")
    run("chassis-add h3 tcp:192.0.2.3:6640 --vtep 192.0.2.3 --encap gre")
    run("net-add red --tenant acme --vni 100")


def plug(database: Connection, network: str, *chassis: str) -> None:
    for each in chassis:
        insert(database, "Binding", chassis=each, interface=f"vm-{network}", network=network, up=True)


def looked(capsys: pytest.CaptureFixture[str], line: str = "check mtu", code: int = 0) -> dict[str, Any]:
    assert call(f"{line} --format json") == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.usefixtures("three")
def test_each_pair_is_listed_the_worst_first(run: Callable[..., str]) -> None:
    assert run("check mtu") == (
        "CHASSIS  VTEPS                ENCAP  UNDERLAY  OVERHEAD  CARRIES  FITS  TOO_LARGE\n"
        "h1-h3    192.0.2.1-192.0.2.3  gre    1500      42        1458     red   -\n"
        "h2-h3    192.0.2.2-192.0.2.3  gre    1500      42        1458     red   -\n"
        "h1-h2    192.0.2.1-192.0.2.2  vxlan  9000      50        8950     red   -\n"
        "network red: MTU 1458 (auto); h1 and h3 carry least: 1458 (gre over IPv4, underlay 1500)\n"
        "of VTEP 192.0.2.3 no MTU is declared, and 1500 assumed; if that is wrong: "
        "overlayctl chassis-set CHASSIS --vtep-mtu BYTES\n"
        "nothing is wrong\n"
    )


@pytest.mark.usefixtures("three")
def test_a_declared_mtu_is_wrong_where_the_network_has_ports(
    run: Callable[..., str], database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    run("net-set red --mtu 8950")
    plug(database, "red", "h1", "h2")
    told = run("check mtu")
    assert "network red: that is too much between h1 and h3; it has no ports on both yet\n" in told
    assert "h1-h3    192.0.2.1-192.0.2.3  gre    1500      42        1458     -     red\n" in told
    assert told.endswith("nothing is wrong\n")
    plug(database, "red", "h3")
    found = looked(capsys, code=1)
    assert found["findings"] == [
        "network red: its MTU is declared as 8950, but h1 and h3 carry 1458 (gre over IPv4, underlay 1500); "
        "overlayctl net-set red --mtu 1458, or auto"
    ]
    assert [(row["chassis"], row["carries"], row["too_large"]) for row in found["pairs"]] == [
        (["h1", "h3"], 1458, ["red"]),
        (["h2", "h3"], 1458, ["red"]),
        (["h1", "h2"], 8950, []),
    ]
    assert found["networks"][0]["least"]["chassis"] == ["h1", "h3"]
    run("net-set red --mtu auto")
    assert looked(capsys)["networks"] == [
        {
            "name": "red",
            "mtu": 1458,
            "declared": False,
            "chassis": ["h1", "h2", "h3"],
            "least": found["networks"][0]["least"],
        }
    ]


@pytest.mark.usefixtures("three")
def test_one_network_alone(run: Callable[..., str], refused: Callable[..., str]) -> None:
    run("net-add blue --tenant acme --vni 200 --encap gre --mtu 1400")
    both, alone = run("check mtu"), run("check mtu --network blue")
    assert "192.0.2.1-192.0.2.2  gre    9000      42        8958     blue" in both
    assert "192.0.2.1-192.0.2.2  vxlan  9000      50        8950     red" in both
    assert "h1-h3    192.0.2.1-192.0.2.3  gre    1500      42        1458     blue red" in both
    assert "network blue: MTU 1400 (declared); h1 and h3 carry least: 1458" in alone
    assert "network red" not in alone
    assert "no network 'bleu'" in refused("check mtu --net bleu")
    assert "--net is for check mtu" in refused("check --net blue", 2)


def test_less_than_ipv6_needs(
    run: Callable[..., str], database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    run("chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1 --vtep-mtu 1300")
    run("chassis-add h2 tcp:192.0.2.2:6640 --vtep 192.0.2.2")
    run("net-add red --tenant acme --vni 100 --subnet 2001:db8::/64")
    run("net-add blue --tenant acme --vni 200 --subnet 10.0.0.0/24")
    plug(database, "red", "h1", "h2")
    plug(database, "blue", "h1", "h2")
    (finding,) = looked(capsys, code=1)["findings"]
    assert finding.startswith("network red: h1 and h2 carry 1250 (vxlan over IPv4, underlay 1300), but IPv6 needs 1280")


def test_ipv6_addresses_of_ports_count_and_a_declared_mtu(
    run: Callable[..., str], database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any subnet, or with one of IPv4."""
    run("chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1 --vtep-mtu 577")
    run("chassis-add h2 tcp:192.0.2.2:6640 --vtep 192.0.2.2 --vtep-mtu 1500")
    run("net-add red --tenant acme --vni 100")
    plug(database, "red", "h1", "h2")
    assert looked(capsys)["findings"] == []
    run("port-add web1 --net red --ip 2001:db8::1")
    (finding,) = looked(capsys, code=1)["findings"]
    assert finding.startswith("network red: h1 and h2 carry 527 (vxlan over IPv4, underlay 577), but IPv6 needs 1280")
    run("chassis-set h1 --vtep-mtu 1500")
    run("net-set red --mtu 1000")
    assert looked(capsys, code=1)["findings"] == [
        "network red: its MTU is declared as 1000, but IPv6 needs 1280 (RFC 8200); "
        "overlayctl net-set red --mtu 1280, or auto"
    ]


def test_two_chassis_of_a_network_that_share_no_way_are_wrong(
    run: Callable[..., str], database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    run("chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1")
    run("chassis-add h2 tcp:192.0.2.2:6640 --vtep 192.0.2.2,2001:db8::2")
    run("chassis-add h3 tcp:192.0.2.3:6640 --vtep 2001:db8::3")
    run("net-add red --tenant acme --vni 100")
    plug(database, "red", "h1", "h2")
    assert looked(capsys)["findings"] == [], "it has no port on h3"
    plug(database, "red", "h3")
    assert looked(capsys, code=1)["findings"] == [
        "network red: h1 and h3 share no encap and address family, so it is cut in two; "
        "overlayctl chassis-set h1 --vtep IP"
    ]


def test_nothing_to_look_at_and_chassis_without_a_tunnel(run: Callable[..., str]) -> None:
    assert run("check mtu") == "nothing is wrong\n"
    run("chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1 --encap gre")
    run("chassis-add h2 tcp:192.0.2.2:6640 --vtep 2001:db8::2")
    run("net-add red --tenant acme --vni 100")
    told = run("check mtu")
    assert "h1-h2    -      -      -         -         -        -     -\n" in told
    assert "network red: MTU not known, for no two chassis share a tunnel\n" in told


@pytest.mark.usefixtures("three")
def test_show_and_the_lists_tell_it(run: Callable[..., str], database: Connection) -> None:
    update(database, "Network", [], carries=["set", [1458]])
    assert "red  tenant acme, VNI 100, vxlan, MTU 1458 (gre over IPv4, underlay 1500)\n" in run("show")
    assert "red   acme    100  vxlan  0      -    1458\n" in run("net-list")
    told = run("net-show red")
    assert "carries           1458\n" in told
    assert "narrowest         h1 and h3: gre over IPv4, underlay 1500\n" in told
    network = json.loads(run("show --format json"))["networks"][0]
    assert network["narrowest"] == {
        "mtu": 1458,
        "chassis": ["h1", "h3"],
        "encap": "gre",
        "vteps": ["192.0.2.1", "192.0.2.3"],
        "underlay": 1500,
        "overhead": 42,
        "how": "gre over IPv4, underlay 1500",
    }


def test_of_very_many_pairs_those_that_carry_least_are_shown(run: Callable[..., str]) -> None:
    run(" -- ".join(f"chassis-add h{n:02} tcp:192.0.2.{n}:6640 --vtep 192.0.2.{n}" for n in range(1, 13)))
    run("chassis-set h12 --vtep-mtu 1400 -- net-add red --tenant acme --vni 100")
    told = run("check mtu").splitlines()
    assert told[1].startswith("h01-h12 ")
    assert told[41] == "and 26 more pairs, which carry no less; overlayctl check mtu --format csv"
    assert len(run("check mtu --format csv").splitlines()) == 1 + 66
