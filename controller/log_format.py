"""How log lines are written: for people, or, where `OVERLAY_LOG` is `json`, an object in each line."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from typing import Any, Final

from controller.events import OTHERS

VARIABLE: Final = "OVERLAY_LOG"
FORMS: Final = ("text", "json")


class JsonFormatter(logging.Formatter):
    """A line as an object: `time`, `level`, `event` and `message` always, and what its event has beside."""

    def format(self, record: logging.LogRecord) -> str:
        """The object; its keys in this order."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", OTHERS),
            "logger": record.name,
            **getattr(record, "about", {}),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def formatter() -> logging.Formatter:
    """What `OVERLAY_LOG` asks for. Raises ValueError when that is nothing known."""
    form = os.environ.get(VARIABLE) or "text"
    if form not in FORMS:
        raise ValueError(f"{VARIABLE}: {form!r} is no form of log lines; it is one of {', '.join(FORMS)}")
    return JsonFormatter() if form == "json" else logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")
