"""Three chassis, two tenants with the very same MACs and addresses, and in each a guest nobody declared."""

from flows.model import Chassis, Encap, Network, Vtep
from topologies.topology import Topology, Vm

TOPOLOGY = Topology(
    name="three_chassis",
    title="three chassis, two tenants with the same MACs and addresses, one on VXLAN, one on GRE",
    chassis=(
        Chassis("h1", (Vtep("192.0.2.1"),)),
        Chassis("h2", (Vtep("192.0.2.2"),)),
        Chassis("h3", (Vtep("192.0.2.3"),)),
    ),
    networks=(
        Network("red", "acme", 100, Encap.VXLAN),
        Network("blue", "umbra", 200, Encap.GRE),
    ),
    vms=(
        Vm("web1", "red", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("web2", "red", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("web3", "red", "h3", "02:00:00:00:00:03", "10.0.0.3"),
        Vm("web9", "red", "h2", "02:00:00:00:00:09", "10.0.0.9", declared=False),
        Vm("db1", "blue", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("db2", "blue", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("db3", "blue", "h3", "02:00:00:00:00:03", "10.0.0.3"),
        Vm("db9", "blue", "h3", "02:00:00:00:00:09", "10.0.0.9", declared=False),
    ),
    picture=r"""
      web1 10.0.0.1     web2 10.0.0.2     web3 10.0.0.3    red  (acme),  VNI 100, VXLAN
      db1  10.0.0.1     db2  10.0.0.2     db3  10.0.0.3    blue (umbra), VNI 200, GRE
           |            web9 10.0.0.9     db9  10.0.0.9    web9, db9: not declared, learned
           |                 |                 |
      [ br-int h1 ]     [ br-int h2 ]     [ br-int h3 ]
       192.0.2.1 ======= 192.0.2.2 ======= 192.0.2.3       underlay
""",
)

DECLARED = tuple(vm.name for vm in TOPOLOGY.vms if vm.declared)
"""The VMs whose ports are declared."""
