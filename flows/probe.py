"""Probes of the ways to other VTEPs: which there are, the packet and actions of one, and who counts them.

A userspace datapath drops the first packet to a VTEP whose underlay neighbor it has not resolved yet; a probe
is that packet. It carries VNI 0 and ends, counted by where it came from, in the other side's classify; so it tells
as well whether a tunnel carries anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flows.compile import classify
from flows.compile.classify import Source
from flows.compile.view import View
from flows.flow import Action, Output
from flows.model import PROBE_VNI, Encap
from flows.plan import Key
from flows.underlay import Way

FRAME: Final = bytes.fromhex("0e00000000020e000000000188b5") + bytes(46)
"""A minimal frame of the EtherType for local experiments (IEEE 802, table 11-1)."""


Peer = tuple[Encap, tuple[str, ...]]
"""Another chassis as packets come from it: by one encap, from any of its addresses."""
Views = Iterable[View]


def counters(views: Views) -> dict[Key, Source]:
    """The flows that count probes, and which; a source may have several."""
    return {flow.key: source for source in classify.sources(views) for flow in classify.probes(source)}


def peers(views: Views) -> frozenset[Peer]:
    """Everybody whose probes should come, by the encap in use: it is the same both ways, addresses need not be."""
    return frozenset(
        (member.way.encap, tuple(ip for encap, ip in member.accepts if encap is member.way.encap))
        for view in views
        for member in view.members
    )


def ways(views: Views) -> frozenset[Way]:
    """Every way that the flows of these views may send a packet."""
    return frozenset(member.way for view in views for member in view.members)


def actions(way: Way) -> tuple[Action, ...]:
    """What sends a frame that way."""
    return (*way.fields(PROBE_VNI), Output(way.tunnel.ofport))
