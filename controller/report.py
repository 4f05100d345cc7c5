"""What the controller has to say of everything that it knows: the state as a status. Reads, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controller.together import note_key, tell
from flows.bind import Place
from flows.compile.view import known_neighbors, sought, unreachable_pairs
from flows.model import Binding, Network, Plug, UnknownNeighbor
from flows.mtu import not_carried
from ovsdb.status import BindingStatus, ChassisStatus, Drops, NetworkStatus, Status
from ovsdb.trust import beyond

HELD: Final = "its switch is left as it is while the alarm stands"
IMPOSTOR_S: Final = 600
"""Seconds for which it is told that somebody was refused in a chassis' name."""

if TYPE_CHECKING:
    from controller.chassis_state import ChassisState
    from controller.state import State


def report(state: State, now: float, clock: float) -> Status:
    """The status of a moment: `now` in seconds of a clock that only rises, `clock` in seconds since 1970."""
    declared = state.declared.chassis if state.declared is not None else {}
    asked = frozenset(name for name, known in state.chassis.items() if known.plugged is not None)
    leads, read = state.shares.leads, state.trust.read
    return Status(
        _chassis(state, now),
        _bindings(state),
        state.overlay.neighbors,
        state.nb_cfg,
        asked,
        read.nb_cfg if read is not None else 0,
        state.trust.alarm if state.trust.doubts is None else "",
        tuple(state.pending[name] for name in sorted(state.pending)),
        frozenset(name for name, row in declared.items() if row.takes_over and _is_ours(state, name)),
        beyond(read, state.marks()) if state.complete and read and read.accepted else None,
        networks=_networks(state) if leads else {},
        drops=_drops(state),
        seen=state.neighbors.seen(now, clock),
        outlets=state.outlets.published(),
        told=tell(state, now),
        foreign=frozenset(name for name, known in state.chassis.items() if known.foreign),
        leads=leads,
    )


def _chassis(state: State, now: float) -> dict[str, ChassisStatus]:
    """Of each chassis what state it is in, and what is wrong with it."""
    unreachable: dict[str, list[str]] = {}
    for network, one, other in unreachable_pairs(state.overlay):
        for here, there in ((one, other), (other, one)):
            text = f"shares no encap and address family with {there}, so network '{network}' is cut in two"
            unreachable.setdefault(here, []).append(text)
    chassis = {}
    for name, known in state.chassis.items():
        if known.foreign:
            continue
        held = HELD if known.connected and not state.trust.acts else ""
        error = "; ".join(filter(None, [known.error, held, *unreachable.get(name, [])]))
        installed = min(known.cur_cfg, known.provisioned_cfg)
        if not (state.outlets.settled(name) and _vteps_settled(state)):
            installed = max(0, min(installed, state.nb_cfg - 1))
        datapath = known.plugged.datapath_type if known.plugged is not None else ""
        word = "error" if error and known.state == "ready" else known.state
        told = (_silent(known), _impostor(known, now), _remarks(known))
        chassis[name] = ChassisStatus(word, error, datapath, known.datapath_id, installed, known.flows, *told)
    for name, why in (state.trust.read.unusable if state.trust.read is not None else {}).items():
        chassis.setdefault(name, ChassisStatus("error", why, "", "", 0, 0))
    return chassis


def _silent(known: ChassisState) -> dict[str, str]:
    """From which VTEPs nothing arrives at a chassis, and whose they are; of one that is not there nobody knows."""
    there = known.connected and not known.fault
    return {f"{encap} {ip}": name for (encap, ip), name in known.silent.items()} if there else {}


def _impostor(known: ChassisState, now: float) -> str:
    """Who was refused in a chassis' name not long ago, though its own switch is there; else its error tells."""
    recent = known.impostor is not None and now < known.impostor[1] + IMPOSTOR_S
    return known.impostor[0] if known.impostor is not None and recent and known.connected else ""


def _remarks(known: ChassisState) -> tuple[str, ...]:
    """What others have at a chassis, and is left alone, as far as it can be seen now."""
    mirrors = known.plugged.mirrors if known.plugged is not None and not known.fault else ()
    copied = [f"mirror '{name}' of br-int copies packets to somewhere else, and is left alone" for name in mirrors]
    return (*copied, *(known.remarks[what] for what in sorted(known.remarks) if known.connected))


def _strange(state: State, binding: Binding) -> str:
    """What is strange about what a port sends, as we or other controllers have seen it."""
    return state.strange.about(binding) or state.shares.noted(note_key(binding))


def _vteps_settled(state: State) -> bool:
    """Whether no chassis has VTEPs that are to go, or to be used."""
    if state.shares.leads or state.declared is None:
        return state.vteps.settled()
    return not any(each.besides for each in state.overlay.chassis.values())


