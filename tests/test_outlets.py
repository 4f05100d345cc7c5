"""A gateway moves: never open in two places, whatever is lost on the way, and whoever can't be reached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.state import State
from flows.bind import Exit, Outlet
from flows.model import Chassis, Gateway, Network, Vtep
from ovsdb.snapshot import ChassisRow, Declared, LastKnown, Plugged

HOSTS = ("h1", "h2", "h3")
CHASSIS = {
    name: ChassisRow(Chassis(name, (Vtep(f"192.0.2.{n}"),), (("office", "br0"),)), f"tcp:192.0.2.{n}:6640")
    for n, name in enumerate(HOSTS, 1)
}


def declared(at: str | None, vlan: int = 0, hosts: tuple[str, ...] = HOSTS) -> Declared:
    gateway = Gateway("office", vlan, at) if at is not None else None
    network = Network("red", "acme", 100, gateway=gateway)
    return Declared({name: CHASSIS[name] for name in hosts}, {"red": network})


class World:
    """A state, and what goes on around it: chassis that do as they are told, a database that keeps what it is given."""

    def __init__(self, at: str | None, last: LastKnown | None = None, heard: tuple[str, ...] = HOSTS) -> None:
        self.state = State(lambda: None, lambda: None)
        self.open: dict[str, set[Outlet]] = {name: set() for name in HOSTS}
        self.state.declare(declared(at), last or LastKnown())
        for name in HOSTS:
            if name in heard:
                self.state.connect(name, True)
                self.provision(name)
            else:
                self.state.lose(name, "no answer", tried=True)

    def provision(self, name: str) -> None:
        """The chassis' database is as it should be."""
        exits = tuple(Exit(name, physical, "overlay-to-br0", 7) for physical, _ in self.state.exits_of(name))
        self.state.plug(name, Plugged(exits=exits), provisioned=self.state.nb_cfg)

    def write(self) -> None:
        """The status is written."""
        self.state.wrote(self.state.status())

    def reconcile(self, name: str) -> None:
        """The chassis' switch has the flows of now."""
        state = self.state
        assert state.chassis[name].connected
        self.open[name] = {
            Outlet(binding.network, name, "office", binding.tag)
            for binding in state.overlay.bindings
            if binding.gateway and binding.chassis == name
        }
        assert sum(map(len, self.open.values())) <= 1, "a loop"
        state.confirm(name, state.version, state.nb_cfg, 40, ())

    def settle(self, *names: str) -> set[str]:
        """All of it, until nothing moves; where the network goes on then."""
        for _ in range(6):
            self.write()
            for name in names or HOSTS:
                if name in self.state.chassis:
                    self.provision(name)
                    self.reconcile(name)
        return {name for name in HOSTS if self.open[name]}

    @property
    def said(self) -> str:
        """What is said of the network."""
        return self.state.status().networks["red"].error


def test_it_opens_where_it_is_declared() -> None:
    world = World("h1")
    assert world.settle() == {"h1"}
    assert world.said == ""
    assert world.state.exits_of("h2") == ()


def test_it_does_not_open_before_that_is_written_down() -> None:
    world = World("h1")
    world.provision("h1")
    world.reconcile("h1")
    assert not world.open["h1"]
    world.write()
    world.reconcile("h1")
    assert world.open["h1"]


def test_it_moves_when_the_old_one_has_confirmed_and_not_before() -> None:
    world = World("h1")
    world.settle()
    world.state.declare(declared("h2"), LastKnown())
    for _ in range(3):
        world.write()
        world.provision("h2")
        world.reconcile("h2")  # all but h1 are quick
        world.reconcile("h3")
    assert [bool(world.open[name]) for name in HOSTS] == [True, False, False]
    assert "waits until h1" in world.said
    assert world.settle() == {"h2"}
    assert (world.said, world.state.exits_of("h1")) == ("", ())


