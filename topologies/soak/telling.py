"""Changes done to a lab: one `overlayctl batch` for all of them, and an `ovs-vsctl` for each chassis and step."""

from __future__ import annotations

import contextlib
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from topologies import controller, namespaces
from topologies.fabric import in_parallel
from topologies.lab import Lab
from topologies.soak.ports import Change
from topologies.topology import CONTROLLER


class Batch:
    """An `overlayctl batch` that goes on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def say(self, line: str) -> None:
        """Have one line done. Raises RuntimeError with what it said when it is refused."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        said = []
        for answer in self._process.stdout:
            if answer == "# 0\n":
                return
            said.append(answer)
            if answer.startswith("# "):
                break
        raise RuntimeError(f"overlayctl {line}: {''.join(said)}")


@contextlib.contextmanager
def batch(lab: Lab) -> Iterator[Batch]:
    """One as long as the `with` block lasts."""
    argv = namespaces.enter(lab.netns(CONTROLLER), [*controller.overlayctl(), "batch", "--status"])
    env = namespaces.environment(lab.environment(CONTROLLER))
    with subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield Batch(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)


def tell(lab: Lab, told: Batch, changes: Sequence[Change]) -> None:
    """Have changes done: declared one after the other, and then on all hosts at a time."""
    for change in changes:
        if change.line:
            told.say(change.line)
    tell_hosts(lab, changes)


def tell_hosts(lab: Lab, changes: Iterable[Change]) -> None:
    """Plug in and out, all hosts at a time."""
    words: dict[str, list[str]] = defaultdict(list)
    for change in changes:
        for chassis, said in change.words:
            words[chassis] += ["--", *said]
    in_parallel(lambda chassis: lab.run(chassis, "ovs-vsctl", "--timeout=30", *words[chassis][1:]) and None, words)
