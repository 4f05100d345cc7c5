"""What of layer 2 is declared beyond names and addresses: neighbors, guard, trunks, physical networks, MTU."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from controller.cli.commit import Request, write
from controller.cli.database import Database
from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from ovsdb.rpc import Connection
from tests.cli.words import call, insert, listed, options, update
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb


def row(database: Connection, table: str, name: str) -> dict[str, Any]:
    return database.select(table, [["name", "==", name]])[0]


def columns(found: dict[str, Any], *names: str) -> list[Any]:
    return [found[name] for name in names]


NOTHING = ["set", []]
OUTSIDE = ("physical", "physical_vlan", "gateway_chassis")


@pytest.mark.usefixtures("session")
def test_what_a_network_does_with_what_it_does_not_know(run: Callable[..., str], database: Connection) -> None:
    names = ("unknown_neighbor", "multicast", "vlan_transparent")
    assert columns(row(database, "Network", "red"), *names) == [NOTHING] * 3
    run("net-set red --unknown-neighbor drop --multicast drop --vlan-transparent on")
    assert columns(row(database, "Network", "red"), *names) == ["drop", "drop", True]
    run("net-set red --vlan-transparent off")
    run("net-add green --tenant acme --vni 300 --unknown-neighbor flood --multicast flood --vlan-transparent off")
    assert columns(row(database, "Network", "green"), *names) == ["flood", "flood", NOTHING]
    shown = {net["name"]: net for net in listed(run, "net-list")}
    assert [columns(shown[name], *names) for name in ("red", "blue")] == [
        ["drop", "drop", False],
        ["auto", "flood", False],
    ]
    told = run("net-set red --unknown-neighbor gateway")
    assert told.startswith("warning: network 'red' has no gateway to send requests for unknown neighbors to; ")
    assert run("net-set red --subnet 10.0.0.0/24 --gateway 10.0.0.254") == ""


@pytest.mark.usefixtures("session")
def test_a_network_goes_on_outside(run: Callable[..., str], refused: Callable[..., str], database: Connection) -> None:
    run("chassis-set h1 --bridge office=br-office,lab=br-lab")
    assert dict(row(database, "Chassis", "h1")["bridges"][1]) == {"office": "br-office", "lab": "br-lab"}
    assert run("net-set red --physical office:42 --gateway-chassis h1") == ""
    assert columns(row(database, "Network", "red"), *OUTSIDE) == ["office", 42, "h1"]
    assert "    goes on in physical network office, VLAN 42, at h1" in run("show").splitlines()
    assert columns(json.loads(run("net-show red --format json")), *OUTSIDE) == ["office", 42, "h1"]
    taken = "VLAN 42 of physical network 'office' is that of network 'red', and the two would be one; choose another"
    assert taken in refused("net-set blue --physical office:42 --gateway-chassis h2")
    assert taken in refused("net-add green --tenant t --vni 9 --physical office:42 --gateway-chassis h1")
    assert taken in refused("set Network blue physical=office physical_vlan=42 gateway_chassis=h1")
    warning = "warning: network 'blue': its gateway chassis 'h2' has no bridge to physical network 'office' yet; "
    assert run("net-set blue --physical office --gateway-chassis h2").startswith(warning)
    assert columns(row(database, "Network", "blue"), *OUTSIDE) == ["office", NOTHING, "h2"]
    assert "VLAN 0 of physical network 'office' is that of network 'blue'" in refused(
        "net-add green --tenant t --vni 9 --physical office:0 --gateway-chassis h1"
    )
    assert run("chassis-set h2 --bridge office=br-ex") == ""
    assert "network 'red': its gateway chassis 'h1' has no bridge" in run("chassis-set h1 --bridge none")
    assert "network 'red' loses its way out" in run("chassis-del h1")
    run("net-set red --physical none")
    assert columns(row(database, "Network", "red"), *OUTSIDE) == [NOTHING] * 3


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "net-set red --physical office",
            "physical network 'office' needs the one chassis that connects to it: --gateway-",
        ),
        ("net-set red --gateway-chassis h1", "a gateway chassis needs the physical network that it connects to"),
        ("net-set red --physical office --gateway-chassis h9", "there is no chassis 'h9'; known: h1, h2"),
        (
            "net-set red --physical office:4095 --gateway-chassis h1",
            "VLAN '4095' is not in 0..4094; expected NAME[:VLAN]",
        ),
        ("net-set red --physical office:x --gateway-chassis h1", "VLAN 'x' is not in 0..4094"),
        ("net-set red --physical /x --gateway-chassis h1", "physical network '/x' is no name"),
        ("set Network red physical_vlan=5", "a gateway chassis needs the physical network"),
        (
            "net-set red --unknown-neighbor ask",
            "unknown neighbor 'ask' is unknown; there are: auto, flood, gateway, drop",
        ),
        ("net-set red --multicast some", "multicast 'some' is unknown; there are: flood, drop"),
        ("net-set red --vlan-transparent yes", "vlan-transparent 'yes' is unknown; there are: on, off"),
        ("net-set red --mtu 40", "MTU '40' is neither"),
        ("chassis-set h1 --bridge office", "bridge 'office' is not of the form PHYSICAL=BRIDGE"),
        ("chassis-set h1 --bridge office=br-a,office=br-b", "physical network 'office' has two bridges, br-a and br-b"),
        ("chassis-set h1 --bridge office=br-int", "bridge 'br-int' is the overlay's own"),
        ("chassis-set h1 --bridge office=a-much-too-long-name", "bridge 'a-much-too-long-name' is no name"),
        ("set Chassis h1 bridges:office=br-int", "bridge 'br-int' is the overlay's own"),
        ("chassis-set h1 --vtep-mtu 575", "VTEP MTU '575' is neither a number in 576..65535 nor auto"),
        ("chassis-set h1 --vtep-mtu 192.0.2.9=1500", "192.0.2.9 is none of its VTEPs, which are 192.0.2.1"),
        ("port-set web1 --may fly", "may 'fly' is unknown; there are: dhcp-server, router"),
        ("port-set web1 --flood-rate much", "flood rate 'much' is neither a number of packets per second, unlimited"),
        ("port-set web1 --flood-rate 0", "flood rate 0 could mean none or any; write unlimited for any number"),
        ("port-add x --net red --parent web1 --tag 5", "port 'x': 'web1' is in network 'red' already, without a tag"),
        ("port-set web1 --tag 5", "port 'web1': a tag is what a port has behind another one; name that: --parent PORT"),
        ("port-set web1 --service-tag on", "a tag is what a port has behind another one"),
        ("port-set web1 --parent web2", "port 'web1' behind 'web2' needs the tag that its packets have there: --tag"),
        ("port-set web1 --parent web2 --tag 0", "tag '0' is not in 1..4094"),
        ("port-set web1 --parent web2 --tag 4095", "tag '4095' is not in 1..4094"),
        ("port-set web1 --parent web1 --tag 5", "port 'web1' can't be behind itself"),
        ("port-set web1 --parent web9 --tag 5", "there is no port 'web9'"),
        ("port-add bad --net red --parent nope --tag 5", "there is no port 'nope'; known: web1, web2"),
        ("port-add x --net red --parent none --tag 5", "a tag is what a port has behind another one"),
        ("set Port web1 tag=5", "a tag is what a port has behind another one"),
        ("set Network red carries=5", "carries is written by the controller or the server; --force"),
        ("create Drop chassis=h1", "Drop: every column is written by the controller"),
    ],
)
def test_what_is_refused(refused: Callable[..., str], line: str, said: str) -> None:
    assert said in refused(line)


@pytest.mark.usefixtures("session")
def test_an_address_that_is_allowed_to_a_port_and_declared_for_another(
    run: Callable[..., str], database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """It can't be both: that is said when it is allowed, and by check as long as the other is plugged in."""
    told = "address 10.0.0.2 is allowed to port 'web1' and declared for port 'web2', where it stays while that is"
    for pair in ("10.0.0.2", "02:00:00:00:00:99=10.0.0.2"):
        assert run(f"port-set web1 --allow {pair}").startswith(f"warning: {told}")
    assert "declared for port 'web2'" in run("port-add web3 --net red --mac 02:00:00:00:00:03 --allow 10.0.0.2")
    for line in (
        "port-set web1 --allow 10.0.0.1,10.0.0.9,10.0.0.0/24",
        "port-add db1 --net blue --mac 02:00:00:00:00:09 --allow 10.0.0.2",
        "port-del web3",
    ):
        assert run(line) == ""
    run("port-set web1 --allow 10.0.0.2")
    update(database, "Overlay_Global", [], heartbeat=int(time.time()))
    assert told not in run("check")
    insert(database, "Binding", chassis="h1", interface="vm2", ofport=3, network="red", port="web2", up=True)
    assert call("check") == 1
    assert told in capsys.readouterr().out


