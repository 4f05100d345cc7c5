"""Several controllers at work at once: chassis shared out, taken over, handed back, and nobody fights."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsdb.rpc import connect
from tests.system.rogue import claim
from tests.system.steps import eventually, shown
from topologies import three_chassis
from topologies.cluster import Cluster
from topologies.controller import NAMES
from topologies.faults.ground import Ground
from topologies.faults.traffic import Sending, guest_of
from topologies.several import FIRST_PORT, SHARES, Several, several
from topologies.wiring import underlay_nic, vtep_bridge

TALKING = three_chassis.DECLARED

pytestmark = [pytest.mark.system, pytest.mark.alone]


@pytest.fixture(scope="module")
def together() -> Iterator[tuple[Several, Cluster]]:
    with several(three_chassis.TOPOLOGY, f"together{os.getpid()}") as (lab, servers):
        lab.up_with()
        lab.await_shares(SHARES)
        yield lab, servers
        for name in NAMES:
            print(name, lab.log_of(name))


def test_chassis_are_shared_out(together: tuple[Several, Cluster]) -> None:
    lab, _ = together
    assert lab.ping("web1", "web3").lost == 0
    for name in NAMES:
        assert "Traceback" not in lab.log_of(name)


@pytest.mark.parametrize("victim", NAMES)
def test_the_chassis_of_one_that_is_killed_are_taken_over(together: tuple[Several, Cluster], victim: str) -> None:
    lab, _ = together
    ground = Ground(lab)
    with ground.watching() as events, Sending(lab, [guest_of(lab, name) for name in TALKING]) as sending:
        time.sleep(0.5)
        lab.signal_named(victim, signal.SIGKILL)
        others = [name for name in NAMES if name != victim]
        took = lab.await_owners(others, 10)
        lab.start_named(victim)
        lab.await_shares(SHARES)
        time.sleep(0.5)
    assert sending.record is not None
    assert sum(map(len, events.values())) == 0, events
    assert (sending.record.losses(list(sending.record.lost)), sum(sending.record.leaked.values())) == (0, 0)
    assert took < 3


def test_one_that_was_stopped_and_returns_writes_nothing(together: tuple[Several, Cluster]) -> None:
    """It has missed a change, and has everything it needs to undo that but the right to."""
    lab, _ = together
    ground = Ground(lab)
    lab.signal_named("birch", signal.SIGSTOP)
    try:
        lab.await_owners(["amber", "cedar"], 10)
        lab.overlayctl("--wait", "port-set", "web1", "--allow", "10.0.7.1")
        logged = lab.logged_by("birch")
        with ground.watching() as events:
            lab.signal_named("birch", signal.SIGCONT)
            lab.await_shares(SHARES)
            time.sleep(1)
    finally:
        lab.signal_named("birch", signal.SIGCONT)
    assert sum(map(len, events.values())) == 0, events
    assert "h1: another controller's now" in logged.since()
    lab.overlayctl("--wait", "port-set", "web1", "--allow", "none")


class Relay:
    """A way to a server's socket that can be cut."""

    def __init__(self, at: Path, to: str) -> None:
        self.remote = f"unix:{at}"
        self._to = to
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(at))
        self._listening.listen()
        self._open: list[socket.socket] = []
        self._cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if self._cut:
                    near.close()
                    continue
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._to)
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut(self, cut: bool) -> None:
        self._cut = cut
        for each in self._open if cut else ():
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut(True)
        self._listening.close()


def test_one_that_is_cut_off_from_the_database_alone_cannot_write(
    together: tuple[Several, Cluster], tmp_path: Path
) -> None:
    """It still is connected to the switches, and to the database of the chassis that was its own."""
    lab, servers = together
    relay = Relay(tmp_path / "relay", servers.members[0].socket.removeprefix("unix:"))
    whole, lab.database = lab.database, relay.remote
    lab.signal_named("cedar", signal.SIGTERM)
    logged = lab.logged_by("cedar")
    lab.start_named("cedar")
    lab.database = whole
    ground = Ground(lab)
    try:
        ground.until(lambda: "h3: ready" in logged.since(), 60, "cedar's again")
        lab.await_shares(SHARES)
        before = ground.all_flows()
        relay.cut(True)
        lab.await_owners(["amber", "birch"], 15)
        with ground.watching() as events:
            lab.run("h3", "ovs-vsctl", "del-port", "br-int", "web3")
            lab.run("h3", "ovs-vsctl", "set", "interface", "overlay-vxlan", "type=gre")
            lab.run("h3", "ovs-vsctl", "set", "interface", "overlay-vxlan", "type=vxlan")
            lab.plug("web3")
            ground.settle()
            time.sleep(2)
        assert sum(map(len, events.values())) > 0, "the new owner is at work"
        assert lab.ping("web1", "web3").lost == 0
        relay.cut(False)
        lab.await_shares(SHARES)
        ground.settle()
        assert [len(each) for each in ground.all_flows().values()] == [len(each) for each in before.values()]
    finally:
        relay.close()
    log = lab.log_of("cedar")
    assert "the switch has seen generation" in log
    lab.signal_named("cedar", signal.SIGTERM)
    logged = lab.logged_by("cedar")
    lab.start_named("cedar")
    # Until it is there, what it had still stands in its name, and may be taken from it.
    ground.until(lambda: "h3: ready" in logged.since(), 60, "cedar's again")
    lab.await_shares(SHARES)


def test_the_database_servers_come_and_go_and_nobody_minds(together: tuple[Several, Cluster]) -> None:
    lab, servers = together
    ground = Ground(lab)
    owners = lab.owners()
    with ground.watching() as events, Sending(lab, [guest_of(lab, name) for name in TALKING]) as sending:
        for _ in range(2):
            leader = servers.leader()
            leader.kill()
            time.sleep(2)
            leader.start()
            servers.settle()
        time.sleep(2)
    assert lab.owners() == owners
    assert sum(map(len, events.values())) == 0, events
    assert sending.record is not None
    assert sending.record.losses(list(sending.record.lost)) == 0


