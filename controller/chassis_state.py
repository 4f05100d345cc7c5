"""What is known of one chassis, and how that is told in a word and in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.flows_mark import Had
from flows.model import Encap
from ovsdb.marks import Mark, parse
from ovsdb.snapshot import Plugged


@dataclass
class ChassisState:
    """What is known of one chassis, beside its declaration.

    `plugged` is None until its database was read, `tried` whether an attempt to do so has failed, `fault` why it can't
    be read now: until one of the two, what was last written down stands in. `applied` is the overlay's version that its
    switch has confirmed, -1 for none, and `confirmed` whether it has since it connected; `cur_cfg` and
    `provisioned_cfg` are the sequence numbers up to which its flows and its database are as declared. `foreign`:
    another controller has it, and tells what is known. `generation` is that of its owner. `impostor`: why a connection
    in its name was refused last, and when, in seconds of a clock that only rises. `silent` are the encaps and VTEPs
    from which nothing arrives, and whose they are. `had` is what its switch had when all was as it should be, None
    before. `remarks` is what others have there that is left alone, in words, by what it is about; `ports` the same of a
    port, by its number.
    """

    plugged: Plugged | None = None
    tried: bool = False
    fault: str = "not connected yet"
    problems: tuple[str, ...] = ()
    connected: bool = False
    confirmed: bool = False
    applied: int = -1
    cur_cfg: int = 0
    provisioned_cfg: int = 0
    flows: int = 0
    refused: tuple[str, ...] = ()
    datapath_id: str = ""
    impostor: tuple[str, float] | None = None
    foreign: bool = False
    generation: int = 0
    silent: Mapping[tuple[Encap, str], str] = field(default_factory=dict)
    had: Had | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, str] = field(default_factory=dict)

    @property
    def heard(self) -> bool:
        """Whether its database was read, or can't be."""
        return self.plugged is not None or self.tried

    @property
    def mark(self) -> Mark | None:
        """The state of the overlay database that the chassis has last seen; None where it says nothing of one."""
        return parse(self.plugged.mark) if self.plugged is not None else None

    @property
    def state(self) -> str:
        """One word for `overlayctl show`."""
        if self.fault:
            return "unreachable" if self.plugged is not None else "connecting"
        if self.problems or self.refused:
            return "error"
        return "ready" if self.connected and self.confirmed else "connecting"

    @property
    def error(self) -> str:
        """What is wrong with it, in words; '' when nothing is."""
        parts = [self.fault] if self.fault else []
        parts += [*self.problems, *self.refused]
        if not self.fault and not self.connected and self.plugged is not None:
            parts.append(self.impostor[0] if self.impostor is not None else self.plugged.channel)
        return "; ".join(filter(None, parts))
