"""Every column is explained, and docs/database.md says what schema and texts say."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovsdb import document, ownership

PAGE = Path(__file__).parents[1] / "docs" / "database.md"


def test_every_table_and_column_is_explained_and_no_other() -> None:
    schema, texts = document.schema()["tables"], document.texts()
    assert set(texts) == set(schema)
    for table, contents in schema.items():
        assert set(texts[table]) == {"", *contents["columns"]}, table
        assert all(text.strip().endswith(".") for text in texts[table].values()), table


def test_the_page_is_up_to_date(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--golden"):
        PAGE.write_text(document.render())
    assert PAGE.read_text() == document.render()


def test_whoever_writes_writes_columns_that_there_are() -> None:
    tables = document.schema()["tables"]
    assert set(ownership.TABLES) <= set(tables)
    for table in ownership.COLUMNS.keys() | ownership.BESIDE.keys():
        assert ownership.theirs(table) <= set(tables[table]["columns"]), table
    assert document.written("Drop") == set(tables["Drop"]["columns"])
