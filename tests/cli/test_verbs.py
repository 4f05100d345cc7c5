"""Declaring, changing and removing with `overlayctl`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ovsdb.rpc import Connection, Row
from tests.cli.words import everything, insert, listed, update
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb


@pytest.mark.usefixtures("session")
def test_what_is_declared_is_listed(run: Callable[..., str]) -> None:
    assert run("net-list") == (
        "NAME  TENANT  VNI  ENCAP  PORTS  MTU  CARRIES\n"
        "blue  umbra   200  gre    0      -    -\n"
        "red   acme    100  vxlan  2      -    -\n"
    )
    assert listed(run, "port-list --net red")[1] == {
        "name": "web2",
        "network": "red",
        "mac": "02:00:00:00:00:02",
        "ips": ["10.0.0.2"],
        "extra_macs": [],
        "allowed_pairs": [],
        "security": True,
        "enabled": True,
        "may": [],
        "flood_rate": None,
        "parent": None,
        "tag": None,
        "service_tag": False,
        "description": "",
    }
    assert listed(run, "port-list --net blue") == []
    assert listed(run, "chassis-list")[0] == {
        "name": "h1",
        "state": "new",
        "vteps": [{"ip": "192.0.2.1", "encaps": ["vxlan", "gre"], "mtu": 1500}],
        "encaps": ["vxlan", "gre"],
        "datapath": "auto",
        "ovsdb": "tcp:192.0.2.1:6640",
        "controller": "auto",
        "bridges": {},
        "flows": 0,
        "error": "",
        "impostor": "",
        "installed": 0,
        "silent": {},
        "remarks": [],
        "description": "",
        "reported": {},
    }


@pytest.mark.usefixtures("session")
def test_the_same_addresses_in_another_network(run: Callable[..., str]) -> None:
    run("port-add twin --net blue --mac 02:00:00:00:00:01 --ip 10.0.0.1")
    assert [row["name"] for row in listed(run, "port-list")] == ["twin", "web1", "web2"]


@pytest.mark.usefixtures("session")
def test_changes(run: Callable[..., str]) -> None:
    run("chassis-set h1 --vtep 192.0.2.11 --encap gre --datapath netdev --controller tcp:192.0.2.9")
    first = listed(run, "chassis-list")[0]
    assert (first["vteps"], first["datapath"]) == ([{"ip": "192.0.2.11", "encaps": ["gre"], "mtu": 1500}], "netdev")
    assert first["controller"] == "tcp:192.0.2.9:6653"
    run("chassis-set h1 --encap gre,vxlan --datapath auto --controller auto --ovsdb tcp:[2001:db8::1]")
    first = listed(run, "chassis-list")[0]
    assert (first["encaps"], first["datapath"], first["controller"]) == (["vxlan", "gre"], "auto", "auto")
    assert first["ovsdb"] == "tcp:[2001:db8::1]:6640"
    run("net-set red --vni 101 --encap gre --tenant other")
    assert run("net-list --no-headings").splitlines()[1] == "red   other   101  gre    2      -    -"


@pytest.mark.usefixtures("session")
def test_a_ports_addresses_are_replaced_kept_and_freed(run: Callable[..., str], database: Connection) -> None:
    kept = database.select("Address", [["ip", "==", "10.0.0.1"]])[0]
    run("port-set web1 --mac 02-00-00-00-00-0A --ip 10.0.0.9,10.0.0.1 --ip 10.0.0.10")
    port = listed(run, "port-list")[0]
    assert (port["mac"], port["ips"]) == ("02:00:00:00:00:0a", ["10.0.0.1", "10.0.0.9", "10.0.0.10"])
    assert database.select("Address", [["ip", "==", "10.0.0.1"]])[0]["_uuid"] == kept["_uuid"]
    run("port-set web1 --ip none")
    assert listed(run, "port-list")[0]["ips"] == []
    run("port-add web3 --net red --mac 02:00:00:00:00:03 --ip 10.0.0.1")
    run("port-del web3")
    run("port-del web2")
    assert database.select("Address") == []


@pytest.mark.usefixtures("session")
def test_removal(run: Callable[..., str]) -> None:
    for line in ("port-del web1", "port-del web2", "net-del red", "chassis-del h1"):
        run(line)
    for line in ("port-del web1", "net-del red", "chassis-del h1"):
        run(f"{line} --if-exists")
    assert [row["name"] for row in listed(run, "net-list")] == ["blue"]
    assert [row["name"] for row in listed(run, "chassis-list")] == ["h2"]


@pytest.mark.usefixtures("session")
def test_may_exist(run: Callable[..., str], refused: Callable[..., str], database: Connection) -> None:
    before = everything(database)
    run("chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1 --may-exist")
    run("net-add red --tenant acme --vni 100 --may-exist")
    run("port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1 --may-exist")
    assert everything(database) == before
    assert "web1' exists with ip 10.0.0.1, not 10.0.0.7" in refused(
        "port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.7 --may-exist"
    )
    assert "exists in another network than 'blue'" in refused(
        "port-add web1 --net blue --mac 02:00:00:00:00:01 --ip 10.0.0.1 --may-exist"
    )
    assert "'red' exists with vni 100, not 5" in refused("net-add red --tenant acme --vni 5 --may-exist")
    assert "'h1' exists with encaps vxlan, gre, not gre" in refused(
        "chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1 --encap gre --may-exist"
    )


def test_vteps_of_both_families(run: Callable[..., str], refused: Callable[..., str], database: Connection) -> None:
    run("chassis-add h1 tcp:192.0.2.1 --vtep 192.0.2.1,2001:DB8:0::1=gre --vtep 198.51.100.1=vxlan+gre --encap vxlan")
    assert listed(run, "chassis-list")[0]["vteps"] == [
        {"ip": "192.0.2.1", "encaps": ["vxlan"], "mtu": 1500},
        {"ip": "198.51.100.1", "encaps": ["vxlan", "gre"], "mtu": 1500},
        {"ip": "2001:db8::1", "encaps": ["gre"], "mtu": 1500},
    ]
    assert "VTEP 2001:db8::1 is taken by chassis 'h1'" in refused("chassis-add h2 tcp:192.0.2.2 --vtep 2001:db8::1")
    kept = database.select("Vtep", [["ip", "==", "2001:db8::1"]])[0]["_uuid"]
    run("chassis-set h1 --vtep 2001:db8::1")
    assert [(row["ip"], row["_uuid"], row["encaps"]) for row in database.select("Vtep")] == [
        ("2001:db8::1", kept, ["set", []])
    ]
    run("chassis-set h1 --encap gre")
    assert listed(run, "chassis-list")[0]["vteps"] == [{"ip": "2001:db8::1", "encaps": ["gre"], "mtu": 1500}]
    run("chassis-del h1")
    assert database.select("Vtep") == []


@pytest.mark.usefixtures("session")
def test_tenants(run: Callable[..., str], refused: Callable[..., str]) -> None:
    run("tenant-add zeta --description words")
    run("tenant-add zeta --may-exist")
    assert run("tenant-list") == (
        "NAME   NETWORKS  PORTS  DESCRIPTION\nacme   1         2      -\numbra  1         0      -\n"
        "zeta   0         0      words\n"
    )
    assert "tenant 'acme' exists already; change it with tenant-set" in refused("tenant-add acme")
    assert "tenant 'acme' still has networks: red; delete them first" in refused("tenant-del acme")
    run("tenant-set zeta --description other")
    run("tenant-del zeta")
    run("tenant-del acme --cascade")
    assert [row["name"] for row in listed(run, "tenant-list")] == ["umbra"]
    assert [row["name"] for row in listed(run, "net-list")] == ["blue"]
    assert listed(run, "port-list") == []


@pytest.mark.usefixtures("session")
def test_a_network_with_its_ports(run: Callable[..., str], database: Connection) -> None:
    run("net-del red --cascade")
    assert (database.select("Port"), database.select("Address")) == ([], [])


def test_a_chassis_that_asks_to_join(
    run: Callable[..., str], refused: Callable[..., str], database: Connection
) -> None:
    insert(database, "Pending", name="h4", address="192.0.2.4:41234", ovs_version="3.1.0")
    insert(database, "Pending", name="h5", address="[2001:db8::5]:41234", vtep="192.0.2.5")
    assert run("pending-list").splitlines()[1] == "h4    192.0.2.4:41234      -          3.1.0"
    assert run("show").count("overlayctl chassis-accept h") == 2
    assert run("chassis-accept h4") == "h4: VTEP 192.0.2.4\n"
    assert run("chassis-accept h5 --encap gre") == "h5: VTEP 192.0.2.5\n"
    known = listed(run, "chassis-list", "name", "ovsdb", "vteps")
    assert [(row["name"], row["ovsdb"]) for row in known] == [("h4", "dial-in:h4"), ("h5", "dial-in:h5")]
    assert [row["vteps"] for row in known] == [
        [{"ip": "192.0.2.4", "encaps": ["vxlan", "gre"], "mtu": 1500}],
        [{"ip": "192.0.2.5", "encaps": ["gre"], "mtu": 1500}],
    ]
    assert "no chassis 'h6' asks to join; known: h4, h5" in refused("chassis-accept h6")
    assert "chassis 'h4' exists already" in refused("chassis-accept h4")


@pytest.mark.usefixtures("session")
def test_where_a_switch_connects_from_and_to(run: Callable[..., str], database: Connection) -> None:
    def row() -> Row:
        return database.select("Chassis", [["name", "==", "h1"]])[0]

    run("set Chassis h1 external_ids:mine=1")
    run("chassis-set h1 --openflow-from 203.0.113.1,2001:DB8::1 --controller ssl:198.51.100.254:6654")
    assert dict(row()["external_ids"][1]) == {"mine": "1", "openflow-from": "203.0.113.1,2001:db8::1"}
    assert row()["controller"] == "ssl:198.51.100.254:6654"
    run("chassis-set h1 --openflow-from none --controller auto")
    assert dict(row()["external_ids"][1]) == {"mine": "1"}


def test_where_the_server_listens(run: Callable[..., str], refused: Callable[..., str], database: Connection) -> None:
    run("connection-add ptcp:26642 --read-only --role chassis")
    assert run("connection-list --columns target,role,read_only") == (
        "TARGET                ROLE     READ_ONLY\nptcp:26642:127.0.0.1  chassis  yes\n"
    )
    assert "there is a row of Connection with target ptcp:26642:127.0.0.1 already" in refused(
        "connection-add ptcp:26642"
    )
    run("connection-set ptcp:26642:127.0.0.1 --read-write --role none --inactivity-probe 0")
    row = database.select("Connection")[0]
    assert (row["role"], row["read_only"], row["inactivity_probe"]) == ("", ["set", []], 0)
    assert "there is no connection 'ptcp:1'; " in refused("connection-del ptcp:1")
    assert "'tcp:1' is not of the form pssl:PORT" in refused("connection-add tcp:1")
    run("connection-del ptcp:26642")
    assert database.select("Connection") == []


@pytest.mark.usefixtures("session")
def test_lists_of_what_the_controller_writes(run: Callable[..., str], database: Connection) -> None:
    insert(database, "Binding", chassis="h1", interface="vm1", ofport=3, network="red", port="web1", up=True)
    insert(database, "Neighbor", network="red", ip="10.0.0.9", mac="02:00:00:00:00:99", chassis="h1", interface="vm9")
    assert run("binding-list --chassis h1").splitlines()[1] == "h1       vm1        0    red      web1  3       yes  -"
    assert run("binding-list --net blue") == ""
    assert listed(run, "neighbor-list --net red", "ip", "seen") == [{"ip": "10.0.0.9", "seen": 0}]
    assert run("neighbor-list").splitlines()[1].split() == ["red", "10.0.0.9", "02:00:00:00:00:99", "h1", "vm9", "-"]
    update(database, "Neighbor", [], seen=1_800_000_000)
    assert listed(run, "neighbor-list", "seen") == [{"seen": 1_800_000_000}]
    for form in ("table", "csv"):
        assert "2027-01-15T08:00:00Z" in run(f"neighbor-list --format {form}")
    assert listed(run, "address-list") == [
        {"network": "red", "ip": "10.0.0.1", "port": "web1"},
        {"network": "red", "ip": "10.0.0.2", "port": "web2"},
    ]
    shown = run("chassis-show h1").splitlines()
    assert "ovsdb        tcp:192.0.2.1:6640" in shown
    assert "interfaces   interface=vm1 tag=0 network=red port=web1 up=yes error=-" in shown
    assert "status         up" in run("port-show web1")


@pytest.mark.usefixtures("session")
def test_where_the_switch_may_come_from(run: Callable[..., str], database: Connection) -> None:
    run("chassis-set h1 --openflow-from 198.51.100.1,2001:DB8::1 --take-over")
    run("chassis-set h1 --take-over")
    row = database.select("Chassis", [["name", "==", "h1"]])[0]
    assert dict(row["external_ids"][1]) == {"openflow-from": "198.51.100.1,2001:db8::1", "take-over": "true"}
    run("chassis-set h1 --openflow-from none")
    row = database.select("Chassis", [["name", "==", "h1"]])[0]
    assert dict(row["external_ids"][1]) == {"take-over": "true"}
