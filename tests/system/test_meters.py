"""Meters on real switches: there before the flows that use them, gone after those, and nobody else's touched."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest

from flows import meters, text
from flows.flow import OWNER_COOKIE, OWNER_MASK
from flows.meters import LAST
from tests.system.steps import chassis_error, eventually, fresh_name, running, settle
from topologies import three_chassis
from topologies.lab import Lab

pytestmark = pytest.mark.system

OFCTL = ("ovs-ofctl", "-O", "OpenFlow14")
STRANGE = LAST + 5
SLOW = "kbps,band=type=drop,rate=7"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(three_chassis.TOPOLOGY) as built:
        yield built


def dumped(lab: Lab, chassis: str) -> str:
    return lab.run(chassis, *OFCTL, "dump-meters", "br-int").stdout


def installed(lab: Lab, chassis: str) -> dict[int, tuple[int, int]]:
    """The meters of a switch that look like ours."""
    return text.meters(dumped(lab, chassis))


def in_use(lab: Lab, chassis: str) -> set[int]:
    """The meters that our flows on a switch name."""
    ours = f"cookie={OWNER_COOKIE:#x}/{OWNER_MASK:#x}"
    flows = lab.run(chassis, *OFCTL, "--no-names", "dump-flows", "br-int", ours).stdout
    return {int(id) for id in re.findall(r"(?:meter:|meter_id=)(\d+)", flows)}


def agrees(lab: Lab) -> None:
    """Every chassis has the meters that its flows use, with their rates, and no other."""
    settle(lab)
    for chassis in ("h1", "h2", "h3"):
        known = installed(lab, chassis)
        assert known.keys() - {STRANGE} == in_use(lab, chassis)
        ours = f"cookie={OWNER_COOKIE:#x}/{OWNER_MASK:#x}"
        dump = lab.run(chassis, *OFCTL, "--no-names", "dump-flows", "br-int", ours).stdout
        assert meters.needed(text.parse(dump, known)).items() <= known.items()


def ofport(lab: Lab, vm: str) -> int:
    return int(lab.run(lab.place(vm), "ovs-vsctl", "get", "interface", vm, "ofport").stdout)


def test_a_switch_has_the_meters_that_its_flows_use(lab: Lab) -> None:
    agrees(lab)
    assert installed(lab, "h1")[ofport(lab, "web1")] == (5000, 5000)


def test_a_meter_changes_with_its_port_and_goes_with_it(lab: Lab) -> None:
    number = ofport(lab, "web1")
    lab.overlayctl("set", "port", "web1", "flood_rate=77")
    settle(lab)
    assert installed(lab, "h1")[number] == (77, 77)
    agrees(lab)
    lab.overlayctl("clear", "port", "web1", "flood_rate")
    lab.unplug("web1")
    eventually(lambda: number not in {id % 65536 for id in installed(lab, "h1")}, what="its meters are gone")
    agrees(lab)
    lab.plug("web1")
    lab.wait_up()
    agrees(lab)
    assert lab.ping("web1", "web2", count=1).lost == 0


def test_a_restart_with_nothing_changed_sends_no_meter_mod(lab: Lab) -> None:
    settle(lab)
    with lab.background("h1", *OFCTL, "snoop", "br-int") as snoop:
        lab.stop_controller(signal.SIGKILL)
        lab.start_controller()
        settle(lab)
        eventually(lambda: "OFPST_METER_CONFIG reply" in snoop.output(), what="the new controller has read the meters")
        settle(lab)
    said = snoop.output()
    assert "OFPT_METER_MOD" not in said
    assert "OFPT_FLOW_MOD" not in said


def test_nobody_elses_meters_are_touched(lab: Lab) -> None:
    """One beyond our ids, one of another form within them; also not by a controller that has just started."""
    free = 60000
    lab.run("h1", *OFCTL, "add-meter", "br-int", text.meter_text(STRANGE, 1, 1))
    lab.run("h1", *OFCTL, "add-meter", "br-int", f"meter={free},{SLOW}")
    lab.stop_controller(signal.SIGKILL)
    lab.start_controller()
    lab.unplug("web1")
    lab.plug("web1")
    lab.wait_up()
    agrees(lab)
    assert re.search(rf"meter={free} kbps", dumped(lab, "h1"))
    assert installed(lab, "h1")[STRANGE] == (1, 1)
    for id in (STRANGE, free):
        lab.run("h1", *OFCTL, "del-meter", "br-int", f"meter={id}")


def test_meters_deleted_by_hand_come_back(lab: Lab) -> None:
    """With the flows that used them: those go with their meters."""
    before = installed(lab, "h2")
    lab.run("h2", *OFCTL, "del-meters", "br-int")
    eventually(lambda: installed(lab, "h2") == before, 45)
    agrees(lab)
    assert "meters changed by somebody else" in lab.controller_log()


def test_a_flow_whose_meter_is_refused_is_named() -> None:
    """Somebody has a meter of another form where ours should be. All other flows are there."""
    with Lab(three_chassis.TOPOLOGY, fresh_name()) as lab:
        lab.up()
        number = ofport(lab, "web1")
        lab.stop_controller()
        lab.run("h1", *OFCTL, "mod-meter", "br-int", f"meter={number},{SLOW}")
        lab.start_controller()
        eventually(lambda: f"flow refused (meter {number}: somebody else" in chassis_error(lab, "h1"), 20)
        assert lab.ping("web1", "web2", count=1).lost == 0
        lab.run("h1", *OFCTL, "del-meter", "br-int", f"meter={number}")
        eventually(lambda: chassis_error(lab, "h1") == "", 45)
        assert installed(lab, "h1")[number] == (5000, 5000)
