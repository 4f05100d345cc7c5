"""What is held, against Open vSwitch's own schema: each column is decided, and each default is one that it takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ovs.db.types import Type

from ovsdb import held, vswitch

SCHEMA = json.loads(Path("/usr/share/openvswitch/vswitch.ovsschema").read_text())["tables"]
DOCUMENT = Path(__file__).parent.parent / "docs" / "reliability.md"
HELD = {
    "Bridge": held.BRIDGE,
    "Port": held.PORT,
    "Interface": held.INTERFACE,
    "Controller": held.CONTROLLER,
}


@pytest.mark.parametrize("table", [*HELD, "Flow_Table"])
def test_every_column_is_decided(table: str) -> None:
    row = next(line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {table} |"))
    named = set(re.findall("`([a-z_]+)`", row))
    assert SCHEMA[table]["columns"].keys() <= named
    held_, _, others = row.removeprefix("|").split("|")[1:4]
    for column in HELD.get(table, {}):
        assert f"`{column}`" in held_
        assert f"`{column}`" not in others or table == "Interface"


@pytest.mark.parametrize("table", HELD)
def test_what_is_held_is_the_default(table: str) -> None:
    for column, value in HELD[table].items():
        type_ = Type.from_json(SCHEMA[table]["columns"][column]["type"])
        default = {} if type_.is_map() else [] if type_.n_min == 0 else type_.key.type.default
        assert value == default, column
        assert column in vswitch.SCHEMA["tables"][table]["columns"]


def test_of_other_config_only_what_is_known_goes() -> None:
    now = {"datapath-id": "1", "mine": "1", "dp-desc": "x", "stp-priority": "1", "forward-bpdu": "true"}
    assert held.other_config(now) == {"datapath-id": "1", "mine": "1", "dp-desc": "x"}
