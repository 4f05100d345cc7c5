"""What a fault has to do with: the lab, what is said of it, and how its healing is waited for."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from topologies.faults.logs import Logs
from topologies.lab import Lab
from topologies.namespaces import Background

LEARNED: Final = re.compile(r"table=(33|60)\b")
"""Lines of flows that the switch learns by itself."""


class NotHealed(Exception):
    """What was to come true did not; the text says what."""


class Ground:
    """A lab in which something is about to break; its logs are read from here on.

    `healed_s` is how long healing took, where that was asked; `servers` what serves the overlay database, where the
    controller does not.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.healed_s: float | None = None
        self.remarks: list[str] = []
        self.servers: Any = None
        self.logs = Logs(lab)

    def heals(self, check: Callable[[], Any], within: float, since: float | None = None, what: str = "") -> None:
        """Wait until it is true, and note the seconds since then. Raises NotHealed."""
        began = time.monotonic() if since is None else since
        while not check():
            if time.monotonic() - began > within:
                raise NotHealed(f"{what or 'not as before'} after {within:g} s")
            time.sleep(0.02)
        took = time.monotonic() - began
        self.healed_s = max(took, self.healed_s or 0.0)

    def until(self, check: Callable[[], Any], within: float, what: str) -> None:
        """Wait until it is true, which is not healing yet. Raises NotHealed."""
        deadline = time.monotonic() + within
        while not check():
            if time.monotonic() > deadline:
                raise NotHealed(f"not {what} after {within:g} s")
            time.sleep(0.05)

    def remark(self, text: str) -> None:
        """Have something in the table beside the numbers."""
        self.remarks.append(text)

    def states(self) -> dict[str, str]:
        """The state of each chassis, as `show` says."""
        shown = json.loads(self.lab.overlayctl("--format", "json", "show"))
        return {row["name"]: row["state"] for row in shown["chassis"]}

    def ready(self) -> bool:
        """Whether every chassis is."""
        with contextlib.suppress(Exception):
            return set(self.states().values()) == {"ready"}
        return False

    def settle(self) -> None:
        """Return when everybody has what was declared and plugged in until now."""
        self.lab.overlayctl("--wait", "--timeout", "60", "sync", timeout=70)

    def flows(self, chassis: str) -> list[str]:
        """Every flow of br-int but learned ones, a line each."""
        argv = ("ovs-ofctl", "-O", "OpenFlow14", "--no-names", "--no-stats", "dump-flows", "br-int")
        lines = self.lab.run(chassis, *argv, check=False).stdout.splitlines()
        return sorted(line.strip() for line in lines if "actions=" in line and not LEARNED.search(line))

    def all_flows(self) -> dict[str, list[str]]:
        """The same of every chassis."""
        return {each.name: self.flows(each.name) for each in self.lab.topology.chassis}

    def same_flows(self, before: dict[str, list[str]], otherwise: str = "flows are others than before") -> None:
        """Raises NotHealed, with what it says `otherwise`, unless all flows are those."""
        if self.all_flows() != before:
            raise NotHealed(otherwise)

    def start_controller(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it, and wait until every chassis is ready and has all there is, which is healing. Raises NotHealed."""
        began = time.monotonic()
        self.lab.start_controller(*options, environment=environment)
        self.heals(self.ready, 30, began)
        self.settle()

    @contextlib.contextmanager
    def no_flow_mods(self) -> Iterator[None]:
        """Raises NotHealed when a flow of any chassis was added, changed or deleted meanwhile."""
        with self.watching() as events:
            yield
        changed = sum(map(len, events.values()))
        self.remark(f"{changed} flow mods")
        if changed:
            raise NotHealed(f"{changed} flow mods, and nothing had changed")

    @contextlib.contextmanager
    def watching(self) -> Iterator[dict[str, list[str]]]:
        """What happens meanwhile to the flows of each chassis but learned ones; complete when the block has ended."""
        found: dict[str, list[str]] = {}
        with contextlib.ExitStack() as stack:
            running: dict[str, Background] = {}
            for each in self.lab.topology.chassis:
                argv = ("ovs-ofctl", "monitor", "br-int", "watch:!initial")
                running[each.name] = stack.enter_context(self.lab.background(each.name, *argv))
            time.sleep(0.3)
            yield found
            time.sleep(0.3)
            for name, monitor in running.items():
                lines = monitor.output().splitlines()
                found[name] = [line for line in lines if "event=" in line and not LEARNED.search(line)]
