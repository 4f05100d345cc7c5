"""What tenants are promised, on any overlay, for any packet, all chassis and tunnels included (simulated).

Who shall get what is worked out here from the overlay alone, without a look at how it is compiled.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flows.compile import compile
from flows.compile.headers import tunnel_source
from flows.fields import FIELDS
from flows.model import TUNNELS as TUNNEL_PORTS
from flows.model import Binding, Neighbor, Overlay, is_ipv4, tunnels_from
from flows.simulate import Delivery, Journey, Packet, Switch, journey, packet
from flows.tables import Kind
from flows.vteps import pairs as pairs_of_vteps
from tests.overlays import THREE, overlays
from tests.packets import (
    ARP,
    BROADCAST,
    REQUEST,
    STRANGE_IP,
    STRANGERS,
    TAG,
    UNPLUGGED,
    any_frame,
    arp,
    every_packet,
    frames,
    packets,
    pairs,
    topology_overlay,
)
from topologies.catalogue import TOPOLOGIES

TUNNELS = frozenset(tunnel.ofport for tunnel in TUNNEL_PORTS)
EXAMPLES = {"three of the tests": THREE} | {name: topology_overlay(each) for name, each in TOPOLOGIES.items()}
Place = tuple[str, int]


class Fabric:
    """All chassis of an overlay, with what they learn."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.switches = {name: Switch(compile(overlay, name)) for name in overlay.chassis}

    def send(self, source: Binding, frame: Packet, *, teach: bool = True) -> Journey:
        """A frame from a port."""
        return self.enter(source.chassis, frame.but(in_port=source.ofport), teach=teach)

    def enter(self, chassis: str, arrived: Packet, *, teach: bool = True) -> Journey:
        """A packet into a chassis, by whatever way it says."""
        return journey(self.switches, self.overlay.chassis, chassis, arrived, teach=teach)


def place(binding: Binding) -> Place:
    return binding.chassis, binding.ofport


def reaches(overlay: Overlay, one: Binding, other: Binding | Neighbor) -> bool:
    """Whether two places of a network can reach each other: on one chassis, or the chassis share an encap."""
    if one.chassis == other.chassis:
        return True
    return any(pairs_of_vteps(overlay.chassis[one.chassis], overlay.chassis[other.chassis]))


def others(overlay: Overlay, source: Binding) -> list[Binding]:
    """All other ports of the network that a port can reach."""
    return [
        other
        for other in overlay.bindings
        if other.network == source.network and other != source and reaches(overlay, source, other)
    ]


def places(done: Journey) -> Counter[Place]:
    return Counter((each.chassis, each.ofport) for each in done.deliveries)


def known(overlay: Overlay, source: Binding) -> dict[str, str]:
    """The MAC of each IPv4 address that is known in a port's network, and can be reached from it."""
    learned = {n.ip: n.mac for n in overlay.neighbors if n.network == source.network and reaches(overlay, source, n)}
    declared = {
        ip: other.mac
        for other in overlay.bindings
        if other.network == source.network and other.mac is not None and reaches(overlay, source, other)
        for ip in other.ips
        if is_ipv4(ip)
    }
    return {**learned, **declared}


def may_say(overlay: Overlay, source: Binding, mac: str, ip: str = "0.0.0.0") -> bool:
    """Whether a port may send from that MAC and speak for that address: not if another one is known to have it."""
    rest = others(overlay, source)
    return not (
        any(mac in other.macs for other in rest if mac not in source.macs)
        or any(ip in other.ips and other.mac is not None for other in rest if ip not in source.ips)
    )


def holds_for_every_frame(overlay: Overlay, source: Binding, frame: Packet, done: Journey) -> None:
    """What is true of any frame from any port.

    It stays in its network; no tunnel leads into a tunnel or to who must refuse it; it arrives as it was
    sent, or it is an ARP request and is answered to who asked, alone; and if it ends, it has a name.
    """
    assert set(places(done)) <= {place(other) for other in [*others(overlay, source), source]}
    assert done.lost == ()
    if any(each.packet != frame for each in done.deliveries):
        assert (frame["eth_type"], frame["arp_op"]) == (ARP, REQUEST)
        assert places(done) == Counter([place(source)])
    for number, (_, trace) in enumerate(done.traces):
        tunnelled = [sent for sent in trace.outputs if sent.port in TUNNELS]
        assert {sent.packet["tun_id"] for sent in tunnelled} <= {overlay.networks[source.network].vni}
        assert trace.outputs or trace.dropped is not None
        if number:
            assert not tunnelled
            assert trace.copies == ()
            assert trace.dropped not in (Kind.DROP_FOREIGN_TUNNEL, Kind.DROP_PROBE)