def test_what_moves_from_one_owner_to_the_next(together: tuple[Several, Cluster]) -> None:
    lab, _ = together
    with lab.pinging("web1", "web2") as pings:
        lab.move("web2", "h3")
        lab.overlayctl("port-wait", "web2")
        lab.wait_up()
        time.sleep(0.5)
    assert lab.ping("web3", "web2").lost == 0
    assert pings().lost <= 60, "at 10 ms from one to the next"
    lab.move("web2", "h2")
    lab.wait_up()
    assert lab.ping("web3", "web2").lost == 0


def test_a_vtep_changes_and_nothing_is_lost(together: tuple[Several, Cluster]) -> None:
    """Each step waits for the switches of all three controllers."""
    lab, _ = together
    interface = vtep_bridge() if lab.datapath == "netdev" else underlay_nic()
    lab.run("h2", "ip", "address", "add", "192.0.2.22/24", "dev", interface)
    with Sending(lab, [guest_of(lab, name) for name in TALKING]) as sending:
        time.sleep(0.5)
        lab.overlayctl("--wait", "--timeout", "30", "chassis-set", "h2", "--vtep", "192.0.2.22", timeout=40)
        time.sleep(0.5)
        lab.overlayctl("--wait", "--timeout", "30", "chassis-set", "h2", "--vtep", "192.0.2.2", timeout=40)
        time.sleep(0.5)
    assert sending.record is not None
    assert sending.record.losses(list(sending.record.lost)) == 0


def test_neighbors_that_are_learned_by_one_are_known_to_all(together: tuple[Several, Cluster]) -> None:
    lab, _ = together
    lab.ping("web9", "web1", count=1)
    deadline = time.monotonic() + 10
    while not all("10.0.0.9" in line for line in known(lab)):
        assert time.monotonic() < deadline, known(lab)
        time.sleep(0.2)


def written_owners(servers: Cluster) -> set[str]:
    """Who has chassis, ready or not."""
    with connect(servers.remote, stale=True) as database:
        return {str(row["owner"]) for row in database.select("Chassis")}


def known(lab: Several) -> list[str]:
    """The answers to ARP requests in the tenant's network that each switch gives."""
    return [
        "\n".join(
            line
            for line in lab.run(name, "ovs-ofctl", "dump-flows", "br-int").stdout.splitlines()
            if "arp_tpa" in line and "metadata=0x64" in line
        )
        for name in SHARES
    ]


def test_a_switch_that_says_to_be_another_is_refused_by_all(together: tuple[Several, Cluster]) -> None:
    """By its owner, and by those that have it only to take it over."""
    lab, _ = together
    ground = Ground(lab)
    ground.settle()
    with lab.pinging("web1", "web2") as pings, ground.watching() as events:
        for number in range(len(NAMES)):
            assert not claim(lab, "h2", "h1", FIRST_PORT + number), "from another chassis' address"
            assert not claim(lab, "h1", "h1", FIRST_PORT + number), "beside the true one"
        ground.settle()
    assert pings().lost == 0
    assert sum(map(len, events.values())) == 0, events
    assert lab.owners() == SHARES
    for name in NAMES:
        assert "198.51.100.2 is no address of chassis 'h1'" in lab.log_of(name)
        assert "chassis 'h1' is connected already" in lab.log_of(name)


def test_an_older_copy_stops_all_and_one_command_has_all_go_on(
    together: tuple[Several, Cluster], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its networks, its owners and their generations are those of before; one controller dies and begins meanwhile."""
    lab, servers = together
    ground = Ground(lab)
    file = tmp_path / "backup"
    lab.overlayctl("backup", str(file))
    lab.overlayctl("--wait", "port-set", "web1", "--allow", "10.0.7.1")
    lab.overlayctl(
        "--wait", "net-add", "late", "--tenant", "late", "--vni", "4711", "--", "port-add", "x", "--net", "late"
    )
    lab.overlayctl("--wait", "port-del", "x")
    ground.settle()
    before = ground.all_flows()
    logged = {name: len(lab.log_of(name)) for name in NAMES}
    with lab.pinging("web1", "web2") as pings, ground.watching() as events:
        began = time.monotonic()
        with file.open() as backed:
            argv = ["ovsdb-client", "restore", servers.leader().socket, "Overlay"]
            subprocess.run(argv, stdin=backed, check=True)
        eventually(lambda: "an older copy" in shown(lab)["alarm"], 15)
        took = time.monotonic() - began
        for name in NAMES:
            eventually(lambda name=name: "an older copy" in lab.log_of(name)[logged[name] :], 10, name)
        lab.signal_named("amber", signal.SIGKILL)
        eventually(lambda: written_owners(servers) == {"birch", "cedar"}, 20, "amber's are taken over")
        lab.start_named("amber")
        eventually(lambda: "amber" in written_owners(servers), 30, "amber has some again")
        time.sleep(1)
        assert "an older copy" in shown(lab)["alarm"]
    assert pings().lost == 0
    assert sum(map(len, events.values())) == 0, events
    assert ground.all_flows() == before
    lab.overlayctl("--wait", "--timeout", "60", "db-accept", timeout=70)
    lab.await_shares(SHARES)
    time.sleep(2)
    assert shown(lab)["alarm"] == "", "once is enough"
    assert lab.ping("web1", "web3").lost == 0
    assert ground.all_flows() != before, "what came after the copy is gone"
    with capsys.disabled():
        print(f"\n  three controllers object to an older copy after {took:.2f} s")
