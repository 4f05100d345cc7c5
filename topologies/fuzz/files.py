"""Target `apply`: declarative files, given to `overlayctl apply` and `diff` on a real ovsdb-server."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from topologies.fuzz import mutate
from topologies.fuzz.overlay_database import CODES, Database
from topologies.fuzz.target import WrongError, corpus

_TOKEN: Final = re.compile(r"\n *|[\w.:/-]+|[^\w]")
"""A line's end with the next one's indentation, a word, or a single character."""
_DIFF_CODES: Final = frozenset((0, 1, 2))


class Apply:
    """A file's bytes."""

    module = "controller.cli.declarative"

    def __init__(self) -> None:
        self._database = Database()
        self._file = self._database.directory / "net.yaml"
        self._words = sorted(
            {word for data in self.seeds() for word in _TOKEN.findall(data.decode("utf-8", "replace"))}
        )

    def seeds(self) -> Sequence[bytes]:
        """Files that are kept: good ones with every key, and such as were wrong once; and the page's example."""
        return [*corpus("apply").values(), *_example()]

    def make(self, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
        """A file with other words, lines, indentation; or, one of five, other bytes."""
        data = chance.choice(seeds)
        if chance.random() < 0.2:
            return mutate.octets(data, chance, seeds, 20000)
        tokens = _TOKEN.findall(data.decode("utf-8", "replace"))
        return "".join(mutate.text(tokens, chance, self._words)).encode("utf-8", "replace")[:20000]

    def run(self, data: bytes) -> None:
        """Make it so unless it is refused; now and then tell the difference before, and that there is none after."""
        self._database.begin()
        self._file.write_bytes(data)
        told = None
        if zlib.crc32(data) % 4 == 0:
            told = self._database.command(["diff", "-f", "net.yaml"], codes=_DIFF_CODES)
        code = self._database.command(
            ["--timeout", "0.3", "apply", "-f", "net.yaml", "--allow-delete", "1000"], codes=CODES
        )
        if told is not None and (code == 0) != (told in (0, 1)):
            raise WrongError(f"diff ended with {told}, and apply with {code}")
        if code == 0 and told == 1 and b"auto" not in data:
            again = self._database.command(["diff", "-f", "net.yaml"], codes=_DIFF_CODES)
            if again != 0:
                raise WrongError(f"applied, and diff still ends with {again}")

    def close(self) -> None:
        """End the server."""
        self._database.close()


def _example() -> list[bytes]:
    """The one in docs/declarative-file.md."""
    page = Path(__file__).resolve().parent.parent.parent / "docs" / "declarative-file.md"
    found = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    return [text.encode() for text in found]
