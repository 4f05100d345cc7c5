"""A program that connects to a controller and says that it is some chassis' switch."""

from __future__ import annotations

from ovsdb.provision import datapath_id
from topologies.fuzz.openflow import HELLO, message
from topologies.lab import Lab
from topologies.topology import CONTROLLER_ADDRESS

_CLAIM = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=8) as made:
        made.sendall(bytes.fromhex(sys.argv[3]))
        said = b""
        while more := made.recv(65536):
            said += more
            kinds = []
            rest = said
            while len(rest) >= 8 and len(rest) >= int.from_bytes(rest[2:4], "big"):
                kinds.append(rest[1])
                rest = rest[int.from_bytes(rest[2:4], "big"):]
            if 18 in kinds:
                print("admitted")
                sys.exit()
    print("refused")
except ConnectionError:
    print("refused")
"""


def claim(lab: Lab, where: str, chassis: str, port: int = 6653) -> bool:
    """Whether a controller takes who connects to it from there for that chassis' switch, and asks for its ports."""
    features = message(6, int(datapath_id(chassis), 16).to_bytes(8, "big") + bytes(16), b"\0\0\0\2")
    said = lab.run(where, "python3", "-c", _CLAIM, CONTROLLER_ADDRESS, str(port), (HELLO + features).hex()).stdout
    assert said.strip() in ("admitted", "refused"), said
    return said.strip() == "admitted"
