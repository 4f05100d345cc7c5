"""Networks that go on outside of the overlay: a physical network, untagged for one tenant, VLAN 10 for the other."""

from flows.model import Chassis, Encap, Gateway, Network, Vtep
from topologies.topology import PhysicalHost, Topology, Vm

TOPOLOGY = Topology(
    name="gateway",
    title="two chassis connected to a physical network, which h1 joins to red (untagged) and blue (VLAN 10)",
    chassis=(
        Chassis("h1", (Vtep("192.0.2.1"),), (("office", "br-office"),)),
        Chassis("h2", (Vtep("192.0.2.2"),), (("office", "br-office"),)),
    ),
    networks=(
        Network("red", "acme", 100, Encap.VXLAN, gateway=Gateway("office", 0, "h1")),
        Network("blue", "umbra", 200, Encap.VXLAN, gateway=Gateway("office", 10, "h1")),
    ),
    vms=(
        Vm("web1", "red", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("web2", "red", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("db1", "blue", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("db2", "blue", "h2", "02:00:00:00:00:02", "10.0.0.2"),
    ),
    picture=r"""
      web1 10.0.0.1     web2 10.0.0.2    red  (acme),  VNI 100, goes on at h1, untagged
      db1  10.0.0.1     db2  10.0.0.2    blue (umbra), VNI 200, goes on at h1, VLAN 10
           |                 |
      [ br-int h1 ]     [ br-int h2 ]
       192.0.2.1 ======= 192.0.2.2       underlay
      [ br-office ]     [ br-office ]
           |                 |
           +---- office -----+---- printer 10.0.0.101 (untagged)
                             +---- nas     10.0.0.101 (VLAN 10)
""",
    hosts=(
        PhysicalHost("printer", "office", "06:00:00:00:00:01", "10.0.0.101"),
        PhysicalHost("nas", "office", "06:00:00:00:00:02", "10.0.0.101", 10),
    ),
)
