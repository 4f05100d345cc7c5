"""Bad input: the message says what, with which value, and taken by whom; nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.cli.main import main
from controller.cli.parser import parse
from ovsdb.rpc import Connection
from tests.cli.words import call, insert, options, update
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "port-add x --net red --mac 02:00:00:00:00:01",
            "MAC 02:00:00:00:00:01 is taken by port 'web1' in network 'red'",
        ),
        (
            "port-add x --net red --mac 02:00:00:00:00:09 --ip 10.0.0.9,10.0.0.1",
            "IP 10.0.0.1 is taken by port 'web1' in network 'red'",
        ),
        ("port-set web2 --ip 10.0.0.1", "IP 10.0.0.1 is taken by port 'web1' in network 'red'"),
        ("port-set web2 --mac 02:00:00:00:00:01", "MAC 02:00:00:00:00:01 is taken by port 'web1' in network 'red'"),
        ("port-add web1 --net blue --mac 02:00:00:00:00:09", "port 'web1' exists already, in network 'red'; change it"),
        ("net-add red --tenant t --vni 5", "network 'red' exists already; change it with net-set"),
        ("net-add new --tenant t --vni 100", "VNI 100 is taken by network 'red' of tenant 'acme'"),
        ("net-set blue --vni 100", "VNI 100 is taken by network 'red' of tenant 'acme'"),
        ("net-del red", "network 'red' still has ports: web1, web2; delete them first"),
        ("chassis-add h1 tcp:192.0.2.9 --vtep 192.0.2.9", "chassis 'h1' exists already; change it"),
        ("chassis-add h3 tcp:192.0.2.9 --vtep 192.0.2.1", "VTEP 192.0.2.1 is taken by chassis 'h1'"),
        ("chassis-add h3 tcp:192.0.2.1 --vtep 192.0.2.9", "tcp:192.0.2.1:6640 is that of chassis 'h1'"),
        ("chassis-set h2 --vtep 192.0.2.1", "VTEP 192.0.2.1 is taken by chassis 'h1'"),
        ("port-add x --net rde --mac 02:00:00:00:00:09", "there is no network 'rde'; did you mean 'red'?"),
        ("port-add x --net zz --mac 02:00:00:00:00:09", "there is no network 'zz'; known: blue, red"),
        ("port-list --net zz", "there is no network 'zz'; known: blue, red"),
        ("port-del wbe1", "there is no port 'wbe1'; did you mean 'web1'?"),
        ("port-set nothing --ip 10.0.0.1", "there is no port 'nothing'; known: web1, web2"),
        ("net-set grey --encap gre", "there is no network 'grey'"),
        ("net-del grey", "there is no network 'grey'"),
        ("chassis-del h9x", "there is no chassis 'h9x'; known: h1, h2"),
    ],
)
def test_taken_and_unknown(refused: Callable[..., str], line: str, said: str) -> None:
    assert said in refused(line)


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("net-add n --tenant t --vni 0", "VNI 0 is not in 1..16777215"),
        ("net-add n --tenant t --vni 16777216", "VNI 16777216 is not in 1..16777215"),
        ("net-add n --tenant t --vni=-1", "VNI -1 is not in 1..16777215"),
        ("net-add n --tenant t --vni 1_0", "VNI '1_0' is not a number"),
        ("net-add n --tenant t --vni x", "VNI 'x' is not a number"),
        ("net-add n --tenant t --vni 5 --encap geneve", "encap 'geneve' is unknown; there are: vxlan, gre"),
        ("net-add .n --tenant t --vni 5", "network '.n' is no name"),
        ("net-add n --tenant t/u --vni 5", "tenant 't/u' is no name"),
        ("net-add " + "n" * 64 + " --tenant t --vni 5", "is no name"),
        ("port-add h1/vm --net red --mac 02:00:00:00:00:09", "port 'h1/vm' is no name"),
        ("port-add x --net red --mac 02:00:00:00:00", "MAC '02:00:00:00:00' is not of the form"),
        ("port-add x --net red --mac 02:00:00", "MAC '02:00:00' is not of the form"),
        ("port-add x --net red --mac 02:00:00:00:00:0g", "MAC '02:00:00:00:00:0g' is not of the form"),
        ("port-add x --net red --mac 03:00:00:00:00:01", "MAC 03:00:00:00:00:01 is a group address"),
        ("port-add x --net red --mac ff:ff:ff:ff:ff:ff", "is a group address"),
        ("port-add x --net red --mac 00:00:00:00:00:00", "is no address of a port"),
        ("port-add x --net red --mac 02:00:00:00:00:09 --ip 10.0.0.256", "IP '10.0.0.256' is not an IPv4"),
        ("port-add x --net red --mac 02:00:00:00:00:09 --ip 10.0.0", "IP '10.0.0' is not an IPv4 address"),
        ("port-add x --net red --mac 02:00:00:00:00:09 --ip 224.0.0.1", "IP 224.0.0.1 is not a unicast"),
        ("port-add x --net red --mac 02:00:00:00:00:09 --ip 10.0.0.7,", "IP '' is not an IPv4 address"),
        ("chassis-add h3 tcp:host:6640 --vtep 192.0.2.3", "'host' is no IP address (names are not looked up)"),
        ("chassis-add h3 192.0.2.3 --vtep 192.0.2.3", "'192.0.2.3' is neither tcp:IP:PORT"),
        ("chassis-add h3 tcp:192.0.2.3 --vtep x", "IP 'x' is not an IPv4 address"),
        ("chassis-set h1 --vtep fe80::1", "VTEP fe80::1 is link-local, which leads nowhere without an interface"),
        (
            "chassis-set h1 --vtep ::ffff:192.0.2.3",
            "VTEP ::ffff:192.0.2.3 is an IPv4 address in IPv6 spelling",
        ),
        ("chassis-set h1 --vtep ::", "IP :: is not a unicast address"),
        ("chassis-set h1 --vtep ::1=gre", "IP ::1 is not a unicast address"),
        ("chassis-set h1 --vtep ff02::1", "IP ff02::1 is not a unicast address"),
        ("chassis-set h1 --vtep 127.0.0.1", "IP 127.0.0.1 is not a unicast address"),
        ("chassis-add h3 tcp:192.0.2.3 --vtep 0.0.0.0", "IP 0.0.0.0 is not a unicast address"),
        ("set Vtep 192.0.2.1 ip=fe80::1", "VTEP fe80::1 is link-local"),
        (
            "set Overlay_Global . options:neighbor_age=abc",
            "options:neighbor_age 'abc' is not a number of seconds in",
        ),
        ("set Overlay_Global . options:neighbor_age=-5", "options:neighbor_age '-5' is not a number of seconds"),
        ("set Overlay_Global . options:neighbor_age=4", "options:neighbor_age '4' is not a number of seconds"),
        (
            "set Overlay_Global . options:neighbor_agee=20",
            "options:neighbor_agee means nothing; there are: accept",
        ),
        ("set Overlay_Global . options={neighbor_agee=20}", "options:neighbor_agee means nothing"),
        ("add Overlay_Global . options neighbor_agee=20", "options:neighbor_agee means nothing"),
        ("chassis-add h3 tcp:192.0.2.3 --vtep 192.0.2.3 --datapath dpdk", "datapath 'dpdk' is unknown"),
        ("chassis-add h3 tcp:192.0.2.3 --vtep 192.0.2.3 --encap vxlan,x", "encap 'x' is unknown"),
        (
            "chassis-add h3 tcp:192.0.2.3 --vtep 192.0.2.3 --controller unix:/x",
            "'unix:/x' is not of the form tcp:IP:PORT",
        ),
        ("--db tcp:nowhere:1 show", "--db 'tcp:nowhere:1': 'nowhere' is no IP address"),
        ("--db unix:/nowhere.sock show", "no overlay database at unix:/nowhere.sock: there is no such socket"),
    ],
)
def test_bad_input(refused: Callable[..., str], line: str, said: str) -> None:
    assert said in refused(line)


@pytest.mark.usefixtures("session")
def test_options_that_came_by_other_ways_are_listed_and_can_be_taken_away(
    run: Callable[..., str], database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    update(database, "Overlay_Global", [], options=["map", [["colour", "blue"], ["neighbor_age", "soon"]]])
    assert call("check") == 1
    said = capsys.readouterr().out
    assert "Overlay_Global options:colour means nothing; there are: accept, neighbor_age; take it away: " in said
    assert "Overlay_Global options:neighbor_age 'soon' is not a number of seconds in 5..86400; " in said
    run("set Overlay_Global . options:neighbor_age=120")
    run("remove Overlay_Global . options colour")
    call("check")
    assert "options" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "",
        "fly",
        "net-add n",
        "net-set red",
        "port-set x",
        "chassis-set x",
        "sync --timeout -1",
        "sync --timeout nan",
        "show --format xml",
    ],
)
def test_wrong_usage(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(line)
    assert ended.value.code == 2
    assert "usage: overlayctl" in capsys.readouterr().err


def test_no_database_tells_how_to_get_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OVERLAY_DB", raising=False)
    monkeypatch.setenv("OVERLAY_RUNDIR", str(tmp_path))
    assert main(["show"]) == 1
    said = capsys.readouterr().err
    assert f"unix:{tmp_path}/overlay.sock" in said
    assert "ryu-manager overlay_app" in said


def test_common_options_stand_before_or_after_the_verb() -> None:
    for line in (
        "--wait --timeout 5 --db unix:/x --format json net-del red",
        "net-del red --wait --timeout 5 --db unix:/x --format json",
        "--wait --db unix:/x net-del --timeout 5 red --format json",
    ):
        args = options(line)
        assert (args.wait, args.timeout, args.db, args.format) == ("chassis", 5.0, "unix:/x", "json")
    args = parse(["net-del", "red"])
    assert (args.wait, args.timeout, args.db, args.format) == (None, 30.0, None, "table")


def test_a_network_with_undeclared_ports_stays(
    database: Connection, run: Callable[..., str], refused: Callable[..., str]
) -> None:
    run("net-add red --tenant acme --vni 100")
    insert(database, "Binding", chassis="h2", interface="vm9", vni="100", network="red")
    assert "network 'red' still has undeclared ports: h2/vm9; unplug them first" in refused("net-del red")
    run("net-add blue --tenant acme --vni 200")
    run("net-del blue")


def test_the_way_to_a_physical_network_goes_with_its_network(database: Connection, run: Callable[..., str]) -> None:
    """It is the controller's own patch port; nobody has to unplug that, nor may."""
    run("net-add red --tenant acme --vni 100 -- port-add web1 --net red")
    out = {"chassis": "h1", "interface": "overlay-to-br-office", "network": "red", "physical": "office"}
    for tag in (0, 10):
        insert(database, "Binding", **out, tag=tag)
    run("net-del red --cascade")
    assert database.select("Network") == []


