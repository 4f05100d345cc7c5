"""Trunk ports, service tags and transparent networks in the simulator: which tag ends, passes, and goes back on."""

from __future__ import annotations

import pytest

from flows.compile import compile
from flows.model import Binding, Chassis, Network, Overlay, Vtep
from flows.simulate import Packet, Switch, packet
from flows.tables import Kind

MAC, PEER = "02:00:00:00:00:01", "02:00:00:00:00:02"
NETWORKS = (
    Network("red", "t", 100),
    Network("blue", "t", 200),
    Network("carrier", "t", 400),
    Network("clear", "t", 300, transparent=True),
)


def switch(*bindings: Binding) -> Switch:
    overlay = Overlay(
        {"h1": Chassis("h1", (Vtep("192.0.2.1"),)), "h2": Chassis("h2", (Vtep("192.0.2.2"),))},
        {network.name: network for network in NETWORKS},
        bindings,
    )
    return Switch(compile(overlay, "h1"))


def at(ofport: int, network: str, mac: str, *ips: str, tag: int = 0, service: bool = False) -> Binding:
    name = f"{network}{ofport}"
    return Binding("h1", f"vm{ofport}", ofport, network, name, mac, ips, secure=True, tag=tag, service_tag=service)


TRUNK = switch(
    at(1, "red", MAC, "10.0.0.1"),
    at(1, "blue", MAC, "10.0.9.1", tag=20),
    at(1, "carrier", MAC, tag=50, service=True),
    at(2, "blue", PEER, "10.0.9.2"),
    at(3, "carrier", PEER),
    at(4, "clear", PEER),
    at(5, "clear", MAC),
)


def request(tci: int = 0) -> Packet:
    return packet(
        in_port=1, vlan_tci=tci, eth_src=MAC, eth_dst="ff:ff:ff:ff:ff:ff", eth_type=0x0806, arp_op=1,
        arp_sha=MAC, arp_spa="10.0.9.1", arp_tpa="10.0.9.2",
    )  # fmt: skip


def sent(tci: int, ofport: int = 1, **more: int) -> tuple[list[tuple[int, int]], Kind | None]:
    """(port, tag) of each copy of a broadcast that comes in there with a tag; what dropped it."""
    frame = packet(
        in_port=ofport, vlan_tci=tci, eth_src=PEER if ofport in (2, 3, 4) else MAC, eth_dst="ff:ff:ff:ff:ff:ff",
        eth_type=0x1234, **more,
    )  # fmt: skip
    trace = TRUNK.send(frame, teach=False)
    return [(each.port, dict(each.packet.on_wire().items).get("vlan_tci", 0)) for each in trace.outputs], trace.dropped


def test_an_answer_leaves_with_the_tag_of_the_question() -> None:
    (answer,) = TRUNK.send(request(0x1014)).outputs
    assert answer.port == 1
    assert dict(answer.packet.on_wire().items)["vlan_tci"] == 0x1014
    assert dict(answer.packet.items)["arp_op"] == 2


@pytest.mark.parametrize("tci", [0x1000, 0x1063, 0x1FFF, 0x1000 | 5 << 13])
def test_other_tags_end_here(tci: int) -> None:
    assert sent(tci) == ([], Kind.DROP_TAGGED)


def test_a_tag_counts_whatever_its_priority() -> None:
    assert sent(0x1014 | 5 << 13) == sent(0x1014) == ([(2, 0)], None)


def test_a_broadcast_leaves_a_trunk_with_its_tag() -> None:
    assert sent(0, 2) == ([(1, 0x1014)], None)
    assert sent(0, 3) == ([(1, 0x1032)], None)


def test_within_a_service_tag_there_may_be_others() -> None:
    assert sent(0x1032, inner_tci=0x1005, vlan_tpid=0x88A8) == ([(3, 0x1005)], None)
    assert sent(0x1014, inner_tci=0x1005) == ([], Kind.DROP_TAGGED), "within one of 802.1Q not"
    assert sent(0x1005, 3) == ([], Kind.DROP_TAGGED), "nor from a port of that network that has none"


def test_a_transparent_network_looks_at_no_tag() -> None:
    assert sent(0x1007, 4) == ([(5, 0x1007)], None)
    assert sent(0x1007, 2) == ([], Kind.DROP_TAGGED)


@pytest.mark.parametrize("tci", [0x1000, 0x1000 | 5 << 13])
def test_nor_does_it_let_a_priority_tag_pass(tci: int) -> None:
    """Hosts take what is behind it for untagged, and it would pass by the guards as what is tagged does."""
    assert sent(tci, 4) == ([], Kind.DROP_TAGGED)
    assert sent(tci, 4, vlan_tpid=0x88A8) == ([], Kind.DROP_TAGGED)
    assert sent(tci, 4, inner_tci=0x1000) == ([], Kind.DROP_TAGGED)
