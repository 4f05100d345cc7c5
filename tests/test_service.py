"""What the supervisor is told of loops: who does not turn is noticed, who is stopped as a whole is not to blame."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller import service
from controller.service import STUCK_TURNS, Turns, notify


@dataclass
class Loop:
    turns: int = 0


def test_a_loop_that_does_not_turn_is_stuck() -> None:
    turns, good, bad = Turns(), Loop(), Loop()
    for _ in range(STUCK_TURNS):
        good.turns += 1
        assert turns.look({"good": good, "bad": bad}) == []
    assert turns.look({"good": good, "bad": bad}) == ["bad"]
    bad.turns += 1
    assert turns.look({"good": good, "bad": bad}) == []


def test_a_loop_that_is_gone_is_not_stuck_and_another_of_its_name_begins_anew() -> None:
    turns, loop = Turns(), Loop()
    for _ in range(STUCK_TURNS + 5):
        turns.look({"h1": loop})
    assert turns.look({}) == []
    assert turns.look({"h1": loop}) == []


@pytest.mark.parametrize("abstract", [False, True])
def test_told_by_datagram(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"@overlay-test-{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind("\0" + place[1:] if abstract else place)
        monkeypatch.setenv(service.SOCKET, place)
        assert notify("READY=1", "STATUS=serving")
        assert supervisor.recv(100) == b"READY=1\nSTATUS=serving"
    if not abstract:
        assert not notify("WATCHDOG=1"), "nobody is there any more, which is no error"
    monkeypatch.delenv(service.SOCKET)
    assert not notify("WATCHDOG=1")
