"""Targets that do wrong, so that it is seen that the fuzzer sees it: named to it as `tests.fuzz_targets:Class`."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence


class Good:
    """Bears everything."""

    module = "tests"

    def seeds(self) -> Sequence[bytes]:
        return [b"seed"]

    def make(self, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
        return bytes((chance.randrange(256),)) + seeds[0]

    def run(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass


class Raising(Good):
    """Can't bear an even octet."""

    def run(self, data: bytes) -> None:
        if not data[0] % 2:
            raise ValueError(f"{data[0]} is even")


class Hanging(Good):
    """Never comes back from three of four."""

    def run(self, data: bytes) -> None:
        while data[0] % 4:
            pass


class Waiting(Good):
    """The same, but asleep."""

    def run(self, data: bytes) -> None:
        time.sleep(100 if data[0] % 4 else 0)


class Dying(Good):
    """Ends the process."""

    def run(self, data: bytes) -> None:
        if data[0] > 250:
            os._exit(70)


class Growing(Good):
    """Keeps what it is given, many times over."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []

    def run(self, data: bytes) -> None:
        self._kept.append(data * 4000)


class Printing(Good):
    """Swallows exceptions, and prints them."""

    def run(self, data: bytes) -> None:
        os.write(2, b"Traceback (most recent call last):\n  nobody saw it\n")
