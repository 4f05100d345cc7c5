"""Chassis with a foot in each of two underlay networks, which know nothing of each other."""

from flows.model import Chassis, Encap, Network, Vtep
from topologies.topology import FIRST_UNDERLAY, Topology, Vm

TOPOLOGY = Topology(
    name="two_underlays",
    title="two underlay networks: h1 and h2 are in both, h3 in the second alone",
    chassis=(
        Chassis("h1", (Vtep("192.0.2.1"), Vtep("203.0.113.1"))),
        Chassis("h2", (Vtep("192.0.2.2"), Vtep("203.0.113.2"))),
        Chassis("h3", (Vtep("203.0.113.3"),)),
    ),
    networks=(Network("red", "acme", 100, Encap.VXLAN),),
    vms=(
        Vm("web1", "red", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("web2", "red", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("web3", "red", "h3", "02:00:00:00:00:03", "10.0.0.3"),
    ),
    picture=r"""
      web1 10.0.0.1     web2 10.0.0.2     web3 10.0.0.3    red (acme), VNI 100
           |                 |                 |
      [ br-int h1 ]     [ br-int h2 ]     [ br-int h3 ]
       192.0.2.1 ======= 192.0.2.2                         underlay
       203.0.113.1 ===== 203.0.113.2 ===== 203.0.113.3     underlay1
""",
    underlays=(FIRST_UNDERLAY, ("203.0.113.0/24",)),
)
