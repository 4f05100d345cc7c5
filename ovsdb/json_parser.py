"""python-ovs' JSON parser on the standard library's, which is twenty times as fast.

A large database arrives as one message; python-ovs' own parser (`ovs.json.Parser`, character by character where its
C extension was not built) stalls the process for seconds. This one finds where a message ends and leaves the
rest to `json`. Whatever the two could see differently is given to the original: escapes by code point, fractions,
numbers beyond 64 bits, deep nesting, and everything that is no JSON.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

import ovs.json

ORIGINAL: Final[Any] = ovs.json.Parser
MAX_DEPTH: Final = 900
"""Deeper than this the original decides (it refuses 1000)."""
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_REST_OF_STRING: Final = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_NO_BRACKETS: Final = re.compile(r"[^][{}]+")
_DOUBTFUL: Final = re.compile(r"\\u|[0-9]{19}")


def original(check_trailer: bool = False) -> Any:
    """A parser of python-ovs' own; its constructor looks for the name that `install` takes."""
    made = object.__new__(ORIGINAL)
    made.__init__(check_trailer)
    return made


class Parser(ORIGINAL):  # type: ignore[misc]
    """One message: `feed` text until `is_done`, then `finish`, as `ovs.json.Parser`.

    With `check_trailer`, which nothing that comes from a socket asks for, it is the original.
    """

    def __new__(cls, check_trailer: bool = False) -> Any:
        return original(check_trailer) if check_trailer else object.__new__(cls)

    def __init__(self, check_trailer: bool = False) -> None:
        self._pieces: list[str] = []
        self._depth = 0
        self._deepest = 0
        self._in_string = False
        self._escaped = False
        self._done = False

    def feed(self, text: str) -> int:
        """Takes text up to the end of the message; how much of it was taken."""
        if self._done:
            return 0
        if not self._pieces:
            begun = text.lstrip(" \t\n\r")
            if not begun:
                return len(text)
            if begun[0] not in "{[":
                self._pieces.append(text)
                self._done = True
                return len(text)
        end = self._end(text)
        self._pieces.append(text[:end])
        return end

    def is_done(self) -> bool:
        """Whether the message is whole (or none)."""
        return self._done

    def finish(self) -> Any:
        """The message; text, for that is no message, when it is none."""
        text = "".join(self._pieces)
        if self._done and self._deepest < MAX_DEPTH and not _DOUBTFUL.search(text):
            try:
                return json.loads(text, parse_float=_doubt, parse_constant=_doubt)
            except (ValueError, RecursionError):
                pass
        other = original()
        other.feed(text)
        return other.finish()

    def _end(self, text: str) -> int:
        """Where the message ends in this text, or the text's end."""
        start = self._leave_string(text)
        if self._in_string:
            return len(text)
        outside = _STRING.sub("", text[start:])
        opened = outside.find('"')
        if opened >= 0:
            outside = outside[:opened]
        depth = self._depth
        for bracket in _NO_BRACKETS.sub("", outside):
            if bracket in "{[":
                depth += 1
                self._deepest = max(self._deepest, depth)
            else:
                depth -= 1
                if depth == 0:
                    self._done = True
                    return self._closing(text, start)
        self._depth = depth
        if opened >= 0:
            self._enter_string(text, start)
        return len(text)

    def _leave_string(self, text: str) -> int:
        """Where the string that the text before ended in is over; 0 when there is none."""
        if not self._in_string:
            return 0
        start = 1 if self._escaped else 0
        found = _REST_OF_STRING.match(text, start)
        end = found.end() if found else start
        self._in_string = text[end : end + 1] != '"'
        self._escaped = text[end:] == "\\" or (self._escaped and not text)
        return end + 1

    def _enter_string(self, text: str, start: int) -> None:
        """The text ends in a string; notes how."""
        last = start
        for found in _STRING.finditer(text, start):
            last = found.end()
        inside = text[text.index('"', last) + 1 :]
        self._in_string = True
        self._escaped = (len(inside) - len(inside.rstrip("\\"))) % 2 == 1

    def _closing(self, text: str, start: int) -> int:
        """The position behind the bracket that closes the message."""
        depth = self._depth
        position = start
        while True:
            char = text[position]
            if char == '"':
                string = _STRING.match(text, position)
                assert string is not None  # the bracket is behind it
                position = string.end()
                continue
            position += 1
            if char in "{[":
                depth += 1
            elif char in "]}":
                depth -= 1
                if depth == 0:
                    return position


def _doubt(_: str) -> NoReturn:
    raise ValueError


def install() -> None:
    """Has python-ovs use it, unless it has its own in C."""
    if ovs.json.PARSER == ovs.json.PARSER_PY:
        ovs.json.Parser = Parser
