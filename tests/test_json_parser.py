"""Our JSON parser for python-ovs sees what python-ovs' own sees, however the text arrives."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovsdb import json_parser
from ovsdb.json_parser import Parser, original

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)
MESSAGES = st.lists(VALUES, max_size=4) | st.dictionaries(st.text(), VALUES, max_size=4)
STRINGS = st.text(alphabet='"\\{}[]u:, ab\x00é', max_size=8)
TRICKY = st.dictionaries(STRINGS, st.lists(STRINGS, max_size=3), max_size=4)


def parsed(make: Any, pieces: list[str]) -> list[Any]:
    """The messages in a stream, as `ovs.jsonrpc.Connection.recv` gets them, and what is left."""
    messages, current, fed = [], None, ""
    for piece in pieces:
        rest = piece
        while rest:
            current = current or make()
            taken = current.feed(rest)
            fed, rest = fed + rest[:taken], rest[taken:]
            if current.is_done():
                messages.append(current.finish())
                if isinstance(messages[-1], str):  # an error, and the end of the connection
                    return messages
                current, fed = None, ""
            elif not taken:
                break
    return [messages, fed.strip()]


def pieces(text: str, cuts: list[int]) -> list[str]:
    ends = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[begin:end] for begin, end in itertools.pairwise(ends)]


@given(st.lists(MESSAGES | TRICKY, max_size=4), st.lists(st.integers(0, 10_000)), st.booleans())
def test_any_messages_in_any_pieces(messages: list[Any], cuts: list[int], ascii_only: bool) -> None:
    text = "\n ".join(json.dumps(message, ensure_ascii=ascii_only) for message in messages)
    assert parsed(Parser, pieces(text, cuts)) == parsed(original, pieces(text, cuts))


@given(TRICKY)
def test_one_character_at_a_time(message: Any) -> None:
    text = json.dumps(message, ensure_ascii=False) * 2
    assert parsed(Parser, list(text)) == parsed(original, list(text))


@pytest.mark.parametrize(
    "text",
    [
        "[1.0, 2.5, 1e3, -0, 0.0, 9223372036854775807, 9223372036854775808, -9223372036854775808]",
        '["\\ud83d\\ude00", "\\u00e4", "\\/\\b\\f\\n\\r\\t"]',
        '{"a": 1, "a": 2}',
        " \r\n\t[ ] ",
        "[" * 890 + "]" * 890,
        "[" * 901 + "]" * 901,
    ],
)
def test_what_is_told_otherwise_elsewhere(text: str) -> None:
    assert parsed(Parser, [text]) == parsed(original, [text])
    numbers = parsed(Parser, [text])[0][0]
    assert list(map(type, numbers)) == list(map(type, parsed(original, [text])[0][0]))


@pytest.mark.parametrize(
    "text",
    [
        "[NaN]",
        "[Infinity]",
        "[01]",
        '["\\u0000"]',
        '["\\ud800"]',
        '{"a" 1}',
        "[1,]",
        '["\x01"]',
        "[tru]",
        "[" * 1001 + "]" * 1001,
        "HTTP/1.1 400",
        "x",
    ],
)
def test_what_is_no_message(text: str) -> None:
    """An answer that is text is an error to `ovs.jsonrpc`, with the original's words."""
    theirs = original()
    theirs.feed(text)
    ours = Parser()
    ours.feed(text)
    assert ours.is_done()
    assert isinstance(ours.finish(), str)
    assert theirs.finish() == ours.finish()


def test_python_ovs_uses_it() -> None:
    import ovs.json

    import ovsdb.session  # noqa: F401 - installs it

    if ovs.json.PARSER == ovs.json.PARSER_PY:
        assert ovs.json.Parser is json_parser.Parser
    assert ovs.json.from_string('{"a": [1]} ') == {"a": [1]}
    assert isinstance(ovs.json.from_string('{"a": [1]} x'), str)
