"""The operator guide, command by command, on three chassis: what it says is what happens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.guide import Shell, differs, follow, steps
from tests.system.steps import fresh_name
from topologies import three_chassis
from topologies.lab import Lab

GUIDE = Path(__file__).parents[2] / "docs" / "operator-guide.md"

pytestmark = pytest.mark.system


def test_what_counts_as_printed() -> None:
    printed = "NAME  TENANT\nred   acme\n\nblue  umbra"
    assert differs(printed, ("NAME TENANT", "red ...", "blue umbra")) == ""
    assert differs(printed, ("blue umbra", "red acme")) == "red acme"
    assert differs(printed, ("red",)) == "red"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(three_chassis.TOPOLOGY, fresh_name()) as built:
        for chassis in built.topology.chassis:
            built.run(chassis.name, "ovs-vsctl", "del-manager")
        yield built


def test_the_operator_guide(lab: Lab) -> None:
    tools = lab.directory / "bin"
    tools.mkdir()
    # The hosts share their files here: to copy a directory to another is to copy it on this one.
    scp = tools / "scp"
    scp.write_text(
        f'#!/bin/sh\nfor last; do :; done\nexec cp -r "$2" {lab.directory}/home-${{last%%:*}}/${{last#*:}}\n'
    )
    scp.chmod(0o755)
    with contextlib.ExitStack() as shells:
        opened: dict[str, Shell] = {}
        for place in ("controller", "h1", "h2", "h3", "web1"):
            opened[place] = shells.enter_context(Shell(lab, place, lab.directory / f"home-{place}"))
            opened[place].run(f"PATH={tools}:$PATH")
        for step in steps(GUIDE.read_text()):
            print(f"{step.place}# {step.command}", flush=True)
            wrong = follow(opened[step.place], step)
            if wrong:
                print((lab.directory / "home-controller" / "overlay.log").read_text())
            assert not wrong, wrong
