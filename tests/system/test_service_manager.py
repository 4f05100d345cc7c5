"""The units under systemd itself: they serve, as nobody; who hangs is restarted, and nothing declared is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import eventually
from tests.system.service_manager import SYSTEMD, Manager, NotMounted, booted

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not SYSTEMD.exists(), reason="needs systemd"),
]
CONTROLLER = "ovs-overlay.service"


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    try:
        with booted(tmp_path_factory.mktemp("root")) as found:
            yield found
    except NotMounted as error:
        pytest.skip(f"another systemd can't be run here: {error}")


@pytest.fixture
def controller(manager: Manager) -> Iterator[str]:
    """The controller's process id, as systemd has it: it has said that it is ready."""
    manager.run("systemctl", "start", CONTROLLER)
    yield manager.show(CONTROLLER, "MainPID")
    manager.run("systemctl", "stop", CONTROLLER)


def test_it_serves_without_any_right(manager: Manager, controller: str) -> None:
    assert manager.show(CONTROLLER, "StatusText") == "serving"
    # A monitor's word for what is new and empty: 1, a warning.
    assert "answers" in manager.run("sh", "-c", "overlayctl health; test $? = 1")
    said = manager.run("cat", f"/proc/{controller}/status")
    assert set(re.findall(r"^Cap(?:Inh|Prm|Eff|Bnd|Amb):\t(\w+)", said, re.MULTILINE)) == {"0" * 16}
    assert re.search(r"^Uid:\t64999\t64999\t64999\t64999$", said, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", said, re.MULTILINE)
    assert "serving" in manager.run("journalctl", "--no-pager", "-u", CONTROLLER)


def test_who_hangs_or_dies_is_started_again_and_has_lost_nothing(manager: Manager, controller: str) -> None:
    manager.run("overlayctl", "tenant-add", "acme")
    hasty = Path("/etc/systemd/system") / f"{CONTROLLER}.d" / "hasty.conf"
    manager.run("sh", "-c", f"printf '[Service]\\nWatchdogSec=3\\n' > {hasty}")
    manager.run("systemctl", "daemon-reload")
    manager.run("systemctl", "restart", CONTROLLER)
    for number in ("STOP", "KILL"):
        before = manager.show(CONTROLLER, "MainPID")
        manager.run("kill", f"-{number}", before)
        eventually(
            lambda before=before: (
                manager.show(CONTROLLER, "MainPID") not in (before, "0")
                and manager.show(CONTROLLER, "ActiveState") == "active"
            ),
            40,
            "another one serves",
        )
        assert "acme" in manager.run("overlayctl", "tenant-list")
    assert "Watchdog timeout" in manager.run("journalctl", "--no-pager")


def test_a_database_of_its_own_and_a_controller_on_it(manager: Manager) -> None:
    remote = "unix:/run/ovs-overlay-db/overlay.sock"
    manager.run("sh", "-c", f"mkdir -p /etc/ovs-overlay; echo OVERLAY_DB={remote} > /etc/ovs-overlay/controller.env")
    units = ("ovs-overlay-db.service", "ovs-overlay-shared.service")
    manager.run("systemctl", "start", *units)
    assert [manager.show(each, "ActiveState") for each in units] == ["active", "active"]
    assert f"{remote} answers" in manager.run("sh", "-c", f"overlayctl --db {remote} health; test $? = 1")
    manager.run("systemctl", "stop", *units)
