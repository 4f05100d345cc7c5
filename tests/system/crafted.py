"""Frames that an attacker crafts, out of a VM's interface, and what anybody else's interface saw of them.

Each frame ends in a mark of its own, behind the packet, where no protocol looks and every switch leaves it alone.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from scapy.packet import Packet

from topologies.lab import Lab
from topologies.wiring import VM_NIC

_SEND = """
import socket, sys, time
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for number, line in enumerate(open(sys.argv[2])):
    out.send(bytes.fromhex(line))
    if number % 100 == 99 and float(sys.argv[3]):
        time.sleep(float(sys.argv[3]))
"""
_NUMBERS = count(0x5EED0000)


class Marks:
    """The captures of several interfaces; to be asked when their block has ended."""

    def __init__(self, paths: dict[str, Path]) -> None:
        self._paths = paths

    def seen(self, mark: bytes) -> dict[str, int]:
        """How many frames with that mark each interface received, those with none left out."""
        found = {where: path.read_bytes().count(mark) for where, path in self._paths.items()}
        return {where: number for where, number in found.items() if number}


def mark() -> bytes:
    """A mark that no other frame has."""
    return b"\xa5\x5a" + next(_NUMBERS).to_bytes(4, "big") + b"\x5a\xa5"


def send(lab: Lab, vm: str, frame: Packet, times: int = 1, interface: str = VM_NIC) -> bytes:
    """Send a frame so many times; its mark."""
    return send_all(lab, vm, [bytes(frame)] * times, interface)


def send_all(lab: Lab, vm: str, frames: Iterable[bytes], interface: str = VM_NIC, pause: float = 0) -> bytes:
    """Send frames, all with one mark, with a pause after each hundred; that mark."""
    number = mark()
    emit(lab, vm, (frame.ljust(60, b"\0") + number for frame in frames), interface, pause)
    return number


def emit(lab: Lab, vm: str, frames: Iterable[bytes], interface: str = VM_NIC, pause: float = 0) -> None:
    """Send these octets as they are."""
    path = lab.directory / "out" / f"frames-{mark().hex()}"
    path.write_text("".join(f"{frame.hex()}\n" for frame in frames))
    lab.run(vm, sys.executable, "-c", _SEND, interface, str(path), str(pause), timeout=120)
    path.unlink()


@contextlib.contextmanager
def receiving(lab: Lab, vms: list[str]) -> Iterator[Marks]:
    """Capture what arrives at these VMs meanwhile (not what they send)."""
    paths = {vm: lab.directory / "out" / f"marks-{vm}.pcap" for vm in vms}
    with contextlib.ExitStack() as stack:
        for vm, path in paths.items():
            argv = ["tcpdump", "-i", VM_NIC, "-Q", "in", "-U", "--immediate-mode", "-Z", "root", "-w", str(path)]
            running = stack.enter_context(lab.background(vm, *argv))
            running.wait_for("listening on")
        yield Marks(paths)
        lab.run(vms[0], "sleep", "0.5")


def counters(lab: Lab, chassis: str) -> dict[int, int]:
    """How many packets each of our flows on a chassis has matched, by cookie."""
    printed = lab.run(chassis, "ovs-ofctl", "-O", "OpenFlow14", "dump-flows", "br-int").stdout
    rows = re.findall(r"cookie=(0x[0-9a-f]+).*?n_packets=(\d+)", printed)
    found: dict[int, int] = {}
    for cookie, packets in rows:
        found[int(cookie, 16)] = found.get(int(cookie, 16), 0) + int(packets)
    return found
