"""Long runs, made short: they come out even, and what is left over is noticed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.system.steps import running, settle
from topologies import three_chassis
from topologies.faults.ground import Ground
from topologies.soak.breaking import BREAKAGES, Site, happen
from topologies.soak.changing import change
from topologies.soak.comparing import differences
from topologies.soak.ports import Ports

pytestmark = [pytest.mark.system, pytest.mark.alone]
HOSTS, NETWORKS = ("h1", "h2", "h3"), ("red", "blue")


@pytest.fixture
def ground() -> Iterator[Ground]:
    with running(three_chassis.TOPOLOGY) as lab:
        settle(lab)
        yield Ground(lab)


def test_many_changes_leave_nothing_over(ground: Ground) -> None:
    changed = change(ground, 600, 5, print)
    assert changed.wrong == []
    assert sum(changed.kinds.values()) == 600
    assert len(changed.kinds) == 6
    assert {"controller MB", "descriptors", "greenthreads", "send_queue", "overlay.db MB"} <= {
        name for each in changed.samples for name in each.figures
    }


def test_what_is_left_over_is_noticed(ground: Ground) -> None:
    lab, ports = ground.lab, Ports(random.Random(1), HOSTS, NETWORKS)
    assert list(differences(ground, ports)) == []
    lab.overlayctl("port-add", "forgotten", "--net", "red")
    lab.run("h2", "ovs-vsctl", "add-port", "br-int", "left", "--", "set", "interface", "left", "type=internal")
    lab.run("web2", "ip", "link", "set", "eth0", "down")
    found = "\n".join(differences(ground, ports))
    for said in ("declared ports: ['forgotten']", "h2: interfaces ['left']", "web1 does not reach web2"):
        assert said in found, found


def test_a_flow_that_a_new_controller_would_not_make_is_noticed(ground: Ground) -> None:
    """Of a version that forgets some: each restart adds and deletes, and flows are others than before."""
    lab = ground.lab
    lab.stop_controller()
    lab.start_controller("topologies.faults.another_version")
    ground.until(ground.ready, 30, "ready")
    found = list(differences(ground, Ports(random.Random(1), HOSTS, NETWORKS)))
    assert any("a new controller makes" in each for each in found), found
    assert any("differ from those of a new controller" in each for each in found), found


@pytest.mark.parametrize("name", ["a flood of ARP", "DHCP noise", "flows edited", "ports come and go"])
def test_a_fault_heals(ground: Ground, name: str) -> None:
    ports = Ports(random.Random(2), HOSTS, NETWORKS, limit=10)
    done = happen(next(each for each in BREAKAGES if each.name == name), Site(ground, ports, random.Random(2)))
    assert done.wrong == ""
    assert list(differences(ground, ports)) == []
