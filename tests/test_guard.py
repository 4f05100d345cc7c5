"""What the guard costs: flows and time for ports that may send as many; and that it lets through no more for that."""

from __future__ import annotations

from time import process_time

import pytest

from flows.compile import compile
from flows.model import Binding, Network, Overlay, Pair
from flows.simulate import Switch, packet
from flows.tables import Kind
from tests.overlays import H1, mac
from tests.packets import BROADCAST

OWN, FURTHER = "02:00:00:00:00:01", "02:00:00:00:00:f1"


def overlay(*pairs: Pair, further: tuple[str, ...] = ()) -> Overlay:
    """A port that may send as itself and some others."""
    one = Binding("h1", "vm1", 1, "red", "web1", OWN, ("10.0.0.1",), further, secure=True, pairs=pairs)
    return Overlay({"h1": H1}, {"red": Network("red", "acme", 100)}, (one,))


def many(count: int) -> tuple[Pair, ...]:
    """As many pairs, each with a MAC of its own."""
    return tuple(Pair(f"10.1.{number >> 8}.{number & 255}", mac(0x1000 + number)) for number in range(count))


def test_flows_grow_with_the_pairs_of_a_port_and_not_with_their_square() -> None:
    few, more, most = (len(compile(overlay(*many(count)), "h1")) for count in (10, 20, 100))
    each = (more - few) // 10
    assert most - more == 80 * each
    assert each <= 8


def test_a_thousand_pairs_take_no_longer_than_a_thousand_ports() -> None:
    known = overlay(*many(1000))
    start = process_time()
    compile(known, "h1")
    assert process_time() - start < 3, "this machine may be busy: some 0.5 s where it is not"


@pytest.mark.parametrize(
    ("source", "ip", "passes"),
    [
        (OWN, "10.0.0.1", True),
        (OWN, "10.1.0.0", True),
        (mac(0x1000), "10.0.0.1", True),
        (mac(0x1000), "10.1.0.1", True),
        (mac(0x1000), "10.2.0.1", False),
        (OWN, "10.3.0.1", False),
        (FURTHER, "10.3.0.1", True),
        (FURTHER, "10.0.0.1", False),
        (FURTHER, "10.1.0.0", False),
        (FURTHER, "10.2.0.1", False),
    ],
)
def test_what_is_shared_is_sent_from_by_all_macs_that_share_it_and_by_no_further_one(
    source: str, ip: str, *, passes: bool
) -> None:
    """A further MAC has its own pairs, and lends them to nobody."""
    known = overlay(*many(2), Pair("10.3.0.0/16", FURTHER), further=(FURTHER,))
    said = packet(in_port=1, eth_src=source, eth_dst=BROADCAST, eth_type=0x0800, ip_src=ip)
    assert Switch(compile(known, "h1")).send(said).dropped is (None if passes else Kind.DROP_SPOOFED_IP) or passes
