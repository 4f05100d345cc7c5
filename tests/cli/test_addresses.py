"""Addresses that are chosen, given by hand, given back; by one client and by many at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.cli import ports
from controller.cli.commit import Request, write
from controller.cli.database import Database
from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from ovsdb.rpc import Connection
from tests.cli.words import call, insert, listed, options, update
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb
WRITERS = 40


def ips(run: Callable[..., str]) -> dict[str, list[str]]:
    return {row["name"]: row["ips"] for row in listed(run, "port-list")}


def test_one_of_every_family(run: Callable[..., str]) -> None:
    run("net-add red --tenant acme --vni 100 --subnet 10.0.0.0/24,2001:db8::/64 --gateway 10.0.0.1,2001:db8::1")
    said = run("port-add web1 --net red --ip auto")
    mac = listed(run, "port-list")[0]["mac"]
    assert said == f"web1: MAC {mac}, IP 10.0.0.2, 2001:db8::2\n"
    assert mac.startswith("02:")
    run("port-add web2 --net red --ip auto6")
    run("port-add web3 --net red --ip 10.0.0.3 --ip auto4 -- port-add web4 --net red --ip auto4")
    run("port-add router --net red --ip 10.0.0.1")
    assert ips(run) == {
        "router": ["10.0.0.1"],
        "web1": ["10.0.0.2", "2001:db8::2"],
        "web2": ["2001:db8::3"],
        "web3": ["10.0.0.3", "10.0.0.4"],
        "web4": ["10.0.0.5"],
    }
    told = json.loads(run("--format json port-set web4 --ip auto"))
    assert told["ips"] == ["10.0.0.5", "2001:db8::4"]  # the one it has stays
    run("port-add web4 --net red --ip auto --may-exist")
    assert json.loads(run("net-show red --format json"))["use"] == [
        {"subnet": "10.0.0.0/24", "used": 4, "free": 249, "others": 1},
        {"subnet": "2001:db8::/64", "used": 3, "free": 2**64 - 5, "others": 0},
    ]


def test_ranges_and_excludes(run: Callable[..., str], refused: Callable[..., str]) -> None:
    run("net-add red --tenant t --vni 1 --subnet 10.0.0.0/24 --range 10.0.0.10-10.0.0.12 --exclude 10.0.0.11")
    run("port-add a --net red --ip auto -- port-add b --net red --ip auto")
    assert ips(run) == {"a": ["10.0.0.10"], "b": ["10.0.0.12"]}
    said = refused("port-add c --net red --ip auto")
    assert "network 'red': no IPv4 address is free in 10.0.0.0/24 (2 of 2 used), range 10.0.0.10-10.0.0.12" in said
    assert "overlayctl net-set red" in said
    run("port-del a -- port-add c --net red --ip auto")
    assert ips(run) == {"b": ["10.0.0.12"], "c": ["10.0.0.10"]}
    run("net-set red --range none --exclude none")
    run("port-add d --net red --ip auto")
    assert ips(run)["d"] == ["10.0.0.1"]


MANY = ",".join(f"10.0.{number >> 8}.{number & 255}" for number in range(1001))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("port-add x --net red --ip 10.0.1.9", "IP 10.0.1.9 is in no subnet of the network; it has 10.0.0.0/24"),
        ("port-add x --net red --ip auto6", "network 'red': there is no IPv6 subnet to take an address from"),
        ("port-add x --net bare --ip auto", "network 'bare' has no subnet to take an address from"),
        ("port-add x --net red --ip 10.0.0.255", "or its broadcast address"),
        ("port-add x --net red --ip 2001:db8::g", "IP '2001:db8::g' is not an IPv6 address"),
        ("net-set red --subnet 10.0.9.0/24", "would be in none of its subnets: 10.0.0.1 (web1)"),
        ("net-set red --subnet 10.0.0.1/24", "has bits of a host; write 10.0.0.0/24"),
        ("net-set red --gateway 10.0.9.1", "gateway 10.0.9.1 is in no subnet of the network; there are: 10.0.0.0/24"),
        ("net-set red --mtu 9", "MTU '9' is neither a number in 68..65535 nor auto"),
        ("net-set red --unknown-unicast x", "unknown unicast 'x' is unknown; there are: flood, drop"),
        (
            f"port-set web1 --allow {MANY}",
            "1001 allowed pairs are too many; a port has 1000 at the most: allow a",
        ),
        ("port-set web1 --security maybe", "security 'maybe' is unknown; there are: on, off"),
        ("port-set web1 --allow 10.0.0.1/8", "prefix '10.0.0.1/8' has bits of a host; write 10.0.0.0/8"),
        ("port-add x --net red --mac 02:00:00:00:00:aa", "MAC 02:00:00:00:00:aa is taken by port 'web1'"),
        ("port-add x --net red --extra-mac 02:00:00:00:00:01", "MAC 02:00:00:00:00:01 is taken by port 'web1'"),
    ],
)
def test_what_is_refused(run: Callable[..., str], refused: Callable[..., str], line: str, said: str) -> None:
    run("net-add red --tenant t --vni 1 --subnet 10.0.0.0/24")
    run("net-add bare --tenant t --vni 2")
    run("port-add web1 --net red --mac 02:00:00:00:00:01 --extra-mac 02:00:00:00:00:aa --ip 10.0.0.1")
    assert said in refused(line)


def test_what_a_port_may_do(run: Callable[..., str], database: Connection) -> None:
    run("net-add red --tenant t --vni 1 --mtu 1400 --unknown-unicast drop --description words")
    run("port-add a --net red --mac 02:00:00:00:00:01 --allow 10.9.0.0/16,02-00-00-00-00-FE=2001:DB8::/64 --disable")
    row = database.select("Port")[0]
    assert sorted(row["allowed_pairs"][1]) == ["02:00:00:00:00:fe 2001:db8::/64", "10.9.0.0/16"]
    assert (row["enabled"], row["security"]) == (False, ["set", []])
    run("port-set a --enable --security off --allow none")
    assert run("port-show a --columns enabled,security,allowed_pairs,status") == (
        "enabled        yes\nsecurity       no\nallowed_pairs  -\nstatus         not plugged in\n"
    )
    assert (
        run("net-list --columns name,mtu,unknown_unicast --format csv") == "name,mtu,unknown_unicast\nred,1400,drop\n"
    )


def test_an_address_goes_with_its_port_whoever_deletes_it(run: Callable[..., str], database: Connection) -> None:
    run("net-add red --tenant t --vni 1 --subnet 10.0.0.0/30 -- port-add a --net red --ip auto")
    database.transact([{"op": "delete", "table": "Port", "where": [["name", "==", "a"]]}])
    assert database.select("Address") == []
    run("port-add b --net red --ip auto")
    assert ips(run) == {"b": ["10.0.0.1"]}


def test_a_subnet_that_shrinks_meanwhile_is_noticed(run: Callable[..., str], database: Connection, served: str) -> None:
    """A client that read the old subnets can't commit an address of them."""
    run("net-add red --tenant t --vni 1 --subnet 10.0.0.0/24")
    tries: list[int] = []

    def verb(draft: Draft) -> None:
        ports.add(draft, options("port-add a --net red --ip auto"))
        tries.append(1)
        if len(tries) == 1:
            assert call("net-set red --subnet 10.1.0.0/24") == 0

    with Database(served) as mine:
        write(mine, verb, Request("test"))
    assert len(tries) == 2
    assert ips(run)["a"][0].startswith("10.1.0.")


