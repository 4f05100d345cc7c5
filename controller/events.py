"""What is logged: every event, at which level, with what beside its text, and what it means. Pure data.

Each log line of ours has one of them. `docs/logs.md` is made from this.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, NamedTuple


class Event(StrEnum):
    """The name of an event, as it stands in a line of JSON."""

    ALARM = "alarm"
    BASELINE = "baseline"
    CHASSIS_CONNECTED = "chassis-connected"
    CHASSIS_HANDED_OVER = "chassis-handed-over"
    CHASSIS_LEFT = "chassis-left"
    CHASSIS_PENDING = "chassis-pending"
    CHASSIS_PROBLEM = "chassis-problem"
    CHASSIS_READY = "chassis-ready"
    CHASSIS_REPAIRED = "chassis-repaired"
    CHASSIS_TAKEN = "chassis-taken"
    CHASSIS_UNREACHABLE = "chassis-unreachable"
    CONNECTION_REFUSED = "connection-refused"
    CONTROLLER_AT_WORK = "controller-at-work"
    CONTROLLER_GONE = "controller-gone"
    COUNTS = "counts"
    DATABASE = "database"
    DECLARATION_UNUSABLE = "declaration-unusable"
    DIAL_IN_REFUSED = "dial-in-refused"
    ENDING = "ending"
    FLOW_REFUSED = "flow-refused"
    FLOWS_APPLIED = "flows-applied"
    FLOWS_CHANGED = "flows-changed"
    FLOWS_FOREIGN = "flows-foreign"
    GATEWAY_CLOSED = "gateway-closed"
    GATEWAY_OPENED = "gateway-opened"
    LOOP_DIED = "loop-died"
    LOOP_STUCK = "loop-stuck"
    METER_REFUSED = "meter-refused"
    METERS_APPLIED = "meters-applied"
    METERS_CHANGED = "meters-changed"
    NAME_TAKEN = "name-taken"
    NEIGHBOR_MOVED = "neighbor-moved"
    NOT_LISTENING = "not-listening"
    NOT_TOLD = "not-told"
    PORT_BOUND = "port-bound"
    PORT_MOVED = "port-moved"
    PORT_REFUSED = "port-refused"
    PORT_UNBOUND = "port-unbound"
    SERVING = "serving"
    STATUS_UNWRITTEN = "status-unwritten"
    SWITCH_CONNECTED = "switch-connected"
    SWITCH_DEMOTED = "switch-demoted"
    SWITCH_FAILED = "switch-failed"
    SWITCH_LOST = "switch-lost"
    SWITCH_REPAIRED = "switch-repaired"
    TUNNEL_HEARD = "tunnel-heard"
    TUNNEL_SILENT = "tunnel-silent"
    VTEPS_CHANGED = "vteps-changed"


class Meaning(NamedTuple):
    """What there is to know of an event: its levels, the keys that its lines may have, and what has happened."""

    levels: tuple[str, ...]
    keys: tuple[str, ...]
    what: str


OTHERS: Final = "library"
"""The event of a line that is not ours but a library's."""

