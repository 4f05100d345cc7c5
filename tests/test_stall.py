"""A large database is taken in while other greenthreads go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ovsdb.embedded import schema
from ovsdb.rpc import connect
from tests.overlay_database import needs_ovsdb
from topologies.cluster import standalone

pytestmark = pytest.mark.server

ROWS = 10_000
PROGRAM = """
import sys, time, json
import eventlet; eventlet.monkey_patch()
from ovsdb.session import Session
worst = 0.0
def tick():
    global worst
    last = time.monotonic()
    while True:
        eventlet.sleep(0.001)
        now = time.monotonic()
        worst, last = max(worst, now - last), now
eventlet.spawn(tick)
eventlet.sleep(0.02)
began = time.monotonic()
session = Session(sys.argv[1], json.load(open(sys.argv[2])))
while len(session.idl.tables["Neighbor"].rows) < int(sys.argv[3]):
    session.run()
    if not session.in_sync:
        session.block()
took = time.monotonic() - began
eventlet.sleep(0.02)
print(took, worst)
"""


@needs_ovsdb
def test_nobody_waits_long_for_ten_thousand_rows(tmp_path: Path) -> None:
    """With python-ovs as it comes, the longest stall is nearly all of the time it takes."""
    with standalone(tmp_path) as server:
        with connect(server.socket) as database:
            row = {"network": "red", "mac": "02:00:00:00:00:01", "chassis": "h1", "interface": "vm1"}
            inserts = [
                {"op": "insert", "table": "Neighbor", "row": {**row, "ip": f"10.0.{number >> 8}.{number & 255}"}}
                for number in range(ROWS)
            ]
            database.transact(inserts, 30)
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, server.socket, str(schema()), str(ROWS)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    took, worst = map(float, done.stdout.split())
    assert worst < took / 3, (took, worst)
