"""What is left over after a long run: everything is held against what a controller that begins anew would have."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from itertools import permutations

from topologies.faults.ground import Ground, NotHealed
from topologies.namespaces import CommandFailed
from topologies.soak.ports import Ports


def differences(ground: Ground, ports: Ports) -> Iterator[str]:
    """What is not as it should be, in words: rows, reachability, flows. The controller is another one afterwards."""
    ground.settle()
    yield from _rows(ground, ports)
    yield from _unreachable(ground)
    before = ground.all_flows()
    with ground.watching() as events:
        ground.lab.stop_controller(signal.SIGTERM)
        ground.lab.start_controller()
        try:
            ground.until(ground.ready, 60, "ready after a restart")
        except NotHealed as error:
            yield str(error)
        ground.settle()
    for name, lines in sorted(events.items()):
        if lines:
            yield f"{name}: a new controller makes {len(lines)} flow mods, such as {lines[0].strip()}"
    after = ground.all_flows()
    for name, flows in sorted(before.items()):
        if other := set(flows) ^ set(after[name]):
            yield f"{name}: {len(other)} flows differ from those of a new controller, such as {min(other)}"


def _rows(ground: Ground, ports: Ports) -> Iterator[str]:
    """Where the overlay database, or the hosts', has other ports than there should be."""
    lab = ground.lab
    declared = {vm.name for vm in lab.topology.vms if vm.declared} | ports.declared.keys()
    plugged = {(lab.place(vm.name), vm.name) for vm in lab.topology.vms}
    plugged |= {(chassis, name) for name, chassis in ports.plugged.items()}
    rows = {row["name"] for row in _listed(ground, "port")}
    if rows != declared:
        yield f"declared ports: {sorted(rows ^ declared)[:5]} are too many or missing"
    bound = {(row["chassis"], row["interface"]) for row in _listed(ground, "binding")}
    if bound != plugged:
        yield f"bindings: {sorted(bound ^ plugged)[:5]} are too many or missing"
    down = [row["interface"] for row in _listed(ground, "binding") if not row["up"]]
    if down:
        yield f"bindings: {sorted(down)[:5]} are not up"
    for each in lab.topology.chassis:
        there = set(lab.run(each.name, "ovs-vsctl", "list-ports", "br-int").stdout.split())
        there = {name for name in there if not name.startswith("overlay-")}
        wanted = {name for chassis, name in plugged if chassis == each.name}
        if there != wanted:
            yield f"{each.name}: interfaces {sorted(there ^ wanted)[:5]} are too many or missing"


def _listed(ground: Ground, table: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(ground.lab.overlayctl("--format", "json", "list", table))
    return rows


def _unreachable(ground: Ground) -> Iterator[str]:
    """Pairs of one network that do not reach each other."""
    lab = ground.lab
    for one, other in permutations(lab.topology.vms, 2):
        if one.network != other.network:
            continue
        try:
            lost = lab.ping(one.name, other.name, count=2).lost
        except CommandFailed:  # it has no way to anybody
            lost = 2
        if lost == 2:
            yield f"{one.name} does not reach {other.name}"
