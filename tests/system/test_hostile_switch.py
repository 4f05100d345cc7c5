"""Hostile peers of a running controller, on real sockets: nobody else notices, and it lives."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovsdb.wanted import datapath_id
from tests.system.steps import eventually, running, settle
from topologies import three_chassis
from topologies.fuzz import mutate
from topologies.fuzz.convergence import PORT, Watch, fake, turn
from topologies.fuzz.openflow import HELLO, message
from topologies.fuzz.target import corpus
from topologies.lab import Lab
from topologies.topology import CONTROLLER

pytestmark = [pytest.mark.system, pytest.mark.alone]
ROGUE = "h8"
SENDER = """
import socket, sys, time
until = time.monotonic() + float(sys.argv[1])
inputs = [bytes.fromhex(line) for line in open(sys.argv[2])]
sent = 0
print("begun", flush=True)
while time.monotonic() < until:
    for data in inputs:
        try:
            with socket.create_connection(("127.0.0.1", 6653), timeout=2) as made:
                made.sendall(data)
                made.settimeout(0.05)
                try:
                    while made.recv(65536):
                        pass
                except TimeoutError:
                    pass
                sent += 1
        except OSError:
            sent += 1
        if time.monotonic() > until:
            break
print("sent", sent, flush=True)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(three_chassis.TOPOLOGY) as built:
        yield built


@pytest.fixture
def rogue(lab: Lab) -> Iterator[None]:
    """A fourth chassis, which nobody has: who connects from the controller's own host may be its switch."""
    settle(lab)
    lab.overlayctl("chassis-add", ROGUE, "unix:/nonexistent.sock", "--vtep", "192.0.2.8")
    yield
    lab.overlayctl("chassis-del", ROGUE)
    settle(lab)


def inputs() -> list[bytes]:
    """The published payloads, and mutated messages, from the beginning and as a switch that was admitted."""
    chance = random.Random(3)
    features = message(6, int(datapath_id(ROGUE), 16).to_bytes(8, "big") + bytes(16), b"\0\0\0\2")
    kept = [data[2:] for data in corpus("openflow").values()]
    made = [mutate.octets(chance.choice(kept), chance, kept) for _ in range(300)]
    ports = message(19, b"\0\x0d" + bytes(6), b"\0\0\0\3")
    return [
        before + data for data in kept + made for before in (b"", HELLO, HELLO + features, HELLO + features + ports)
    ]


def descriptors(lab: Lab) -> int:
    return len(os.listdir(f"/proc/{lab.controller_pid()}/fd"))


@pytest.mark.usefixtures("rogue")
def test_malformed_messages_on_real_sockets_disturb_nobody(lab: Lab, tmp_path: Path) -> None:
    """For some seconds, as fast as they are taken, while a port of another chassis is plugged in again and again."""
    (tmp_path / "inputs").write_text("".join(f"{data.hex()}\n" for data in inputs()))
    pid, before = lab.controller_pid(), descriptors(lab)
    with Watch(lab, "h1") as one, Watch(lab, "h3") as three:
        turn(lab, (one, three))
        quiet = [turn(lab, (one, three)) for _ in range(5)]
        with lab.background(CONTROLLER, "python3", "-c", SENDER, "12", str(tmp_path / "inputs")) as sender:
            sender.wait_for("begun")
            beside = [turn(lab, (one, three)) for _ in range(5)]
            sender.wait_for("sent", 60)
            sent = int(sender.output().split()[-1])
    assert sent > 100
    # A bound that a machine which is busy otherwise does not break; ./lab fuzz --convergence measures.
    assert sorted(beside)[2] < 3 * sorted(quiet)[2] + 0.2, (quiet, beside)
    assert (lab.controller_runs(), lab.controller_pid()) == (True, pid)
    eventually(lambda: descriptors(lab) <= before + 2, 30, "as many descriptors as before")
    assert "refused" in lab.controller_log()
    assert lab.ping("web1", "web2", count=2).lost == 0


@pytest.mark.parametrize("how", ["packets", "slow"])
def test_one_that_was_admitted_and_then_floods_or_does_not_read(lab: Lab, how: str) -> None:
    """In the place of h2's own switch: what is plugged in on h1 is known on h3 all the same."""
    settle(lab)
    with Watch(lab, "h1") as one, Watch(lab, "h3") as three:
        turn(lab, (one, three))
        quiet = [turn(lab, (one, three)) for _ in range(3)]
        with fake(lab, how):
            beside = [turn(lab, (one, three)) for _ in range(5)]
            time.sleep(3)
        assert lab.controller_runs()
    assert sorted(beside)[2] < 3 * sorted(quiet)[1] + 0.5, (quiet, beside)
    eventually(lambda: lab.ping(PORT, "web2", count=1).lost == 0, 60)
