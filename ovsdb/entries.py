"""Words in the overlay database's columns that mean something to the controller. No more than names."""

from __future__ import annotations

from typing import Final

ACCEPT: Final = "accept"
"""The entry of Overlay_Global's options ("true") by which an operator overrules the alarm."""
TAKE_OVER: Final = "take-over"
"""The external_ids entry of a Chassis row ("true") that has it taken from another overlay database."""
DIAL_IN: Final = "dial-in:"
"""What the remote of a chassis begins with that connects to the controller; its name follows."""
NEIGHBOR_AGE: Final = "neighbor_age"
"""The entry of Overlay_Global's options that says after how many seconds of silence a learned neighbor is forgotten."""