def test_a_subnet_that_comes_meanwhile_is_noticed(run: Callable[..., str], database: Connection, served: str) -> None:
    """Also by who gave an address by hand, when there was none to be in."""
    run("net-add red --tenant t --vni 1")
    args = options("port-add a --net red --ip 10.9.9.9")
    tries: list[int] = []

    def verb(draft: Draft) -> None:
        ports.add(draft, args)
        tries.append(1)
        if len(tries) == 1:
            assert call("net-set red --subnet 10.1.0.0/24") == 0

    with Database(served) as mine, pytest.raises(CommandError, match=r"IP 10\.9\.9\.9 is in no subnet"):
        write(mine, verb, Request("test"))
    assert len(tries) == 1


def test_check_finds_what_is_wrong(
    run: Callable[..., str], database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    run("net-add red --tenant t --vni 1 --subnet 10.0.0.0/24 -- port-add a --net red --ip auto")
    network = database.select("Network")[0]["_uuid"]
    database.transact(
        [
            {"op": "insert", "table": "Address", "row": {"network": network, "ip": "10.9.9.9"}, "uuid-name": "far"},
            {
                "op": "mutate",
                "table": "Port",
                "where": [],
                "mutations": [["addresses", "insert", ["set", [["named-uuid", "far"]]]]],
            },
        ]
    )
    insert(database, "Binding", chassis="h1", interface="vm1", port="a", network="red", up=True)
    run("port-add b --net red --mac 02:00:00:00:00:09")
    assert call("check") == 1
    told = capsys.readouterr().out
    assert "red      10.0.0.0/24  1     253   0" in told
    assert "address 10.9.9.9 of port 'a': in no subnet of network 'red'" in told
    assert "port 'b' is not plugged in" in told
    assert "port 'a' is not plugged in" not in told


def test_many_at_once_get_one_each_until_none_is_left(
    run: Callable[..., str], served: str, database: Connection
) -> None:
    """Processes of the program itself: of 40 that ask for 29 addresses, 29 get one each, and 11 hear why not."""
    run("net-add red --tenant t --vni 1 --subnet 10.0.0.0/26 --gateway 10.0.0.1")
    run(" -- ".join(f"port-add old{number} --net red --ip auto" for number in range(32)))
    program = str(Path(sys.executable).with_name("overlayctl"))

    def add(number: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "port-add", f"p{number}", "--net", "red", "--ip", "auto"],
            env={**os.environ, "OVERLAY_DB": served},
            capture_output=True,
            text=True,
            check=False,
        )

    with ThreadPoolExecutor(WRITERS) as pool:
        done = list(pool.map(add, range(WRITERS)))
    got = [each.stdout.rpartition(" ")[2].strip() for each in done if each.returncode == 0]
    late = [each.stderr for each in done if each.returncode == 1]
    assert len(got) == len(set(got)) == 29
    assert len(late) == WRITERS - 29
    assert all("no IPv4 address is free in 10.0.0.0/26 (61 of 61 used)" in text for text in late)
    held = [ip for each in ips(run).values() for ip in each]
    assert sorted(held) == sorted({f"10.0.0.{number}" for number in range(2, 63)})
    assert set(got) <= set(held)
    assert database.select("Overlay_Global")[0]["nb_cfg"] == 2 + 29


