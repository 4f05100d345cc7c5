"""A log that is being written, from a moment on."""

from __future__ import annotations

from pathlib import Path


class LogFile:
    """What a program logs from now on; its log need not be there yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size if path.exists() else 0

    def since(self) -> str:
        """All of it so far; '' where nothing was logged."""
        return self._bytes().decode(errors="replace")

    def news(self) -> str:
        """The whole lines that have come since this was last asked: each is told once."""
        whole, end, _ = self._bytes().rpartition(b"\n")
        self._read += len(whole + end)
        return (whole + end).decode(errors="replace")

    def _bytes(self) -> bytes:
        if not self._path.exists():
            return b""
        with self._path.open("rb") as log:
            log.seek(self._read)
            return log.read()
