"""A thousand edits of a chassis' flows, meters and tunnel ports, among foreign flows that are to stay as they are."""

from __future__ import annotations

import random
import re
import statistics
import time
from typing import Final

from flows.plan import LEARNED_TABLES
from flows.tables import PIPELINE
from topologies.faults.ground import Ground, NotHealed

EDITS: Final = 1000
AT_ONCE: Final = (1, 1, 1, 2, 3, 6)
"""How many edits are made before the repair is waited for, one of these at random."""
MISSED_S: Final = 10
"""Seconds after which a repair does not come any more; how long it may take is the promise's business."""
ACTIONS: Final = ("drop", "goto_table:90", "goto_table:{next}", "write_metadata:0x61,goto_table:{next}", "dec_ttl")
"""What is put in the place of a flow's: nothing that takes a packet to another tenant before it is repaired."""
_TABLES: Final = tuple(table.id for table in PIPELINE if table.id not in LEARNED_TABLES)
"""Flows in others lead nowhere, as nothing leads to them: they are seen within half a minute."""
OURS: Final = "cookie=0x0e70000000000000/0xfff0000000000000"
_FOREIGN_METER: Final = 60000
_OF14: Final = ("-O", "OpenFlow14")
_SETTINGS: Final = ("no-forward", "no-receive", "no-packet-in")


def edited(ground: Ground, chance: random.Random) -> None:
    """Make them, and wait for each repair. Raises NotHealed."""
    world = _World(ground, chance)
    took, made = [], 0
    while made < EDITS:
        for _ in range(chance.choice(AT_ONCE)):
            made += 1
            world.edit()
        began = time.monotonic()
        try:
            ground.heals(lambda: not world.wrong(), MISSED_S)
        except NotHealed:
            raise NotHealed(f"edits up to {made}, `{world.last}`: {world.wrong()[:3]}") from None
        took.append(time.monotonic() - began)
    median = statistics.median(took)
    ground.remark(f"{made} edits, {world.foreign_edits} of foreign flows; repaired in {median:.2f} s (median)")


