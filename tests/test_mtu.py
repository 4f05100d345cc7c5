"""What tunnels carry: octets of each encap and family, the worst pair, and the flows that measure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.state import State
from flows.compile import compile
from flows.flow import CheckLarger, Flow, SetField, kind_of
from flows.model import Binding, Chassis, Encap, Network, Overlay, Plug, Port, Vtep
from flows.mtu import Carried, carried, every_pair, network_mtu, not_carried, pair
from flows.tables import DELIVER, LARGER, LIMIT, OUTPORT, SIZE, Kind
from flows.vteps import overhead
from ovsdb.snapshot import ChassisRow, Declared, LastKnown, Plugged

VXLAN, GRE = frozenset({Encap.VXLAN}), frozenset({Encap.GRE})


def host(
    number: int, *, mtu: int = 1500, ip: str = "192.0.2.{}", encaps: frozenset[Encap] = frozenset(Encap)
) -> Chassis:
    return Chassis(f"h{number}", (Vtep(ip.format(number), encaps, mtu),))


@pytest.mark.parametrize(
    ("encap", "ip", "octets"),
    [
        (Encap.VXLAN, "192.0.2.1", 50),
        (Encap.VXLAN, "2001:db8::1", 70),
        (Encap.GRE, "192.0.2.1", 42),
        (Encap.GRE, "2001:db8::1", 62),
    ],
)
def test_what_a_tunnel_takes(encap: Encap, ip: str, octets: int) -> None:
    assert overhead(encap, ip) == octets


def test_the_page_has_these_numbers() -> None:
    page = Path(__file__).parents[1].joinpath("docs/mtu.md").read_text()
    rows = re.findall(r"^\| (vxlan|gre) \| (IPv[46]) .* (\d+) \| (\d+) \| (\d+) \|$", page, re.M)
    assert len(rows) == 4
    for encap, family, takes, usual, jumbo in rows:
        octets = overhead(Encap(encap), "192.0.2.1" if family == "IPv4" else "2001:db8::1")
        assert (int(takes), int(usual), int(jumbo)) == (octets, 1500 - octets, 9000 - octets)


def test_the_pair_that_carries_least_is_named() -> None:
    found = carried([host(1, mtu=9000), host(2, mtu=9000), host(3)], Encap.VXLAN)
    assert found == Carried(1450, "h1", "h3", Encap.VXLAN, "192.0.2.1", "192.0.2.3", 1500)
    assert (found.overhead, str(found)) == (50, "vxlan over IPv4, underlay 1500")
    six = carried([host(1, ip="2001:db8::{}"), host(2, ip="2001:db8::{}")], Encap.GRE)
    assert six is not None
    assert (six.mtu, str(six)) == (1438, "gre over IPv6, underlay 1500")
    assert carried([host(1)], Encap.VXLAN) is None
    assert carried([host(1, encaps=GRE), host(2, encaps=VXLAN)], Encap.VXLAN) is None


def test_with_several_vteps_the_direction_that_carries_less_counts() -> None:
    """No two addresses are nearer than others, so each side sends from its lowest to the other's lowest."""
    one = Chassis("h1", (Vtep("10.0.0.1", VXLAN, 1400), Vtep("10.0.0.9", VXLAN, 9000)))
    other = Chassis("h2", (Vtep("172.16.0.1", VXLAN, 9000), Vtep("172.16.0.9", VXLAN, 1300)))
    found = pair(one, other, Encap.VXLAN)
    assert found is not None
    assert found.mtu == 1350
    assert pair(other, one, Encap.VXLAN) == found


def test_which_vtep_is_used_may_depend_on_addresses_and_what_is_carried_on_that() -> None:
    """All three have an MTU of each kind; h3 has them the other way round."""
    mtus = {"h1": (9000, 1500), "h2": (9000, 1500), "h3": (1500, 9000)}
    three = [Chassis(h, (Vtep(f"10.0.0.{h[1]}", mtu=a), Vtep(f"10.0.1.{h[1]}", mtu=b))) for h, (a, b) in mtus.items()]
    assert [each.mtu for each in every_pair(three, Encap.VXLAN)] == [8950, 1450, 1450]
    found = carried(three, Encap.VXLAN)
    assert found is not None
    assert (found.mtu, found.one, found.other) == (1450, "h1", "h3")


