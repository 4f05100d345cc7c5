"""All faults, in the order of their numbers; each is told where what it breaks is."""

from __future__ import annotations

import random
import re
import time
from typing import Final

from topologies.faults import (
    chassis_database,
    clusters,
    controllers,
    crashes,
    flows,
    links,
    overlay_database,
    switches,
)
from topologies.faults.case import Case
from topologies.faults.ground import Ground


def _nothing(ground: Ground, _: random.Random) -> None:
    """What the machine loses by itself: where that is not nothing, the other rows say little."""
    time.sleep(20)
    ground.heals(ground.ready, 5)


CASES: Final = tuple(
    sorted(
        (
            Case("F0", "nothing at all, for 20 s", "0 lost", _nothing, within=5),
            *controllers.CASES,
            *crashes.CASES,
            *switches.CASES,
            *links.CASES,
            *flows.CASES,
            *chassis_database.CASES,
            *overlay_database.CASES,
            *clusters.CASES,
            Case("F34", "10^5 port changes", "no drift, memory within 20 %", why="./lab soak"),
            Case("F35", "soak with random faults", "memory flat", why="./lab soak"),
            Case("F38", "any order of events", "as a full recompute", why="tests/test_properties.py"),
        ),
        key=lambda case: (int(re.sub("[^0-9]", "", case.id)), case.id),
    )
)
