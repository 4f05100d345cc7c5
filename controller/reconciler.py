"""The loop of one chassis: wait until something is dirty, compile, plan, apply, confirm.

One greenthread per chassis, so a slow switch delays nobody else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from time import monotonic
from typing import Final

from ryu.lib import hub

from controller.announce import Announcements, inside
from controller.channel import MASTER, SLAVE, Channel, ChannelError, DemotedError, StaleError
from controller.drops import drops
from controller.events import Event, about
from controller.flows_mark import fingerprint
from controller.installed import REREAD_S, Installed
from controller.neighbors import delivery
from controller.settings import Settings
from controller.state import State
from controller.tunnels import Tunnels, period
from flows import meters, probe, text
from flows.compile import Cache, everything, notice, step_by_step
from flows.compile.learn import learned_at
from flows.flow import Flow
from flows.model import TUNNELS, Binding, Overlay
from flows.plan import plan
from flows.tables import Kind

LOG: Final = logging.getLogger("overlay.reconciler")
WARM_S: Final = 0.05
"""Seconds within which a neighbor in the underlay answers."""
WARM_FOR_S: Final = 600
"""Seconds for which Open vSwitch remembers it at least (`tnl/neigh/aging`: 900)."""
TURN_S: Final = 0.05
"""Seconds of compiling after which others have their turn: echo requests wait for it, and all other chassis."""


class Reconciler:
    """Keeps one chassis' flows what they should be, as long as it lives."""

    def __init__(self, chassis: str, state: State, others: Mapping[str, Reconciler]) -> None:
        """`others` are those of all chassis, by name: they know who lives where."""
        self.chassis = chassis
        self._state = state
        self._others = others
        self._announcements = Announcements(self._inside, self._send, hub.sleep)
        self._dirty = hub.Event()
        self._cache: Cache = {}
        self._channel: Channel | None = None
        self._installed: Installed | None = None
        self._settings: Settings | None = None
        self._warmed: frozenset[probe.Way] = frozenset()
        self._warm_until: dict[probe.Way, float] = {}
        self._listened_at = self._probed_at = monotonic()
        self._tunnels = Tunnels(chassis, state)
        self._left = False
        self.turns = 0

    def wake(self) -> None:
        """Something that the flows depend on may have changed."""
        self._dirty.set()

    def suspect(self) -> None:
        """The switch has told that somebody else changed its flows."""
        if self._installed is not None:
            self._installed.suspect()
            self.wake()

    def suspect_settings(self) -> None:
        """The switch has told that a port is another one."""
        if self._settings is not None:
            self._settings.suspect()
            self.wake()

    def attach(self, channel: Channel) -> None:
        """Take a new connection to the switch; an older one is ended."""
        if self._channel is not None:
            self._channel.close()
            self._channel.on_end()
        self._channel, self._installed, self._settings = channel, None, None
        self._warmed, self._warm_until = frozenset(), {}
        self.wake()

    def demote(self, channel: Channel) -> None:
        """The switch has told that another controller is its master now."""
        channel.demoted()
        if channel is self._channel:
            extra = about(Event.SWITCH_DEMOTED, chassis=self.chassis)
            LOG.info("%s: another controller is master of its switch", self.chassis, extra=extra)
            self._installed = self._settings = None
            self.wake()

    def detach(self, channel: Channel) -> bool:
        """Drop the connection if it is the present one; whether it was."""
        channel.on_end()
        if self._channel is not channel:
            return False
        self._channel = self._installed = self._settings = None
        return True

    def leave(self) -> None:
        """End the loop, and the connection to the switch: the chassis is not in the overlay any more."""
        self._left = True
        if self._channel is not None:
            self._channel.close()
            self._channel.on_end()
        self.wake()

    def counts(self) -> dict[str, int]:
        """How much is kept here: flows of the switch, compiled views, ways that were probed."""
        installed = len(self._installed.flows) if self._installed is not None else 0
        return {"flows": installed, "views": len(self._cache), "ways": len(self._warm_until)}

    def run(self) -> None:
        """The loop, until `leave()`."""
        while not self._left:
            self.turns += 1
            due = self._listened_at + (self._state.listens or REREAD_S)
            if self._installed is not None:
                due = min(due, self._installed.due())
                due = min(due, self._settings.due()) if self._settings is not None else due
            probes = self._probed_at + period(len(self._state.overlay.chassis))
            woken = self._dirty.wait(timeout=max(0.0, min(due, probes) - monotonic()))
            self._dirty.clear()
            if monotonic() >= probes:
                self._probe()
                if not woken and monotonic() < due:
                    continue
            if monotonic() >= self._listened_at + (self._state.listens or REREAD_S):
                self._listen()
            if self._installed is not None and monotonic() >= self._installed.due():
                self._read_again(self._installed)
            channel = self._channel
            if channel is None:
                continue
            try:
                installed = self._hold(channel)
                if installed is not None:
                    self._reconcile(channel, installed)
                    self._look_at_settings(channel, installed)
            except DemotedError:
                self._installed = self._settings = None
            except ChannelError as error:
                self._tell(error)
                if channel is self._channel:
                    channel.close()

    def _tell(self, error: ChannelError) -> None:
        """Log that the switch failed us; not where it was us who ended the connection."""
        if self._left:
            return
        LOG.warning(
            "%s: %s", self.chassis, error, extra=about(Event.SWITCH_FAILED, chassis=self.chassis, reason=str(error))
        )

    def _hold(self, channel: Channel) -> Installed | None:
        """Be master of the switch where the chassis is ours, else slave; what it has installed, None where we are none.

        Raises ChannelError.
        """
        state = self._state
        if state.declared is None:
            return None
        mine, generation = state.shares.mine(self.chassis), state.shares.generation(self.chassis)
        role = (MASTER if mine else SLAVE, generation)
        if channel.role != role:
            self._installed = self._settings = None
            try:
                channel.take_role(role)
            except StaleError as error:
                if mine:
                    extra = about(Event.SWITCH_DEMOTED, chassis=self.chassis, generation=error.generation)
                    LOG.warning("%s: %s, ours is %d", self.chassis, error, generation, extra=extra)
                    state.outrun(self.chassis, error.generation)
                channel.role = None if mine else role
                return None
            if mine:
                self._installed = Installed(self.chassis, channel)
                self._warmed, self._warm_until = frozenset(), {}
        return self._installed if mine and channel is self._channel else None

    def _read_again(self, installed: Installed) -> None:
        """Look for what somebody else changed."""
        self._warmed = frozenset()
        try:
            installed.read_again()
        except ChannelError as error:
            self._tell(error)

    def _look_at_settings(self, channel: Channel, installed: Installed) -> None:
        """Look whether somebody has shut a port. Raises ChannelError."""
        known = self._state.chassis.get(self.chassis)
        if not installed.begun or known is None or known.plugged is None or not known.plugged.ours:
            self._settings = None
            return
        if self._settings is None:
            self._settings = Settings(self.chassis, channel)
        if monotonic() >= self._settings.due():
            ours = {*(tunnel.ofport for tunnel in TUNNELS), *(exit.ofport for exit in known.plugged.exits)}
            self._settings.look(ours)
            self._state.remark_ports(self.chassis, self._settings.shut)

    def _probe(self) -> None:
        """Look whether the tunnels carry anything."""
        self._probed_at = monotonic()
        channel, installed = self._channel, self._installed
        if channel is None or installed is None or not installed.begun:
            self._tunnels = Tunnels(self.chassis, self._state)
            return
        try:
            self._tunnels.look(channel, self._cache)
        except ChannelError as error:
            self._tell(error)

    def _listen(self) -> None:
        """Look which learned neighbors were heard at the switch, and let it ask those that were not for long."""
        self._listened_at = monotonic()
        channel, state = self._channel, self._state
        if channel is None or self._installed is None or not self._installed.begun or state.listens is None:
            return
        whose = {key: (view.vni, ip) for view in self._cache for key, ip in notice.listening(view).items()}
        if not whose and all(neighbor.chassis != self.chassis for neighbor in state.overlay.neighbors):
            return
        counted: Counter[tuple[int, str]] = Counter()
        try:
            for row in channel.stats(Kind.NOTICED):
                if row.key in whose:
                    counted[whose[row.key]] += row.packets
            for frame, actions in state.listen(self.chassis, counted, monotonic()):
                channel.send_packet(frame, actions)
        except ChannelError as error:
            self._tell(error)

    def _reconcile(self, channel: Channel, installed: Installed) -> None:
        """One pass. Nothing is touched before the overlay and the chassis' own ports are known."""
        state = self._state
        known = state.chassis.get(self.chassis)
        if (
            not state.trust.acts
            or not state.complete
            or known is None
            or known.plugged is None
            or not known.plugged.ours
        ):
            return
        version, nb_cfg, overlay = state.version, state.nb_cfg, state.overlay
        if self.chassis not in overlay.chassis:
            return
        desired = self._compile(overlay)
        if channel is not self._channel:
            return  # the connection has ended meanwhile; another one wakes the loop
        given = {flow.key: flow for flow in desired}
        installed.given = given
        try:
            needed = meters.needed(desired)
        except ValueError as error:
            extra = about(Event.SWITCH_FAILED, chassis=self.chassis, reason=str(error))
            LOG.error("%s: nothing is changed: %s", self.chassis, error, extra=extra)
            return
        if not installed.begun:
            installed.begin(needed, bool(known.plugged.flows) and known.plugged.flows == fingerprint(given, needed))
        metering = meters.plan(needed, installed.meters)
        taken = "somebody else has a meter of that number: delete it with ovs-ofctl del-meter"
        refused, wanted = _without(desired, dict.fromkeys(metering.taken, taken))
        todo = plan(wanted, installed.flows)
        userspace = known.plugged.datapath_type == "netdev"
        if userspace and self._warmed and self._warm(channel):
            hub.sleep(WARM_S)  # so that the first packet that goes a new way finds the neighbor resolved
        if todo or metering:
            by_switch, unmetered = channel.apply(todo, metering)
            installed.note_meters(metering, unmetered)
            installed.note(todo, by_switch)
            refused |= {flow: by_switch[flow.key] for flow in todo.adds if flow.key in by_switch}
            refused |= _without(wanted, unmetered)[0]
        channel.delete_meters(metering)
        installed.forget_meters(metering.deletes)
        if userspace:
            self._warm(channel)
        if self._announcements.opened(_opened(overlay, self.chassis, todo.adds, refused)):
            hub.spawn(self._announcements.run)
        named = tuple(_refusal(overlay, flow, reason) for flow, reason in refused.items())
        known.had = (given.keys(), needed) if not refused else None
        state.remark(self.chassis, "flows", installed.remark)
        state.confirm(self.chassis, version, nb_cfg, len(installed.flows), named)
        asked = state.asked_to_count(self.chassis)
        if asked:
            counted = drops(self.chassis, overlay, given, channel.stats(), channel.meter_stats())
            state.count(self.chassis, asked, counted)

    def _compile(self, overlay: Overlay) -> tuple[Flow, ...]:
        """The flows that the chassis should have."""
        turn = monotonic()
        for _ in step_by_step(overlay, self.chassis, self._cache):
            if monotonic() > turn + TURN_S:
                hub.sleep(0)
                turn = monotonic()
        return everything(self._cache)

    def learned(self, network: str) -> set[str]:
        """The MACs that the switch has learned in a network behind its own ports, but for those that lead outside."""
        channel, overlay = self._channel, self._state.overlay
        found = overlay.networks.get(network)
        if channel is None or found is None:
            return set()
        cookies = {
            learned_at(found.vni, binding.ofport, binding.tag)
            for binding in overlay.bindings
            if (binding.network, binding.chassis) == (network, self.chassis) and not binding.gateway
            if binding.learns or binding.shared
        }
        try:
            rows = channel.stats(Kind.LEARNED) if cookies else ()
            return {row.mac for row in rows if row.cookie in cookies and row.mac}
        except ChannelError:
            return set()

    def _inside(self, gateway: Binding, number: int) -> set[str]:
        """The MACs to announce at a gateway; from the second round on also those that only switches know."""
        macs = inside(self._state.overlay, gateway.network)
        for other in list(self._others.values()) if number else ():  # there may be another one when it has answered
            macs |= other.learned(gateway.network)
        return macs

    def _send(self, gateway: Binding, frames: list[bytes]) -> bool:
        """Send frames out of a gateway; whether it is one still."""
        channel = self._channel
        if channel is None or gateway not in self._state.overlay.bindings:
            return False
        try:
            for frame in frames:
                channel.send_packet(frame, delivery(gateway))
        except ChannelError:
            return False
        return True

    def _warm(self, channel: Channel) -> bool:
        """Send a probe through each new tunnel; whether there was one that had none for long.

        The userspace datapath drops the first packet to a VTEP whose underlay neighbor it has not resolved. A port that
        moves back and forth is not to wait each time.
        """
        ways, now = probe.ways(self._cache), monotonic()
        new = sorted(ways - self._warmed)
        if new:
            channel.send_packets((probe.FRAME, probe.actions(way)) for way in new)
        cold = any(self._warm_until.get(way, 0.0) < now for way in new)
        self._warmed = ways
        self._warm_until |= dict.fromkeys(ways, now + WARM_FOR_S)
        return cold


