"""Desired flows of a chassis = compile(overlay, chassis): the specification of the whole program.

The overlay is first projected to what one chassis sees of each network (`view`), a value; each table's
module makes flows of a view and nothing else, so an unchanged view never needs compiling again.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from flows.compile import classify, deliver, flood, forward, guard, learn, notice, respond
from flows.compile.view import View, views
from flows.flow import Flow
from flows.model import Overlay

Cache = MutableMapping[View, tuple[Flow, ...]]
"""The flows of views compiled before; a pass keeps only those that it met."""

_PER_VIEW = (
    classify.classify,
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
    yield from classify.misses()
    yield from guard.guard()
    yield from learn.misses()
    yield from notice.misses()
    yield from respond.misses()
    yield from forward.misses()
    yield from deliver.misses()
    yield from flood.misses()


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
