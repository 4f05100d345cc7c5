"""Several controllers, each at its own pace, on one database: in the end all of them see the same overlay."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.packet_in import Seen
from controller.shares import MISSED, SETTLED, Shares
from controller.state import State
from flows.bind import Exit, Outlet, is_moving_there
from flows.model import Chassis, Gateway, Network, Plug, Port, Vtep
from ovsdb.shared import Share, Shared
from ovsdb.snapshot import ChassisRow, Declared, LastKnown, Plugged
from ovsdb.status import BindingStatus, Status

HOSTS = ("h1", "h2", "h3")
NAMES = ("amber", "birch", "cedar")
NETWORKS = {"red": Network("red", "acme", 100)}
PORTS = {f"web{n}": Port(f"web{n}", "red", f"02:00:00:00:00:0{n}", (f"10.0.0.{n}",)) for n in (1, 2, 3)}
BASE = Declared(
    {h: ChassisRow(Chassis(h, (Vtep(f"192.0.2.{h[1:]}"),)), f"tcp:198.51.100.{h[1:]}:6640") for h in HOSTS},
    NETWORKS,
    PORTS,
    database_id="one",
)


@dataclass
class World:
    """What is written down, and what is plugged in where."""

    declared: Declared = BASE
    shared: Shared = field(default_factory=lambda: Shared({}, {name: Share() for name in HOSTS}))
    bindings: dict[tuple[str, str, int], BindingStatus] = field(default_factory=dict)
    neighbors: dict[tuple[str, str], object] = field(default_factory=dict)
    plugs: dict[tuple[str, str], Plug] = field(default_factory=dict)
    now: float = 0.0

    def last(self) -> LastKnown:
        bound: dict[str, list[tuple[bool, tuple[str, str]]]] = {}
        for (chassis, interface, _), said in self.bindings.items():
            if said.port:
                bound.setdefault(said.port, []).append((is_moving_there(said.error), (chassis, interface)))
        return LastKnown(
            tuple(said.plug for _, said in sorted(self.bindings.items()) if said.physical is None),
            {port: tuple(place for _, place in sorted(places)) for port, places in bound.items()},
            tuple(neighbor for _, neighbor in sorted(self.neighbors.items())),  # type: ignore[arg-type]
            moving=frozenset(place for places in bound.values() for moving, place in places if moving),
        )

    def write(self, status: Status, seen: Shared) -> bool:
        """The transaction of a controller, which is refused where somebody else was first."""
        told = status.told
        assert told is not None
        mine = {name for name in HOSTS if name not in status.foreign}
        if any(self.shared.chassis[name].owner != told.name for name in mine):
            return False
        hosts = dict(self.shared.chassis)
        for name, generation in told.claims.items():
            if (hosts[name].owner, hosts[name].generation) != (seen.chassis[name].owner, seen.chassis[name].generation):
                return False
            hosts[name] = replace(hosts[name], owner=told.name, generation=generation)
        for name in mine & told.connected.keys():
            state = status.chassis[name]
            hosts[name] = replace(hosts[name], connected=told.connected[name], state=state.state, error=state.error)
            hosts[name] = replace(hosts[name], exits=told.exits.get(name, hosts[name].exits))
            if name in told.heard:
                hosts[name] = replace(hosts[name], heard=hosts[name].generation)
        if told.leads and self.shared.leader == told.name:
            for name, chassis in told.present.items():
                hosts[name] = replace(hosts[name], vteps=(chassis.vteps, chassis.besides))
        leader = told.name if told.takes_lead and self.shared.leader == seen.leader else self.shared.leader
        outlets = told.outlets if told.leads and leader == told.name else self.shared.outlets
        self.shared = Shared({**self.shared.controllers, told.name: told.row}, hosts, leader, outlets)
        for place in [place for place in self.bindings if place[0] in status.asked]:
            del self.bindings[place]
        self.bindings |= {place: said for place, said in status.bindings.items() if place[0] in status.asked}
        ours = {(n.network, n.ip): n for n in status.neighbors if n.chassis not in status.foreign}
        for key, known in list(self.neighbors.items()):
            if key not in ours and known.chassis not in status.foreign:  # type: ignore[attr-defined]
                del self.neighbors[key]
        self.neighbors |= ours
        return True


class Node:
    """A controller."""

    def __init__(self, name: str, world: World) -> None:
        self.world = world
        self.state = State(lambda: None, lambda: None, shares=Shares(name, f"{name} {world.now}"))
        for host in HOSTS:
            self.state.shares.reach(host, True)

    def turn(self) -> None:
        """It reads, hears its chassis, has their switches confirm, and writes."""
        world, state = self.world, self.state
        world.now += 0.2
        seen = world.shared
        state.declare(world.declared, world.last(), seen, world.now)
        for host in HOSTS:
            if state.shares.mine(host):
                plugs = tuple(plug for place, plug in sorted(world.plugs.items()) if place[0] == host)
                exits = (Exit(host, "office", "overlay-to-br0", 65),) if state.exits_of(host) else ()
                state.plug(host, Plugged(plugs, exits=exits), provisioned=state.nb_cfg)
                state.connect(host, True)
        for host in HOSTS:
            if state.shares.mine(host) and state.complete:
                state.confirm(host, state.version, state.nb_cfg, 0, ())
        status = state.status(world.now)
        if world.write(status, seen):
            state.wrote(status, world.now)


def rest(world: World, nodes: dict[str, Node]) -> None:
    for _ in range(5 * (MISSED + SETTLED)):
        for node in nodes.values():
            node.turn()


def test_three_share_and_see_the_same() -> None:
    world = World()
    world.plugs["h1", "vm1"] = Plug("h1", "vm1", 1, iface_id="web1")
    world.plugs["h3", "vm3"] = Plug("h3", "vm3", 3, iface_id="web3")
    nodes = {name: Node(name, world) for name in NAMES}
    rest(world, nodes)
    assert sorted({share.owner for share in world.shared.chassis.values()}) == sorted(NAMES)
    overlays = [node.state.overlay for node in nodes.values()]
    assert overlays[0] == overlays[1] == overlays[2]
    assert [(b.chassis, b.port) for b in overlays[0].bindings] == [("h1", "web1"), ("h3", "web3")]
    assert all(said.up for said in world.bindings.values())


def test_a_neighbor_moves_between_the_chassis_of_two() -> None:
    world = World()
    for number, host in enumerate(HOSTS, 1):
        world.plugs[host, f"vm{number}"] = Plug(host, f"vm{number}", number, vni="100")
    nodes = {name: Node(name, world) for name in NAMES}
    rest(world, nodes)
    owner = {host: nodes[world.shared.chassis[host].owner] for host in HOSTS}
    for number, host in enumerate(HOSTS, 1):
        owner[host].state.see(host, number, Seen("10.0.0.9", f"02:00:00:00:09:0{number}"), world.now)
        rest(world, nodes)
        for node in nodes.values():
            assert [(n.mac, n.chassis) for n in node.state.overlay.neighbors] == [(f"02:00:00:00:09:0{number}", host)]


def test_who_had_a_port_first_has_it_for_all() -> None:
    world = World()
    world.plugs["h3", "vm3"] = Plug("h3", "vm3", 3, iface_id="web1")
    nodes = {name: Node(name, world) for name in NAMES}
    rest(world, nodes)
    world.plugs["h1", "vm1"] = Plug("h1", "vm1", 1, iface_id="web1")
    rest(world, nodes)
    for node in nodes.values():
        assert [(b.chassis, b.standby) for b in node.state.overlay.bindings] == [("h1", True), ("h3", False)]
    del world.plugs["h3", "vm3"]
    rest(world, nodes)
    for node in nodes.values():
        assert [(b.chassis, b.standby) for b in node.state.overlay.bindings] == [("h1", False)]


@given(st.lists(st.sampled_from(NAMES), min_size=3, max_size=12))
@settings(deadline=None, max_examples=50)
def test_nobody_changes_flows_who_does_not_know_every_port(turns: list[str]) -> None:
    """A database that was made anew of what chassis remember: nothing stands there of what is plugged in."""
    world = World()
    for number, host in enumerate(HOSTS, 1):
        world.plugs[host, f"vm{number}"] = Plug(host, f"vm{number}", number, iface_id=f"web{number}")
    nodes = {name: Node(name, world) for name in NAMES}
    for name in (*turns, *NAMES * 20):
        nodes[name].turn()
        for node in nodes.values():
            assert not node.state.complete or len(node.state.overlay.bindings) == len(HOSTS), (name, node.state)
    assert all(node.state.complete for node in nodes.values())


def test_who_takes_a_chassis_over_waits_for_what_nobody_could_write_down() -> None:
    """A port came while the database took no writes, and then its owner died: it is on all switches."""
    world = World()
    nodes = {name: Node(name, world) for name in ("amber", "birch")}
    rest(world, nodes)
    victim = world.shared.chassis["h1"].owner
    other = nodes["birch" if victim == "amber" else "amber"]
    world.plugs["h1", "vm1"] = Plug("h1", "vm1", 1, iface_id="web1")
    silent = False
    for _ in range(20 * MISSED):
        state = other.state
        world.now += 0.2
        state.declare(world.declared, world.last(), world.shared, world.now)
        if state.shares.mine("h1") and not silent:
            assert state.chassis["h1"].plugged is None
            assert not state.complete, "it has not asked h1 yet"
            silent = True
        other.turn()
    assert silent, "it has taken h1"
    assert other.state.complete
    assert [binding.port for binding in other.state.overlay.bindings] == ["web1"]


@given(st.lists(st.sampled_from(NAMES), max_size=60))
@settings(deadline=None)
def test_a_vtep_changes_in_steps_for_all(turns: list[str]) -> None:
    """Each at its own pace; who lags behind for long is dead, and its chassis another one's."""
    world = World()
    nodes = {name: Node(name, world) for name in NAMES}
    rest(world, nodes)
    row = world.declared.chassis["h2"]
    moved = replace(row, chassis=replace(row.chassis, vteps=(Vtep("192.0.2.22"),)))
    world.declared = replace(world.declared, chassis={**world.declared.chassis, "h2": moved}, nb_cfg=1)
    ways = {host: [way(nodes, host)] for host in HOSTS}
    for name in (*turns, *NAMES * 30):
        nodes[name].turn()
        for host in HOSTS:
            if way(nodes, host) != ways[host][-1]:
                ways[host].append(way(nodes, host))
        together = [node.state.overlay.chassis["h2"] for node in nodes.values()]
        used = {vtep.ip for each in together for vtep in each.vteps}
        assert all(used <= {vtep.ip for vtep in each.ends} for each in together), "who sends is accepted by all"
    old, new = "192.0.2.2", "192.0.2.22"
    steps = [(old, "|"), (old, "|", new), (new, "|", old), (new, "|")]
    for seen in ways.values():
        assert [step for step in steps if step in seen] == seen
        assert seen[-1] == steps[-1]


