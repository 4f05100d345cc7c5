"""What is told of neighbors waits until somebody has time for it: not without end, and nobody's share is another's."""

from __future__ import annotations

from controller.heard import WAITING_PER_CHASSIS, WAITING_PER_PORT, Heard, Told
from controller.packet_in import Seen
from tests.test_state import FREE, neighbors, store


def told(number: int, ofport: int = 9, chassis: str = "h2", mac: int = 1) -> Told:
    return Told(chassis, ofport, None, Seen(f"10.0.{number >> 8}.{number & 255}", f"06:00:00:00:00:{mac:02x}"))


def test_what_is_told_is_taken_once_and_in_order() -> None:
    heard = Heard()
    assert heard.take() == []
    for number in (3, 1, 2):
        heard.put(told(number))
    assert heard.take() == [told(3), told(1), told(2)]
    assert heard.take() == []


def test_of_an_address_the_latest_counts() -> None:
    heard = Heard()
    for mac in range(200):
        heard.put(told(1, mac=mac))
    assert heard.take() == [told(1, mac=199)]


def test_a_port_that_tells_of_everybody_leaves_room_for_others() -> None:
    heard = Heard()
    for number in range(10_000):
        heard.put(told(number))
    heard.put(told(7, ofport=1))
    heard.put(told(7, chassis="h1"))
    taken = heard.take()
    assert len(taken) == WAITING_PER_PORT + 2
    assert {told(7, ofport=1), told(7, chassis="h1")} <= set(taken)


def test_a_switch_that_makes_ports_up_leaves_room_for_others() -> None:
    heard = Heard()
    for ofport in range(10_000):
        heard.put(told(ofport, ofport=ofport))
    heard.put(told(7, chassis="h1"))
    assert len(heard.take()) == WAITING_PER_CHASSIS + 1


def test_many_are_one_change_of_the_overlay() -> None:
    state = store(FREE)
    version = state.version
    assert state.see_all([told(number) for number in range(100, 150)], 0.0)
    assert (len(neighbors(state)), state.version) == (50, version + 1)
    assert not state.see_all([told(number) for number in range(100, 150)], 0.0)
    assert state.version == version + 1
