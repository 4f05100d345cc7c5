"""What is fuzzed, as the fuzzer sees it; and what an input may do wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol

CORPUS: Final = Path(__file__).resolve().parent.parent.parent / "tests" / "corpus"
"""Inputs that are kept, a directory for each target: what was found once, and what was made by hand."""
SLOW_S: Final = 0.5
"""Seconds that one input may take."""


class WrongError(Exception):
    """An input did what none may; the text says what."""


class Hang(BaseException):
    """Thrown by the watchdog into whatever runs for longer than `SLOW_S`; no handler of Exception stops it."""


class Target(Protocol):
    """Something that takes input from strangers."""

    module: str
    """The package whose branches are counted, where inputs are chosen by what they reach."""

    def seeds(self) -> Sequence[bytes]:
        """Inputs that are right, or nearly so."""

    def make(self, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
        """One mutated input, the same for the same chance and seeds."""

    def run(self, data: bytes) -> None:
        """Take an input; any exception is a fault."""

    def close(self) -> None:
        """End what was started."""


NAMES: Final = ("openflow", "frames", "cli", "apply")
"""Every target."""


def named(name: str) -> Target:
    """A target by its name, or as `module:Class`, ready to run; what it needs is imported and started now."""
    module, _, kind = _PLACES.get(name, name).partition(":")
    made: Target = getattr(import_module(module), kind)()
    return made


_PLACES: Final = {
    "openflow": "topologies.fuzz.openflow:Openflow",
    "frames": "topologies.fuzz.frames:Frames",
    "cli": "topologies.fuzz.command_lines:Cli",
    "apply": "topologies.fuzz.files:Apply",
}


def corpus(name: str) -> dict[str, bytes]:
    """The inputs of a target that are kept, by file name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir()) if path.suffix != ".md"}
