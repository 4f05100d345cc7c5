"""A switch that sends more than its share, byte for byte through a connection: nobody else pays for it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from controller import framing, listener
from controller.listener import PACKET_INS_AT_ONCE, TURN, Connection
from tests.test_framing import HELLO, IN_PORT, METADATA, features, message, packet_in

PACKET = packet_in(IN_PORT + METADATA)
ECHO = message(2)


class Socket:
    """Gives what a switch sends, as much at once as is asked for, and then nothing any more."""

    def __init__(self, *sent: bytes) -> None:
        self.left = b"".join(sent)

    def settimeout(self, _: float | None) -> None:
        pass

    def recv(self, size: int) -> bytes:
        found, self.left = self.left[:size], self.left[size:]
        return found


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the connection rested, each time that it let the others have their turn."""
    found: list[float] = []
    monkeypatch.setattr(listener.hub, "sleep", found.append)
    return found


def handed_on(*sent: bytes) -> list[list[bytes]]:
    """The messages that Ryu gets of a switch, apart by the turns in which it gets them."""
    connection = Connection(Socket(HELLO + features(1), *sent), time.monotonic() + 60, lambda datapath: None)
    # It is admitted by its first piece: what comes with that is dropped.
    connection._opened.left, rest = (
        connection._opened.left[: len(HELLO) + 32],
        connection._opened.left[len(HELLO) + 32 :],
    )
    turns: list[list[bytes]] = [_apart(connection.recv(0))]
    connection._opened.left = rest
    while found := connection.recv(0):
        turns.append(_apart(found))
    return turns[1:]


def _apart(data: bytes) -> list[bytes]:
    found: Any = []
    while data:
        length = int.from_bytes(data[2:4], "big")
        found.append(data[:length])
        data = data[length:]
    return list(found)


def test_packet_ins_beyond_what_a_switch_may_send_are_not_looked_at(paused: list[float]) -> None:
    turns = handed_on(*[PACKET] * 20_000, ECHO)
    packets = [each for turn in turns for each in turn if framing.is_packet_in(each)]
    assert PACKET_INS_AT_ONCE <= len(packets) < 2 * PACKET_INS_AT_ONCE
    assert turns[-1][-1] == ECHO, "what else it sends is taken"
    assert sum(paused) >= 20_000 * len(PACKET) / listener.CHUNK * listener.BEYOND_S * 0.7, "it is read more slowly"


def test_the_others_have_their_turn_after_a_few_messages(paused: list[float]) -> None:
    turns = handed_on(*[ECHO] * 1000)
    assert sum(map(len, turns)) == 1000
    assert max(map(len, turns)) == TURN
    assert len(paused) >= len(turns)


def test_what_a_good_switch_sends_is_all_taken_and_at_once(paused: list[float]) -> None:
    """The answers to ten thousand flow mods, all refused, and a burst of packets to learn from."""
    errors = [message(1, bytes((0, 5, 0, 1)) + bytes(64))] * 10_000
    turns = handed_on(*errors, *[PACKET] * 400)
    assert sum(map(len, turns)) == 10_400
    assert not any(paused)


def test_whoever_sends_without_end_is_read_more_slowly(paused: list[float]) -> None:
    handed_on(*[ECHO] * 60_000)
    assert sum(paused) > 30
