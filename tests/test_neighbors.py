"""Who may tell of which neighbor, how it moves, and how one that is quiet is told from one that is gone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from controller.neighbors import (
    NEIGHBORS_PER_GATEWAY,
    NEIGHBORS_PER_PORT,
    SEEN_STEP_S,
    Claims,
    Neighbors,
    delivery,
    question,
)
from controller.packet_in import Seen, parse_neighbor
from controller.strange import Strange
from flows.compile.respond import ASKER
from flows.flow import Output, PushVlan, SetField
from flows.model import Binding, May, Neighbor, Pair, Port

VIP = "10.0.0.100"
VIP6 = "2001:db8::100"
VMAC = "00:00:5e:00:01:33"
STRANGER = "02:00:00:00:00:99"


def port(number: int, *pairs: Pair, ips: tuple[str, ...] | None = None, secure: bool = True) -> Port:
    mac = f"02:00:00:00:00:0{number}"
    return Port(f"p{number}", "red", mac, (f"10.0.0.{number}",) if ips is None else ips, secure=secure, pairs=pairs)


def bound(port: Port, chassis: str = "h1", standby: bool = False) -> Binding:
    number = int(port.name[1:])
    given = (port.network, port.name, port.mac, port.ips, port.extra_macs, port.secure, port.pairs)
    return Binding(chassis, f"vm{number}", number, *given, standby=standby)


def loose(number: int, chassis: str = "h1", gateway: bool = False) -> Binding:
    may = frozenset(May) if gateway else frozenset()
    return Binding(chassis, f"vm{number}", number, "red", gateway=gateway, may=may)


@dataclass
class Ground:
    """Ports and where they are, and what was learned and said."""

    bindings: tuple[Binding, ...]
    ports: tuple[Port, ...] = ()
    age: float = 300
    learned: Neighbors = field(init=False)

    def __post_init__(self) -> None:
        self.strange = Strange(lambda: None)
        self.learned = Neighbors(self.strange, self.age)

    def tell(self, binding: Binding, ip: str, mac: str, now: float = 0.0, overrides: bool = True) -> bool:
        claims = Claims({port.name: port for port in self.ports}, self.bindings)
        return self.learned.see(claims, binding, Seen(ip, mac, overrides=overrides), now)

    @property
    def known(self) -> dict[str, tuple[str, str]]:
        return {each.ip: (each.mac, each.interface) for each in self.learned.known()}


OWN = "02:00:00:00:00:01"


@pytest.mark.parametrize(
    ("pairs", "ip", "mac", "learned"),
    [
        ((), VIP, OWN, False),
        ((Pair(VIP),), VIP, OWN, True),
        ((Pair(VIP),), VIP, STRANGER, False),
        ((Pair(VIP),), "10.0.0.101", OWN, False),
        ((Pair("10.0.0.96/28"),), VIP, OWN, True),
        ((Pair("10.0.0.96/28"),), "10.0.0.95", OWN, False),
        ((Pair(VIP, VMAC),), VIP, VMAC, True),
        ((Pair(VIP, VMAC),), VIP, OWN, False),
        ((Pair(VIP, VMAC),), "10.0.0.101", VMAC, False),
        ((Pair(VIP6),), VIP6, OWN, True),
        ((Pair("2001:db8::/64"),), VIP6, OWN, True),
        ((Pair("0.0.0.0/0"),), VIP6, OWN, False),
        ((Pair("0.0.0.0/0"),), "10.0.0.2", OWN, False),
        ((Pair(VIP),), "10.0.0.1", OWN, False),
        ((Pair(VIP),), "fe80::ff:fe00:1", OWN, True),
        ((Pair(VIP),), "fe80::1", OWN, False),
        ((Pair(VIP, VMAC),), "fe80::200:5eff:fe00:133", VMAC, True),
    ],
)
def test_a_guarded_port_tells_of_its_own_and_of_its_pairs(
    pairs: tuple[Pair, ...], ip: str, mac: str, learned: bool
) -> None:
    one, two = port(1, *pairs), port(2)
    ground = Ground((bound(one), bound(two)), (one, two))
    assert ground.tell(bound(one), ip, mac) is learned
    assert ground.known == ({ip: (mac, "vm1")} if learned else {})


def test_a_guarded_port_without_addresses_tells_of_any_from_its_own_mac() -> None:
    one, two = port(1, ips=()), port(2)
    ground = Ground((bound(one), bound(two)), (one, two))
    assert ground.tell(bound(one), "10.0.0.9", OWN)
    assert not ground.tell(bound(one), "10.0.0.8", STRANGER)
    assert not ground.tell(bound(one), "10.0.0.2", OWN)


@pytest.mark.parametrize("at", [loose(9), loose(9, gateway=True), bound(port(9, secure=False, ips=()))])
def test_a_loose_port_tells_of_what_is_nobody_elses(at: Binding) -> None:
    two, six = port(2), port(3, ips=("2001:db8::3",))
    declared = (two, six, port(9, secure=False, ips=()))
    ground = Ground((at, bound(two), bound(six)), declared)
    for ip in ("10.0.0.9", "2001:db8::9", "fe80::9"):
        assert ground.tell(at, ip, STRANGER)
    assert not ground.tell(at, "10.0.0.2", STRANGER), "a declared address"
    assert not ground.tell(at, "2001:db8::3", STRANGER)
    assert not ground.tell(at, "fe80::ff:fe00:3", STRANGER), "what comes with one"
    assert not ground.tell(at, "10.0.0.8", two.mac), "a declared MAC"
    assert not ground.tell(at, "10.0.0.8", ASKER)
    assert set(ground.known) == {"10.0.0.9", "2001:db8::9", "fe80::9"}


def test_an_address_kept_for_a_port_that_is_nowhere_may_be_shared() -> None:
    """As it is done elsewhere: a port that is never plugged in holds the address, others are allowed to have it."""
    kept, one, two = port(7, ips=(VIP,)), port(1, Pair(VIP)), port(2)
    ground = Ground((bound(one), bound(two)), (kept, one, two))
    assert not ground.tell(bound(two), VIP, two.mac)
    assert ground.tell(bound(one), VIP, one.mac)
    ground.bindings += (bound(kept, "h2"),)
    ground.learned.restore((), {})
    assert not ground.tell(bound(one), VIP, one.mac), "it is somewhere, and declared wins"
    assert f"claims {VIP} with MAC" in ground.strange.about(bound(one))


def test_what_an_operator_noted_on_a_port_is_not_learned_on_another() -> None:
    noted = replace(loose(8), mac="02:00:00:00:00:08", ips=("10.0.0.8",))
    ground = Ground((noted, loose(9)))
    assert not ground.tell(loose(9), "10.0.0.8", STRANGER)


def test_an_address_moves_at_once_and_a_normal_failover_is_nothing_strange() -> None:
    one, two = port(1, Pair(VIP)), port(2, Pair(VIP))
    here, there = bound(one), bound(two, "h2")
    ground = Ground((here, there), (one, two))
    for now, at in enumerate((here, there, here)):
        assert ground.tell(at, VIP, at.mac or "", float(now))
        assert ground.known[VIP] == (at.mac, at.interface)
    assert [ground.strange.about(at) for at in (here, there)] == ["", ""], "the master died, and came back"
    for now, at in enumerate((there, here) * 6, 3):
        ground.tell(at, VIP, at.mac or "", float(now))
    assert "two have one address" in ground.strange.about(here), "two masters"
    assert "two have one address" in ground.strange.about(there)


def test_a_shared_mac_that_is_at_two_places_to_and_fro_is_said_as_well() -> None:
    one, two = port(1, Pair(VIP, VMAC)), port(2, Pair(VIP, VMAC))
    here, there = bound(one), bound(two, "h2")
    ground = Ground((here, there), (one, two))
    for now in range(15):
        assert ground.tell((here, there)[now % 2], VIP, VMAC, float(now)), "its place counts"
    assert "two have one address" in ground.strange.about(here)


def test_an_advertisement_that_overrides_nothing_moves_nothing() -> None:
    """RFC 4861, section 7.2.5: an anycast address, or a proxy's."""
    ground = Ground((loose(8), loose(9)))
    assert ground.tell(loose(8), "2001:db8::9", STRANGER, overrides=False)
    assert not ground.tell(loose(9), "2001:db8::9", "02:00:00:00:00:98", overrides=False)
    assert ground.known["2001:db8::9"] == (STRANGER, "vm8")