@st.composite
def hosts(draw: st.DrawFn) -> list[Chassis]:
    found = []
    for number in range(1, draw(st.integers(1, 7)) + 1):
        vteps = tuple(
            Vtep(
                ip.format(number), draw(st.sampled_from([VXLAN, GRE, VXLAN | GRE])), draw(st.sampled_from([1500, 9000]))
            )
            for ip in draw(
                st.lists(st.sampled_from(["192.0.2.{}", "10.0.0.{}", "2001:db8::{}"]), unique=True, min_size=1)
            )
        )
        found.append(Chassis(f"h{number}", vteps))
    return found


@settings(max_examples=200, deadline=None)
@given(hosts(), st.sampled_from(Encap))
def test_that_chassis_of_a_kind_count_as_one_changes_nothing(chassis: list[Chassis], encap: Encap) -> None:
    found = carried(chassis, encap)
    least = min((each.mtu for each in every_pair(chassis, encap)), default=None)
    assert (found.mtu if found is not None else None) == least


def test_a_thousand_chassis_take_no_time() -> None:
    import time

    many = [Chassis(f"h{n}", (Vtep(f"10.0.{n >> 8}.{n & 255}", mtu=1500 if n % 7 else 9000),)) for n in range(1, 1001)]
    began = time.monotonic()
    found = carried(many, Encap.VXLAN)
    assert found is not None
    assert found.mtu == 1450
    assert time.monotonic() - began < 1


def test_what_is_declared_counts_and_too_much_is_said() -> None:
    red = Network("red", "acme", 100, mtu=9000)
    members = [host(1, mtu=9000), host(2)]
    assert network_mtu(red, carried(members, red.encap)) == 9000
    assert network_mtu(Network("red", "acme", 100), carried(members, red.encap)) == 1450
    assert network_mtu(Network("red", "acme", 100), None) is None
    said = not_carried(red, members)
    assert said == (
        "its MTU is declared as 9000, but h1 and h2 carry 1450 (vxlan over IPv4, underlay 1500); "
        "overlayctl net-set red --mtu 1450, or auto"
    )
    assert not_carried(Network("red", "acme", 100, mtu=1450), members) == ""
    assert not_carried(Network("red", "acme", 100), members) == ""
    assert not_carried(red, members[:1]) == ""


def overlay(*chassis: Chassis, bindings: tuple[Binding, ...] = ()) -> Overlay:
    ports = tuple(
        Binding(each.name, f"vm{n}", n, "red", f"web{n}", f"02:00:00:00:00:0{n}", (f"10.0.0.{n}",), secure=True)
        for n, each in enumerate(chassis, 1)
    )
    return Overlay({each.name: each for each in chassis}, {"red": Network("red", "acme", 100)}, ports + bindings)


def of(overlay: Overlay, kind: Kind, on: str = "h1") -> list[Flow]:
    return [flow for flow in compile(overlay, on) if flow.kind is kind]


def written(flow: Flow) -> dict[str, int]:
    return {action.field: action.value for action in flow.actions if isinstance(action, SetField)}


def test_each_way_is_measured_by_its_own_limit() -> None:
    """Between h1 and h2 jumbo frames fit, though h3 is in the network too."""
    made = of(overlay(host(1, mtu=9000), host(2, mtu=9000), host(3), host(4)), Kind.MEASURE)
    found = {{name: value for name, value, _ in flow.match}.get("tun_dst"): flow for flow in made}
    assert {target: written(flow) for target, flow in found.items()} == {
        None: {LIMIT: 1450},
        0xC0000202: {LIMIT: 8950},
    }
    assert found[None].actions[0] == CheckLarger(1464, LARGER)
    assert found[0xC0000202].actions[0] == CheckLarger(8964, LARGER)
    assert found[0xC0000202].priority > found[None].priority
    assert all(("metadata", 100, None) in flow.match for flow in made)


