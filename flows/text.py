"""A flow as `ovs-ofctl` text, and back: for goldens, logs, the CLI, and the simulator on dumped flows.

`text` is what `ovs-ofctl add-flow` accepts (ovs-fields(7), ovs-actions(7)); `parse` reads what
`ovs-ofctl dump-flows` prints of our own flows and of those they taught, and nothing beyond that vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from flows.fields import FIELDS, Field
from flows.flow import (
    IN_PORT,
    Action,
    Controller,
    Flow,
    Goto,
    Learn,
    LearnLoad,
    LearnMatch,
    Move,
    Output,
    OutputField,
    Resubmit,
    SetField,
    Written,
    flow,
    kind_of,
)
from flows.tables import BY_ID, Table

_LOCAL: Final = 0xFFFFFFFE
_DEFAULT_PRIORITY: Final = 0x8000
"""What ovs-ofctl means by a priority that is not written."""
_PLACE: Final = {name: place for place, name in enumerate(FIELDS)}
_BY_NXM: Final = {field.nxm: field for field in FIELDS.values()}
_ALIASES: Final = {"dl_src": "eth_src", "dl_dst": "eth_dst", "dl_type": "eth_type"}
_PROTOCOLS: Final = {"arp": 0x0806, "ip": 0x0800, "ipv6": 0x86DD}
_STATISTICS: Final = frozenset(
    {"duration", "n_packets", "n_bytes", "idle_age", "hard_age", "idle_timeout", "hard_timeout"}
)
"""What a dump says of a flow that is no part of our value."""


def text(flow: Flow, *, cookie: bool = True) -> str:
    """A flow on one line, as `ovs-ofctl add-flow` accepts it; its cookie only where asked for."""
    head = [f"table={flow.table.id}", f"priority={flow.priority}"]
    if cookie:
        head.append(f"cookie=0x{flow.cookie:x}")
    rows = sorted(flow.match, key=lambda row: _PLACE[row[0]])
    head += [f"{name}={_written(FIELDS[name], value, mask)}" for name, value, mask in rows]
    return f"{', '.join(head)}, actions={actions_text(flow.actions)}"


def dump(flows: Iterable[Flow], *, cookie: bool = True) -> str:
    """Flows, one per line, by table, priority (highest first) and match."""
    rows = sorted((flow.table.id, -flow.priority, text(flow, cookie=cookie)) for flow in flows)
    return "".join(f"{line}\n" for _, _, line in rows)


def actions_text(actions: Iterable[Action]) -> str:
    """Actions as `ovs-ofctl` writes them; `drop` when there are none."""
    return ",".join(_action_text(action) for action in actions) or "drop"


def _written(field: Field, value: int, mask: int | None) -> str:
    return field.text(value) if mask is None else f"{field.text(value)}/{field.text(mask)}"


def _action_text(action: Action) -> str:  # noqa: PLR0911 - one case per action
    match action:
        case Output(port):
            return {IN_PORT: "IN_PORT", _LOCAL: "LOCAL"}.get(port, f"output:{port}")
        case OutputField(name):
            return f"output:{FIELDS[name].nxm}[]"
        case Controller(max_len):
            return f"CONTROLLER:{max_len}"
        case SetField(name, value):
            return f"set_field:{FIELDS[name].text(value)}->{name}"
        case Move(source, target):
            return f"move:{FIELDS[source].nxm}[]->{FIELDS[target].nxm}[]"
        case Resubmit(table):
            return f"resubmit(,{table.id})"
        case Goto(table):
            return f"goto_table:{table.id}"
        case Learn():
            return _learn_text(action)


def _learn_text(action: Learn) -> str:
    parts = [f"table={action.table.id}"]
    if action.hard_timeout:
        parts.append(f"hard_timeout={action.hard_timeout}")
    parts += [f"priority={action.priority}", "delete_learned", f"cookie=0x{action.cookie:x}"]
    if action.limit:
        parts.append(f"limit={action.limit}")
    return f"learn({','.join(parts + [_spec_text(spec) for spec in action.specs])})"


def _spec_text(spec: LearnMatch | LearnLoad) -> str:
    field = FIELDS[spec.target]
    if isinstance(spec.source, int):
        if isinstance(spec, LearnMatch):
            return f"{field.name}={field.text(spec.source)}"
        return f"load:0x{spec.source:x}->{field.nxm}[]"
    source = FIELDS[spec.source]
    bits = min(field.bits, source.bits)
    target_text, source_text = _part(field, bits), _part(source, bits)
    if isinstance(spec, LearnMatch):
        return target_text if spec.target == spec.source else f"{target_text}={source_text}"
    return f"load:{source_text}->{target_text}"


def _part(field: Field, bits: int) -> str:
    """The lower bits of a field; `[]` is all of it."""
    return f"{field.nxm}[]" if bits == field.bits else f"{field.nxm}[0..{bits - 1}]"


def parse(dumped: str) -> list[Flow]:
    """The flows in the output of `ovs-ofctl --no-names dump-flows`, with or without statistics.

    `Flow.cookie` is the cookie that was dumped. Raises ValueError, naming the line, for a flow that is not
    ours (its cookie says so) or not of our vocabulary; a bridge that has others is dumped by cookie.
    """
    flows = []
    for line in dumped.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith(("OFPST_FLOW", "NXST_FLOW")):
            continue
        try:
            flows.append(_parse_line(stripped))
        except (ValueError, KeyError) as error:
            raise ValueError(f"{error}, in the flow {stripped!r}") from error
    return flows


def _parse_line(line: str) -> Flow:
    head, separator, actions = line.partition("actions=")
    if not separator:
        raise ValueError("no actions")
    table, priority, cookie = 0, _DEFAULT_PRIORITY, 0
    match: dict[str, Written] = {}
    for part in filter(None, re.split(r"[,\s]+", head)):
        name, _, value = part.partition("=")
        if name == "table":
            table = int(value)
        elif name == "priority":
            priority = int(value)
        elif name == "cookie":
            cookie = int(value, 0)
        elif name in _PROTOCOLS and not value:
            match["eth_type"] = _PROTOCOLS[name]
        elif name not in _STATISTICS:
            field = FIELDS[_ALIASES.get(name, name)]
            match[field.name] = _parse_match(field, value)
    kind = kind_of(cookie)
    if kind is None:
        raise ValueError(f"cookie 0x{cookie:x} is not ours")
    return with_cookie(flow(BY_ID[table], kind, priority, match, _parse_actions(actions)), cookie)


def with_cookie(flow: Flow, cookie: int) -> Flow:
    """The flow as it stands on a switch: a learned one has the cookie it was taught with, not a hash."""
    flow.__dict__["cookie"] = cookie  # where the cached property keeps its value
    return flow


def _parse_match(field: Field, written: str) -> Written:
    value, separator, mask = written.partition("/")
    if not separator:
        return _parse_value(field, value)
    if field.kind == "ipv4" and mask.isdigit():
        return _parse_value(field, value), (1 << 32) - (1 << 32 - int(mask))
    return _parse_value(field, value), _parse_value(field, mask)


def _parse_value(field: Field, written: str) -> int:
    if field.name == "in_port" and written == "LOCAL":
        return _LOCAL
    # `load` writes a value of any kind as a number.
    return field.value(int(written, 0) if re.fullmatch(r"0x[0-9a-f]+|\d+", written) else written)


def _parse_actions(written: str) -> list[Action]:
    # Commas inside parentheses belong to the action.
    parts = re.findall(r"(?:[^,(]|\([^)]*\))+", written.strip())
    return [] if parts == ["drop"] else [_parse_action(part) for part in parts]


def _parse_action(written: str) -> Action:  # noqa: PLR0911 - one case per action
    parts = re.fullmatch(r"(\w+)(?:[:(](.*?)\)?)?", written)
    name, argument = parts.groups(default="") if parts else ("", "")
    match name:
        case "IN_PORT" | "LOCAL":
            return Output(IN_PORT if name == "IN_PORT" else _LOCAL)
        case "output" if argument.isdigit():
            return Output(int(argument))
        case "output":
            return OutputField(_whole(argument).name)
        case "CONTROLLER":
            return Controller(int(argument))
        case "set_field" | "load":
            value, _, target = argument.partition("->")
            field = FIELDS[_ALIASES.get(target, target)] if name == "set_field" else _whole(target)
            return SetField(field.name, _parse_value(field, value))
        case "move":
            source, _, target = argument.partition("->")
            return Move(_whole(source).name, _whole(target).name)
        case "resubmit":
            return Resubmit(_table(argument.removeprefix(",")))
        case "goto_table":
            return Goto(_table(argument))
        case "learn":
            return _parse_learn(argument)
    raise ValueError(f"{written!r} is no action of ours")


def _table(number: str) -> Table:
    return BY_ID[int(number)]


def _whole(written: str) -> Field:
    """The field of `NXM_OF_ETH_SRC[]`; its lower bits only where `learn` says so."""
    nxm, _, _ = written.partition("[")
    return _BY_NXM[nxm]


def _parse_learn(written: str) -> Learn:
    options = {"table": 0, "hard_timeout": 0, "priority": _DEFAULT_PRIORITY, "cookie": 0, "limit": 0}
    specs: list[LearnMatch | LearnLoad] = []
    for part in written.split(","):
        name, _, value = part.partition("=")
        if name in options:
            options[name] = int(value, 0)
        elif part.startswith("load:"):
            source, _, target = part.removeprefix("load:").partition("->")
            specs.append(LearnLoad(_whole(target).name, _parse_source(source)))
        elif name.endswith("]"):
            specs.append(LearnMatch(_whole(name).name, _whole(value or name).name))
        elif name != "delete_learned":
            field = FIELDS[_ALIASES.get(name, name)]
            specs.append(LearnMatch(field.name, _parse_value(field, value)))
    return Learn(
        BY_ID[options["table"]],
        options["cookie"],
        options["priority"],
        options["hard_timeout"],
        options["limit"],
        tuple(specs),
    )


def _parse_source(written: str) -> str | int:
    return _whole(written).name if written.endswith("]") else int(written, 0)