@pytest.mark.usefixtures("session")
def test_ports_behind_a_trunk(run: Callable[..., str], refused: Callable[..., str], database: Connection) -> None:
    names = ("parent", "tag", "service_tag")
    run("port-add sub1 --net blue --parent web1 --tag 100")
    run("net-add grey --tenant umbra --vni 300")
    run("port-add sub2 --net grey --parent web1 --tag 101 --service-tag on")
    assert columns(row(database, "Port", "sub1"), *names) == ["web1", 100, NOTHING]
    assert columns(row(database, "Port", "sub2"), *names) == ["web1", 101, True]
    assert columns(json.loads(run("port-show sub2 --format json")), *names) == ["web1", 101, True]
    assert "tag 100 behind 'web1' is taken by port 'sub1'; choose another tag" in refused("port-set sub2 --tag 100")
    assert "tag 100 behind 'web1' is taken by port 'sub1'" in refused("port-add x --net red --parent web1 --tag 100")
    assert "port 'sub1' is itself behind 'web1'" in refused("port-set web2 --parent sub1 --tag 1")
    assert "port 'web1' has ports behind it itself: sub1, sub2" in refused("port-set web1 --parent web2 --tag 1")
    for line in ("port-del web1", "destroy Port web1"):
        assert "port 'web1' has ports behind it: sub1, sub2; delete them first" in refused(line)
    run("port-set sub1 --tag 102")
    run("port-set sub2 --parent none")
    assert columns(row(database, "Port", "sub2"), *names) == [NOTHING] * 3
    run("port-del sub1 -- port-del web1")


