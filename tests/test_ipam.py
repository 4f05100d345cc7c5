"""Choosing addresses: pure, over any subnets and whatever is taken."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import ipam
from flows.ipam import NoneFreeError, Plan, plan

NETS = [
    *(f"10.{index}.0.0/{length}" for index, length in enumerate((20, 24, 26, 29, 30, 31, 32))),
    *(f"2001:db8:{index}::/{length}" for index, length in enumerate((64, 112, 122, 126, 127, 128))),
]


@st.composite
def plans(draw: Any) -> Plan:
    """A network with ranges, excludes and gateways that are right."""
    subnets = draw(st.lists(st.sampled_from(NETS), min_size=1, max_size=4, unique=True))

    def some(net: str) -> str:
        hosts = ipam.usable(ipam.subnet(net))
        most = min(hosts.last - hosts.first, 40)
        return ipam.spelled(hosts.version, hosts.first + draw(st.integers(0, most)))

    def span(net: str) -> str:
        first, last = sorted((some(net), some(net)), key=lambda ip: int(ipaddress.ip_address(ip)))
        return f"{first}-{last}"

    ranges = [span(net) for net in draw(st.lists(st.sampled_from(subnets), max_size=3))]
    excludes = [span(net) for net in draw(st.lists(st.sampled_from(subnets), max_size=3))]
    gateways = {(":" in net): some(net) for net in draw(st.lists(st.sampled_from(subnets), max_size=2))}
    return plan(subnets, gateways.values(), ranges, excludes)


def every(network: Plan, version: int) -> list[str]:
    """What may be given out, by the plainest way, of the lowest 5000 addresses of each subnet."""
    found = []
    for net in network.subnets:
        if net.version != version:
            continue
        for number in range(int(net[0]), min(int(net[-1]), int(net[0]) + 5000) + 1):
            ip = type(net[0])(number)
            spans = [(span.first, span.last) for span in network.ranges if span.version == version]
            if (
                (not spans or any(first <= number <= last for first, last in spans))
                and not any(s.first <= number <= s.last for s in network.excludes if s.version == version)
                and ip not in network.gateways
                and not (net.num_addresses > 2 and (ip == net[0] or (version == 4 and ip == net[-1])))
            ):
                found.append(str(ip))
    return found


@given(plans(), st.sampled_from((4, 6)), st.data())
def test_the_lowest_free_one_comes_first(network: Plan, version: int, data: st.DataObject) -> None:
    offered = every(network, version)
    taken = data.draw(st.lists(st.sampled_from(offered), unique=True)) if offered else []
    left = [ip for ip in offered if ip not in taken]
    if left:
        assert ipam.free(network, version, taken, 0, lambda n: n - 1) == left[0]
    elif len(offered) < 5000:
        with pytest.raises(NoneFreeError):
            ipam.free(network, version, taken, 0, lambda n: 0)


@given(plans(), st.sampled_from((4, 6)), st.integers(1, 40), st.data())
def test_after_a_lost_race_any_of_many(network: Plan, version: int, attempt: int, data: st.DataObject) -> None:
    offered = every(network, version)
    if not offered:
        return
    taken = data.draw(st.lists(st.sampled_from(offered), unique=True, max_size=len(offered) - 1))
    bound: list[int] = []

    def draw(below: int) -> int:
        bound.append(below)
        return data.draw(st.integers(0, below - 1))

    ip = ipam.free(network, version, taken, attempt, draw)
    assert ip not in taken
    assert ip in offered or len(offered) >= 4998
    assert bound == [min(bound[0], ipam.WINDOW << min(attempt, 24))]
    assert bound[0] > 1 or len(offered) == len(taken) + 1


@given(plans())
def test_each_once_until_none_is_left(network: Plan) -> None:
    for version in (4, 6):
        offered = every(network, version)
        if len(offered) > 300:
            continue
        taken: list[str] = []
        for number in range(len(offered)):
            taken.append(ipam.free(network, version, taken, number % 3, lambda n: n // 2))
        assert sorted(taken) == sorted(offered)
        with pytest.raises(NoneFreeError, match=f"IPv{version}"):
            ipam.free(network, version, taken, 0, lambda n: 0)
        uses = [use for use in ipam.use(network, taken) if (":" in use.subnet) == (version == 6)]
        assert [(use.free, use.others) for use in uses] == [(0, 0)] * len(uses)
        assert sum(use.used for use in uses) == len(taken)
        assert ipam.outside(network, taken) == []


def test_a_huge_subnet_takes_no_longer_than_what_is_taken() -> None:
    network = plan(["2001:db8::/32"], ["2001:db8::1"])
    taken = [f"2001:db8::{number:x}" for number in range(2, 3000)]
    started = time.monotonic()
    assert ipam.free(network, 6, taken, 0, lambda n: 0) == "2001:db8::bb8"
    assert ipam.free(network, 6, taken, 24, lambda n: n - 1) == str(
        ipaddress.ip_address("2001:db8::bb8") + (8 << 24) - 1
    )
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((["10.0.0.7/24"],), "subnet '10.0.0.7/24' has bits of a host; write 10.0.0.0/24"),
        ((["2001:db8::1/64"],), "has bits of a host; write 2001:db8::/64"),
        ((["10.0.0.0"],), "subnet '10.0.0.0' is not of the form 10.0.0.0/24"),
        ((["10.0.0.0/255.255.255.0"],), "is not of the form"),
        ((["10.0.0.0/33"],), "is not of the form"),
        ((["0.0.0.0/0"],), "is none of unicast addresses"),
        ((["224.0.0.0/8"],), "is none of unicast addresses"),
        ((["10.0.0.0/16", "10.0.7.0/24"],), "subnets 10.0.0.0/16 and 10.0.7.0/24 overlap"),
        ((["10.0.0.0/24"], ["10.0.1.1"]), "gateway 10.0.1.1 is in no subnet of the network; there are: 10.0.0.0/24"),
        (([], ["10.0.1.1"]), "there are: none"),
        ((["10.0.0.0/24"], ["10.0.0.255"]), "gateway 10.0.0.255 is the address of the subnet 10.0.0.0/24 itself"),
        ((["10.0.0.0/24"], ["10.0.0.1", "10.0.0.2"]), "a network has one gateway of IPv4 at most"),
        ((["10.0.0.0/24"], [], ["10.0.0.9-10.0.1.9"]), "range '10.0.0.9-10.0.1.9' lies in no subnet"),
        ((["10.0.0.0/24"], [], ["10.0.0.9-10.0.0.1"]), "begins after its end; write 10.0.0.1-10.0.0.9"),
        ((["10.0.0.0/24"], [], ["10.0.0.9-2001:db8::1"]), "its ends are of two families"),
        ((["10.0.0.0/24"], [], [], ["10.0.9.9"]), "exclude '10.0.9.9' lies in no subnet"),
        ((["10.0.0.0/24"], [], ["x-y"]), "IP 'x' is not an IP address"),
    ],
)
def test_what_contradicts_itself_is_refused(columns: Sequence[Sequence[str]], said: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is compared below
        plan(*columns)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("ip", "said"),
    [
        ("10.0.0.1", ""),  # the gateway, by hand: it is the router's port
        ("10.0.0.200", ""),  # outside of the range
        ("fe80::1", ""),
        ("10.0.0.0", "is the address of the subnet 10.0.0.0/24 itself"),
        ("10.0.0.255", "or its broadcast address"),
        ("10.0.1.1", "is in no subnet of the network; it has 10.0.0.0/24"),
        ("2001:db8::1", "is in no subnet of the network"),
    ],
)
def test_addresses_given_by_hand(ip: str, said: str) -> None:
    network = plan(["10.0.0.0/24"], ["10.0.0.1"], ["10.0.0.10-10.0.0.20"])
    if said:
        with pytest.raises(ValueError, match=said):
            ipam.belongs(ip, network)
    else:
        ipam.belongs(ip, network)
    ipam.belongs(ip, plan())


def test_no_address_left_says_how_many_there_are() -> None:
    network = plan(["10.0.0.0/29"], ["10.0.0.1"], ["10.0.0.1-10.0.0.3"])
    with pytest.raises(NoneFreeError) as full:
        ipam.free(network, 4, ["10.0.0.2", "10.0.0.3"], 0, lambda n: 0)
    assert str(full.value) == "no IPv4 address is free in 10.0.0.0/29 (2 of 2 used), range 10.0.0.1-10.0.0.3"
    with pytest.raises(NoneFreeError, match="there is no IPv6 subnet to take an address from"):
        ipam.free(network, 6, [], 0, lambda n: 0)
