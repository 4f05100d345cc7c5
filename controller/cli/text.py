"""Text that somebody else wrote, as it may be shown to a person: it must not move the cursor, nor forge lines."""

from __future__ import annotations

import re
from typing import Any, Final

ODD: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters of ASCII and Latin-1, ends of lines and of paragraphs, and what turns the direction of writing."""


def escaped(text: str) -> str:
    """Text on one line, whose control characters stand there as Python spells them, `\\x1b` or `\\n`."""
    return text if text.isprintable() else ODD.sub(_spelled, text)


def escaped_lines(text: str) -> str:
    """The same for several lines, which stay lines."""
    return "\n".join(map(escaped, text.split("\n")))


def all_escaped(value: Any) -> Any:
    """The same for every text within lists and objects, keys as well."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {all_escaped(key): all_escaped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [all_escaped(item) for item in value]
    return value


def _spelled(odd: re.Match[str]) -> str:
    return odd.group().encode("unicode_escape").decode()