@given(overlays(), st.data())
def test_no_packet_leaves_its_network(overlay: Overlay, data: st.DataObject) -> None:
    """Any sequence of packets, most of them forged, from any port, with all that is learned on the way."""
    assume(overlay.bindings)
    fabric = Fabric(overlay)
    for _ in range(data.draw(st.integers(1, 12))):
        source = data.draw(st.sampled_from(overlay.bindings))
        frame = data.draw(any_frame(overlay))
        holds_for_every_frame(overlay, source, frame, fabric.send(source, frame))


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_packet_leaves_its_network_over_all_ports(name: str) -> None:
    """Every frame from every port, twice: before and after all was learned that can be."""
    overlay = EXAMPLES[name]
    fabric = Fabric(overlay)
    for _ in range(2):
        for source in overlay.bindings:
            for frame in frames(overlay):
                holds_for_every_frame(overlay, source, frame, fabric.send(source, frame))


def believed_only_from_a_member(overlay: Overlay, chassis: str, arrived: Packet, done: Journey) -> None:
    """A tunnel packet counts when its VNI, encap and source VTEP belong together, and for that VNI's ports.

    It is answered by nobody, told to nobody, and goes into no tunnel.
    """
    here = overlay.chassis[chassis]
    source = tuple(item for item in arrived.items if item[0] in ("tun_src", "tun_ipv6_src"))
    senders = {
        other.name
        for other in overlay.chassis.values()
        if other.name != chassis
        and any(
            packet(**tunnel_source(there.ip)).items == source
            and arrived["in_port"] in {t.ofport for t in tunnels_from(encap, there.ip)}
            for encap, _, there in pairs_of_vteps(here, other)
        )
    }
    members = [b for b in overlay.bindings if overlay.networks[b.network].vni == arrived["tun_id"]]
    local = {place(b) for b in members if b.chassis == chassis}
    believed = bool(local) and any(b.chassis in senders for b in members)
    (trace,) = (trace for _, trace in done.traces)
    assert believed == (trace.dropped not in (Kind.DROP_FOREIGN_TUNNEL, Kind.DROP_PROBE))
    assert set(places(done)) <= (local if believed else set())
    assert {each.packet for each in done.deliveries} <= {arrived.on_wire()}
    assert (trace.copies, done.lost) == ((), ())


@given(overlays(), st.data())
def test_a_tunnel_packet_is_believed_only_from_a_member(overlay: Overlay, data: st.DataObject) -> None:
    chassis = data.draw(st.sampled_from(sorted(overlay.chassis)))
    arrived = data.draw(packets(overlay, chassis))
    assume(arrived["in_port"] in TUNNELS)
    believed_only_from_a_member(overlay, chassis, arrived, Fabric(overlay).enter(chassis, arrived))


@pytest.mark.parametrize("name", EXAMPLES)
def test_tunnel_packets_of_every_kind_to_every_chassis(name: str) -> None:
    """Every frame by every tunnel from every VTEP, also when all was learned that can be."""
    overlay = EXAMPLES[name]
    fabric = Fabric(overlay)
    for chassis in overlay.chassis:
        for arrived in every_packet(overlay, chassis):
            if arrived["in_port"] in TUNNELS:
                believed_only_from_a_member(overlay, chassis, arrived, fabric.enter(chassis, arrived))


@given(overlays(), st.data(), st.sampled_from([BROADCAST, "01:00:5e:00:00:fb", STRANGERS[1]]))
def test_bum_reaches_each_other_member_once(overlay: Overlay, data: st.DataObject, target: str) -> None:
    """Unknown unicast only where the network floods it."""
    assume(overlay.bindings)
    source = data.draw(st.sampled_from(overlay.bindings))
    frame = packet(eth_src=STRANGERS[0], eth_dst=target, eth_type=0x0800)
    done = Fabric(overlay).send(source, frame)
    unknown = target == STRANGERS[1]
    reached = [] if unknown and overlay.networks[source.network].drops_unknown else others(overlay, source)
    assert places(done) == Counter(map(place, reached))
    assert {name for name, _ in done.traces} == {source.chassis} | {other.chassis for other in reached}
    if unknown and not reached and others(overlay, source):
        assert done.traces[0][1].dropped is Kind.DROP_UNKNOWN


