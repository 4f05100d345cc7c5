"""The VLAN device of the labs: the tag goes on and off, and nothing else passes."""

from __future__ import annotations

import struct

import pytest

from topologies.vlan_device import ETHERTYPES, tagged, untagged

PLAIN = bytes(range(12)) + b"\x08\x00" + b"packet"
Q, AD = ETHERTYPES["802.1Q"], ETHERTYPES["802.1ad"]


def auxdata(status: int, tci: int, tpid: int) -> bytes:
    return struct.pack("=IIIHHHH", status, 64, 64, 0, 14, tci, tpid)


def test_a_tag_goes_on_and_off() -> None:
    for ethertype in (Q, AD):
        frame = tagged(PLAIN, 100, ethertype)
        assert frame[12:18] == struct.pack("!HH", ethertype, 100) + b"\x08\x00"
        assert untagged(frame, None, 100, ethertype) == PLAIN
    double = tagged(tagged(PLAIN, 5, Q), 100, AD)
    assert untagged(double, None, 100, AD) == tagged(PLAIN, 5, Q)


@pytest.mark.parametrize("frame", [PLAIN, tagged(PLAIN, 101, Q), tagged(PLAIN, 100, AD), tagged(PLAIN, 0, Q)])
def test_what_has_another_tag_does_not_pass(frame: bytes) -> None:
    assert untagged(frame, None, 100, Q) is None


def test_the_kernel_has_taken_the_tag_off() -> None:
    """Then it tells which it was; the priority is none of our business."""
    valid = 0x10 | 0x40
    assert untagged(PLAIN, auxdata(valid, 100 | 5 << 13, Q), 100, Q) == PLAIN
    assert untagged(PLAIN, auxdata(0x10, 100, 0), 100, Q) == PLAIN
    assert untagged(PLAIN, auxdata(valid, 100, AD), 100, Q) is None
    assert untagged(PLAIN, auxdata(valid, 0, Q), 100, Q) is None
    assert untagged(PLAIN, auxdata(0, 0, 0), 100, Q) is None
