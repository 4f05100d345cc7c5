"""A character that arrives in two pieces breaks no connection to a database."""

from __future__ import annotations

import errno
import socket
import time

import ovs.jsonrpc
import ovs.stream
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovsdb import session  # noqa: F401 - installs it
from ovsdb.whole_characters import end_of_characters


@given(st.text(), st.integers(0, 64))
def test_what_is_kept_back_is_less_than_a_character(text: str, cut: int) -> None:
    data = text.encode()[:cut]
    end = end_of_characters(data)
    assert len(data) - end < 4
    assert data[:end].decode() == text[: len(data[:end].decode())]


def test_what_is_no_utf8_is_not_kept() -> None:
    assert end_of_characters(b"\x80" * 9) == 9
    assert end_of_characters(b"a\xff\xfe") <= 3


@pytest.mark.parametrize("pause", [1, 2, 3])
def test_a_message_in_pieces(pause: int) -> None:
    message = '{"id":1,"result":["é€😀"],"error":null}'.encode()
    here, there = socket.socketpair()
    here.setblocking(False)
    connection = ovs.jsonrpc.Connection(ovs.stream.Stream(here, "unix:test", 0))
    received = None
    for start in range(0, len(message), pause):
        there.send(message[start : start + pause])
        time.sleep(0.001)
        error, found = connection.recv()
        assert error in (0, errno.EAGAIN)
        received = received or found
    assert received is not None
    assert received.result == ["é€😀"]
    connection.close()
    there.close()
