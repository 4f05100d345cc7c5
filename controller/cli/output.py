"""Standard output, which may be closed, full, or of an encoding that has not every character."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class OutputError(Exception):
    """What was to be printed could not be; the text says why."""

    exit_code = 4


class Output:
    """Standard output whose failures can be told from those of any other file: they are OutputError.

    BrokenPipeError stays what it is. What the encoding has not is printed escaped.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        """As TextIO.write."""
        with _told():
            return self._stream.write(text)

    def flush(self) -> None:
        """As TextIO.flush."""
        with _told():
            self._stream.flush()

    def give_up(self) -> None:
        """Lets what is not yet written go nowhere: the interpreter writes it when it ends, and would fail again."""
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def standard_output() -> Iterator[Output]:
    """`sys.stdout` for one command; where the process was given none (`>&-`) what is printed goes nowhere."""
    before = sys.stdout, sys.stderr
    # In this order: a file takes the lowest number that is free, and a socket must not become standard output.
    stdout, stderr = (stream or open(os.devnull, "w", encoding="utf-8") for stream in before)  # noqa: SIM115
    output = Output(stdout)
    sys.stdout, sys.stderr = output, stderr
    try:
        yield output
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as failure:
        raise OutputError(failure.strerror) from None
