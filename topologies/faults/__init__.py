"""Faults, one after the other, under traffic: what is lost, what is leaked, and how long healing takes."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suite; what is loaded into a controller, and the traffic, are not to wait for all of it."""
    from topologies.faults.run import main as run

    return run(argv)
