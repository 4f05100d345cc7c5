"""The overlay database embedded, on a server of its own, and as a cluster: the same session has the same end.

And what the cluster's faults are to the switches: nothing.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ovsdb.embedded import schema as present_schema
from ovsdb.rpc import Operation, Row, UnreachableError, connect, elements
from tests import released
from tests.system.steps import eventually, flows, fresh_name
from topologies import controller, two_chassis
from topologies.cluster import Cluster, cluster, run_tool, standalone
from topologies.lab import Lab
from topologies.topology import CONTROLLER, CONTROLLER_ADDRESS, management_address

pytestmark = pytest.mark.system

SESSION = (
    "net-add blue --tenant umbra --vni 200 --encap gre",
    "net-set red --description ours",
    "port-add spare --net blue --mac 02:00:00:00:00:09 --ip 10.9.0.1",
    "port-set spare --ip 10.9.0.2",
    "net-add short --tenant umbra --vni 201",
    "net-del short",
    "chassis-set h2 --description second",
    "--wait port-set web2 --description moved",
)
REFUSED = (
    "net-add other --tenant acme --vni 100",
    "port-add double --net red --mac 02:00:00:00:00:08 --ip 10.0.0.1",
    "net-del red",
)
OURS = ": ours now"
"""What a controller says that takes a chassis."""
seen: dict[str, Any] = {}


@contextmanager
def lab_on(database: str) -> Iterator[Lab]:
    with Lab(two_chassis.TOPOLOGY, fresh_name()) as lab:
        lab.database = database
        lab.up()
        yield lab
        log = lab.controller_log()
        print(log)
        assert "Traceback" not in log


@contextmanager
def served(kind: str, directory: Path) -> Iterator[str]:
    if kind == "embedded":
        yield ""
    elif kind == "standalone":
        with standalone(directory) as server:
            yield server.socket
    else:
        with cluster(directory, timer=500) as members:
            yield members.remote


@pytest.mark.parametrize("kind", ["embedded", "standalone", "cluster"])
def test_the_same_session_has_the_same_end(kind: str, tmp_path: Path) -> None:
    with served(kind, tmp_path) as database, lab_on(database) as lab:
        for line in SESSION:
            lab.overlayctl(*line.split())
        refusals = [lab.overlayctl(*line.split(), check=False) for line in REFUSED]
        assert lab.ping("web1", "web2").lost == 0
        lab.overlayctl("sync")
        shown = json.loads(lab.overlayctl("--format", "json", "show"))
        del shown["database"]
        seen[kind] = (shown, refusals)
    assert all("overlayctl: " in refusal for refusal in refusals)
    first = next(iter(seen.values()))
    assert seen[kind] == first


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path, timer=500) as members:
        yield members


def test_leaders_come_and_go_and_the_majority_too(three: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    with lab_on(three.remote) as lab:
        with lab.pinging("web1", "web2") as pings:
            leader = three.leader()
            leader.kill()
            began = time.monotonic()
            lab.overlayctl("--wait", "net-add", "late", "--tenant", "acme", "--vni", "300")
            installed = time.monotonic() - began
            leader.start()
            three.settle()
            for member in three.members[:2]:
                member.kill()
            last = three.members[2].socket
            eventually(lambda: not writable(last), 10, "the last member knows that it is alone")
            refused = lab.overlayctl(
                "--timeout", "3", "net-add", "never", "--tenant", "acme", "--vni", "301", check=False
            )
            assert "cut off from the majority" in refused
            assert "late" in lab.overlayctl("net-list")
            assert lab.overlayctl("show")
            for member in three.members[:2]:
                member.start()
            three.settle()
            lab.overlayctl("--wait", "net-add", "after", "--tenant", "acme", "--vni", "302")
        assert pings().lost == 0
        assert "never" not in lab.overlayctl("net-list")
        with capsys.disabled():
            print(f"\n  a network is installed {installed:.2f} s after the leader was killed")


def test_another_controller_takes_over(three: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    with lab_on(three.remote) as lab, second_of(lab) as home:
        owners = {row["owner"] for row in rows(three.remote, "Chassis")}
        with lab.pinging("web1", "web2") as pings:
            lab.stop_controller(9)
            began = time.monotonic()
            eventually(lambda: {row["owner"] for row in rows(three.remote, "Chassis")} == {"second"}, 10, "taken over")
            lab.overlayctl("--wait", "net-add", "late", "--tenant", "acme", "--vni", "300")
            taken = time.monotonic() - began
        assert pings().lost == 0
        assert owners, "they had some"
        assert OURS in controller.log(home).read_text()
        with capsys.disabled():
            print(f"\n  the second controller has installed a network {taken:.2f} s after the first was killed")
        assert taken < 10


@contextlib.contextmanager
def second_of(lab: Lab) -> Iterator[Path]:
    """Another controller of the same database, which is at work; its directory."""
    home = lab.directory / "second"
    home.mkdir()
    environment = lab.environment(CONTROLLER) | {
        "OVERLAY_RUNDIR": str(home),
        "OVERLAY_NAME": "second",
        "OVERLAY_OPENFLOW": f"tcp:{CONTROLLER_ADDRESS}:6654",
    }
    second = controller.start(lab.netns(CONTROLLER), home, "--ofp-tcp-listen-port", "6654", env=environment)
    try:
        reached = {"h1", "h2"}
        remote = lab.environment(CONTROLLER)["OVERLAY_DB"]

        def reaches() -> bool:
            found = {row["name"]: set(elements(row["reaches"])) for row in rows(remote, "Controller")}
            return found.get("second", set()) >= reached

        eventually(reaches, 30, "the switches connect to the second")
        yield home
    finally:
        second.stop()


def rows(remote: str, table: str) -> list[Row]:
    with connect(remote, stale=True) as database:
        return database.select(table)


def writable(where: str) -> bool:
    try:
        connect(where, timeout=0.1).close()
    except UnreachableError:
        return False
    return True


def test_both_controllers_go_on_after_the_leader_died(three: Cluster) -> None:
    with lab_on(three.remote) as lab, second_of(lab) as home:
        with lab.pinging("web1", "web2") as pings:
            three.leader().kill()
            lab.overlayctl("--wait", "net-add", "late", "--tenant", "acme", "--vni", "300")
        assert pings().lost == 0
        assert lab.controller_runs()
        assert "Traceback" not in lab.controller_log() + controller.log(home).read_text()


def test_what_is_restored_is_meant_and_what_is_put_back_by_hand_is_not(tmp_path: Path) -> None:
    with standalone(tmp_path) as server, lab_on(server.socket) as lab:
        file = tmp_path / "backup"
        lab.overlayctl("--wait", "sync")
        lab.overlayctl("backup", str(file))
        lab.overlayctl("--wait", "port-del", "web2")
        eventually(lambda: lab.ping("web1", "web2", count=1).received == 0, 10, "web2 is gone")
        lab.overlayctl("restore", str(file))
        lab.overlayctl("--wait", "sync")
        assert json.loads(lab.overlayctl("--format", "json", "show"))["alarm"] == ""
        assert lab.ping("web1", "web2").lost == 0
        lab.overlayctl("--wait", "port-add", "later", "--net", "red", "--mac", "02:00:00:00:00:44", "--ip", "10.0.0.44")
        lab.overlayctl("--wait", "port-del", "later")
        with lab.pinging("web1", "web2") as pings:
            with file.open() as backed:
                subprocess.run(["ovsdb-client", "restore", server.socket, "Overlay"], stdin=backed, check=True)
            eventually(
                lambda: "older copy" in json.loads(lab.overlayctl("--format", "json", "show"))["alarm"],
                15,
                "the controller objects",
            )
        assert pings().lost == 0


def alarm(lab: Lab) -> str:
    return str(json.loads(lab.overlayctl("--format", "json", "show"))["alarm"])


def test_a_loss_is_one_also_bit_by_bit_while_nobody_looks_and_of_everything(tmp_path: Path) -> None:
    """Rows vanish by other ways than overlayctl; and the server comes back with nothing at all."""
    with standalone(tmp_path) as server, lab_on(server.socket) as lab:
        idle = [f"idle{number}" for number in range(12)]
        for name in idle:
            lab.overlayctl("port-add", name, "--net", "red")
        plugs = [word for name in idle for word in ("--", "add-port", "br-int", name, "--", *internal(name))]
        lab.run("h1", "ovs-vsctl", "--timeout=30", *plugs)
        lab.overlayctl("--wait", "sync")
        whole = {name: flows(lab, name) for name in ("h1", "h2")}
        with lab.pinging("web1", "web2") as pings:
            # Nobody is there when they go. That comes to light, and stands, whoever begins anew.
            lab.stop_controller(9)
            kept = rows(server.socket, "Port")
            lose(server.socket, idle)
            for _ in range(2):
                lab.start_controller()
                eventually(lambda: "12 of 14 declared ports vanished" in alarm(lab))
                time.sleep(1)
                assert {name: flows(lab, name) for name in whole} == whole
                lab.stop_controller(9)
            lab.start_controller()
            with connect(server.socket) as database:
                missing = [row for row in kept if row["name"] in idle]
                database.transact([{"op": "insert", "table": "Port", "row": own(row)} for row in missing])
            lab.overlayctl("--wait", "db-accept")
            assert {name: flows(lab, name) for name in whole} == whole
            # Four at a time: the third time it is enough.
            for number in (0, 4):
                lose(server.socket, idle[number : number + 4])
                eventually(lambda number=number: f"'idle{number}' is no declared" in lab.controller_log(), 10)
            lab.overlayctl("--wait", "sync")
            less = {name: flows(lab, name) for name in whole}
            assert len(less["h1"]) < len(whole["h1"])
            lose(server.socket, idle[8:])
            eventually(lambda: "12 of 14 declared ports vanished" in alarm(lab))
            assert {name: flows(lab, name) for name in whole} == less
            lab.overlayctl("--wait", "db-accept")
            eventually(lambda: len(flows(lab, "h1")) < len(less["h1"]), 10)
            # An empty database, and the one of before.
            less = {name: flows(lab, name) for name in whole}
            server.stop()
            server.file.rename(tmp_path / "away")
            run_tool("create", server.file, present_schema())
            server.start()
            eventually(lambda: "is another one than before" in alarm(lab), 20)
            time.sleep(1)
            assert {name: flows(lab, name) for name in whole} == less
            server.stop()
            (tmp_path / "away").rename(server.file)
            server.start()
            eventually(lambda: alarm(lab) == "", 20)
            lab.overlayctl("--wait", "sync")
            assert {name: flows(lab, name) for name in whole} == less
        assert pings().lost == 0


def internal(name: str) -> list[str]:
    return ["set", "interface", name, "type=internal", f"external_ids:iface-id={name}"]


def lose(remote: str, names: list[str]) -> None:
    """Rows vanish that nobody deleted."""
    with connect(remote) as database:
        database.transact([{"op": "delete", "table": "Port", "where": [["name", "==", name]]} for name in names])


def own(row: Row) -> Row:
    return {column: value for column, value in row.items() if not column.startswith("_")}


def test_a_database_of_the_first_version_goes_on(tmp_path: Path) -> None:
    """What 0.1.0 left in its file is upgraded when the controller starts, and forwards."""
    with Lab(two_chassis.TOPOLOGY, fresh_name()) as lab:
        with standalone(tmp_path, released.V1) as server, connect(server.socket) as database:
            database.transact(_of_the_first_version(lab))
            server.stop()
        home = lab.directory / CONTROLLER
        shutil.copy(server.file, home / "overlay.db")
        lab.start_controller()
        for vm in lab.topology.vms:
            lab.plug(vm.name)
        lab.wait_up()
        assert lab.ping("web1", "web2").lost == 0
        shown = json.loads(lab.overlayctl("--format", "json", "show"))
        assert [(row["name"], row["state"]) for row in shown["chassis"]] == [("h1", "ready"), ("h2", "ready")]
        assert (shown["alarm"], shown["networks"][0]["tenant"]) == ("", "acme")
        assert (home / "overlay.db.backup-1.0.0").exists()


def _of_the_first_version(lab: Lab) -> list[Operation]:
    """The lab's declarations as rows of schema 1.0.0."""
    topology = lab.topology
    rows: list[Operation] = []
    for each in topology.chassis:
        row = {
            "name": each.name,
            "ovsdb": f"tcp:{management_address(topology, each.name)}:6640",
            "vtep": each.vteps[0].ip,
        }
        rows.append({"op": "insert", "table": "Chassis", "row": row})
    for network in topology.networks:
        declared = {"name": network.name, "tenant": network.tenant, "vni": network.vni, "encap": str(network.encap)}
        rows.append({"op": "insert", "table": "Network", "row": declared, "uuid-name": network.name})
    for vm in topology.vms:
        inside = ["named-uuid", vm.network]
        address = {"network": inside, "ip": vm.ip}
        rows.append({"op": "insert", "table": "Address", "row": address, "uuid-name": f"{vm.name}_ip"})
        port = {"name": vm.name, "network": inside, "mac": vm.mac, "addresses": ["named-uuid", f"{vm.name}_ip"]}
        rows.append({"op": "insert", "table": "Port", "row": port})
    return rows
