"""The README's table of the pipeline is what `flows.tables` says; `--golden` writes it anew."""

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
