"""One switch's OpenFlow connection: reads which of our flows it has, and applies a plan.

Flows go out as bytes of our own making; Ryu keeps the connection and hands back what arrives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from struct import Struct
from typing import Any, Final

from ryu.lib import hub
from ryu.ofproto import ofproto_v1_4
from ryu.ofproto import ofproto_v1_4_parser as parser

from controller import settings_bytes, wire
from controller.events import Event, about
from flows import text
from flows.flow import KIND_SHIFT, OWNER_COOKIE, OWNER_MASK, Action
from flows.meters import MeterPlan, Rate
from flows.plan import LEARNED_TABLES, Key, Plan, removable
from flows.tables import PIPELINE, Kind

LOG: Final = logging.getLogger("overlay.channel")
ANSWER_S: Final = 15
"""Seconds a switch may take to answer before it counts as hung."""
MOST_PARTS: Final = 2048
"""Messages that one answer may have, 64 KiB each: 300 000 flows and more. One without end would fill our memory."""
_CHUNK: Final = 65536
"""Bytes of flow mods handed to Ryu's queue at once (it holds 16 such pieces)."""


def _read_multipart(*read: Any) -> Any:
    """A multipart reply as Ryu reads it; of flow stats only the fixed part of each entry, of meters those like ours.

    Ryu would parse match and actions of each flow, at a hundred times the cost, and fail on those it does
    not know.
    """
    datapath, *header, message = read
    part, flags = _MULTIPART.unpack_from(message, ofproto_v1_4.OFP_HEADER_SIZE)
    if part not in _OWN:
        return _READ_BY_RYU(*read)
    kind, parse = _OWN[part]
    reply = kind(datapath)
    reply.set_headers(*header)
    reply.set_buf(message)
    reply.flags = flags
    reply.body = parse(bytes(message[ofproto_v1_4.OFP_MULTIPART_REPLY_SIZE :]))
    return reply


_MULTIPART: Final = Struct("!HH")
_OWN: Final[dict[int, tuple[Any, Callable[[bytes], Any]]]] = {
    ofproto_v1_4.OFPMP_FLOW: (parser.OFPFlowStatsReply, wire.parse_flow_stats),
    ofproto_v1_4.OFPMP_METER: (parser.OFPMeterStatsReply, wire.parse_meter_stats),
    ofproto_v1_4.OFPMP_FLOW_MONITOR: (parser.OFPFlowMonitorReply, wire.parse_flow_updates),
    ofproto_v1_4.OFPMP_PORT_DESC: (parser.OFPPortDescStatsReply, settings_bytes.parse_ports),
    ofproto_v1_4.OFPMP_METER_CONFIG: (parser.OFPMeterConfigStatsReply, wire.parse_meter_config),
}
_READ_BY_RYU: Final = parser._MSG_PARSERS[ofproto_v1_4.OFPT_MULTIPART_REPLY]
parser._MSG_PARSERS[ofproto_v1_4.OFPT_MULTIPART_REPLY] = _read_multipart


_STALE: Final = f"type {ofproto_v1_4.OFPET_ROLE_REQUEST_FAILED} code {ofproto_v1_4.OFPRRFC_STALE}"
_IS_SLAVE: Final = f"type {ofproto_v1_4.OFPET_BAD_REQUEST} code {ofproto_v1_4.OFPBRC_IS_SLAVE}"
_NO_METERS: Final = MeterPlan()


class ChannelError(Exception):
    """The switch did not answer, or is gone."""


class DemotedError(ChannelError):
    """Another controller is the switch's master."""


class StaleError(ChannelError):
    """The switch has seen a later generation of masters: `generation`."""

    def __init__(self, generation: int) -> None:
        super().__init__(f"the switch has seen generation {generation}")
        self.generation = generation


