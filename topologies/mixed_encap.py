"""One network over two encapsulations: h3 offers GRE alone, so VXLAN and GRE mix and the VNI stays."""

from flows.model import Chassis, Encap, Network, Vtep
from topologies.topology import Topology, Vm

TOPOLOGY = Topology(
    name="mixed_encap",
    title="three chassis, one network: VXLAN between h1 and h2, GRE to and from h3, which has no other",
    chassis=(
        Chassis("h1", (Vtep("192.0.2.1"),)),
        Chassis("h2", (Vtep("192.0.2.2"),)),
        Chassis("h3", (Vtep("192.0.2.3", frozenset({Encap.GRE})),)),
    ),
    networks=(Network("red", "acme", 100, Encap.VXLAN),),
    vms=(
        Vm("web1", "red", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("web2", "red", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("web3", "red", "h3", "02:00:00:00:00:03", "10.0.0.3"),
        Vm("web9", "red", "h3", "02:00:00:00:00:09", "10.0.0.9", declared=False),
    ),
    picture=r"""
      web1 10.0.0.1     web2 10.0.0.2     web3 10.0.0.3    red (acme), VNI 100
           |                 |            web9 10.0.0.9    web9: not declared, learned
           |                 |                 |
      [ br-int h1 ]     [ br-int h2 ]     [ br-int h3 ]
       192.0.2.1 =VXLAN= 192.0.2.2 ==GRE== 192.0.2.3       underlay; h1 and h3: GRE too
""",
)
