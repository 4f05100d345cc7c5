"""Nodes to values, one field at a time: what a mapping may hold, and everything that is wrong with it, by place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from controller.cli.declarative import checks
from controller.cli.declarative.document import ordered
from controller.cli.declarative.yaml_nodes import Fault, Mapping, Node, Scalar
from controller.cli.declarative.yaml_nodes import Sequence as List
from controller.cli.errors import listed

BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
NOTHING: Final = "nothing is written here; write a value, or leave the key out (text that looks so goes in quotes)"

Check = Callable[[str], Any]


class Found(NamedTuple):
    """A value, and where it was read."""

    value: Any
    node: Node
    path: str


@dataclass
class Faults:
    """What is wrong, and where things stand, by path."""

    found: list[Fault] = field(default_factory=list)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, node: Node, path: str, text: str) -> None:
        """Something is wrong with this node."""
        self.found.append(Fault(node.line, node.column, path, text))

    def place(self, node: Node, path: str) -> None:
        """Keeps where something stands, for what only the database can tell of it."""
        self.places[path] = node.line, node.column

    def entries(self, node: Node | None, path: str) -> Iterator[tuple[str, Scalar, Node]]:
        """The keys and values of a mapping; nothing when nothing is written."""
        if node is None or (isinstance(node, Scalar) and node.empty):
            return
        if not isinstance(node, Mapping):
            self.add(node, path, f"{kind(node)}; expected a mapping (KEY: VALUE lines)")
            return
        for again in node.again:
            first = node.items[again.text][0].line
            self.add(again, below(path, again.text), f"key {again.text!r} stands in line {first} already")
        for key, value in node.items.values():
            yield key.text, key, value

    def things(self, node: Node | None, path: str, check: Check) -> Iterator[tuple[str, Scalar, Node]]:
        """The same of a mapping whose keys are names."""
        lines: dict[str, int] = {}
        for text, key, value in self.entries(node, path):
            try:
                name = check(text)
            except ValueError as refusal:
                self.add(key, below(path, text), str(refusal))
                continue
            if name in lines:  # two spellings of one
                self.add(key, below(path, text), f"{name} stands in line {lines[name]} already")
            lines[name] = key.line
            yield name, key, value

    def refuse(self, found: Found, text: str) -> None:
        """Something is wrong with this value."""
        self.add(found.node, found.path, text)

    def once(self, taken: dict[Any, tuple[str, int]], found: Found, what: str, owner: str) -> None:
        """Says so when a value that only one may have is somebody's already."""
        if found.value in taken:
            other, line = taken[found.value]
            self.refuse(found, f"{what} {found.value} is that of {other} (line {line}) already; expected another")
        else:
            taken[found.value] = owner, found.node.line


@dataclass
class Fields:
    """A mapping with fixed keys. Every method returns None, or nothing, for what is wrong, and has said so."""

    faults: Faults
    at: Node
    path: str
    items: dict[str, Node] = field(default_factory=dict)

    @classmethod
    def of(cls, faults: Faults, key: Node, node: Node | None, path: str, known: Sequence[str]) -> Fields:
        """The fields of a mapping; `key` is where it begins for who reads."""
        items = {}
        for name, at, value in faults.entries(node, path):
            if name in known:
                items[name] = value
            elif name == "<<":
                faults.add(at, below(path, name), "merge keys are not read; expected the keys themselves")
            else:
                faults.add(at, below(path, name), f"unknown key {name!r}; {_meant(name, known)}")
        return cls(faults, key, path, items)

    def sections(self, *names: str) -> None:
        """Refuses those of these mappings in which nothing is written: who means that there shall be none says so."""
        for name in names:
            node = self.items.get(name)
            if isinstance(node, Scalar) and node.empty:
                self.faults.add(
                    node, self.below(name), f"nothing is written here; if there shall be none: {name}: {{}}"
                )

    def below(self, name: str) -> str:
        """The path of a field."""
        return below(self.path, name)

    def place(self, name: str) -> Node:
        """Where a field stands; where it would, when it is not there."""
        return self.items.get(name, self.at)

    def one(self, name: str, check: Check, otherwise: Any = None, needed: str = "") -> Any:
        """The value of a field; `otherwise` when it is not there, unless it is `needed`: then that says what for."""
        node = self.items.get(name)
        if node is None:
            if needed:
                self.faults.add(self.at, self.path, f"no {name}; expected {name}: {needed}")
            return otherwise
        found = self._scalar(node, self.below(name), check)
        return found.value if found else None

    def found(self, name: str, value: Any) -> Found:
        """A value that `one` gave, with its place."""
        return Found(value, self.place(name), self.below(name))

    def many(self, name: str, check: Check) -> list[Found]:
        """The values of a list, each with its node; one that stands twice is a fault."""
        node, path = self.items.get(name), self.below(name)
        if node is None or (isinstance(node, Scalar) and node.empty):
            return []
        if not isinstance(node, List):
            self.faults.add(node, path, f"{kind(node)}; expected a list, such as [{_example(node)}]")
            return []
        values: dict[Any, Found] = {}
        for number, item in enumerate(node.items):
            place = f"{path}[{number}]"
            found = self._scalar(item, place, check)
            if found and found.value in values:
                self.faults.refuse(found, f"{found.value} stands in this list already")
            elif found:
                values[found.value] = found
        return list(values.values())

    def length(self, name: str) -> int:
        """How many values are written in a list, right or wrong."""
        node = self.items.get(name)
        return len(node.items) if isinstance(node, List) else 0

    def pairs(self, name: str) -> dict[str, str]:
        """Keys and values that belong to somebody else."""
        return pairs(self.faults, self.items.get(name), self.below(name))

    def _scalar(self, node: Node, path: str, check: Check) -> Found | None:
        return scalar(self.faults, node, path, check)


def scalar(faults: Faults, node: Node, path: str, check: Check) -> Found | None:
    """A single value as `check` makes it."""
    if not isinstance(node, Scalar):
        faults.add(node, path, f"{kind(node)}; expected a single value")
    elif node.empty:
        faults.add(node, path, NOTHING)
    else:
        try:
            return Found(check(node.text), node, path)
        except ValueError as refusal:
            faults.add(node, path, str(refusal))
    return None


def values(found: Sequence[Found]) -> tuple[Any, ...]:
    """What a list holds, in order."""
    return ordered(each.value for each in found)


def pairs(faults: Faults, node: Node | None, path: str) -> dict[str, str]:
    """Keys and values that are text."""
    found = {}
    for key, at, value in faults.entries(node, path):
        here = scalar(faults, value, below(path, key), checks.text)
        if "\0" in key:
            faults.add(at, path, f"key {key!r} contains U+0000; expected text without it")
        elif here is not None:
            found[key] = here.value
    return dict(sorted(found.items()))


def below(path: str, name: str) -> str:
    """The path of what is called so beneath another."""
    spelled = name if BARE.fullmatch(name) else f'"{name}"'
    return f"{path}.{spelled}" if path else spelled


def kind(node: Node) -> str:
    """What a node is, in words, with its value where it has one."""
    if isinstance(node, Scalar):
        return f"the single value {node.text!r}" if not node.empty else "nothing"
    return "a list" if isinstance(node, List) else "a mapping"


def _meant(name: str, known: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name.lower().replace("_", "-"), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {listed(list(known), len(known))}"


def _example(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else "A, B"
