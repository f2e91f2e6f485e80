"""The notebook of the pipeline, run cell by cell in a folder of its own, as who opens it would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "pipeline.py"
# What a notebook does with a cell: run it, and show the value of its last line where that is an expression.
RUNNER = """
import ast, json, sys
names = {"__name__": "__main__"}
for cell in json.load(sys.stdin):
    body = ast.parse(cell).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
    if last is not None:
        print("=>", repr(eval(compile(ast.Expression(last.value), "<cell>", "eval"), names))[:2000])
"""


def cells() -> dict[str, str]:
    """The code cells by their titles."""
    parts = re.split(r"^# %% ?(.*)\n", NOTEBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {title: text for title, text in zip(parts[::2], parts[1::2], strict=True) if title != "[markdown]"}


def test_it_has_five_steps() -> None:
    assert [title[:2] for title in cells()] == ["1.", "2.", "3.", "4.", "5."]
    for text in cells().values():
        compile(text, "<cell>", "exec")


@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(list(cells().values())),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    shown = done.stdout.split("=> ")[1:]
    assert "val_loss" in shown[1]  # the last of its columns, which a narrow cell shows too
    assert "UNetMini_DiceLoss_Adam" in shown[2]
    assert "UNetMini_FocalLoss_Adam" in shown[2]
    assert (tmp_path / "mlruns" / "mlflow.db").is_file()
    assert len(list(tmp_path.glob("mlruns/artifacts/**/test_cases.csv"))) == 2
