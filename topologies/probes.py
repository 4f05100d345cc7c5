"""What the programs that probe a network print, as values. Runs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Ping:
    """How many echo requests went out and how many answers came; duplicates show a loop or a flood."""

    sent: int
    received: int
    duplicates: int = 0
    rtt_ms: float | None = None

    @property
    def lost(self) -> int:
        """Requests without an answer."""
        return self.sent - self.received


@dataclass(frozen=True, slots=True)
class Arping:
    """How many ARP requests went out, and the MAC of each answer."""

    sent: int
    macs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tcp:
    """One TCP stream: what arrived, per second, and how often it had to send again."""

    bits_per_second: float
    retransmits: int
    bytes: int


@dataclass(slots=True)
class Frames:
    """What a capture saw; complete when its `with` block has ended."""

    lines: list[str] = field(default_factory=list)

    def having(self, *words: str) -> list[str]:
        """The frames whose line has all of these words."""
        return [line for line in self.lines if all(word in line for word in words)]


def read_ping(output: str) -> Ping:
    """Of ping's summary; ValueError when it printed none."""
    found = re.search(r"(\d+) packets transmitted, (\d+) received(?:, \+(\d+) duplicates)?", output)
    if not found:
        raise ValueError(f"no summary of ping in {output!r}")
    rtt = re.search(r"= [\d.]+/([\d.]+)/", output)
    return Ping(int(found[1]), int(found[2]), int(found[3] or 0), float(rtt[1]) if rtt else None)


def read_pinging(output: str, under_way: int) -> Ping:
    """Of a ping that was stopped: its last requests, `under_way` of them, may have had no time to be answered.

    Those that were not do not count as sent. ValueError when it printed no summary.
    """
    whole = read_ping(output)
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", output)}
    last = range(max(1, whole.sent - under_way + 1), whole.sent + 1)
    return replace(whole, sent=whole.sent - sum(number not in answered for number in last))


def read_arping(output: str) -> Arping:
    """Of arping's replies and summary; ValueError when it printed none."""
    sent = re.search(r"Sent (\d+) probes?", output)
    if not sent:
        raise ValueError(f"no summary of arping in {output!r}")
    replies = re.findall(r"reply from \S+ \[([0-9A-Fa-f:]+)\]", output)
    return Arping(int(sent[1]), tuple(mac.lower() for mac in replies))


def read_iperf(output: str) -> Tcp:
    """Of `iperf3 --json`; ValueError when there was no stream."""
    report = json.loads(output)
    if "error" in report or "sum_received" not in report.get("end", {}):
        raise ValueError(report.get("error", "iperf3 reports no stream"))
    end = report["end"]
    received = end["sum_received"]
    return Tcp(received["bits_per_second"], end["sum_sent"].get("retransmits", 0), received["bytes"])


def tcpdump(interface: str, expression: str) -> Sequence[str]:
    """The capture command; its lines are for `read_tcpdump`."""
    options = ["-nn", "-e", "-tt", "-U", "-l", "--immediate-mode", "-Z", "root"]
    return ["tcpdump", "-i", interface, *options, expression]


def read_tcpdump(output: str) -> list[str]:
    """One line per frame, without its time; what tcpdump prints of the frame inside is on the same line."""
    lines: list[str] = []
    for line in output.splitlines():
        stamped = re.match(r"\d+\.\d+ (.*)", line)
        if stamped:
            lines.append(stamped[1])
        elif lines and not re.match(r"\d+ packets? |tcpdump: |listening on ", line):
            lines[-1] += " " + line.strip()
    return lines