def _bindings(state: State) -> dict[tuple[str, str, int], BindingStatus]:
    """What became of each plug, and of each interface that leads to a physical network."""
    at: dict[Place, dict[int, Binding]] = {}
    for binding in state.overlay.bindings:
        at.setdefault((binding.chassis, binding.interface), {})[binding.tag] = binding
    bindings = {}
    for plug in state.plugs():
        place = (plug.chassis, plug.interface)
        for tag, binding in {0: None, **at.get(place, {})}.items():
            wrong = state.problems.get(place, "") if tag == 0 else ""
            shut = state.chassis[plug.chassis].ports.get(plug.ofport, "") if tag == 0 else ""
            bindings[(*place, tag)] = BindingStatus(
                plug,
                binding.network if binding is not None else None,
                binding.port if binding is not None else None,
                binding is not None and _is_up(state, binding),
                wrong or (_strange(state, binding) if binding is not None else "") or shut,
            )
    exits = {(each.chassis, each.physical): each for each in state.exits()}
    for outlet in state.outlets.all():
        at_ = exits.get((outlet.chassis, outlet.physical))
        if at_ is not None:
            binding = at.get((at_.chassis, at_.interface), {}).get(outlet.vlan)
            bindings[at_.chassis, at_.interface, outlet.vlan] = BindingStatus(
                Plug(at_.chassis, at_.interface, at_.ofport),
                outlet.network,
                None,
                binding is not None and _is_up(state, binding),
                "",
                outlet.physical,
            )
    return bindings


def _networks(state: State) -> dict[str, NetworkStatus]:
    """What each network's tunnels carry, and what is wrong with how it is declared, connected, or with its MTU."""
    if state.declared is None:
        return {}
    members: dict[str, set[str]] = {}
    for binding in state.overlay.bindings:
        members.setdefault(binding.network, set()).add(binding.chassis)
    found = {}
    for name, network in state.declared.networks.items():
        least = state.least(network.encap)
        chassis = [state.overlay.chassis[each] for each in members.get(name, ()) if each in state.overlay.chassis]
        faults = (
            state.trust.read.network_faults.get(name, "") if state.trust.read is not None else "",
            state.network_problems.get(name, ""),
            not_carried(network, chassis),
            _unasked(state, network) if chassis else "",
        )
        carries = least.mtu if least is not None else None
        found[name] = NetworkStatus(carries, "; ".join(filter(None, faults)))
    for name, fault in state.trust.read.network_faults.items() if state.trust.read is not None else ():
        found.setdefault(name, NetworkStatus(None, fault))  # one that is left out
    return found


def _unasked(state: State, network: Network) -> str:
    """That requests for unknown neighbors are to go to gateways alone that nobody is known to be; '' where none are."""
    if network.unknown_neighbor is not UnknownNeighbor.GATEWAY:
        return ""
    if not network.routers:
        what = "it has no gateway that requests for unknown neighbors could be sent to"
        return f"{what}, so they are dropped; overlayctl net-set {network.name} --gateway IP"
    overlay = state.overlay
    known = known_neighbors(
        (binding for binding in overlay.bindings if binding.network == network.name),
        (neighbor for neighbor in overlay.neighbors if neighbor.network == network.name),
    )
    missing = sought(network, known)
    if not missing:
        return ""
    return (
        f"nobody is known to have the address of its gateway, {', '.join(missing)}, so requests for unknown neighbors "
        f"are not sent there but dropped; plug in the port that has it "
        f"(overlayctl port-add NAME --net {network.name} --ip {missing[0]})"
    )


def _drops(state: State) -> Drops | None:
    """The answer to the latest request, once every chassis that is connected has given its own."""
    asked = state.declared.drops_asked if state.declared is not None else 0
    waiting = [name for name, known in state.chassis.items() if known.connected and state.asked_to_count(name)]
    if not asked or waiting:
        return None
    return Drops(asked, tuple(drop for name in sorted(state.drops) for drop in state.drops[name][1]))


def _is_ours(state: State, chassis: str) -> bool:
    """Whether a chassis remembers that it belongs to this overlay database."""
    mark = state.chassis[chassis].mark if chassis in state.chassis else None
    return mark is not None and state.declared is not None and mark.database_id == state.declared.database_id


def _is_up(state: State, binding: Binding) -> bool:
    """Whether every switch that is connected has the binding's flows, its own above all."""
    since = state.since.get(binding, state.version)
    own = state.chassis.get(binding.chassis)
    others = (known.applied for known in state.chassis.values() if known.connected)
    return own is not None and own.applied >= since and all(applied >= since for applied in others)