@pytest.mark.parametrize(
    ("at", "limit"), [(loose(9), NEIGHBORS_PER_PORT), (loose(9, "h1", True), NEIGHBORS_PER_GATEWAY)]
)
def test_there_is_a_limit_per_port(at: Binding, limit: int) -> None:
    ground = Ground((at, loose(8)))
    for number in range(limit + 20):
        ground.tell(at, f"10.{1 + number // 65536}.{number // 256 % 256}.{number % 256}", STRANGER)
    assert len(ground.learned) == limit
    assert f"more than {limit} addresses" in ground.strange.about(at)
    assert ground.tell(loose(8), "10.0.9.9", STRANGER), "another has its own"
    assert not ground.tell(at, "10.0.9.9", STRANGER), "nor does it take another's beyond the limit"
    assert ground.tell(at, "10.1.0.0", "02:00:00:00:00:98"), "what it has may change"
    assert ground.tell(loose(8), "10.1.0.0", STRANGER)
    assert ground.tell(at, "10.0.9.9", STRANGER), "one left, one may come"


class Clock:
    """Looks at a switch every `look` seconds, at which the neighbor has sent so many packets in all."""

    def __init__(self, ground: Ground, key: tuple[str, str], chassis: str = "h1") -> None:
        self.ground, self.key, self.chassis = ground, key, chassis
        self.now, self.packets = 0.0, 7
        self.asked: list[float] = []
        self.look()

    def look(self) -> None:
        _, asked = self.ground.learned.listen(self.chassis, {self.key: self.packets}, self.now)
        self.asked += [self.now for neighbor in asked if neighbor.ip == self.key[1]]

    def pass_(self, seconds: float, speaks: bool = False) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += self.ground.learned.look
            self.packets += speaks
            self.look()


