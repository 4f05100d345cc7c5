"""Three chassis, two tenants with the very same MACs and addresses, in Mininet.

sudo python3 topologies/mininet_three_chassis.py [--test]
sudo .venv/bin/mn --custom topologies/mininet_three_chassis.py --topo three_chassis --controller none
"""

import sys

try:
    from topologies.mininet_lab import OverlayNet as Mininet  # `mn` then builds this instead of its own
    from topologies.mininet_lab import OverlayTopo, main
    from topologies.three_chassis import TOPOLOGY
except ModuleNotFoundError:
    from project_python import restart

    restart()


def three_chassis(**options: str) -> OverlayTopo:
    """The topology, for `mn --topo`; option `datapath`."""
    return OverlayTopo(TOPOLOGY, **options)


topos = {"three_chassis": three_chassis}
__all__ = ["Mininet", "topos"]

if __name__ == "__main__":
    sys.exit(main(TOPOLOGY))
