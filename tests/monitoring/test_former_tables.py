"""Files that a former seglab made, from its own statements: they are read, migrated and written to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from former_rows import former_statements, take_over


@pytest.mark.parametrize("version", [1, 3])
def test_tables_of_a_former_seglab_take_rows_of_this_one(version: int, tmp_path: Path) -> None:
    place = str(tmp_path / "rows.db")
    with closing(sqlite3.connect(place, isolation_level=None)) as former:
        for statement in former_statements(version, "INTEGER PRIMARY KEY"):
            former.execute(statement)
    take_over(place)
    with closing(sqlite3.connect(place)) as now:
        indexes = {name for (name,) in now.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert indexes == {"predictions_at", "prompts_at"}  # no former one is left, which every row would be written to
