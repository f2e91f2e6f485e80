"""Comparisons of runs in a real store: what is said, written, refused."""

from __future__ import annotations

import numpy as np
import pytest
from compared_runs import compared, grid, recorder
from recorded_runs import CASES, Recorder, level

from seglab.errors import ConfigError, DataError, TrackingError
from seglab.reports.comparison.sentences import ranking_notes
from seglab.reports.document import to_markdown
from seglab.statistics import compare_pair

__all__ = ["recorder"]


def test_a_grid_is_judged_and_its_factors_are_weighed(recorder: Recorder) -> None:
    grid(recorder)
    found = compared(recorder, study="grid")
    table = found.variants.set_index("variant")
    assert table.index[0] == "UNet_FocalLoss_Adam · Light"
    assert table["verdict"].tolist() == ["best", "worse", "worse", "worse"]
    best = table.iloc[0]
    means = [np.mean(list(level(0.75)(seed).values())) for seed in range(3)]
    assert best["test_dice"] == pytest.approx(np.mean(means))
    assert best["test_dice_sd"] == pytest.approx(np.std(means, ddof=1))
    assert best["test_dice/object"] == pytest.approx(best["test_dice"])
    assert (best["runs"], best["epochs"], best["train_seconds"]) == (3, 4, 40)
    assert (best["wall_seconds"], best["parameters"]) == (60, 1000)
    assert best["peak_memory_mb"] == 1536  # of the run's process; the machine's 2048 MB of the system metrics are not
    assert np.isnan(best["peak_gpu_memory_mb"])
    assert best["images_per_second"] == 102.5
    # the curve is a straight line to the end: 95% of it is reached in the last of four epochs, 75% in the third
    assert best["epochs_to_target"] == 4
    effects = found.effects.set_index("factor")
    assert effects.loc["loss", "difference"] == pytest.approx(0.1, abs=0.01)
    assert effects.loc["augmentation", "difference"] == pytest.approx(0.05, abs=0.01)
    assert effects.loc["augmentation", ["level", "instead_of"]].tolist() == ["Light", "NoAugmentation"]
    assert effects["matched_pairs"].tolist() == [2, 2]
    assert (effects["difference_low"] < effects["difference"]).all()


def test_effects_and_bars_are_corrected_for_all_that_was_compared(recorder: Recorder) -> None:
    means = {"DiceLoss": 0.6, "FocalLoss": 0.605, "LovaszLoss": 0.8}
    for seed in range(3):
        for loss, mean in means.items():
            recorder.run(level(mean, noise=0.03), loss=loss, seed=seed)
    found = compared(recorder)
    (ranking,) = found.rankings
    values = dict(zip([c.parts["loss"] for c in ranking.cohort.variants], ranking.cohort.values, strict=True))
    for effect in ranking.effects:
        pair = values[effect.level], values[effect.reference]
        of_three, of_two = compare_pair(*pair, methods=3), compare_pair(*pair)
        assert effect.paired.difference.interval == pytest.approx(of_three.interval)
        assert effect.paired.difference.p == pytest.approx(of_three.p)
        assert of_three.high - of_three.low > of_two.high - of_two.low
    # LovaszLoss is far above; the other two are not told apart, so one bar joins them
    assert ranking.apart.tolist() == [[False, True, True], [True, False, False], [True, False, False]]


def test_folds_and_seeds_come_together_to_one_score_of_all_cases(recorder: Recorder) -> None:
    recorder.run({"a": 0.2, "b": 0.4}, split="split-0", params={"data.fold": "0"})
    recorder.run({"c": 0.6, "d": np.nan}, split="split-1", params={"data.fold": "1"})
    recorder.run({"c": 0.8, "d": np.nan}, split="split-1", params={"data.fold": "1"}, seed=1)
    scores = compared(recorder).scores
    assert scores["score"].tolist() == ["test_dice", "test_dice/object"]
    for row in scores.to_dict("records"):
        assert row["cases"] == 3
        assert row["mean"] == pytest.approx((0.2 + 0.4 + (0.6 + 0.8) / 2) / 3)
        # cases 0.2, 0.4, 0.7: variance of their mean 0.0633 / 3; runs 0.3, 0.6, 0.8: 0.0633 / 3; two degrees of freedom
        # each, so half a width is 4.303 √(2 · 0.0211) = 0.88, and no mean of a Dice lies beyond 0 and 1
        assert (row["low"], row["high"]) == (0, 1)


def test_a_target_is_what_the_cost_is_asked_for(recorder: Recorder) -> None:
    grid(recorder, seeds=1)
    frame = compared(recorder, study="grid", target=0.37).variants
    assert frame["epochs_to_target"].tolist() == [2, 3, 3, 3]
    assert frame["seconds_to_target"].tolist() == [20, 30, 30, 30]
    never = compared(recorder, study="grid", target=0.99).variants
    assert never["reached_target"].tolist() == [0, 0, 0, 0]