def _opened(overlay: Overlay, chassis: str, added: Iterable[Flow], refused: Container[Flow]) -> list[Binding]:
    """The gateways of a chassis that packets are taken from since these flows were added, and were not before."""
    entries = set()
    for flow in added:
        if flow.kind is Kind.LOCAL_PORT and flow not in refused:
            match = {name: value for name, value, _ in flow.match}
            entries.add((match["in_port"], match.get("vlan_tci", 0) & 0xFFF))
    return [
        binding
        for binding in (overlay.bindings if entries else ())
        if binding.gateway and binding.chassis == chassis and (binding.ofport, binding.tag) in entries
    ]


def _refusal(overlay: Overlay, flow: Flow, reason: str) -> str:
    """A flow that the switch does not have, in words."""
    vni = next((value for name, value, _ in flow.match if name in ("metadata", "tun_id")), None)
    network = next((f"network '{name}': " for name, each in overlay.networks.items() if each.vni == vni), "")
    if flow.kind is Kind.FLOOD_FROM_PORT and "do not fit" in reason:
        reason += "; what goes to all reaches those who were members before: have its ports on fewer chassis"
    return f"{network}flow refused ({reason}): {text.brief(flow)}"


def _without(desired: Iterable[Flow], unmetered: Mapping[int, str]) -> tuple[dict[Flow, str], list[Flow]]:
    """Flows whose meters were refused, and why; and the others. A switch takes no flow whose meter it does not have."""
    refused: dict[Flow, str] = {}
    others = []
    for flow in desired:
        missing = sorted(meters.used(flow).keys() & unmetered.keys()) if unmetered else []
        if missing:
            refused[flow] = f"meter {missing[0]}: {unmetered[missing[0]]}"
        else:
            others.append(flow)
    return refused, others
