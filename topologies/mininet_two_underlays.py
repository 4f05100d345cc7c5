"""Two underlay networks, in Mininet.

Start it with one of:

    sudo python3 topologies/mininet_two_underlays.py [--test]
    sudo .venv/bin/mn --custom topologies/mininet_two_underlays.py --topo two_underlays --controller none
"""

import sys

try:
    from topologies.mininet_lab import OverlayNet as Mininet
    from topologies.mininet_lab import OverlayTopo, cleanup, main
    from topologies.two_underlays import TOPOLOGY
except ModuleNotFoundError:
    from project_python import restart

    restart()


def two_underlays(**options: str) -> OverlayTopo:
    """The topology, for `mn --topo`; option `datapath`."""
    return OverlayTopo(TOPOLOGY, **options)


# What `mn` takes from here: the topology, our network in the place of its own, and what to do after an error,
# where its own would end every controller and delete every bridge on the machine.
topos = {"two_underlays": two_underlays}
__all__ = ["Mininet", "cleanup", "topos"]

if __name__ == "__main__":
    sys.exit(main(TOPOLOGY))
