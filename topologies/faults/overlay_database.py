"""The overlay database is damaged, has no room, or is given what it must refuse."""

from __future__ import annotations

import random
import shutil
import signal
import time
from typing import Final

from topologies import namespaces
from topologies.faults.case import STARTED, Case
from topologies.faults.ground import Ground, NotHealed
from topologies.topology import CONTROLLER


def _database_cut_short(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    file = lab.directory / CONTROLLER / "overlay.db"
    lab.stop_controller(signal.SIGKILL)
    time.sleep(1)  # its database server ends with it
    kept = file.read_bytes()
    file.write_bytes(kept[: len(kept) * 6 // 10])
    lab.start_controller()
    time.sleep(5)
    ground.same_flows(before, "a damaged database took flows from the switches")
    lab.stop_controller(signal.SIGTERM)
    time.sleep(1)
    file.write_bytes(kept)
    ground.start_controller()
    ground.same_flows(before)


def _disk_full(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    home = lab.directory / CONTROLLER
    disk = lab.directory / "disk"
    disk.mkdir()
    lab.stop_controller(signal.SIGTERM)
    time.sleep(1)
    namespaces.run(None, ["mount", "-t", "tmpfs", "-o", "size=2m", "overlay-disk", str(disk)])
    try:
        shutil.copy(home / "overlay.db", disk)
        ground.start_controller(environment={"OVERLAY_DBDIR": str(disk)})
        (disk / "filler").write_bytes(b"x" * (shutil.disk_usage(disk).free - 4096))
        said = ""
        for number in range(60):
            said = lab.overlayctl("port-add", f"y{number}", "--net", "red", "--ip", f"10.0.2.{number}", check=False)
            if "overlayctl:" in said:
                break
        ground.remark(
            f"refused: {said.strip().splitlines()[-1].rpartition(': ')[2]}" if said else "nothing was refused"
        )
        if "overlayctl:" not in said:
            raise NotHealed("a full disk refuses nothing")
        time.sleep(3)
        (disk / "filler").unlink()
        ground.heals(lambda: "overlayctl:" not in lab.overlayctl("port-del", "y0", check=False), 30)
        ground.settle()
        ground.same_flows(before)
    finally:
        lab.stop_controller(signal.SIGTERM)
        time.sleep(1)
        shutil.copy(disk / "overlay.db", home)
        namespaces.run(None, ["umount", "-l", str(disk)])
    ground.start_controller()


def _duplicates(ground: Ground, _: random.Random) -> None:
    tries = [
        ("net-add", "other", "--tenant", "acme", "--vni", "100"),
        ("port-add", "other", "--net", "red", "--mac", "02:00:00:00:00:01", "--ip", "10.0.0.50"),
        ("port-add", "other", "--net", "red", "--mac", "02:00:00:00:00:51", "--ip", "10.0.0.1"),
    ]
    with ground.no_flow_mods():
        taken = [argv for argv in tries if "overlayctl:" not in ground.lab.overlayctl(*argv, check=False)]
    if taken:
        raise NotHealed(f"taken: {taken}")
    ground.heals(ground.ready, 5)


CASES: Final = (
    Case("F22", "overlay database cut short", "0 lost, nothing taken away", _database_cut_short,
         expected=f"{STARTED}|database|older|alarm|no declared port"),
    Case("F23", "the overlay database's disk full", "0 lost, refused clearly, recovers", _disk_full,
         expected=f"{STARTED}|No space|can't be written"),
    Case("F30", "duplicate VNI, MAC, IP", "refused at commit", _duplicates, within=5),
)  # fmt: skip
