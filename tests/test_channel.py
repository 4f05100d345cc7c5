"""What a switch is sent of a plan, when a part of it can't be sent at all: the rest, and who reads it is told."""

from __future__ import annotations

from typing import Any

from controller import wire
from controller.channel import Channel
from flows.flow import Output, flow
from flows.plan import plan, removable
from flows.tables import CLASSIFY, FLOOD, Kind


class Switch:
    """Takes messages and answers every barrier at once."""

    address = ("198.51.100.1", 6653)

    def __init__(self) -> None:
        self.xid = 0
        self.took: list[bytes] = []
        self.channel = Channel(self)

    def send(self, sent: bytes) -> bool:
        while sent:
            length = int.from_bytes(sent[2:4], "big")
            message, sent = sent[:length], sent[length:]
            if message[1] == wire.BARRIER_REQUEST:
                self.channel.on_reply(_Barrier(int.from_bytes(message[4:8], "big")))
            else:
                self.took.append(message)
        return True


class _Barrier:
    def __init__(self, xid: int) -> None:
        self.xid = xid


def _flow(vni: int, outputs: int, table: Any = FLOOD, kind: Kind = Kind.FLOOD_FROM_PORT) -> Any:
    match = {"metadata": vni} if table is FLOOD else {"in_port": vni}
    return flow(table, kind, 100, match, [Output(port) for port in range(1, outputs + 1)])


def test_a_flow_that_does_not_fit_is_refused_and_the_others_are_sent() -> None:
    switch = Switch()
    small, huge, other = _flow(1, 4), _flow(2, 5000), _flow(3, 1, CLASSIFY, Kind.LOCAL_PORT)
    refused, _ = switch.channel.apply(plan([small, huge, other], set()))
    assert list(refused) == [huge.key]
    assert "5000 actions of 80000 bytes" in refused[huge.key]
    cookies = {int.from_bytes(message[8:16], "big") for message in switch.took}
    assert cookies == {small.cookie, other.cookie}


def test_of_a_list_of_members_that_does_not_fit_the_one_before_stays() -> None:
    switch = Switch()
    before, huge, gone = _flow(2, 4), _flow(2, 5000), _flow(3, 1, CLASSIFY, Kind.LOCAL_PORT)
    todo = plan([huge], {before.key, gone.key})
    refused, _ = switch.channel.apply(todo)
    assert [message[25] for message in switch.took] == [wire.DELETE]
    assert int.from_bytes(switch.took[0][8:16], "big") == gone.cookie
    assert removable(todo, refused) == (gone.key,)
    assert set(removable(todo, {})) == {before.key, gone.key}
