"""The topologies there are, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from topologies import mixed_encap, three_chassis, two_chassis
from topologies.topology import Topology

TOPOLOGIES: Final[Mapping[str, Topology]] = {
    module.TOPOLOGY.name: module.TOPOLOGY for module in (two_chassis, three_chassis, mixed_encap)
}
