"""What rows of prompts tell: scores over the time, what a mask takes, the guard, failures, and when it is an alert."""

from __future__ import annotations

import time
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
    assert (found.masks, found.steps) == (2, 5)  # a mask that was rejected is none
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
    assert heard("d.db", failed) == ["5.0% of 100 prompts failed: memory, time or the process; more than 1.0%."]
    assert heard("e.db", [row(n) for n in range(95)] + [row(n, "failed", code="prompt-form") for n in range(5)]) == []


def test_a_few_prompts_are_no_alert_and_failures_come_first(tmp_path: Path) -> None:
    def rules(name: str, answers: int, failures: int, requests: list[dict[str, Any]]) -> list[str]:
        rows = [row(n) for n in range(answers)] + [row(n, "failed", code="image-too-large") for n in range(failures)]
        summary = summarise(written(tmp_path / name, requests, prompts=rows))
        return [one.rule for one in alerts(summary, AlertLimits())]

    assert rules("a.db", 0, 1, []) == []  # an image that was too large, and nothing else
    assert rules("b.db", 29, 1, []) == []
    assert rules("c.db", 17, 2, []) == []
    assert rules("d.db", 18, 2, []) == ["prompt-failures"]
    slow = [answered(number, seconds=6.0) for number in range(9)]
    assert rules("e.db", 18, 2, slow) == ["prompt-failures", "latency"]


def test_prompts_are_called_what_they_are(tmp_path: Path) -> None:
    """All of 30 have a box: as many prompts as prompts with a box."""
    rows = [row(n, empty=1, box_share=0.0, boxes=1) for n in range(30)]
    summary = summarise(written(tmp_path / "rows.db", [], prompts=rows))
    assert [one.message for one in alerts(summary, AlertLimits())] == ["30 of 30 prompts gave an empty mask."]


def test_every_prompt_is_counted_and_scores_are_of_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("prompt_use", "summary_page"):
        monkeypatch.setattr(f"seglab.monitoring.{module}.LOOKED_AT", 50)
    rows = [row(60 - n, score=(60 - n) / 100, points=60 - n) for n in range(60)]  # as they came, the newest first
    rows += [row(n, "failed", code="image-memory") for n in range(55)]
    place = written(tmp_path / "rows.db", [], prompts=rows)
    summary = summarise(place)
    found = summary.prompts
    assert (found.prompts, found.verdicts, found.codes) == (60, {"accepted": 60}, {"image-memory": 55})
    assert [(one.event, one.count) for one in found.kinds] == [("prompt", 60), ("failed", 55)]
    assert found.kinds[0].score == pytest.approx(0.305)  # of 1 to 60
    assert sum(one.prompts for one in found.spans) == 50
    assert found.spans[0].at == 1.8e9 + 11
    text = as_text(document_of(summary, [], AlertLimits(), place))
    assert "Of 60 prompts 0 gave an empty mask." in text
    assert "Scores over the time and their correlation are of the newest 50 prompts alone." in text


@pytest.mark.slow
@pytest.mark.parametrize("hours", [None, 1.0])
def test_a_million_prompts_are_summarised_in_two_seconds(hours: float | None, tmp_path: Path) -> None:
    """Of processor time. A prompt each second, the last one now."""
    import scipy.stats  # noqa: F401  # is loaded once, and no work on rows

    now = time.time()
    rows = [row(0, at=now - number, score=number % 100 / 100, points=number % 7) for number in range(1_000_000)]
    place = written(tmp_path / "rows.db", [], prompts=rows[::-1])
    del rows
    began = time.process_time()
    found = summarise(place, hours=hours).prompts
    took = time.process_time() - began
    print(f"{took:.2f} s of the processor, hours={hours}")
    assert found.prompts == (1_000_000 if hours is None else pytest.approx(3600 - (time.time() - now), abs=2))
    assert took <= 2, took


def test_rows_of_before_steps_were_kept_are_read(tmp_path: Path) -> None:
    place = written(tmp_path / "rows.db", [], prompts=[row(1), row(2, "accepted", steps=3)])
    as_written_by(3, place)
    found = summarise(place).prompts
    assert (found.prompts, found.masks, found.corrections) == (1, 0, None)


def test_the_newest_request_has_no_part_of_the_time_of_its_own(tmp_path: Path) -> None:
    """481 requests, one a second: the last of them is in the last part, not in one beyond it."""
    found = summarise(written(tmp_path / "rows.db", [answered(number) for number in range(481)]))
    assert len(found.spans) == BUCKETS
    assert sum(one.answered for one in found.spans) == 481
    assert found.spans[-1].answered > 5
