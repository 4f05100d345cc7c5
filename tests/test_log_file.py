"""A log that is being written: what came since a moment, and each whole line of it once."""

from __future__ import annotations

from pathlib import Path

from topologies.log_file import LogFile


def test_what_was_there_before_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("before\n")
    log = LogFile(path)
    assert (log.since(), log.news()) == ("", "")
    with path.open("a") as more:
        more.write("after\n")
    assert log.since() == log.since() == "after\n"


def test_it_need_not_be_there_yet(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    assert (log.since(), log.news()) == ("", "")
    (tmp_path / "a.log").write_text("first\n")
    assert log.since() == "first\n"


def test_each_whole_line_is_news_once(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = LogFile(path)
    told = []
    # A line, and a letter of two octets, are written in two parts.
    for part in ("one\ntw", "", "o\nthr", "\u00e9\n"):
        for octets in [part.encode()] if part != "\u00e9\n" else [b"\xc3", b"\xa9\n"]:
            with path.open("ab") as more:
                more.write(octets)
            told.append(log.news())
    assert told == ["one\n", "", "two\n", "", "thr\u00e9\n"]
    assert log.since() == ""