class _World:
    """h1's flows and meters as they should be: ours as at first, foreign ones as they were made."""

    def __init__(self, ground: Ground, chance: random.Random) -> None:
        self._ground, self._chance = ground, chance
        self._ours = [line for line in ground.flows("h1") if line.startswith("cookie=0xe7")]
        self._foreign: dict[str, str] = {}
        self._table: dict[str, int] = {}
        self._foreign_serial = 0
        self.foreign_edits = 0
        self.last = ""
        self._switch("add-group", "group_id=77,type=all,bucket=actions=drop")
        self._switch("add-meter", f"meter={_FOREIGN_METER},kbps,bands=type=drop rate=9999")
        self._others = self._meters_and_groups()

    def wrong(self) -> list[str]:
        """What is not, a line each."""
        lines = self._ground.flows("h1")
        wrong = [f"gone: {line}" for line in self._ours if line not in lines]
        found = {line.partition(",")[0]: line for line in lines if line not in self._ours}
        wrong += [f"not ours: {line}" for cookie, line in found.items() if cookie not in self._foreign]
        for cookie, actions in self._foreign.items():
            if found.get(cookie, "").partition("actions=")[2] != actions:
                wrong.append(f"foreign: {cookie}, {found.get(cookie)}")
        others = self._meters_and_groups()
        printed = self._switch("dump-ports-desc")
        settings = re.findall(r"\((overlay-.*)\):.*\n +config: +(\S.*)", printed)
        wrong += [f"port {name}: {set_to}" for name, set_to in settings if set_to != "0"]
        return wrong + ([f"meters or groups: {others}"] if others != self._others else [])

    def edit(self) -> None:
        """One more edit, of any sort. What the switch refuses changes nothing."""
        sorts = (self._edit_ours, self._edit_foreign, self._edit_meters, self._edit_ports)
        self._chance.choices(sorts, (16, 4, 1, 2))[0]()

    def _edit_ours(self) -> None:
        chance = self._chance
        cookie, _, rest = chance.choice(self._ours).removeprefix("cookie=").partition(", ")
        match = rest.partition("actions=")[0].replace(" ", "").removeprefix("send_flow_rem").rstrip(",")
        match = match if match.startswith("table=") else f"table=0,{match}"  # ovs-ofctl leaves table 0 out
        table = match.partition(",")[0]
        number = int(table.removeprefix("table="))
        actions = chance.choice(ACTIONS).format(next=next((each for each in _TABLES if each > number), 250))
        another = int(cookie, 16) ^ chance.randrange(1, 1 << 32)
        stranger = f"table={chance.choice(_TABLES)},priority={chance.randrange(1, 65535)},metadata=0x61"
        self._switch(
            *chance.choice(
                [
                    ("del-flows", f"cookie={cookie}/-1"),
                    ("del-flows", f"{OURS},{table}"),
                    ("mod-flows", f"cookie={cookie}/-1,{table},actions={actions}"),
                    ("mod-flows", f"{OURS},{table},actions={actions}"),
                    ("add-flow", f"{match},actions={actions}"),
                    ("add-flow", f"cookie={cookie},{match},actions={actions}"),
                    ("add-flow", f"cookie={cookie},{stranger},actions={actions}"),
                    ("add-flow", f"cookie={another:#x},{stranger},actions={actions}"),
                ]
            )
        )

    def _edit_foreign(self) -> None:
        """Make, alter or delete a flow that is somebody's, in any table, of a network that is nobody's."""
        self.foreign_edits += 1
        if self._foreign and self._chance.random() < 0.5:
            cookie = self._chance.choice(sorted(self._foreign))
            if self._chance.random() < 0.5:
                self._switch("del-flows", f"{cookie}/-1")
                del self._foreign[cookie]
            else:
                self._foreign[cookie] = self._chance.choice(("drop", "write_metadata:0x1", "group:77"))
                self._switch("mod-flows", f"{cookie}/-1,table={self._table[cookie]},actions={self._foreign[cookie]}")
            return
        self._foreign_serial += 1
        cookie = f"cookie={0x5000 + self._foreign_serial:#x}"
        self._foreign[cookie] = "drop"
        self._table[cookie] = self._chance.choice((*_TABLES, 120, 200))
        match = f"table={self._table[cookie]},priority={self._foreign_serial},metadata=0x63"
        self._switch("add-flow", f"{cookie},{match},actions=drop")

    def _edit_meters(self) -> None:
        """A meter of ours is deleted or altered. No switch tells of that: it is seen when flows are, or in 30 s."""
        numbers = re.findall(r"^meter=(\d+)", self._others, re.MULTILINE)
        meter = self._chance.choice([each for each in numbers if int(each) != _FOREIGN_METER])
        if self._chance.random() < 0.5:
            self._switch("del-meter", f"meter={meter}")
        else:
            self._switch("mod-meter", f"meter={meter},pktps,burst,bands=type=drop rate=1 burst_size=1")
        self._switch("del-flows", f"{OURS},table=50")

    def _edit_ports(self) -> None:
        """A tunnel port is shut, and now and then fragments are to be dropped, which is seen when ports are."""
        if self._chance.random() < 0.2:
            self._switch("set-frags", "drop")
            for setting in ("no-packet-in", "packet-in"):  # one of them changes something, so the switch tells
                self._switch("mod-port", "overlay-gre", setting)
        self._switch("mod-port", self._chance.choice(("overlay-vxlan", "overlay-gre")), self._chance.choice(_SETTINGS))

    def _meters_and_groups(self) -> str:
        """All of them, in an order of their own: Open vSwitch's changes."""
        found = "".join(self._switch(f"dump-{each}") for each in ("meters", "groups"))
        settings = [self._switch("get-frags")]
        return "\n".join(sorted(re.findall(r"(?:meter|group_id)=.*(?:\n *type=.*)*", found)) + settings)

    def _switch(self, command: str, *argument: str) -> str:
        if argument:
            self.last = f"{command} {' '.join(argument)}"
        done = self._ground.lab.run("h1", "ovs-ofctl", *_OF14, command, "br-int", *argument, check=False)
        return done.stdout
