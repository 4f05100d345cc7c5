"""The underlay: which VTEPs and encaps carry a packet, in both address families, and what forged tunnels get."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from flows.tables import Kind
from tests.system import crafted
from tests.system.counted import dropping
from tests.system.steps import chassis_error, eventually, running, same_network, settle, shown
from topologies import dual_stack, two_underlays
from topologies.lab import Lab
from topologies.topology import UNDERLAY, interface_mac, reaches, vm
from topologies.wiring import underlay_nic, vtep_bridge

pytestmark = pytest.mark.system

ALL = "ff:ff:ff:ff:ff:ff"
MAC1, MAC2, MAC3 = (f"02:00:00:00:00:0{n}" for n in (1, 2, 3))
V4 = {n: f"192.0.2.{n}" for n in (1, 2, 4)}
V6 = {n: f"2001:db8::{n}" for n in (2, 3, 4)}


@pytest.fixture(scope="module")
def dual() -> Iterator[Lab]:
    with running(dual_stack.TOPOLOGY) as built:
        yield built


@pytest.fixture(scope="module")
def homes() -> Iterator[Lab]:
    with running(two_underlays.TOPOLOGY) as built:
        yield built


def test_who_shares_a_family_reaches_each_other_from_the_first_packet(dual: Lab) -> None:
    """The probe has resolved every way before, over IPv6 as well."""
    for one, other in same_network(dual):
        meant = reaches(dual.topology, vm(dual.topology, one), vm(dual.topology, other))
        dual.run(one, "ip", "neigh", "flush", "all")
        assert dual.ping(one, other, count=2).lost == (0 if meant else 2), (one, other)


WAYS = [
    ("web1", "web2", "VXLAN", "vni 100", V4[1], V4[2]),
    ("web1", "web4", "GREv0", "key=0x64", V4[1], V4[4]),
    ("web2", "web3", "VXLAN", "vni 100", V6[2], V6[3]),
    ("web2", "web4", "VXLAN", "vni 100", V6[2], V6[4]),
    ("web4", "web3", "VXLAN", "vni 100", V6[4], V6[3]),
    ("web4", "web1", "GREv0", "key=0x64", V4[4], V4[1]),
    ("db2", "db3", "GREv0", "key=0xc8", V6[2], V6[3]),
    ("db3", "db2", "GREv0", "key=0xc8", V6[3], V6[2]),
]


@pytest.mark.parametrize(("source", "target", "encap", "key", "local", "remote"), WAYS)
def test_the_wire_shows_encap_and_addresses(  # noqa: PLR0917 - a row of the table above
    dual: Lab, source: str, target: str, encap: str, key: str, local: str, remote: str
) -> None:
    with dual.capture(dual.place(source)) as seen:
        assert dual.ping(source, target, count=2).lost == 0
    requests = seen.having("ICMP echo request")
    assert len(requests) == 2
    for line in requests:
        assert encap in line, line
        assert key in line, line
        assert f"{local}." in line if encap == "VXLAN" else f"{local} > {remote}:" in line, line
        assert f"> {remote}" in line, line
    assert len(seen.having("ICMP echo reply", key, f"> {local}")) == 2


@pytest.mark.parametrize(("source", "target"), [("web2", "web3"), ("db2", "db3"), ("web1", "web4")])
def test_tcp_goes_at_full_size(dual: Lab, source: str, target: str) -> None:
    """VXLAN and GRE over IPv6, GRE over IPv4: checksums and sizes are right."""
    assert dual.tcp(source, target, seconds=1).bytes > 5_000_000
    assert dual.ping(source, target, count=2, options=("-M", "do", "-s", str(1430 - 28))).lost == 0


def test_a_broadcast_takes_each_way_once(dual: Lab) -> None:
    """One flat list through IPv4 and IPv6, VXLAN and GRE: no header carries anything of the one before."""
    vms = [each.name for each in dual.topology.vms]
    with crafted.receiving(dual, vms) as captured:
        marks = {}
        for each in dual.topology.vms:
            frame = Ether(src=each.mac, dst=ALL) / IP(src=each.ip, dst="255.255.255.255") / UDP(sport=9999, dport=9999)
            marks[each.name] = crafted.send(dual, each.name, frame, 2)
    for name, mark in marks.items():
        meant = {
            each: 2
            for each in vms
            if each != name and reaches(dual.topology, vm(dual.topology, name), vm(dual.topology, each))
        }
        assert captured.seen(mark) == meant, name


def test_the_pair_that_shares_nothing_is_named(dual: Lab) -> None:
    assert "shares no encap and address family with h3, so network 'red' is cut in two" in chassis_error(dual, "h1")
    assert "shares no encap and address family with h1, so network 'red' is cut in two" in chassis_error(dual, "h3")
    states = {row["name"]: row["state"] for row in shown(dual)["chassis"]}
    assert states == {"h1": "error", "h2": "ready", "h3": "error", "h4": "ready"}


def test_the_ways_are_kept_warm(dual: Lab) -> None:
    """Who has forgotten how to reach a VTEP over IPv6 is made to ask again, with no tenant's packet under way."""
    if dual.datapath != "netdev":
        return  # the kernel resolves neighbors by itself, and keeps the packet meanwhile
    dual.run("h3", "ovs-appctl", "tnl/neigh/flush")

    def known() -> bool:
        cache = dual.run("h3", "ovs-appctl", "tnl/neigh/show").stdout
        return V6[2] in cache and V6[4] in cache

    eventually(known, 45)