def way(nodes: dict[str, Node], host: str) -> tuple[str, ...]:
    """By which VTEPs its owner has a chassis send to h2, and by which others it accepts."""
    states = [node.state for node in nodes.values()]
    state = next((state for state in states if state.shares.mine(host)), states[0])
    at = state.overlay.chassis["h2"]
    return (*(vtep.ip for vtep in at.vteps), "|", *(vtep.ip for vtep in at.besides))


def test_a_gateway_is_open_at_one_place_whoever_has_it() -> None:
    at = dict.fromkeys(HOSTS, (("office", "br0"),))
    chassis = {name: replace(row, chassis=replace(row.chassis, bridges=at[name])) for name, row in BASE.chassis.items()}
    red = replace(NETWORKS["red"], gateway=Gateway("office", 10, "h1"))
    world = World(replace(BASE, chassis=chassis, networks={"red": red}))
    nodes = {name: Node(name, world) for name in NAMES}
    rest(world, nodes)
    assert world.shared.outlets == {Outlet("red", "h1", "office", 10): True}
    for host in ("h3", "h2", "h1"):
        there = replace(red, gateway=Gateway("office", 10, host))
        world.declared = replace(world.declared, networks={"red": there}, nb_cfg=world.declared.nb_cfg + 1)
        for _ in range(40):
            for node in nodes.values():
                node.turn()
                assert sum(open_ for open_ in world.shared.outlets.values()) <= 1
                states = [each.state for each in nodes.values()]
                doors = {
                    b for each in states for b in each.overlay.bindings if b.gateway and each.shares.mine(b.chassis)
                }
                assert len(doors) <= 1
        assert world.shared.outlets == {Outlet("red", host, "office", 10): True}


