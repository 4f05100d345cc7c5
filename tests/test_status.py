"""What the controller says of the state of things is what stands in the database, and what it reads there again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from flows.bind import Exit, Outlet, bind
from flows.model import Neighbor, Network, Plug, Port
from ovsdb import document, rpc, snapshot, status
from ovsdb.session import Session
from ovsdb.status import BindingStatus, ChassisStatus, Drop, Drops, NetworkStatus, Status
from tests.overlay_database import needs_ovsdb, serving

pytestmark = needs_ovsdb

TRUNK = Plug("h1", "eth1", 5, iface_id="trunk1", trunk="200=5002")
PLAIN = Plug("h1", "vm1", 6, vni="100")
NEIGHBOR = Neighbor("red", "10.0.0.9", "02:00:00:00:00:09", "h1", "vm1")
SAID = Status(
    {"h1": ChassisStatus("ready", "", "system", "", 1, 9)},
    {
        ("h1", "eth1", 0): BindingStatus(TRUNK, "red", "trunk1", True, ""),
        ("h1", "eth1", 100): BindingStatus(TRUNK, "blue", "sub1", True, ""),
        ("h1", "eth1", 200): BindingStatus(TRUNK, "green", None, False, "something"),
        ("h1", "vm1", 0): BindingStatus(PLAIN, "red", None, True, ""),
    },
    (NEIGHBOR,),
    1,
    frozenset({"h1"}),
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[rpc.Connection, Session]]:
    with serving(tmp_path) as remote, rpc.connect(remote) as database:
        database.transact([{"op": "insert", "table": "Overlay_Global", "row": {"database_id": "one"}}])
        session = Session(remote, document.schema())
        yield database, session
        session.close()


def say(session: Session, said: Status) -> None:
    deadline = time.monotonic() + 5
    while True:
        session.run()
        if session.in_sync and session.transact(lambda idl, transaction: status.write(idl, transaction, said)):
            break
        assert time.monotonic() < deadline
        session.block()
    session.run()


def rows(database: rpc.Connection, table: str, *columns: str) -> list[Any]:
    plain = [[rpc.elements(row[column]) for column in columns] for row in database.select(table)]
    return sorted([value[0] if value else None for value in row] for row in plain)


def test_a_trunk_has_a_row_for_each_tag(served: tuple[rpc.Connection, Session]) -> None:
    database, session = served
    say(session, SAID)
    columns = ("interface", "tag", "iface_id", "trunk", "network", "port", "up")
    assert rows(database, "Binding", *columns) == [
        ["eth1", 0, "trunk1", "200=5002", "red", "trunk1", True],
        ["eth1", 100, "trunk1", "200=5002", "blue", "sub1", True],
        ["eth1", 200, "trunk1", "200=5002", "green", None, False],
        ["vm1", 0, None, None, "red", None, True],
    ]
    last = snapshot.last_known(session.idl)
    assert last.plugs == (TRUNK, PLAIN), "one for each interface"
    assert last.held == {"trunk1": (("h1", "eth1"),), "sub1": (("h1", "eth1"),)}
    say(session, replace(SAID, bindings={place: said for place, said in SAID.bindings.items() if place[2] != 200}))
    assert [row[1] for row in rows(database, "Binding", "interface", "tag")] == [0, 100, 0]


def test_which_of_two_places_had_a_port_is_read_again(served: tuple[rpc.Connection, Session]) -> None:
    """In whatever order the rows come."""
    _, session = served
    ports, networks = {"web1": Port("web1", "red", "02:00:00:00:00:01")}, {"red": Network("red", "acme", 100)}
    plugs = [Plug(chassis, "vm1", 1, iface_id="web1") for chassis in ("h1", "h2", "h3")]
    for held in permutations(("h1", "h2", "h3"), 2):
        places = tuple((chassis, "vm1") for chassis in held)
        bound = bind(networks, ports, plugs, {"web1": places})
        at = {binding.chassis for binding in bound.bindings}
        said = {
            (plug.chassis, "vm1", 0): BindingStatus(
                plug, "red", "web1" if plug.chassis in at else None, True, bound.problems.get((plug.chassis, "vm1"), "")
            )
            for plug in plugs
        }
        say(session, replace(SAID, bindings=said, asked=frozenset({"h1", "h2", "h3"})))
        assert snapshot.last_known(session.idl).held == {"web1": places}


def test_what_leads_outside_is_no_plug(served: tuple[rpc.Connection, Session]) -> None:
    database, session = served
    out = BindingStatus(Plug("h1", "overlay-to-br0", 7), "red", None, True, "", "office")
    said = replace(SAID, bindings={**SAID.bindings, ("h1", "overlay-to-br0", 10): out})
    say(session, said)
    assert ["overlay-to-br0", 10, "red", "office"] in rows(
        database, "Binding", "interface", "tag", "network", "physical"
    )
    last = snapshot.last_known(session.idl)
    assert last.plugs == (TRUNK, PLAIN)
    assert last.outlets == ((Outlet("red", "h1", "office", 10), Exit("h1", "office", "overlay-to-br0", 7)),)


def test_when_a_neighbor_was_heard_is_written_to_half_a_minute(served: tuple[rpc.Connection, Session]) -> None:
    database, session = served
    for heard, written in ((1_800_000_000, 1_800_000_000), (1_800_000_029, 1_800_000_000), (1_800_000_030,) * 2):
        say(session, replace(SAID, seen={("red", "10.0.0.9"): heard}))
        assert rows(database, "Neighbor", "ip", "seen") == [["10.0.0.9", written]]
        assert snapshot.last_known(session.idl).seen == {("red", "10.0.0.9"): written}


def test_of_a_neighbor_that_moved_it_is_written_when_it_was_heard_there(
    served: tuple[rpc.Connection, Session],
) -> None:
    database, session = served
    say(session, replace(SAID, seen={("red", "10.0.0.9"): 1_800_000_000}))
    moved = replace(SAID.neighbors[0], interface="vm7")
    say(session, replace(SAID, neighbors=(moved,), seen={("red", "10.0.0.9"): 1_800_000_003}))
    assert rows(database, "Neighbor", "interface", "seen") == [["vm7", 1_800_000_003]]


def test_what_is_said_of_a_network(served: tuple[rpc.Connection, Session]) -> None:
    database, session = served
    tenant = {"op": "insert", "table": "Tenant", "row": {"name": "acme"}, "uuid-name": "acme"}
    column = {"tenant": ["named-uuid", "acme"], "encap": "gre"}
    rows_of = [{"name": "red", "vni": 1, **column}, {"name": "blue", "vni": 2, **column}]
    database.transact([tenant, *({"op": "insert", "table": "Network", "row": row} for row in rows_of)])
    deadline = time.monotonic() + 5
    while len(session.idl.tables["Network"].rows) < 2:
        assert time.monotonic() < deadline
        session.run()
        session.block()
    said = {"red": NetworkStatus(1450, "no way out")}
    say(session, replace(SAID, networks=said))
    assert rows(database, "Network", "name", "carries", "error") == [["blue", None, ""], ["red", 1450, "no way out"]]
    say(session, replace(SAID, networks={"red": NetworkStatus()}))
    assert rows(database, "Network", "name", "carries", "error") == [["blue", None, ""], ["red", None, ""]]


def test_drops_answer_the_request_they_were_read_for_and_no_other(served: tuple[rpc.Connection, Session]) -> None:
    database, session = served

    def asked(number: int) -> None:
        change = {"op": "update", "table": "Overlay_Global", "where": [], "row": {"drops_asked": number}}
        database.transact([change])
        deadline = time.monotonic() + 5
        while not session.in_sync or snapshot.declared(session.idl).drops_asked != number:
            assert time.monotonic() < deadline
            session.run()
            session.block()

    one, other = Drop("h1", "drop-spoofed-mac", 3, 180, "red", "web1", "vm1"), Drop("h1", "drop-no-network", 7, 700)
    columns = ("chassis", "network", "port", "interface", "reason", "packets", "octets")
    of_one = ["h1", "red", "web1", "vm1", "drop-spoofed-mac", 3, 180]
    asked(1)
    say(session, replace(SAID, drops=Drops(1, (one,))))
    assert rows(database, "Drop", *columns) == [of_one]
    assert rows(database, "Overlay_Global", "drops_read") == [[1]]
    say(session, replace(SAID, drops=Drops(2, (other,))))
    assert rows(database, "Drop", *columns) == [of_one], "nobody has asked"
    asked(2)
    say(session, replace(SAID, drops=Drops(1, ())))
    assert rows(database, "Drop", *columns) == [of_one], "an answer from before"
    say(session, replace(SAID, drops=Drops(2, (other,))))
    assert rows(database, "Drop", "chassis", "network", "reason") == [["h1", None, "drop-no-network"]]
