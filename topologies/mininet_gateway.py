"""Networks that go on in a physical one, in Mininet.

Start it with one of:

    sudo python3 topologies/mininet_gateway.py [--test]
    sudo .venv/bin/mn --custom topologies/mininet_gateway.py --topo gateway --controller none
"""

import sys

try:
    from topologies.gateway import TOPOLOGY
    from topologies.mininet_lab import OverlayNet as Mininet
    from topologies.mininet_lab import OverlayTopo, cleanup, main
except ModuleNotFoundError:
    from project_python import restart

    restart()


def gateway(**options: str) -> OverlayTopo:
    """The topology, for `mn --topo`; option `datapath`."""
    return OverlayTopo(TOPOLOGY, **options)


# What `mn` takes from here: the topology, our network in the place of its own, and what to do after an error,
# where its own would end every controller and delete every bridge on the machine.
topos = {"gateway": gateway}
__all__ = ["Mininet", "cleanup", "topos"]

if __name__ == "__main__":
    sys.exit(main(TOPOLOGY))
