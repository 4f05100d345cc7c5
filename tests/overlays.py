"""Overlays that tests share: the three-chassis one of the README, and random ones."""

from __future__ import annotations

from hypothesis import strategies as st

from flows.model import Binding, Chassis, Encap, Neighbor, Network, Overlay, Vtep

H1 = Chassis("h1", (Vtep("192.0.2.1"),))
H2 = Chassis("h2", (Vtep("192.0.2.2"),))
H3 = Chassis("h3", (Vtep("192.0.2.3", frozenset({Encap.GRE})),))
RED = Network("red", "acme", 100, Encap.VXLAN)
BLUE = Network("blue", "umbra", 200, Encap.GRE)

THREE = Overlay(
    {"h1": H1, "h2": H2, "h3": H3},
    {"red": RED, "blue": BLUE},
    (
        Binding("h1", "vm1", 1, "red", "web1", "02:00:00:00:00:01", ("10.0.0.1",)),
        Binding("h2", "vm2", 1, "red", "web2", "02:00:00:00:00:02", ("10.0.0.2",)),
        Binding("h3", "vm3", 1, "red", "web3", "02:00:00:00:00:03", ("10.0.0.3",)),
        Binding("h1", "vm4", 2, "blue", "db1", "02:00:00:00:00:01", ("10.0.0.1",)),
        Binding("h2", "vm5", 2, "blue", "db2", "02:00:00:00:00:02", ("10.0.0.2",)),
        Binding("h2", "vm9", 9, "red"),
    ),
    (Neighbor("red", "10.0.0.9", "02:00:00:00:00:09", "h2", "vm9"),),
)
"""Three chassis, two tenants with the same addresses, h3 with GRE alone, an undeclared port on h2."""


def mac(number: int) -> str:
    """The number-th MAC of a test."""
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


@st.composite
def _vteps(draw: st.DrawFn, number: int) -> tuple[Vtep, ...]:
    """One VTEP or two, of one family or both, with any encaps."""
    encaps = st.sampled_from([frozenset(Encap), frozenset(Encap), frozenset({Encap.GRE}), frozenset({Encap.VXLAN})])
    addresses = draw(
        st.sampled_from([["192.0.2"], ["192.0.2"], ["2001:db8::"], ["192.0.2", "2001:db8::"], ["192.0.2", "192.0.3"]])
    )
    return tuple(Vtep(f"{net}{'' if ':' in net else '.'}{number}", draw(encaps)) for net in addresses)


@st.composite
def overlays(draw: st.DrawFn, chassis: int = 4, networks: int = 3, ports: int = 8) -> Overlay:
    """Any small overlay: some ports declared, some not, addresses the same in different networks."""
    hosts = {f"h{n}": Chassis(f"h{n}", draw(_vteps(n))) for n in range(1, draw(st.integers(1, chassis)) + 1)}
    nets = {
        f"n{n}": Network(f"n{n}", f"t{n}", 100 * n, draw(st.sampled_from(list(Encap))), draw(st.booleans()))
        for n in range(1, draw(st.integers(1, networks)) + 1)
    }
    bindings = []
    neighbors = []
    for name in nets:
        for number in range(1, draw(st.integers(0, ports)) + 1):
            host = draw(st.sampled_from(sorted(hosts)))
            ofport = 1 + sum(binding.chassis == host for binding in bindings)
            interface = f"vm{ofport}"
            if draw(st.booleans()):
                extra = (mac(0x100 + number),) if draw(st.booleans()) else ()
                ips = (f"10.0.0.{number}", f"2001:db8::{number}")
                bindings.append(Binding(host, interface, ofport, name, f"{name}p{number}", mac(number), ips, extra))
            else:
                bindings.append(Binding(host, interface, ofport, name))
                if draw(st.booleans()):
                    neighbors.append(Neighbor(name, f"10.0.0.{number}", mac(number), host, interface))
    return Overlay(hosts, nets, tuple(bindings), tuple(neighbors))
