"""Changes in words: what `apply` and `diff` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from controller.cli.declarative.difference import ADD, CHANGE, DELETE, Change
from controller.cli.tables import as_json, paint

COLOUR: Final = {ADD: "green", CHANGE: "yellow", DELETE: "red"}
TO_DO: Final = {ADD: "to add", CHANGE: "to change", DELETE: "to delete"}
DONE: Final = {ADD: "added", CHANGE: "changed", DELETE: "deleted"}
ACTION: Final = {ADD: "add", CHANGE: "change", DELETE: "delete"}


def lines(changes: Sequence[Change], words: dict[str, str], colours: bool) -> Iterator[str]:
    """A line or more per change, and the sum of them."""
    for change in changes:
        for line in _lines(change):
            yield paint(line, COLOUR[change.sign], colours)
    counted = Counter(change.sign for change in changes)
    yield ", ".join(f"{counted[sign]} {word}" for sign, word in words.items())


def as_object(changes: Sequence[Change]) -> str:
    """The same as one JSON object."""
    counted = Counter(change.sign for change in changes)
    return as_json(
        {
            **{word: counted[sign] for sign, word in ACTION.items()},
            "changes": [
                {
                    "action": ACTION[change.sign],
                    "kind": change.kind,
                    "name": change.name,
                    "fields": {name: {"old": _plain(old), "new": _plain(new)} for name, old, new in change.columns()},
                }
                for change in changes
            ],
        }
    )


def _lines(change: Change) -> Iterator[str]:
    heading = f"{change.sign} {change.kind} {_spelled(change.name)}"
    columns = [column for column in change.columns() if column[0] not in ("name", "target")]
    if change.sign == CHANGE:
        yield heading
        yield from (f"    {_spelled(name)}: {_spelled(old)} -> {_spelled(new)}" for name, old, new in columns)
        return
    place = 1 if change.sign == DELETE else 2
    said = ", ".join(f"{_spelled(column[0])} {_spelled(column[place])}" for column in columns)
    yield f"{heading}: {said}" if said else heading


def _spelled(value: Any) -> str:
    """A value on one line; what a terminal would take for a command is escaped."""
    if value is None or value in ("", ()):
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_spelled, value))}]"
    text = str(value)
    return text if text.isprintable() else repr(text)


def _plain(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, tuple) else value
