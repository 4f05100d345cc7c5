"""Who is answered in the switch, for whom, and who is left to speak for himself: learned neighbors in both families."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.compile import compile
from flows.model import Binding, May, Neighbor, Network, Overlay, Pair, UnknownNeighbor
from flows.simulate import Packet, Switch, Trace, packet
from flows.tables import Kind
from tests.overlays import H1, H2
from tests.packets import BROADCAST, arp

OWN, OTHER, VMAC = "02:00:00:00:00:01", "02:00:00:00:00:02", "00:00:5e:00:01:33"
VIP, VIP6 = "10.0.0.100", "2001:db8::100"
ONE = Binding("h1", "vm1", 1, "red", "gw1", OWN, ("10.0.0.1",), secure=True, pairs=(Pair(VIP), Pair(VIP6)))
TWO = Binding("h2", "vm2", 1, "red", "gw2", OTHER, ("10.0.0.2",), secure=True, pairs=(Pair(VIP), Pair(VIP6)))
WEB = Binding("h1", "vm3", 3, "red", "web", "02:00:00:00:00:03", ("10.0.0.3", "2001:db8::3"), secure=True)
PLACES = {OTHER: ("h2", "vm2"), OWN: ("h1", "vm1")}


def overlay(*bindings: Binding, at: str = OTHER, **network: object) -> Overlay:
    """Two routers of which one has the shared addresses, and a guest that uses them."""
    learned = tuple(Neighbor("red", ip, at, *PLACES[at]) for ip in (VIP, VIP6))
    red = Network("red", "acme", 100, **network)
    return Overlay({"h1": H1, "h2": H2}, {"red": red}, bindings or (ONE, TWO, WEB), learned)


def sent(overlay: Overlay, chassis: str, ofport: int, frame: Packet) -> Trace:
    return Switch(compile(overlay, chassis)).send(frame.but(in_port=ofport))


def kinds(trace: Trace) -> set[Kind]:
    return {flow.kind for _, flow in trace.steps if flow is not None}


def solicitation(mac: str, source: str, target: str, sll: str | None = None) -> Packet:
    option = {"nd_sll": sll or mac, "nd_options_type": 1} if source != "::" else {}
    fields = {"ip_proto": 58, "icmpv6_type": 135, "nw_ttl": 255, "ipv6_src": source, "ipv6_dst": "ff02::1:ff00:100"}
    return packet(eth_src=mac, eth_dst="33:33:ff:00:01:00", eth_type=0x86DD, nd_target=target, **fields, **option)


def advertisement(mac: str, target: str) -> Packet:
    fields = {"ip_proto": 58, "icmpv6_type": 136, "nw_ttl": 255, "ipv6_src": target, "ipv6_dst": "ff02::1"}
    said = {"nd_target": target, "nd_tll": mac, "nd_options_type": 2, "nd_reserved": 0x20000000}
    return packet(eth_src=mac, eth_dst="33:33:00:00:00:01", eth_type=0x86DD, **fields, **said)


@pytest.mark.parametrize("op", [1, 2])
def test_who_takes_a_shared_address_over_is_heard_by_all_and_not_answered(op: int) -> None:
    """Its old owner is still known when the first gratuitous ARP comes, as a request too."""
    done = sent(overlay(), "h1", 1, arp(OWN, VIP, VIP, op=op))
    assert Kind.FLOOD_FROM_PORT in kinds(done)
    assert [copy.packet["arp_sha"] for copy in done.copies] == [int(OWN.replace(":", ""), 16)]
    assert 1 not in {out.port for out in done.outputs}


def test_so_is_an_unsolicited_advertisement() -> None:
    done = sent(overlay(), "h1", 1, advertisement(OWN, VIP6))
    assert Kind.FLOOD_FROM_PORT in kinds(done)
    assert len(done.copies) == 1


def test_an_address_that_is_declared_for_a_port_stays_there_whatever_another_one_is_allowed() -> None:
    """It may send from it (as servers behind a load balancer do), and never say that it has it."""
    borrows = replace(WEB, pairs=(Pair("10.0.0.0/30"), Pair("2001:db8::/64"), Pair("10.0.0.1", VMAC)))
    owner = replace(ONE, ips=("10.0.0.1", "2001:db8::1"), pairs=())
    lent = overlay(owner, TWO, borrows)
    claims = (
        (arp(WEB.mac, "10.0.0.1", "10.0.0.1"), Kind.DROP_SPOOFED_ARP),
        (arp(WEB.mac, "10.0.0.1", "10.0.0.9", op=2), Kind.DROP_SPOOFED_ARP),
        (arp(VMAC, "10.0.0.1", "10.0.0.9"), Kind.DROP_SPOOFED_ARP),
        (arp(WEB.mac, "10.0.0.2", "10.0.0.9"), Kind.DROP_SPOOFED_ARP),
        (advertisement(WEB.mac, "2001:db8::1"), Kind.DROP_SPOOFED_ND),
        (solicitation(WEB.mac, "2001:db8::1", "2001:db8::9"), Kind.DROP_SPOOFED_ND),
    )
    for frame, why in claims:
        done = sent(lent, "h1", 3, frame)
        assert why in kinds(done), frame
        assert done.outputs == ()
        assert len(done.copies) == 1, "both are told in show"
    for frame in (arp(WEB.mac, "10.0.0.3", "10.0.0.9"), advertisement(WEB.mac, "2001:db8::77")):
        assert sent(lent, "h1", 3, frame).outputs
    packet_from = packet(eth_src=WEB.mac, eth_dst=OTHER, eth_type=0x0800, ip_src="10.0.0.1", ip_dst="10.0.0.2")
    assert Kind.OWN_ADDRESS in kinds(sent(lent, "h1", 3, packet_from))
    # Its own it has wherever it is, also while it is moving; and what is plugged in nowhere can be had.
    moving = overlay(owner, replace(owner, chassis="h2", interface="vm9", ofport=9, standby=True), borrows)
    assert sent(moving, "h2", 9, arp(OWN, "10.0.0.1", "10.0.0.1")).outputs
    assert sent(overlay(TWO, borrows), "h1", 3, arp(WEB.mac, "10.0.0.1", "10.0.0.1")).outputs


GATEWAYS = ("10.0.0.254", "2001:db8::fe")


@pytest.mark.parametrize("routers", [(), GATEWAYS])
def test_what_is_for_the_gateway_alone_nobody_gets_while_that_is_not_known(routers: tuple[str, ...]) -> None:
    asks = overlay(unknown_neighbor=UnknownNeighbor.GATEWAY, routers=routers)
    for frame in (arp(WEB.mac, WEB.ips[0], "10.0.0.77"), solicitation(WEB.mac, WEB.ips[1], "2001:db8::77")):
        done = sent(asks, "h1", 3, frame)
        assert Kind.DROP_UNKNOWN_NEIGHBOR in kinds(done)
        assert done.outputs == ()


def test_the_gateway_itself_is_asked_for_everywhere_until_it_is_known() -> None:
    """Where it is, it may say in its answer alone."""
    asks = overlay(unknown_neighbor=UnknownNeighbor.GATEWAY, routers=GATEWAYS)
    frames = [arp(WEB.mac, WEB.ips[0], GATEWAYS[0]), solicitation(WEB.mac, WEB.ips[1], GATEWAYS[1])]
    for frame in frames:
        assert Kind.FLOOD_FROM_PORT in kinds(sent(asks, "h1", 3, frame))
    heard = replace(asks, neighbors=tuple(Neighbor("red", ip, OTHER, *PLACES[OTHER]) for ip in GATEWAYS))
    for frame in frames:
        assert Kind.ANSWER in kinds(sent(heard, "h1", 3, frame))
    assert Kind.ASK_GATEWAY in kinds(sent(heard, "h1", 3, arp(WEB.mac, WEB.ips[0], "10.0.0.77")))


@pytest.mark.parametrize("policy", list(UnknownNeighbor))
def test_whatever_becomes_of_unknown_ones(policy: UnknownNeighbor) -> None:
    done = sent(overlay(unknown_neighbor=policy, routers=("10.0.0.1",)), "h1", 1, arp(OWN, VIP, VIP))
    assert Kind.FLOOD_FROM_PORT in kinds(done)


@pytest.mark.parametrize(
    "frame", [arp(OWN, VIP, "10.0.0.3"), solicitation(OWN, VIP6, "2001:db8::3"), advertisement(OWN, VIP6)]
)
def test_what_is_known_at_a_port_is_news_at_another(frame: Packet) -> None:
    """The controller hears of it, once, when it speaks from elsewhere; at its own place it is counted."""
    switch = Switch(compile(overlay(), "h1"))
    assert [len(switch.send(frame.but(in_port=1)).copies) for _ in range(3)] == [1, 0, 0]
    done = sent(overlay(at=OWN), "h1", 1, frame)
    assert done.copies == ()
    assert Kind.NOTICED in kinds(done)


def test_a_shared_mac_counts_where_it_is_known_and_is_news_elsewhere() -> None:
    shared = [replace(each, pairs=(Pair(VIP, VMAC),)) for each in (ONE, TWO)]
    known = overlay(*shared, WEB)
    known = replace(known, neighbors=(Neighbor("red", VIP, VMAC, "h2", "vm2"),))
    frame = arp(VMAC, VIP, VIP)
    assert len(sent(known, "h1", 1, frame).copies) == 1
    assert sent(known, "h2", 1, frame).copies == ()


def test_so_it_is_at_another_port_of_the_same_chassis() -> None:
    shared = [replace(each, pairs=(Pair(VIP, VMAC),)) for each in (ONE, replace(TWO, chassis="h1", ofport=2))]
    known = replace(overlay(*shared), neighbors=(Neighbor("red", VIP, VMAC, "h1", "vm2"),))
    frame = arp(VMAC, VIP, VIP)
    assert len(sent(known, "h1", 1, frame).copies) == 1
    assert sent(known, "h1", 2, frame).copies == ()


def test_what_was_told_is_forgotten_when_a_neighbor_came_or_left() -> None:
    """Else an address that fails over and back would come back unheard. What was taught goes with who taught it."""
    taught = {}
    for at in (OWN, OTHER):
        taught[at] = {flow.cookie for flow in compile(overlay(at=at), "h1") if flow.kind is Kind.TELL}
    assert not taught[OWN] & taught[OTHER]


def test_a_solicitation_becomes_the_advertisement_that_answers_it() -> None:
    done = sent(overlay(), "h1", 3, solicitation(WEB.mac or "", "2001:db8::3", VIP6))
    (out,) = done.outputs
    answer = out.packet.on_wire()
    assert out.port == 3
    expected = {"icmpv6_type": 136, "nw_ttl": 255, "ip_proto": 58, "eth_type": 0x86DD, "nd_reserved": 0x60000000}
    expected |= {"eth_src": OTHER, "eth_dst": WEB.mac, "nd_tll": OTHER, "nd_target": VIP6, "nd_options_type": 2}
    assert answer == packet(**expected, ipv6_src=VIP6, ipv6_dst="2001:db8::3")


@pytest.mark.parametrize(
    ("at", "router"),
    [
        (replace(TWO, may=frozenset({May.ROUTER})), True),
        (TWO, False),
        (Binding("h2", "vm2", 1, "red", gateway=True, may=frozenset(May)), True),
        (Binding("h2", "vm2", 1, "red"), False),
    ],
)
def test_a_router_is_answered_for_as_one(at: Binding, router: bool) -> None:
    """Learned behind a port where routers may be: a host that hears that its router is none forgets it."""
    done = sent(overlay(ONE, at, WEB), "h1", 3, solicitation(WEB.mac or "", "2001:db8::3", VIP6))
    assert bool(done.outputs[0].packet["nd_reserved"] & 0x80000000) is router


@pytest.mark.parametrize("mac", [OWN, OTHER])
def test_duplicate_address_detection_is_for_the_owner(mac: str) -> None:
    """RFC 4862: by nobody's address. Also where the owner may have moved to."""
    done = sent(overlay(at=mac), "h1", 1, solicitation(OWN, "::", VIP6))
    assert Kind.ANSWER not in kinds(done)
    assert Kind.FLOOD_FROM_PORT in kinds(done)


