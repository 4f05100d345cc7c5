"""`./lab fuzz` in seconds: what is kept of it, and a few thousand new inputs; and that it sees what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.overlay_database import needs_ovsdb
from topologies.fuzz import main
from topologies.fuzz.parent import Order, Outcome, Run
from topologies.fuzz.target import CORPUS, NAMES

SERVED = [pytest.param(name, marks=[needs_ovsdb, pytest.mark.server]) for name in ("cli", "apply")]
TARGETS = ["openflow", "frames", *SERVED]
NEW = {"openflow": 600, "frames": 5000, "cli": 250, "apply": 150}


def run(tmp_path: Path, target: str, inputs: int = 0, **order: object) -> Outcome:
    return Run(Order(target, inputs, keep=str(tmp_path), **order), lambda _: None).run()  # type: ignore[arg-type]


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_kept_does_no_harm(target: str, tmp_path: Path) -> None:
    files = [str(path) for path in sorted((CORPUS / target).iterdir())]
    outcome = run(tmp_path, target, files=files)
    assert outcome.faults == []
    assert outcome.inputs == len(files) > 8


@pytest.mark.parametrize("target", TARGETS)
def test_nor_does_what_is_new(target: str, tmp_path: Path) -> None:
    outcome = run(tmp_path, target, NEW[target], seed=20)
    assert outcome.faults == []
    assert outcome.inputs == NEW[target]


def test_there_is_something_for_every_target() -> None:
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} == set(NAMES)


@pytest.mark.parametrize(
    ("target", "kind", "where"),
    [
        ("Raising", "crash", "ValueError at fuzz_targets.py:"),
        ("Hanging", "hang", "nothing returned in time"),
        ("Waiting", "hang", "nothing returned in time"),
        ("Dying", "death", "the process ended with 70"),
        ("Printing", "crash", "a traceback was printed"),
    ],
)
def test_what_does_wrong_is_seen_and_kept(target: str, kind: str, where: str, tmp_path: Path) -> None:
    """The input that did it is in a file, and does it again."""
    outcome = run(tmp_path, f"tests.fuzz_targets:{target}", 3 if kind == "hang" else 300)
    assert [(fault.kind, fault.where[: len(where)]) for fault in outcome.faults] == [(kind, where)]
    assert not outcome.kept
    if target != "Printing":
        assert run(tmp_path / "again", f"tests.fuzz_targets:{target}", files=[outcome.faults[0].file]).faults


def test_memory_that_grows_is_seen(tmp_path: Path) -> None:
    grown = run(tmp_path, "tests.fuzz_targets:Growing", 2000)
    assert (grown.faults, grown.grew, grown.kept) == ([], True, False)
    assert run(tmp_path, "tests.fuzz_targets:Good", 2000).kept


def test_an_input_follows_from_seed_and_number(tmp_path: Path) -> None:
    """Whatever came before it, and though the process died in between."""
    one, two = (run(tmp_path / each, "tests.fuzz_targets:Dying", 300) for each in "ab")
    assert [fault.number for fault in one.faults] == [fault.number for fault in two.faults]
    assert one.again == two.again > 0
    assert one.inputs == 300


def test_the_command_says_what_was_wrong_and_how_to_see_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["frames", "--inputs", "500", "--keep", str(tmp_path)]) == 0
    assert "nothing wrong" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["nonsense"])
    assert "no target 'nonsense'; known: openflow, frames, cli, apply" in capsys.readouterr().err
