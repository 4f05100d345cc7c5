"""What was built, as a file: another process finds a lab by its name, runs commands in it, takes it down."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topologies.processes import Process
from topologies.topology import Topology, from_json, to_json

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Record:
    """A lab on paper.

    `processes` are those it runs, by what they are (`h1/ovs-vswitchd`); `places` says on which chassis
    each VM's cable ends.
    """

    name: str
    topology: Topology
    datapath: str
    namespaces: tuple[str, ...] = ()
    processes: dict[str, Process] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def root() -> Path:
    """Where labs keep their files; OVERLAY_LAB_DIR names another place."""
    return Path(os.environ.get("OVERLAY_LAB_DIR", "/run/ovs-overlay-lab")).absolute()


def directory(lab: str) -> Path:
    """The directory of one lab; ValueError for a name that no lab can have."""
    if not _NAME.fullmatch(lab):
        raise ValueError(f"{lab!r} is no name for a lab: a letter, then letters, digits or -, 32 at most")
    return root() / lab


def claim(lab: str) -> Path:
    """Make a lab's directory and return it; FileExistsError when there is a lab of that name."""
    path = directory(lab)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o755)
    except FileExistsError:
        raise FileExistsError(f"there is a lab {lab!r} already ({path}); take it down first") from None
    return path


def release(lab: str) -> None:
    """Remove a lab's files, and the directory of all labs with the last one."""
    shutil.rmtree(directory(lab), ignore_errors=True)
    with contextlib.suppress(OSError):  # other labs are in it, or it is somebody else's
        root().rmdir()


def write(record: Record) -> None:
    """Write a lab down, whole or not at all."""
    plain: dict[str, Any] = {
        "name": record.name,
        "topology": to_json(record.topology),
        "datapath": record.datapath,
        "namespaces": record.namespaces,
        "processes": {what: dataclasses.asdict(process) for what, process in record.processes.items()},
        "places": record.places,
    }
    path = directory(record.name) / "lab.json"
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(plain, indent=1) + "\n")
    draft.rename(path)


def read(lab: str) -> Record:
    """The lab of that name; FileNotFoundError when there is none."""
    try:
        plain = json.loads((directory(lab) / "lab.json").read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no lab {lab!r}") from None
    return Record(
        plain["name"],
        from_json(plain["topology"]),
        plain["datapath"],
        tuple(plain["namespaces"]),
        {what: Process(**process) for what, process in plain["processes"].items()},
        dict(plain["places"]),
    )


def labs() -> list[str]:
    """The names of the labs there are."""
    return sorted(path.parent.name for path in root().glob("*/lab.json"))
