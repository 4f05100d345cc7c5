"""VMs with VLANs of their own: trunk ports, service tags, and a network that lets any tag pass."""

from flows.model import Chassis, Encap, Network, Vtep
from topologies.topology import Topology, Vm

TOPOLOGY = Topology(
    name="vlan",
    title="two chassis; networks for trunk ports and their VLANs, and one that is transparent to tags",
    chassis=(
        Chassis("h1", (Vtep("192.0.2.1"),)),
        Chassis("h2", (Vtep("192.0.2.2"),)),
    ),
    networks=(
        Network("red", "acme", 100, Encap.VXLAN),
        Network("blue", "umbra", 200, Encap.GRE),
        Network("carrier", "umbra", 400, Encap.GRE),
        Network("clear", "initech", 300, Encap.VXLAN, transparent=True),
    ),
    vms=(
        Vm("trunk1", "red", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("trunk2", "red", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("loose1", "red", "h1", "02:00:00:00:00:09", "10.0.0.9", declared=False),
        Vm("db1", "blue", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("db2", "blue", "h2", "02:00:00:00:00:02", "10.0.0.2"),
        Vm("any1", "clear", "h1", "02:00:00:00:00:01", "10.0.0.1"),
        Vm("any2", "clear", "h2", "02:00:00:00:00:02", "10.0.0.2"),
    ),
    picture=r"""
      trunk1 10.0.0.1     trunk2 10.0.0.2    red     (acme),    VNI 100, VXLAN
      loose1 10.0.0.9                        loose1: not declared, learned
      db1    10.0.0.1     db2    10.0.0.2    blue    (umbra),   VNI 200, GRE
      any1   10.0.0.1     any2   10.0.0.2    clear   (initech), VNI 300, VXLAN, transparent to tags
                                             carrier (umbra),   VNI 400, GRE, for service tags
           |                   |
      [ br-int h1 ]       [ br-int h2 ]      a VLAN of trunk1 is in blue when that is declared:
       192.0.2.1 ========= 192.0.2.2         overlayctl port-add sub1 --net blue --parent trunk1 --tag 20 ...
""",
)