def silent_ground(age: float = 300) -> tuple[Ground, Clock]:
    ground = Ground((loose(9),), age=age)
    ground.tell(loose(9), "10.0.0.9", STRANGER)
    return ground, Clock(ground, ("red", "10.0.0.9"))


@pytest.mark.parametrize("age", [5, 20, 300, 3600])
def test_who_is_silent_is_asked_and_then_forgotten(age: float) -> None:
    ground, clock = silent_ground(age)
    look = ground.learned.look
    clock.pass_(age / 2 - look)
    assert clock.asked == []
    clock.pass_(age / 2 - look)
    assert clock.asked[0] == pytest.approx(age / 2, abs=look)
    assert len(clock.asked) >= 2, "one question may be lost"
    assert len(ground.learned) == 1
    clock.pass_(2 * look)
    assert len(ground.learned) == 0


def test_who_speaks_or_answers_stays() -> None:
    ground, clock = silent_ground()
    clock.pass_(3000, speaks=True)
    assert clock.asked == []
    for _ in range(20):
        asked = len(clock.asked)
        while len(clock.asked) == asked:
            clock.pass_(ground.learned.look)
        clock.packets += 1  # the answer
    assert len(ground.learned) == 1
    clock.pass_(400)
    assert len(ground.learned) == 0


def test_a_copy_that_reached_us_counts_and_a_counter_that_began_anew_does() -> None:
    ground, clock = silent_ground()
    clock.pass_(200)
    assert not ground.tell(loose(9), "10.0.0.9", STRANGER, clock.now)
    clock.pass_(200)
    assert len(ground.learned) == 1
    clock.packets = 0
    clock.pass_(30)
    clock.packets = 3
    clock.pass_(200)
    assert len(ground.learned) == 1, "heard after the switch was started anew"
    clock.packets = 1
    clock.pass_(200)
    assert len(ground.learned) == 1, "heard after the switch was started anew"
    clock.pass_(150)
    assert len(ground.learned) == 0


def test_who_can_not_be_listened_to_does_not_age() -> None:
    ground, clock = silent_ground()
    clock.pass_(60)
    clock.now += 86400
    clock.look()
    assert len(ground.learned) == 1, "we were cut off from its chassis, or not there"
    clock.pass_(210)
    assert len(clock.asked) >= 3
    clock.pass_(60)
    assert len(ground.learned) == 0


def test_who_was_silent_for_longer_than_a_new_age_is_asked_first() -> None:
    ground, clock = silent_ground()
    clock.pass_(120)
    ground.learned.set_age(16)
    clock.look()
    assert (len(clock.asked), len(ground.learned)) == (1, 1)
    clock.pass_(6)
    assert len(ground.learned) == 1
    clock.pass_(6)
    assert len(ground.learned) == 0


