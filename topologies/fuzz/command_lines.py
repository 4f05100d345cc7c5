"""Target `cli`: command lines of `overlayctl`, in this process, on a real ovsdb-server."""

from __future__ import annotations

import json
import random
import re
import shlex
from collections.abc import Sequence
from typing import Final

from controller.cli.parser import COMMON
from controller.cli.verbs import VERBS
from topologies.fuzz import mutate
from topologies.fuzz.overlay_database import FIRST, Database
from topologies.fuzz.target import corpus

STDIN: Final = "<"
"""Behind this word an input has what standard input holds; that is not part of the command line."""
MOST: Final = 200
LINES: Final = 10
"""The most words of a command line that is made, and the most lines on its standard input."""
_HURRY: Final = ["--timeout", "0.05"]
"""To wait as long as one was told to is no hang."""
_ABSOLUTE: Final = re.compile(r"(^|[=:,])/+(?!nonexistent)")


class Cli:
    """A command line: a list of words, as JSON."""

    module = "controller"

    def __init__(self) -> None:
        self._database = Database()
        self._words = sorted(
            set(VERBS)
            | {flag for verb in VERBS.values() for argument in (*verb.arguments, *COMMON) for flag in argument.flags}
            | {word for words in _examples() for word in words}
        )

    def seeds(self) -> Sequence[bytes]:
        """The examples of every verb, what the database was filled with, and what is kept."""
        return [*(as_input(words) for words in _examples()), *corpus("cli").values()]

    def make(self, chance: random.Random, seeds: Sequence[bytes]) -> bytes:
        """A command line with other words, or several in one transaction."""
        words: list[str] = []
        for number in range(chance.choice((1, 1, 1, 2, 3))):
            words += ["--"] * bool(number) + json.loads(chance.choice(seeds))
        if chance.random() < 0.2:
            words = ["--dry-run", *words]
        made = [word[: mutate.LONGEST] for word in mutate.text(words, chance, self._words)[:MOST]]
        # Each line of a batch is a command, and takes the time of one.
        argv, between, stdin = _parted(made)
        return as_input([*argv, between, *stdin[:LINES]] if stdin else argv)

    def run(self, data: bytes) -> None:
        """Run it; what it names outside of its directory it gets there."""
        self._database.begin()
        words = [str(word) for word in json.loads(data)]
        argv, _, stdin = _parted(words)
        # The system refuses such an argument before anybody sees it.
        argv = [_ABSOLUTE.sub(r"\1./", word.replace("\0", "").replace("..", ".")) for word in argv]
        at = len(argv) - (argv[-1:] == ["--"])
        argv[at:at] = _HURRY
        self._database.command(argv, "\n".join(stdin).encode("utf-8", "surrogatepass"))

    def close(self) -> None:
        """End the server."""
        self._database.close()


def as_input(words: Sequence[str]) -> bytes:
    """A command line as an input."""
    return json.dumps(list(words)).encode()


def _parted(words: list[str]) -> tuple[list[str], str, list[str]]:
    place = words.index(STDIN) if STDIN in words else len(words)
    return words[:place], STDIN, words[place + 1 :]


def _examples() -> list[list[str]]:
    lines = [line for verb in VERBS.values() for line in verb.examples]
    lines += [*FIRST, "batch < 'port-add x1 --net red' 'port-del x1' 'nonsense'", "apply -f - < 'version: 1'"]
    return [shlex.split(line.split(" > ")[0].split(" | ")[0].split(" || ")[0]) for line in lines]