def test_with_one_limit_there_is_one_flow_for_each_tunnel_port() -> None:
    made = of(overlay(*(host(n, encaps=GRE if n == 4 else frozenset(Encap)) for n in range(1, 8))), Kind.MEASURE)
    assert sorted(({n: v for n, v, _ in flow.match}[OUTPORT], written(flow)[LIMIT]) for flow in made) == [
        (65001, 1450),
        (65002, 1458),
    ]


def test_each_port_has_copies_of_its_own() -> None:
    """Counted by network and port, and limited for each port, in however many networks it is."""
    two = tuple(Binding("h1", "vm1", 1, "blue", f"db{tag}", f"02:00:00:00:01:0{tag}", tag=tag) for tag in (7, 8))
    both = overlay(host(1), host(2), bindings=(*two, Binding("h1", "vm8", 8, "red")))
    both = Overlay(both.chassis, {**both.networks, "blue": Network("blue", "acme", 200)}, both.bindings)
    flows = [flow for flow in of(both, Kind.DROP_TOO_LARGE) if flow.priority == 200]
    found = {tuple((name, value) for name, value, _ in flow.match): flow.actions for flow in flows}
    assert {match: [action.meter for action in actions] for match, actions in found.items()} == {
        (("in_port", 1), ("metadata", 100), (LARGER, 1)): [131073],
        (("in_port", 8), ("metadata", 100), (LARGER, 1)): [131080],
        (("in_port", 1), ("metadata", 200), (LARGER, 1)): [131073],
    }
    assert {flow.table for flow in flows} == {SIZE}


def test_what_came_by_a_tunnel_is_not_measured() -> None:
    for flow in of(overlay(host(1), host(2)), Kind.MEASURE):
        assert ("reg0", 0, None) in flow.match
        assert flow.table is DELIVER
        assert kind_of(flow.cookie) is Kind.MEASURE


def state(red: Network, *mtus: int, internal: frozenset[str] = frozenset()) -> State:
    found = State(changed=lambda: None, noted=lambda: None)
    rows = {f"h{n}": ChassisRow(host(n, mtu=mtu), f"tcp:198.51.100.{n}:6640") for n, mtu in enumerate(mtus, 1)}
    ports = {f"web{n}": Port(f"web{n}", "red", f"02:00:00:00:00:0{n}") for n in range(1, len(mtus) + 1)}
    found.declare(Declared(chassis=rows, networks={"red": red}, ports=ports), LastKnown())
    for n in range(1, len(mtus) + 1):
        plugs = (Plug(f"h{n}", f"vm{n}", 1, iface_id=f"web{n}"),)
        found.plug(f"h{n}", Plugged(plugs, internal=internal), ())
    return found


@pytest.mark.parametrize(("mtu", "wanted"), [(None, 1450), (1400, 1400), (9000, 9000)])
def test_the_networks_status_and_the_mtu_of_internal_ports(mtu: int | None, wanted: int) -> None:
    red = Network("red", "acme", 100, mtu=mtu)
    found = state(red, 1500, 1500, internal=frozenset({"vm1", "other"}))
    assert found.mtus_of("h1") == {"vm1": wanted}
    assert found.mtus_of("h2") == {}
    said = found.status().networks["red"]
    assert said.carries == 1450
    assert ("h1 and h2 carry 1450" in said.error) == (mtu == 9000)


def test_a_network_is_wrong_only_where_it_has_ports() -> None:
    """A storage network of chassis with jumbo frames is well, whatever other chassis there are."""
    red = Network("red", "acme", 100, mtu=8950)
    found = state(red, 9000, 9000, 1500)
    assert "h1 and h3 carry 1450" in found.status().networks["red"].error
    found.plug("h3", Plugged(()), ())
    assert found.status().networks["red"].error == ""
    assert found.status().networks["red"].carries == 1450


def test_every_pair_is_listed() -> None:
    some = [host(1), host(2, encaps=GRE), host(3, encaps=VXLAN)]
    assert [(each.one, each.other, each.encap, each.mtu) for each in every_pair(some, Encap.VXLAN)] == [
        ("h1", "h2", Encap.GRE, 1458),
        ("h1", "h3", Encap.VXLAN, 1450),
    ]
