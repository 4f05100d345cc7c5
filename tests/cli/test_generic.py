"""Any table, with the words of ovs-vsctl."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from controller.cli import schema, values
from ovsdb.rpc import Connection
from tests.cli.words import insert, listed
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb


@pytest.fixture
def red(run: Callable[..., str]) -> None:
    run("net-add red --tenant acme --vni 100 --subnet 10.0.0.0/24,2001:db8::/64")
    run("port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1")
    run("port-add web2 --net red --mac 02:00:00:00:00:02")


@pytest.mark.usefixtures("red")
def test_what_is_set_can_be_got_and_found(run: Callable[..., str]) -> None:
    run("set Port web1 external_ids:owner=alice external_ids:rack=7 security=false mac=02-00-00-00-00-0A")
    run("set port web1 allowed_pairs=10.9.0.0/16,02:00:00:00:00:FE=10.9.9.9")
    assert run("get Port web1 external_ids external_ids:owner security mac allowed_pairs") == (
        '{owner=alice, rack="7"}\nalice\nfalse\n"02:00:00:00:00:0a"\n["02:00:00:00:00:fe 10.9.9.9", "10.9.0.0/16"]\n'
    )


@pytest.mark.usefixtures("red")
def test_what_is_pending_prints_as_what_is_stored(run: Callable[..., str]) -> None:
    line = "get Port web1 security extra_macs description"
    printed = run(f"set Port web1 security=false extra_macs=02:00:00:00:00:0a -- {line}")
    assert printed == run(line) == 'false\n["02:00:00:00:00:0a"]\n""\n'


@pytest.mark.usefixtures("red")
def test_conditions(run: Callable[..., str], database: Connection) -> None:
    run("set Port web1 external_ids:owner=alice extra_macs=02:00:00:00:00:0a,02:00:00:00:00:0b")

    for conditions, names in (
        (("name=web1",), ["web1"]),
        (("name!=web1",), ["web2"]),
        (("external_ids:owner=alice",), ["web1"]),
        (("external_ids:owner!=alice",), ["web2"]),
        (("network=red", "mac=02:00:00:00:00:02"), ["web2"]),
        (("extra_macs>=02:00:00:00:00:0a",), ["web1"]),
        (("extra_macs=[]",), ["web2"]),
        (("security=true",), []),
    ):
        line = " ".join(["find", "Port", *conditions, "--columns", "name", "--format", "csv", "--no-headings"])
        assert run(line).split() == names, conditions
    insert(database, "Binding", chassis="h1", interface="vm1", ofport=3)
    insert(database, "Binding", chassis="h1", interface="vm2", ofport=9)
    for condition, expected in (("ofport>3", "vm2"), ("ofport<=3", "vm1"), ("interface=vm2", "vm2")):
        assert json.loads(run(f"find Binding {condition} --columns interface --format json")) == [
            {"interface": expected}
        ]


@pytest.mark.usefixtures("red")
def test_list(run: Callable[..., str]) -> None:
    assert run("list network red --columns name,vni,subnets,mtu") == (
        "name                : red\nvni                 : 100\n"
        'subnets             : ["10.0.0.0/24", "2001:db8::/64"]\nmtu                 : []\n'
    )
    row = listed(run, "list Port web2")[0]
    assert (row["extra_macs"], row["security"], row["external_ids"]) == ([], None, {})
    assert set(row) == {"_uuid", *schema.tables()["Port"].columns}
    assert run("list Port --columns name --no-headings") == "web1\n\nweb2\n"
    for table in schema.tables():
        run(f"list {table}")


def test_rows_of_one_transaction_by_name(run: Callable[..., str], database: Connection) -> None:
    run(
        "create Tenant --id @t name=acme -- create Network --id @n name=red tenant=@t vni=5 encap=gre "
        "-- create Address --id @a network=@n ip=2001:DB8::0:1 "
        "-- create Port name=web1 network=@n mac=02:00:00:00:00:01 addresses=@a"
    )
    assert listed(run, "port-list", "name", "network", "ips") == [
        {"name": "web1", "network": "red", "ips": ["2001:db8::1"]}
    ]
    run("destroy Port web1 -- destroy Network red -- destroy Tenant --all")
    run("chassis-add h9 tcp:192.0.2.9 --vtep 192.0.2.9 -- destroy Chassis h9")
    run("chassis-add h9 tcp:192.0.2.9 --vtep 192.0.2.9")
    run("destroy Chassis h9")
    assert (database.select("Address"), database.select("Tenant")) == ([], [])
    assert database.select("Overlay_Global")[0]["epoch"] == 2


@pytest.mark.usefixtures("red")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("list Prot", "there is no table 'Prot'; did you mean 'Port'?"),
        ("get Port web1 maac", "table Port has no column 'maac'; did you mean 'mac'?"),
        ("get Port wbe1 mac", "Port has no row 'wbe1'; did you mean 'web1'?"),
        ("get Port web1 external_ids:x", "Port.external_ids of 'web1' has no key 'x'"),
        ("set Port web1 mac", "'mac' is not of the form COLUMN=VALUE"),
        ("set Port web1 mac=02:00", "MAC '02:00' is not of the form 02:00:00:00:00:01"),
        ("set Port web1 mac=02:00:00:00:00:02", "MAC 02:00:00:00:00:02 is taken by port 'web2'"),
        ("set Port web1 extra_macs=02:00:00:00:00:02", "MAC 02:00:00:00:00:02 is taken by port 'web2'"),
        ("set Port web1 security=maybe", "Port.security: 'maybe' is not true or false"),
        ("set Port web1 mac:x=y", "Port.mac is no map; write mac=VALUE"),
        ("set Network red vni=x", "Network.vni: 'x' is not an integer"),
        ("set Network red vni=0", "Network.vni: 0 is not in 1..16777215"),
        ("set Network red encap=geneve", "Network.encap: 'geneve' is unknown; there are: vxlan, gre"),
        ("set Network red subnets=10.0.0.1/24", "has bits of a host; write 10.0.0.0/24"),
        ("set Network red subnets=10.7.0.0/24", "would be in none of its subnets: 10.0.0.1 (web1)"),
        ("set Network red tenant=nobody", "Tenant has no row 'nobody'"),
        ("set Network red mtu=1400,1500", "Network.mtu takes 0 to 1 values, not 2"),
        ("set Network red external_ids=x", "Network.external_ids: 'x' is not of the form KEY=VALUE"),
        ("set Overlay_Global . nb_cfg=7", "Overlay_Global: nb_cfg is written by the controller or the server; --force"),
        ("create Binding chassis=h1 interface=x", "Binding: every column is written by the controller"),
        ("create Network name=x", "a row of Network needs tenant=VALUE, vni=VALUE, encap=VALUE"),
        ("create Address network=red ip=10.0.0.9", "a row of Address vanishes unless another refers to it"),
        ("destroy Network red", "network 'red' still has ports: web1, web2"),
        ("destroy Port", "name the rows to destroy, or say --all"),
        ("destroy Overlay_Global .", "is written by the controller"),
        ("destroy Neighbor --all", "Neighbor: every column is written by the controller"),
        ("find Port mac", "'mac' is not of the form COLUMN[:KEY]=VALUE"),
        ("list Port --columns nmae", "table Port has no column 'nmae'; did you mean 'name'?"),
    ],
)
def test_what_is_refused(refused: Callable[..., str], line: str, said: str) -> None:
    assert said in refused(line)


@pytest.mark.usefixtures("red")
def test_if_exists_and_force(run: Callable[..., str], database: Connection) -> None:
    for line in ("get Port x mac --if-exists", "set Port x mac=y --if-exists", "destroy Port x --if-exists"):
        assert run(line) == ""
    run("create Neighbor network=red ip=10.0.0.9 mac=02:00:00:00:00:09 chassis=h1 interface=x --force")
    run("destroy Neighbor --all --force")
    assert database.select("Neighbor") == []


@pytest.mark.parametrize(
    ("table", "column", "text", "value", "printed"),
    [
        ("Port", "external_ids", "{a=b, c=d}", ["map", [["a", "b"], ["c", "d"]]], "{a=b, c=d}"),
        ("Port", "external_ids", '"a b"="c, d"', ["map", [["a b", "c, d"]]], '{"a b"="c, d"}'),
        ("Port", "external_ids", "url=http://x/?a=b", ["map", [["url", "http://x/?a=b"]]], '{url="http://x/?a=b"}'),
        ("Port", "external_ids", "", ["map", []], "{}"),
        ("Port", "extra_macs", "[a b,c]", ["set", ["a", "b", "c"]], "[a, b, c]"),
        ("Port", "description", "any text, [at] all", "any text, [at] all", '"any text, [at] all"'),
        ("Port", "description", '"quoted"', "quoted", "quoted"),
        ("Port", "description", "", "", '""'),
        ("Port", "description", "true", "true", '"true"'),
        ("Port", "security", "[]", ["set", []], "[]"),
        ("Network", "mtu", "1400", ["set", [1400]], "1400"),
        ("Network", "vni", "7", 7, "7"),
    ],
)
def test_values_are_written_as_they_are_printed(
    table: str, column: str, text: str, value: object, printed: str
) -> None:
    described = schema.tables()[table]

    def nobody(table: str, name: str) -> str:
        raise AssertionError(name)

    read = values.read(described, described.columns[column], text, nobody)
    assert read == value
    assert values.spelled(described.columns[column], read) == printed
    assert values.read(described, described.columns[column], printed, nobody) == value


@pytest.mark.usefixtures("session")
def test_values_are_added_and_removed_as_ovs_vsctl_does(run: Callable[..., str], refused: Callable[..., str]) -> None:
    run("add Port web1 external_ids a=1 b=2 c=3 -- add Port web1 external_ids a=9")
    assert run("get Port web1 external_ids") == '{a="1", b="2", c="3"}\n'
    run("remove Port web1 external_ids a b=7 c=3")
    assert run("get Port web1 external_ids") == '{b="2"}\n'
    run("add Port web1 extra_macs 02:00:00:00:00:0A 02:00:00:00:00:0b 02:00:00:00:00:0a")
    assert run("get Port web1 extra_macs") == '["02:00:00:00:00:0a", "02:00:00:00:00:0b"]\n'
    run("remove Port web1 extra_macs 02:00:00:00:00:0A 02:00:00:00:00:0d")
    assert run("get Port web1 extra_macs") == '["02:00:00:00:00:0b"]\n'
    run("clear Port web1 extra_macs external_ids -- add Network red mtu 1400")
    assert run("get Port web1 extra_macs external_ids -- get Network red mtu").split() == ["[]", "{}", "1400"]
    assert "mtu holds at most 1 values, and this would be 2" in refused("add Network red mtu 1500")
    assert "Port.mac holds just one value; overlayctl set Port ROW mac=VALUE" in refused("clear Port web1 mac")
    assert "is not of the form" in refused("add Port web1 extra_macs zz")
    assert "is written by the controller" in refused("clear Chassis h1 state")
    assert "red" in run("--dry-run remove Network red mtu 1400")
    run("remove Port web1 addresses 10.0.0.1")
    assert run("get Port web1 addresses") == "[]\n"