def test_show_counts_addresses_outside_of_the_ranges(run: Callable[..., str]) -> None:
    run("net-add red --tenant t --vni 1 --subnet 10.1.0.0/24 --range 10.1.0.10-10.1.0.11")
    run("port-add a --net red --ip auto -- port-add b --net red --ip 10.1.0.99")
    assert "    10.1.0.0/24: 1 used, 1 free, and 1 outside the range\n" in run("show")


def test_check_tells_what_show_does_and_its_exit_code_is_for_scripts(
    run: Callable[..., str], database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    run("net-add red --tenant t --vni 1 --subnet 10.1.0.0/24")
    run(" -- ".join(f"port-add p{number:02} --net red" for number in range(23)))
    told = run("check")
    assert "nothing is wrong\n" in told
    assert "port 'p19' is not plugged in" in told
    assert told.endswith("\nand 3 more ports that are not plugged in; overlayctl show --all\n")
    insert(database, "Binding", chassis="h1", interface="vm1", error="no such thing")
    update(database, "Overlay_Global", [], alarm="the epoch is behind")
    assert call("check") == 1
    told = capsys.readouterr().out
    assert "\nALARM: the epoch is behind\nh1/vm1: no such thing\n" in told
    assert call("check --format json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (len(told["findings"]), len(told["unplugged"]), told["subnets"][0]["free"]) == (2, 23, 254)
