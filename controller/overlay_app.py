"""The Ryu application, started with `ryu-manager overlay_app`: handlers only, and what they wake.

Configuration is by environment (`OVERLAY_DB`, `OVERLAY_PKI`, `OVERLAY_DBDIR`, `OVERLAY_RUNDIR`, `OVERLAY_LOG`,
`OVERLAY_NAME`, `OVERLAY_OPENFLOW`); none is needed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import traceback
import uuid
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub
from ryu.ofproto import ofproto_v1_4

from controller import too_large
from controller.admission import Peer, admit
from controller.budget import Budget
from controller.channel import Channel, ChannelError
from controller.dial_in import DialIn
from controller.events import Event, about
from controller.heard import Heard, Told
from controller.journal import Journal
from controller.listener import Contexts, Listener, handshake
from controller.log_format import formatter
from controller.packet_in import parse_neighbor
from controller.reconciler import Reconciler
from controller.service import Service, Turning
from controller.sessions import ChassisSession, OverlaySession
from controller.shares import Shares
from controller.state import State
from flows.flow import Output, kind_of
from flows.tables import IN_TAG, LIMIT, Kind
from ovsdb import embedded, paths, remotes, rpc, tls, upgrade
from ovsdb.remotes import OPENFLOW_PORT
from ovsdb.shared import NameTakenError
from ovsdb.wanted import Listens, datapath_id

LOG: Final = logging.getLogger("overlay.app")
DIAL_IN_RETRY_S: Final = 1.0
LEARNING_SHARE: Final = 0.1
LEARNING_SAVED_S: Final = 1.0
"""The share of the time in which chassis act on newly learned neighbors, and the seconds of it that may be saved up."""
ROUND_S: Final = 1.0
"""Seconds after which a chassis is not waited for that has not done so."""
DIED: Final = 70
"""Exit status when one of our loops died (EX_SOFTWARE)."""
NAME_TAKEN: Final = 78
"""Exit status when a controller that began later has our name (EX_CONFIG): the units don't start it again then."""


