"""All faults, in the order of their numbers; each is told where what it breaks is."""

from __future__ import annotations

import random
import time
from typing import Final

from topologies.faults import (
    chassis_database,
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
            Case("F24", "RAFT: leader killed", "writes go on in 3 s", why="tests/system/test_cluster.py"),
            Case("F25", "RAFT: quorum lost", "forwarding goes on", why="tests/system/test_cluster.py"),
            Case("F26", "two clusters of one name", "the other is refused", why="tests/system/test_cluster.py"),
            Case("F27", "a stale follower", "no rollback", why="tests/system/test_cluster.py"),
            Case("F28", "schema upgraded online", "rows kept", why="tests/system/test_databases.py"),
            Case("F34", "10^5 port changes", "no drift, memory within 20 %", why="./lab soak"),
            Case("F35", "soak with random faults", "memory flat", why="./lab soak"),
            Case("F38", "any order of events", "as a full recompute", why="tests/test_properties.py"),
        ),
        key=lambda case: int(case.id[1:]),
    )
)
