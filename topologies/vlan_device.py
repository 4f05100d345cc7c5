"""A VLAN device where the kernel has none: a tap and a program that puts the tag on and takes it off.

    python vlan_device.py PARENT NAME TAG [802.1ad]

It runs until it is ended, and the device is gone with it. It needs nothing but Python.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import sys
from typing import Final

_TUNSETIFF: Final = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_SOL_PACKET, _PACKET_AUXDATA, _PACKET_OUTGOING = 263, 8, 4
_ETH_P_ALL: Final = 0x0003
_TAG_VALID, _TYPE_VALID = 0x10, 0x40
_AUXDATA: Final = struct.Struct("=IIIHHHH")
"""struct tpacket_auxdata (packet(7)): status, len, snaplen, mac, net, vlan_tci, vlan_tpid."""
_LARGEST: Final = 1 << 16
ETHERTYPES: Final = {"802.1Q": 0x8100, "802.1ad": 0x88A8}


def tagged(frame: bytes, tag: int, ethertype: int) -> bytes:
    """The frame with a tag, of priority 0, in front of all others."""
    return frame[:12] + struct.pack("!HH", ethertype, tag) + frame[12:]


def untagged(frame: bytes, auxdata: bytes | None, tag: int, ethertype: int) -> bytes | None:
    """The frame without its outermost tag; None when that is another one, or there is none.

    The kernel has taken that tag off, and tells it in `auxdata`.
    """
    if auxdata is not None:
        status, _, _, _, _, tci, tpid = _AUXDATA.unpack_from(auxdata)
        if status & _TAG_VALID:
            found = tpid if status & _TYPE_VALID else 0x8100
            return frame if (found, tci & 0xFFF) == (ethertype, tag) else None
    found, tci = struct.unpack_from("!HH", frame, 12)
    return frame[:12] + frame[16:] if (found, tci & 0xFFF) == (ethertype, tag) else None


def open_tap(name: str) -> int:
    """A new tap of that name."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return tap


def run(parent: str, name: str, tag: int, ethertype: int) -> None:
    """Pass frames on in both directions, for good."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    wire.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    wire.bind((parent, _ETH_P_ALL))
    tap = open_tap(name)
    while True:
        ready, _, _ = select.select([wire, tap], [], [])
        try:
            if tap in ready:
                wire.send(tagged(os.read(tap, _LARGEST), tag, ethertype))
            if wire in ready:
                frame, told, _, address = wire.recvmsg(_LARGEST, 128)
                auxdata = next((data for _, kind, data in told if kind == _PACKET_AUXDATA), None)
                passed = untagged(frame, auxdata, tag, ethertype) if address[2] != _PACKET_OUTGOING else None
                if passed is not None:
                    os.write(tap, passed)
        except OSError:
            continue  # one of the two is down, or the frame too long for it: so is a cable's fate


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], int(sys.argv[3]), ETHERTYPES[(*sys.argv[4:], "802.1Q")[0]])
