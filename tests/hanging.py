"""Loaded by `ryu-manager` before the controller: on SIGUSR2 it hangs, in the way that `OVERLAY_HANG` names.

`hub`: nothing gets its turn any more. `loop`: that of the overlay database alone; a look at loops then counts for many.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from ryu.lib import hub

from controller import service
from ovsdb.session import Session


def _turn_for_ever(*_: object) -> None:
    while True:
        pass


def _stop_one(*_: object) -> None:
    service.STUCK_TURNS = 3  # type: ignore[misc]

    def block(*_: Any) -> None:
        hub.Event().wait()

    Session.block = block  # type: ignore[method-assign]


signal.signal(signal.SIGUSR2, {"hub": _turn_for_ever, "loop": _stop_one}[os.environ["OVERLAY_HANG"]])