@pytest.mark.usefixtures("session")
def test_what_a_port_may_send(run: Callable[..., str], database: Connection) -> None:
    names = ("may", "flood_rate")
    run("port-add dhcp1 --net red --may dhcp-server,router --flood-rate 200")
    assert columns(row(database, "Port", "dhcp1"), *names) == [["set", ["dhcp-server", "router"]], 200]
    shown = json.loads(run("port-show dhcp1 --format json"))
    assert columns(shown, *names) == [["dhcp-server", "router"], 200]
    run("port-set dhcp1 --may router --flood-rate unlimited")
    assert columns(row(database, "Port", "dhcp1"), *names) == ["router", 0]
    run("port-set dhcp1 --may none --flood-rate default")
    assert columns(row(database, "Port", "dhcp1"), *names) == [NOTHING, NOTHING]


def test_the_mtu_of_the_underlay(run: Callable[..., str], refused: Callable[..., str]) -> None:
    def mtus() -> dict[str, int]:
        return {vtep["ip"]: vtep["mtu"] for vtep in listed(run, "chassis-list")[0]["vteps"]}

    add = "chassis-add h1 tcp:192.0.2.1 --vtep 192.0.2.1,2001:db8::1 --vtep-mtu 2001:db8::1=1400,9000"
    run(add)
    assert mtus() == {"192.0.2.1": 9000, "2001:db8::1": 1400}, "the one that is named counts"
    run(f"{add} --may-exist")
    assert "'h1' exists with vtep mtu " in refused(f"{add.replace('1400', '1300')} --may-exist")
    run("chassis-set h1 --encap gre")
    run("chassis-set h1 --vtep 192.0.2.1,192.0.2.2")
    assert mtus() == {"192.0.2.1": 9000, "192.0.2.2": 1500}, "a VTEP that stays keeps its own"
    run("chassis-set h1 --vtep-mtu auto")
    assert mtus() == {"192.0.2.1": 1500, "192.0.2.2": 1500}