def test_the_answer_to_our_own_question_is_counted_and_goes_nowhere() -> None:
    asker = "0e:00:00:00:00:01"
    known = overlay(at=OWN)
    for frame in (arp(OWN, VIP, "0.0.0.0", op=2, eth_dst=asker), advertisement(OWN, VIP6).but(eth_dst=asker)):
        done = sent(known, "h1", 1, frame)
        assert done.dropped is Kind.DROP_PROBE_ANSWER
        assert Kind.NOTICED in kinds(done)
        assert done.copies == ()


def test_vrrp_speaks_from_its_own_address_with_the_shared_mac() -> None:
    """RFC 5798, section 7.2; and Linux as the shared address from the interface beneath. ARP holds to the pair."""
    one = replace(ONE, pairs=(Pair(VIP, VMAC),))
    two = replace(TWO, pairs=(Pair(VIP, VMAC),))
    group = "01:00:5e:00:00:12"
    for mac, source in ((VMAC, "10.0.0.1"), (OWN, VIP), (OWN, "10.0.0.1"), (VMAC, VIP)):
        said = packet(eth_src=mac, eth_dst=group, eth_type=0x0800, ip_src=source, ip_dst="224.0.0.18", ip_proto=112)
        assert Kind.FLOOD_FROM_PORT in kinds(sent(overlay(one, two), "h1", 1, said)), (mac, source)
    for mac, spa in ((VMAC, "10.0.0.1"), (OWN, VIP), (VMAC, "10.0.0.2")):
        assert sent(overlay(one, two), "h1", 1, arp(mac, spa, spa)).dropped is Kind.DROP_SPOOFED_ARP
    for mac, source in ((VMAC, "10.0.0.2"), (OWN, "10.0.0.2"), (OWN, "10.0.0.101")):
        said = packet(eth_src=mac, eth_dst=BROADCAST, eth_type=0x0800, ip_src=source)
        assert sent(overlay(one, two), "h1", 1, said).dropped is Kind.DROP_SPOOFED_IP


def test_what_is_dropped_as_somebody_elses_is_told_but_not_forwarded() -> None:
    loose = Binding("h1", "vm9", 9, "red")
    ground = overlay(ONE, TWO, WEB, loose)
    for frame in (arp(OWN, "10.0.0.2", "10.0.0.3"), advertisement(OWN, "2001:db8::3").but(ipv6_src="fe80::99")):
        done = sent(ground, "h1", 9, frame.but(eth_src="02:00:00:00:00:99"))
        assert done.outputs == ()
        assert len(done.copies) == 1
