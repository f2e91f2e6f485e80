"""The study of what to label next: its table says what trainings show, of the sizes that every way has come to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.label_next import findings
from benchmarks.label_next.findings import ALL, Round, scores, section, write_page
from seglab.monitoring.label_queue import STRATEGIES


def rounds() -> list[Round]:
    """Three seeds, sixty cases: against the draw `entropy` is better by 0.2, `quality` worse by as much, `diverse` the
    same; the draw alone has come to 40."""
    rng = np.random.default_rng(0)
    gain = {"random": 0.0, "entropy": 0.2, "quality": -0.2, "diverse": 0.0}
    made = []
    for seed in range(3):
        for way in STRATEGIES:
            for size in (10, 20, 40) if way == "random" else (20,):
                dice = 0.5 + gain[way] + 0.002 * seed + rng.normal(0, 0.02, 60)
                made.append(Round(seed, way, [f"{n}" for n in range(size)], dice.tolist(), {}, 60.0))
    return made


def test_the_table_says_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "monitor.md"
    page.write_text("before\n<!-- label_next -->\nold\n<!-- end of label_next -->\nafter\n")
    monkeypatch.setattr(findings, "_PAGE", page)
    monkeypatch.setattr(findings, "_PICTURE", tmp_path / "label_next.png")
    write_page(rounds())
    text = page.read_text()
    assert "old" not in text
    rows = {
        line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ") for line in text.splitlines() if "±" in line
    }
    assert len(rows["entropy"]) == 5  # the way, 10 and 20 labelled, the difference, p; nothing of 40
    assert float(rows["entropy"][3].split()[0]) == pytest.approx(0.2, abs=0.02)
    assert float(rows["entropy"][4].removeprefix("< ")) < 0.05
    assert float(rows["quality"][3].split()[0].replace("−", "-")) == pytest.approx(-0.2, abs=0.02)
    assert float(rows["diverse"][4]) > 0.05
    assert rows["quality"][1] == rows["random"][1]  # all begin with the same
    assert "18 trainings, 18 minutes of processor time" in text
    assert (tmp_path / "label_next.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_not_whole_is_left_out() -> None:
    made = rounds()
    assert scores(made, "entropy", 40) is None
    assert scores(made, ALL, 300) is None
    found = scores(made, "entropy", 20)
    assert found is not None
    assert found.shape == (3, 60)
    assert "All 300" not in section(made, {size: dict.fromkeys(STRATEGIES, found) for size in (10, 20)})
