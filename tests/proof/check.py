"""Whether what flows do with a frame is what must become of it: the flows of a simulator against `flows.truth`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flows.flow import Flow, Meter
from flows.model import TUNNELS, Overlay, tunnel_to
from flows.simulate import Journey, LoopError, OverlapError, Packet, Switch, journey
from flows.tables import FDB, TOLD_TABLE, Kind
from flows.truth import truth
from flows.truth.declared import Declared, Spot, declared
from flows.truth.fate import Fate, Received
from flows.truth.frame import address

NOBODY_SEEN: Mapping[tuple[str, int], Spot] = {}
_TUNNELS = {tunnel.ofport: tunnel for tunnel in TUNNELS}


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed of a frame."""

    received: tuple[Received, ...]
    ended: Kind | None
    """Under what it ended where it came in, if nothing of it went on."""
    copies: int
    rates: frozenset[int]
    taught: bool
    """Whether a switch learned a MAC's place from it."""
    tunnels: tuple[tuple[str, int, int, str | None], ...]
    """(from, tunnel port, VNI, to) of each tunnel that it passed; to None where it ends nowhere."""


class Bench:
    """The switches of an overlay with some flows, and what is declared."""

    def __init__(self, overlay: Overlay, flows: Mapping[str, Iterable[Flow]]) -> None:
        self.overlay = overlay
        self.known: Declared = declared(overlay)
        self.switches = {name: Switch(each) for name, each in flows.items()}
        self.vteps = {address(v.ip): each.name for each in overlay.chassis.values() for v in each.vteps}
        self._truths: dict[tuple[str, Packet], tuple[Fate, ...]] = {}

    def send(self, chassis: str, packet: Packet, *, teach: bool = False) -> Journey:
        """A packet into a chassis."""
        return journey(self.switches, self.overlay.chassis, chassis, packet, teach=teach)

    def fates(
        self, chassis: str, packet: Packet, seen: Mapping[tuple[str, int], Spot] = NOBODY_SEEN
    ) -> tuple[Fate, ...]:
        """What may become of it."""
        if seen:
            return truth(self.known, chassis, dict(packet.items), seen)
        key = (chassis, packet)
        if key not in self._truths:
            self._truths[key] = truth(self.known, chassis, dict(packet.items), seen)
        return self._truths[key]

    def wrong(self, chassis: str, packet: Packet) -> str:
        """What is wrong with what becomes of a packet, in words; '' when nothing is."""
        return self.judged(chassis, packet, self.fates(chassis, packet))

    def judged(self, chassis: str, packet: Packet, fates: tuple[Fate, ...], *, teach: bool = False) -> str:
        """The same where its fate is known."""
        try:
            seen = self.observed(self.send(chassis, packet, teach=teach))
        except (OverlapError, LoopError) as error:
            return str(error)
        wrongs = []
        for fate in fates:
            wrong = self.differs(seen, fate)
            if not wrong:
                return ""
            wrongs.append(wrong)
        return " / or ".join(wrongs)

    def forget(self) -> None:
        """The switches forget what they have learned."""
        for switch in self.switches.values():
            for table in (FDB, TOLD_TABLE):
                for flow in switch.flows(table):
                    switch.remove(flow)

    def observed(self, done: Journey) -> Seen:
        """What is to be seen of a frame's journey."""
        received = tuple(Received(each.chassis, each.ofport, each.packet.items) for each in done.deliveries)
        (_, first), *_ = done.traces
        rates = set()
        for _, flow in first.steps:
            if flow is not None and flow.actions and isinstance(flow.actions[0], Meter):
                rates.add(flow.actions[0].rate)
        tunnels = []
        for name, trace in done.traces:
            for sent in trace.outputs:
                if sent.port in _TUNNELS:
                    fields = dict(sent.packet.items)
                    far = (4, fields["tun_dst"]) if "tun_dst" in fields else (6, fields.get("tun_ipv6_dst", 0))
                    tunnels.append((name, sent.port, fields.get("tun_id", 0), self.vteps.get(far)))
        tunnels += [(name, sent.port, 0, None) for name, sent in done.lost]
        taught = any(flow.table is FDB for _, trace in done.traces for flow, _ in trace.taught)
        copies = sum(len(trace.copies) for _, trace in done.traces)
        return Seen(received, first.dropped, copies, frozenset(rates), taught, tuple(tunnels))

    def differs(self, seen: Seen, fate: Fate) -> str:  # noqa: PLR0911 - one return per fault
        """How what was observed differs from a fate, in words; '' when it does not."""
        for each, times in Counter(seen.received).items():
            if times > 1:
                return f"{_shown(each)} comes {times} times"
            if each not in fate.must and each not in fate.may:
                return f"{_shown(each)} is none that may be received{_instead(each, fate)}"
        for each in fate.must:
            if each not in seen.received:
                return f"{_shown(each)} is not received (ended: {seen.ended and seen.ended.label})"
        dropped = fate.reasons is not None and not fate.must
        if dropped and not seen.received and (seen.ended not in (fate.reasons or ()) or seen.tunnels):
            labels = sorted(kind.label for kind in fate.reasons or ())
            return f"ends as {seen.ended and seen.ended.label}, not as one of {labels}; tunnels {seen.tunnels}"
        if seen.taught and not fate.learns:
            return "teaches a switch where its source is"
        if fate.told is not None and seen.copies != fate.told:
            return f"is told to the controller {seen.copies} times, not {int(fate.told)}"
        if fate.rates is not None and fate.must and seen.rates != fate.rates:
            return f"counts against limits {sorted(seen.rates)}, not {sorted(fate.rates)}"
        return self._detour(seen, fate)

    def _detour(self, seen: Seen, fate: Fate) -> str:
        """Whether it passed a tunnel that it had no business in."""
        targets = {each.chassis for each in (*fate.must, *fate.may)}
        for one, port, vni, other in seen.tunnels:
            if other not in targets or fate.network is None:
                return f"goes by a tunnel from {one} to {other}, where nobody may receive it"
            network = self.overlay.networks[fate.network]
            ways = self.known.tunnels(network, one, other or "")
            tunnel = _TUNNELS[port]
            if vni != network.vni or all(tunnel is not tunnel_to(encap, there.ip) for encap, _, there in ways):
                return f"goes to {other} by {tunnel.name} with VNI {vni}"
        return ""


def _shown(each: Received) -> str:
    return f"{each.chassis}/{each.ofport} {dict(each.frame)}"


def _instead(each: Received, fate: Fate) -> str:
    there = [
        dict(other.frame)
        for other in (*fate.must, *fate.may)
        if (other.chassis, other.ofport) == (each.chassis, each.ofport)
    ]
    return (
        f"; there {there} is" if there else f"; {sorted({(o.chassis, o.ofport) for o in (*fate.must, *fate.may)})} are"
    )
