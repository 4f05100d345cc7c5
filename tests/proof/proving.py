"""What is sent to prove an overlay, and the proof itself: every frame's fate is the declared one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from flows.model import Binding, Overlay
from flows.simulate import Packet
from flows.truth.fate import Fate
from flows.truth.frame import BROADCAST, address, link_local, mac_number
from tests.proof.check import Bench
from tests.proof.frames import (
    Fields,
    advertisement,
    arp,
    from_elsewhere,
    from_ports,
    mac_of,
    of_pair,
    of_port,
    sent,
    solicitation,
    wrapped,
)

Step = tuple[str, Packet, tuple[Fate, ...]]
"""A packet into a chassis, and what may become of it."""


@dataclass(frozen=True, slots=True)
class Story:
    """Packets one after the other; the switches learn where `teaches`."""

    name: str
    steps: tuple[Step, ...]
    teaches: bool = False


def told(bench: Bench, story: Story) -> str:
    """What is wrong with what becomes of its packets, in words; '' when nothing is."""
    try:
        for chassis, packet, fates in story.steps:
            wrong = bench.judged(chassis, packet, fates, teach=story.teaches)
            if wrong:
                return f"{story.name}: {dict(packet.items)} at {chassis}: {wrong}"
    finally:
        if story.teaches:
            bench.forget()
    return ""


def name_of(binding: Binding) -> str:
    """A port's name, or its place."""
    return binding.port or f"{binding.chassis}/{binding.interface}" + (f".{binding.tag}" if binding.tag else "")


def everything(bench: Bench) -> Iterator[Story]:
    """Every ordered pair of ports and every class, every port, all that an underlay may bring, and what is learned.

    Where two pairs send the very same frame (their tenants have the same MACs and addresses) it is sent once: what is
    to become of it does not depend on whom the sender meant.
    """
    done = set()
    for name, one, others, packet in from_ports(bench.overlay):
        if (one.chassis, packet) not in done:
            done.add((one.chassis, packet))
            about = f", about {name_of(others[0])}" if others else ""
            yield _single(bench, f"{name}, from {name_of(one)}{about}", one.chassis, packet)
    for chassis in bench.overlay.chassis:
        for name, packet in from_elsewhere(bench.overlay, chassis):
            if (chassis, packet) not in done:
                done.add((chassis, packet))
                yield _single(bench, name, chassis, packet)
    yield from _learning(bench)
    yield from _telling(bench)


def classes(overlay: Overlay) -> int:
    """How many (ordered pair, class) and (port, class) there are."""
    return sum(max(1, len(others)) for _, _, others, _ in from_ports(overlay))


def some(bench: Bench, chance: random.Random) -> Iterator[Story]:
    """Every class for a few pairs and ports, some of what an underlay may bring, and what is learned."""
    bindings = bench.overlay.bindings
    for _ in range(6 if bindings else 0):
        one, other = chance.choice(bindings), chance.choice(bindings)
        if one is not other:
            for name, fields in of_pair(one, other):
                yield _from(bench, f"{name}, from {name_of(one)}, about {name_of(other)}", one, fields)
    for one in chance.sample(bindings, min(2, len(bindings))):
        for name, fields in of_port(one):
            yield _from(bench, f"{name}, from {name_of(one)}", one, fields)
    chassis = chance.choice(sorted(bench.overlay.chassis))
    outside = list(from_elsewhere(bench.overlay, chassis))
    for name, packet in chance.sample(outside, min(60, len(outside))):
        yield _single(bench, name, chassis, packet)
    taught = [*_learning(bench), *_telling(bench)]
    yield from chance.sample(taught, min(4, len(taught)))


def _single(bench: Bench, name: str, chassis: str, packet: Packet) -> Story:
    return Story(name, ((chassis, packet, bench.fates(chassis, packet)),))


def _from(bench: Bench, name: str, one: Binding, fields: Fields) -> Story:
    return _single(bench, name, one.chassis, sent({**wrapped(one, fields), "in_port": one.ofport}))


def _learning(bench: Bench) -> Iterator[Story]:
    """A MAC that may be behind several ports is followed: who saw it sends to the last of them, and nobody else."""
    for place, one in enumerate(bench.overlay.bindings):
        macs = [mac_number(mac) for mac in one.shared] if one.secure else [0x026600000000 | place]
        others = [each for each in bench.overlay.bindings if each.network == one.network]
        before = [each for each in others if not each.secure and each is not one][:1]
        for mac in macs:
            if any(mac_number(known) == mac for each in others for known in each.macs):
                continue
            steps: list[Step] = []
            for teacher in [*(before if not one.secure else ()), one]:
                packet = _out(teacher, {"eth_src": mac, "eth_dst": BROADCAST, "eth_type": 0x88B5})
                steps.append((teacher.chassis, packet, bench.fates(teacher.chassis, packet)))
            spot = {(one.network, mac): (one.chassis, one.ofport, one.tag)}
            for each in others:
                if bench.known.reaches(one.chassis, each.chassis):
                    packet = _out(each, {"eth_src": mac_of(each), "eth_dst": mac, "eth_type": 0x88B5})
                    fates = bench.fates(each.chassis, packet, spot if each is not one else {**spot})
                    steps.append((each.chassis, packet, fates))
            yield Story(f"{mac:012x} is learned behind {name_of(one)}", tuple(steps), True)


def _telling(bench: Bench) -> Iterator[Story]:
    """The controller is told once, not again, by who may tell of what is not declared for it alone."""
    numbers = count(1)
    for one in bench.overlay.bindings:
        seen = bench.known.segments[one.network].seen
        number = next(numbers)
        declared_for_others = bench.known.segments[one.network].addresses
        sayings = []
        if not (one.secure and (one.ips or one.pairs)):
            sayings.append((mac_of(one), (4, 10 << 24 | 77 << 16 | number)))
            sayings.append((mac_of(one), (6, 0xFD << 120 | 0x77 << 64 | number)))
        sayings += [
            (mac_number(pair.mac) if pair.mac else mac_of(one), address(pair.ip.partition("/")[0]))
            for pair in one.pairs
            # What is declared for another is dropped, and told each time.
            if one.secure and one.mac and address(pair.ip.partition("/")[0]) not in declared_for_others
        ]
        if not (one.secure and one.ips and not one.pairs):
            sayings += [(mac_number(mac), link_local(mac_number(mac))) for mac in (*one.macs, *one.shared)]
        own = {link_local(mac_number(mac))[1] for mac in one.macs}
        for mac, (family, number) in sayings:
            settled = seen.get((family, number)) == (mac, one.chassis, one.interface)
            frames = {"ARP": arp(mac, number, number)}
            if family == 6:
                frames = {
                    "solicitation": solicitation(mac, number, number + 999),
                    "advertisement": advertisement(mac, number),
                }
            for name, fields in frames.items():
                packet = _out(one, fields)
                fates = bench.fates(one.chassis, packet)
                first = fates
                if number not in own:
                    first = tuple(replace(fate, told=not settled) for fate in fates)
                again = tuple(replace(fate, told=False) for fate in fates)
                steps = ((one.chassis, packet, first), (one.chassis, packet, again))
                yield Story(f"{name} of {name_of(one)} is told once", steps, True)


def _out(one: Binding, fields: Fields) -> Packet:
    return sent({**wrapped(one, fields), "in_port": one.ofport})
