"""What ends a command early."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot be done; the text says what was wrong, with its value, and what to do."""

    exit_code = 1


class UsageError(CommandError):
    """The command line is none."""

    exit_code = 2


class NotInstalledError(CommandError):
    """The change is stored, but not every chassis has installed it in time."""

    exit_code = 3


class UnknownOutcomeError(CommandError):
    """The change was sent, and no answer came: it may have been done."""

    exit_code = 5


def one_of(names: list[str], wanted: str, otherwise: str = "") -> str:
    """A sentence that helps somebody who wrote a name that is none of these; `otherwise` instead of all names."""
    import difflib

    close = difflib.get_close_matches(wanted, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if otherwise:
        return otherwise
    return f"known: {listed(names)}" if names else "there is none yet"


def listed(names: list[str], most: int = 8) -> str:
    """Names in order, and how many more there are when they are many."""
    shown = sorted(names)[:most]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
