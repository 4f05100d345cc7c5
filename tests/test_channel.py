"""What a switch is sent of a plan, when a part of it can't be sent at all: the rest, and who reads it is told."""

from __future__ import annotations

from typing import Any

import pytest
from ryu.ofproto import ofproto_v1_4_parser as parser

from controller import channel as channel_module
from controller import wire
from controller.channel import Channel, ChannelError
from controller.reconciler import _refusal
from flows.flow import Output, flow
from flows.meters import MeterPlan
from flows.model import Network, Overlay
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


class _Barrier(parser.OFPBarrierReply):
    def __init__(self, xid: int) -> None:
        super().__init__(None)
        self.xid = xid


class _Refusal:
    type, code = 12, 1

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


def test_what_is_refused_is_named_with_its_network_and_briefly() -> None:
    overlay = Overlay(networks={"red": Network("red", "acme", 2)})
    said = _refusal(overlay, _flow(2, 5000), "5000 actions of 80000 bytes do not fit in a flow mod")
    assert said.startswith("network 'red': flow refused (5000 actions of 80000 bytes do not fit")
    assert "have its ports on fewer chassis" in said
    assert len(said) < 1000
    assert "fewer" not in _refusal(overlay, _flow(3, 1), "type 5 code 1")


def test_a_meter_that_is_refused_is_told_beside_the_flows() -> None:
    switch = Switch()
    flows = [_flow(1, 1)]
    metering = MeterPlan(adds=((5, (100, 100)),), changes=((6, (1, 1)),))
    original = switch.send

    def refusing(sent: bytes) -> bool:
        if sent[1] == wire.METER_MOD:
            switch.channel.on_error(_Refusal(int.from_bytes(sent[4:8], "big")))
        return original(sent)

    switch.send = refusing  # type: ignore[method-assign]
    refused, unmetered = switch.channel.apply(plan(flows, set()), metering)
    assert refused == {}
    assert unmetered == {5: "type 12 code 1"}
    assert [message[1] for message in switch.took] == [wire.METER_MOD, wire.METER_MOD, wire.FLOW_MOD]


class Liar:
    """A switch that answers every question with messages of its own choice."""

    address = ("198.51.100.1", 6653)

    def __init__(self, *answers: Any) -> None:
        self.xid = 0
        self.answers = answers
        self.closed = False
        self.send_q = None
        self.channel = Channel(self)

    def send(self, sent: bytes) -> bool:
        for answer in self.answers:
            answer.xid = self.xid
            self.channel.on_reply(answer)
        return True

    def close(self) -> None:
        self.closed = True


def _stats(flags: int = 0) -> Any:
    reply = parser.OFPFlowStatsReply(None)
    reply.flags, reply.body = flags, []
    return reply


def test_a_switch_that_answers_something_else_loses_its_connection_and_nothing_more() -> None:
    """Each ended the whole controller: what came was taken for what was asked for."""
    barrier = parser.OFPBarrierReply(None)
    updates = parser.OFPFlowMonitorReply(None)
    updates.flags, updates.body = 0, [1, 2]
    for ask, answer in (
        (lambda channel: channel.stats(), barrier),
        (lambda channel: channel.stats(), updates),
        (lambda channel: channel.read_meters(), _stats()),
        (lambda channel: channel.apply(plan([_flow(1, 1)], set())), _stats()),
    ):
        switch = Liar(answer)
        with pytest.raises(ChannelError, match=r"it answered with .*, not "):
            ask(switch.channel)
        assert switch.closed


def test_an_answer_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MOST_PARTS", 3)
    assert Liar(_stats(1), _stats(1), _stats()).channel.stats() == []
    switch = Liar(_stats(1), _stats(1), _stats(1), _stats(1))
    with pytest.raises(ChannelError, match="more than 3 messages"):
        switch.channel.stats()
    assert switch.closed


def test_errors_about_what_was_never_sent_are_not_kept() -> None:
    switch = Switch()
    for xid in range(1000, 2000):
        switch.channel.on_error(_Refusal(xid))
    assert not switch.channel._refused