@given(overlays(), st.data())
def test_known_unicast_reaches_its_port_alone(overlay: Overlay, data: st.DataObject) -> None:
    """Even after others have tried to send with that MAC: it goes nowhere, and what is declared is not learned away."""
    declared = [binding for binding in overlay.bindings if binding.mac is not None]
    assume(declared)
    fabric = Fabric(overlay)
    target = data.draw(st.sampled_from(declared))
    mac = data.draw(st.sampled_from(target.macs))
    for thief in data.draw(st.lists(st.sampled_from(overlay.bindings), max_size=3)):
        stolen = fabric.send(thief, packet(eth_src=mac, eth_dst=BROADCAST, eth_type=0x0800))
        if mac not in thief.macs and thief in others(overlay, target):
            assert stolen.deliveries == ()
            assert stolen.traces[0][1].dropped is Kind.DROP_SPOOFED_MAC
    frame = packet(eth_src=STRANGERS[0], eth_dst=mac, eth_type=0x0800)
    for source in others(overlay, target):
        done = fabric.send(source, frame)
        assert done.deliveries == (Delivery(*place(target), frame),)
    assert fabric.send(target, frame).deliveries == (), "not back to where it came from"


@given(overlays(), st.data())
def test_a_learned_mac_is_followed(overlay: Overlay, data: st.DataObject) -> None:
    """Unicast to a MAC that was last seen on an undeclared port goes there alone, also after it moved."""
    undeclared = [binding for binding in overlay.bindings if binding.learns]
    assume(undeclared)
    fabric = Fabric(overlay)
    network = data.draw(st.sampled_from(undeclared)).network
    for target in data.draw(
        st.lists(st.sampled_from([b for b in undeclared if b.network == network]), min_size=1, max_size=4)
    ):
        fabric.send(target, packet(eth_src=STRANGERS[1], eth_dst=BROADCAST, eth_type=0x0800))
        frame = packet(eth_src=STRANGERS[0], eth_dst=STRANGERS[1], eth_type=0x0800)
        for source in others(overlay, target):
            done = fabric.send(source, frame, teach=False)
            assert done.deliveries == (Delivery(*place(target), frame),)


@given(overlays(), st.data())
def test_arp_for_a_known_neighbor_is_answered_here(overlay: Overlay, data: st.DataObject) -> None:
    """With its MAC, to the asking port alone, without a frame in any tunnel; its own question never is."""
    assume(overlay.bindings)
    fabric = Fabric(overlay)
    source = data.draw(st.sampled_from(overlay.bindings))
    neighbors = known(overlay, source)
    asker_ip, asker = data.draw(st.sampled_from([*pairs(overlay), ("0.0.0.0", STRANGERS[1])]))
    for asked, mac in neighbors.items():
        request = arp(asker, asker_ip, asked)
        done = fabric.send(source, request)
        if not may_say(overlay, source, asker, asker_ip):
            assert done.deliveries == ()
            continue
        if mac == asker:
            assert places(done) == Counter(place(other) for other in others(overlay, source))
            assert all(each.packet["arp_op"] == REQUEST for each in done.deliveries)
            continue
        reply = packet(
            eth_src=mac, eth_dst=asker, eth_type=ARP, arp_op=2,
            arp_sha=mac, arp_spa=asked, arp_tha=asker, arp_tpa=asker_ip,
        )  # fmt: skip
        assert done.deliveries == (Delivery(*place(source), reply),)
        assert len(done.traces) == 1


@given(overlays(), st.data())
def test_arp_that_nobody_can_answer_is_asked_everywhere(overlay: Overlay, data: st.DataObject) -> None:
    """Also when the address is known in another network."""
    assume(overlay.bindings)
    source = data.draw(st.sampled_from(overlay.bindings))
    unknown = {ip for ip, _ in pairs(overlay)} - known(overlay, source).keys()
    fabric = Fabric(overlay)
    for asked in unknown:
        request = arp(STRANGERS[0], STRANGE_IP, asked)
        done = fabric.send(source, request)
        assert places(done) == Counter(place(other) for other in others(overlay, source))
        assert {each.packet for each in done.deliveries} <= {request}


