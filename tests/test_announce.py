"""A gateway that opens is announced: each MAC inside, a few times, and never too many at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from scapy.layers.l2 import ARP, Ether

from controller.announce import PAUSES, RATE, Announcements, frame, inside
from controller.reconciler import _opened
from flows.compile import compile
from flows.model import Binding, Gateway, Neighbor, Overlay, Pair
from tests.overlays import H1, H2, RED, mac

GATEWAY = Binding("h1", "overlay-to-br0", 7, "red", tag=10, gateway=True)
WEB1 = Binding("h1", "vm1", 1, "red", "web1", mac(1), ("10.0.0.1",), (mac(0x11),), secure=True)
WEB2 = Binding("h2", "vm2", 1, "red", "web2", mac(2), pairs=(Pair("10.0.0.9", "00:00:5e:00:01:01"),), secure=True)
FREE = Binding("h2", "vm3", 3, "red")
OTHER = Binding("h2", "vm4", 4, "blue", "db1", mac(4), ("10.0.0.1",))
OVERLAY = Overlay(
    {"h1": H1, "h2": H2},
    {"red": replace(RED, gateway=Gateway("office", 10, "h1")), "blue": replace(RED, name="blue", vni=200)},
    (WEB1, WEB2, FREE, OTHER, GATEWAY),
    (
        Neighbor("red", "10.0.0.9", "00:00:5e:00:01:01", "h2", "vm2"),
        Neighbor("red", "10.0.0.30", mac(3), "h2", "vm3"),
        Neighbor("red", "10.0.0.99", mac(0x99), "h1", "overlay-to-br0"),
        Neighbor("blue", "10.0.0.77", mac(0x77), "h2", "vm4"),
    ),
)


def test_it_is_the_frame_that_switches_learn_of_a_machine_that_moved() -> None:
    sent = Ether(frame(mac(5)))
    assert (sent.dst, sent.src, sent.type, len(sent)) == ("ff:ff:ff:ff:ff:ff", mac(5), 0x8035, 60)
    said = ARP(frame(mac(5))[14:])
    assert (said.hwtype, said.ptype, said.hwlen, said.plen, said.op) == (1, 0x0800, 6, 4, 3)
    assert (said.hwsrc, said.hwdst, said.psrc, said.pdst) == (mac(5), mac(5), "0.0.0.0", "0.0.0.0")


def test_who_lives_inside_is_announced_and_who_lives_outside_never() -> None:
    """A shared MAC where it is known to be at somebody's; an address outside would be cut off by it."""
    assert inside(OVERLAY, "red") == {mac(1), mac(0x11), mac(2), "00:00:5e:00:01:01", mac(3)}
    assert inside(replace(OVERLAY, neighbors=()), "red") == {mac(1), mac(0x11), mac(2)}


def test_a_gateway_has_opened_when_packets_are_taken_from_it() -> None:
    flows = compile(OVERLAY, "h1")
    assert _opened(OVERLAY, "h1", flows, ()) == [GATEWAY]
    assert _opened(OVERLAY, "h1", flows, flows) == []
    untagged = replace(OVERLAY, bindings=(*OVERLAY.bindings[:-1], replace(GATEWAY, tag=0)))
    assert _opened(OVERLAY, "h1", flows, ()) != _opened(untagged, "h1", compile(untagged, "h1"), ())
    assert _opened(OVERLAY, "h2", compile(OVERLAY, "h2"), ()) == []


class World:
    """A switch that notes what it is told to send, and when."""

    def __init__(self, number: int) -> None:
        self.macs = [mac(each) for each in range(1, number + 1)]
        self.now = 0.0
        self.sent: list[tuple[float, bytes]] = []
        self.gateways = {GATEWAY}
        self.announcements = Announcements(lambda *_: self.macs, self.send, self.sleep)

    def send(self, gateway: Binding, frames: list[bytes]) -> bool:
        if gateway not in self.gateways:
            return False
        self.sent += [(self.now, each) for each in frames]
        return True

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def open(self, *gateways: Binding) -> None:
        if self.announcements.opened(gateways):
            self.announcements.run()


def test_a_few_rounds_with_growing_pauses() -> None:
    world = World(2)
    world.open(GATEWAY)
    assert len(world.sent) == 2 * (len(PAUSES) + 1)
    assert {each for _, each in world.sent[:2]} == {frame(mac(1)), frame(mac(2))}
    moments = sorted({moment for moment, _ in world.sent})
    assert [round(later - sooner - 2 / RATE, 3) for sooner, later in pairwise(moments)] == [*PAUSES]
    world.open(GATEWAY)
    assert len(world.sent) == 4 * (len(PAUSES) + 1), "it may open again"


def test_many_are_announced_at_a_bounded_rate() -> None:
    """Also when several gateways open at once."""
    world = World(350)
    world.gateways.add(replace(GATEWAY, tag=11))
    world.open(GATEWAY, replace(GATEWAY, tag=11))
    assert len(world.sent) == 700 * (len(PAUSES) + 1)
    for moment, _ in world.sent:
        assert sum(moment <= other < moment + 1 for other, _ in world.sent[:3000]) <= 2 * RATE


def test_what_is_no_gateway_any_more_is_not_announced() -> None:
    class Closing(World):
        def sleep(self, seconds: float) -> None:
            self.gateways.clear()

    world = Closing(350)
    world.open(GATEWAY)
    assert len(world.sent) == RATE


def test_nothing_is_announced_where_no_gateway_opened() -> None:
    world = World(1)
    world.open()
    assert world.sent == []
