"""The README's table of the pipeline is what `flows.tables` says (`--golden` writes it anew); decisions' index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.tables import describe

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"(?<=<!-- pipeline -->\n).*?(?=<!-- /pipeline -->)", re.DOTALL)


def test_the_pipeline_table_is_up_to_date(request: pytest.FixtureRequest) -> None:
    text = README.read_text()
    assert len(BLOCK.findall(text)) == 1
    if request.config.getoption("--golden"):
        README.write_text(text := BLOCK.sub(lambda _: describe(), text))
    assert BLOCK.findall(text) == [describe()], "pytest tests/test_readme.py --golden writes it anew"


def test_every_decision_is_in_the_index_by_its_title() -> None:
    place = README.parent / "docs" / "decisions"
    rows = re.findall(r"^\| \[(\d+)\]\((\S+)\) \| (.+?) \| .+ \|$", (place / "README.md").read_text(), re.MULTILINE)
    pages = sorted(place.glob("0*.md"))
    assert [file for _, file, _ in rows] == [page.name for page in pages]
    for (number, file, title), page in zip(rows, pages, strict=True):
        assert int(number) == int(file[:4])
        assert page.read_text().splitlines()[0] == f"# {number}. {title}"
