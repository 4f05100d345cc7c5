"""Words in the overlay database's columns that mean something to the controller. No more than names."""

from __future__ import annotations

import re
from typing import Final

ACCEPT: Final = "accept"
"""The entry of Overlay_Global's options ("true") by which an operator overrules the alarm."""
TAKE_OVER: Final = "take-over"
"""The external_ids entry of a Chassis row ("true") that has it taken from another overlay database."""
DIAL_IN: Final = "dial-in:"
"""What the remote of a chassis begins with that connects to the controller; its name follows."""
NEIGHBOR_AGE: Final = "neighbor_age"
"""The entry of Overlay_Global's options that says after how many seconds of silence a learned neighbor is forgotten."""
AGES: Final = range(5, 86401)
"""What that may be."""
OPTIONS: Final = (ACCEPT, NEIGHBOR_AGE)
"""The entries of Overlay_Global's options that mean anything."""


def fault(key: str, value: str) -> str:
    """Why an entry of Overlay_Global's options means nothing, and what to do, in words; '' where it means something."""
    if key not in OPTIONS:
        return (
            f"Overlay_Global options:{key} means nothing; there are: {', '.join(OPTIONS)}; take it away: "
            f"overlayctl remove Overlay_Global . options {key} (notes of your own: external_ids)"
        )
    if key == ACCEPT and value not in ("true", "false"):
        return f"Overlay_Global options:{key} {value!r} is neither true nor false; overlayctl db-accept"
    if key == NEIGHBOR_AGE and not (re.fullmatch("[0-9]{1,6}", value) and int(value) in AGES):
        return (
            f"Overlay_Global options:{key} {value!r} is not a number of seconds in {AGES[0]}..{AGES[-1]}; "
            f"overlayctl set Overlay_Global . options:{key}=300"
        )
    return ""