def test_it_stays_while_the_old_one_is_cut_off_and_moves_when_it_is_back() -> None:
    world = World("h1")
    world.settle()
    world.state.connect("h1", False)
    world.state.lose("h1", "no answer", tried=True)
    world.state.declare(declared("h2"), LastKnown())
    assert world.settle("h2", "h3") == {"h1"}
    assert "goes on at h1, which can't be told to stop (no answer)" in world.said
    assert [b.chassis for b in world.state.overlay.bindings] == ["h1"], "the others go on sending there"
    world.state.connect("h1", True)
    assert world.settle() == {"h2"}


def test_it_is_lost_while_it_closes() -> None:
    world = World("h1")
    world.settle()
    world.state.declare(declared("h2"), LastKnown())
    world.state.connect("h1", False)
    assert world.settle("h2", "h3") == {"h1"}
    world.state.connect("h1", True)
    assert world.settle() == {"h2"}


def test_an_operator_may_say_that_it_is_gone() -> None:
    world = World("h1")
    world.settle()
    world.state.connect("h1", False)
    world.state.declare(declared("h2"), LastKnown())
    world.settle("h2", "h3")
    world.state.declare(declared("h2", hosts=("h2", "h3")), LastKnown())
    assert world.settle("h2", "h3") == {"h1"}, "it is being told to leave, if it can be reached"
    world.open["h1"] = set()
    world.state.left("h1")
    assert world.settle("h2", "h3") == {"h2"}


@pytest.mark.parametrize("heard", [HOSTS, ("h2", "h3")])
def test_a_controller_that_starts_knows_where_it_was(heard: tuple[str, ...]) -> None:
    """It was moved while no controller ran."""
    was = Outlet("red", "h1", "office", 0)
    last = LastKnown(outlets=((was, Exit("h1", "office", "overlay-to-br0", 7)),))
    world = World("h2", last, heard)
    world.open["h1"] = {was}
    if "h1" in heard:
        assert world.settle() == {"h2"}
    else:
        assert world.settle("h2", "h3") == {"h1"}
        assert [b.chassis for b in world.state.overlay.bindings] == ["h1"]
        assert "which can't be told to stop" in world.said


def test_a_gateway_stands_while_its_chassis_does_not_answer_a_new_controller() -> None:
    was = Outlet("red", "h1", "office", 0)
    last = LastKnown(outlets=((was, Exit("h1", "office", "overlay-to-br0", 7)),))
    world = World("h1", last, ("h2", "h3"))
    assert [(b.chassis, b.ofport, b.gateway) for b in world.state.overlay.bindings] == [("h1", 7, True)]
    # What was deleted while no controller ran is the operator's word too.
    gone = State(lambda: None, lambda: None)
    gone.declare(declared("h2", hosts=("h2", "h3")), last)
    assert not gone.status().networks["red"].error.startswith("waits")


def test_another_vlan_opens_when_the_first_is_closed() -> None:
    world = World("h1")
    world.settle()
    world.state.declare(declared("h1", vlan=10), LastKnown())
    assert world.settle() == {"h1"}
    assert {outlet.vlan for outlet in world.open["h1"]} == {10}


def test_nobody_is_told_that_all_is_done_while_it_moves() -> None:
    world = World("h1")
    world.settle()
    world.state.declare(replace(declared("h2"), nb_cfg=7), LastKnown())
    world.reconcile("h2")
    world.reconcile("h3")
    assert min(said.cur_cfg for said in world.state.status().chassis.values()) < 7
    world.settle()
    assert {said.cur_cfg for said in world.state.status().chassis.values()} == {7}


def test_none_is_left_when_none_is_declared() -> None:
    world = World("h1")
    world.settle()
    world.state.declare(declared(None), LastKnown())
    assert world.settle() == set()
    assert world.state.exits_of("h1") == ()
    assert not [said for said in world.state.status().bindings.values() if said.physical]
