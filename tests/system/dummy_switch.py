"""A real ovs-vswitchd with dummy devices: its own daemons in their own directory, the host left alone.

Its translation of flows is the real one (ofproto-dpif); only the devices are make-believe, so any ofport can
be had at no cost, tunnels included. What it would do with a packet is asked by `ofproto/trace`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ovs.unixctl.client import UnixctlClient

from controller import wire
from flows.fields import FIELDS
from flows.flow import Flow
from flows.model import TUNNELS
from flows.simulate import Packet, has, seen
from flows.tables import TAG_PRESENT
from tests.vocabulary import meters

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
BRIDGE = "br-int"
_TUNNEL_OFPORTS = frozenset(tunnel.ofport for tunnel in TUNNELS)
_OPENFLOW_HELLO = bytes([wire.VERSION, 0, 0, 8, 0, 0, 0, 0])


@dataclass(frozen=True)
class RealOutput:
    """A packet out of an ofport, as the datapath would send it; tunnel end and key only where there are."""

    port: int
    tunnel: tuple[int, ...] | None
    """(tun_id, its source and destination of IPv4, those of IPv6)."""
    packet: Packet


@dataclass(frozen=True)
class RealTrace:
    """What Open vSwitch says it does with a packet."""

    steps: tuple[tuple[int, int | None], ...]
    """(table id, cookie of the flow that matched or None)."""
    outputs: tuple[RealOutput, ...]
    copies: tuple[tuple[int, int], ...]
    """(cookie, max_len) of each copy to the controller."""


class DummySwitch:
    """One bridge of one ovs-vswitchd, reached by its sockets."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        error, client = UnixctlClient.create(str(directory / "vswitchd.ctl"))
        assert not error, os.strerror(error)
        self._client = client
        self._ofports: dict[int, int] = {}

    def appctl(self, command: str, *arguments: str) -> str:
        """The answer to an `ovs-appctl` command."""
        error, refusal, answer = self._client.transact(command, list(arguments))
        assert not error, os.strerror(error)
        assert refusal is None, refusal
        return str(answer)

    def see_ports(self) -> None:
        """Reads which ofport each datapath port is."""
        shown = self.appctl("dpif/show")
        found = re.findall(r"(\d+)/(\d+):", shown)
        self._ofports = {int(datapath): int(ofport) for ofport, datapath in found}

    def openflow(self, messages: bytes, until: int = wire.BARRIER_REQUEST + 1) -> list[bytes]:
        """Sends messages and a barrier; all that came back until a message of that type, the barrier's answer."""
        return openflow_at(self.directory / f"{BRIDGE}.mgmt", messages, until)

    def install(self, flows: Iterable[Flow]) -> None:
        """Replaces all flows by these, sent as `controller.wire` encodes them; none may be refused."""
        self.ofctl("del-flows")
        rows = list(flows)
        self.install_meters(meters(rows))
        refused = self.openflow(b"".join(wire.flow_mod_add(flow, n) for n, flow in enumerate(rows)))
        for message in refused:
            place = int.from_bytes(message[4:8], "big")
            raise AssertionError(f"refused {message[8:12].hex()}: {rows[place]}")

    def read(self) -> list[wire.FlowStats]:
        """All flows, as they are read back."""
        replies = self.openflow(wire.flow_stats_request(1))
        return [row for message in replies for row in wire.parse_flow_stats(message[16:])]

    def install_meters(self, wanted: Mapping[int, tuple[int, int]]) -> None:
        """Replaces all meters by these; none may be refused."""
        adds = [wire.meter_mod(wire.METER_ADD, id, rate, burst) for id, (rate, burst) in sorted(wanted.items())]
        assert self.openflow(wire.meter_mod(wire.METER_DELETE, wire.ALL_METERS) + b"".join(adds)) == []

    def ofctl(self, command: str, *arguments: str, stdin: str = "") -> str:
        """The output of an `ovs-ofctl` command on the bridge."""
        target = f"unix:{self.directory}/{BRIDGE}.mgmt"
        argv = ["ovs-ofctl", "-O", "OpenFlow14", "--no-names", command, target, *arguments]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def trace(self, packet: Packet, *, teach: bool = False) -> RealTrace:
        """What it would do with a packet; what it then does when it is to learn from it."""
        values, _ = seen(dict(packet.items))
        fields = [(FIELDS[name], values[name]) for name in FIELDS if name in values and has(values, name)]
        written = ",".join(f"{field.name}={_FRAGMENTS.get(value, '')}" if field.name == "ip_frag" else
                           f"{field.name}={field.text(value)}" for field, value in fields)  # fmt: skip
        answer = self.appctl("ofproto/trace", BRIDGE, written, *(["-generate"] if teach else []))
        found = re.search(r"^Datapath actions: (.*)$", answer, re.MULTILINE)
        assert found, answer
        measured = re.search(r"check_pkt_len\(size=(\d+)", found[1])
        larger = measured is not None and packet["octets"] > int(measured[1])
        reading = _Reading(self._ofports, packet, larger)
        reading.read(found[1])
        return RealTrace(_steps(answer, larger), tuple(reading.outputs), tuple(reading.copies))


