"""Two chassis, one tenant: the smallest overlay there is."""

from flows.model import Chassis, Encap, Network, Vtep
from topologies.topology import Topology, Vm

TOPOLOGY = Topology(
    name="two_chassis",
    title="two chassis, one tenant, VXLAN",
    chassis=(
        Chassis("h1", (Vtep("192.0.2.1"),)),
        Chassis("h2", (Vtep("192.0.2.2"),)),
    ),
    networks=(Network("red", "acme", 100, Encap.VXLAN),),
    vms=(
        Vm("web1", "red", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("web2", "red", "h2", "02:00:00:00:00:02", "10.0.0.2"),
    ),
    picture=r"""
      web1 10.0.0.1        web2 10.0.0.2        red (acme), VNI 100
           |                    |
      [ br-int h1 ]        [ br-int h2 ]
       192.0.2.1 ===VXLAN=== 192.0.2.2          underlay
""",
)
