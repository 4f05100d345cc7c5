"""`overlayctl show`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import pytest

from controller.cli.main import main
from controller.cli.screen import WIDTH
from ovsdb.rpc import Connection
from ovsdb.trust import ADVICE
from tests.cli.words import REFUSED, call, insert, update
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb


@pytest.fixture
def plugged(session: None, run: Callable[..., str], database: Connection) -> None:
    run("port-add web3 --net red --mac 02:00:00:00:00:03 --ip 10.0.0.3,10.0.0.13")
    update(database, "Overlay_Global", [], cur_cfg=7, heartbeat=int(time.time()))
    update(database, "Chassis", [["name", "==", "h1"]], state="ready", flows=34)
    update(database, "Chassis", [["name", "==", "h2"]], state="unreachable", error=REFUSED)
    for chassis, interface, row in (
        ("h1", "vm1", {"iface_id": "web1", "network": "red", "port": "web1", "up": True}),
        ("h2", "vm2", {"iface_id": "web2", "network": "red", "port": "web2", "up": True}),
        ("h1", "vm7", {"iface_id": "web1", "error": "iface-id 'web1' is also on h1 at vm1"}),
        ("h1", "vm9", {"vni": "100", "network": "red", "up": True}),
        ("h1", "vm8", {"iface_id": "db1", "error": "iface-id 'db1' is no declared port"}),
    ):
        insert(database, "Binding", chassis=chassis, interface=interface, ofport=3, **row)
    insert(database, "Neighbor", network="red", ip="10.0.0.9", mac="02:00:00:00:00:99", chassis="h1", interface="vm9")


SCREEN = """\
Chassis
  NAME  VTEP       ENCAPS     DATAPATH  OVSDB               FLOWS  STATE
  h1    192.0.2.1  vxlan,gre  auto      tcp:192.0.2.1:6640  34     ready
  h2    192.0.2.2  vxlan,gre  auto      tcp:192.0.2.2:6640  0      unreachable

Networks
  blue  tenant umbra, VNI 200, gre
    no ports yet; overlayctl port-add NAME --net blue --mac MAC --ip IP

  red  tenant acme, VNI 100, vxlan
    PORT          MAC                IP         WHERE   STATUS
    web1          02:00:00:00:00:01  10.0.0.1   h1/vm1  up
                                                h1/vm7  problem
    web2          02:00:00:00:00:02  10.0.0.2   h2/vm2  up (last known)
    web3          02:00:00:00:00:03  10.0.0.3   -       not plugged in
                                     10.0.0.13
    (undeclared)  (learned)                     h1/vm9  up
    LEARNED IP  MAC                WHERE
    10.0.0.9    02:00:00:00:00:99  h1/vm9

Interfaces in no network
  INTERFACE  SAYS          STATUS
  h1/vm8     iface-id=db1  problem

Problems
  chassis h2: tcp:192.0.2.2:6640: refused
    on the host: ovs-vsctl set-manager ptcp:6640; if the address is wrong: overlayctl chassis-set h2
      --ovsdb tcp:IP:PORT
  h1/vm7: iface-id 'web1' is also on h1 at vm1
  h1/vm8: iface-id 'db1' is no declared port
