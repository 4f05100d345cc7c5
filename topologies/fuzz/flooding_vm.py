"""A guest that sends frames to all without end: `python -m topologies.fuzz.flooding_vm INTERFACE WHAT RATE`.

WHAT is `neighbors`, ARP and neighbor advertisements, each of another neighbor or MAC; or `others`, the same with an
EtherType that nobody looks at: as much work for the switch, but none for the controller. RATE is in frames a second.
"""

from __future__ import annotations

import socket
import sys
import time
from itertools import cycle

from topologies.fuzz.fake_switch import advertisement, arp

DIFFERENT = 20_000
BURST = 100


def main(argv: list[str]) -> None:
    """Send until somebody ends it."""
    rate = float(argv[2])
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((argv[0], 0))
    made = [(arp if number % 2 else advertisement)(number) for number in range(DIFFERENT)]
    frames = cycle(made if argv[1] == "neighbors" else [each[:12] + b"\x88\xb5" + each[14:] for each in made])
    print("begun", flush=True)
    due = time.monotonic()
    while True:
        for _ in range(BURST):
            out.send(next(frames))
        due += BURST / rate
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1:])
