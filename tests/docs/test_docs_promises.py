"""Every promise of `docs/when_things_break.md` names tests, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES = [line for line in (ROOT / "docs" / "when_things_break.md").read_text().splitlines() if line.startswith("| ")]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PROMISES if not line.startswith("| ---")]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row[0] not in ("what breaks", "what comes")], ids=lambda row: row[0]
)
def test_it_is_shown_by_tests_that_exist(row: list[str]) -> None:
    _, promise, shown, command = row
    assert promise
    assert command
    assert re.sub(NAMED, "", shown).strip(", ") == ""
    for file, name in NAMED.findall(shown):
        tree = ast.parse((ROOT / file).read_text())
        assert name in {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}, f"{file}::{name}"


def test_all_were_looked_at() -> None:
    assert len(NAMED.findall("\n".join(PROMISES))) > 40