"""


@pytest.mark.usefixtures("plugged")
def test_show_is_one_screen(run: Callable[..., str]) -> None:
    assert run("show") == SCREEN


@pytest.mark.usefixtures("plugged")
def test_every_place_of_a_port(run: Callable[..., str]) -> None:
    """Those where it is bound, and one that claims it as well."""
    places = json.loads(run("--format json port-show web1"))["places"]
    assert [(place["chassis"], place["interface"], place["up"]) for place in places] == [
        ("h1", "vm1", True), ("h1", "vm7", False),
    ]  # fmt: skip


@pytest.mark.usefixtures("plugged")
def test_show_as_json(run: Callable[..., str], served: str) -> None:
    seen = json.loads(run("--format json show"))
    assert (seen["database"], seen["configured"], seen["installed"]) == (served, 7, 7)
    red = seen["networks"][1]
    assert [(port["name"], port["status"]) for port in red["ports"]] == [
        ("web1", "problem"),
        ("web2", "up"),
        ("web3", "not plugged in"),
    ]
    assert red["ports"][1]["places"] == [
        {
            "chassis": "h2",
            "interface": "vm2",
            "tag": 0,
            "ofport": 3,
            "up": True,
            "error": "",
            "stale": True,
            "iface_id": "web2",
            "vni": None,
            "attached_mac": None,
            "overlay_ip": None,
            "trunk": None,
        }
    ]
    assert [place["interface"] for place in red["undeclared"]] == ["vm9"]
    assert red["neighbors"] == [
        {"ip": "10.0.0.9", "mac": "02:00:00:00:00:99", "chassis": "h1", "interface": "vm9", "seen": 0}
    ]
    assert [place["interface"] for place in seen["unresolved"]] == ["vm8"]
    assert [problem["where"] for problem in seen["problems"]] == ["chassis h2", "h1/vm7", "h1/vm8"]


def test_show_of_nothing_says_how_to_begin(run: Callable[..., str]) -> None:
    assert "overlayctl chassis-add NAME" in run("show")
    assert json.loads(run("show --format json"))["networks"] == []


def test_show_fits_whatever_the_names(run: Callable[..., str], database: Connection) -> None:
    chassis, port = "8d1c0b5e-" * 6 + "8d1c", "p" * 63
    run(f"chassis-add {chassis} tcp:[2001:db8:1111:2222:3333:4444:5555:6666]:6640 --vtep 192.0.2.100")
    run("net-add red --tenant acme --vni 100")
    run(f"port-add {port} --net red --mac 02:00:00:00:00:01 --ip 10.100.100.100")
    insert(database, "Binding", chassis=chassis, interface="tap-interface-0", port=port, error="word " * 60)
    lines = run("show").splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert any("…" in line and line.endswith("problem") for line in lines)


@pytest.mark.usefixtures("plugged")
def test_colours_on_a_terminal_only(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in run("show")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32mready\x1b[0m" in run("show")
    assert "\x1b" not in run("show --no-color")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("show")


def test_the_alarm_comes_first_and_subnets_say_how_full_they_are(
    run: Callable[..., str], database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("net-add red --tenant acme --vni 100 --subnet 10.0.0.0/30,2001:db8::/64 --gateway 2001:db8::1 --mtu 1400")
    run("port-add web1 --net red --mac 02:00:00:00:00:01 --ip auto -- port-set web1 --disable")
    run("chassis-add h1 tcp:192.0.2.1 --vtep 192.0.2.1,2001:db8::1=gre")
    insert(database, "Pending", name="h9", address="192.0.2.9:5000", ovs_version="3.1.0")
    update(
        database,
        "Overlay_Global",
        [],
        heartbeat=int(time.time()),
        alarm="the database has lost 20 of 30 ports",
        cur_cfg=3,
    )
    assert (
        run("show")
        == """\
ALARM: the database has lost 20 of 30 ports

Chassis
  NAME  VTEP         ENCAPS     DATAPATH  OVSDB               FLOWS  STATE
  h1    192.0.2.1    vxlan,gre  auto      tcp:192.0.2.1:6640  0      new
        2001:db8::1  gre

Networks
  red  tenant acme, VNI 100, vxlan, MTU 1400
    10.0.0.0/30: 1 used, 1 free
    2001:db8::/64: 1 used, 1.8e19 free, gateway 2001:db8::1
    PORT  MAC                IP           WHERE  STATUS
    web1  02:00:00:00:00:01  10.0.0.1     -      disabled
                             2001:db8::2

Chassis that ask to join
  h9  from 192.0.2.9:5000, Open vSwitch 3.1.0
    overlayctl chassis-accept h9
