"""The controller dies between two messages, and the next one finds what was half done."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from topologies import three_chassis
from topologies.faults.case import STARTED, Case
from topologies.faults.ground import Ground, NotHealed
from topologies.lab import Lab

CRASH: Final = "OVERLAY_CRASH"
"""The variable that `topologies.faults.crashing` reads."""
CRASHES: Final = 20
"""How often the controller is made to crash in one run of the suite."""
EXTRAS: Final = 6
"""Ports that come and go in it."""
LABS: Final = 2
"""Labs at a time where every message has its turn."""

Point = tuple[bool, int]
"""Whether the ports have just come (else gone), and before which message of the controller's it dies."""


class Scenario:
    """Ports come and go while no controller is there, and the next one has some hundred messages to send.

    `sent` is how many, and `_wanted` the flows that are there in the end, by whether the ports are there.
    """

    def __init__(self, ground: Ground, measured: bool = True) -> None:
        """`measured`: under traffic, of which Open vSwitch in userspace loses some when it makes a port or sets an MTU.

        So ports are made before, with an MTU, and what comes and goes is which port of the overlay they are. Else
        nobody asks how long healing takes either, and it is waited for in the cheapest way.
        """
        self._ground, self._measured = ground, measured
        self._count = ground.lab.directory / "messages"
        self._wanted: dict[bool, dict[str, list[str]]] = {}
        self.sent: dict[bool, int] = {}
        for number in range(EXTRAS):
            network = "red" if number % 2 else "blue"
            ground.lab.overlayctl("port-add", f"x{number}", "--net", network, "--ip", f"10.0.1.{number}")
        for there in (True, False, True, False):
            self._change(there)
            ground.start_controller("topologies.faults.crashing", environment={CRASH: f"0 {self._count}"})
            self.sent[there] = int(self._count.read_text())
            ground.same_flows(
                self._wanted.setdefault(there, ground.all_flows()), "the same state has two sets of flows"
            )

    def crash(self, point: Point) -> bool:
        """Crash there, and see that the next controller ends where one that does not crash does.

        False when the controller sent fewer messages this time, and lived. Raises NotHealed.
        """
        lab, ground, (there, at) = self._ground.lab, self._ground, point
        self._change(there)
        environment = {CRASH: f"{at} {self._count}"}
        lab.start_controller("topologies.faults.crashing", environment=environment, awaited=False)
        lived = not _in_time(lambda: not lab.controller_runs(), ground)
        if lived:
            lab.stop_controller(signal.SIGKILL)
        if self._measured:
            ground.start_controller()
        else:
            lab.start_controller()
            ground.settle()
        what = f"flows are others after a crash at message {at} of {self.sent[there]} than without one"
        try:
            ground.until(lambda: ground.all_flows() == self._wanted[there], 10, "the same")
        except NotHealed:
            raise NotHealed(f"{what}: {self._difference(there)}") from None
        return not lived

    def _difference(self, there: bool) -> str:
        """The first flow that is there or is not, with its chassis."""
        found = self._ground.all_flows()
        lines = [f"{name}: {line}" for name in found for line in set(found[name]) ^ set(self._wanted[there][name])]
        return min(lines, default="no more")

    def _change(self, there: bool) -> None:
        """Plug the ports in, or out, an `ovs-vsctl` for each chassis, while there is no controller."""
        self._ground.lab.stop_controller(signal.SIGKILL)
        for place, host in enumerate(("h1", "h2", "h3")):
            words: list[str] = []
            for number in range(place, EXTRAS, 3):
                name = f"x{number}"
                if there or self._measured:
                    words += ["--", "--may-exist", "add-port", "br-int", name]
                    words += ["--", "set", "interface", name, "type=internal", f"ofport_request={100 + number}"]
                    words += ["mtu_request=1400"] if self._measured else []
                    words += [f"external_ids:iface-id={name}"] if there else []
                    words += [] if there else ["--", "remove", "interface", name, "external_ids", "iface-id"]
                else:
                    words += ["--", "--if-exists", "del-port", "br-int", name]
            self._ground.lab.run(host, "ovs-vsctl", *words[1:])


def _in_time(check: Callable[[], bool], ground: Ground) -> bool:
    try:
        ground.until(check, 15, "dead")
    except NotHealed:
        return False
    return True


def _crashed(ground: Ground, chance: random.Random) -> None:
    scenario = Scenario(ground)
    points = [(number % 2 == 0, chance.randrange(1, scenario.sent[number % 2 == 0])) for number in range(CRASHES)]
    died = sum(map(scenario.crash, points))
    ground.remark(f"{died} crashes, each before one of {max(scenario.sent.values())} messages")


def everywhere(datapath: str | None, numbers: range, say: Callable[[str], None]) -> tuple[int, list[str]]:
    """Crash once before every message with one of these numbers, from 1 on, without traffic.

    Returns at how many, and where that did harm, in words; `say` is told how far it is.
    """
    with ThreadPoolExecutor(LABS) as pool:
        done = list(pool.map(lambda share: _share(share, datapath, numbers, say), range(LABS)))
    return sum(died for died, _ in done), [each for _, wrong in done for each in wrong]


def _share(share: int, datapath: str | None, numbers: range, say: Callable[[str], None]) -> tuple[int, list[str]]:
    died, wrong = 0, []
    with Lab(three_chassis.TOPOLOGY, f"crashes{share}-{os.getpid()}", datapath=datapath) as lab:
        lab.up()
        scenario = Scenario(Ground(lab), measured=False)
        points = list(_points(scenario.sent, numbers[share::LABS]))
        for number, point in enumerate(points):
            say(f"lab {share}: {number} of {len(points)}, {len(wrong)} wrong")
            try:
                died += scenario.crash(point)
            except NotHealed as error:
                wrong.append(str(error))
                say(f"lab {share}: {error}")
    return died, wrong


def _points(sent: dict[bool, int], numbers: range) -> Iterator[Point]:
    """Every message with these numbers, the ports coming and going in turn; the shorter row is gone through again."""
    for at in range(numbers.start, min(numbers.stop, max(sent.values()) + 1), numbers.step):
        for there in (True, False):
            yield there, (at - 1) % sent[there] + 1


CASES: Final[Sequence[Case]] = (
    Case("F4", "crash between two messages", "0 lost, the same final flows", _crashed, expected=STARTED),
)
