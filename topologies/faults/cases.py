"""The faults, each as what is done, what may be lost by it, and what is promised."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from topologies import controller, namespaces
from topologies.faults.ground import Ground, NotHealed
from topologies.topology import CONTROLLER

CRASH: Final = "OVERLAY_CRASH"
"""The variable that `topologies.faults.crashing` reads."""
CRASHES: Final = 20
"""How often the controller is made to crash in one run of that case."""
EXTRAS: Final = 6
"""Ports that come and go in it. Open vSwitch forwards nothing in userspace while it makes one."""
DECLARED: Final = ("web1", "web2", "web3", "db1", "db2", "db3")
"""The VMs between which there is traffic."""


@dataclass(frozen=True)
class Case:
    """A fault. Frames of VMs on `struck` chassis may be lost while it lasts, no others, and no frame may be leaked.

    `within` is how many seconds healing may take; of the log nothing but what matches `expected` may be a warning.
    Without `run` it is not tried here, and `why` says why. On the userspace datapath nothing is forwarded while
    ovs-vswitchd stands still.
    """

    id: str
    title: str
    promise: str
    run: Callable[[Ground, random.Random], None] | None = None
    struck: frozenset[str] = frozenset()
    within: float = 30.0
    expected: str = "(?!)"
    why: str = ""


def _nothing(ground: Ground, _: random.Random) -> None:
    """What the machine loses by itself: where that is not nothing, the other rows say little."""
    time.sleep(20)
    ground.heals(ground.ready, 5)


def _killed(ground: Ground, _: random.Random) -> None:
    before = ground.all_flows()
    ground.lab.stop_controller(signal.SIGKILL)
    time.sleep(3)
    if ground.all_flows() != before:
        raise NotHealed("flows changed while no controller was there")
    began = time.monotonic()
    ground.lab.start_controller()
    ground.heals(ground.ready, 30, began)
    if ground.all_flows() != before:
        raise NotHealed("flows are others than before")


def _restarted(ground: Ground, chance: random.Random) -> None:
    with ground.watching() as events:
        ground.lab.stop_controller(chance.choice([signal.SIGKILL, signal.SIGTERM]))
        began = time.monotonic()
        ground.lab.start_controller()
        ground.heals(ground.ready, 30, began)
        ground.settle()
    changed = sum(map(len, events.values()))
    ground.remark(f"{changed} flow mods")
    if changed:
        raise NotHealed(f"{changed} flow mods, and nothing had changed")


def _changed_meanwhile(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    with ground.watching() as events:
        lab.stop_controller(signal.SIGKILL)
        lab.unplug("web9")
        began = time.monotonic()
        lab.start_controller()
        ground.heals(ground.ready, 30, began)
        ground.settle()
    changed = {name: len(lines) for name, lines in events.items()}
    about_others = [line for lines in events.values() for line in lines if "0xc8" in line]
    lab.plug("web9")
    ground.settle()
    ground.remark(f"{sum(changed.values())} flow mods")
    if about_others:
        raise NotHealed(f"flows of the other network were changed: {about_others[0]}")


def _crashed(ground: Ground, chance: random.Random) -> None:
    """Ports come and go while no controller is there; the next one dies at some message of what it then does."""
    lab = ground.lab
    for number in range(EXTRAS):
        lab.overlayctl("port-add", f"x{number}", "--net", "red" if number % 2 else "blue", "--ip", f"10.0.1.{number}")
    wanted: dict[bool, dict[str, list[str]]] = {}
    count = lab.directory / "messages"
    sent = {}
    for there in (True, False, True, False):
        lab.stop_controller(signal.SIGKILL)
        _set_extras(ground, there)
        lab.start_controller("topologies.faults.crashing", environment={CRASH: f"0 {count}"})
        ground.until(ground.ready, 30, "ready")
        ground.settle()
        sent[there] = int(count.read_text())
        found = ground.all_flows()
        if wanted.setdefault(there, found) != found:
            raise NotHealed("the same state has two sets of flows")
    for number in range(CRASHES):
        there = number % 2 == 0
        at = chance.randrange(1, sent[there])
        lab.stop_controller(signal.SIGKILL)
        _set_extras(ground, there)
        lab.start_controller("topologies.faults.crashing", environment={CRASH: f"{at} {count}"}, awaited=False)
        ground.until(lambda: not lab.controller_runs(), 30, f"dead at message {at}")
        began = time.monotonic()
        lab.start_controller()
        ground.heals(ground.ready, 30, began)
        ground.settle()
        if ground.all_flows() != wanted[there]:
            raise NotHealed(f"after a crash at message {at} of {sent[there]} flows are others than without")
    ground.remark(f"{CRASHES} crashes, each before one of {max(sent.values())} messages")


def _set_extras(ground: Ground, there: bool) -> None:
    """Plug the extra ports in, or out, an `ovs-vsctl` for each chassis."""
    for place, host in enumerate(("h1", "h2", "h3")):
        words: list[str] = []
        for number in range(place, EXTRAS, 3):
            words += ["--", "add-port" if there else "del-port", "br-int", f"x{number}"]
            if there:
                words += ["--", "set", "interface", f"x{number}", "type=internal"]
                words += [f"ofport_request={100 + number}", f"external_ids:iface-id=x{number}"]
        ground.lab.run(host, "ovs-vsctl", *words[1:])


def _upgraded(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    with ground.watching() as events:
        for options in (("topologies.faults.another_version",), ()):
            lab.stop_controller(signal.SIGTERM)
            began = time.monotonic()
            lab.start_controller(*options)
            ground.heals(ground.ready, 30, began)
            ground.settle()
    ground.remark(f"{sum(map(len, events.values()))} flow mods")
    if ground.all_flows() != before:
        raise NotHealed("flows are others than before")


def _disk_full(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    home = lab.directory / CONTROLLER
    disk = lab.directory / "disk"
    disk.mkdir()
    lab.stop_controller(signal.SIGTERM)
    time.sleep(1)
    namespaces.run(None, ["mount", "-t", "tmpfs", "-o", "size=2m", "overlay-disk", str(disk)])
    try:
        shutil.copy(home / "overlay.db", disk)
        lab.start_controller(environment={"OVERLAY_DBDIR": str(disk)})
        ground.until(ground.ready, 30, "ready")
        (disk / "filler").write_bytes(b"x" * (shutil.disk_usage(disk).free - 4096))
        said = ""
        for number in range(60):
            said = lab.overlayctl("port-add", f"y{number}", "--net", "red", "--ip", f"10.0.2.{number}", check=False)
            if "overlayctl:" in said:
                break
        ground.remark(f"refused: {said.strip().splitlines()[-1][:90]}" if said else "nothing was refused")
        if "overlayctl:" not in said:
            raise NotHealed("a full disk refuses nothing")
        time.sleep(3)
        (disk / "filler").unlink()
        ground.heals(lambda: "overlayctl:" not in lab.overlayctl("port-del", "y0", check=False), 30)
        ground.settle()
        if ground.all_flows() != before:
            raise NotHealed("flows are others than before")
    finally:
        lab.stop_controller(signal.SIGTERM)
        time.sleep(1)
        shutil.copy(disk / "overlay.db", home)
        namespaces.run(None, ["umount", "-l", str(disk)])
    lab.start_controller()
    ground.until(ground.ready, 30, "ready")


def _clock_jumps(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    clock = lab.directory / "clock"
    clock.write_text("0")
    lab.stop_controller(signal.SIGTERM)
    lab.start_controller("topologies.faults.jumping_clock", environment={"OVERLAY_CLOCK": str(clock)})
    ground.until(ground.ready, 30, "ready")
    for jump in (3600, -86400, 365 * 86400, 0):
        written = lab.directory / "clock.new"
        written.write_text(str(jump))
        written.replace(clock)
        time.sleep(2)
        lab.overlayctl("port-set", "web1", "--allow", "10.0.7.1")
        ground.heals(lambda: ground.flows("h1") != before["h1"], 5)
        lab.overlayctl("port-set", "web1", "--allow", "none")
        ground.heals(lambda: ground.all_flows() == before, 5)
    ground.remark("an hour on, a day back, a year on")
    lab.stop_controller(signal.SIGTERM)
    lab.start_controller()
    ground.until(ground.ready, 30, "ready")


def _two_controllers(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    home = lab.directory / CONTROLLER
    env = ["env", f"OVERLAY_DB=unix:{controller.socket(home)}", "OVERLAY_RUNDIR=/nonexistent"]
    argv = [*env, *controller.ryu_manager(), "--ofp-tcp-listen-port", "7654", "overlay_app"]
    with ground.watching() as events, lab.background(CONTROLLER, *argv) as second:
        second.wait_for("another controller serves it; standing by", 20)
        time.sleep(5)
        ground.settle()
    changed = sum(map(len, events.values()))
    ground.remark(f"{changed} flow mods")
    if changed:
        raise NotHealed(f"{changed} flow mods by two controllers")


def _database_away(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    with ground.watching() as events:
        lab.signal_daemon("h2", "ovsdb-server", signal.SIGKILL)
        ground.until(lambda: ground.states()["h2"] == "unreachable", 15, "unreachable")
        time.sleep(5)
        began = time.monotonic()
        lab.start_daemon("h2", "ovsdb-server")
        ground.heals(ground.ready, 40, began)
        ground.settle()
    if any(events.values()):
        raise NotHealed("flows were changed")


def _switch_killed(ground: Ground, _: random.Random) -> None:
    before = ground.all_flows()
    ground.lab.signal_daemon("h2", "ovs-vswitchd", signal.SIGKILL)
    time.sleep(1)
    began = time.monotonic()
    ground.lab.start_daemon("h2", "ovs-vswitchd")
    ground.heals(lambda: ground.flows("h2") == before["h2"], 15, began)
    ground.settle()


def _switch_hung(ground: Ground, _: random.Random) -> None:
    ground.lab.signal_daemon("h2", "ovs-vswitchd", signal.SIGSTOP)
    began = time.monotonic()
    try:
        ground.until(lambda: ground.states()["h2"] != "ready", 20, "noticed")
        ground.remark(f"noticed after {time.monotonic() - began:.1f} s")
        if time.monotonic() - began > 16:
            raise NotHealed("noticed after more than 15 s")
    finally:
        ground.lab.signal_daemon("h2", "ovs-vswitchd", signal.SIGCONT)
    ground.heals(ground.ready, 30)
    ground.settle()


def _rebooted(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    for daemon in ("ovs-vswitchd", "ovsdb-server"):
        lab.signal_daemon("h2", daemon, signal.SIGKILL)
    time.sleep(2)
    began = time.monotonic()
    for daemon in ("ovsdb-server", "ovs-vswitchd"):
        lab.start_daemon("h2", daemon)
    ground.heals(lambda: ground.flows("h2") == before["h2"] and ground.ready(), 40, began)
    ground.settle()


def _underlay_cut(ground: Ground, _: random.Random) -> None:
    with ground.watching() as events:
        ground.lab.cut("h2")
        time.sleep(5)
        if not ground.ready():
            raise NotHealed("the control plane noticed what it has no part in")
        ground.lab.heal("h2")
        ground.heals(lambda: ground.lab.ping("web1", "web2", count=1).lost == 0, 5)
        ground.settle()
    if any(events.values()):
        raise NotHealed("flows were changed")


def _controller_cut_off(ground: Ground, _: random.Random) -> None:
    with ground.watching() as events:
        ground.lab.cut("h3", "management")
        began = time.monotonic()
        try:
            ground.until(lambda: ground.states()["h3"] == "unreachable", 30, "unreachable")
            noticed = time.monotonic() - began
            ground.remark(f"noticed after {noticed:.1f} s")
            ground.until(lambda: "OpenFlow connection lost" in ground.lab.controller_log(), 30, "noticed by OpenFlow")
        finally:
            ground.lab.heal("h3", "management")
        ground.heals(ground.ready, 40)
        ground.settle()
    if noticed > 15:
        raise NotHealed("noticed after more than 15 s")
    if any(events.values()):
        raise NotHealed("flows were changed")


def _flapping(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    with ground.watching() as events:
        for _ in range(15):
            for state in ("down", "up"):
                lab.run("h2", "ip", "link", "set", "web9", state)
                time.sleep(0.05)
        ground.heals(ground.ready, 20)
        ground.settle()
    changed = sum(map(len, events.values()))
    ground.remark(f"{changed} flow mods for 15 flaps")
    ground.until(lambda: lab.ping("web1", "web9", count=1).lost == 0, 10, "reachable")


def _slow_switch(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    took = {}
    for how in ("alone", "beside a hung switch"):
        if how != "alone":
            lab.signal_daemon("h3", "ovs-vswitchd", signal.SIGSTOP)
        try:
            times = []
            for number in range(5):
                before = ground.flows("h1")
                began = time.monotonic()
                lab.overlayctl("port-set", "web1", "--allow", f"10.0.7.{number + 1}")
                ground.until(lambda before=before: ground.flows("h1") != before, 10, "installed")
                times.append(time.monotonic() - began)
            took[how] = sorted(times)[2]
        finally:
            if how != "alone":
                lab.signal_daemon("h3", "ovs-vswitchd", signal.SIGCONT)
    lab.overlayctl("port-set", "web1", "--allow", "none")
    ground.heals(ground.ready, 30)
    ground.settle()
    ground.remark(f"a change on h1: {took['alone']:.2f} s, beside it {took['beside a hung switch']:.2f} s")
    if took["beside a hung switch"] > 2 * took["alone"] + 0.2:
        raise NotHealed("others wait for a slow switch")


def _table_full(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    room = len([line for line in ground.flows("h1") if "table=50," in line])
    limit = ("--", "--id=@t", "create", "Flow_Table", f"flow_limit={room}", "overflow_policy=refuse")
    lab.run("h1", "ovs-vsctl", "--", "set", "bridge", "br-int", "flow_tables:50=@t", *limit)
    lab.overlayctl("port-add", "extra", "--net", "red", "--mac", "02:00:00:00:00:77", "--ip", "10.0.0.77")
    try:
        add = ("ovs-vsctl", "add-port", "br-int", "extra", "--", "set", "interface", "extra", "type=internal")
        lab.run("h2", *add, "external_ids:iface-id=extra")
        ground.until(lambda: ground.states()["h1"] == "error", 10, "told")
        said = next(line for line in lab.controller_log().splitlines() if "flow refused" in line)
        ground.remark("the flow is named" if "02:00:00:00:00:77" in said else "the flow is not named")
    finally:
        lab.run("h1", "ovs-vsctl", "clear", "bridge", "br-int", "flow_tables")
        lab.run("h2", "ovs-vsctl", "--if-exists", "del-port", "br-int", "extra")
        lab.overlayctl("port-del", "extra")
    ground.heals(ground.ready, 40)
    ground.settle()


def _stale_and_foreign(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    foreign = "table=50,priority=7,metadata=0x63,actions=drop"
    lab.stop_controller(signal.SIGKILL)
    lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", "add-flow", "br-int", foreign)
    stale = "cookie=0xe70280000000001,table=50,priority=9,metadata=0x64,dl_dst=02:00:00:00:00:66,actions=drop"
    lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", "add-flow", "br-int", stale)
    began = time.monotonic()
    lab.start_controller()
    ground.heals(ground.ready, 30, began)
    ground.settle()
    after = ground.flows("h1")
    lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", "--strict", "del-flows", "br-int", foreign.rpartition(",")[0])
    if sorted(set(after) ^ set(before["h1"])) != [line for line in after if "metadata=0x63" in line]:
        raise NotHealed("the stale flow is there, or the foreign one is not")


def _flows_edited(ground: Ground, chance: random.Random) -> None:
    before = ground.flows("h1")
    ours = [line for line in before if line.startswith("cookie=0xe70")]
    for _ in range(100):
        line = chance.choice(ours)
        cookie, _, rest = line.removeprefix("cookie=").partition(", ")
        match = rest.partition("actions=")[0].replace(" ", "").rstrip(",")
        table = match.partition(",")[0]
        how = chance.choice(
            [
                ("del-flows", f"cookie={cookie}/-1"),
                ("mod-flows", f"cookie={cookie}/-1,{table},actions=drop"),
                ("add-flow", f"{match},actions=drop"),
                ("add-flow", f"cookie={cookie},{match},actions=drop"),
                ("add-flow", f"cookie={cookie},table=50,priority=1,metadata=0x61,actions=drop"),
            ]
        )
        ground.lab.run("h1", "ovs-ofctl", "-O", "OpenFlow14", how[0], "br-int", how[1])
        ground.heals(lambda: ground.flows("h1") == before, 1.5, what=f"{how[0]} not repaired")
    ground.remark("100 edits")


def _database_edited(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    edits = [
        ("set-fail-mode", "br-int", "standalone"),
        ("set", "interface", "overlay-vxlan", "options:remote_ip=192.0.2.77"),
        ("set", "interface", "overlay-vxlan", "type=gre"),
        ("del-port", "br-int", "overlay-gre"),
        ("clear", "port", "overlay-vxlan", "external_ids"),
        ("clear", "bridge", "br-int", "external_ids"),
        ("set", "bridge", "br-int", "protocols=OpenFlow10"),
        ("set", "bridge", "br-int", "other-config:datapath-id=0000000000000001"),
        ("del-controller", "br-int"),
        ("set-controller", "br-int", "tcp:192.0.2.99:9999"),
    ]
    for edit in edits:
        before = _ours(ground)
        lab.run("h3", "ovs-vsctl", *edit)
        ground.heals(lambda before=before: _ours(ground) == before, 1.5, what=f"{' '.join(edit)} not repaired")
    ground.until(ground.ready, 20, "ready")
    ground.settle()
    ground.remark(f"{len(edits)} edits")


def _ours(ground: Ground) -> list[str]:
    """What of h3's database is ours."""
    found = []
    for table, columns in (
        ("bridge", "name,fail_mode,protocols,other_config"),
        ("interface", "name,type,options,ofport"),
        ("port", "name,external_ids"),
        ("controller", "target,external_ids"),
    ):
        argv = ("ovs-vsctl", f"--columns={columns}", "--format=csv", "--no-headings", "list", table)
        lines = ground.lab.run("h3", *argv).stdout.splitlines()
        found += sorted(line for line in lines if "br-int" in line or "overlay-" in line)
    return found


