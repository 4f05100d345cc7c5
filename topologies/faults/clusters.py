"""The overlay database as a cluster: its leader dies, its majority goes, another one has its name, a member is behind.

The servers are on the machine itself, and reached by unix sockets; their own network is the loopback.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ovsdb.rpc import DatabaseError, UnreachableError, connect
from topologies.cluster import Cluster, Server, cluster
from topologies.faults.case import LOST, Case
from topologies.faults.ground import Ground, NotHealed
from topologies.lab import Lab
from topologies.writers import Writers

TIMER_MS: Final = 500
"""The election timer that is documented."""
GAP_S: Final = 3.0
"""The longest that nobody can write when the leader dies."""
KILLS: Final = 3
WRITERS: Final = 3


@contextlib.contextmanager
def three(lab: Lab) -> Iterator[Cluster]:
    """A cluster of three as the lab's overlay database."""
    with cluster(_directory(lab, "cluster"), timer=TIMER_MS) as made:
        lab.database = made.remote
        yield made


@contextlib.contextmanager
def two_clusters(lab: Lab) -> Iterator[tuple[Server, Server]]:
    """Two clusters of one member each and of one name; the lab is told of both, and the second does not run yet."""
    with (
        cluster(_directory(lab, "first"), size=1) as first,
        cluster(_directory(lab, "second"), size=1) as second,
    ):
        second.members[0].stop()
        lab.database = f"{first.remote},{second.remote}"
        yield first.members[0], second.members[0]


def _directory(lab: Lab, name: str) -> Path:
    made = lab.directory / name
    made.mkdir()
    return made


def _leader_killed(ground: Ground, _: random.Random) -> None:
    """Some write without end, and a declaration is installed each time."""
    members = _of(ground)
    writers = Writers(members.remote, WRITERS)
    gaps = []
    try:
        for number in range(KILLS):
            leader = members.leader()
            killed = time.monotonic()
            leader.kill()
            ground.lab.overlayctl("--wait", "net-add", f"late{number}", "--tenant", "acme", "--vni", str(300 + number))
            ground.heals(lambda: True, 30, killed)
            time.sleep(GAP_S)
            gaps.append(writers.gap(killed))
            leader.start()
            members.settle()
    finally:
        writers.end()
    with connect(members.remote, leader=True) as database:
        names = [row["name"] for row in database.select("Tenant")]
    acknowledged = {name for _, name in writers.acknowledged}
    ground.remark(f"{KILLS} kills, {len(acknowledged)} writes, at most {max(gaps):.1f} s without one")
    if lost := acknowledged - set(names):
        raise NotHealed(f"{len(lost)} acknowledged writes are lost")
    if len(names) != len(set(names)) or max(gaps) > GAP_S:
        raise NotHealed(f"a write is there twice, or nobody could write for {max(gaps):.1f} s")
    ground.heals(ground.ready, 20)
    ground.settle()


def _majority_gone(ground: Ground, _: random.Random) -> None:
    lab, members, before = ground.lab, _of(ground), ground.all_flows()
    for member in members.members[:2]:
        member.kill()
    last = members.members[2].socket
    ground.until(lambda: not _writable(last), 15, "known to the last member")
    said = lab.overlayctl("--timeout", "3", "net-add", "never", "--tenant", "acme", "--vni", "301", check=False)
    if "cut off from the majority" not in said:
        raise NotHealed(f"a write without a majority is answered: {said.strip()[:80]}")
    if "red" not in lab.overlayctl("net-list"):
        raise NotHealed("nothing can be read without a majority")
    time.sleep(5)
    ground.same_flows(before, "flows changed without a majority")
    began = time.monotonic()
    for member in members.members[:2]:
        member.start()
    lab.overlayctl("--wait", "--timeout", "30", "net-add", "after", "--tenant", "acme", "--vni", "302")
    ground.heals(ground.ready, 30, began)
    if "never" in lab.overlayctl("net-list"):
        raise NotHealed("what was refused is there")


