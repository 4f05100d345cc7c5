"""What the instructions of a flow do, in `ovs-ofctl`'s words, whoever made them: short, and never an error."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any, Final

from ryu.ofproto import ofproto_v1_4_parser as parser

LONGEST: Final = 60
"""Characters after which the rest is left out."""
_ACTIONS: Final = (3, 4)
"""Instructions that have actions: to be written, and to be applied."""


def actions_text(instructions: bytes) -> str:
    """The instructions of a flow as a switch gives them back (OpenFlow 1.4, section 7.2.4)."""
    try:
        said = ",".join(filter(None, _instructions(instructions))) or "drop"
    except Exception:  # whatever Ryu makes of what it does not know
        said = "something else"
    return said if len(said) <= LONGEST else said[: LONGEST - 3] + "..."


def _instructions(octets: bytes) -> Iterator[str]:
    for kind, begin, end in _entries(octets, 0, len(octets)):
        if kind in _ACTIONS:
            yield ",".join(_action(octets, *each) for each in _entries(octets, begin + 8, end))
            continue
        each = parser.OFPInstruction.parser(octets, begin)
        if isinstance(each, parser.OFPInstructionGotoTable):
            yield f"goto_table:{each.table_id}"
        elif isinstance(each, parser.OFPInstructionWriteMetadata):
            yield f"write_metadata:{each.metadata:#x}"
        else:
            yield f"meter:{each.meter_id}"


def _entries(octets: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The type, begin and end of each entry: instructions and actions say both alike. Raises ValueError."""
    while begin < end:
        kind, length = struct.unpack_from("!HH", octets, begin)
        if length < 8 or begin + length > end:
            raise ValueError(f"an entry of {length} bytes")
        yield kind, begin, begin + length
        begin += length


def _action(octets: bytes, kind: int, begin: int, end: int) -> str:
    try:
        each: Any = parser.OFPAction.parser(octets[:end], begin)
    except Exception:  # Ryu knows few of Open vSwitch's own, and fails at the others in many ways
        return f"action {kind:#x}"
    if isinstance(each, parser.OFPActionOutput):
        return f"output:{each.port}"
    if isinstance(each, parser.OFPActionGroup):
        return f"group:{each.group_id}"
    if isinstance(each, parser.OFPActionSetField):
        return f"set_field:{each.value}->{each.key}"
    name = re.sub("^(OFPAction|NXAction)", "", type(each).__name__)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
