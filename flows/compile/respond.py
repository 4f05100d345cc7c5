"""Table respond: an ARP request for a known neighbor is answered on the chassis where it was asked.

Only local ports are answered: a request that came by a tunnel was not answered where it started, so its
own chassis does not know the neighbor, and the neighbor itself shall answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.compile.notice import ARP
from flows.compile.view import View
from flows.flow import IN_PORT, Flow, Goto, Match, Move, Output, flow, set_field
from flows.tables import FORWARD, FROM_PORT, ORIGIN, RESPOND, Kind

REQUEST: Final = 1
REPLY: Final = 2


def respond(view: View) -> Iterator[Flow]:
    """For each known neighbor the answer (RFC 826), and that it never answers its own question.

    A host that asks for its own address looks for somebody else who has it (RFC 5227).
    """
    for ip, mac in view.neighbors:
        asked: Match = {
            "metadata": view.vni,
            ORIGIN: FROM_PORT,
            "eth_type": ARP,
            "arp_op": REQUEST,
            "arp_tpa": ip,
        }
        yield flow(RESPOND, Kind.OWN_QUESTION, 200, {**asked, "arp_sha": mac}, [Goto(FORWARD)])
        answer = (
            Move("eth_src", "eth_dst"),
            set_field("eth_src", mac),
            set_field("arp_op", REPLY),
            Move("arp_sha", "arp_tha"),
            set_field("arp_sha", mac),
            Move("arp_spa", "arp_tpa"),
            set_field("arp_spa", ip),
            Output(IN_PORT),
        )
        yield flow(RESPOND, Kind.ANSWER, 100, asked, answer)


def misses() -> Iterator[Flow]:
    """What nobody here can answer goes on."""
    yield flow(RESPOND, Kind.CONTINUE, 0, {}, [Goto(FORWARD)])