def _other_cluster(ground: Ground, _: random.Random) -> None:
    """The one that was read dies, and another one of the same name, with nothing in it, is at the second place."""
    lab, before = ground.lab, ground.all_flows()
    first, second = ground.servers
    second.start()
    first.kill()
    ground.until(lambda: "it belongs to cluster" in lab.controller_log(), 15, "told")
    time.sleep(5)
    ground.same_flows(before, "another cluster took flows from the switches")
    began = time.monotonic()
    first.start()
    ground.heals(ground.ready, 30, began)
    lab.overlayctl("--wait", "--timeout", "30", "net-add", "after", "--tenant", "acme", "--vni", "302")
    ground.heals(ground.ready, 30, began)


def _stale_follower(ground: Ground, _: random.Random) -> None:
    """One member has slept while something changed, and is the only one that is left."""
    lab, members = ground.lab, _of(ground)
    behind, ahead = members.followers()
    behind.signal(signal.SIGSTOP)
    lab.overlayctl("--wait", "port-set", "web1", "--allow", "10.0.7.7")
    before = ground.all_flows()
    others = [members.leader(), ahead]
    for each in others:
        each.kill()
    behind.signal(signal.SIGCONT)
    time.sleep(5)
    ground.same_flows(before, "a stale member took flows from the switches")
    began = time.monotonic()
    for each in others:
        each.start()
    ground.until(lambda: _writable(members.remote), 30, "able to write")
    ground.heals(ground.ready, 30, began)
    ground.settle()
    ground.same_flows(before)


def _upgraded(ground: Ground, _: random.Random) -> None:
    """A release that only adds has come: the database gets its schema while everybody is connected."""
    lab, members, before = ground.lab, _of(ground), ground.all_flows()
    with connect(members.remote, leader=True) as database:
        following = database.call("get_schema", [database.database])
    following["tables"]["Tenant"]["columns"]["fault_suite"] = {"type": {"key": "string", "min": 0, "max": 1}}
    number, _, rest = following["version"].rpartition(".")
    following["version"] = f"{number}.{int(rest) + 1}"
    rows = lab.overlayctl("--format", "json", "port-list")
    with ground.no_flow_mods():
        began = time.monotonic()
        # Who asks for it is disconnected like everybody else.
        with contextlib.suppress(UnreachableError), connect(members.remote, leader=True) as database:
            database.call("convert", [database.database, following], 30)
        ground.until(lambda: _version(members) == following["version"], 20, "of the new version")
        ground.heals(lambda: _heard(members), 30, began)
    ground.same_flows(before)
    with connect(members.remote, leader=True) as database:
        kept = {row["name"] for row in database.select("Port")}
    if kept != {row["name"] for row in json.loads(rows)}:
        raise NotHealed("ports are others than before")


def _version(members: Cluster) -> str:
    with contextlib.suppress(DatabaseError), connect(members.remote, leader=True) as database:
        return database.version()
    return ""


def _heard(members: Cluster) -> bool:
    """Whether the controller, and each chassis, has taken notice of a change that is made here."""
    with contextlib.suppress(DatabaseError), connect(members.remote, leader=True) as database:
        database.transact(
            [{"op": "mutate", "table": "Overlay_Global", "where": [], "mutations": [["nb_cfg", "+=", 1]]}]
        )
        wanted = database.select("Overlay_Global")[0]["nb_cfg"]
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            if all(row["cur_cfg"] >= wanted for row in database.select("Chassis")):
                return True
            time.sleep(0.05)
    return False


def _writable(where: str) -> bool:
    try:
        connect(where, timeout=0.1).close()
    except UnreachableError:
        return False
    return True


def _of(ground: Ground) -> Cluster:
    assert isinstance(ground.servers, Cluster)
    return ground.servers


_AWAY: Final = f"{LOST}|overlay database|raft|ovsdb"
CASES: Final = (
    Case("F24", "RAFT: leader killed", "writes go on in 3 s, none is lost", _leader_killed,
         expected=_AWAY, servers=three),
    Case("F25", "RAFT: quorum lost", "writes refused, forwarding goes on", _majority_gone,
         expected=_AWAY, servers=three),
    Case("F26", "two clusters of one name", "the other is refused", _other_cluster,
         expected=_AWAY, servers=two_clusters),
    Case("F27", "a stale follower", "no rollback", _stale_follower, expected=_AWAY, servers=three),
    Case("F28", "schema upgraded online", "rows kept, 0 flow mods", _upgraded, expected=_AWAY, servers=three),
)  # fmt: skip
