"""What somebody changes by hand is put right at once, told once, and nobody else's things are touched."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator

import pytest

from tests.system.steps import chassis_error, eventually, running, settle
from topologies import three_chassis
from topologies.lab import Lab

pytestmark = pytest.mark.system
HOST = "h1"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(three_chassis.TOPOLOGY) as built:
        settle(built)
        built.run(HOST, "ovs-ofctl", "add-flow", "br-int", "table=50,priority=7,metadata=0x63,actions=drop")
        yield built


def dumped(lab: Lab) -> list[str]:
    """All flows but learned ones, a line each."""
    printed = lab.run(HOST, "ovs-ofctl", "-O", "OpenFlow14", "--no-names", "--no-stats", "dump-flows", "br-int").stdout
    return sorted(line.strip() for line in printed.splitlines() if not re.search("table=(33|60)|OFPST", line))


def edit(lab: Lab, command: str, *arguments: str) -> None:
    lab.run(HOST, "ovs-ofctl", "-O", "OpenFlow14", command, "br-int", *arguments)


def parts(line: str) -> tuple[str, str]:
    """A dumped flow's cookie, and its table, priority and match as one writes them."""
    found = re.fullmatch(r"cookie=(0x[0-9a-f]+), (?:send_flow_rem )?(.*?) ?actions=.*", line)
    assert found, line
    return found[1], found[2].replace(" ", "").rstrip(",")


def said(lab: Lab) -> list[str]:
    return re.findall(r"WARNING h1: (.*)", lab.controller_log())


@pytest.mark.parametrize("how", ["deleted", "altered", "replaced", "added", "added above", "all deleted"])
def test_flows(lab: Lab, how: str) -> None:
    before, told = dumped(lab), len(said(lab))
    line = next(line for line in before if "table=50" in line and "goto_table:70" in line)
    cookie, match = parts(line)
    if how == "deleted":
        edit(lab, "del-flows", f"cookie={cookie}/-1")
    elif how == "altered":
        edit(lab, "mod-flows", f"cookie={cookie}/-1,table=50,actions=drop")
    elif how == "replaced":
        edit(lab, "add-flow", f"cookie=0x5,{match},actions=drop")
    elif how == "added above":
        edit(lab, "add-flow", f"cookie={cookie},table=50,priority=777,metadata=0x62,actions=drop")
    elif how == "added":
        edit(lab, "add-flow", f"cookie={cookie},table=50,priority=100,metadata=0x62,actions=drop")
    else:
        edit(lab, "del-flows", "cookie=0x0e70000000000000/0xffff000000000000")
    eventually(lambda: dumped(lab) == before, 1)
    eventually(lambda: len(said(lab)) > told, 1)
    news = [each for each in said(lab)[told:] if "flows changed by somebody else" in each]
    assert len(news) == 1
    assert {"all deleted": "deleted", "replaced": "deleted", "added above": "added"}.get(how, how) in news[0]
    assert sum("metadata=0x63" in each for each in before) == 1


def test_any_edits(lab: Lab) -> None:
    """Whatever is done to any flows, several at a time: all is as before, and what is not ours is still there."""
    chance = random.Random(5)
    before = dumped(lab)
    ours = [line for line in before if line.startswith("cookie=0xe70")]
    for _ in range(25):
        for line in chance.sample(ours, 3):
            cookie, match = parts(line)
            actions = chance.choice(["drop", "normal", "output:1", "goto_table:90"])
            command, what = chance.choice(
                [
                    ("del-flows", f"cookie={cookie}/-1"),
                    ("del-flows", f"cookie=0xe70000000000000/0xfff0000000000000,{match.split(',')[0]}"),
                    ("mod-flows", f"cookie={cookie}/-1,{match.split(',')[0]},actions={actions}"),
                    ("add-flow", f"{match},actions={actions}"),
                    ("add-flow", f"cookie={cookie},{match},actions={actions}"),
                    ("add-flow", f"cookie={cookie},table=70,priority=1,metadata=0x61,actions={actions}"),
                ]
            )
            # Some of them no switch takes (a table may not be left for one before it): then nothing is changed.
            lab.run(HOST, "ovs-ofctl", "-O", "OpenFlow14", command, "br-int", what, check=False)
        eventually(lambda: dumped(lab) == before, 2)


def test_meters(lab: Lab) -> None:
    """A meter that is deleted takes the flows with it that use it."""
    before, told = dumped(lab), len(said(lab))
    lab.run(HOST, "ovs-ofctl", "-O", "OpenFlow14", "del-meters", "br-int")
    eventually(lambda: dumped(lab) == before, 1)
    assert "meters changed by somebody else" in said(lab)[told:]


