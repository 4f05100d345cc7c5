"""Long runs: random faults for an hour, and very many port changes; whether anything grows, and what is left over."""

from topologies.soak.run import main

__all__ = ["main"]