@pytest.mark.usefixtures("session")
def test_show_of_a_trunk_and_of_what_the_controller_says(run: Callable[..., str], database: Connection) -> None:
    run("port-add sub1 --net blue --mac 02:00:00:00:00:0a --parent web1 --tag 100")
    plug = {"chassis": "h1", "interface": "eth1", "ofport": 3, "iface_id": "web1", "trunk": "200=5002"}
    insert(database, "Binding", **plug, network="red", port="web1", up=True)
    insert(database, "Binding", **plug, tag=100, network="blue", port="sub1", up=True)
    insert(database, "Binding", **plug, tag=200, error="VNI 5002 is that of no network")
    insert(database, "Binding", chassis="h2", interface="eth9", trunk="100=200")
    insert(database, "Binding", chassis="h2", interface="eth9", trunk="100=200", tag=100, network="blue", up=True)
    update(database, "Network", [["name", "==", "red"]], mtu=1500, carries=1450, error="no way out")
    update(database, "Network", [["name", "==", "blue"]], carries=1458)
    lines = [line.strip() for line in run("show").splitlines()]
    assert "sub1          02:00:00:00:00:0a  -   h1/eth1 tag 100  up" in lines
    assert "(undeclared)  (learned)              h2/eth9 tag 100  up" in lines
    assert "red  tenant acme, VNI 100, vxlan, MTU 1500, its tunnels carry 1450" in lines
    assert any(line.startswith("blue  tenant umbra, VNI 200, gre, MTU 1458") for line in lines)
    problems = json.loads(run("show --format json"))["problems"]
    said = {problem["where"]: problem["what"] for problem in problems}
    assert said["h1/eth1 tag 200"] == "VNI 5002 is that of no network"
    assert said["network red"] == "no way out"
    assert [place["tag"] for place in json.loads(run("show --format json"))["unresolved"]] == [200]
    assert [place["tag"] for place in json.loads(run("port-show sub1 --format json"))["places"]] == [100]


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        (
            "port-set db1 --parent web1 --tag 5",
            "port-add x --net blue --parent web1 --tag 5",
            "tag 5 behind 'web1' is taken by port 'x'",
        ),
        ("port-add x --net blue --parent web1 --tag 5", "port-del web1", "there is no port 'web1'"),
        (
            "port-add x --net blue --parent web1 --tag 5",
            "port-set web1 --parent db1 --tag 1",
            "port 'web1' is itself behind 'db1'",
        ),
        (
            "port-set web1 --parent db1 --tag 1",
            "port-add x --net blue --parent web1 --tag 5",
            "port 'web1' has ports behind it itself: x",
        ),
        ("port-del web1", "port-add x --net blue --parent web1 --tag 5", "port 'web1' has ports behind it: x"),
        (
            "net-set red --physical office:1 --gateway-chassis h1",
            "net-set blue --physical office:1 --gateway-chassis h2",
            "VLAN 1 of physical network 'office' is that of network 'blue'",
        ),
    ],
)
def test_what_comes_in_between_is_noticed(
    run: Callable[..., str], served: str, mine: str, theirs: str, said: str
) -> None:
    run("net-add grey --tenant umbra --vni 300")
    run("port-add db1 --net grey --mac 02:00:00:00:00:0b")
    args = options(mine)
    module, _, function = args.run.partition(":")
    tries: list[int] = []

    def verb(draft: Draft) -> None:
        getattr(import_module(f"controller.cli.{module}"), function)(draft, args)
        tries.append(1)
        if len(tries) == 1:
            assert call(theirs) == 0

    with Database(served) as database, pytest.raises(CommandError, match=re.escape(said)):
        write(database, verb, Request("test"))
    assert len(tries) == 1