NEW = "2001:db8::33"
"""An address that h3 is given later than the one of its VTEP."""
HEEDS = {(2, 17): 10, (3, 0): 7, (3, 1): 5, (3, 2): 3, (3, 3): 1}
"""The first releases of Open vSwitch that, in userspace, send over IPv6 from the address that they are told."""


def heeds(lab: Lab, chassis: str) -> bool:
    """Whether what a chassis sends over IPv6 leaves from the address that its flows say."""
    major, minor, patch = map(int, lab.run(chassis, "ovs-vswitchd", "--version").stdout.split()[3].split(".")[:3])
    return lab.datapath != "netdev" or (major, minor) > max(HEEDS) or patch >= HEEDS.get((major, minor), patch + 1)


@contextlib.contextmanager
def address(lab: Lab, chassis: str, ip: str, length: int) -> Iterator[None]:
    """Another address where a chassis has its VTEP, known to its switch."""
    added = f"{ip}/{length}"
    options = ("nodad",) if ":" in ip else ()
    interface = vtep_bridge() if lab.datapath == "netdev" else underlay_nic()
    lab.run(chassis, "ip", "address", "add", added, "dev", interface, *options)
    try:
        if lab.datapath == "netdev":
            eventually(lambda: f"{ip}/" in lab.run(chassis, "ovs-appctl", "ovs/route/show").stdout)
        yield
    finally:
        lab.run(chassis, "ip", "address", "delete", added, "dev", interface)


@pytest.mark.parametrize("length", [64, 128])
def test_another_ipv6_address_of_the_host_changes_nothing(dual: Lab, length: int) -> None:
    """The flows say from which one a packet leaves. An Open vSwitch that does not heed them takes no /128."""
    if length == 64 and not heeds(dual, "h3"):
        pytest.skip("this Open vSwitch takes the newest IPv6 address, whatever it is told")
    with address(dual, "h3", NEW, length):
        for one, other in (("web2", "web3"), ("web3", "web4"), ("db2", "db3"), ("db3", "db2")):
            assert dual.ping(one, other, count=3).lost == 0, (one, other)
        with dual.capture("h3") as seen:
            assert dual.ping("web3", "web2", count=2).lost == 0
        assert len(seen.having("ICMP echo request", f"{V6[3]}.")) == 2


