"""A flow as `ovs-ofctl` text, and back: for goldens, logs, the CLI, and the simulator on dumped flows.

`text` is what `ovs-ofctl add-flow` accepts (ovs-fields(7), ovs-actions(7)); `parse` reads what
`ovs-ofctl dump-flows` prints of our own flows and of those they taught, and nothing beyond that vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from flows.fields import FIELDS, PLACE, Field
from flows.flow import (
    IN_PORT,
    Action,
    CheckLarger,
    Controller,
    Flow,
    Goto,
    Learn,
    LearnLoad,
    LearnMatch,
    Meter,
    Move,
    Output,
    OutputField,
    PopVlan,
    PushVlan,
    Recirculate,
    Resubmit,
    SetField,
    Written,
    flow,
    kind_of,
)
from flows.tables import BY_ID, Table

_LOCAL: Final = 0xFFFFFFFE
_LONGEST: Final = 0xFFFF
"""What it means by a length of copies that is not written: all of a packet."""
_DEFAULT_PRIORITY: Final = 0x8000
"""What ovs-ofctl means by a priority that is not written."""
_BY_NXM: Final = {field.nxm: field for field in FIELDS.values()}
_ALIASES: Final = {
    "dl_src": "eth_src",
    "dl_dst": "eth_dst",
    "dl_type": "eth_type",
    "nw_src": "ip_src",
    "nw_dst": "ip_dst",
    "nw_proto": "ip_proto",
    "nw_frag": "ip_frag",
}
_PROTOCOLS: Final[dict[str, tuple[int, int | None]]] = {
    "arp": (0x0806, None),
    "rarp": (0x8035, None),
    "mpls": (0x8847, None),
    "mplsm": (0x8848, None),
    "ip": (0x0800, None),
    "ipv6": (0x86DD, None),
    "icmp": (0x0800, 1),
    "tcp": (0x0800, 6),
    "udp": (0x0800, 17),
    "sctp": (0x0800, 132),
    "tcp6": (0x86DD, 6),
    "udp6": (0x86DD, 17),
    "icmp6": (0x86DD, 58),
    "sctp6": (0x86DD, 132),
}
"""The EtherType and protocol that `ovs-ofctl` names by one word."""
_BY_PROTOCOL: Final = {
    ("tp_src", 17): "udp_src",
    ("tp_dst", 17): "udp_dst",
    ("icmp_type", 58): "icmpv6_type",
}
"""Fields that it calls the same for several protocols."""
_FRAGMENTS: Final = {(0, 3): "no", (1, 1): "yes", (1, 3): "first", (3, 3): "later", (0, 2): "not_later"}
"""How it writes (value, mask) of `ip_frag`."""
_TAG: Final = 0x1000
_VID: Final = 0x0FFF
_PCP: Final = 0xE000
"""The bits of `vlan_tci`: there is a tag, its number, its priority (ovs-fields(7))."""
_RECIRCULATE: Final = "encap(nsh),decap()"
_STATISTICS: Final = frozenset(
    {"duration", "n_packets", "n_bytes", "idle_age", "hard_age", "idle_timeout", "hard_timeout"}
)
"""What a dump says of a flow that is no part of our value."""


def text(flow: Flow, *, cookie: bool = True) -> str:
    """A flow on one line, as `ovs-ofctl add-flow` accepts it; its cookie only where asked for."""
    head = [f"table={flow.table.id}", f"priority={flow.priority}"]
    if cookie:
        head.append(f"cookie=0x{flow.cookie:x}")
    rows = sorted(flow.match, key=lambda row: PLACE[row[0]])
    head += [f"{name}={_written(FIELDS[name], value, mask)}" for name, value, mask in rows]
    return f"{', '.join(head)}, actions={actions_text(flow.actions)}"


_BRIEF: Final = 400


def brief(flow: Flow) -> str:
    """The same, of a flow that may have thousands of actions, for people."""
    whole = text(flow)
    return whole if len(whole) <= _BRIEF else f"{whole[:_BRIEF]} ... ({len(flow.actions)} actions)"


def dump(flows: Iterable[Flow], *, cookie: bool = True) -> str:
    """Flows, one per line, by table, priority (highest first) and match."""
    rows = sorted((flow.table.id, -flow.priority, text(flow, cookie=cookie)) for flow in flows)
    return "".join(f"{line}\n" for _, _, line in rows)


def actions_text(actions: Iterable[Action]) -> str:
    """Actions as `ovs-ofctl` writes them; `drop` when there are none."""
    return ",".join(_action_text(action) for action in actions) or "drop"


def _written(field: Field, value: int, mask: int | None) -> str:
    if field.name == "ip_frag" and (value, mask) in _FRAGMENTS:
        return _FRAGMENTS[value, mask or 0]
    return field.text(value) if mask is None else f"{field.text(value)}/{field.text(mask)}"


def _action_text(action: Action) -> str:  # noqa: PLR0911, PLR0912 - one case per action
    match action:
        case Output(port):
            return {IN_PORT: "IN_PORT", _LOCAL: "LOCAL"}.get(port, f"output:{port}")
        case OutputField(name):
            return f"output:{FIELDS[name].nxm}[]"
        case Controller(max_len, 0):
            return f"CONTROLLER:{max_len}"
        case Controller(max_len, meter):
            return f"controller(max_len={max_len},meter_id={meter})"
        case Meter(id):
            return f"meter:{id}"
        case PushVlan(ethertype):
            return f"push_vlan:0x{ethertype:x}"
        case PopVlan():
            return "pop_vlan"
        case Recirculate():
            return _RECIRCULATE
        case CheckLarger(octets, name):
            return f"check_pkt_larger({octets})->{FIELDS[name].nxm}[0]"
        case SetField(name, value):
            return f"set_field:{FIELDS[name].text(value)}->{name}"
        case Move(source, target, bits):
            of, to = FIELDS[source], FIELDS[target]
            return f"move:{_part(of, bits or of.bits)}->{_part(to, bits or to.bits)}"
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


Meters = Mapping[int, tuple[int, int]]
"""(rate, burst) of meters by their ids, in packets per second and packets."""


def meter_text(id: int, rate: int, burst: int) -> str:
    """A meter as `ovs-ofctl add-meter` accepts it."""
    return f"meter={id},pktps,burst,band=type=drop,rate={rate},burst_size={burst}"


def meters(dumped: str) -> dict[int, tuple[int, int]]:
    """The (rate, burst) by id of the meters in the output of `ovs-ofctl dump-meters`.

    Those that do anything but drop what is beyond so many packets per second are left out: ours are all like that.
    """
    found = re.findall(
        r"^meter=(\d+) pktps burst(?: stats)? bands=\s*type=drop rate=(\d+) burst_size=(\d+)\s*?$(?!\ntype=)",
        dumped,
        re.MULTILINE,
    )
    return {int(id): (int(rate), int(burst)) for id, rate, burst in found}


def parse(dumped: str, meters: Meters | None = None) -> list[Flow]:
    """The flows in the output of `ovs-ofctl --no-names dump-flows`, with or without statistics.

    A meter has the rate and burst that `meters` says of it, and 0 where that says nothing. `Flow.cookie` is the
    cookie that was dumped. Raises ValueError, naming the line, for a flow that is not ours (its cookie says so) or
    not of our vocabulary; a bridge that has others is dumped by cookie.
    """
    flows = []
    for line in dumped.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith(("OFPST_FLOW", "NXST_FLOW")):
            continue
        try:
            flows.append(_parse_line(stripped, meters or {}))
        except (ValueError, KeyError) as error:
            raise ValueError(f"{error}, in the flow {stripped!r}") from error
    return flows


def _parse_line(line: str, meters: Meters) -> Flow:
    head, separator, actions = line.partition("actions=")
    if not separator:
        raise ValueError("no actions")
    table, priority, cookie = 0, _DEFAULT_PRIORITY, 0
    match: dict[str, Written] = {}
    tci = mask = 0
    for part in filter(None, re.split(r"[,\s]+", head)):
        name, _, value = part.partition("=")
        if name == "table":
            table = int(value)
        elif name == "priority":
            priority = int(value)
        elif name == "cookie":
            cookie = int(value, 0)
        elif name in _PROTOCOLS and not value:
            ethertype, protocol = _PROTOCOLS[name]
            match["eth_type"] = ethertype
            if protocol is not None:
                match["ip_proto"] = protocol
        elif name == "dl_vlan":
            tci, mask = tci | _TAG | int(value), mask | _TAG | _VID
        elif name == "dl_vlan_pcp":
            tci, mask = tci | _TAG | int(value) << 13, mask | _TAG | _PCP
        elif name not in _STATISTICS:
            field = FIELDS[_field_name(name, match)]
            match[field.name] = _parse_match(field, value)
    if mask:
        match["vlan_tci"] = tci if mask == 0xFFFF else (tci, mask)
    kind = kind_of(cookie)
    if kind is None:
        raise ValueError(f"cookie 0x{cookie:x} is not ours")
    return with_cookie(flow(BY_ID[table], kind, priority, match, _parse_actions(actions, meters)), cookie)


def _field_name(name: str, match: Mapping[str, Written]) -> str:
    protocol = match.get("ip_proto")
    return _BY_PROTOCOL.get((name, protocol if isinstance(protocol, int) else 0)) or _ALIASES.get(name, name)


def with_cookie(flow: Flow, cookie: int) -> Flow:
    """The flow as it stands on a switch: a learned one has the cookie it was taught with, not a hash."""
    flow.__dict__["cookie"] = cookie  # where the cached property keeps its value
    return flow


def _parse_match(field: Field, written: str) -> Written:
    if field.name == "ip_frag" and written in _FRAGMENTS.values():
        return next(masked for masked, name in _FRAGMENTS.items() if name == written)
    value, separator, mask = written.partition("/")
    if not separator:
        return _parse_value(field, value)
    if field.kind in ("ipv4", "ipv6") and mask.isdigit():
        return _parse_value(field, value), (1 << field.bits) - (1 << field.bits - int(mask))
    return _parse_value(field, value), _parse_value(field, mask)


def _parse_value(field: Field, written: str) -> int:
    if field.name == "in_port" and written == "LOCAL":
        return _LOCAL
    # `load` writes a value of any kind as a number.
    return field.value(int(written, 0) if re.fullmatch(r"0x[0-9a-f]+|\d+", written) else written)


def _parse_actions(written: str, meters: Meters) -> list[Action]:
    # Commas inside parentheses belong to the action.
    joined = _whole_loads(written.strip()).replace(_RECIRCULATE, "recirculate")
    parts = re.findall(r"(?:[^,(]|\([^)]*\))+", joined)
    return [] if parts == ["drop"] else [_parse_action(part, meters) for part in parts]


def _whole_loads(written: str) -> str:
    """What a learned flow writes into a field of 128 bits is shown as two halves; here they are one again."""
    return re.sub(
        r"load:(0x[0-9a-f]+|0)->(\w+)\[0\.\.63\],load:(0x[0-9a-f]+|0)->\2\[64\.\.127\]",
        lambda halves: f"load:0x{int(halves[3], 0) << 64 | int(halves[1], 0):x}->{halves[2]}[]",
        written,
    )


def _parse_action(written: str, meters: Meters) -> Action:  # noqa: PLR0911, PLR0912 - one case per action
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
        case "controller":
            options = dict(part.split("=") for part in argument.split(","))
            id = int(options["meter_id"])
            return Controller(int(options.get("max_len", _LONGEST)), id, *meters.get(id, (0, 0)))
        case "meter":
            return Meter(int(argument), *meters.get(int(argument), (0, 0)))
        case "push_vlan":
            return PushVlan(int(argument, 0))
        case "pop_vlan":
            return PopVlan()
        case "recirculate":
            return Recirculate()
        case "check_pkt_larger":
            octets, _, target = argument.partition(")->")
            return CheckLarger(int(octets), _whole(target).name)
        case "set_field" | "load":
            value, _, target = argument.partition("->")
            field = FIELDS[_ALIASES.get(target, target)] if name == "set_field" else _whole(target)
            return SetField(field.name, _parse_value(field, value))
        case "move":
            return _parse_move(argument)
        case "resubmit":
            return Resubmit(_table(argument.removeprefix(",")))
        case "goto_table":
            return Goto(_table(argument))
        case "learn":
            return _parse_learn(argument)
    raise ValueError(f"{written!r} is no action of ours")


def _parse_move(written: str) -> Move:
    source, _, target = written.partition("->")
    parts = [re.fullmatch(r"(\w+)\[(?:0\.\.(\d+))?\]", part) for part in (source, target)]
    if not all(parts):
        raise ValueError(f"'move:{written}' is no action of ours")
    bits = {int(part[2]) + 1 for part in parts if part and part[2]}
    return Move(_whole(source).name, _whole(target).name, max(bits, default=0))


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
