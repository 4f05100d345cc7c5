"""A packet through flows, as Open vSwitch would take it: one switch, or across the tunnels of several.

Runs on what `compile` returns or `text.parse` reads back, learned flows included, and answers with values:
the flows that were met, what was sent where, what was copied to the controller. For tests and `trace`.
Stricter than a switch in one point: two flows of equal priority that both match are an error, for which
of them a switch would take is not defined (OpenFlow 1.4 section 5.3).
"""

from flows.simulate.lookup import OverlapError
from flows.simulate.packets import BEYOND, STATE, Packet, has, packet, seen
from flows.simulate.switch import LoopError, Sent, Switch, Trace
from flows.simulate.tunnels import Delivery, Journey, journey

__all__ = [
    "BEYOND", "STATE", "Delivery", "Journey", "LoopError", "OverlapError", "Packet", "Sent", "Switch", "Trace",
    "has", "journey", "packet", "seen",
]  # fmt: skip
