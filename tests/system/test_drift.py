"""What somebody changes by hand is put right at once, told once, and nobody else's things are touched."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.system.steps import chassis_error, eventually, problems, running, settle
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
    "deaf controller": (("set", "controller", "CONTROLLER", "enable_async_messages=false"), "messages was false"),
    "spanning trees": (
        ("set", "bridge", "br-int", "stp_enable=true", "rstp_enable=true"),
        "Bridge br-int: rstp_enable was true; Bridge br-int: stp_enable was true",
    ),
    "snooping": (("set", "bridge", "br-int", "mcast_snooping_enable=true"), "mcast_snooping_enable was true"),
    "switching by MAC": (
        ("set", "bridge", "br-int", "other_config:forward-bpdu=true", "other_config:mac-table-size=10"),
        "other_config was {",
    ),
    "limited flow table": (
        (
            *("--", "--id=@limit", "create", "Flow_Table", "flow_limit=2", "overflow_policy=evict"),
            *("--", "set", "bridge", "br-int", "flow_tables:50=@limit"),
        ),
        "Bridge br-int: flow_tables was {50=",
    ),
    "controller beside ours": (
        (
            *("--", "--id=@other", "create", "Controller", 'target="tcp:127.0.0.1:9999"'),
            *("--", "add", "bridge", "br-int", "controller", "@other"),
        ),
        "Bridge br-int had Controller tcp:127.0.0.1:9999",
    ),
    "VLAN": (("set", "port", "overlay-vxlan", "tag=7", "vlan_mode=access", "trunks=5"), "overlay-vxlan: tag was 7"),
    "QoS": (
        ("--", "--id=@qos", "create", "qos", "type=linux-htb", "--", "set", "port", "overlay-gre", "qos=@qos"),
        "Port overlay-gre: qos was ",
    ),
    "bond": (
        (
            *("--", "--id=@more", "create", "Interface", "name=more", "type=internal"),
            *("--", "add", "port", "overlay-vxlan", "interfaces", "@more"),
        ),
        "Port overlay-vxlan: interfaces was [",
    ),
    "policing": (
        ("set", "interface", "overlay-vxlan", "ingress_policing_rate=1", "bfd:enable=true"),
        "Interface overlay-vxlan: bfd was {enable=",
    ),
    "br-int's own port": (("set", "port", "br-int", "tag=7"), "Port br-int: tag was 7"),
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


def test_what_is_not_ours_to_hold(lab: Lab) -> None:
    """Notes on rows of ours, what only looks on, and tables' names stay, and nothing is told."""
    told = len(said(lab))
    lab.run(
        *(HOST, "ovs-vsctl", "--", "--id=@s", "create", "sflow", 'targets="192.0.2.9"'),
        *("--", "--id=@t", "create", "Flow_Table", "name=forward", "prefixes=ip_dst"),
        *("--", "set", "bridge", "br-int", "sflow=@s", "flow_tables:50=@t", "external_ids:note=1"),
        *("--", "set", "bridge", "br-int", "other_config:dp-desc=mine"),
        *("--", "set", "port", "overlay-vxlan", "external_ids:note=1"),
        *("--", "set", "interface", "overlay-vxlan", "external_ids:note=1"),
    )
    lab.run(HOST, "ovs-vsctl", "set", "bridge", "br-int", "stp_enable=true")  # which is set back, and no more
    eventually(lambda: lab.run(HOST, "ovs-vsctl", "get", "bridge", "br-int", "stp_enable").stdout == "false\n", 1)
    kept = lab.run(HOST, "ovs-vsctl", "list", "bridge", "br-int").stdout
    kept += lab.run(HOST, "ovs-vsctl", "list", "port", "overlay-vxlan").stdout
    kept += lab.run(HOST, "ovs-vsctl", "list", "interface", "overlay-vxlan").stdout
    assert len(re.findall('note="?1"?', kept)) == 3
    assert re.search(r"flow_tables +: {50=", kept)
    assert "dp-desc=mine" in kept
    assert not re.search(r"sflow +: \[\]", kept)
    assert [each for each in said(lab)[told:] if "stp_enable" not in each] == []
    for column in ("sflow", "flow_tables", "external_ids:note", "other_config:dp-desc"):
        name, _, key = column.partition(":")
        lab.run(HOST, "ovs-vsctl", "remove" if key else "clear", "bridge", "br-int", name, *([key] if key else []))
    for table in ("port", "interface"):
        lab.run(HOST, "ovs-vsctl", "remove", table, "overlay-vxlan", "external_ids", "note")


