"""Log lines: each has an event, at a level and with keys that the table has; and all of the table's are there."""

from __future__ import annotations

import ast
import json
import logging
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.events import EVENTS, Event, about, table
from controller.log_format import FORMS, VARIABLE, JsonFormatter, formatter

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "logs.md"
BLOCK = re.compile(r"(?<=<!-- events -->\n).*?(?=<!-- /events -->)", re.DOTALL)
MODULES = sorted(path for path in (ROOT / "controller").glob("*.py") if path.name != "events.py")
LEVELS = ("info", "warning", "error", "critical")


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """All calls, in the order of the lines."""
    yield from sorted((node for node in ast.walk(tree) if isinstance(node, ast.Call)), key=lambda node: node.lineno)


def emitted() -> dict[Event, set[str]]:
    """Every event that `about` is given in the code, and the keys that are named with it."""
    found: dict[Event, set[str]] = defaultdict(set)
    for path in MODULES:
        for call in calls(ast.parse(path.read_text())):
            if isinstance(call.func, ast.Name) and call.func.id == "about":
                event = call.args[0]
                assert isinstance(event, ast.Attribute), f"{path.name}:{call.lineno}: name the event"
                found[Event[event.attr]] |= {word.arg for word in call.keywords if word.arg is not None}
    return found


def test_the_table_is_what_the_code_emits() -> None:
    found = emitted()
    assert sorted(found) == sorted(EVENTS) == sorted(Event)
    for event, keys in found.items():
        assert keys <= set(EVENTS[event].keys), event
        # The others are given as a mapping.
        assert not set(EVENTS[event].keys) - keys - {"network", "chassis", "interface", "tag", "reason", "ip", "mac",
            "mac_before", "chassis_before", "interface_before"}, event  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_every_line_has_an_event_of_its_level(path: Path) -> None:
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        latest = None
        for call in calls(function):
            if isinstance(call.func, ast.Name) and call.func.id == "about":
                assert isinstance(call.args[0], ast.Attribute)
                latest = Event[call.args[0].attr]
            if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "LOG":
                extra = next((word for word in call.keywords if word.arg == "extra"), None)
                assert extra is not None, f"{path.name}:{call.lineno} has no event"
                level = call.func.attr
                inner = [each for each in calls(extra.value) if isinstance(each.func, ast.Name)]
                if inner:
                    assert isinstance(inner[0].args[0], ast.Attribute)
                    latest = Event[inner[0].args[0].attr]
                if level in LEVELS and latest is not None:
                    assert level in EVENTS[latest].levels, f"{path.name}:{call.lineno}: {latest} at {level}"


def test_the_page_is_up_to_date(request: pytest.FixtureRequest) -> None:
    text = PAGE.read_text()
    if request.config.getoption("--golden"):
        PAGE.write_text(text := BLOCK.sub(lambda _: table(), text))
    assert BLOCK.findall(text) == [table()], "pytest tests/test_events.py --golden writes it anew"


def record(text: str, *values: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("overlay.x", logging.WARNING, "x.py", 1, text, values, None)
    made.__dict__.update(extra)
    return made


def test_a_line_of_json() -> None:
    extra = about(Event.PORT_REFUSED, network="rød", port=None, chassis="h1", interface="w\n1", tag=None)
    line = JsonFormatter().format(record("%s: %s", "h1/w\n1", 'a "conflict"', **extra))
    assert "\n" not in line
    found = json.loads(line)
    assert list(found)[:3] == ["time", "level", "event"]
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning", "event": "port-refused", "logger": "overlay.x", "network": "rød", "chassis": "h1",
        "interface": "w\n1", "message": 'h1/w\n1: a "conflict"',
    }  # fmt: skip


def test_a_library_s_line_and_an_exception() -> None:
    try:
        raise ValueError("wrong")
    except ValueError:
        made = record("went %s", "wrong")
        made.exc_info = sys.exc_info()
    found = json.loads(JsonFormatter().format(made))
    assert found["event"] == "library"
    assert "ValueError: wrong" in found["exception"]


def test_the_form_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not isinstance(formatter(), JsonFormatter)
    monkeypatch.setenv(VARIABLE, "json")
    assert isinstance(formatter(), JsonFormatter)
    monkeypatch.setenv(VARIABLE, "xml")
    with pytest.raises(ValueError, match=rf"OVERLAY_LOG: 'xml' is no form.*{FORMS[0]}"):
        formatter()