EDITS = {
    "fail-mode": (("set-fail-mode", "br-int", "standalone"), "Bridge br-int: fail_mode was standalone"),
    "options": (
        ("set", "interface", "overlay-vxlan", "options:remote_ip=192.0.2.77"),
        "Interface overlay-vxlan: options was {",
    ),
    "type": (("set", "interface", "overlay-vxlan", "type=gre"), "Interface overlay-vxlan: type was gre"),
    "ofport": (("set", "interface", "overlay-vxlan", "ofport_request=7"), "overlay-vxlan: ofport_request was 7"),
    "port gone": (("del-port", "br-int", "overlay-gre"), "Port overlay-gre was not there"),
    "port's mark": (("clear", "port", "overlay-vxlan", "external_ids"), "external_ids had lost overlay-managed=true"),
    "bridge's mark": (("clear", "bridge", "br-int", "external_ids"), "Bridge br-int: external_ids had lost"),
    "protocols": (("set", "bridge", "br-int", "protocols=OpenFlow10"), "protocols was"),
    "datapath id": (("set", "bridge", "br-int", "other-config:datapath-id=0000000000000001"), "other_config was"),
    "controller gone": (("del-controller", "br-int"), "Controller tcp:198.51.100.254:6653 was not there"),
    "other controller": (("set-controller", "br-int", "tcp:192.0.2.99:9999"), "6653 was not there"),
    "controller's mark": (("clear", "controller", "CONTROLLER", "external_ids"), "external_ids had lost"),
    "controller's columns": (("set", "controller", "CONTROLLER", "max_backoff=60000"), "max_backoff was 60000"),
}


@pytest.mark.parametrize("column", ["error=nonsense", "ofport=-1", "ofport=7"])
def test_what_the_switch_said_wrongly(lab: Lab, column: str) -> None:
    """Open vSwitch may leave behind that it could not make a port which it made a moment later."""
    want, told = state(lab), lab.controller_log().count("ERROR   h1: interface overlay-vxlan: ")
    lab.run(HOST, "ovs-vsctl", "--no-wait", "set", "interface", "overlay-vxlan", column)
    eventually(lambda: lab.controller_log().count("ERROR   h1: interface overlay-vxlan: ") == told + 1, 1)
    eventually(lambda: state(lab) == want and not chassis_error(lab, HOST), 2)


def test_a_port_that_fails_for_long_is_not_asked_for_all_the_time(lab: Lab) -> None:
    """Somebody else has a tunnel like ours; when it has gone ours comes back."""
    want = state(lab)
    own = ("type=gre", "options:remote_ip=flow", "options:key=flow", "options:local_ip=flow")
    lab.run(HOST, "ovs-vsctl", "add-br", "br-other", "--", "set", "bridge", "br-other", "datapath_type=netdev")
    lab.run(HOST, "ovs-vsctl", "add-port", "br-other", "twin", "--", "set", "interface", "twin", "type=internal")
    # The one that has it already keeps it: ours is away just while the other is made.
    for command in (
        ("set", "interface", "overlay-gre", "options:remote_ip=192.0.2.77", "--", "set", "interface", "twin", *own),
    ) * 5:
        lab.run(HOST, "ovs-vsctl", *command, check=False)
        if chassis_error(lab, HOST):
            break
    asked = int(lab.run(HOST, "ovs-vsctl", "get", "open_vswitch", ".", "next_cfg").stdout)
    assert "overlay-gre: could not add network device" in chassis_error(lab, HOST)
    time.sleep(6)
    assert 1 <= int(lab.run(HOST, "ovs-vsctl", "get", "open_vswitch", ".", "next_cfg").stdout) - asked <= 5
    lab.run(HOST, "ovs-vsctl", "del-br", "br-other")
    eventually(lambda: state(lab) == want and not chassis_error(lab, HOST), 5)


@pytest.mark.parametrize("what", EDITS)
def test_the_database(lab: Lab, what: str) -> None:
    command, news = EDITS[what]
    want, told = state(lab), len(said(lab))
    find = ("ovs-vsctl", "--columns=_uuid", "--bare", "find", "controller", "external_ids:overlay-managed=true")
    row = lab.run(HOST, *find).stdout.strip()
    lab.run(HOST, "ovs-vsctl", *(row if word == "CONTROLLER" else word for word in command))
    eventually(lambda: state(lab) == want, 1)
    found = [each for each in said(lab)[told:] if "set back what somebody else changed" in each]
    assert len(found) == 1
    assert news in found[0]
    settle(lab)
    eventually(lambda: lab.ping("web1", "web2", count=1).lost == 0, 10)


def state(lab: Lab) -> list[str]:
    """What of the chassis' database is ours, but for row numbers."""
    found = []
    for table, columns in {
        "bridge": "name,fail_mode,protocols,datapath_type,other_config",
        "interface": "name,type,options,ofport,external_ids",
        "port": "name,external_ids",
        "controller": "target,connection_mode,max_backoff,external_ids",
    }.items():
        listed = lab.run(
            HOST, "ovs-vsctl", f"--columns={columns}", "--format=csv", "--no-headings", "list", table
        ).stdout
        found += sorted(line for line in listed.splitlines() if re.search("br-int|overlay-|6653", line))
    marked = lab.run(HOST, "ovs-vsctl", "--if-exists", "get", "bridge", "br-int", "external_ids:overlay-managed").stdout
    return [*found, marked]