PLACES = [(host, interface) for host in HOSTS for interface in ("vm1", "vm2")]
EVENTS = st.one_of(
    st.tuples(st.just("turn"), st.sampled_from(NAMES)),
    st.tuples(st.just("kill"), st.sampled_from(NAMES)),
    st.tuples(st.just("start"), st.sampled_from(NAMES)),
    st.tuples(st.just("unplug"), st.sampled_from(PLACES)),
    st.tuples(st.just("plug"), st.tuples(st.sampled_from(PLACES), st.sampled_from(sorted(PORTS)))),
)


@given(st.lists(EVENTS, max_size=40))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_all_come_to_see_the_same(events: list[tuple[str, object]]) -> None:
    world = World()
    nodes = {"amber": Node("amber", world)}
    for what, about in events:
        if what == "turn" and about in nodes:
            nodes[about].turn()  # type: ignore[index]
        elif what == "kill" and about in nodes and len(nodes) > 1:
            del nodes[about]  # type: ignore[arg-type]
        elif what == "start" and about not in nodes:
            nodes[about] = Node(about, world)  # type: ignore[index, arg-type]
        elif what == "unplug":
            world.plugs.pop(about, None)  # type: ignore[call-overload]
        elif what == "plug":
            place, port = about  # type: ignore[misc]
            world.plugs[place] = Plug(*place, 1 + PLACES.index(place), iface_id=port)
    rest(world, nodes)
    overlays = [node.state.overlay for node in nodes.values()]
    assert all(each == overlays[0] for each in overlays)
    assert {share.owner for share in world.shared.chassis.values()} <= nodes.keys()
    claimed = {plug.iface_id for plug in world.plugs.values()}
    holders = [binding.port for binding in overlays[0].bindings if not binding.standby]
    assert sorted(holders) == sorted(claimed), "each port that is plugged in has one place"  # type: ignore[type-var]