def ports(lab: Lab) -> dict[str, str]:
    """What each port of br-int is set to, as OpenFlow has it."""
    printed = lab.run(HOST, "ovs-ofctl", "-O", "OpenFlow14", "dump-ports-desc", "br-int").stdout
    return dict(re.findall(r"\d+\((.*?)\):.*\n +config: +(.*)", printed))


@pytest.mark.parametrize("setting", ["no-forward", "no-receive", "no-packet-in"])
def test_a_tunnel_that_is_shut(lab: Lab, setting: str) -> None:
    before, told = ports(lab), len(said(lab))
    edit(lab, "mod-port", "overlay-vxlan", setting)
    eventually(lambda: ports(lab) == before, 1)
    eventually(lambda: len(said(lab)) > told, 1)
    assert said(lab)[told:] == [f"set back what somebody else changed: port overlay-vxlan was set to {setting}"]
    assert lab.ping("web1", "web2", count=2).lost == 0


def test_fragments(lab: Lab) -> None:
    """No switch tells of that: it is seen with anything else, or in half a minute."""
    told = len(said(lab))
    edit(lab, "set-frags", "drop")
    edit(lab, "mod-port", "overlay-gre", "no-forward")
    eventually(lambda: lab.run(HOST, "ovs-ofctl", "get-frags", "br-int").stdout == "normal\n", 1)
    eventually(lambda: len(said(lab)) > told, 1)
    (line,) = said(lab)[told:]
    assert line.endswith("port overlay-gre was set to no-forward; fragments were handled as drop")


def test_a_port_that_is_shut(lab: Lab) -> None:
    """Whoever shuts what is plugged in may want it so: it is told, and left alone."""
    edit(lab, "mod-port", "web1", "down")
    edit(lab, "mod-port", "db1", "no-forward")
    want = {
        f"{HOST}/web1": "the device is down, so nothing passes; on the host: ip link set web1 up",
        f"{HOST}/db1": "it is set to no-forward; on the host: ovs-ofctl mod-port br-int db1 forward",
    }
    eventually(lambda: {place: what for place, what in problems(lab).items() if "/" in place} == want, 5)
    assert "WARNING" in lab.overlayctl("health", check=False).partition("\n")[0]
    assert (ports(lab)["web1"], ports(lab)["db1"]) == ("PORT_DOWN", "NO_FWD")
    edit(lab, "mod-port", "web1", "up")
    edit(lab, "mod-port", "db1", "forward")
    eventually(lambda: not [place for place in problems(lab) if "/" in place], 5)


def test_flows_and_mirrors_of_others(lab: Lab) -> None:
    """They may cut off whom they like: told at once, for as long as they are there, and left alone."""
    told, match = len(said(lab)), "table=50,priority=1000,metadata=0x64"
    edit(lab, "add-flow", f"cookie=0x1,{match},actions=drop")
    eventually(lambda: any("priority=1000,cookie=0x1" in each for each in said(lab)[told:]), 1)
    eventually(lambda: "priority=1000,cookie=0x1" in lab.overlayctl("show"), 2)
    assert "WARNING   others" in lab.overlayctl("health", check=False)
    assert lab.ping("web1", "web2", count=2).lost == 2
    edit(lab, "del-flows", "cookie=0x1/-1")
    eventually(lambda: "priority=1000,cookie=0x1" not in lab.overlayctl("show"), 2)
    assert lab.ping("web1", "web2", count=2).lost == 0
    new = ("--", "--id=@new", "create", "mirror", "name=mine", "select_all=true")
    lab.run(HOST, "ovs-vsctl", *new, "--", "set", "bridge", "br-int", "mirrors=@new")
    eventually(lambda: "mirror 'mine' of br-int" in lab.overlayctl("health", check=False), 1)
    lab.run(HOST, "ovs-vsctl", "clear", "bridge", "br-int", "mirrors")
    eventually(lambda: "mirror" not in lab.overlayctl("show"), 1)


