"""Comparisons: what is left out, missing, or worse the larger it is; each said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from compared_runs import compared, recorder
from recorded_runs import CASES, Recorder, level

from seglab.errors import ConfigError, TrackingError
from seglab.reports.comparison.sentences import ranking_notes
from seglab.reports.document import to_markdown

__all__ = ["recorder"]


def test_no_case_in_common(recorder: Recorder) -> None:
    recorder.run(level(0.6, cases=["a", "b"]), model="UNet")
    recorder.run(level(0.7, cases=["c", "d"]), model="VNet")
    found = compared(recorder)
    assert found.variants["verdict"].tolist() == ["best", "undecided"]
    assert any("No case in common" in note for note in ranking_notes(found.rankings[0]))


def test_scores_that_are_not_defined(recorder: Recorder) -> None:
    recorder.run(level(0.7), model="UNet")
    recorder.run({**level(0.6)(0), "case00": float("nan")}, model="VNet")
    recorder.run(dict.fromkeys(CASES, float("nan")), model="Conv")
    found = compared(recorder)
    # the others have more than 0, so truth is not empty there: what is blank is a failure, and no case vanishes
    assert found.variants["units"].tolist()[1:] == [12, 12]
    assert found.variants["variant"].tolist()[2] == "Conv_DiceLoss_Adam"
    assert found.variants["test_dice"].tolist()[2] == 0
    assert any("On 12 cases some run has no dice though" in note for note in found.document.sections[0].notes)


def test_one_variant_is_not_called_the_best(recorder: Recorder) -> None:
    for seed in (0, 1):
        recorder.run(level(0.7), model="UNet", seed=seed)
    found = compared(recorder)
    output = to_markdown(found.document).lower()
    for word in ("best", "tied", "undecided", "logarithmic", "pareto", "overlap"):
        assert word not in output
    assert "its score and what it cost" in output
    recorder.run(level(0.7), model="VNet")
    output = to_markdown(compared(recorder).document).lower()
    assert all(word in output for word in ("best", "tied", "undecided", "overlap", "dotted line"))


def test_runs_without_test_cases_are_named_with_how_they_get_scores(recorder: Recorder) -> None:
    for model in ("UNet", "VNet"):
        recorder.run({}, model=model)
    with pytest.raises(TrackingError, match="too few runs") as caught:
        compared(recorder)
    assert "seglab evaluate run=<id> split=val, for 2 runs, then metric=eval_val_dice" in caught.value.remedy
    for metric, words in (("eval_val_dice", "split=val, for 2 runs"), ("eval_b-all_dice", "split=all data=b, for 2 r")):
        with pytest.raises(TrackingError, match="too few runs") as caught:
            compared(recorder, metric=metric)
        assert f"score them: seglab evaluate run=<id> {words}" in caught.value.remedy


def test_runs_without_a_single_defined_score_are_reported_by_name(recorder: Recorder) -> None:
    nothing = dict.fromkeys(CASES, float("nan"))
    hopeless = [recorder.run(nothing, model=model) for model in ("UNet", "VNet")]
    with pytest.raises(TrackingError, match="too few runs") as caught:
        compared(recorder)
    assert "0 with scores" in str(caught.value)
    for run in hopeless:
        assert f"{run[:8]} " in str(caught.value)
    assert "has no defined test_dice on any case" in str(caught.value)
    good = recorder.run(level(0.6), model="Conv")
    assert compared(recorder, runs=[good, hopeless[0]]).variants["test_dice"].tolist()[1] == 0


def test_what_is_left_out_is_stated(recorder: Recorder) -> None:
    recorder.run(level(0.6), model="UNet", tags={"data_allowed": "[group-in-two-splits]"})
    recorder.run(level(0.7), model="VNet")
    broken = recorder.run(level(0.9), model="Gone")
    (recorder.store.directory / "artifacts" / "seglab" / broken / "artifacts" / "test_cases.csv").unlink()
    failed = recorder.run({}, model="Dead", status="FAILED", tags={"end_reason": "no memory"})
    client = recorder.store.client
    client.set_terminated(client.create_run(recorder.store.experiment_id("seglab")).info.run_id)
    found = compared(recorder)
    assert set(found.variants["variant"]) == {"UNet_DiceLoss_Adam", "VNet_DiceLoss_Adam"}
    notes = " ".join(found.document.sections[0].notes)
    assert f"{broken[:8]} is left out: its test_cases.csv is not there" in notes
    assert "1 run is not finished, and listed at the end." in notes
    assert "1 run of the store was not made by seglab" in notes
    assert found.variants["data_allowed"].tolist() == ["", "[group-in-two-splits]"]
    text = str(found.document)
    assert failed in text
    assert "⚠ allowed: [group-in-two-splits]" in text


def test_seeds_that_ran_again_count_once(recorder: Recorder) -> None:
    recorder.run(level(0.1), model="UNet")
    recorder.run(level(0.6), model="UNet")
    recorder.run(level(0.7), model="VNet")
    found = compared(recorder)
    assert found.variants["runs"].tolist() == [1, 1]
    assert found.variants["test_dice"].tolist()[1] == pytest.approx(0.6, abs=0.05)
    assert any("1 older run(s)" in note for note in found.document.sections[0].notes)


def test_less_is_better_for_a_distance(recorder: Recorder) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        for seed in range(3):
            distances = [10 * mean + 0.01 * seed + n for n in range(12)]
            evaluated(recorder, recorder.run(level(mean), model=model, seed=seed), hd95_nonempty=distances)
    found = compared(recorder, metric="eval_test_hd95_nonempty")
    assert found.variants["variant"].tolist() == ["UNet_DiceLoss_Adam", "VNet_DiceLoss_Adam"]
    assert found.variants["difference"].tolist()[1] == pytest.approx(1.0)
    assert found.variants["verdict"].tolist() == ["best", "worse"]


def evaluated(recorder: Recorder, run: str, **columns: object) -> None:
    """Scores of a later evaluation, as `scripts/evaluate.py` adds them to a run."""
    folder = recorder.store.directory / "artifacts" / "seglab" / run / "artifacts" / "evaluation" / "test"
    folder.mkdir(parents=True)
    pd.DataFrame({"id": CASES, "group": CASES, **columns}).to_csv(folder / "cases.csv", index=False)


def test_who_misses_the_hardest_cases_does_not_win_by_a_distance(recorder: Recorder) -> None:
    distances = np.linspace(2, 30, 12)
    for seed in range(2):
        evaluated(recorder, recorder.run(level(0.7), model="Finds", seed=seed), hd95_nonempty=distances)
        misses = np.where(distances > 20, np.nan, distances)
        evaluated(recorder, recorder.run(level(0.5), model="Misses", seed=seed), hd95_nonempty=misses)
    with pytest.raises(ConfigError, match="defined on different cases") as caught:
        compared(recorder, metric="eval_test_hd95_nonempty")
    assert "Misses" in str(caught.value)
    assert "no value on 4 of 12 cases" in str(caught.value)


def test_an_empty_prediction_of_an_empty_truth_beats_a_false_alarm(recorder: Recorder) -> None:
    cases = [f"case{n:02}" for n in range(60)]
    rng = np.random.default_rng(0)
    for seed in range(3):
        found = np.clip(rng.normal(0.755, 0.05, 20), 0, 1)
        empty = {"true/object": [9] * 20 + [0] * 40}
        silent = dict(zip(cases, [*found, *[np.nan] * 40], strict=True))
        loud = dict(zip(cases, [*(found + 0.001), *[0.0] * 40], strict=True))
        recorder.run(silent, model="Silent", seed=seed, counts=empty | {"predicted/object": [9] * 20 + [0] * 40})
        recorder.run(loud, model="Loud", seed=seed, counts=empty | {"predicted/object": [9] * 20 + [1] * 40})
    found = compared(recorder)
    assert found.variants["variant"].tolist() == ["Silent_DiceLoss_Adam", "Loud_DiceLoss_Adam"]
    assert found.variants["verdict"].tolist() == ["best", "worse"]
    # 20 cases of about 0.755 and 40 that count 1, against 40 that count 0
    assert found.variants["test_dice"].tolist() == pytest.approx([(20 * 0.755 + 40) / 60, 20 * 0.755 / 60], abs=0.01)
    assert found.variants["difference"].tolist()[1] == pytest.approx(-2 / 3, abs=0.01)
    assert found.variants["units"].tolist()[1] == 60
    assert found.variants["false_alarms"].tolist() == [0, 40]
    assert any("On 40 cases truth is empty" in note for note in found.document.sections[0].notes)


def test_runs_of_other_code_are_no_seeds_without_a_mark(recorder: Recorder) -> None:
    for seed in range(2):
        recorder.run(level(0.6), model="UNet", seed=seed, tags={"git_commit": f"commit{seed}"})
        recorder.run(level(0.7), model="VNet", seed=seed, tags={"git_commit": "commit0"})
    found = compared(recorder)
    assert found.variants["mixed_code"].tolist() == [False, True]
    assert any("UNet_DiceLoss_Adam" in note and "different code" in note for note in ranking_notes(found.rankings[0]))
    assert "UNet_DiceLoss_Adam ‡" in str(found.document)


def test_units_are_groups_when_asked(recorder: Recorder) -> None:
    groups = {case: f"patient{n // 4}" for n, case in enumerate(CASES)}
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model, groups=groups)
    assert compared(recorder, unit="group").variants["units"].tolist()[1] == 3
    assert any("of 3 groups" in note for note in ranking_notes(compared(recorder).rankings[0]))


def test_cases_of_one_group_are_stated_to_be_no_more(recorder: Recorder) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model, groups=dict.fromkeys(CASES, "block"))
    notes = ranking_notes(compared(recorder).rankings[0])
    assert any("of one group" in note and "little of others" in note for note in notes)
