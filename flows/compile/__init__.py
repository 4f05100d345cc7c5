"""Desired flows of a chassis = compile(overlay, chassis): the specification of the whole program.

The overlay is first projected to what one chassis sees of each network (`view`), a value; each table's
module makes flows of a view and nothing else, so an unchanged view never needs compiling again.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Final

from flows.compile import (
    claim,
    classify,
    deliver,
    discovery,
    flood,
    forward,
    guard,
    learn,
    message,
    notice,
    respond,
    tags,
)
from flows.compile.view import View, views
from flows.flow import Flow
from flows.model import Overlay

Cache = MutableMapping[View, tuple[Flow, ...]]
"""The flows of views compiled before; a pass keeps only those that it met."""

_MODULES: Final = (classify, tags, guard, message, claim, discovery, learn, notice, respond, forward, deliver, flood)
_PER_VIEW: Final = (
    classify.classify,
    tags.tags,
    guard.guard,
    message.message,
    claim.claim,
    discovery.discovery,
    learn.learn,
    notice.notice,
    respond.respond,
    forward.forward,
    deliver.deliver,
    flood.flood,
)


def compile_view(view: View) -> tuple[Flow, ...]:
    """The flows of one network on one chassis."""
    return tuple(flow for table in _PER_VIEW for flow in table(view))


def pipeline() -> Iterator[Flow]:
    """The flows that every chassis has, whatever the overlay."""
    for table in _MODULES:
        yield from table.misses()


def compile(overlay: Overlay, chassis: str, cache: Cache | None = None) -> tuple[Flow, ...]:
    """Every flow of ours that the chassis should have.

    Raises KeyError when the overlay has no chassis of that name. With a cache only the views that
    changed since the last call are compiled; the result is the same.
    """
    seen = views(overlay, chassis)
    compiled = {view: (cache or {}).get(view) or compile_view(view) for view in seen}
    if cache is not None:
        cache.clear()
        cache.update(compiled)
    return (*pipeline(), *(flow for view in seen for flow in compiled[view]))
