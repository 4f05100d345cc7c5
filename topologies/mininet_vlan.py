"""VLANs of VMs, in Mininet.

Start it with one of:

    sudo python3 topologies/mininet_vlan.py [--test]
    sudo .venv/bin/mn --custom topologies/mininet_vlan.py --topo vlan --controller none
"""

import sys

try:
    from topologies.mininet_lab import OverlayNet as Mininet
    from topologies.mininet_lab import OverlayTopo, cleanup, main
    from topologies.vlan import TOPOLOGY
except ModuleNotFoundError:
    from project_python import restart

    restart()


def vlan(**options: str) -> OverlayTopo:
    """The topology, for `mn --topo`; option `datapath`."""
    return OverlayTopo(TOPOLOGY, **options)


# What `mn` takes from here: the topology, our network in the place of its own, and what to do after an error,
# where its own would end every controller and delete every bridge on the machine.
topos = {"vlan": vlan}
__all__ = ["Mininet", "cleanup", "topos"]

if __name__ == "__main__":
    sys.exit(main(TOPOLOGY))
