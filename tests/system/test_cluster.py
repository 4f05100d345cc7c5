"""The overlay database as a RAFT cluster: leaders die while many write, the majority goes, members are behind."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovsdb import rpc
from ovsdb.embedded import schema
from ovsdb.paths import DATABASE
from ovsdb.rpc import DatabaseError, TransactionError, UnreachableError, connect
from ovsdb.session import Session
from tests.cluster import eventually
from topologies.cluster import Cluster, cluster, standalone
from topologies.controller import overlayctl
from topologies.writers import Writers

pytestmark = pytest.mark.system
GAP = 3.0
"""The longest that nobody can write when the leader dies, in seconds."""
TIMER = 500
"""The election timer that is documented, in ms."""


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path, timer=TIMER) as made:
        yield made


def test_leaders_die_while_many_write(three: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """No acknowledged write is lost, each is there once, and somebody can write again within three seconds."""
    writers = Writers(three.remote, 6)
    gaps = []
    try:
        for _ in range(5):
            time.sleep(1)
            leader = three.leader()
            killed = time.monotonic()
            leader.kill()
            time.sleep(GAP + 0.5)
            gaps.append(writers.gap(killed))
            leader.start()
            three.settle()
    finally:
        writers.end()
    with capsys.disabled():
        print(f"\n  write gap over 5 kills: median {statistics.median(gaps):.2f} s, longest {max(gaps):.2f} s")
    assert max(gaps) <= GAP
    with connect(three.remote, leader=True) as database:
        names = [row["name"] for row in database.select("Tenant")]
    assert len(names) == len(set(names))
    assert {name for _, name in writers.acknowledged} <= set(names)
    # At most one write of each client was under way when it ended.
    assert len(names) <= len(writers.acknowledged) + len(writers.threads)


def test_commands_go_on_while_leaders_die(three: Cluster) -> None:
    """Every `overlayctl` that says it is done has done it, once; none fails: the gap is shorter than its patience."""
    environment = os.environ | {"OVERLAY_DB": three.tcp}
    ended = threading.Event()
    done: list[str] = []
    failed: list[str] = []

    def command(number: int) -> None:
        serial = 0
        while not ended.is_set():
            name = f"t{number}-{serial}"
            run = [*overlayctl(), "tenant-add", name]
            result = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
            (failed if result.returncode else done).append(result.stderr if result.returncode else name)
            serial += 1

    clients = [threading.Thread(target=command, args=(number,)) for number in range(3)]
    for client in clients:
        client.start()
    for _ in range(2):
        time.sleep(1.5)
        leader = three.leader()
        leader.kill()
        time.sleep(GAP)
        leader.start()
        three.settle()
    ended.set()
    for client in clients:
        client.join()
    assert failed == []
    with connect(three.remote, leader=True) as database:
        names = [row["name"] for row in database.select("Tenant")]
        changes = database.select("Change")
        counted = database.select("Overlay_Global")[0]["nb_cfg"]
    assert sorted(names) == sorted(done)
    assert len(changes) == counted == len(done)


def test_without_a_majority_one_can_read_and_not_write(three: Cluster) -> None:
    with connect(three.remote) as database:
        database.transact([{"op": "insert", "table": "Tenant", "row": {"name": "acme"}}])
    for member in three.members[:2]:
        member.kill()
    left = three.members[2]
    eventually(lambda: not _connected(left.socket), 10, "the last member knows that it is alone")
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="cut off from the majority of its cluster"):
        connect(three.remote)
    assert time.monotonic() - began < rpc.GRACE + 1
    with connect(three.remote, stale=True) as database:
        assert [row["name"] for row in database.select("Tenant")] == ["acme"]
    assert time.monotonic() - began < rpc.GRACE + 2
    environment = os.environ | {"OVERLAY_DB": three.remote}
    shown = subprocess.run([*overlayctl(), "tenant-list"], env=environment, capture_output=True, text=True, check=False)
    assert (shown.returncode, "acme" in shown.stdout) == (0, True), shown.stderr
    refused = subprocess.run(
        [*overlayctl(), "--timeout", "3", "tenant-add", "umbra"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (refused.returncode, "cut off from the majority" in refused.stderr) == (1, True), refused.stderr
    three.members[0].start()
    eventually(lambda: _writes(three.remote, "umbra"), 15, "with two of three one can write")


def test_a_member_that_hangs_is_passed_over(three: Cluster) -> None:
    three.members[0].signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with connect(three.remote) as database:
            assert database.where == three.members[1].socket
        assert time.monotonic() - began < 2
    finally:
        three.members[0].signal(signal.SIGCONT)


def test_tcp_and_the_leader(three: Cluster) -> None:
    with connect(three.tcp, leader=True) as database:
        assert database.where == three.leader().tcp
        assert database.served is not None
        assert (database.served.model, database.served.leader) == ("clustered", True)


def test_a_session_goes_on_at_another_member(three: Cluster) -> None:
    session = _session(three.remote)
    try:
        eventually(lambda: _turn(session).in_sync, 5, "it is in sync")
        member = next(each for each in three.members if session.idl.session_name() == each.socket)
        member.kill()
        eventually(lambda: not _turn(session).in_sync, 5, "the loss is noticed")
        began = time.monotonic()
        eventually(lambda: _turn(session).in_sync, 10, "another member serves it")
        assert time.monotonic() - began < 5
    finally:
        session.close()


def test_a_session_never_goes_back(three: Cluster) -> None:
    """A member that is behind, and does not know it yet, is not read from."""
    leader, followers = three.leader(), three.followers()
    session = _session(",".join(each.socket for each in followers))
    try:
        eventually(lambda: _turn(session).in_sync, 5, "it is in sync")
        # It begins with any of those it was given.
        ahead, behind = sorted(followers, key=lambda each: each.socket != session.idl.session_name())
        behind.signal(signal.SIGSTOP)
        with connect(three.remote) as database:
            for number in range(5):
                database.transact([{"op": "insert", "table": "Tenant", "row": {"name": f"t{number}"}}])
        eventually(lambda: len(_tenants(_turn(session))) == 5, 5, "it has read what is new")
        leader.kill()
        ahead.kill()
        behind.signal(signal.SIGCONT)
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            assert len(_tenants(_turn(session))) == 5
        assert not session.in_sync
        leader.start()
        ahead.start()
        eventually(lambda: _turn(session).in_sync, 15, "it is in sync again")
        assert len(_tenants(session)) == 5
    finally:
        session.close()


def test_a_session_stays_with_its_cluster(tmp_path: Path) -> None:
    """Two clusters of one name, and a standalone server: what was not read before is refused."""
    places = [tmp_path / name for name in ("one", "two", "three")]
    for place in places:
        place.mkdir()
    with (
        cluster(places[0], size=1) as first,
        cluster(places[1], size=1) as second,
        standalone(places[2]) as third,
    ):
        with connect(second.remote) as database:
            database.transact([{"op": "insert", "table": "Tenant", "row": {"name": "stranger"}}])
        second.members[0].stop()
        third.stop()
        session = _session(f"{first.remote},{second.remote},{third.socket}")
        try:
            eventually(lambda: _turn(session).in_sync, 5, "it is in sync")
            second.members[0].start()
            third.start()
            first.members[0].kill()
            faults = set()
            deadline = time.monotonic() + 4
            while time.monotonic() < deadline:
                assert _tenants(_turn(session)) == set()
                faults.add(session.fault)
            assert not session.in_sync
            assert any("it belongs to cluster" in fault for fault in faults), faults
            assert any("it belongs to no cluster" in fault for fault in faults), faults
            first.members[0].start()
            eventually(lambda: _turn(session).in_sync, 10, "its own cluster is taken back")
        finally:
            session.close()


def _session(remote: str, lock: str | None = None) -> Session:
    return Session(remote, json.loads(schema().read_text()), lock)


def _turn(session: Session) -> Session:
    session.run()
    session.block()
    return session


def _tenants(session: Session) -> set[Any]:
    return {row.name for row in session.idl.tables["Tenant"].rows.values()}


def _connected(where: str) -> bool:
    with connect(where, "_Server") as server:
        return bool(server.select("Database", [["name", "==", DATABASE]])[0]["connected"])


def _writes(where: str, name: str) -> bool:
    try:
        with connect(where, timeout=1) as database:
            database.transact([{"op": "insert", "table": "Tenant", "row": {"name": name}}], 2)
    except TransactionError as refused:
        return refused.error == "constraint violation"
    except DatabaseError:
        return False
    return True