def test_while_nobody_was_there(lab: Lab) -> None:
    """What the host had is known, so what is missing of it was taken away by somebody."""
    eventually(lambda: "overlay-flows" in lab.run(HOST, "ovs-vsctl", "list", "bridge", "br-int").stdout, 45)
    want, before = state(lab), dumped(lab)
    lab.stop_controller(signal.SIGKILL)
    lab.run(HOST, "ovs-vsctl", "del-port", "overlay-vxlan", "--", "set", "bridge", "br-int", "stp_enable=true")
    edit(lab, "del-meters")
    edit(lab, "mod-port", "overlay-gre", "no-receive")
    lab.start_controller()
    eventually(lambda: dumped(lab) == before, 20)
    eventually(lambda: state(lab) == want, 5)
    news = [each for each in said(lab) if "while nobody was there" in each]
    assert sorted(each.partition(" while")[0] for each in news) == [
        "flows changed",
        "meters changed",
        "set back what somebody else changed",
        "set back what somebody else changed",
    ]
    assert any("stp_enable was true" in each and "Port overlay-vxlan was not there" in each for each in news)
    assert any("port overlay-gre was set to no-receive" in each for each in news)
    lab.stop_controller()
    lab.start_controller()
    settle(lab)
    assert [each for each in said(lab) if "while nobody was there" in each] == news


def test_a_chassis_that_leaves_has_no_flows(lab: Lab) -> None:
    """Whoever's controllers its bridge has: while there is any, Open vSwitch keeps the flows."""
    new = ("--", "--id=@other", "create", "Controller", 'target="tcp:127.0.0.1:9999"')
    lab.run("h3", "ovs-vsctl", "--no-wait", *new, "--", "add", "bridge", "br-int", "controller", "@other")
    lab.overlayctl("--wait", "chassis-del", "h3")
    flows = ("ovs-ofctl", "-O", "OpenFlow14", "dump-flows", "br-int")
    eventually(lambda: "cookie" not in lab.run("h3", *flows).stdout, 5)
    assert lab.run("h3", "ovs-vsctl", "get-controller", "br-int").stdout == ""


def state(lab: Lab) -> list[str]:
    """What of the chassis' database is ours, and all controllers; without numbers of rows, which may be made anew."""
    found = []
    for table, columns in {
        "bridge": "name,fail_mode,protocols,datapath_type,other_config,stp_enable,rstp_enable,mcast_snooping_enable,"
        "flow_tables,controller",
        "interface": "name,type,options,ofport,external_ids,ingress_policing_rate,bfd",
        "port": "name,external_ids,tag,trunks,vlan_mode,qos,interfaces",
        "controller": "target,connection_mode,max_backoff,enable_async_messages,external_ids",
    }.items():
        listed = lab.run(
            HOST, "ovs-vsctl", f"--columns={columns}", "--format=csv", "--no-headings", "list", table
        ).stdout
        lines = re.sub("[0-9a-f]{8}-[0-9a-f-]{27}", "ROW", listed).splitlines()
        found += sorted(line for line in lines if table == "controller" or re.search("br-int|overlay-", line))
    marked = lab.run(HOST, "ovs-vsctl", "--if-exists", "get", "bridge", "br-int", "external_ids:overlay-managed").stdout
    return [*found, marked]
