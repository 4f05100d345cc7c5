"""`--wait`, `sync` and `port-wait`; a thread writes what the controller would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.cli.main import main
from ovsdb.rpc import Connection, connect
from tests.cli.words import REFUSED, call, insert, update
from tests.overlay_database import needs_ovsdb, serving

pytestmark = needs_ovsdb


def install(served: str, delay: float, *chassis: str) -> threading.Thread:
    """What the controller does when it is done, after a while."""

    def write() -> None:
        time.sleep(delay)
        with connect(served) as mine:
            number = mine.select("Overlay_Global")[0]["nb_cfg"]
            update(mine, "Overlay_Global", [], cur_cfg=number)
            for name in chassis:
                time.sleep(delay)
                update(mine, "Chassis", [["name", "==", name]], cur_cfg=number)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    "line",
    [
        "--wait port-add x --net red --mac 02:00:00:00:00:09",
        "sync",
        "--wait net-add red --tenant acme --vni 100 --may-exist",
    ],
)
def test_wait_returns_when_every_chassis_is_done(run: Callable[..., str], served: str, line: str) -> None:
    controller = install(served, 0.15, "h1", "h2")
    started = time.monotonic()
    run(line)
    took = time.monotonic() - started
    controller.join()
    assert 0.3 < took < 2


def test_wait_without_chassis_is_for_the_controller(run: Callable[..., str], served: str) -> None:
    controller = install(served, 0.2)
    started = time.monotonic()
    run("--wait net-add red --tenant acme --vni 100")
    assert 0.15 < time.monotonic() - started < 2
    controller.join()


def test_wait_for_the_database_alone(run: Callable[..., str], served: str, capsys: pytest.CaptureFixture[str]) -> None:
    def read() -> None:
        time.sleep(0.2)
        with connect(served) as mine:
            update(mine, "Overlay_Global", [], read_cfg=1)

    controller = threading.Thread(target=read)
    controller.start()
    started = time.monotonic()
    run("--wait=db net-add red --tenant acme --vni 100")
    assert 0.15 < time.monotonic() - started < 2
    controller.join()
    assert call("--wait=db --timeout 0.2 net-set red --vni 7") == 3
    assert "configuration 2 is stored, but the controller has not read it within 0.2 s" in capsys.readouterr().err


@pytest.mark.usefixtures("session")
def test_wait_names_the_chassis_that_did_not_answer(
    database: Connection, served: str, capsys: pytest.CaptureFixture[str]
) -> None:
    update(database, "Chassis", [["name", "==", "h2"]], state="unreachable", error=REFUSED)
    controller = install(served, 0.1, "h1")
    assert call("--wait --timeout 0.6 net-set red --encap gre") == 3
    controller.join()
    said = capsys.readouterr().err
    assert "not installed on every chassis within 0.6 s" in said
    assert "chassis h2 is unreachable (tcp:192.0.2.2:6640: refused), at configuration 0" in said
    assert "h1" not in said
    assert database.select("Network", [["name", "==", "red"]])[0]["encap"] == "gre"


@pytest.mark.usefixtures("session")
def test_what_the_controller_objects_to_is_not_installed_however_far_it_is(
    database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older copy is behind what the chassis have."""
    for table in ("Chassis", "Overlay_Global"):
        update(database, table, [], cur_cfg=50)
    update(database, "Overlay_Global", [], alarm="an older copy")
    assert call("--wait --timeout 0.2 net-set red --encap gre") == 3
    assert "is stored, but the controller objects: an older copy" in capsys.readouterr().err
    assert call("port-wait web1 --timeout 0.2") == 3
    assert "port web1 is not up after 0.2 s; the controller objects: an older copy" in capsys.readouterr().err


@pytest.mark.usefixtures("session")
def test_wait_without_a_controller_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("sync --timeout 0.2") == 3
    said = capsys.readouterr().err
    assert "the controller has not taken it up; is it running (ryu-manager overlay_app)" in said


def test_wait_outlives_the_server_restarting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path) as remote:
        monkeypatch.setenv("OVERLAY_DB", remote)
        codes: list[int] = []
        waiting = threading.Thread(target=lambda: codes.append(main(["sync", "--timeout", "10"])))
        waiting.start()
        time.sleep(0.3)
    with serving(tmp_path):
        install(remote, 0.0).join()
        waiting.join()
    assert codes == [0], capsys.readouterr().err


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("web1", {"chassis": "h1", "interface": "vm1", "port": "web1", "network": "red"}),
        ("h1/vm9", {"chassis": "h1", "interface": "vm9", "vni": "100", "network": "red"}),
    ],
)
def test_port_wait(run: Callable[..., str], database: Connection, served: str, name: str, row: Any) -> None:
    insert(database, "Binding", **row)

    def up() -> None:
        time.sleep(0.2)
        with connect(served) as mine:
            update(mine, "Binding", [["chassis", "==", "h1"]], up=True)

    controller = threading.Thread(target=up)
    controller.start()
    started = time.monotonic()
    run(f"port-wait {name}")
    controller.join()
    assert 0.15 < time.monotonic() - started < 2


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("web1", "ovs-vsctl add-port br-int INTERFACE -- set interface INTERFACE external_ids:iface-id=web1"),
        ("h1/vm9", "ovs-vsctl add-port br-int vm9 -- set interface vm9 external_ids:overlay-vni=VNI"),
        ("h9/vm9", "there is no chassis 'h9'"),
        ("wbe1", "there is no port 'wbe1'; did you mean 'web1'?"),
        ("h1/vm8", "plugged in at h1/vm8, but overlay-vni 999 is nobody's"),
        ("web2", "plugged in at h2/vm2, but the controller has not set it up yet"),
    ],
)
def test_port_wait_says_why_not(database: Connection, refused: Callable[..., str], name: str, said: str) -> None:
    insert(database, "Binding", chassis="h1", interface="vm8", vni="999", error="overlay-vni 999 is nobody's")
    insert(database, "Binding", chassis="h2", interface="vm2", port="web2")
    # A name that nobody can plug in is refused (1); a port that is not up in time is late (3).
    assert said in refused(f"port-wait {name} --timeout 0.1", code=1 if said.startswith("there is no") else 3)
