"""Waiting for servers, and schemas of other versions."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ovsdb.embedded import schema as present_schema


def eventually(true: object, patience: float, what: str) -> None:
    """Returns when the function `true` returns something true; AssertionError when it does not in time."""
    deadline = time.monotonic() + patience
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(0.02)


def with_schema(directory: Path, name: str, **changes: object) -> Path:
    """A file with the present schema, but for these members."""
    path = directory / name
    path.write_text(json.dumps(json.loads(present_schema().read_text()) | changes))
    return path