_FRAGMENTS = {1: "first", 3: "later"}


def _steps(answer: str, larger: bool) -> tuple[tuple[int, int | None], ...]:
    """The lookups of a trace. Of a packet whose length is measured it shows both ways, one further in."""
    rows: list[tuple[int, tuple[int, int | None]]] = []
    measured: tuple[int, int] | None = None
    for line in answer.splitlines():
        found = re.match(r"( *)(\d+)\. (.*)$", line)
        if found:
            rows.append((len(found[1]), (int(found[2]), None if "No match" in found[3] else _cookie(found[3]))))
        elif line.strip().startswith("check_pkt_larger("):
            measured = (len(rows), rows[-1][0])
    if measured is None:
        return tuple(step for _, step in rows)
    place, depth = measured
    return tuple(step for at, (deep, step) in enumerate(rows) if at < place or (deep > depth + 1) == larger)


class _Reading:
    """Datapath actions, as they are done one after the other."""

    def __init__(self, ofports: dict[int, int], packet: Packet, larger: bool) -> None:
        self._ofports = ofports
        self._larger = larger
        self._on_wire = packet.on_wire()
        self._tunnel: tuple[int, ...] | None = None
        self.outputs: list[RealOutput] = []
        self.copies: list[tuple[int, int]] = []

    def read(self, actions: str) -> None:
        """Adds what they send and copy."""
        for action in _split(actions):
            self._one(action)

    def _one(self, action: str) -> None:
        if action.isdigit():
            port = self._ofports[int(action)]
            into = self._tunnel if port in _TUNNEL_OFPORTS else None
            self.outputs.append(RealOutput(port, into, self._on_wire.on_wire()))
        elif action.startswith("set(tunnel("):
            values = _arguments(action)
            ends = [("tun_src", "src"), ("tun_dst", "dst"), ("tun_ipv6_src", "ipv6_src"), ("tun_ipv6_dst", "ipv6_dst")]
            numbers = [FIELDS[name].value(values.get(said, 0)) for name, said in ends]
            self._tunnel = (int(values.get("tun_id", "0"), 0), *numbers)
        elif action.startswith("set("):
            self._on_wire = self._on_wire.but(**_written(action))
        elif action.startswith("push_vlan("):
            self._push(_arguments(action))
        elif action == "pop_vlan":
            packet = self._on_wire
            inner = {"vlan_tci": packet["inner_tci"], "vlan_tpid": packet["inner_tpid"]}
            longer = {"octets": packet["octets"] - 4} if packet["octets"] else {}
            self._on_wire = packet.but(**inner, inner_tci=0, inner_tpid=0, **longer)
        elif action.startswith("check_pkt_len("):
            inside = dict(part.split("(", 1) for part in _split(_inside(action)) if "(" in part)
            self.read(inside["gt" if self._larger else "le"].removesuffix(")"))
        elif action.startswith("sample(sample=100.0%,actions("):
            self.read(_inside(action.removeprefix("sample(sample=100.0%,").removesuffix(")")))
        elif action.startswith("userspace("):
            values = _arguments(action.removeprefix("userspace("))
            self.copies.append((int(values["rule_cookie"], 16), int(values["max_len"])))
        else:
            assert action == "drop" or action.startswith("meter("), f"an action that is not known here: {action}"

    def _push(self, said: dict[str, str]) -> None:
        packet = self._on_wire
        before = {"inner_tci": packet["vlan_tci"], "inner_tpid": packet["vlan_tpid"]}
        tpid = int(said.get("tpid", "0x8100"), 16)
        tag = {"vlan_tci": TAG_PRESENT | int(said["vid"]) | int(said["pcp"]) << 13}
        longer = {"octets": packet["octets"] + 4} if packet["octets"] else {}
        self._on_wire = packet.but(**before, **tag, vlan_tpid=0 if tpid == 0x8100 else tpid, **longer)


_SET = {
    "eth": {"src": "eth_src", "dst": "eth_dst"},
    "arp": {"sip": "arp_spa", "tip": "arp_tpa", "op": "arp_op", "sha": "arp_sha", "tha": "arp_tha"},
    "ipv4": {"src": "ip_src", "dst": "ip_dst", "ttl": "nw_ttl"},
    "ipv6": {"src": "ipv6_src", "dst": "ipv6_dst", "hlimit": "nw_ttl"},
    "udp": {"src": "udp_src", "dst": "udp_dst"},
    "icmpv6": {"type": "icmpv6_type"},
    "nd": {"target": "nd_target", "sll": "nd_sll", "tll": "nd_tll"},
    "nd_ext": {"nd_reserved": "nd_reserved", "nd_options_type": "nd_options_type"},
}
"""Our fields by the datapath's names."""