EVENTS: Final[dict[Event, Meaning]] = {
    Event.ALARM: Meaning(
        ("error", "info"),
        ("reason",),
        "what the overlay database says is not acted on: it has lost something, or is older; or it is again",
    ),
    Event.BASELINE: Meaning(
        ("info",), ("ports", "chassis_known"), "all chassis were heard after a start; changes are told from here on"
    ),
    Event.CHASSIS_CONNECTED: Meaning(("info",), ("chassis", "remote"), "a chassis' own database is read"),
    Event.CHASSIS_HANDED_OVER: Meaning(
        ("warning",), ("chassis", "controller"), "another controller has taken a chassis that was ours"
    ),
    Event.CHASSIS_LEFT: Meaning(("info", "warning"), ("chassis",), "a chassis is not in the overlay any more"),
    Event.CHASSIS_PENDING: Meaning(
        ("info",), ("chassis", "address"), "a chassis that is not declared has dialled in, and waits to be accepted"
    ),
    Event.CHASSIS_PROBLEM: Meaning(
        ("error",), ("chassis", "reason"), "a chassis can't be made what it should be: a name is taken, a write refused"
    ),
    Event.CHASSIS_READY: Meaning(("info",), ("chassis",), "a chassis has all it should have, and does again"),
    Event.CHASSIS_REPAIRED: Meaning(
        ("warning",), ("chassis", "written"), "what somebody else changed in a chassis' database was set back"
    ),
    Event.CHASSIS_TAKEN: Meaning(("info",), ("chassis",), "a chassis is ours to serve, of several controllers"),
    Event.CHASSIS_UNREACHABLE: Meaning(("warning",), ("chassis", "reason"), "a chassis' own database can't be read"),
    Event.CONNECTION_REFUSED: Meaning(
        ("warning",), ("address", "reason", "datapath"), "an OpenFlow connection was refused; told once for each reason"
    ),
    Event.CONTROLLER_AT_WORK: Meaning(("info",), ("controller",), "another controller is at work on this overlay"),
    Event.CONTROLLER_GONE: Meaning(
        ("warning",), ("controller",), "another controller is not at work any more; the others have its chassis"
    ),
    Event.COUNTS: Meaning(("info",), ("counted",), "how much is kept and waits, as SIGUSR1 asked"),
    Event.DATABASE: Meaning(
        ("info", "warning"), ("remote", "state"), "the overlay database is served, connected, or can't be reached"
    ),
    Event.DECLARATION_UNUSABLE: Meaning(("error",), ("reason",), "a declared row can't be used; the others are"),
    Event.DIAL_IN_REFUSED: Meaning(
        ("warning",), ("chassis", "address", "reason"), "a chassis that dialled in was refused, or went away"
    ),
    Event.ENDING: Meaning(("info",), (), "the controller was asked to end; switches forward on"),
    Event.FLOW_REFUSED: Meaning(
        ("error",), ("address", "flow", "reason"), "a switch did not take a flow; the others are there"
    ),
    Event.FLOWS_APPLIED: Meaning(("info",), ("chassis", "added", "deleted"), "flows of a switch were changed by us"),
    Event.FLOWS_CHANGED: Meaning(
        ("warning",), ("chassis", "changed"), "somebody else changed flows of ours; they are repaired"
    ),
    Event.FLOWS_FOREIGN: Meaning(
        ("warning",), ("chassis", "number"), "flows on br-int are not ours, or none are any more; they are left alone"
    ),
    Event.GATEWAY_CLOSED: Meaning(
        ("info",), ("network", "chassis", "interface", "tag"), "a network goes on outside here no more"
    ),
    Event.GATEWAY_OPENED: Meaning(
        ("info",), ("network", "chassis", "interface", "tag"), "a network goes on outside of the overlay here"
    ),
    Event.LOOP_DIED: Meaning(("critical",), (), "one of our loops ended by an error, and the controller with it"),
    Event.LOOP_STUCK: Meaning(("error",), ("loops",), "loops do not turn; the supervisor's watchdog is not fed"),
    Event.METER_REFUSED: Meaning(("error",), ("address", "meter", "reason"), "a switch did not take a meter"),
    Event.METERS_APPLIED: Meaning(("info",), ("chassis", "added", "deleted"), "meters of a switch were changed by us"),
    Event.METERS_CHANGED: Meaning(("warning",), ("chassis",), "somebody else changed meters; they are repaired"),
    Event.NAME_TAKEN: Meaning(("critical",), (), "a controller that began later has our name, and this one ends"),
    Event.NEIGHBOR_MOVED: Meaning(
        ("info",),
        ("network", "ip", "mac", "mac_before", "chassis", "interface", "chassis_before", "interface_before"),
        "a learned address has another MAC or place than before; at most ten are told at once",
    ),
    Event.NOT_LISTENING: Meaning(
        ("error", "warning"), ("address", "port", "reason"), "connections can't be accepted; it is tried again"
    ),
    Event.NOT_TOLD: Meaning(
        ("warning",), ("chassis", "reason"), "a switch does not tell of changes: they are looked for every 30 s"
    ),
    Event.PORT_BOUND: Meaning(
        ("info",), ("network", "port", "chassis", "interface", "tag"), "a port is in its network, at this place"
    ),
    Event.PORT_MOVED: Meaning(
        ("info",),
        ("network", "port", "chassis", "interface", "tag", "chassis_before", "interface_before"),
        "a declared port is at another place than before",
    ),
    Event.PORT_REFUSED: Meaning(
        ("warning",),
        ("network", "port", "chassis", "interface", "tag", "reason"),
        "something is wrong with a plug: a conflict, nothing declared, an address that two claim",
    ),
    Event.PORT_UNBOUND: Meaning(
        ("info",), ("network", "port", "chassis", "interface", "tag"), "a port is not in its network any more"
    ),
    Event.SERVING: Meaning(("info",), (), "switches are listened for and the overlay database was read"),
    Event.STATUS_UNWRITTEN: Meaning(
        ("error",), ("reason",), "the overlay database does not take the status; it is tried again"
    ),
    Event.SWITCH_DEMOTED: Meaning(
        ("info", "warning"),
        ("chassis", "generation"),
        "a switch has, or has had, another controller for its master",
    ),
    Event.SWITCH_CONNECTED: Meaning(("info",), ("chassis", "found"), "a switch is connected and its flows were read"),
    Event.SWITCH_FAILED: Meaning(
        ("error", "warning"), ("chassis", "reason"), "a switch did not answer, or nothing can be sent to it"
    ),
    Event.SWITCH_LOST: Meaning(("warning",), ("chassis",), "a switch's OpenFlow connection has ended"),
    Event.SWITCH_REPAIRED: Meaning(
        ("warning",), ("chassis", "changed"), "what somebody else set our ports to, or a switch to do, was set back"
    ),
    Event.TUNNEL_HEARD: Meaning(
        ("info",), ("chassis", "other", "encap", "vtep"), "what a chassis sends by a tunnel arrives again at another"
    ),
    Event.TUNNEL_SILENT: Meaning(
        ("warning",),
        ("chassis", "other", "encap", "vtep"),
        "nothing arrives at a chassis of what another one, which is connected, sends by a tunnel",
    ),
    Event.VTEPS_CHANGED: Meaning(
        ("info",), ("chassis", "vteps", "accepted"), "a step of a change of VTEPs: by which packets are sent, and come"
    ),
}


def about(event: Event, **keys: Any) -> dict[str, Any]:
    """What goes with a log line as its `extra`: the event, and what it is about; what is None is left out."""
    return {"event": event, "about": {name: value for name, value in keys.items() if value is not None}}


def table() -> str:
    """All events as a table in Markdown."""
    rows = ["| event | level | keys | what has happened |", "|---|---|---|---|"]
    for event in sorted(EVENTS):
        levels, keys, what = EVENTS[event]
        named = ", ".join(f"`{key}`" for key in keys)
        rows.append(f"| `{event}` | {', '.join(levels)} | {named} | {what} |")
    return "\n".join(rows) + "\n"
