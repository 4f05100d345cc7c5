"""What a demo prints: numbered steps, commands as one would type them, checks that count, one verdict."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

WIDTH: Final = 96
_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}


class Story:
    """Tells what happens on a terminal, or in a log without colours, and remembers what did not hold."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.checks: list[tuple[str, bool, str]] = []
        self._steps = 0
        self._began = time.monotonic()
        self._coloured = self.out.isatty() and "NO_COLOR" not in os.environ

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, where there are colours."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self._coloured else text

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self.out, flush=True)

    def step(self, title: str, *words: str) -> None:
        """Begin a step: its title, and a paragraph of what is to be seen."""
        self._steps += 1
        passed = f"{time.monotonic() - self._began:.0f} s"
        self.say(f"\n{self.paint(f'{self._steps}. {title}', 'bold')}  {self.paint(passed, 'dim')}")
        for paragraph in words:
            for line in textwrap.wrap(paragraph, WIDTH - 3):
                self.say(f"   {line}")

    def command(self, where: str, argv: Sequence[str]) -> None:
        """A command, where it is typed; a narrator for a lab."""
        typed = shlex.join(argv)
        indent = " " * (len(where) + 6)
        lines = textwrap.wrap(typed, WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
        for place, line in enumerate(lines):
            head = f"   {self.paint(where, 'cyan')} # " if place == 0 else indent + "  "
            self.say(head + line + (" \\" if place < len(lines) - 1 else ""))

    def show(self, lines: Iterable[str]) -> None:
        """What a command printed."""
        for line in lines:
            self.say(f"   {self.paint('|', 'dim')} {line}")

    def check(self, what: str, holds: bool, detail: str = "") -> None:
        """Say whether something holds, and remember it."""
        self.checks.append((what, holds, detail))
        mark = self.paint("yes", "green") if holds else self.paint("NO ", "red")
        self.say(f"   [{mark}] {what}" + (f"  ({detail})" if detail else ""))

    def verdict(self) -> int:
        """Print how it ended; the exit status."""
        failed = [what for what, holds, _ in self.checks if not holds]
        took = f"{time.monotonic() - self._began:.0f} s"
        if failed or not self.checks:
            self.say(f"\n{self.paint(f'{len(failed)} of {len(self.checks)} checks do not hold', 'red')}, after {took}:")
            for what in failed:
                self.say(f"   {what}")
            return 1
        self.say(f"\n{self.paint(f'All {len(self.checks)} checks hold', 'green')}, after {took}.")
        return 0