@pytest.mark.parametrize(
    ("chassis", "old", "new", "pairs"),
    [
        ("h3", V6[3], NEW, (("web2", "web3"), ("web3", "web4"), ("db2", "db3"))),
        ("h1", V4[1], "192.0.2.33", (("web1", "web2"), ("web4", "web1"))),
    ],
)
def test_the_only_vtep_becomes_another_address_of_its_underlay(
    dual: Lab, chassis: str, old: str, new: str, pairs: tuple[tuple[str, str], ...]
) -> None:
    """As the operator's page says: the new address, then chassis-set, then the old one may go. VXLAN and GRE."""
    if ":" in new and not heeds(dual, chassis):
        pytest.skip("this Open vSwitch takes the newest IPv6 address, whatever it is told")
    settle(dual)
    with contextlib.ExitStack() as stack:
        stack.enter_context(address(dual, chassis, new, 64 if ":" in new else 24))
        pings = [stack.enter_context(dual.pinging(*pair, 0.01)) for pair in pairs]
        for ip in (new, old):
            dual.run("h1", "sleep", "1")
            dual.overlayctl("--wait", "chassis-set", chassis, "--vtep", ip)
        dual.run("h1", "sleep", "1")
    print([ping() for ping in pings])
    assert [ping().lost for ping in pings] == [0] * len(pairs)


def tunnelled(encap: str, source: str, target: int, inner: Packet, vni: int = 100) -> Packet:
    """A tunnel packet as the underlay carries it; `source` is any address."""
    address = V6[target] if ":" in source else V4[target]
    mac = interface_mac(V4[target] if target in V4 else V6[target], 0)
    outer = IPv6(src=source, dst=address) if ":" in source else IP(src=source, dst=address)
    if encap == "gre":
        return Ether(src="06:00:00:00:00:66", dst=mac) / outer / GRE(key_present=1, key=vni, proto=0x6558) / inner
    head = UDP(sport=45678, dport=4789) / VXLAN(vni=vni, flags=8)
    return Ether(src="06:00:00:00:00:66", dst=mac) / outer / head / inner


def said(mac: str, dst: str = ALL) -> Packet:
    return Ether(src=mac, dst=dst) / ARP(hwsrc=mac, psrc="10.0.0.77", pdst="10.0.0.78") / Raw(bytes(18))


def inject(lab: Lab, frame: Packet) -> bytes:
    """Send a tunnel packet three times into the underlay; the mark within its inner frame."""
    mark = crafted.mark()
    crafted.emit(lab, UNDERLAY, [bytes(frame / Raw(mark))] * 3, "underlay")
    return mark


