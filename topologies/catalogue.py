"""The topologies there are, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from topologies import dual_stack, gateway, mixed_encap, three_chassis, two_chassis, two_underlays, vlan
from topologies.topology import Topology

TOPOLOGIES: Final[Mapping[str, Topology]] = {
    module.TOPOLOGY.name: module.TOPOLOGY
    for module in (two_chassis, three_chassis, mixed_encap, dual_stack, two_underlays, vlan, gateway)
}
