"""Desired flows of a chassis = compile(overlay, chassis): the specification of the whole program.

The overlay is first projected to what one chassis sees of each network (`view`), a value; each table's
module makes flows of a view and nothing else, so an unchanged view never needs compiling again.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from functools import cache as made_once
from typing import Final

from flows.compile import (
    claim,
    classify,
    deliver,
    discovery,
    drop,
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

_MODULES: Final = (
    classify,
    tags,
    guard,
    message,
    claim,
    discovery,
    learn,
    notice,
    respond,
    forward,
    deliver,
    flood,
    drop,
)
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
    drop.drop,
)


@made_once
def pipeline() -> tuple[Flow, ...]:
    """The flows that every chassis has, whatever the overlay; made once."""
    return tuple(flow for table in _MODULES for flow in table.misses())


def compile(overlay: Overlay, chassis: str, cache: Cache | None = None) -> tuple[Flow, ...]:
    """Every flow of ours that the chassis should have.

    Raises KeyError when the overlay has no chassis of that name. With a cache only the views that
    changed since the last call are compiled; the result is the same.
    """
    known: Cache = {} if cache is None else cache
    for _ in step_by_step(overlay, chassis, known):
        pass
    return everything(known)


def everything(cache: Cache) -> tuple[Flow, ...]:
    """Every flow of ours that a chassis should have whose views are those of the cache."""
    probes = (flow for source in sorted(classify.sources(cache)) for flow in classify.probes(source))
    return (*pipeline(), *probes, *(flow for flows in cache.values() for flow in flows))


def step_by_step(overlay: Overlay, chassis: str, cache: Cache) -> Iterator[None]:
    """Compile into a cache, in steps between which others may have their turn; `everything` of it is the result."""
    seen = views(overlay, chassis)
    yield
    compiled: dict[View, tuple[Flow, ...]] = {}
    for view in seen:
        if view in cache:
            compiled[view] = cache[view]
            continue
        flows: list[Flow] = []
        for table in _PER_VIEW:
            flows += table(view)
            yield
        compiled[view] = tuple(flows)
    cache.clear()
    cache.update(compiled)
