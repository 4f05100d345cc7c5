"""YAML as a tree that knows where everything stands: text in, nodes out. It never makes anything but these nodes.

Scalars are kept as they are written. YAML 1.1 has ideas of its own (`52:54:00:12:34:56` is a number to it, `no` is
false), and what a value means is the reader's business, who knows what is expected there. Work is bounded, whatever
the text is: in bytes, in depth, and in nodes with every alias counted as what it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

MOST_BYTES: Final = 64 << 20
MOST_NODES: Final = 4_000_000
MOST_DEPTH: Final = 32
CORE: Final = "tag:yaml.org,2002:"
"""How YAML's own tags begin; those of the types below change nothing, and all others are refused."""
TYPES: Final = frozenset(CORE + kind for kind in ("str", "int", "float", "bool", "null", "map", "seq"))
NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))
LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, ten times as fast, where PyYAML was built with it."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong at a place of the file; lines and columns count from 1."""

    line: int
    column: int
    path: str
    text: str


@dataclass(slots=True)
class Node:
    """Anything in the file, and where it begins."""

    line: int
    column: int


@dataclass(slots=True)
class Scalar(Node):
    """A single value; `plain` when it stands without quotes."""

    text: str
    plain: bool

    @property
    def empty(self) -> bool:
        """Whether nothing is written, or YAML's words for it."""
        return self.plain and self.text in NULLS


@dataclass(slots=True)
class Sequence(Node):
    """A list."""

    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Mapping(Node):
    """Keys with values, as they are written; of a key that stands twice the first counts, `again` has the others."""

    items: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)
    again: list[Scalar] = field(default_factory=list)


class WrongYamlError(Exception):
    """The text is no YAML, or none that is read here; the rest of it was not looked at."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read: its anchor, how many nodes there were before, and the key that waits."""

    node: Sequence | Mapping
    anchor: str | None
    before: int
    key: Scalar | None = None


def decoded(data: bytes) -> str:
    """A file's text, which is UTF-8; raises WrongYamlError."""
    if len(data) > MOST_BYTES:
        raise WrongYamlError(Fault(1, 1, "", f"more than {MOST_BYTES >> 20} MiB; expected a file smaller than that"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place(data[: error.start].decode("utf-8", "replace"))
        raise WrongYamlError(Fault(line, column, "", f"byte 0x{data[error.start]:02x} is not UTF-8")) from None


def parsed(text: str) -> tuple[Node | None, list[Fault]]:
    """The root of the document (None: there is none) and what is wrong in ways that don't keep it from being read.

    Raises WrongYamlError where nothing can be read any further.
    """
    faults: list[Fault] = []
    try:
        return _Builder(faults).built(text), faults
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise WrongYamlError(Fault(line, column, "", _said(error, text, line, column))) from None
    except yaml.reader.ReaderError as error:
        # libyaml gives a number and counts bytes; PyYAML's own parser gives a character and counts characters.
        where, what = error.position, error.character
        before = text.encode()[:where].decode("utf-8", "replace") if isinstance(what, int) else text[:where]
        code = what if isinstance(what, int) else ord(what)
        raise WrongYamlError(Fault(*_place(before), "", f"character U+{code:04X}; expected text without it")) from None
    except yaml.YAMLError as error:
        raise WrongYamlError(Fault(1, 1, "", f"not YAML: {error}")) from None


class _Builder:
    """Builds the tree from the parser's events, without recursion: depth is in the hands of who wrote the file."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        self.open: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.nodes = 0
        self.root: Node | None = None

    def built(self, text: str) -> Node | None:
        for event in yaml.parse(text, Loader=LOADER):
            mark = event.start_mark
            line, column = mark.line + 1, mark.column + 1
            match event:
                case yaml.ScalarEvent():
                    self._tag(event, line, column)
                    self.nodes += 1
                    scalar = Scalar(line, column, event.value, event.style in (None, ""))
                    if event.anchor:
                        self.anchors[event.anchor] = scalar, 1
                    self._put(scalar)
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._tag(event, line, column)
                    if len(self.open) >= MOST_DEPTH:
                        raise WrongYamlError(Fault(line, column, "", f"nested more than {MOST_DEPTH} deep"))
                    kind = Sequence if isinstance(event, yaml.SequenceStartEvent) else Mapping
                    node = kind(line, column)
                    self._put(node)
                    self.open.append(_Open(node, event.anchor, self.nodes))
                    self.nodes += 1
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    done = self.open.pop()
                    if done.anchor:
                        self.anchors[done.anchor] = done.node, self.nodes - done.before
                case yaml.AliasEvent():
                    if event.anchor not in self.anchors:
                        raise WrongYamlError(Fault(line, column, "", f"*{event.anchor} stands for nothing before it"))
                    known, size = self.anchors[event.anchor]
                    self.nodes += size
                    self._put(known)
                case yaml.DocumentStartEvent() if self.root is not None:
                    raise WrongYamlError(Fault(line, column, "", "a second document; expected one in a file"))
            if self.nodes > MOST_NODES:
                raise WrongYamlError(Fault(line, column, "", f"more than {MOST_NODES} values, aliases resolved"))
        return self.root

    def _put(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        inside = self.open[-1]
        if isinstance(inside.node, Sequence):
            inside.node.items.append(node)
        elif inside.key is None:
            if not isinstance(node, Scalar):
                raise WrongYamlError(Fault(node.line, node.column, "", "a list or mapping as a key; expected a word"))
            inside.key = node
        else:
            key, inside.key = inside.key, None
            if key.text in inside.node.items:
                inside.node.again.append(key)
            else:
                inside.node.items[key.text] = key, node

    def _tag(self, event: Any, line: int, column: int) -> None:
        if event.tag is not None and event.tag not in TYPES and event.tag != "!":
            tag = event.tag.replace(CORE, "!!")
            self.faults.append(Fault(line, column, "", f"tag {tag} is none that is read here; expected a plain value"))


def _place(before: str) -> tuple[int, int]:
    """Line and column of what follows a text."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _said(error: Any, text: str, line: int, column: int) -> str:
    """The parser's words, and what they mostly mean."""
    lines = text.split("\n")
    here = lines[line - 1][column - 1 :] if line <= len(lines) else ""
    if here.startswith("\t"):
        return "a tab; expected spaces"
    said = str(error.problem or error.context)
    hint = {
        "mapping values are not allowed": "; is it indented as the lines before, or a value with ': ' not in quotes?",
        "did not find expected key": "; is it indented as the lines before it?",
        "found unexpected ':'": "; an address that ends with ':' is written in quotes",
    }
    return f"not YAML: {said}" + next((more for start, more in hint.items() if said.startswith(start)), "")
