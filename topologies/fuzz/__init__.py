"""Hostile input: mutated messages, frames, command lines and files, each under a watchdog, with memory looked at."""

from topologies.fuzz.run import main

__all__ = ["main"]