def _names_taken(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    add = ("add-br", "br-mine", "--", "set", "bridge", "br-mine", "datapath_type=netdev")
    dpid = lab.run("h2", "ovs-vsctl", "get", "bridge", "br-int", "other-config:datapath-id").stdout.strip()
    lab.run("h2", "ovs-vsctl", *add, f"other-config:datapath-id={dpid}")
    try:
        ground.until(lambda: "has the datapath id of our br-int" in lab.overlayctl("show"), 10, "told")
    finally:
        lab.run("h2", "ovs-vsctl", "del-br", "br-mine")
    ground.heals(ground.ready, 10)
    ground.settle()


def _database_cut_short(ground: Ground, _: random.Random) -> None:
    lab, before = ground.lab, ground.all_flows()
    file = lab.directory / CONTROLLER / "overlay.db"
    lab.stop_controller(signal.SIGKILL)
    time.sleep(1)  # its database server ends with it
    kept = file.read_bytes()
    file.write_bytes(kept[: len(kept) * 6 // 10])
    lab.start_controller()
    time.sleep(5)
    if ground.all_flows() != before:
        raise NotHealed("a damaged database took flows from the switches")
    lab.stop_controller(signal.SIGTERM)
    time.sleep(1)
    file.write_bytes(kept)
    began = time.monotonic()
    lab.start_controller()
    ground.heals(ground.ready, 30, began)
    ground.settle()
    if ground.all_flows() != before:
        raise NotHealed("flows are others than before")


def _vtep_moved(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    lab.run("h2", "ip", "address", "add", "192.0.2.22/24", "dev", "br-underlay")
    try:
        for vtep in ("192.0.2.22", "192.0.2.2"):
            lab.overlayctl("--wait", "chassis-set", "h2", "--vtep", vtep)
            time.sleep(1)
        ground.heals(ground.ready, 10)
    finally:
        lab.run("h2", "ip", "address", "del", "192.0.2.22/24", "dev", "br-underlay")


def _nowhere_to_log(ground: Ground, _: random.Random) -> None:
    lab = ground.lab
    lab.stop_controller(signal.SIGTERM)
    script = f"exec {' '.join(controller.ryu_manager())} overlay_app >/dev/full 2>&1"
    with lab.background(CONTROLLER, "sh", "-c", script):
        ground.heals(ground.ready, 30)
        lab.overlayctl("--wait", "port-set", "web1", "--allow", "10.0.7.9")
        lab.overlayctl("--wait", "port-set", "web1", "--allow", "none")
    lab.start_controller()
    ground.heals(ground.ready, 30)
    ground.settle()


def _duplicates(ground: Ground, _: random.Random) -> None:
    tries = [
        ("net-add", "other", "--tenant", "acme", "--vni", "100"),
        ("port-add", "other", "--net", "red", "--mac", "02:00:00:00:00:01", "--ip", "10.0.0.50"),
        ("port-add", "other", "--net", "red", "--mac", "02:00:00:00:00:51", "--ip", "10.0.0.1"),
    ]
    with ground.watching() as events:
        taken = [argv for argv in tries if "overlayctl:" not in ground.lab.overlayctl(*argv, check=False)]
    if taken or any(events.values()):
        raise NotHealed(f"taken: {taken}")
    ground.heals(ground.ready, 5)


LOST = "OpenFlow connection lost|the connection ended|no answer|connection was closed|refused|reset|Broken pipe"
STARTED = f"{LOST}|terminating|no controller has been|stands by"
EDITED = "changed by somebody|set back|not ours|ours again|while nobody"
H1, H2, H3 = (frozenset([name]) for name in ("h1", "h2", "h3"))

CASES: Final = (
    Case("F0", "nothing at all, for 20 s", "0 lost", _nothing, within=5),
    Case("F1", "controller killed (-9)", "0 lost, flows unchanged", _killed, expected=STARTED),
    Case("F2", "controller restarted, nothing changed", "0 lost, 0 flow mods", _restarted, expected=STARTED),
    Case("F3", "restarted, a port went meanwhile", "0 lost, only its flows", _changed_meanwhile, expected=STARTED),
    Case("F4", "crash between two messages", "0 lost, the same final flows", _crashed, expected=STARTED),
    Case("F5", "two controllers", "0 lost, 0 flow mods", _two_controllers, expected=STARTED),
    Case("F6", "another version, every flow of which differs", "0 lost, there and back", _upgraded, expected=STARTED),
    Case("F7", "a chassis' ovsdb-server away", "0 flow mods, resync", _database_away, H2, 40, LOST),
    Case("F8", "ovs-vswitchd killed", "others 0 lost, reinstalled", _switch_killed, H2, 15, LOST),
    Case("F9", "ovs-vswitchd hung", "noticed in 15 s, others 0 lost", _switch_hung, H2, 30, LOST),
    Case("F10", "chassis rebooted", "comes back by itself", _rebooted, H2, 40, LOST),
    Case("F11", "underlay partitioned", "control untouched, heals", _underlay_cut, H2, 5),
    Case("F12", "controller cut off from a chassis", "0 lost, 0 flow mods", _controller_cut_off,
         within=40, expected=LOST),
    Case("F13", "a black hole instead of a connection", "noticed in 15 s", why="F12 is one, and says when"),
    Case("F14", "a link flaps at 10 Hz", "0 lost elsewhere, right in the end", _flapping, within=20),
    Case("F15", "one slow switch", "others wait no longer", _slow_switch, H3, 30, LOST),
    Case("F16", "a flow table full", "named; all else 0 lost", _table_full, within=40, expected=f"{LOST}|error"),
    Case("F17", "a flow that the switch refuses", "that one named", why="F16 is one"),
    Case("F18", "stale and foreign flows", "swept, and kept", _stale_and_foreign, expected=f"{STARTED}|{EDITED}"),
    Case("F19", "flows edited by hand", "each repaired in 1 s", _flows_edited, H1, 1.5, EDITED),
    Case("F20", "the chassis' database edited by hand", "each repaired in 1 s", _database_edited, H3, 1.5,
         f"{LOST}|{EDITED}|unsupported version|overlay-vxlan"),
    Case("F21", "datapath id taken", "told, 0 lost", _names_taken, within=10, expected=f"{LOST}|datapath"),
    Case("F22", "overlay database cut short", "0 lost, nothing taken away", _database_cut_short,
         expected=f"{STARTED}|database|older|alarm|no declared port"),
    Case("F23", "the overlay database's disk full", "0 lost, refused clearly, recovers", _disk_full,
         expected=f"{STARTED}|No space|can't be written"),
    Case("F24", "RAFT: leader killed", "writes go on in 3 s", why="tests/system/test_cluster.py"),
    Case("F25", "RAFT: quorum lost", "forwarding goes on", why="tests/system/test_cluster.py"),
    Case("F26", "two clusters of one name", "the other is refused", why="tests/system/test_cluster.py"),
    Case("F27", "a stale follower", "no rollback", why="tests/system/test_cluster.py"),
    Case("F28", "schema upgraded online", "rows kept", why="tests/system/test_databases.py"),
    Case("F30", "duplicate VNI, MAC, IP", "refused at commit", _duplicates, within=5),
    Case("F32", "a chassis' VTEP changes", "0 lost", _vtep_moved, within=10),
    Case("F33", "the controller's clock jumps", "0 lost, changes go on", _clock_jumps, expected=STARTED),
    Case("F34", "10^5 port changes", "no drift, memory within 20 %", why="not built yet"),
    Case("F35", "soak with random faults", "memory flat", why="not built yet"),
    Case("F37", "log full", "goes on", _nowhere_to_log, expected=STARTED),
    Case("F38", "any order of events", "as a full recompute", why="tests/test_properties.py"),
)  # fmt: skip