def test_another_chassis_is_not_asked_for_it() -> None:
    ground, _ = silent_ground()
    other = Clock(ground, ("red", "10.0.0.9"), "h2")
    other.pass_(900)
    assert len(ground.learned) == 1
    assert other.asked == []


def test_after_a_restart_they_have_their_time_and_are_not_all_asked_at_once() -> None:
    ground = Ground((loose(9),))
    many = [Neighbor("red", f"10.0.1.{number}", STRANGER, "h1", "vm9") for number in range(200)]
    ground.learned.restore(many, {("red", "10.0.1.7"): 1_700_000_000})
    assert ground.learned.seen(0.0, 1_800_000_000.0)["red", "10.0.1.7"] == 1_700_000_000
    asked: list[int] = []
    known: set[Neighbor] = set()
    for now in range(0, 420, 30):
        _, ask = ground.learned.listen("h1", {}, float(now))
        asked.append(sum(neighbor not in known for neighbor in ask))
        known |= set(ask)
        assert len(ground.learned) == 200 or now >= 300
    assert 0 < max(asked) <= 100
    assert len(known) == 200


def test_when_it_was_heard_is_told_once_a_minute() -> None:
    ground, clock = silent_ground()
    told = set()
    for _ in range(20):
        clock.pass_(30, speaks=True)
        told.add(ground.learned.seen(clock.now, 1_800_000_000 + clock.now)["red", "10.0.0.9"])
    assert len(told) <= 600 / SEEN_STEP_S + 1
    assert max(told) >= 1_800_000_000 + clock.now - SEEN_STEP_S


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["tell", "listen", "unplug"]),
        st.integers(0, 3),
        st.integers(1, 8),
        st.integers(0, 400),
    ),
    max_size=60,
)


@given(EVENTS)
def test_whatever_happens_the_books_are_right(events: list[tuple[str, int, int, int]]) -> None:
    """Every neighbor is at a port that is there, and each port has as many as are counted behind it."""
    places = [loose(number, f"h{1 + number % 2}") for number in range(4)]
    ground = Ground(tuple(places))
    now = 0.0
    for kind, at, what, packets in events:
        now += packets / 10
        if kind == "tell":
            ground.tell(places[at], f"10.0.0.{what}", f"02:00:00:00:01:0{at}", now)
        elif kind == "listen":
            counted = {("red", f"10.0.0.{what}"): packets}
            ground.learned.listen(f"h{1 + at % 2}", counted, now)
        else:
            there = [binding for number, binding in enumerate(places) if number != at]
            ground.learned.keep(there)
            assert all(each.interface != f"vm{at}" for each in ground.learned.known())
        behind = [(each.network, each.chassis, each.interface) for each in ground.learned.known()]
        assert dict(ground.learned._behind) == {place: behind.count(place) for place in behind}


def test_a_question_is_one_that_hosts_answer_and_teaches_nobody() -> None:
    asked = Ether(question(Neighbor("red", "10.0.0.9", STRANGER, "h1", "vm9")))
    assert (asked.dst, asked.src) == (STRANGER, ASKER)
    assert (asked[ARP].op, asked[ARP].psrc, asked[ARP].pdst) == (1, "0.0.0.0", "10.0.0.9")
    assert asked[ARP].hwsrc == ASKER
    assert len(asked) == 60
    frame = question(Neighbor("red", "2001:db8::9", STRANGER, "h1", "vm9"))
    asked = Ether(frame)
    assert (asked.dst, asked.src, asked[IPv6].dst, asked.hlim) == (STRANGER, ASKER, "2001:db8::9", 255)
    assert (asked[ICMPv6ND_NS].tgt, asked[ICMPv6NDOptSrcLLAddr].lladdr) == ("2001:db8::9", ASKER)
    assert parse_neighbor(frame) == Seen("fe80::c00:ff:fe00:1", ASKER), "whole, with a right checksum"


def test_a_question_leaves_with_the_tag_of_its_port() -> None:
    assert delivery(loose(9)) == (Output(9),)
    tagged = replace(loose(9), tag=100)
    assert delivery(tagged) == (PushVlan(), SetField("vlan_tci", 0x1000 | 100), Output(9))
    assert delivery(replace(tagged, service_tag=True))[0] == PushVlan(0x88A8)
