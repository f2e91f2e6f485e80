"""What rows of prompts tell: scores over the time, what a mask takes, the guard, failures, and when it is an alert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from watched_rows import answered, as_written_by, written

from seglab.monitoring.alerts import AlertLimits, alerts
from seglab.monitoring.prompt_use import PromptUse
from seglab.monitoring.row_summary import BUCKETS, summarise
from seglab.monitoring.schema import TABLES
from seglab.monitoring.summary_page import as_text, document_of


def row(number: int, event: str = "prompt", **change: Any) -> dict[str, Any]:
    one = dict.fromkeys(TABLES["prompts"]) | {"at": 1.8e9 + number, "request": f"p{number}", "event": event}
    one |= {"model": "grabcut", "seconds": 0.1, "verdict": "", "code": ""}
    if event == "prompt":
        one |= {"score": 0.5, "points": 1, "boxes": 0, "empty": 0, "verdict": "accepted"}
    return {**one, **change}


def used(place: Path, prompts: list[dict[str, Any]]) -> PromptUse:
    return summarise(written(place, [], prompts=prompts)).prompts


def test_scores_over_the_time_and_with_points(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    points, scores = rng.integers(1, 6, 240), rng.uniform(0, 1, 240)
    scores = np.clip(scores - 0.1 * points, 0, 1)
    rows = [
        row(number, points=int(count), score=float(score))
        for number, (count, score) in enumerate(zip(points, scores, strict=True))
    ]
    found = used(tmp_path / "rows.db", rows)
    assert found.with_points == pytest.approx(spearmanr(points, scores).statistic)
    assert found.with_points is not None
    assert found.with_points < -0.2
    assert [one.prompts for one in found.spans] == [20] * 12
    assert found.spans[3].scores == pytest.approx(np.quantile(scores[60:80], (0.1, 0.5, 0.9)))
    assert found.spans[0].at == 1.8e9
    assert found.kinds[0].score == pytest.approx(scores.mean())


def test_a_correlation_needs_prompts_that_differ(tmp_path: Path) -> None:
    assert used(tmp_path / "a.db", [row(n, points=n, score=n / 9) for n in range(9)]).with_points is None
    assert used(tmp_path / "b.db", [row(n, points=2, score=n / 20) for n in range(20)]).with_points is None
    assert used(tmp_path / "c.db", [row(n, points=n, score=n / 20) for n in range(20)]).with_points == pytest.approx(1)


def test_what_masks_took_and_what_became_of_requests(tmp_path: Path) -> None:
    rows = [row(n, verdict="limited" if n < 4 else "accepted", empty=int(n == 7)) for n in range(10)]
    rows += [row(n, box_share=0.99 if n < 23 else 0.5, boxes=1) for n in range(20, 26)]
    rows += [row(30, "accepted", steps=1, score=0.9), row(31, "corrected", steps=4), row(32, "rejected", steps=9)]
    rows += [row(33, "failed", code="image-memory"), row(34, "failed", code="prompt-form")]
    place = written(tmp_path / "rows.db", [], prompts=rows)
    summary = summarise(place)
    found = summary.prompts
    assert (found.prompts, found.empty, found.boxes, found.full) == (16, 1, 6, 3)
    assert sorted(found.steps) == [1, 4]  # a mask that was rejected is none
    assert found.corrections == pytest.approx(1.5)
    assert found.verdicts == {"accepted": 12, "limited": 4}
    assert found.codes == {"image-memory": 1, "prompt-form": 1}
    assert found.faults == 1  # a prompt of a wrong form is the client's
    text = as_text(document_of(summary, [], AlertLimits(), place))
    for sentence in (
        "Of 16 prompts 1 gave an empty mask; of 6 with a box the mask filled it 3 times.",
        "An accepted mask took 2.5 prompts on average (2 in all): 1.5 corrections.",
        "The guard's verdicts: accepted 12, limited 4.",
        "Requests that failed: image-memory 1, prompt-form 1.",
    ):
        assert sentence in text
    assert "score, p10" in text


def test_broken_rules_and_failures_of_prompts_are_alerts(tmp_path: Path) -> None:
    def heard(name: str, rows: list[dict[str, Any]]) -> list[str]:
        summary = summarise(written(tmp_path / name, [], prompts=rows))
        return [one.message for one in alerts(summary, AlertLimits())]

    half = [row(n, empty=n % 2, box_share=None if n % 2 else 1.0) for n in range(60)]
    assert heard("a.db", half) == [
        "30 of 60 prompts gave an empty mask.",
        "30 of 30 prompts with a box gave a mask that fills the box.",
    ]
    assert heard("b.db", half[:19]) == []  # too few to tell
    assert heard("c.db", [row(n, empty=int(n < 4), box_share=0.97) for n in range(20)]) == []  # not more than a fifth
    failed = [row(n) for n in range(95)] + [row(n, "failed", code="deadline-exceeded") for n in range(5)]
    assert heard("d.db", failed) == [
        "For want of memory or time, or of its process, the service fails 5.0% of 100 prompts, more than 1.0%."
    ]
    assert heard("e.db", [row(n) for n in range(95)] + [row(n, "failed", code="prompt-form") for n in range(5)]) == []


def test_rows_of_before_steps_were_kept_are_read(tmp_path: Path) -> None:
    place = written(tmp_path / "rows.db", [], prompts=[row(1), row(2, "accepted", steps=3)])
    as_written_by(3, place)
    found = summarise(place).prompts
    assert (found.prompts, found.steps, found.corrections) == (1, (), None)


def test_the_newest_request_has_no_part_of_the_time_of_its_own(tmp_path: Path) -> None:
    """481 requests, one a second: the last of them is in the last part, not in one beyond it."""
    found = summarise(written(tmp_path / "rows.db", [answered(number) for number in range(481)]))
    assert len(found.spans) == BUCKETS
    assert sum(one.answered for one in found.spans) == 481
    assert found.spans[-1].answered > 5
