"""What is read of the overlay database as values; and from a cache what is read anew, whatever was changed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flows.model import Chassis, Encap, Gateway, May, Network, Pair, Port, UnknownNeighbor, Vtep
from ovsdb import document, rpc, snapshot
from ovsdb.session import Session
from tests.overlay_database import needs_ovsdb, serving
from topologies.cluster import run_tool

pytestmark = needs_ovsdb


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[rpc.Connection, Session, snapshot.PortCache]]:
    with serving(tmp_path) as remote, rpc.connect(remote) as database:
        session = Session(remote, document.schema())
        cache = snapshot.PortCache()
        session.tell(cache.stale)
        yield database, session, cache
        session.close()


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def insert(table: str, number: int, **row: Any) -> dict[str, Any]:
    return {"op": "insert", "table": table, "uuid": uuid(number), "row": row}


def update(table: str, number: int, **row: Any) -> dict[str, Any]:
    return {"op": "update", "table": table, "where": rpc.same_row(uuid(number)), "row": row}


def catch_up(session: Session, nb_cfg: int) -> None:
    deadline = time.monotonic() + 5
    session.run()
    while not session.in_sync or snapshot.declared(session.idl).nb_cfg != nb_cfg:
        assert time.monotonic() < deadline
        session.block()
        session.run()


def test_a_cache_changes_nothing(served: tuple[rpc.Connection, Session, snapshot.PortCache]) -> None:
    database, session, cache = served
    database.transact(
        [
            insert("Overlay_Global", 1, nb_cfg=1),
            insert("Tenant", 2, name="acme"),
            insert("Network", 3, name="red", tenant=["uuid", uuid(2)], vni=100, encap="vxlan"),
            insert("Address", 4, network=["uuid", uuid(3)], ip="10.0.0.1"),
            insert(
                "Port", 5, name="p1", network=["uuid", uuid(3)], mac="02:00:00:00:00:01", addresses=["uuid", uuid(4)]
            ),
            insert("Port", 6, name="p2", network=["uuid", uuid(3)], mac="wrong"),
        ]
    )
    steps: list[list[dict[str, Any]]] = [
        [update("Port", 5, mac="02:00:00:00:00:11")],
        [update("Network", 3, name="scarlet")],
        [update("Address", 4, ip="2001:db8::1")],
        [update("Port", 6, mac="02:00:00:00:00:02", enabled=False)],
        [update("Port", 5, name="p3", description="renamed")],
        [update("Port", 5, addresses=["set", []])],
        [{"op": "delete", "table": "Port", "where": rpc.same_row(uuid(6))}],
        [insert("Port", 7, name="p1", network=["uuid", uuid(3)], mac="02:00:00:00:00:07")],
    ]
    seen = []
    for number, step in enumerate([[], *steps], 1):
        database.transact([*step, update("Overlay_Global", 1, nb_cfg=number)])
        catch_up(session, number)
        fresh = snapshot.declared(session.idl)
        assert snapshot.declared(session.idl, cache) == fresh
        seen.append((fresh.ports, fresh.faults))
    assert seen[0][0]["p1"].mac == "02:00:00:00:00:01"
    assert seen[0][1] == ("port 'p2': MAC 'wrong' is not of the form 02:00:00:00:00:01",)
    assert all(one != other for one, other in pairwise(seen)), "each step is one"
    session.idl.force_reconnect()
    database.transact([update("Port", 7, mac="02:00:00:00:00:08"), update("Overlay_Global", 1, nb_cfg=99)])
    catch_up(session, 99)
    assert snapshot.declared(session.idl, cache) == snapshot.declared(session.idl)
    assert snapshot.declared(session.idl, cache).ports["p1"].mac == "02:00:00:00:00:08"


def references(*numbers: int) -> list[Any]:
    return ["set", [["uuid", uuid(number)] for number in numbers]]


def values(*of: Any) -> list[Any]:
    return ["set", list(of)]


BASE = [
    insert("Overlay_Global", 1, nb_cfg=1, drops_asked=3),
    insert("Tenant", 2, name="acme"),
    insert("Vtep", 10, ip="2001:db8::1", encaps="gre", mtu=9000),
    insert("Vtep", 11, ip="192.0.2.10"),
    insert("Vtep", 12, ip="192.0.2.9"),
    insert(
        "Chassis",
        20,
        name="h1",
        ovsdb="unix:/h1",
        vteps=references(10, 11, 12),
        bridges=["map", [["provider", "br-ex"], ["lab", "br-lab"]]],
    ),
]


def read(database: rpc.Connection, session: Session, *operations: dict[str, Any]) -> snapshot.Declared:
    database.transact([*BASE, *operations])
    catch_up(session, 1)
    return snapshot.declared(session.idl)


def test_every_declared_column_becomes_a_value(
    served: tuple[rpc.Connection, Session, snapshot.PortCache],
) -> None:
    database, session, _ = served
    red = ["uuid", uuid(3)]
    found = read(
        database,
        session,
        insert(
            "Network",
            3,
            name="red",
            tenant=["uuid", uuid(2)],
            vni=100,
            encap="gre",
            gateways=values("10.0.0.254", "2001:DB8::FE"),
            mtu=1400,
            unknown_neighbor="gateway",
            multicast="drop",
            vlan_transparent=True,
            physical="provider",
            physical_vlan=7,
            gateway_chassis="h1",
        ),
        insert("Port", 5, name="trunk1", network=red, mac="02:00:00:00:00:01"),
        insert(
            "Port",
            6,
            name="sub1",
            network=red,
            mac="02:00:00:00:00:02",
            allowed_pairs=values("10.9.0.0/16", "02:00:00:00:00:fe 10.0.0.253/32", "2001:DB8::7"),
            security=False,
            may=values("router", "dhcp-server"),
            flood_rate=0,
            parent="trunk1",
            tag=100,
            service_tag=True,
        ),
    )
    assert found.faults == ()
    assert found.drops_asked == 3
    every = frozenset(Encap)
    assert found.chassis["h1"].chassis == Chassis(
        "h1",
        (Vtep("192.0.2.9", every), Vtep("192.0.2.10", every), Vtep("2001:db8::1", frozenset({Encap.GRE}), 9000)),
        (("lab", "br-lab"), ("provider", "br-ex")),
    )
    network = found.networks["red"]
    assert network == Network(
        "red",
        "acme",
        100,
        Encap.GRE,
        details=network.details,
        unknown_neighbor=UnknownNeighbor.GATEWAY,
        drops_multicast=True,
        routers=("10.0.0.254", "2001:db8::fe"),
        transparent=True,
        mtu=1400,
        gateway=Gateway("provider", 7, "h1"),
    )
    port = found.ports["sub1"]
    assert port == Port(
        "sub1",
        "red",
        "02:00:00:00:00:02",
        details=port.details,
        secure=False,
        pairs=(Pair("10.9.0.0/16"), Pair("2001:db8::7"), Pair("10.0.0.253", "02:00:00:00:00:fe")),
        may=frozenset(May),
        flood_rate=0,
        parent="trunk1",
        tag=100,
        service_tag=True,
    )
    assert found.ports["trunk1"] == Port("trunk1", "red", "02:00:00:00:00:01"), "empty is the default"
    assert json.loads(port.details) == {
        "allowed_pairs": ["02:00:00:00:00:fe 10.0.0.253/32", "10.9.0.0/16", "2001:DB8::7"],
        "security": False,
        "may": ["dhcp-server", "router"],
        "flood_rate": 0,
        "parent": "trunk1",
        "tag": 100,
        "service_tag": True,
    }


def test_a_port_that_can_not_be_behind_its_parent_is_left_out_alone(
    served: tuple[rpc.Connection, Session, snapshot.PortCache],
) -> None:
    database, session, _ = served

    def port(number: int, **columns: Any) -> dict[str, Any]:
        mac = f"02:00:00:00:00:{number:02x}"
        return insert("Port", number, name=f"p{number}", network=["uuid", uuid(3)], mac=mac, **columns)

    found = read(
        database,
        session,
        insert("Network", 3, name="red", tenant=["uuid", uuid(2)], vni=100, encap="vxlan"),
        port(30),
        port(31, parent="p30", tag=1),
        port(32, parent="p31", tag=1),
        port(33, parent="p30", tag=1),
        port(34, parent="nobody", tag=1),
        port(35, parent="p35", tag=1),
        port(36, parent="p30"),
        port(37, tag=1),
        port(38, parent="p30", tag=2),
        port(39, allowed_pairs="10.0.0.1/24"),
    )
    assert sorted(found.ports) == ["p30", "p31", "p38"]
    assert [fault.partition(";")[0] for fault in found.faults] == [
        "port 'p32': its parent 'p31' is itself behind a parent",
        "port 'p33': its tag 1 is that of port 'p31' behind 'p30' already",
        "port 'p34': its parent 'nobody' is no port, or none that can be used",
        "port 'p35': its parent 'p35' is itself behind a parent",
        "port 'p36': it has a parent and no tag",
        "port 'p37': it has a tag and no parent",
        "port 'p39': allowed pair '10.0.0.1/24': 10.0.0.1/24 has host bits set",
    ]


def test_of_two_networks_with_one_vni_one_is_left_out(tmp_path: Path) -> None:
    """A server whose schema has no indexes takes them; two tenants would be one."""
    bare = document.schema()
    for table in bare["tables"].values():
        table.pop("indexes", None)
    (tmp_path / "bare").write_text(json.dumps(bare))
    run_tool("create", tmp_path / "test.db", tmp_path / "bare")
    with serving(tmp_path) as remote, rpc.connect(remote) as database:
        session = Session(remote, document.schema())
        tenants = [insert("Tenant", number, name=f"t{number}") for number in (2, 3)]
        networks = [
            insert("Network", 10 + number, name=name, tenant=["uuid", uuid(number)], vni=100, encap="vxlan")
            for number, name in ((2, "red"), (3, "blue"))
        ]
        database.transact([*tenants, *networks, {"op": "insert", "table": "Overlay_Global", "row": {"nb_cfg": 7}}])
        catch_up(session, 7)
        found = snapshot.declared(session.idl)
        session.close()
    assert list(found.networks) == ["blue"]
    first = "VNI 100 is that of network 'blue' too, which has it"
    assert found.network_faults == {"red": f"it is left out: {first}; overlayctl net-set red --vni VNI"}


def test_a_way_out_that_is_none_is_left_out_alone(
    served: tuple[rpc.Connection, Session, snapshot.PortCache],
) -> None:
    database, session, _ = served

    def network(number: int, **columns: Any) -> dict[str, Any]:
        tenant = ["uuid", uuid(2)]
        return insert("Network", number, name=f"n{number}", tenant=tenant, vni=number, encap="vxlan", **columns)

    found = read(
        database,
        session,
        network(30, physical="provider", gateway_chassis="h1"),
        network(31, physical="provider", physical_vlan=0, gateway_chassis="h1"),
        network(32, physical="provider", physical_vlan=9, gateway_chassis="h9"),
        network(33, physical="other", gateway_chassis="h1"),
        network(34, physical="lab"),
        network(35, gateways="nonsense"),
    )
    assert found.networks["n30"].gateway == Gateway("provider", 0, "h1")
    assert [name for name, each in found.networks.items() if each.gateway is None] == [
        "n31",
        "n32",
        "n33",
        "n34",
        "n35",
    ]
    none = "it has no way out of the overlay: "
    assert {name: fault.partition(";")[0] for name, fault in found.network_faults.items()} == {
        "n31": none + "VLAN 0 of the physical network 'provider' is that of network 'n30'",
        "n32": none + "its gateway chassis 'h9' is not declared",
        "n33": none + "its gateway chassis 'h1' has no bridge to the physical network 'other'",
        "n34": none + "physical needs the other one beside it",
        "n35": "gateways: IP 'nonsense' is not an IP address such as 10.0.0.1 or 2001:db8::1",
    }
    assert [fault.split(":")[0] for fault in found.faults] == [f"network 'n{number}'" for number in range(31, 36)]
