"""Imports point one way: controller -> ovsdb -> flows."""

from __future__ import annotations

import subprocess
import sys

import pytest

FLOWS = "flows.compile, flows.plan, flows.bind, flows.probe, flows.simulate, flows.text, flows.truth"
OVSDB = "ovsdb.session, ovsdb.snapshot, ovsdb.provision, ovsdb.shared, ovsdb.status, ovsdb.embedded, ovsdb.rpc"


@pytest.mark.parametrize(
    ("modules", "banned"),
    [
        (FLOWS, ("ryu", "ovs", "eventlet", "logging", "ovsdb", "controller")),
        (OVSDB, ("ryu", "controller")),
    ],
)
def test_layers(modules: str, banned: tuple[str, ...]) -> None:
    program = f"import sys; before = set(sys.modules); import {modules}; print(*(set(sys.modules) - before))"
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not [name for name in loaded if name.split(".")[0] in banned]
