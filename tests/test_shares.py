"""Who has which chassis: one owner each, few moves, nobody taken for dead who is not, everybody of one mind."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.shares import LOST, MISSED, SETTLED, Shares, rendezvous
from ovsdb.shared import Controller, Share, Shared

NAMES = ("amber", "birch", "cedar", "elm")
HOSTS = tuple(f"h{number}" for number in range(12))


class Overlay:
    """A database, and controllers that read and write it as the sessions do."""

    def __init__(self, *names: str) -> None:
        self.shared = Shared({}, {name: Share() for name in HOSTS})
        self.now = 0.0
        self.all: dict[str, Shares] = {}
        for name in names:
            self.start(name)

    def start(self, name: str) -> Shares:
        self.all[name] = Shares(name, f"{name} at {self.now}")
        for host in HOSTS:
            self.all[name].reach(host, True)
        return self.all[name]

    def turn(self, *names: str, reads: bool = True) -> None:
        """Half a second, in which these (all, if none is named) read and write."""
        self.now += 0.6
        for name in names or tuple(self.all):
            each = self.all[name]
            if reads:
                each.take(self.shared)
            self.write(each)

    def write(self, each: Shares) -> None:
        """The transaction, which fails where somebody else was first."""
        claims, beat, leads = each.claims(), each.beat(self.now), each.takes_lead()
        seen = each.shared
        assert seen is not None
        hosts = dict(self.shared.chassis)
        for host, generation in claims.items():
            if hosts[host] != seen.chassis[host]:
                return  # verify() fails, and with it the whole
            hosts[host] = replace(hosts[host], owner=each.name, generation=generation)
        row = Controller(each.instance, beat, reaches=each.reaches())
        leader = each.name if leads and self.shared.leader == seen.leader else self.shared.leader
        self.shared = Shared({**self.shared.controllers, each.name: row}, hosts, leader)
        each.wrote(beat, self.now)
        each.take(self.shared)

    def owners(self) -> dict[str, str]:
        return {host: share.owner for host, share in self.shared.chassis.items()}


def settled(*names: str) -> Overlay:
    overlay = Overlay(*names)
    for _ in range(2 * SETTLED):
        overlay.turn()
    return overlay


def test_alone_all_is_ours_even_before_anything_was_read() -> None:
    alone = Shares()
    assert alone.mine("h1")
    assert alone.leads
    assert alone.claims() == {}


def test_one_takes_all_at_once() -> None:
    overlay = Overlay("amber")
    overlay.turn()
    assert set(overlay.owners().values()) == {"amber"}
    assert overlay.shared.leader == "amber"


def test_they_share() -> None:
    overlay = settled(*NAMES)
    assert overlay.owners() == {host: rendezvous(host, NAMES) for host in HOSTS}
    assert len(set(overlay.owners().values())) > 2
    assert overlay.shared.leader in NAMES


@given(st.sets(st.sampled_from(NAMES), min_size=2), st.data())
def test_who_goes_takes_nothing_else_along(names: set[str], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(names)))
    before = {host: rendezvous(host, names) for host in HOSTS}
    after = {host: rendezvous(host, names - {gone}) for host in HOSTS}
    assert all(after[host] == before[host] for host in HOSTS if before[host] != gone)


def test_the_chassis_of_a_dead_one_are_taken_over_after_so_many_beats() -> None:
    overlay = settled("amber", "birch", "cedar")
    before = overlay.owners()
    lost = [host for host, owner in before.items() if owner == "birch"]
    assert lost
    for _ in range(MISSED - 1):
        overlay.turn("amber", "cedar")
    assert overlay.owners() == before, "it may be late"
    overlay.turn("amber", "cedar")
    overlay.turn("amber", "cedar")
    after = overlay.owners()
    assert {after[host] for host in lost} <= {"amber", "cedar"}
    assert all(after[host] == before[host] for host in HOSTS if host not in lost)
    assert all(overlay.shared.chassis[host].generation > 1 for host in lost)


def test_nobody_dies_while_nothing_can_be_written() -> None:
    overlay = settled("amber", "birch")
    before = overlay.owners()
    overlay.now += 60
    for each in overlay.all.values():
        each.take(overlay.shared)
        assert each.live() == ["amber", "birch"]
    for _ in range(3):
        overlay.turn()
    assert overlay.owners() == before


def test_who_is_in_a_hurry_takes_nobody_for_dead() -> None:
    overlay = settled("amber", "birch")
    before = overlay.owners()
    birch = overlay.all["birch"]
    birch.hurry = True
    for _ in range(10 * MISSED):
        overlay.now += 0.01
        birch.take(overlay.shared)
        overlay.write(birch)
    assert birch.live() == ["amber", "birch"]
    assert overlay.owners() == before


def test_one_that_comes_takes_its_share_once_it_is_sure() -> None:
    overlay = settled("amber", "birch")
    before = overlay.owners()
    overlay.start("cedar")
    for _ in range(SETTLED - 1):
        overlay.turn()
    assert overlay.owners() == before
    for _ in range(4):
        overlay.turn()
    assert overlay.owners() == {host: rendezvous(host, ("amber", "birch", "cedar")) for host in HOSTS}


def test_one_that_was_stopped_finds_nothing_its_own() -> None:
    overlay = settled("amber", "birch")
    birch = overlay.all["birch"]
    ours = [host for host in HOSTS if birch.mine(host)]
    for _ in range(MISSED + 2):
        overlay.turn("amber")
    assert set(overlay.owners().values()) == {"amber"}
    assert all(birch.mine(host) for host in ours), "it knows nothing yet"
    before = overlay.owners()
    overlay.write(birch)  # on what it last read
    assert overlay.owners() == before
    birch.take(overlay.shared)
    assert not any(birch.mine(host) for host in ours)


def test_whoever_reaches_a_chassis_has_it() -> None:
    overlay = settled("amber", "birch")
    host = next(host for host, owner in overlay.owners().items() if owner == "amber")
    overlay.all["amber"].reach(host, False)
    for _ in range(LOST):
        overlay.turn()
    assert overlay.owners()[host] == "amber", "a switch comes back in a moment"
    for _ in range(SETTLED + 4):
        overlay.turn()
    assert overlay.owners()[host] == "birch"
    overlay.all["birch"].reach(host, False)
    for _ in range(LOST + SETTLED + 4):
        overlay.turn()
    assert overlay.owners()[host] == "birch", "nobody could do better"


def test_a_generation_that_was_outrun_is_overtaken() -> None:
    """The database is an older copy than the switch remembers."""
    overlay = settled("amber")
    overlay.all["amber"].outrun("h1", 41)
    overlay.turn()
    assert overlay.shared.chassis["h1"].generation == 42
    assert overlay.all["amber"].claims() == {}


def test_the_lead_is_one_controllers_and_passes_on() -> None:
    overlay = settled(*NAMES)
    leader = overlay.shared.leader
    others = [name for name in NAMES if name != leader]
    for _ in range(MISSED + 2):
        overlay.turn(*others)
    assert overlay.shared.leader in others
    assert sum(each.leads for name, each in overlay.all.items() if name != leader) == 1


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=60))
def test_a_generation_has_one_owner_whatever_happens(turns: list[tuple[str, bool]]) -> None:
    """Each at its own pace, and some on what they read long ago."""
    overlay = Overlay(*NAMES[:3])
    seen: dict[tuple[str, int], str] = {}
    for each in overlay.all.values():
        each.take(overlay.shared)
    for name, reads in turns:
        if name not in overlay.all:
            overlay.start(name).take(overlay.shared)
        overlay.turn(name, reads=reads)
        for host, share in overlay.shared.chassis.items():
            if share.owner:
                assert seen.setdefault((host, share.generation), share.owner) == share.owner