def test_alike_scores_are_tied_and_one_seed_is_remarked_on(recorder: Recorder) -> None:
    rng = np.random.default_rng(0)
    for name in ("UNet", "VNet", "Conv"):
        recorder.run(dict(zip(CASES, 0.7 + rng.normal(0, 0.05, len(CASES)), strict=True)), model=name)
    found = compared(recorder)
    assert found.variants["verdict"].tolist() == ["best", "undecided", "undecided"]
    notes = " ".join(ranking_notes(found.rankings[0]))
    assert "about these trained networks alone" in notes


def test_a_grid_with_holes_uses_matched_pairs_alone(recorder: Recorder) -> None:
    recorder.run(level(0.6), loss="DiceLoss", optimizer="Adam")
    recorder.run(level(0.7), loss="FocalLoss", optimizer="Adam")
    recorder.run(level(0.9), loss="FocalLoss", optimizer="Lion", augment="Strong")
    found = compared(recorder)
    assert found.effects["factor"].tolist() == ["loss"]
    assert found.effects["difference"].tolist() == pytest.approx([0.1], abs=0.01)
    notes = ranking_notes(found.rankings[0])
    assert any(note.startswith("optimizer: no two variants differ in it alone") for note in notes)
    assert any(note.startswith("loss: 1 of 3 variants have no partner") for note in notes)


def test_runs_of_other_splits_are_refused_by_name(recorder: Recorder) -> None:
    first = recorder.run(level(0.6), model="UNet", split="aaaa1111")
    second = recorder.run(level(0.7), model="VNet", split="bbbb2222")
    with pytest.raises(DataError) as error:
        compared(recorder, runs=[first, second])
    for word in ("split digests differ", first[:8], second[:8], "aaaa1111", "bbbb2222", "data.split_seed=0"):
        assert word in str(error.value)
    found = compared(recorder)  # of a whole store it is a note, and two tables
    assert len(found.rankings) == 2
    assert any("Not paired, for their split digests differ" in note for note in found.document.sections[0].notes)


def test_one_seed_on_two_splits_is_stated_to_be_that(recorder: Recorder) -> None:
    for split, cases in (("one", "abcdef"), ("two", "ghijkl")):
        for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
            recorder.run(level(mean, cases=cases), model=model, split=split)
    text = to_markdown(compared(recorder).document)
    assert "With two splits the spread over splits is hardly known" in text
    assert "interval over splits and cases" in text
    assert "seeds" not in text


def test_seeds_that_draw_their_own_splits_are_paired_within_them(recorder: Recorder) -> None:
    for seed in range(3):
        cases = [f"s{seed}case{n}" for n in range(8)]
        for model, mean in (("UNet", 0.6), ("VNet", 0.65)):
            recorder.run(level(mean, cases=cases), model=model, seed=seed, split=f"split{seed}")
    (ranking,) = compared(recorder).rankings
    paired = ranking.verdicts[ranking.order[1]].paired
    assert paired is not None
    assert (paired.units, paired.replicates, paired.losses) == (24, 3, 24)


def test_the_same_split_with_other_seeds_is_paired_too(recorder: Recorder) -> None:
    for seed in (0, 1):
        recorder.run(level(0.6), model="UNet", seed=seed)
        recorder.run(level(0.7), model="VNet", seed=seed + 10)
    (ranking,) = compared(recorder).rankings
    paired = ranking.verdicts[ranking.order[1]].paired
    assert paired is not None
    assert (paired.replicates, paired.units) == (2, 12)
    assert paired.difference.difference == pytest.approx(-0.1, abs=0.01)


def test_other_data_stand_apart_with_a_note(recorder: Recorder) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model)
        recorder.run(level(mean), model=model, data="data-b", split="split-b")
    found = compared(recorder)
    assert [len(ranking.cohort.variants) for ranking in found.rankings] == [2, 2]
    assert any("data digests differ" in note for note in found.document.sections[0].notes)


def test_bad_choices_of_runs(recorder: Recorder) -> None:
    with pytest.raises(TrackingError, match="no finished run"):
        compared(recorder)
    one = recorder.run(level(0.6))
    with pytest.raises(TrackingError, match="too few runs"):
        compared(recorder)
    twin = recorder.run(level(0.6), seed=1)
    with pytest.raises(DataError, match="one variant"):
        compared(recorder, runs=[one, twin])
    with pytest.raises(TrackingError, match="no run of this id"):
        compared(recorder, runs=[one, "0" * 32])
    with pytest.raises(ConfigError, match="no run of this study"):
        compared(recorder, study="nothing")
    with pytest.raises(ConfigError, match="a filter that MLflow does not understand"):
        compared(recorder, filter="loss is nice")
    with pytest.raises(ConfigError, match="test_iou") as error:
        compared(recorder, metric="test_dicee")
    assert "did you mean 'test_dice'" in str(error.value)
    with pytest.raises(ConfigError, match="not kept for each case"):
        compared(recorder, metric="val_dice")
