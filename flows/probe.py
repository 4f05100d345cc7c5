"""Probes that keep the ways to other VTEPs warm: which there are, and the packet and actions of one.

A userspace datapath drops the first packet to a VTEP whose underlay neighbor it has not resolved yet; a probe
is that packet. It carries VNI 0 and ends, counted, in the other side's classify.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flows.compile.view import View
from flows.flow import Action, Output
from flows.model import PROBE_VNI
from flows.underlay import Way

FRAME: Final = bytes.fromhex("0e00000000020e000000000188b5") + bytes(46)
"""A minimal frame of the EtherType for local experiments (IEEE 802, table 11-1)."""


def ways(views: Iterable[View]) -> frozenset[Way]:
    """Every way that the flows of these views may send a packet."""
    return frozenset(member.way for view in views for member in view.members)


def actions(way: Way) -> tuple[Action, ...]:
    """What sends a frame that way."""
    return (*way.fields(PROBE_VNI), Output(way.tunnel.ofport))
