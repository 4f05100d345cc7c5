"""Probes that keep the ways to other VTEPs warm: which there are, and the packet and actions of one.

A userspace datapath drops the first packet to a VTEP whose underlay neighbor it has not resolved yet; a probe
is that packet. It carries VNI 0 and ends, counted, in the other side's classify.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flows.compile.view import View
from flows.flow import Action, Output, set_field
from flows.model import PROBE_VNI, TUNNEL_OFPORTS, Encap

Way = tuple[Encap, str]
"""An encap, and the VTEP at the other end."""

FRAME: Final = bytes.fromhex("0e00000000020e000000000188b5") + bytes(46)
"""A minimal frame of the EtherType for local experiments (IEEE 802, table 11-1)."""


def ways(views: Iterable[View]) -> frozenset[Way]:
    """Every way that the flows of these views may send a packet."""
    return frozenset((member.encap, member.vtep) for view in views for member in view.members)


def actions(way: Way) -> tuple[Action, ...]:
    """What sends a frame that way."""
    encap, vtep = way
    return (set_field("tun_id", PROBE_VNI), set_field("tun_dst", vtep), Output(TUNNEL_OFPORTS[encap]))
