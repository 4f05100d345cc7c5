"""`overlayctl drops`: asks, waits for the answer, and tells it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from flows.tables import Kind
from ovsdb import document, status
from ovsdb.rpc import Connection
from ovsdb.session import Session
from ovsdb.snapshot import declared
from ovsdb.status import Drop, Drops, Status
from tests.cli.words import call, update
from tests.overlay_database import needs_ovsdb

pytestmark = needs_ovsdb
ROWS = (
    Drop("h1", "drop-spoofed-mac", 3, 180, "red", "web1", "vm1"),
    Drop("h1", "drop-no-network", 7, 700),
    Drop("h2", "drop-spoofed-arp", 0, 0, "red", "web2", "vm2"),
    Drop("h2", "drop-router", 1, 70, "blue", None, "vm9"),
    Drop("h2", Kind.DROP_PROBE.label, 9, 540, None, None, "overlay-vxlan"),
)


@contextmanager
def controller(served: str) -> Iterator[list[int]]:
    """What a controller does: it reads that it is asked, and writes its answer, a packet more each time."""
    answered: list[int] = []
    over = threading.Event()

    def serve() -> None:
        session = Session(served, document.schema())
        while not over.is_set():
            session.run()
            asked = declared(session.idl).drops_asked if session.in_sync else 0
            if asked > len(answered):
                first = Drop("h1", ROWS[0].reason, 3 + len(answered), 180, *("red", "web1", "vm1"))
                said = Status({}, {}, (), 0, frozenset(), drops=Drops(asked, (first, *ROWS[1:])))
                if session.transact(lambda idl, transaction, said=said: status.write(idl, transaction, said)):
                    answered.append(asked)
            session.block()
        session.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield answered
    finally:
        over.set()
        thread.join()


@pytest.fixture
def alive(session: None, database: Connection) -> None:
    update(database, "Overlay_Global", [], heartbeat=int(time.time()))


@pytest.mark.usefixtures("alive")
def test_each_time_it_is_asked_anew(run: Callable[..., str], served: str, database: Connection) -> None:
    before = database.select("Overlay_Global")[0]["nb_cfg"]
    with controller(served) as answered:
        lines = run("drops").splitlines()
        again = run("drops --wait --columns packets,reason --no-headings").splitlines()
    assert [line.split()[:7] for line in lines] == [
        ["CHASSIS", "NETWORK", "PORT", "INTERFACE", "REASON", "PACKETS", "OCTETS"],
        ["h1", "-", "-", "-", "drop-no-network", "7", "700"],
        ["h1", "red", "web1", "vm1", "drop-spoofed-mac", "3", "180"],
        ["h2", "blue", "-", "vm9", "drop-router", "1", "70"],
    ]
    assert lines[2].endswith(Kind.DROP_SPOOFED_MAC.purpose)
    assert [line.split() for line in again][1] == ["4", "drop-spoofed-mac"]
    assert answered == [1, 2]
    assert database.select("Overlay_Global")[0]["nb_cfg"] == before, "nothing that is declared has changed"


@pytest.mark.usefixtures("alive")
def test_probes_are_told_with_all_alone(run: Callable[..., str], served: str) -> None:
    """They end there on purpose, on every chassis: between what matters they are in the way."""
    with controller(served):
        assert "drop-probe" not in run("drops")
        assert "overlay-vxlan" not in run("drops --chassis h2")
    told = json.loads(run("drops --last --all --chassis h2 --format json"))
    assert ("drop-probe", 9) in [(row["reason"], row["packets"]) for row in told]


@pytest.mark.usefixtures("alive")
def test_what_is_wanted_of_it(run: Callable[..., str], served: str) -> None:
    with controller(served):
        told = json.loads(run("drops --network red --all --format json"))
    assert [(row["port"], row["packets"]) for row in told] == [("web1", 3), ("web2", 0)]
    assert told[1]["why"] == Kind.DROP_SPOOFED_ARP.purpose
    assert run("drops --last --port web2") == "nothing was dropped\n"
    assert run("drops --last --chassis h2 --format csv").splitlines() == [
        "chassis,network,port,interface,reason,packets,octets,why",
        f"h2,blue,,vm9,drop-router,1,70,{Kind.DROP_ROUTER.purpose}",
    ]
    assert run("drops --last --network blue --columns reason --no-headings") == "drop-router\n"


@pytest.mark.usefixtures("alive")
def test_a_controller_that_does_not_answer(capsys: pytest.CaptureFixture[str], database: Connection) -> None:
    started = time.monotonic()
    assert call("drops --timeout 0.3") == 3
    assert "was asked for fresh counters, and has not answered within 0.3 s; is it running" in capsys.readouterr().err
    update(database, "Overlay_Global", [], heartbeat=1)
    assert call("drops") == 3
    assert "has not answered within 5 s" in capsys.readouterr().err, "it left no sign of life for long"
    assert time.monotonic() - started < 20


def test_what_is_refused(refused: Callable[..., str]) -> None:
    assert "no controller has ever been at work on" in refused("drops")
    assert "there is no chassis 'h9'" in refused("drops --chassis h9")
    assert "there is no network 'grey'" in refused("drops --network grey")
    assert "there is no port 'x'" in refused("drops --port x")