@pytest.mark.usefixtures("session")
def test_of_several_commands_the_wrong_one_is_named(refused: Callable[..., str]) -> None:
    assert "overlayctl: MAC 'zz' is not of the form" in refused("port-add x --net red --mac zz")
    assert "overlayctl: command 2 (port-add x): MAC 'zz' is not of the form" in refused(
        "port-add y --net red -- port-add x --net red --mac zz"
    )
    assert "overlayctl: command 2 (destroy): Port has no row 'x'" in refused("tenant-add y -- destroy Port x")


@pytest.mark.parametrize("verb", ["delete", "destory", "port-dell", "restor", "aply"])
def test_nothing_destructive_is_suggested(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call(verb)
    assert "overlayctl --help lists them" in capsys.readouterr().err


def test_an_option_that_a_verb_does_not_have_shows_the_usage_of_that_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call("net-set red --mtuu 5")
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("usage: overlayctl net-set [OPTIONS]")
    assert said.endswith("overlayctl net-set: error: unrecognized arguments: --mtuu 5\n")


def test_only_what_is_missing_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call("list")
    assert capsys.readouterr().err.endswith("the following arguments are required: TABLE\n")


@pytest.mark.parametrize("line", ["-- -- show", "-- --", "--", "--wait -- -- net-list", "net-list -- -- net-list"])
def test_dashes_with_nothing_between_are_wrong_usage(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(line)
    assert ended.value.code == 2
    assert "the following arguments are required: VERB" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["\x1b[2J"], ["net-set", "red", "--\x1b[31m"], ["net-list", "x\x07\u202e"]])
def test_what_was_written_wrong_does_not_move_the_cursor(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(argv)
    said = capsys.readouterr().err
    assert not {"\x1b", "\x07", "\u202e"} & set(said)
    assert "\\x" in said
