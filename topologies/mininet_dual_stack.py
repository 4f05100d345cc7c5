"""Underlays of IPv4, IPv6 and both, in Mininet.

Start it with one of:

    sudo python3 topologies/mininet_dual_stack.py [--test]
    sudo .venv/bin/mn --custom topologies/mininet_dual_stack.py --topo dual_stack --controller none
"""

import sys

try:
    from topologies.dual_stack import TOPOLOGY
    from topologies.mininet_lab import OverlayNet as Mininet
    from topologies.mininet_lab import OverlayTopo, cleanup, main
except ModuleNotFoundError:
    from project_python import restart

    restart()


def dual_stack(**options: str) -> OverlayTopo:
    """The topology, for `mn --topo`; option `datapath`."""
    return OverlayTopo(TOPOLOGY, **options)


# What `mn` takes from here: the topology, our network in the place of its own, and what to do after an error,
# where its own would end every controller and delete every bridge on the machine.
topos = {"dual_stack": dual_stack}
__all__ = ["Mininet", "cleanup", "topos"]

if __name__ == "__main__":
    sys.exit(main(TOPOLOGY))