"""
    )
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run("show").startswith("\x1b[31mALARM")


def test_a_network_that_contradicts_itself_is_a_problem(
    run: Callable[..., str], database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    run("net-add red --tenant acme --vni 100")
    update(database, "Network", [], subnets=["set", ["10.0.0.9/24"]])
    shown = run("show")
    assert "network red: subnet '10.0.0.9/24' has bits of a host; write 10.0.0.0/24" in shown
    assert call("check") == 1
    assert "network red: subnet '10.0.0.9/24' has bits of a host" in capsys.readouterr().out


def test_of_many_those_that_are_not_well_are_shown(run: Callable[..., str], database: Connection) -> None:
    """One screen, whatever there is; the rest is counted, and `--all` has it."""
    run("net-add red --tenant acme --vni 1000")
    run(" -- ".join(f"net-add n{number:02} --tenant acme --vni {number + 1}" for number in range(20)))
    run(" -- ".join(f"port-add p{number:02} --net red" for number in range(60)))
    run(" -- ".join(f"chassis-add h{n:02} tcp:192.0.2.{n} --vtep 192.0.2.{n}" for n in range(1, 41)))
    for number in range(60):
        row = {"iface_id": f"p{number:02}", "network": "red", "port": f"p{number:02}", "up": number != 47}
        insert(database, "Binding", chassis="h01", interface=f"vm{number}", ofport=number + 1, **row)
    update(database, "Chassis", [["name", "!=", "h39"]], state="ready")
    shown = run("show")
    assert len(shown.splitlines()) < 75
    assert "h39 " in shown
    assert "p47 " in shown
    assert "  and 24 more; overlayctl chassis-list, or overlayctl show --all" in shown
    assert "    and 44 more; overlayctl port-list --net red, or overlayctl show --all" in shown
    assert "  and 13 more; overlayctl net-list, or overlayctl show --all" in shown
    everything = run("show --all")
    assert all(f"p{number:02} " in everything for number in range(60))
    assert " more; " not in everything


def test_a_controller_that_is_gone_is_missed(plugged: None, run: Callable[..., str], database: Connection) -> None:
    assert "no controller" not in run("show")
    update(database, "Overlay_Global", [], heartbeat=int(time.time()) - 300)
    shown = run("show")
    assert "controller: no controller has been at work for 5 minutes (by this host's clock)" in shown
    assert "start one: ryu-manager overlay_app" in shown
    update(database, "Overlay_Global", [], heartbeat=0)
    assert "controller: no controller has been at work yet" in run("show")


def test_a_connection_where_nobody_listens(run: Callable[..., str]) -> None:
    """The server of these tests was started without the remote that has it listen where the database says."""
    run("connection-add ptcp:6645")
    shown = run("show")
    assert "connection ptcp:6645:127.0.0.1: the database's server does not listen there" in shown
    assert "db:Overlay,Overlay_Global,connections" in shown


EVIL = "up\x1b[2J\x9b1m\nforged \u202e\u2028\x7f"
SHOWN = "up\\x1b[2J\\x9b1m\\nforged \\u202e\\u2028\\x7f"
EVERY_LIST = (
    "show",
    "show --all",
    "binding-list",
    "pending-list",
    "neighbor-list",
    "chassis-list",
    "tenant-list",
    "chassis-show h1",
    "controller-list",
    "tenant-show acme",
    "check",
    "list Pending",
    "find Binding",
    "get Chassis h1 error",
    "--dry-run set Tenant acme description=",
    "--dry-run tenant-del acme --cascade",
    "db-accept",
)


@pytest.mark.usefixtures("session")
def test_what_hosts_say_moves_no_cursor_and_forges_no_line(
    run: Callable[..., str], database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    insert(database, "Binding", chassis="h1", interface=EVIL, network="red", iface_id=EVIL, error=EVIL)
    insert(database, "Pending", name=EVIL, address=EVIL, ovs_version=EVIL)
    insert(database, "Neighbor", network="red", ip=EVIL, mac=EVIL, chassis="h1", interface=EVIL)
    update(database, "Chassis", [], error=EVIL, state="error")
    update(database, "Tenant", [], description=EVIL)
    update(database, "Overlay_Global", [], alarm=f"{EVIL}; {ADVICE}")
    for line in EVERY_LIST:
        call(line)
        printed = capsys.readouterr()
        assert all(letter.isprintable() or letter == "\n" for letter in printed.out + printed.err), line
        assert not any(each.startswith("forged") for each in printed.out.splitlines()), line
    assert "nothing is changed" not in run("db-accept")
    assert SHOWN in run("pending-list")
    assert json.loads(run("pending-list --format json"))[0]["name"] == EVIL
    assert EVIL in run("tenant-list --format csv --columns description")


@pytest.mark.parametrize("letter", ["\x1b", "\n", "\x7f", "\x9b", "\u202e"])
def test_a_description_is_one_line_of_text(
    database: Connection, letter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"a{letter}b"
    for line in (
        ["tenant-add", "acme", "--description", text],
        ["create", "Tenant", "name=acme", f"description={text}"],
    ):
        assert main(line) == 1
        assert "contains the control character" in capsys.readouterr().err
    assert not database.select("Tenant")
