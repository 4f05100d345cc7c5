"""`overlayctl` on a RAFT cluster of three: whoever dies, each write is done once, each address is one port's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from ovsdb.rpc import connect
from tests.cluster import eventually
from tests.overlay_database import needs_ovsdb
from topologies.cluster import cluster, in_cluster

pytestmark = [needs_ovsdb, pytest.mark.server]
PROGRAM = str(Path(sys.executable).with_name("overlayctl"))
WRITERS = 12
EACH = 6


def overlayctl(remote: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OVERLAY_DB": remote}
    return subprocess.run([PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_no_address_twice_and_none_lost_while_leaders_die(tmp_path: Path) -> None:
    """Many at once, told of the members in different orders; two leaders are killed, and come back."""
    acknowledged: dict[str, str] = {}
    times: list[float] = []
    with cluster(tmp_path) as made:
        first = overlayctl(made.remote, "net-add", "red", "--tenant", "t", "--vni", "1", "--subnet", "10.0.0.0/24")
        assert first.returncode == 0, first.stderr

        def writer(number: int) -> None:
            places = made.remote.split(",")
            turned = ",".join(places[number % 3 :] + places[: number % 3])
            for round_ in range(EACH):
                name = f"p{number}-{round_}"
                done = overlayctl(turned, "port-add", name, "--net", "red", "--ip", "auto")
                assert done.returncode == 0, done.stderr
                acknowledged[name] = done.stdout.rpartition(" ")[2].strip()
                times.append(time.monotonic())

        def killer() -> None:
            for _ in range(2):
                time.sleep(1.0)
                leader = made.leader()
                leader.kill()
                time.sleep(2.0)
                leader.start()
                made.settle()

        killing = threading.Thread(target=killer)
        killing.start()
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(writer, range(WRITERS)))
        killing.join()
        with connect(made.leader().socket) as database:
            addresses = {row["_uuid"][1]: row["ip"] for row in database.select("Address")}
            held = {row["name"]: addresses[row["addresses"][1]] for row in database.select("Port")}
            changes = database.select("Change")
            numbers = database.select("Overlay_Global")[0]["nb_cfg"]
    assert held == acknowledged
    assert len(set(held.values())) == len(held) == len(addresses) == WRITERS * EACH
    assert len(changes) == numbers == WRITERS * EACH + 1
    gap = max(later - earlier for earlier, later in pairwise(sorted(times)))
    print(f"longest time without a write: {gap:.2f} s")
    assert gap < 10  # two to three seconds on a machine that does nothing else


def test_without_a_majority_one_can_still_read(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        assert overlayctl(made.remote, "net-add", "red", "--tenant", "t", "--vni", "1").returncode == 0
        left = made.leader()
        for member in made.members:
            if member is not left:
                member.signal(signal.SIGKILL)
        eventually(lambda: not in_cluster(left), 20, "the last one notices")
        read = overlayctl(made.remote, "net-list")
        assert read.returncode == 0, read.stderr
        assert "red" in read.stdout
        assert "is cut off from its cluster: this may be old" in read.stderr
        written = overlayctl(made.remote, "--timeout", "2", "net-add", "blue", "--tenant", "t", "--vni", "2")
        assert written.returncode == 1
        assert "cut off from the majority" in written.stderr or "no answer" in written.stderr


@pytest.mark.parametrize("verb", ["net-add blue --tenant t --vni 2", "net-list"])
def test_a_member_that_hangs_holds_nobody_up_for_long(tmp_path: Path, verb: str) -> None:
    with cluster(tmp_path) as made:
        assert overlayctl(made.remote, "net-add", "red", "--tenant", "t", "--vni", "1").returncode == 0
        hanging = made.followers()[0]
        others = [member.socket for member in made.members if member is not hanging]
        hanging.signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            done = overlayctl(",".join([hanging.socket, *others]), *verb.split())
            assert done.returncode == 0, done.stderr
            assert time.monotonic() - started < 8
        finally:
            hanging.signal(signal.SIGCONT)
