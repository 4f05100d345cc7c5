"""The commands of docs/operating-databases.md, in order, as written but for their directories and addresses."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.overlay_database import needs_ovsdb
from topologies.cluster import SEARCH, own_loopback

pytestmark = pytest.mark.server

GUIDE = Path(__file__).parent.parent / "docs" / "operating-databases.md"


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What is elsewhere in a test; servers that were started there are ended."""
    yield {
        "/var/lib/ovs-overlay-db": f"{tmp_path}/lib",
        "/run/ovs-overlay-db": f"{tmp_path}/run",
        "127.0.0.": f"{own_loopback()}.",
    }
    for path in (tmp_path / "run").glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGKILL)


@needs_ovsdb
def test_the_commands_work_in_order(places: dict[str, str], tmp_path: Path) -> None:
    text = GUIDE.read_text()
    for written, here in places.items():
        text = text.replace(written, here)
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    commands = [line.removeprefix("# ") for block in blocks for line in block.splitlines()]
    assert len(commands) > 20
    path = f"{sysconfig.get_path('scripts')}:{SEARCH}"
    environment = {"PATH": path, "HOME": str(tmp_path)}
    script = "\n".join(["set -ex", *commands])
    with (tmp_path / "said").open("w+") as said:  # a file, for daemons keep what they were given open
        done = subprocess.run(
            ["bash", "-c", script], env=environment, cwd=tmp_path, stdout=said, stderr=said, timeout=90, check=False
        )
        said.seek(0)
        printed = said.read()
    assert done.returncode == 0, printed
    after = printed.partition("+ overlayctl restore --dry-run")[2]
    assert "\n+ network red\n" in after
    assert after.count("\nred ") == 2, printed  # net-list after each restoration
    assert "Role: leader" in after
    assert "of version" in after.rpartition("+ overlayctl db-upgrade")[2]
