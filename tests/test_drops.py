"""What a switch has dropped: flows count for themselves, and what is too large is counted by meters."""

from __future__ import annotations

from controller.drops import drops
from controller.wire import FlowStats, MeterStats
from flows.compile import compile
from flows.model import Binding, Chassis, Network, Overlay, Vtep
from flows.simulate import Switch, packet
from flows.tables import Kind
from ovsdb.status import Drop

OVERLAY = Overlay(
    {f"h{n}": Chassis(f"h{n}", (Vtep(f"192.0.2.{n}"),)) for n in (1, 2)},
    {"red": Network("red", "acme", 100), "blue": Network("blue", "acme", 200)},
    (
        Binding("h1", "vm1", 1, "red", "web1", "02:00:00:00:00:01", ("10.0.0.1",), secure=True),
        Binding("h1", "vm3", 3, "red", "trunk", "02:00:00:00:00:03", ("10.0.0.3",), secure=True),
        Binding("h1", "vm3", 3, "blue", "sub", "02:00:00:00:00:13", ("10.0.0.3",), secure=True, tag=7),
        Binding("h2", "vm2", 1, "red", "web2", "02:00:00:00:00:02", ("10.0.0.2",), secure=True),
        Binding("h2", "vm4", 2, "blue", "db2", "02:00:00:00:00:04", ("10.0.0.4",), secure=True),
    ),
)
FLOWS = {flow.key: flow for flow in compile(OVERLAY, "h1")}


def found(counters: dict[Kind, int], metered: dict[int, tuple[int, int]]) -> list[Drop]:
    stats = [FlowStats(*flow.key, counters.get(flow.kind, 0), 0) for flow in FLOWS.values()]
    meters = [MeterStats(id, *met, met[0] // 2, met[1] // 2) for id, met in metered.items()]
    return [drop for drop in drops("h1", OVERLAY, FLOWS, stats, meters) if drop.packets]


def test_what_is_too_large_is_counted_by_the_meter_of_its_port() -> None:
    """Open vSwitch counts every packet that it measures for the flow of the large ones (seen on 3.1)."""
    assert found({Kind.DROP_TOO_LARGE: 1_000_000}, {}) == []
    assert found({Kind.DROP_TOO_LARGE: 1_000_000}, {131073: (5, 7570), 65537: (9, 9)}) == [
        Drop("h1", "drop-too-large", 5, 7570, "red", "web1", "vm1")
    ]


def test_of_a_port_in_several_networks_only_the_interface_is_known() -> None:
    assert found({}, {131075: (2, 3000)}) == [Drop("h1", "drop-too-large", 2, 3000, None, None, "vm3")]


def test_what_a_port_sends_to_all_is_counted_by_what_its_meter_dropped() -> None:
    assert found({}, {1: (8, 800)}) == [Drop("h1", "over-flood-rate", 4, 400, "red", "web1", "vm1")]
    assert found({}, {3: (8, 800)}) == [Drop("h1", "over-flood-rate", 4, 400, None, None, "vm3")]


def test_what_the_guard_refuses_is_counted_by_port() -> None:
    """Which VM the rogue router is: the flow that ends its packets is one of its port."""
    advertisement = packet(
        in_port=1, eth_src="02:00:00:00:00:01", eth_dst="33:33:00:00:00:01", eth_type=0x86DD, ip_proto=58,
        icmpv6_type=134, nw_ttl=255, ipv6_src="fe80::ff:fe00:1", ipv6_dst="ff02::1",
    )  # fmt: skip
    offer = packet(
        in_port=3, vlan_tci=0x1007, eth_src="02:00:00:00:00:13", eth_dst="ff:ff:ff:ff:ff:ff", eth_type=0x0800,
        ip_proto=17, udp_src=67, udp_dst=68, ip_src="10.0.0.3",
    )  # fmt: skip
    pause = packet(in_port=65001, tun_id=100, tun_src="192.0.2.2", eth_dst="01:80:c2:00:00:01")
    switch = Switch(FLOWS.values())
    stats = []
    for sent in (advertisement, offer, pause):
        last = switch.send(sent).steps[-1][1]
        assert last is not None
        stats.append(FlowStats(*last.key, 2, 200))
    assert drops("h1", OVERLAY, FLOWS, stats, []) == (
        Drop("h1", "drop-dhcp-server", 2, 200, "blue", "sub", "vm3"),
        Drop("h1", "drop-reserved", 2, 200, None, None, None),
        Drop("h1", "drop-router", 2, 200, "red", "web1", "vm1"),
    )


def test_of_what_a_port_never_sent_there_is_no_row() -> None:
    rows = drops("h1", OVERLAY, FLOWS, [FlowStats(*flow.key, 0, 0) for flow in FLOWS.values()], [])
    assert {(row.reason, row.port) for row in rows} >= {("drop-router", None), ("drop-spoofed-mac", "web1")}
    assert ("drop-router", "web1") not in {(row.reason, row.port) for row in rows}


def test_others_are_counted_by_their_flows() -> None:
    (drop,) = [row for row in found({Kind.DROP_NO_NETWORK: 3}, {}) if row.reason == "drop-no-network"]
    assert (drop.packets, drop.network, drop.interface) == (3, None, None)
