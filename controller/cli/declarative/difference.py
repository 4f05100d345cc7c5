"""What turns one Document into another: two documents in, changes out. Pure.

Only what the wanted document has sections for is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from controller.cli.declarative.document import Document, Port

ADD: Final = "+"
CHANGE: Final = "~"
DELETE: Final = "-"
PAIRS: Final = ("option", "external-id")
"""Kinds of things that are a key and a value of the whole database."""
NOTHING: Final = None
NOTHINGS: Final[tuple[Any, ...]] = (NOTHING, "", (), {})
"""What a field holds that says nothing: two of them don't differ. 0 and False are said."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing as it is (None: it is new) and as it shall be (None: it goes). For pairs `name` is the key."""

    kind: str
    name: str
    was: Any
    will: Any

    @property
    def sign(self) -> str:
        """`ADD`, `CHANGE` or `DELETE`."""
        return ADD if self.was is None else DELETE if self.will is None else CHANGE

    def columns(self) -> list[tuple[str, Any, Any]]:
        """The fields that differ, as the file calls them, with the old value and the new one; None is none."""
        if self.kind in PAIRS:
            return [("value", self.was, self.will)]
        found: list[tuple[str, Any, Any]] = []
        for name in (field.name for field in fields(self.will or self.was)):
            old, new = (None if thing is None else getattr(thing, name) for thing in (self.was, self.will))
            if isinstance(old or new, Mapping):
                old, new = old or {}, new or {}
                found += [
                    (f"{_spelled(name)}.{key}", old.get(key), new.get(key))
                    for key in sorted({*old, *new})
                    if old.get(key) != new.get(key)
                ]
            elif (NOTHING if old in NOTHINGS else old) != (NOTHING if new in NOTHINGS else new):
                found.append((_spelled(name), old, new))
        return found


def difference(present: Document, wanted: Document) -> list[Change]:
    """The changes, in the order in which a person reads them."""
    return [
        *_things("option", present.options, wanted.options),
        *_things("external-id", present.external_ids, wanted.external_ids),
        *_things("connection", present.connections, wanted.connections),
        *_things("chassis", present.chassis, wanted.chassis),
        *_things("tenant", present.tenants, wanted.tenants),
        *_things("network", present.networks, wanted.networks),
        *_things("port", governed(present, wanted), wanted.ports),
    ]


def governed(present: Document, wanted: Document) -> dict[str, Port]:
    """The ports that a document speaks of: by name, by a network that it states all ports of, or that it deletes."""
    kept = wanted.networks
    if kept is None:
        return {}
    return {
        name: port
        for name, port in present.ports.items()
        if name in wanted.ports or port.network in wanted.stated or port.network not in kept
    }


def homeless(present: Document, wanted: Document) -> Iterator[tuple[str, str]]:
    """Networks (name, tenant) that would have no tenant: it is neither in the document nor, where it may be, in the
    database."""
    tenants = wanted.tenants if wanted.tenants is not None else present.tenants or {}
    networks = wanted.networks if wanted.networks is not None else present.networks or {}
    return ((name, network.tenant) for name, network in networks.items() if network.tenant not in tenants)


def unconnected(present: Document, wanted: Document) -> Iterator[tuple[str, str]]:
    """Networks (name, gateway chassis) that would go on outside of the overlay at a chassis that there is not."""
    chassis = wanted.chassis if wanted.chassis is not None else present.chassis or {}
    return (
        (name, network.gateway_chassis)
        for name, network in (wanted.networks or {}).items()
        if network.gateway_chassis is not None and network.gateway_chassis not in chassis
    )


def all_ports(present: Document, wanted: Document) -> dict[str, Port]:
    """The ports that there would be: those of the document, and those that it leaves alone."""
    gone = governed(present, wanted)
    return {name: port for name, port in present.ports.items() if name not in gone} | dict(wanted.ports)


def misplaced(ports: Mapping[str, Port]) -> dict[str, str]:
    """Ports that can't be behind their parents, and why, in words. A parent that is not among these is no fault."""
    wrong: dict[str, str] = {}
    taken: dict[tuple[str, int | None], str] = {}
    for name in sorted(name for name, port in ports.items() if port.parent is not None):
        port, parent = ports[name], ports[name].parent or ""
        first = taken.setdefault((parent, port.tag), name)
        if parent == name:
            wrong[name] = "a port can't be behind itself; expected the name of another one"
        elif parent in ports and ports[parent].parent is not None:
            wrong[name] = f"port {parent!r} is itself behind {ports[parent].parent!r}; expected one that is behind none"
        elif first != name and port.tag is not None:
            wrong[name] = f"tag {port.tag} behind {parent!r} is that of port {first!r} already; expected another"
    return wrong


def _spelled(name: str) -> str:
    return name.replace("_", "-")


def _things(kind: str, was: Mapping[str, Any] | None, will: Mapping[str, Any] | None) -> Iterable[Change]:
    if will is None:
        return
    was = was or {}
    for name in sorted({*was, *will}):
        old, new = was.get(name), will.get(name)
        if old != new:
            yield Change(kind, name, old, new)