FORGED = {
    "vxlan from an unknown IPv6 address": (tunnelled("vxlan", "2001:db8::66", 3, said(MAC2)), Kind.DROP_FOREIGN_TUNNEL),
    "gre from an unknown IPv6 address": (tunnelled("gre", "2001:db8::66", 3, said(MAC2)), Kind.DROP_FOREIGN_TUNNEL),
    "a VNI that the VTEP has no part in": (tunnelled("vxlan", V6[4], 3, said(MAC2), 200), Kind.DROP_FOREIGN_TUNNEL),
    "an encap that the VTEP does not offer": (tunnelled("gre", V6[4], 3, said(MAC2)), Kind.DROP_FOREIGN_TUNNEL),
    "a MAC that lives behind another VTEP": (tunnelled("vxlan", V6[4], 3, said(MAC2)), Kind.DROP_SPOOFED_TUNNEL),
    "a MAC that lives here": (tunnelled("vxlan", V6[2], 3, said(MAC3)), Kind.DROP_SPOOFED_TUNNEL),
    "a MAC that lives nowhere": (tunnelled("vxlan", V6[2], 3, said("02:00:00:00:00:66")), Kind.DROP_SPOOFED_TUNNEL),
    "gre, a MAC that lives here": (tunnelled("gre", V6[2], 3, said(MAC3), 200), Kind.DROP_SPOOFED_TUNNEL),
    "a MAC that lives elsewhere, IPv4": (tunnelled("vxlan", V4[1], 2, said(MAC3)), Kind.DROP_SPOOFED_TUNNEL),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged_tunnel_packets_go_nowhere_and_are_counted(dual: Lab, name: str) -> None:
    frame, kind = FORGED[name]
    at = "h2" if frame.haslayer(IP) else "h3"
    vms = [each.name for each in dual.topology.vms]
    with crafted.receiving(dual, vms) as captured, dropping(dual, at) as counted:
        mark = inject(dual, frame)
        time.sleep(0.1)
    assert captured.seen(mark) == {}
    assert counted[kind] == 3, counted


def test_what_is_not_forged_in_the_same_way_arrives(dual: Lab) -> None:
    """So the drops above are for the reason that they name."""
    with crafted.receiving(dual, ["web3", "db3", "web2"]) as captured:
        first = inject(dual, tunnelled("vxlan", V6[2], 3, said(MAC2)))
        second = inject(dual, tunnelled("gre", V6[2], 3, said(MAC2), 200))
        third = inject(dual, tunnelled("vxlan", V4[1], 2, said(MAC1)))
    assert captured.seen(first) == {"web3": 3}
    assert captured.seen(second) == {"db3": 3}
    assert captured.seen(third) == {"web2": 3}


def test_each_underlay_is_used_by_those_that_are_in_it(homes: Lab) -> None:
    for one, other in same_network(homes):
        assert homes.ping(one, other, count=2).lost == 0, (one, other)
    with (
        homes.capture(UNDERLAY, interface="underlay") as first,
        homes.capture(UNDERLAY, interface="underlay1") as second,
    ):
        assert homes.ping("web1", "web2", count=2).lost == 0
        assert homes.ping("web1", "web3", count=2).lost == 0
    assert len(first.having("ICMP echo request", "192.0.2.1.", "> 192.0.2.2.")) == 2
    assert len(second.having("ICMP echo request", "203.0.113.1.", "> 203.0.113.3.")) == 2
    assert len(first.having("ICMP echo request")) == len(second.having("ICMP echo request")) == 2


def towards(lab: Lab, chassis: str, ip: str) -> bool:
    """Whether a chassis has a flow that sends to that VTEP."""
    printed = lab.run(chassis, "ovs-ofctl", "-O", "OpenFlow14", "dump-flows", "br-int").stdout
    return f"{ip}->tun_dst" in printed


def test_a_vtep_goes_and_comes_while_pings_run(homes: Lab) -> None:
    """F32: the old way is taken away when the new one is up, on both sides; nothing is lost."""
    settle(homes)
    with homes.pinging("web1", "web2", 0.01) as there, homes.pinging("web2", "web1", 0.01) as back:
        homes.run("h1", "sleep", "1")
        homes.overlayctl("--wait", "chassis-set", "h2", "--vtep", "203.0.113.2")
        eventually(lambda: towards(homes, "h1", "203.0.113.2") and not towards(homes, "h1", "192.0.2.2"))
        homes.run("h1", "sleep", "1")
        with homes.capture(UNDERLAY, "udp port 4789 and host 192.0.2.2", "underlay") as old:
            homes.run("h1", "sleep", "0.5")
        homes.overlayctl("--wait", "chassis-set", "h2", "--vtep", "192.0.2.2,203.0.113.2")
        eventually(lambda: towards(homes, "h1", "192.0.2.2"))
        homes.run("h1", "sleep", "1")
    print(there(), back())
    assert old.having("ICMP") == []
    assert (there().lost, back().lost) == (0, 0)


def test_a_chassis_that_changes_its_only_vtep(homes: Lab) -> None:
    """From the one underlay to the other, and back: h2 and h1 share the second alone meanwhile."""
    homes.overlayctl("--wait", "chassis-set", "h2", "--vtep", "192.0.2.2")
    with homes.pinging("web1", "web2", 0.01) as there:
        homes.run("h1", "sleep", "0.5")
        homes.overlayctl("--wait", "chassis-set", "h2", "--vtep", "203.0.113.2")
        eventually(lambda: not towards(homes, "h1", "192.0.2.2"))
        homes.run("h1", "sleep", "0.5")
    print(there())
    assert there().lost == 0
    assert homes.ping("web3", "web2", count=2).lost == 0
    homes.overlayctl("--wait", "chassis-set", "h2", "--vtep", "192.0.2.2,203.0.113.2")
    assert homes.ping("web1", "web2", count=2).lost == 0