def _written(action: str) -> dict[str, str]:
    header = action.removeprefix("set(").partition("(")[0]
    names = _SET[header]
    # A mask that is shown is part of the address's text: all that we write is whole fields.
    return {names[name]: value.partition("/")[0] for name, value in _arguments(action).items() if name in names}


def _inside(action: str) -> str:
    return action.partition("(")[2].removesuffix(")")


def _arguments(action: str) -> dict[str, str]:
    """The innermost name=value pairs of `set(arp(sip=...,op=2))`."""
    return dict(re.findall(r"(\w+)=([^,()]+)", action))


def _split(actions: str) -> list[str]:
    """Datapath actions, apart at the commas that are in no parenthesis."""
    parts, depth = [""], 0
    for letter in actions:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _cookie(rest: str) -> int:
    found = re.search(r"cookie (0x[0-9a-f]+)", rest)
    return int(found[1], 16) if found else 0


def openflow_at(path: Path, messages: bytes, until: int = wire.BARRIER_REQUEST + 1) -> list[bytes]:
    """Sends messages and a barrier to a bridge's socket; all that came back until a message of that type.

    That is the barrier's answer, which is left out, unless another one is named.
    """
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        connection.sendall(_OPENFLOW_HELLO + messages + wire.barrier_request(0))
        came: list[bytes] = []
        rest = b""
        while True:
            length = int.from_bytes(rest[2:4], "big")
            if len(rest) < 8 or len(rest) < length:
                rest += connection.recv(1 << 16)
                continue
            message, rest = rest[:length], rest[length:]
            if message[1] == until:
                return came if until == wire.BARRIER_REQUEST + 1 else [*came, message]
            if message[1] not in (0, wire.BARRIER_REQUEST + 1):
                came.append(message)


@contextlib.contextmanager
def dummy_switch(ofports: Iterable[int]) -> Iterator[DummySwitch]:
    """A switch with these ports and the tunnel ports, until the block ends.

    RuntimeError when Open vSwitch is not installed.
    """
    if shutil.which("ovs-vswitchd") is None:
        raise RuntimeError("these tests need Open vSwitch (openvswitch-switch): ovs-vswitchd is not on the PATH")
    # Short, for a socket's path has 108 bytes at most.
    directory = Path(tempfile.mkdtemp(prefix="ovs-"))
    names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
    environment = {**os.environ, **dict.fromkeys(names, str(directory))}
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str) -> None:
        log = (directory / f"{argv[0]}.out").open("wb")
        started.append(subprocess.Popen(argv, env=environment, stdout=log, stderr=log))

    def vsctl(*argv: str) -> None:
        command = ["ovs-vsctl", "--timeout=20", f"--db=unix:{directory}/db.sock", *argv]
        subprocess.run(command, env=environment, check=True, capture_output=True)

    try:
        subprocess.run(["ovsdb-tool", "create", str(directory / "conf.db"), SCHEMA], check=True)
        start("ovsdb-server", str(directory / "conf.db"), f"--remote=punix:{directory}/db.sock",
              f"--unixctl={directory}/ovsdb.ctl")  # fmt: skip
        _wait_for(directory / "db.sock")
        vsctl("--no-wait", "init")
        start("ovs-vswitchd", f"unix:{directory}/db.sock", "--enable-dummy", "--disable-system",
              f"--unixctl={directory}/vswitchd.ctl")  # fmt: skip
        argv = ["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=dummy", "fail_mode=secure"]
        for ofport in ofports:
            argv += ["--", "add-port", BRIDGE, f"p{ofport}", "--", "set", "interface", f"p{ofport}"]
            argv += ["type=dummy", f"ofport_request={ofport}"]
        for tunnel in TUNNELS:
            argv += ["--", "add-port", BRIDGE, tunnel.name, "--", "set", "interface", tunnel.name]
            argv += [f"type={tunnel.type}", "options:remote_ip=flow", "options:local_ip=flow", "options:key=flow"]
            argv += [f"ofport_request={tunnel.ofport}"]
        vsctl(*argv)
        _wait_for(directory / "vswitchd.ctl")
        switch = DummySwitch(directory)
        # Without it a trace ends at the host's routes; with it it shows key and remote end of each tunnel.
        switch.appctl("dpif/set-dp-features", BRIDGE, "tnl_push_pop", "false")
        switch.see_ports()
        yield switch
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            process.wait(timeout=20)
        shutil.rmtree(directory)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path} did not appear within 20 s; see the .out files beside it")
        time.sleep(0.01)
