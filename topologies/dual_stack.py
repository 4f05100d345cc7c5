"""Underlays of both address families: h1 has IPv4 alone, h3 IPv6 alone, h2 both, and h4 an encap in each."""

from flows.model import Chassis, Encap, Network, Vtep
from topologies.topology import Topology, Vm

TOPOLOGY = Topology(
    name="dual_stack",
    title="four chassis with underlay addresses of IPv4, IPv6, and both; h1 and h3 share none",
    chassis=(
        Chassis("h1", (Vtep("192.0.2.1"),)),
        Chassis("h2", (Vtep("192.0.2.2"), Vtep("2001:db8::2"))),
        Chassis("h3", (Vtep("2001:db8::3"),)),
        Chassis("h4", (Vtep("192.0.2.4", frozenset({Encap.GRE})), Vtep("2001:db8::4", frozenset({Encap.VXLAN})))),
    ),
    networks=(
        Network("red", "acme", 100, Encap.VXLAN),
        Network("blue", "umbra", 200, Encap.GRE),
    ),
    vms=(
        Vm("web1", "red", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("web2", "red", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("web3", "red", "h3", "02:00:00:00:00:03", "10.0.0.3"),
        Vm("web4", "red", "h4", "02:00:00:00:00:04", "10.0.0.4"),
        Vm("web9", "red", "h3", "02:00:00:00:00:09", "10.0.0.9", declared=False),
        Vm("db2", "blue", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("db3", "blue", "h3", "02:00:00:00:00:03", "10.0.0.3"),
    ),
    picture=r"""
      web1 10.0.0.1     web2 10.0.0.2     web3 10.0.0.3     web4 10.0.0.4    red  (acme),  VNI 100, VXLAN
                        db2  10.0.0.2     db3  10.0.0.3                      blue (umbra), VNI 200, GRE
           |                 |            web9 10.0.0.9          |           web9: not declared, learned
      [ br-int h1 ]     [ br-int h2 ]     [ br-int h3 ]     [ br-int h4 ]
       192.0.2.1         192.0.2.2                           192.0.2.4       underlay, IPv4 (h4: GRE alone)
                         2001:db8::2       2001:db8::3       2001:db8::4     underlay, IPv6 (h4: VXLAN alone)

      h1-h2 VXLAN/IPv4, h1-h4 GRE/IPv4, h2-h3 VXLAN/IPv6 and GRE/IPv6, h2-h4 and h3-h4 VXLAN/IPv6, h1-h3 not at all
""",
)
