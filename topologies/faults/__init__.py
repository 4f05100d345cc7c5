"""Faults, one after the other, under traffic: what is lost, what is leaked, and how long healing takes."""

from topologies.faults.run import main

__all__ = ["main"]