class OverlayApp(app_manager.RyuApp):
    """The controller: an overlay database in, flows on every chassis out."""

    OFP_VERSIONS: Final = [ofproto_v1_4.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Ryu's defaults never notice a switch that went silent.
        self.CONF.set_default("echo_request_interval", 3.0)
        self.CONF.set_default("maximum_unreplied_echo_requests", 2)
        timed_log()
        self._contexts = contexts()
        self._listens = openflow_ports(self.CONF, self._contexts is not None)
        self._state = State(self._changed, self._noted, shares=shares(self._listens))
        self._journal = Journal(self._state)
        self._reconcilers: dict[str, Reconciler] = {}
        self._sessions: dict[str, ChassisSession] = {}
        self._channels: dict[Any, tuple[str, Channel]] = {}
        self._answered = too_large.Answered()
        self._heard = Heard()
        self._hearing = hub.Event()
        self._server: embedded.EmbeddedServer | None = None
        database = self._database()
        self._listen_for_switches()
        self._overlay = OverlaySession(database, self._state, self._listens)
        spawn(self._overlay.run)
        spawn(self._learn)
        self._listen_for_chassis()
        self._service = Service(self._loops, lambda: self._overlay.in_sync, self._counts)
        spawn(self._service.run)
        spawn(self._journal.run)

    def _loops(self) -> dict[str, Turning]:
        """The loops that go on turning, by what they are about."""
        found: dict[str, Turning] = {"overlay database": self._overlay, "journal": self._journal}
        found |= {f"{name}'s database": session for name, session in self._sessions.items()}
        return found | {f"{name}'s switch": reconciler for name, reconciler in self._reconcilers.items()}

    def _counts(self) -> dict[str, int]:
        """How much is kept and waits, of everything that could grow."""
        state = self._state
        found = Counter(
            events=self.events.qsize(),
            channels=len(self._channels),
            reconcilers=len(self._reconcilers),
            sessions=len(self._sessions),
            bindings=len(state.overlay.bindings),
            neighbors=len(state.neighbors),
            remembered=len(state.since) + len(state.drops) + len(state.pending),
        )
        parts = [*self._reconcilers.values(), *self._sessions.values(), self._overlay]
        for part in (*parts, *(channel for _, channel in self._channels.values())):
            found.update(part.counts())
        return dict(found)

    def _database(self) -> str:
        """The overlay database's remote: the one named, else that of a child of ours."""
        named = paths.named_database()
        try:
            if named:
                return check_named(named)
            self._server = embedded.start(paths.database_path(), paths.socket_path())
        except embedded.DatabaseError as error:
            sys.exit(f"overlay_app: {error}")
        extra = about(Event.DATABASE, remote=self._server.remote, state="served")
        LOG.info("overlay database %s", self._server.remote, extra=extra)
        spawn(self._watch_server)
        return self._server.remote

    def _listen_for_chassis(self) -> None:
        """Let chassis dial in, where that is wanted and the port is free."""
        try:
            place = paths.dial_in()
        except ValueError as error:
            sys.exit(f"overlay_app: {error}")
        if place is None:
            return
        spawn(lambda: self._serve_dial_in(place))

    def _serve_dial_in(self, place: tuple[str, int]) -> None:
        """Listen as soon as nobody else does: beside a controller on this host we stand by, and may follow it."""
        family, told = socket.AF_INET6 if ":" in place[0] else socket.AF_INET, False
        while True:
            try:
                listening = socket.create_server(place, family=family)
                break
            except OSError as error:
                if not told:
                    extra = about(Event.NOT_LISTENING, address=place[0], port=place[1], reason=error.strerror)
                    LOG.warning("chassis can't dial in at %s port %d yet: %s", *place, error.strerror, extra=extra)
                told = True
                hub.sleep(DIAL_IN_RETRY_S)
        DialIn(listening, self._state, self._arrived, self._secure).run()

    def _secure(self, connection: Any) -> tuple[Any, str | None]:
        """A connection that a chassis made, with TLS where we have certificates."""
        return handshake(connection, self._contexts) if self._contexts is not None else (connection, None)

    def _listen_for_switches(self) -> None:
        listener = Listener(self._admit, self._state.turn_away, self._contexts)
        for port, secure in ((self._listens.plain, False), (self._listens.secure, True)):
            if port is None:
                continue
            try:
                listener.listen(self.CONF.ofp_listen_host, port, secure)
            except OSError as error:
                self.close()
                option = "--ofp-ssl-listen-port" if secure else "--ofp-tcp-listen-port"
                sys.exit(
                    f"overlay_app: can't listen for switches on TCP port {port}: {os.strerror(error.errno or 0)}; "
                    f"end what listens there (another controller? ss -ltnp shows it), or choose another with {option}"
                )
        listener.stand_in(spawn)

    def _admit(self, datapath: int, peer: Peer) -> tuple[str, str] | None:
        """The chassis of a datapath id, and why its connection is refused; None while nothing was read yet."""
        declared = self._state.declared
        if declared is None:
            return None
        rows = {name: row for name, row in declared.chassis.items() if name in self._reconcilers}
        dialled = {name: session.peer_address for name, session in self._sessions.items()}
        return admit(datapath, peer, rows, {name: address for name, address in dialled.items() if address})

    def _arrived(self, name: str) -> None:
        """A chassis that dials in has done so."""
        if name in self._sessions:
            self._sessions[name].wake()

    def _watch_server(self) -> None:
        while self._server is not None:
            end = self._server.poll()
            if end is not None:
                raise embedded.EndedError(end)
            hub.sleep(1)

    def close(self) -> None:
        """Ryu calls this when it ends."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _changed(self) -> None:
        """The overlay is another: everybody looks what that means for them."""
        declared = self._state.declared
        rows = declared.chassis if declared is not None else {}
        for name in self._reconcilers.keys() - rows.keys():
            self._reconcilers.pop(name).leave()
        # Packets wait for flows; nobody waits for anything else.
        for reconciler in self._reconcilers.values():
            reconciler.wake()
        shares = self._state.shares
        for name, session in list(self._sessions.items()):
            if name not in rows or rows[name].remote != session.remote or not shares.mine(name):
                session.leave(withdrawing=name not in rows)
                del self._sessions[name]
        for name, row in rows.items():
            if name not in self._reconcilers:
                self._reconcilers[name] = Reconciler(name, self._state, self._reconcilers)
                self._reconcilers[name].wake()
                spawn(self._reconcilers[name].run)
            self._state.chassis[name].datapath_id = datapath_id(name)
            if name in self._sessions:
                self._sessions[name].declare(row)
            elif shares.mine(name):
                self._sessions[name] = ChassisSession(row, self._state, self._listens)
                spawn(self._sessions[name].run)
        self._noted()

    def _noted(self) -> None:
        """There is status to write."""
        self._overlay.wake()
        self._journal.wake()

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def _on_state(self, event: Any) -> None:
        datapath = event.datapath
        if event.state == DEAD_DISPATCHER:
            name, channel = self._channels.pop(datapath, (None, None))
            reconciler = self._reconcilers.get(name) if name is not None else None
            if reconciler is not None and channel is not None and reconciler.detach(channel):
                LOG.warning("%s: OpenFlow connection lost", name, extra=about(Event.SWITCH_LOST, chassis=name))
                self._state.connect(name, False)
            return
        name = next((name for name in self._reconcilers if int(datapath_id(name), 16) == datapath.id), None)
        if name is None or name not in self._state.chassis:
            address, id = datapath.address[0], f"{datapath.id:016x}"
            extra = about(Event.CONNECTION_REFUSED, address=address, datapath=id, reason="no chassis of ours")
            LOG.warning("datapath %s at %s is no chassis of ours", id, address, extra=extra)
            datapath.close()
            return
        channel = Channel(datapath)
        self._channels[datapath] = (name, channel)
        self._reconcilers[name].attach(channel)
        self._state.connect(name, True)

    @set_ev_cls(
        [
            ofp_event.EventOFPFlowStatsReply,
            ofp_event.EventOFPMeterStatsReply,
            ofp_event.EventOFPMeterConfigStatsReply,
            ofp_event.EventOFPFlowMonitorReply,
            ofp_event.EventOFPBarrierReply,
            ofp_event.EventOFPRoleReply,
            ofp_event.EventOFPPortDescStatsReply,
            ofp_event.EventOFPGetConfigReply,
        ],
        MAIN_DISPATCHER,
    )
    def _on_reply(self, event: Any) -> None:
        name, channel = self._channels.get(event.msg.datapath, (None, None))
        if name is None or channel is None:
            return
        if isinstance(event, ofp_event.EventOFPFlowMonitorReply) and event.msg.body:
            if name in self._reconcilers:
                self._reconcilers[name].suspect()
        else:
            channel.on_reply(event.msg)

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def _on_port(self, event: Any) -> None:
        name, _ = self._channels.get(event.msg.datapath, (None, None))
        if name is not None and name in self._reconcilers:
            self._reconcilers[name].suspect_settings()

    @set_ev_cls(ofp_event.EventOFPRoleStatus, MAIN_DISPATCHER)
    def _on_role(self, event: Any) -> None:
        name, channel = self._channels.get(event.msg.datapath, (None, None))
        if name is not None and channel is not None:
            self._reconcilers[name].demote(channel)

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)
    def _on_error(self, event: Any) -> None:
        _, channel = self._channels.get(event.msg.datapath, (None, None))
        if channel is not None:
            channel.on_error(event.msg)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def _on_packet(self, event: Any) -> None:
        message = event.msg
        name, channel = self._channels.get(message.datapath, (None, None))
        if name is None or channel is None:
            return
        ofport, frame = message.match["in_port"], bytes(message.data)
        if kind_of(message.cookie) is Kind.DROP_TOO_LARGE:
            self._answer(name, channel, message.match, frame)
        elif (seen := parse_neighbor(frame)) is not None:
            self._heard.put(Told(name, ofport, message.match.get("metadata"), seen))
            self._hearing.set()

    def _learn(self) -> None:
        """Act on what ports tell of neighbors: at once, but for who tells of others again and again.

        All chassis act on it, and what else is to be done there waits meanwhile. So it may take its share of the time.
        """
        budget, chassis = Budget(LEARNING_SHARE, LEARNING_SAVED_S), self._state.chassis
        while True:
            self._hearing.wait()
            self._hearing.clear()
            began, before = monotonic(), self._state.version
            # Who is behind anyway, or gone, is not waited for.
            ours = [known for known in chassis.values() if known.connected and not known.foreign]
            prompt = [known for known in ours if known.applied >= before]
            if not self._state.see_all(self._heard.take(), began):
                continue
            learned = self._state.version
            while monotonic() < began + ROUND_S and any(known.applied < learned for known in prompt):
                hub.sleep(0.01)
            hub.sleep(budget.take(monotonic() - began, monotonic()))

    def _answer(self, name: str, channel: Channel, match: Any, frame: bytes) -> None:
        """Tell the sender of a packet that no tunnel can carry; its registers say how large one may be."""
        ofport = match["in_port"]
        told = too_large.answer(frame, match.get(LIMIT, 0), too_large.vlan(match.get(IN_TAG, 0)))
        if told is not None and not channel.behind and self._answered.may(name, ofport, frame, monotonic()):
            with contextlib.suppress(ChannelError):
                channel.send_packet(told, [Output(ofport)])


def shares(listens: Listens) -> Shares:
    """Who we are among the controllers of an overlay. Ends the process when what was said of that is no good."""
    try:
        name = paths.controller_name(str(listens.secure or listens.plain))
        found = Shares(name, str(uuid.uuid4()), paths.openflow_target())
    except ValueError as error:
        sys.exit(f"overlay_app: {error}")
    return found


def contexts() -> Contexts | None:
    """What makes contexts of the files of `OVERLAY_PKI`; None without it. Ends the process when one is no good."""
    try:
        if tls.files() is None:
            return None
        tls.server_context()
    except tls.TlsError as error:
        sys.exit(f"overlay_app: {error}")
    return tls.server_context


def openflow_ports(conf: Any, secure: bool) -> Listens:
    """Where to listen for switches: with TLS alone where we have certificates, unless the command line wants both."""
    if not secure:
        if conf.ofp_ssl_listen_port or conf.ctl_privkey or conf.ctl_cert or conf.ca_certs:
            sys.exit(f"overlay_app: TLS needs {tls.VARIABLE}, a directory with key.pem, cert.pem and cacert.pem")
        return Listens(conf.ofp_tcp_listen_port or OPENFLOW_PORT)
    ports = Listens(conf.ofp_tcp_listen_port, conf.ofp_ssl_listen_port or OPENFLOW_PORT)
    if ports.plain == ports.secure:
        sys.exit(f"overlay_app: port {ports.plain} can't be with and without TLS; give another --ofp-ssl-listen-port")
    return ports


def check_named(database: str) -> str:
    """The remote(s) that were named, as they are; DatabaseError when what answers there is no overlay database.

    One that does not answer yet is waited for later.
    """
    try:
        remotes.remotes(database)
        with contextlib.suppress(rpc.UnreachableError), rpc.connect(database) as connection:
            connection.select("Overlay_Global")
            upgrade.check(connection)
    except ValueError as error:
        raise rpc.DatabaseError(f"OVERLAY_DB: {error}") from error
    return database


def timed_log() -> None:
    """Give log lines the form that `OVERLAY_LOG` names, where whoever started us did not ask for another one."""
    try:
        form = formatter()
    except ValueError as error:
        sys.exit(f"overlay_app: {error}")
    for handler in logging.getLogger().handlers:
        if handler.formatter is None:
            handler.setFormatter(form)


def spawn(loop: Callable[[], None]) -> None:
    """Run a loop of ours; when it dies, so does the process, loudly, and the switches go on forwarding."""

    def guarded() -> None:
        try:
            loop()
        except hub.TaskExit:
            raise
        except NameTakenError as error:
            LOG.critical("%s", error, extra=about(Event.NAME_TAKEN))
            logging.shutdown()
            os._exit(NAME_TAKEN)
        except embedded.EndedError as ended:
            what, extra = "%s; the controller ends with it, and switches forward on", about(Event.LOOP_DIED)
            LOG.critical(what, ended, extra=extra)
            logging.shutdown()
            os._exit(DIED)
        except Exception:
            what, extra = "a loop died, and the controller with it:\n%s", about(Event.LOOP_DIED)
            LOG.critical(what, traceback.format_exc(), extra=extra)
            logging.shutdown()
            os._exit(DIED)

    hub.spawn(guarded)
