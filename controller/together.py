"""What several controllers know of each other's progress, what ours takes in of others, and what it says of itself.

Each counts versions of its own view of the overlay, writes down which one stands in the database, and for each other
controller up to which of *its* versions all our switches have the flows. So all know what every switch has, and what
must happen in order (a gateway closes before another opens) does so across controllers. Pure but for memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from controller.chassis_state import ChassisState
from controller.outlets import OpenOutlets
from controller.shares import Shares
from controller.vteps import VtepChanges
from flows.model import Binding
from ovsdb.shared import Controller, Shared, Told
from ovsdb.snapshot import Declared, LastKnown

if TYPE_CHECKING:
    from controller.state import State

KEPT: Final = 64
"""How many versions of another controller are remembered that our switches have not got yet; later ones stand in."""


@dataclass
class Together:
    """The store. `begun`: what was shared has been taken in once. `leaving` are chassis that are being withdrawn from
    the overlay by us, with the version from which on they are not in it."""

    begun: bool = False
    leaving: dict[str, int] = field(default_factory=dict)
    _heard: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Of each other process, pairs of a version of its and the first of ours that has it in."""
    _awaited: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Chassis that others withdraw: the owner, and the version of ours that does not have it any more."""
    _taken: tuple[object, ...] = ()
    """What was last taken in of others' (`news`)."""

    def take(self, shares: Shares, chassis: Mapping[str, ChassisState]) -> None:
        """Store in chassis of others what their owners tell."""
        others = shares.others()
        for name, known in chassis.items():
            if not known.foreign:
                continue
            share = shares.share(name)
            lives = shares.lives(share.owner)
            known.tried, known.connected = True, share.connected and lives
            known.fault = share.error if share.state == "unreachable" and lives else ""
            owner = others.get(share.owner)
            known.applied = owner.applied.get(shares.instance, -1) if owner is not None else -1

    def news(self, shares: Shares, chassis: Mapping[str, ChassisState], last: LastKnown, outlets: OpenOutlets) -> bool:
        """Whether others have written down anything else that the overlay follows from; to bind anew takes long."""
        foreign = {name for name, known in chassis.items() if known.foreign}
        told = {name: shares.share(name) for name in foreign}
        before = self._taken
        self._taken = (
            (last.plugs, last.held, last.moving, last.neighbors) if foreign else (),
            {name: (share.exits, bool(chassis[name].fault)) for name, share in told.items()},
            () if shares.leads else {name: shares.share(name).vteps for name in chassis},
            outlets.published() if outlets.follows else (),
            {name: chassis[name].connected for name in foreign} if outlets.all() else (),
        )
        return self._taken != before

    def heard(self, shares: Shares, version: int) -> None:
        """What stands in the database now of others is in this version of ours."""
        instances = set()
        for row in shares.others().values():
            instances.add(row.instance)
            pairs = self._heard.setdefault(row.instance, [])
            if not pairs or pairs[-1][0] != row.written:
                pairs.append((row.written, version))
                del pairs[:-KEPT]
        for gone in self._heard.keys() - instances:
            del self._heard[gone]

    def withdrawn_by(self, chassis: str, owner: str, version: int) -> None:
        """A chassis of another controller's is not declared any more, as of that version of ours."""
        self._awaited[chassis] = (owner, version)

    def withdrawn(self, shares: Shares) -> list[str]:
        """The chassis that others have withdrawn by now. Of a dead controller nobody knows, and nobody asks."""
        rows = shares.others()
        done = []
        for chassis, (owner, version) in self._awaited.items():
            row = rows.get(owner)
            if row is None or not shares.lives(owner) or row.applied.get(shares.instance, -1) >= version:
                done.append(chassis)
        for chassis in done:
            del self._awaited[chassis]
        return done

    def step(
        self,
        shares: Shares,
        chassis: Mapping[str, ChassisState],
        outlets: OpenOutlets,
        vteps: VtepChanges,
        version: int,
    ) -> bool:
        """Have what waits until every switch has something go on where they have; whether anything does."""
        if not shares.leads:
            return False
        closed = [outlets.confirm(name, known.applied) for name, known in chassis.items() if known.foreign]
        closed += [outlets.leave(name) for name in self.withdrawn(shares)]
        oldest = min((each.applied for each in chassis.values() if each.connected), default=-1)
        return vteps.confirm(oldest, version + 1) or any(closed)

    def applied(self, version: int) -> dict[str, int]:
        """Of each other process the version that all switches have that have ours of that number."""
        version = min([version, *(since - 1 for since in self.leaving.values())])
        found = {}
        for instance, pairs in self._heard.items():
            done = [theirs for theirs, ours in pairs if ours <= version]
            if done:
                found[instance] = done[-1]
        return found


def hand_over(shares: Shares, chassis: dict[str, ChassisState]) -> bool:
    """Begin anew with chassis that have become ours, or another controller's; whether there are any."""
    moved = False
    for name, known in list(chassis.items()):
        if known.foreign != (not shares.mine(name)):
            chassis[name] = ChassisState(
                foreign=not known.foreign,
                datapath_id=known.datapath_id,
                connected=shares.connected(name),
            )
            moved = True
        if chassis[name].generation != shares.generation(name):
            chassis[name].generation = shares.generation(name)
            moved = True
    return moved


def begin_to_lead(shared: Shared, declared: Declared, outlets: OpenOutlets, vteps: VtepChanges, version: int) -> None:
    """Go on from where the controller that led before had come."""
    if shared.outlets:
        outlets.resume(shared.outlets)
    for name in {outlet.chassis for outlet in outlets.all()} - declared.chassis.keys():
        outlets.leave(name)
    present = {name: share.vteps for name, share in shared.chassis.items() if share.vteps is not None}
    vteps.resume(present, {name: row.chassis for name, row in declared.chassis.items()}, version + 1)


def note_key(binding: Binding) -> str:
    """How a binding is called in a note about it."""
    return f"{binding.chassis} {binding.interface} {binding.tag}"


def tell(state: State, now: float) -> Told | None:
    """What our controller has to say of itself and of its chassis; None while it does not know of any database."""
    shares = state.shares
    if shares.shared is None:
        return None
    ours = {name: known for name, known in state.chassis.items() if not known.foreign}
    version = min((known.applied for known in ours.values() if known.connected), default=state.version)
    row = Controller(
        shares.instance,
        shares.beat(now),
        shares.openflow,
        shares.reaches(),
        state.version,
        state.together.applied(version),
        {note_key(each): said for each, said in state.strange.all() if not shares.mine(each.chassis)},
    )
    declared = state.declared.chassis if state.declared is not None else {}
    return Told(
        shares.name,
        row,
        shares.claims(),
        shares.takes_lead(),
        shares.leads,
        {name: state.at_present(each.chassis) for name, each in declared.items()} if shares.leads else {},
        state.outlets.published(),
        {name: known.plugged.exits for name, known in ours.items() if known.plugged is not None},
        {name: known.connected for name, known in ours.items()},
        frozenset(shares.live()) - {shares.name},
        frozenset(name for name, known in ours.items() if known.heard),
        {name: str(known.mark) for name, known in ours.items() if known.mark is not None},
    )
