"""What the probe of a moving VM makes of its records, what it sends, and what the benchmark says without OVN."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from topologies import bench, bench_moves, gaps, ovn
from topologies.bench_moves import Report, Series
from topologies.gaps import Probe, Record, Station

PEER, VM = Station("02:00:00:00:00:03", "10.0.0.3"), Station("02:00:00:00:00:01", "10.0.0.1")


def stream(seconds: float, silent: tuple[float, float] = (0, 0)) -> tuple[Probe, ...]:
    """A probe every ms, answered after 0.4 ms, but for those of a silent time."""
    sent = [number / 1000 for number in range(round(seconds * 1000))]
    return tuple((each, None if silent[0] <= each < silent[1] else each + 0.0004) for each in sent)


def record(*streams: tuple[Probe, ...]) -> Record:
    return Record(0.0, 1.0, 0.0, 0, streams)


def test_nothing_is_lost_and_there_is_no_gap_when_all_is_answered() -> None:
    found = gaps.gap(record(stream(1), stream(1)))
    assert found.lost == 0
    assert found.ms == pytest.approx(0.0, abs=1.0)


def test_lost_are_those_of_both_directions_and_the_gap_is_the_longer_one() -> None:
    found = gaps.gap(record(stream(1, (0.2, 0.3)), stream(1, (0.2, 0.45))))
    assert found.lost == 100 + 250
    assert found.ms == pytest.approx(250, abs=0.01)


@pytest.mark.parametrize("silent", [(0.0, 0.7), (0.3, 1.0)])
def test_silence_at_the_beginning_or_the_end_is_a_gap(silent: tuple[float, float]) -> None:
    found = gaps.gap(record(stream(1), stream(1, silent)))
    assert found.lost == 700
    assert found.ms == pytest.approx(700, abs=1.0)


def test_nothing_answered_at_all_is_a_gap_of_the_whole_run() -> None:
    found = gaps.gap(record(stream(1, (0.0, 1.0)), stream(1, (0.0, 1.0))))
    assert (found.lost, found.ms) == (2000, pytest.approx(999))


def test_answers_that_were_held_up_are_a_gap_without_loss() -> None:
    held = tuple((sent, 0.5 if answered and 0.2 <= sent < 0.5 else answered) for sent, answered in stream(1))
    found = gaps.gap(record(held, stream(1)))
    assert found.lost == 0
    assert found.ms == pytest.approx(299.6, abs=1.0)


def test_a_probe_is_a_whole_ipv4_packet_with_a_right_checksum() -> None:
    made = gaps.frame(PEER, VM)
    assert made[:14] == bytes.fromhex("0200000000010200000000030800")
    words = sum(struct.unpack("!10H", made[14:34]))
    assert (words & 0xFFFF) + (words >> 16) == 0xFFFF
    length = struct.unpack_from("!H", made, 16)[0]
    assert (length, struct.unpack_from("!H", made, 38)[0]) == (46, 26)


def test_a_vm_is_announced_by_rarp_and_by_gratuitous_arp() -> None:
    rarp, arp = gaps.announcements(VM)
    mac = bytes.fromhex("020000000001")
    assert rarp[:42] == b"\xff" * 6 + mac + bytes.fromhex("80350001080006040003") + (mac + bytes(4)) * 2
    ip = bytes([10, 0, 0, 1])
    assert arp[:42] == b"\xff" * 6 + mac + bytes.fromhex("08060001080006040001") + mac + ip + bytes(6) + ip


def test_a_program_that_printed_no_record_is_an_error_that_shows_what_it_printed() -> None:
    with pytest.raises(ValueError, match="no such interface"):
        gaps.read("probing\nno such interface\n")


def test_without_ovn_its_rows_say_why() -> None:
    series = (Series("live migration, gap", "ms", (20.0, 10.0, 30.0), ()),)
    shown = bench_moves.table(Report("netdev", 3, "OVN: not installed", 0.4, series)).splitlines()
    assert shown[-2].split() == ["live", "migration,", "gap", "ms", "overlay", "20.0", "10.0", "30.0"]
    assert shown[-1].strip() == "OVN: not installed"
    assert series[0].ratio is None


def test_beside_ovn_the_ratio_is_that_of_the_medians() -> None:
    series = (Series("live migration, gap", "ms", (20.0, 10.0, 90.0), (10.0, 5.0, 40.0)),)
    shown = bench_moves.table(Report("netdev", 3, "OVN 23.03.1", 0.4, series)).splitlines()
    assert shown[-2].endswith("2.00")
    assert shown[-1].split() == ["OVN", "10.0", "5.0", "40.0"]


def test_ovn_that_cannot_be_had_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ovn.Unavailable, match="no apt-get"):
        ovn.programs()


def test_ovn_that_cannot_be_fetched_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("apt-get", "dpkg"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ovn.Unavailable, match="E: no network"):
        ovn.programs()
    assert list((tmp_path / "cache" / "ovs-overlay").iterdir()) == []


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_number_of_moves_that_is_none_is_refused(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--moves", f"--moves-count={count}"])
    assert "1 or more" in capsys.readouterr().err