Role = tuple[int, int]
"""A role (OpenFlow 1.4, `OFPCR_ROLE_...`) and the generation for which it was asked."""
MASTER: Final = ofproto_v1_4.OFPCR_ROLE_MASTER
SLAVE: Final = ofproto_v1_4.OFPCR_ROLE_SLAVE


class Channel:
    """The connection to one switch, from its handshake to its end. `role` is what we are there, None while unknown."""

    def __init__(self, datapath: Any) -> None:
        self._datapath = datapath
        self._replies: dict[int, hub.Queue] = {}
        self._refused: dict[int, str] = {}
        self._watched = False
        self._demoted = False
        self.role: Role | None = None
        self._sent: dict[int, int] = {}

    @property
    def behind(self) -> bool:
        """Whether so much waits to be sent that whoever sends more waits too: the switch does not take it."""
        waiting = self._datapath.send_q
        return waiting is None or waiting.full()

    def take_role(self, role: Role) -> None:
        """Ask to be master or slave (section 6.3.6). Raises StaleError, ChannelError."""
        kind, generation = role
        try:
            self._ask_role(kind, generation)
        except ChannelError as error:
            if str(error) != _STALE:
                raise
            seen = self._ask_role(ofproto_v1_4.OFPCR_ROLE_NOCHANGE, 0)
            raise StaleError(seen) from None
        self.role, self._demoted = role, False

    def demoted(self) -> None:
        """The switch has told that another controller is its master now."""
        self.role, self._demoted = None, True

    def _ask_role(self, kind: int, generation: int) -> int:
        """The generation that the switch has seen then."""
        xid, replies = self._expect()
        try:
            request = parser.OFPRoleRequest(self._datapath, kind, generation)
            request.set_xid(xid)
            request.serialize()
            self._send(bytes(request.buf))
            return int(self._wait(replies, parser.OFPRoleReply).generation_id)
        finally:
            del self._replies[xid]

    def watch(self) -> None:
        """Ask to be told when somebody else changes a flow, but for those that the switch learns. Raises ChannelError.

        What it then tells comes as messages that answer nothing.
        """
        if self._watched:
            return
        self._watched = True
        tables = [table.id for table in PIPELINE if table.id not in LEARNED_TABLES]
        for _ in self._ask(parser.OFPFlowMonitorReply, lambda xid: wire.flow_monitor_request(xid, tables)):
            pass

    def stats(self, kind: Kind | None = None, *, everybody: bool = False) -> list[wire.FlowStats]:
        """Our flows on the switch with their counters, of one kind where one is named, or `everybody`'s.

        Raises ChannelError.
        """
        cookie, mask = (0, 0) if everybody else (OWNER_COOKIE, OWNER_MASK)
        if kind is not None:
            cookie, mask = cookie | kind << KIND_SHIFT, mask | 0xFF << KIND_SHIFT
        parts = self._ask(parser.OFPFlowStatsReply, lambda xid: wire.flow_stats_request(xid, cookie, mask))
        return [row for part in parts for row in part]

    def read_meters(self) -> dict[int, Rate | None]:
        """All meters on the switch, as `meters.Found`. Raises ChannelError."""
        found: dict[int, Rate | None] = {}
        for part in self._ask(parser.OFPMeterConfigStatsReply, wire.meter_config_request):
            found.update(part)
        return found

    def meter_stats(self) -> list[wire.MeterStats]:
        """The counters of each meter on the switch. Raises ChannelError."""
        parts = self._ask(parser.OFPMeterStatsReply, wire.meter_stats_request)
        return [row for part in parts for row in part]

    def ports(self) -> list[settings_bytes.PortSettings]:
        """All ports of the switch, and what they are set to. Raises ChannelError."""
        parts = self._ask(parser.OFPPortDescStatsReply, settings_bytes.ports_request)
        return [port for part in parts for port in part]

    def fragments(self) -> int:
        """How the switch handles fragments, one of `settings_bytes.FRAGMENTS`. Raises ChannelError."""
        xid, replies = self._expect()
        try:
            self._send(settings_bytes.config_request(xid))
            return int(self._wait(replies, parser.OFPGetConfigReply).flags)
        finally:
            del self._replies[xid]

    def set_back(self, ports: Iterable[settings_bytes.PortSettings], fragments: bool) -> None:
        """Set these ports to nothing, and with `fragments` have them handled as flows say. Raises ChannelError."""
        messages = [(settings_bytes.port_mod(port, xid), xid) for port, xid in self._numbered(ports)]
        if fragments:
            messages += [(settings_bytes.set_config(xid), xid) for _, xid in self._numbered((fragments,))]
        self._send_all(messages)

    def delete_meters(self, plan: MeterPlan) -> None:
        """Delete meters; the flows that used them must be gone. Raises ChannelError."""
        if plan.deletes:
            numbered = self._numbered(plan.deletes)
            self._send_all((wire.meter_mod(wire.METER_DELETE, id, xid=xid), xid) for id, xid in numbered)

    def apply(self, plan: Plan, metering: MeterPlan = _NO_METERS) -> tuple[dict[Key, str], dict[int, str]]:
        """Send meters and adds, a barrier, deletes, a barrier; flows and meters that were refused, with the reason.

        A flow whose meter was refused is refused as well. Raises ChannelError; what was sent by then may or may not
        have been applied.
        """
        refused: dict[Key, str] = {}
        unmetered: dict[int, str] = {}
        sent: list[tuple[dict[Any, str], Any]] = []

        def messages() -> Iterator[tuple[bytes, int]]:
            for command, steps in ((wire.METER_ADD, metering.adds), (wire.METER_MODIFY, metering.changes)):
                for (id, rate), xid in self._numbered(steps):
                    sent.append((unmetered, id))
                    yield wire.meter_mod(command, id, *rate, xid=xid), xid
            for flow, xid in self._numbered(plan.adds):
                try:
                    message = wire.flow_mod_add(flow, xid)
                except ValueError as error:  # too long: the others are none the worse for it
                    refused[flow.key] = str(error)
                    continue
                sent.append((refused, flow.key))
                yield message, xid

        if plan.adds or metering.adds or metering.changes:
            for place, reason in self._send_all(messages()).items():
                by, what = sent[place]
                by[what] = reason
            self._tell(plan, refused, unmetered)
        deletes = removable(plan, refused)
        if deletes:
            self._send_all((wire.flow_mod_delete(key, xid), xid) for key, xid in self._numbered(deletes))
        return refused, unmetered

    def _tell(self, plan: Plan, refused: dict[Key, str], unmetered: dict[int, str]) -> None:
        """Log what was refused."""
        who = self._datapath.address[0]
        for id, reason in sorted(unmetered.items()):
            extra = about(Event.METER_REFUSED, address=who, meter=id, reason=reason)
            LOG.error("%s: meter %d refused (%s)", who, id, reason, extra=extra)
        for flow in plan.adds if refused else ():
            if flow.key in refused:
                reason, brief = refused[flow.key], text.brief(flow)
                extra = about(Event.FLOW_REFUSED, address=who, flow=brief, reason=reason)
                LOG.error("%s: flow refused (%s): %s", who, reason, brief, extra=extra)

    def delete(self, rows: Iterable[wire.FlowStats]) -> None:
        """Delete just these flows that were read, whatever others have their cookies. Raises ChannelError."""
        self._send_all((wire.flow_mod_delete_strict(row, xid), xid) for row, xid in self._numbered(rows))

    def send_packet(self, frame: bytes, actions: Iterable[Action]) -> None:
        """Let the switch send a packet. Raises ChannelError."""
        self.send_packets([(frame, actions)])

    def send_packets(self, packets: Iterable[tuple[bytes, Iterable[Action]]]) -> None:
        """Let the switch send packets, each with its actions. Raises ChannelError."""
        self._send(b"".join(wire.packet_out(*packet, self._next_xid()) for packet in packets))

    def close(self) -> None:
        """End the connection; the switch comes back by itself."""
        self._datapath.close()

    def on_reply(self, message: Any) -> None:
        """Take a reply: of flow stats, meters, or to a barrier."""
        waiting = self._replies.get(message.xid)
        if waiting is not None:
            waiting.put(message)

    def on_error(self, message: Any) -> None:
        """Take an error message."""
        reason = f"type {message.type} code {message.code}"
        if message.xid in self._sent:  # of what was never sent nothing is kept, however much of it comes
            self._refused[message.xid] = reason
        if reason == _IS_SLAVE:
            self.demoted()
        waiting = self._replies.get(message.xid)
        if waiting is not None:
            waiting.put(ChannelError(reason))

    def counts(self) -> dict[str, int]:
        """How much waits: messages for Ryu to send, and requests for an answer."""
        queue = self._datapath.send_q  # None when the connection has ended
        return {"send_queue": queue.qsize() if queue is not None else 0, "unanswered": len(self._replies)}

    def on_end(self) -> None:
        """Take the end of the connection: nobody waits any longer."""
        for waiting in self._replies.values():
            waiting.put(ChannelError("the connection ended"))

    def _numbered(self, things: Iterable[Any]) -> Iterable[tuple[Any, int]]:
        return ((thing, self._next_xid()) for thing in things)

    def _send_all(self, messages: Iterable[tuple[bytes, int]]) -> dict[int, str]:
        """Send and wait until all took effect; the errors by the message's place in order."""
        self._refused.clear()
        self._sent = xids = {}
        chunk = bytearray()
        for place, (message, xid) in enumerate(messages):
            xids[xid] = place
            chunk += message
            if len(chunk) >= _CHUNK:
                self._send(bytes(chunk))
                chunk.clear()
        xid, replies = self._expect()
        try:
            self._send(bytes(chunk) + wire.barrier_request(xid))
            self._wait(replies, parser.OFPBarrierReply)
        finally:
            del self._replies[xid]
        if self._demoted:
            raise DemotedError("another controller is master of the switch")
        return {xids[xid]: reason for xid, reason in self._refused.items() if xid in xids}

    def _ask(self, answer: type[Any], request: Callable[[int], bytes]) -> Iterable[Any]:
        """The bodies of all parts of the answer, which is of that class, to a request, made with its number."""
        xid, replies = self._expect()
        try:
            self._send(request(xid))
            for _ in range(MOST_PARTS):
                message = self._wait(replies, answer)
                yield message.body
                if not message.flags & ofproto_v1_4.OFPMPF_REPLY_MORE:
                    return
            raise self.broken(f"its answer has more than {MOST_PARTS} messages")
        finally:
            del self._replies[xid]

    def _expect(self) -> tuple[int, hub.Queue]:
        xid = self._next_xid()
        self._replies[xid] = hub.Queue()
        return xid, self._replies[xid]

    def broken(self, why: str) -> ChannelError:
        """The error to raise when the switch says what none says; the connection is ended."""
        self.close()
        return ChannelError(why)

    def _wait(self, replies: hub.Queue, answer: type[Any]) -> Any:
        try:
            message = replies.get(timeout=ANSWER_S)
        except hub.QueueEmpty:
            raise self.broken(f"no answer within {ANSWER_S} s") from None
        if isinstance(message, ChannelError):
            raise message
        if not isinstance(message, answer):
            raise self.broken(f"it answered with {type(message).__name__[3:]}, not {answer.__name__[3:]}")
        return message

    def _send(self, message: bytes) -> None:
        if not self._datapath.send(message):
            raise ChannelError("the connection ended")

    def _next_xid(self) -> int:
        # Ryu's own counter, so that its messages and ours never share a number.
        self._datapath.xid = (self._datapath.xid + 1) & 0xFFFFFFFF
        return self._datapath.xid
