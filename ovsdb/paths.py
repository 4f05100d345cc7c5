"""The overlay database's name, and where it lies when nobody says otherwise.

`OVERLAY_RUNDIR` and `OVERLAY_DBDIR` move the directories, `OVERLAY_DB` names a server that runs already. Where several
controllers serve it, `OVERLAY_NAME` and `OVERLAY_OPENFLOW` say who one of them is and how switches reach it.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Final

from ovsdb.remotes import OPENFLOW_PORT, inet

DATABASE: Final = "Overlay"
"""The name of the schema in `overlay.ovsschema`."""
PROGRAM: Final = "ovs-overlay"
DIAL_IN_PORT: Final = 6641
"""Where chassis dial in, unless told otherwise."""


def schema() -> Path:
    """The schema in this package, as a file."""
    return Path(__file__).with_name("overlay.ovsschema")


def run_dir() -> Path:
    """The directory of sockets and pid files, which need not survive a reboot."""
    if named := os.environ.get("OVERLAY_RUNDIR"):
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/run") / PROGRAM
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(session) / PROGRAM
    # Without a login session there is no run directory; a fixed name in /tmp could be anybody's.
    return database_dir() / "run"


def database_dir() -> Path:
    """The directory of the embedded server's file and log."""
    if named := os.environ.get("OVERLAY_DBDIR"):
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib") / PROGRAM
    return Path.home() / ".local" / "state" / PROGRAM


def socket_path() -> Path:
    """The socket of the embedded server."""
    return run_dir() / "overlay.sock"


def database_path() -> Path:
    """The file of the embedded server."""
    return database_dir() / "overlay.db"


def named_database() -> str | None:
    """The servers `OVERLAY_DB` names, as written, or None when the controller runs its own."""
    return os.environ.get("OVERLAY_DB") or None


def controller_name(port: str) -> str:
    """What a controller that listens on that TCP port is called: as `OVERLAY_NAME` says, else by its host and port.

    Of a host's name, which may be anything, what is no part of a name is left out. Raises ValueError when what was
    said is none.
    """
    host = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]", "", socket.gethostname()) or "controller"
    name = os.environ.get("OVERLAY_NAME") or f"{host}:{port}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", name):
        raise ValueError(
            f"OVERLAY_NAME={name} is no name: 1 to 128 letters, digits, '.', '_', ':', '-', the first a letter or digit"
        )
    return name


def openflow_target() -> str:
    """Where switches reach the controller, as `OVERLAY_OPENFLOW` says; '' when it does not.

    Raises ValueError when that is no target.
    """
    written = os.environ.get("OVERLAY_OPENFLOW") or ""
    try:
        return str(inet(written, OPENFLOW_PORT)) if written else ""
    except ValueError as error:
        raise ValueError(f"OVERLAY_OPENFLOW={written} is no target: {error}") from None


def dial_in() -> tuple[str, int] | None:
    """Where chassis may dial in, (IP address, TCP port), as `OVERLAY_DIAL_IN` says: `off`, PORT or IP:PORT.

    Raises ValueError for anything else.
    """
    written = os.environ.get("OVERLAY_DIAL_IN") or str(DIAL_IN_PORT)
    if written == "off":
        return None
    host, _, port = written.rpartition(":")
    try:
        where = inet(f"tcp:{host or '0.0.0.0'}:{port}", DIAL_IN_PORT)
    except ValueError as error:
        raise ValueError(f"OVERLAY_DIAL_IN={written} is neither off, nor PORT, nor IP:PORT: {error}") from None
    return where.host, where.port


def default_database() -> str:
    """What a client connects to when its command line names nothing."""
    return named_database() or f"unix:{socket_path()}"
