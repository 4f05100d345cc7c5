"""Runs the commands of a guide as they are written, each in the place that its prompt names.

In a ```console block a line `h1# ovs-vsctl show` is a command for chassis h1, `controller# ...` one for the
controller's host, `web1$ ...` one for a VM; `\\` at its end continues it. Other lines are what it prints: each must
match a line of the output, in order, however many blanks are between words, `...` standing for anything. A place is
one shell, so what is exported or started with `&` stays. A command that fails is tried again for a while, as a person
would who was too quick; then the test fails.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from topologies import namespaces
from topologies.lab import Lab

PROMPT = re.compile(r"([a-z][a-z0-9]*)[#$] (.*)")
PATIENCE = 20.0
"""Seconds in which a command is tried again."""


@dataclass(frozen=True)
class Step:
    """A command, where it is typed, what it prints, and its line in the guide."""

    place: str
    command: str
    printed: tuple[str, ...]
    line: int


def steps(guide: str) -> Iterator[Step]:
    """The steps of a guide, in order."""
    inside = False
    place, command, printed, start = "", "", [], 0
    for number, line in enumerate(guide.splitlines(), 1):
        if line.strip() in ("```console", "```"):
            if command:
                yield Step(place, command, tuple(printed), start)
            inside, place, command, printed = line.strip() == "```console", "", "", []
        elif inside:
            found = PROMPT.fullmatch(line)
            if found and not command.endswith("\\"):
                if command:
                    yield Step(place, command, tuple(printed), start)
                (place, command), printed, start = found.groups(), [], number
            elif command.endswith("\\"):
                command += "\n" + line
            elif line.strip():
                printed.append(line)


def differs(printed: str, expected: tuple[str, ...]) -> str:
    """The first expected line that is not there, '' when all are."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in expected:
        pattern = ".*".join(map(re.escape, " ".join(line.split()).split("...")))
        if not any(re.fullmatch(pattern, each) for each in lines):
            return line
    return ""


class Shell:
    """A shell in one place of a lab."""

    def __init__(self, lab: Lab, place: str, home: Path) -> None:
        home.mkdir(exist_ok=True)
        env = lab.environment(place) | {"HOME": str(home), "PS1": "", "TERM": "dumb", "COLUMNS": "100"}
        self._process = subprocess.Popen(
            namespaces.enter(lab.netns(place), ["bash", "--norc", "--noprofile"]),
            env=namespaces.environment(env),
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """The exit status of a command, and what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        mark = f"--{time.monotonic_ns()}--"
        self._process.stdin.write(f"{command}\nprintf '\\n%s %s\\n' {mark} $?\n")
        self._process.stdin.flush()
        printed = []
        for line in self._process.stdout:
            if line.startswith(mark):
                return int(line.split()[1]), "".join(printed).removesuffix("\n")
            printed.append(line)
        return 255, "".join(printed) + "the shell ended"

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What it started in the background is in the lab's namespace, and ends with the lab.
        self._process.kill()
        self._process.wait()


def follow(shell: Shell, step: Step) -> str:
    """Does a step until it succeeds and prints what it should; what is wrong in the end, '' for nothing."""
    deadline = time.monotonic() + PATIENCE
    wrong = ""
    while True:
        status, printed = shell.run(step.command)
        missing = differs(printed, step.printed)
        if status == 0 and not missing:
            return ""
        # What was done cannot be done twice: the first success tells more than the failures after it.
        if status == 0 or "did not print" not in wrong:
            how = f"returned {status}" if status else f"did not print {missing!r}"
            wrong = f"line {step.line}: {step.place}: {step.command}\n{how}; it printed:\n{printed}"
        if time.monotonic() > deadline:
            return wrong
        time.sleep(0.5)
