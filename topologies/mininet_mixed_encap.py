"""One network over VXLAN and GRE, in Mininet.

sudo python3 topologies/mininet_mixed_encap.py [--test]
sudo .venv/bin/mn --custom topologies/mininet_mixed_encap.py --topo mixed_encap --controller none
"""

import sys

try:
    from topologies.mininet_lab import OverlayNet as Mininet  # `mn` then builds this instead of its own
    from topologies.mininet_lab import OverlayTopo, main
    from topologies.mixed_encap import TOPOLOGY
except ModuleNotFoundError:
    from project_python import restart

    restart()


def mixed_encap(**options: str) -> OverlayTopo:
    """The topology, for `mn --topo`; option `datapath`."""
    return OverlayTopo(TOPOLOGY, **options)


topos = {"mixed_encap": mixed_encap}
__all__ = ["Mininet", "topos"]

if __name__ == "__main__":
    sys.exit(main(TOPOLOGY))
