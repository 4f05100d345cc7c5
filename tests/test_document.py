"""Every column is explained, and docs/database.md says what schema and texts say."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.cli.checks import FOREIGN
from ovsdb import document

PAGE = Path(__file__).parents[1] / "docs" / "database.md"


def test_every_table_and_column_is_explained_and_no_other() -> None:
    schema, texts = document.schema()["tables"], dict(document.texts())
    written = texts.pop("written")
    assert set(texts) == set(schema)
    for table, contents in schema.items():
        assert set(texts[table]) == {"", *contents["columns"]}, table
        assert all(text.strip().endswith(".") for text in texts[table].values()), table
    for table, columns in written.items():
        assert set(columns) <= set(schema[table]["columns"])


def test_the_page_is_up_to_date(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--golden"):
        PAGE.write_text(document.render())
    assert PAGE.read_text() == document.render()


def test_what_overlayctl_protects_is_what_the_page_marks() -> None:
    """One list is beside the texts, the other where a command finds it without reading them."""
    marked = {table: set(columns) for table, columns in document.texts()["written"].items()}
    for table, columns in FOREIGN.items():
        # Counters are every writer's, and what a chassis reports is the chassis'; nobody sets them by hand.
        assert columns - {"reported", "epoch", "nb_cfg"} == (marked.get(table, set()) if columns else set()), table