@given(overlays(), st.data())
def test_the_controller_hears_of_each_neighbor_until_it_knows_it(overlay: Overlay, data: st.DataObject) -> None:
    """One copy, on the chassis of the port, of ARP that tells something new; else none, but of what is dropped."""
    assume(overlay.bindings)
    source = data.draw(st.sampled_from(overlay.bindings))
    frame = data.draw(any_frame(overlay))
    done = Fabric(overlay).send(source, frame)
    sender = {"arp_spa": frame["arp_spa"], "arp_sha": frame["arp_sha"]}
    declared = {ip: mac for ip, mac in known(overlay, source).items() if ip in source.ips and mac == source.mac}
    here = [n for n in overlay.neighbors if (n.chassis, n.interface) == (source.chassis, source.interface)]
    at_home = {n.ip: n.mac for n in here if n.network == source.network} | declared
    familiar = any(packet(arp_spa=ip, arp_sha=mac) == packet(**sender) for ip, mac in at_home.items())
    passes = (
        frame["vlan_tci"] == 0
        and not frame["eth_src"] >> 40 & 1
        and done.traces[0][1].dropped not in (Kind.DROP_RESERVED,)
    )
    mac, ip = FIELDS["eth_src"].text(frame["eth_src"]), FIELDS["arp_spa"].text(frame["arp_spa"])
    passes = passes and may_say(overlay, source, mac, ip if frame["eth_type"] == ARP else "0.0.0.0")
    new = frame["eth_type"] == ARP and frame["arp_spa"] != 0 and not familiar and passes
    spoofed = {Kind.DROP_SPOOFED_MAC, Kind.DROP_SPOOFED_ARP, Kind.DROP_SPOOFED_ND}
    told = [(name, trace) for name, trace in done.traces if trace.dropped not in spoofed]
    copies = [(name, copy.max_len) for name, trace in told for copy in trace.copies]
    assert copies == ([(source.chassis, copies[0][1])] if new else [])
    assert all(length >= 42 for _, length in copies), "a whole ARP packet"


@given(overlays(), st.data())
def test_what_no_port_may_send_ends_where_it_starts(overlay: Overlay, data: st.DataObject) -> None:
    """Tagged, from a group address, to the bridge's own addresses, from a port in no network."""
    assume(overlay.bindings)
    source = data.draw(st.sampled_from(overlay.bindings))
    frame = data.draw(any_frame(overlay)).but(vlan_tci=0, eth_src=STRANGERS[0])
    fabric = Fabric(overlay)
    forbidden = {
        Kind.DROP_TAGGED: frame.but(vlan_tci=TAG),
        Kind.DROP_MULTICAST_SOURCE: frame.but(eth_src="01:00:5e:00:00:01", eth_dst=STRANGERS[1]),
        Kind.DROP_RESERVED: frame.but(eth_dst="01:80:c2:00:00:0e"),
    }
    for kind, each in forbidden.items():
        done = fabric.send(source, each)
        assert (done.deliveries, [trace.dropped for _, trace in done.traces]) == ((), [kind])
        assert done.traces[0][1].taught == ()
    nowhere = fabric.enter(source.chassis, frame.but(in_port=UNPLUGGED))
    assert nowhere.deliveries == ()
    assert [trace.dropped for _, trace in nowhere.traces] == [Kind.DROP_NO_NETWORK]


@given(overlays(), st.data())
def test_order_of_declaring_changes_no_answer(overlay: Overlay, data: st.DataObject) -> None:
    assume(overlay.bindings)
    chance = random.Random(data.draw(st.integers(0, 99)))
    shuffled = replace(
        overlay,
        chassis=dict(chance.sample(list(overlay.chassis.items()), len(overlay.chassis))),
        networks=dict(chance.sample(list(overlay.networks.items()), len(overlay.networks))),
        bindings=tuple(chance.sample(overlay.bindings, len(overlay.bindings))),
        neighbors=tuple(chance.sample(overlay.neighbors, len(overlay.neighbors))),
    )
    one, other = Fabric(overlay), Fabric(shuffled)
    for _ in range(data.draw(st.integers(1, 5))):
        source = data.draw(st.sampled_from(overlay.bindings))
        for frame in (data.draw(any_frame(overlay)), arp(STRANGERS[0], STRANGE_IP, STRANGE_IP)):
            assert one.send(source, frame) == other.send(source, frame)
