"""A fault as a value: what is done, what may be lost by it, what it may have logged, and what is promised."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

from topologies.faults.ground import Ground
from topologies.lab import Lab

LOST: Final = (
    "OpenFlow connection lost|the connection ended|no answer|connection was closed|Connection refused|"
    "Connection reset|Broken pipe|nothing arrives of what|no response to inactivity probe"
)
"""What is said of a chassis that can't be reached."""
STARTED: Final = f"{LOST}|terminating|no controller has been"
"""What is said when a controller goes, and when it comes back."""
EDITED: Final = "changed by somebody|set back|not ours|ours again|while nobody"
"""What is said of an edit by hand."""
H1, H2, H3 = (frozenset([name]) for name in ("h1", "h2", "h3"))


@dataclass(frozen=True)
class Case:
    """A fault. Frames of VMs on `struck` chassis may be lost while it lasts, no others, and no frame may be leaked.

    `within` is how many seconds healing may take; of the log nothing but what matches `expected` may be a warning.
    `leaks` says why frames may be leaked all the same, where nobody can help it. `servers` has the overlay database
    served by others than the controller; the fault finds them on its ground. Without `run` it is not tried here, and
    `why` says why. On the userspace datapath nothing is forwarded while ovs-vswitchd stands still.
    """

    id: str
    title: str
    promise: str
    run: Callable[[Ground, random.Random], None] | None = None
    struck: frozenset[str] = frozenset()
    within: float = 30.0
    expected: str = "(?!)"
    leaks: str = ""
    servers: Callable[[Lab], AbstractContextManager[Any]] = nullcontext
    why: str = ""
