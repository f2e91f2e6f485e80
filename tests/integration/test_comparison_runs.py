"""Comparisons of runs in a real store: what is said, written, refused."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toys
from mounts import needs_mounts, small, within
from recorded_runs import CASES, Recorder, level
from rich.console import Console

from seglab.comparison.settings import CompareSettings, load_settings, quote_filter
from seglab.errors import ConfigError, DataError, TrackingError
from seglab.reports.comparison.compare import Comparison, compare, open_runs, write
from seglab.reports.comparison.printing import run_comparison
from seglab.reports.document import to_markdown
from seglab.statistics import compare_pair

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(toys.fresh_store(tmp_path / "mlruns"))


def compared(recorder: Recorder, **settings: object) -> Comparison:
    chosen = CompareSettings.model_validate({**settings})
    return compare(chosen, open_runs(chosen, recorder.store.directory))


def grid(recorder: Recorder, seeds: int = 3) -> None:
    """Two losses with and without augmentation: the loss is worth 0.1, the augmentation 0.05."""
    tags = {"study": "grid", "peak_memory_mb": "1536"}
    for seed in range(seeds):
        for loss, gain in (("DiceLoss", 0.0), ("FocalLoss", 0.1)):
            for augment, more in (("NoAugmentation", 0.0), ("Light", 0.05)):
                recorder.run(level(0.6 + gain + more), loss=loss, augment=augment, seed=seed, tags=tags)


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
    notes = " ".join(found.rankings[0].notes)
    assert "about these trained networks alone" in notes


def test_a_grid_with_holes_uses_matched_pairs_alone(recorder: Recorder) -> None:
    recorder.run(level(0.6), loss="DiceLoss", optimizer="Adam")
    recorder.run(level(0.7), loss="FocalLoss", optimizer="Adam")
    recorder.run(level(0.9), loss="FocalLoss", optimizer="Lion", augment="Strong")
    found = compared(recorder)
    assert found.effects["factor"].tolist() == ["loss"]
    assert found.effects["difference"].tolist() == pytest.approx([0.1], abs=0.01)
    notes = found.rankings[0].notes
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


def test_one_seed_on_two_splits_is_said_to_be_that(recorder: Recorder) -> None:
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


def test_no_case_in_common(recorder: Recorder) -> None:
    recorder.run(level(0.6, cases=["a", "b"]), model="UNet")
    recorder.run(level(0.7, cases=["c", "d"]), model="VNet")
    found = compared(recorder)
    assert found.variants["verdict"].tolist() == ["best", "undecided"]
    assert any("No case in common" in note for note in found.rankings[0].notes)


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
    said = to_markdown(found.document).lower()
    for word in ("best", "tied", "undecided", "logarithmic", "pareto", "overlap"):
        assert word not in said
    assert "its score and what it cost" in said
    recorder.run(level(0.7), model="VNet")
    said = to_markdown(compared(recorder).document).lower()
    assert all(word in said for word in ("best", "tied", "undecided", "overlap", "dotted line"))


def test_runs_without_test_cases_are_told_how_they_get_scores(recorder: Recorder) -> None:
    for model in ("UNet", "VNet"):
        recorder.run({}, model=model)
    with pytest.raises(TrackingError, match="too few runs") as caught:
        compared(recorder)
    assert "seglab evaluate run=<id> split=val, for 2 runs, then metric=eval_val_dice" in caught.value.remedy
    for metric, words in (("eval_val_dice", "split=val, for 2 runs"), ("eval_b-all_dice", "split=all data=b, for 2 r")):
        with pytest.raises(TrackingError, match="too few runs") as caught:
            compared(recorder, metric=metric)
        assert f"score them: seglab evaluate run=<id> {words}" in caught.value.remedy


def test_runs_without_a_single_defined_score_are_told_by_name(recorder: Recorder) -> None:
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


def test_what_is_left_out_is_said(recorder: Recorder) -> None:
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
    assert any("UNet_DiceLoss_Adam" in note and "different code" in note for note in found.rankings[0].notes)
    assert "UNet_DiceLoss_Adam ‡" in str(found.document)


def test_units_are_groups_when_asked(recorder: Recorder) -> None:
    groups = {case: f"patient{n // 4}" for n, case in enumerate(CASES)}
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model, groups=groups)
    assert compared(recorder, unit="group").variants["units"].tolist()[1] == 3
    assert any("of 3 groups" in note for note in compared(recorder).rankings[0].notes)


def test_cases_of_one_group_are_said_to_be_no_more(recorder: Recorder) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model, groups=dict.fromkeys(CASES, "block"))
    assert any("of one group" in note and "little of others" in note for note in compared(recorder).rankings[0].notes)


def test_a_moved_store_is_read(recorder: Recorder, tmp_path: Path) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model)
    moved = tmp_path / "elsewhere" / "mlruns"
    moved.parent.mkdir()
    shutil.move(recorder.store.directory, moved)
    settings = CompareSettings()
    assert len(compare(settings, open_runs(settings, moved)).variants) == 2


def test_the_page_holds_everything_and_the_sweep_holds_the_page(recorder: Recorder, tmp_path: Path) -> None:
    client = recorder.store.client
    parent = client.create_run(recorder.store.experiment_id("seglab"), tags={"study": "grid"}).info.run_id
    for model, mean in (("<b>UNet</b>", 0.6), ("VNet|2", 0.7), ("Conv", 0.8)):
        recorder.run(level(mean), model=model, tags={"study": "grid", "mlflow.parentRunId": parent})
    heard = Console(record=True, width=140, file=io.StringIO())
    out = tmp_path / "out"
    run_comparison(CompareSettings(study="grid", out=str(out)), recorder.store.directory, heard)
    said = heard.export_text()
    assert "Conv_DiceLoss_Adam" in said
    assert str(out / "comparison.html") in said
    page = (out / "comparison.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "&lt;b&gt;UNet&lt;/b&gt;" in page
    assert "<b>UNet" not in page
    assert page.count("data:image/png;base64") == 4
    assert r"VNet\|2" in (out / "comparison.md").read_text()
    assert {path.name for path in (out / "plots").iterdir()} == {"curves.png", "cases.png", "costs.png", "ranks.png"}
    assert len(pd.read_csv(out / "variants.csv")) == 3
    held = {file.path for file in client.list_artifacts(parent, "comparison")}
    assert "comparison/comparison.html" in held


def test_a_folder_that_cannot_be_written(recorder: Recorder, tmp_path: Path) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model)
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="cannot be written"):
        write(compared(recorder), tmp_path / "file" / "page")


def test_files_that_no_comparison_wrote_are_left_as_they_are(recorder: Recorder, tmp_path: Path) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model)
    mine = tmp_path / "plots" / "mine.png"
    mine.parent.mkdir()
    mine.write_text("mine")
    write(compared(recorder), tmp_path)
    (tmp_path / "compositions.csv").write_text("as variants.csv was called")
    write(compared(recorder), tmp_path)
    assert not (tmp_path / "compositions.csv").exists()
    assert mine.read_text() == "mine"
    (tmp_path / "comparison.html").unlink()
    (tmp_path / "scores.csv").write_text("mine")
    with pytest.raises(TrackingError, match="which none has written"):
        write(compared(recorder), tmp_path)
    assert (tmp_path / "scores.csv").read_text() == "mine"


@needs_mounts
def test_a_full_disk_leaves_the_former_comparison_whole(recorder: Recorder, tmp_path: Path) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model)
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    for folder in (disk, copy):
        folder.mkdir()
    former = "for name in comparison.html runs.csv; do echo former > out/$name; done"
    command = [sys.executable, str(ROOT / "scripts" / "compare.py"), f"out={disk / 'out'}"]
    mount = f"{small(disk, '100k')} && cd {disk} && mkdir out && {former} && cd .."
    code, said = within(mount, command, tmp_path, after=f"cp -r {disk}/. {copy}")
    assert code == 2
    assert "error: the comparison cannot be written" in said
    assert "No space left on device" in said
    assert "Traceback" not in said
    left = {str(path.relative_to(copy)): path.read_text() for path in copy.rglob("*") if path.is_file()}
    assert left == {"out/comparison.html": "former\n", "out/runs.csv": "former\n"}


def test_settings_that_cannot_be() -> None:
    for given, word in (
        ({"study": "a", "filter": "b"}, "several ways"),
        ({"runs": ["a"]}, "one run is nothing"),
        ({"runs": ["a", "a"]}, "one run is nothing"),
        ({"unit": "pixel"}, "unit"),
        ({"metrik": "x"}, "did you mean 'metric'"),
    ):
        with pytest.raises(ConfigError, match=word):
            load_settings(given)
    assert load_settings({"study": "a/b"}).folder(Path("runs")) == Path("runs/comparisons/a_b-c14cddc0")
    with pytest.raises(TrackingError, match="no store of runs"):
        open_runs(CompareSettings(), Path("/nonexistent"))


def test_filters_reach_hydra_whole() -> None:
    assert quote_filter(["filter=params.loss.name = 'A'", "metric=x"]) == [
        "filter=\"params.loss.name = 'A'\"",
        "metric=x",
    ]
    assert quote_filter(['filter="a"']) == ['filter="a"']


@pytest.mark.slow
def test_the_command(recorder: Recorder, tmp_path: Path) -> None:
    grid(recorder, seeds=1)
    command = [sys.executable, str(ROOT / "scripts" / "compare.py")]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    done = run("filter=params.loss.name = 'FocalLoss'", "metric=test_iou")
    assert done.returncode == 0, done.stderr
    assert "DiceLoss" not in done.stdout
    assert (tmp_path / "mlruns" / "comparisons" / "filtered" / "comparison.html").is_file()
    wrong = run("study=nothing")
    assert (wrong.returncode, "one of" in wrong.stderr) == (2, True)
    assert run("metrik=test_dice").returncode == 2
