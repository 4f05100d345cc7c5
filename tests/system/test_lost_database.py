"""The overlay database is lost, or an older copy of it comes back: nothing is taken from the tenants."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from ovsdb import rpc
from tests.system.steps import eventually, flows, fresh_name, problems, shown, watching_flows
from topologies import three_chassis
from topologies.lab import Lab
from topologies.topology import CONTROLLER, management_address

pytestmark = pytest.mark.system


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(three_chassis.TOPOLOGY, fresh_name()) as built:
        built.up()
        yield built
        assert not [line for line in built.controller_log().splitlines() if "CRITICAL" in line or "Traceback" in line]


def alarm(lab: Lab) -> str:
    return str(shown(lab)["alarm"])


def declared(lab: Lab) -> dict[str, object]:
    """What is declared, as an object that two databases can be compared by."""
    seen = shown(lab)
    return {
        "chassis": [{key: row[key] for key in ("name", "ovsdb", "encaps")} for row in seen["chassis"]],
        "networks": [
            {key: row[key] for key in ("name", "tenant", "vni", "encap")}
            | {"ports": [{key: port[key] for key in ("name", "mac", "ips")} for port in row["ports"]]}
            for row in seen["networks"]
        ],
    }


def test_an_older_copy_of_the_file_erases_nothing(lab: Lab) -> None:
    """Taken before a tenant came, put back while the controller is away."""
    home = lab.directory / CONTROLLER
    lab.overlayctl("net-add", "late", "--tenant", "late", "--vni", "4711")
    shutil.copy(home / "overlay.db", home / "copy")
    lab.overlayctl("--wait", "net-del", "late")  # a deletion, which every chassis is told at once
    before = {name: flows(lab, name) for name in ("h1", "h2", "h3")}
    lab.stop_controller(signal.SIGTERM)
    shutil.copy(home / "copy", home / "overlay.db")
    with lab.pinging("web1", "web2") as result:
        lab.start_controller()
        eventually(lambda: "an older copy" in alarm(lab))
        assert "overlayctl db-accept" in alarm(lab)
        lab.overlayctl("port-del", "web2")
    assert result().lost == 0
    assert {name: flows(lab, name) for name in ("h1", "h2", "h3")} == before
    argv = "--wait port-add web2 --net red --mac 02:00:00:00:00:02 --ip 10.0.0.2 --timeout 3"
    assert "is stored, but the controller objects: the overlay database is an older copy" in lab.overlayctl(
        *argv.split(), check=False
    )
    lab.overlayctl("--wait", "db-accept")
    assert alarm(lab) == ""
    assert lab.ping("web1", "web2").lost == 0


def test_a_file_that_was_cut_short_erases_nothing(lab: Lab) -> None:
    """ovsdb-server serves what is left of it, and says so in its log alone."""
    file = lab.directory / CONTROLLER / "overlay.db"
    lab.overlayctl("--wait", "tenant-add", "late")
    for name in ("h1", "h2", "h3"):  # each is told at the latest after half a minute
        eventually(lambda name=name: f" {shown(lab)['configured']}" in mark(lab, name), 40)
    before = {name: flows(lab, name) for name in ("h1", "h2", "h3")}
    lab.stop_controller(signal.SIGTERM)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with lab.pinging("web1", "web2") as result:
        lab.start_controller()
        eventually(lambda: "an older copy" in alarm(lab))
    assert result().lost == 0
    assert {name: flows(lab, name) for name in ("h1", "h2", "h3")} == before


def mark(lab: Lab, chassis: str) -> str:
    """What a chassis remembers of the overlay database."""
    return lab.run(chassis, "ovs-vsctl", "get", "bridge", "br-int", "external_ids:overlay-mark").stdout.strip('"\n')


def written(lab: Lab, chassis: str) -> set[str]:
    """The flows but for those that the switch learns by itself."""
    return {line for line in flows(lab, chassis) if not re.search(r"table=(33|60)\b", line)}


def test_ports_that_vanish_are_not_taken_from_the_switches(lab: Lab) -> None:
    """As after a damaged file: the rows are gone, and nobody deleted them."""
    for number in range(20):
        lab.overlayctl("port-add", f"idle{number}", "--net", "red")
    lab.overlayctl("--wait", "sync")
    before = written(lab, "h1")
    with rpc.connect(lab.environment("h1")["OVERLAY_DB"]) as database:
        database.transact([{"op": "delete", "table": "Port", "where": []}])
    eventually(lambda: "declared ports vanished from the overlay database" in alarm(lab))
    assert written(lab, "h1") == before
    assert lab.ping("web1", "web2").lost == 0
    lab.run("h1", "ovs-ofctl", "del-flows", "br-int")
    eventually(lambda: written(lab, "h1") == before)  # they are what was there before the alarm
    lab.stop_controller(signal.SIGKILL)
    lab.start_controller()  # and this one has seen nothing else than what is left
    eventually(lambda: "left as it is while the alarm stands" in json.dumps(shown(lab)))
    assert written(lab, "h1") == before
    lab.overlayctl("db-accept")
    eventually(lambda: alarm(lab) == "")
    eventually(lambda: lab.ping("web1", "web2", count=1).received == 0)


def test_a_lost_database_is_rebuilt_from_the_chassis(lab: Lab) -> None:
    """The file is gone. The controller fights for nothing; `rebuild` brings everything back that is plugged in."""
    was = declared(lab)
    remotes = [f"tcp:{management_address(lab.topology, name)}:6640" for name in ("h1", "h2", "h3")]
    lab.stop_controller(signal.SIGKILL)
    (lab.directory / CONTROLLER / "overlay.db").unlink()
    before = {name: flows(lab, name) for name in ("h1", "h2", "h3")}
    with lab.pinging("web1", "web2") as result:
        lab.start_controller()
        # Declared anew by hand, the chassis is not taken: it belongs to the database that is lost.
        lab.overlayctl("chassis-add", "h1", remotes[0], "--vtep", "192.0.2.1")
        eventually(lambda: "belongs to another overlay database" in problems(lab).get("chassis h1", ""))
        assert "rebuild" in problems(lab)["chassis h1"]
        lab.overlayctl("chassis-del", "h1")
        planned = lab.overlayctl("--dry-run", "rebuild", "--from-chassis", ",".join(remotes))
        assert "web1" in planned
        assert declared(lab)["networks"] == []
        # What is plugged in stands nowhere but on the chassis, and one of them takes its time to say so.
        with watching_flows(lab, "h1") as one, watching_flows(lab, "h2") as two:
            os.kill(lab.controller_pid(), signal.SIGSTOP)
            lab.overlayctl("rebuild", "--from-chassis", ",".join(remotes))
            lab.signal_daemon("h3", "ovsdb-server", signal.SIGSTOP)
            os.kill(lab.controller_pid(), signal.SIGCONT)
            time.sleep(2)
            lab.signal_daemon("h3", "ovsdb-server", signal.SIGCONT)
            lab.overlayctl("--wait", "sync")
        assert (one.of_ours(), two.of_ours()) == ([], [])
        assert declared(lab) == was
    assert result().lost == 0
    assert {name: flows(lab, name) for name in ("h1", "h2", "h3")} == before
    assert alarm(lab) == ""


def test_a_chassis_can_be_taken_over_knowingly(lab: Lab) -> None:
    lab.stop_controller(signal.SIGKILL)
    (lab.directory / CONTROLLER / "overlay.db").unlink()
    lab.start_controller()
    lab.overlayctl("chassis-add", "h1", "tcp:198.51.100.1:6640", "--vtep", "192.0.2.1")
    eventually(lambda: "belongs to another" in problems(lab).get("chassis h1", ""))
    lab.overlayctl("--wait", "chassis-set", "h1", "--take-over")
    assert "chassis h1" not in problems(lab)
    rows = json.loads(lab.overlayctl("--format", "json", "list", "Chassis", "h1"))
    assert "take-over" not in json.dumps(rows), "it holds once"


def test_an_address_that_two_claim_is_reported_with_both_ports(lab: Lab) -> None:
    """web9, which nobody declared, takes web1's address; show names both, and web1 goes on."""
    lab.run("web9", "ip", "address", "add", "10.0.0.1/24", "dev", "eth0")
    lab.run("web9", "arping", "-U", "-c", "2", "-I", "eth0", "-s", "10.0.0.1", "10.0.0.1", check=False)
    said = eventually(lambda: problems(lab) if len(problems(lab)) == 2 else None)
    assert said["h1/web1"].startswith("the undeclared port at h2/web9 claims its address 10.0.0.1 with MAC")
    assert "that is the address of port 'web1' at h1/web1" in said["h2/web9"]
    assert lab.ping("web2", "web1").lost == 0
