"""Network namespaces: made, deleted, and commands run in them.

A command enters with `nsenter --net`, which changes the network and nothing else: `ip netns exec` would
give each its own mounts as well, and those keep a namespace alive that was deleted.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from topologies.processes import Process, identify, wait_until

DIRECTORY: Final = Path("/run/netns")
"""Where `ip netns` keeps its names."""
_SBIN: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class CommandFailed(RuntimeError):
    """A command in a namespace failed; says which, where, how, and what it printed."""

    def __init__(self, where: str, argv: Sequence[str], how: str, output: str) -> None:
        self.where, self.argv, self.output = where, tuple(argv), output
        super().__init__(f"[{where}] {shlex.join(argv)}: {how}\n{output.rstrip()}")


@dataclass(frozen=True, slots=True)
class Background:
    """A command that runs on: its process, the file its output goes to, and the time it began."""

    where: str
    argv: tuple[str, ...]
    popen: subprocess.Popen[bytes]
    path: Path
    began: float

    @property
    def process(self) -> Process:
        """Its identity; ProcessLookupError once it has ended and been waited for."""
        return identify(self.popen.pid)

    def output(self) -> str:
        """What it has printed so far."""
        return self.path.read_text(errors="replace")

    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self.popen.poll() is not None

    def wait_for(self, text: str, seconds: float = 10.0) -> None:
        """Wait until it has printed that text; CommandFailed when it ends or the time is up before."""
        wait_until(lambda: text in self.output() or self.ended(), seconds)
        if text not in self.output():
            raise CommandFailed(self.where, self.argv, f"did not print {text!r}", self.output())

    def stop(self, number: int = signal.SIGINT, patience: float = 5.0) -> None:
        """End it, asking first."""
        if self.ended():
            return
        self.popen.send_signal(number)
        try:
            self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def path(netns: str) -> Path:
    """The file that names a namespace; a path to such a file (`/proc/PID/ns/net`) names it as well."""
    return DIRECTORY / netns


def enter(netns: str | None, argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` in a namespace; in the machine's own when `netns` is None."""
    return list(argv) if netns is None else ["nsenter", f"--net={path(netns)}", "--", *argv]


def run(
    netns: str | None,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float = 60.0,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a namespace and return how it went; CommandFailed when it fails or takes too long.

    With `check` false a command may return what it likes; taking too long is still an error.
    """
    where = netns or "machine"
    try:
        done = subprocess.run(
            enter(netns, argv),
            env=environment(env),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        printed = b"".join(part if isinstance(part, bytes) else b"" for part in (late.stdout, late.stderr))
        raise CommandFailed(
            where, argv, f"still running after {timeout:g} s", printed.decode(errors="replace")
        ) from None
    if check and done.returncode != 0:
        raise CommandFailed(where, argv, f"returned {done.returncode}", done.stdout + done.stderr)
    return done


def script(netns: str | None, lines: Iterable[str]) -> None:
    """Run lines of shell in a namespace, all in one go; CommandFailed at the first that fails."""
    run(netns, ["sh", "-euxc", "\n".join(lines)])


def start(
    netns: str,
    argv: Sequence[str],
    output: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Background:
    """Start a command that runs on; its session is its own, so that a Ctrl-C meant for us spares it."""
    began = time.time()
    with output.open("ab") as sink:
        popen = subprocess.Popen(
            # Whom a shell has started with `&` ignores SIGINT, and so does all that it starts: it would not end.
            ["env", "--default-signal=INT", *enter(netns, argv)],
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
        )
    return Background(netns, tuple(argv), popen, output, began)


@contextmanager
def background(
    netns: str, argv: Sequence[str], output: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[Background]:
    """A command that runs as long as the `with` block does."""
    running = start(netns, argv, output, env=env)
    try:
        yield running
    finally:
        running.stop()


def environment(env: Mapping[str, str] | None) -> dict[str, str]:
    """Ours, with what is given on top; the console scripts of this interpreter and sbin are on the path.

    What our own environment says of Open vSwitch or of the overlay is meant for others, and left out.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("OVS_", "OVERLAY_"))}
    places = [sysconfig.get_path("scripts"), ours.get("PATH", "/usr/bin:/bin"), *_SBIN]
    return {**ours, "PATH": ":".join(places), "LC_ALL": "C.UTF-8", **(env or {})}
