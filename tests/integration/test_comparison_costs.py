"""What is said beside the scores: costs and speeds of runs, scores of later evaluations, where the page goes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toys
from recorded_runs import CASES, Recorder, level
from rich.console import Console

from seglab.comparison.case_tables import locate
from seglab.comparison.settings import CompareSettings
from seglab.errors import ConfigError
from seglab.reports.comparison.compare import Comparison, compare, open_runs
from seglab.reports.comparison.comparison_printing import run_comparison
from seglab.reports.comparison.sentences import ranking_notes
from seglab.reports.document import TableBlock


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(toys.fresh_store(tmp_path / "mlruns"))


def compared(recorder: Recorder, **settings: object) -> Comparison:
    chosen = CompareSettings.model_validate({"pictures": 0, **settings})
    return compare(chosen, open_runs(chosen, recorder.store.directory))


def printed(recorder: Recorder, out: Path, **settings: object) -> str:
    heard = Console(record=True, width=200, file=io.StringIO())
    chosen = CompareSettings.model_validate({"pictures": 0, "out": str(out), **settings})
    run_comparison(chosen, recorder.store.directory, heard)
    return heard.export_text()


def grid_of(found: Comparison, title: str) -> TableBlock:
    return next(section for section in found.document.sections if section.title.startswith(title)).grids[0]


def evaluated(recorder: Recorder, run: str, columns: dict[str, list[float]], name: str = "test") -> None:
    """Add the table of a later evaluation."""
    folder = recorder.store.directory / "artifacts" / "seglab" / run / "artifacts" / "evaluation" / name
    folder.mkdir(parents=True)
    pd.DataFrame({"id": CASES, "group": CASES, **columns}).to_csv(folder / "cases.csv", index=False)


def test_a_volume_error_counts_by_its_size(recorder: Recorder) -> None:
    """One finds half of every volume, one a tenth too much; signed, the first would have the least error."""
    for model, error in (("Half", -0.5), ("Near", 0.1)):
        errors = (error + np.linspace(-0.01, 0.01, len(CASES))).tolist()
        for seed in range(3):
            evaluated(recorder, recorder.run(level(0.6), model=model, seed=seed), {"volume_error/object": errors})
    for name in ("volume_error", "volume_error_abs"):
        found = compared(recorder, metric=f"eval_test_{name}/object")
        table = found.variants.set_index("variant")
        metric = "eval_test_volume_error_abs/object"
        assert table.index.tolist() == ["Near_DiceLoss_Adam", "Half_DiceLoss_Adam"]
        assert table[metric].tolist() == pytest.approx([0.1, 0.5])
        assert table["verdict"].tolist() == ["best", "worse"]
        assert found.runs[metric].tolist() == pytest.approx([0.1] * 3 + [0.5] * 3)
        columns = grid_of(found, "Variants").columns
        assert metric in columns
        assert not [name for name in columns if name.endswith("_sd")]
        assert "its size counts" in grid_of(found, "Variants").caption


def test_counts_are_no_scores(recorder: Recorder) -> None:
    for model in ("UNet", "VNet"):
        counts = {"lesions_true/object": [2.0] * 12, "lesions_predicted/object": [3.0] * 12, "true/object": [9.0] * 12}
        lesions = {"lesion_recall/object": np.linspace(0, 1, 12).tolist()}
        evaluated(recorder, recorder.run(level(0.6), model=model), counts | lesions)
    for count in ("lesions_true", "lesions_predicted", "true"):
        with pytest.raises(ConfigError, match="not a score") as error:
            compared(recorder, metric=f"eval_test_{count}/object")
        assert "expected: one of eval_test_lesion_recall/object\n" in str(error.value)
    assert len(compared(recorder, metric="eval_test_lesion_recall/object").variants) == 2


@pytest.mark.parametrize(
    ("metric", "prefix", "column", "file"),
    [
        ("test_dice/big_cell", "test_", "dice/big_cell", "test_cases.csv"),
        ("eval_val_hd95_nonempty", "eval_val_", "hd95_nonempty", "evaluation/val/cases.csv"),
        ("eval_my_set-test_dice", "eval_my_set-test_", "dice", "evaluation/my_set-test/cases.csv"),
        ("eval_a-val_b-all_iou/x-val_y", "eval_a-val_b-all_", "iou/x-val_y", "evaluation/a-val_b-all/cases.csv"),
    ],
)
def test_a_score_is_found_whatever_the_data_are_called(metric: str, prefix: str, column: str, file: str) -> None:
    assert locate(metric) == (prefix, column, file)


def test_scores_on_other_data_compare(recorder: Recorder) -> None:
    for model, value in (("UNet", 0.5), ("VNet", 0.7)):
        scores = {"dice": np.linspace(value, value + 0.1, 12).tolist()}
        evaluated(recorder, recorder.run(level(0.6), model=model), scores, "other_set-test")
    found = compared(recorder, metric="eval_other_set-test_dice")
    assert found.variants["eval_other_set-test_dice"].tolist() == pytest.approx([0.75, 0.55])


def test_memory_is_that_of_the_run_and_a_dash_where_it_is_not_known(recorder: Recorder) -> None:
    recorder.run(level(0.7), model="UNet", tags={"peak_memory_mb": "2048", "peak_gpu_memory_mb": "512"})
    recorder.run(level(0.6), model="VNet")
    table = grid_of(compared(recorder), "Variants")
    own, gpu = (table.columns.index(name) for name in ("peak memory", "peak GPU memory"))
    assert [(row[own].text, row[gpu].text) for row in table.rows] == [("2.0 GB", "0.5 GB"), ("–", "–")]


def test_memory_that_no_run_recorded_has_no_column(recorder: Recorder) -> None:
    for model in ("UNet", "VNet"):
        recorder.run(level(0.6), model=model)
    assert not [name for name in grid_of(compared(recorder), "Variants").columns if "memory" in name]


def test_a_factor_has_its_speed_over_pairs_of_runs(recorder: Recorder) -> None:
    """Rates of 102.5 and 302.5 by one network, 202.5 and 302.5 by the other, on one device; the rest is no pair."""
    for seed, model, slow in ((0, "UNet", 100.0), (1, "UNet", 100.0), (0, "VNet", 200.0)):
        recorder.run(level(0.6), model=model, params={"precision.name": "float32"}, seed=seed, rate=slow)
        tags = {"device": "gpu"} if seed else {}
        recorder.run(level(0.6), model=model, params={"precision.name": "auto"}, seed=seed, rate=300.0, tags=tags)
    found = compared(recorder)
    effect = found.effects.set_index("factor").loc["precision"]
    assert (effect["level"], effect["instead_of"]) == ("float32", "auto")
    ratios = [102.5 / 302.5, 202.5 / 302.5]
    assert effect["speed_ratio"] == pytest.approx(np.sqrt(np.prod(ratios)))
    assert (effect["speed_low"], effect["speed_high"], effect["speed_pairs"]) == (*map(pytest.approx, ratios), 2)
    table = grid_of(found, "What each factor is worth")
    assert table.columns[6].startswith("speed")
    assert table.rows[-1][6].text == "0.48 × (0.34 to 0.67)"


def test_of_many_levels_each_is_held_against_the_best(recorder: Recorder) -> None:
    for number, loss in enumerate("ABCDE"):
        for model in ("UNet", "VNet"):
            recorder.run(level(0.5 + (0.2 if loss == "C" else 0.01 * number)), model=model, loss=loss)
    recorder.run(level(0.95), loss="F")  # the highest of all, and in one context alone
    effects = compared(recorder).effects
    losses = effects[effects["factor"] == "loss"]
    assert losses["instead_of"].unique().tolist() == ["C"]
    assert losses["level"].tolist() == ["A", "B", "D", "E", "F"]
    assert (losses["difference"].to_numpy()[:4] < 0).all()


def test_without_augmentation_stays_the_reference(recorder: Recorder) -> None:
    for number, augment in enumerate(("A", "B", "C", "D", "NoAugmentation")):
        recorder.run(level(0.5 + 0.05 * number), augment=augment)
    assert compared(recorder).effects["instead_of"].unique().tolist() == ["NoAugmentation"]


def test_an_encoder_is_a_factor_where_a_network_comes_with_several(recorder: Recorder) -> None:
    nets = {"{}UNet": "seglab.models.encoder_unet.encoder_unet", "DeepLab": "seglab.models.context.deeplabv3plus"}
    for display, target in nets.items():
        for encoder, gain in (("VGG16", 0.0), ("ResNet50", 0.1)):
            params = {"model._target_": target, "model.encoder": encoder.lower()}
            mean = 0.5 + gain + (0.05 if display == "DeepLab" else 0)
            recorder.run(level(mean), model=display.format(encoder), params=params)
    recorder.run(level(0.4), model="UNetMini", params={"model._target_": "seglab.models.unet.unet"})
    found = compared(recorder)
    effects = found.effects.set_index("factor")
    assert effects.loc["encoder", ["level", "instead_of", "matched_pairs"]].tolist() == ["vgg16", "resnet50", 2]
    assert effects.loc["encoder", "difference"] == pytest.approx(-0.1, abs=0.01)
    assert effects.loc["model", ["level", "instead_of", "matched_pairs"]].tolist() == ["encoder_unet", "DeepLab", 2]
    assert effects.loc["model", "difference"] == pytest.approx(-0.05, abs=0.01)
    assert "VGG16UNet_DiceLoss_Adam" in found.variants["variant"].tolist()


def test_one_encoder_for_each_network_is_part_of_it(recorder: Recorder) -> None:
    for model, encoder in (("VGG16UNet", "vgg16"), ("DeepLab", "resnet50")):
        recorder.run(level(0.5), model=model, params={"model._target_": model.lower(), "model.encoder": encoder})
    assert compared(recorder).effects["factor"].tolist() == ["model"]


def test_a_setting_that_a_choice_settles_goes_with_it(recorder: Recorder) -> None:
    """Each network has the epochs of one budget: 40 of the small, 10 of the large, with and without augmentation."""
    for model, epochs, gain in (("Small", 40, 0.0), ("Large", 10, 0.2)):
        for augment, further in (("NoAugmentation", 0.0), ("Light", 0.1)):
            params = {"trainer.epochs": str(epochs), "data.batch_size": str(epochs)}
            recorder.run(level(0.5 + gain + further), model=model, augment=augment, params=params)
    found = compared(recorder)
    effects = found.effects.set_index("factor")
    assert effects.index.tolist() == ["augmentation", "model with data and trainer"]
    columns = ["level", "instead_of", "matched_pairs"]
    assert effects.loc["model with data and trainer", columns].tolist() == ["Small", "Large", 2]
    assert effects.loc["model with data and trainer", "difference"] == pytest.approx(-0.2, abs=0.01)
    assert effects.loc["augmentation", "difference"] == pytest.approx(0.1, abs=0.01)
    assert not [note for note in ranking_notes(found.rankings[0]) if "partner" in note or "in it alone" in note]
    recorder.run(level(0.6), model="Small", params={"trainer.epochs": "10", "data.batch_size": "40"})
    assert "trainer" in compared(recorder).effects["factor"].tolist()


def test_runs_of_one_time_on_one_machine_are_warned_of(recorder: Recorder, tmp_path: Path) -> None:
    one, other = {"host": "one"}, {"host": "other"}
    recorder.run(level(0.6), model="UNet", tags=one)
    recorder.run(level(0.7), model="VNet", tags=one, begun=60)
    recorder.run(level(0.7), model="Conv", tags=other)
    recorder.run(level(0.7), model="Late", tags={**one, "resume_count": "1"}, begun=30)
    assert compared(recorder).found.together == 1
    assert "⚠" not in "".join(grid_of(compared(recorder), "Variants").columns)
    recorder.run({}, model="Dead", tags=one, begun=90, status="FAILED")
    found = compared(recorder)
    assert found.found.together == 2
    table = grid_of(found, "Variants")
    marked = [name for name in table.columns if "⚠" in name]
    assert [name.split(" ⚠")[0] for name in marked[:3]] == ["train time", "wall time", "images/s"]
    assert marked[3].startswith("to val_dice ≥")
    warning = "Up to 2 of these runs ran at the same time on one machine"
    assert warning in table.caption
    assert warning in printed(recorder, tmp_path / "out")


def test_the_page_goes_to_every_sweep_of_a_study(recorder: Recorder, tmp_path: Path) -> None:
    client = recorder.store.client
    parents = [
        client.create_run(recorder.store.experiment_id("seglab"), tags={"study": "grid"}).info.run_id for _ in range(2)
    ]
    for parent, model in zip((*parents, parents[0]), ("UNet", "VNet", "Conv"), strict=True):
        recorder.run(level(0.6), model=model, tags={"study": "grid", "mlflow.parentRunId": parent})
    recorder.run(level(0.6), model="Alone", tags={"study": "grid"})
    output = printed(recorder, tmp_path / "out", study="grid")
    for parent in parents:
        assert f"run {parent} holds the page too" in output
        assert "comparison/comparison.html" in {file.path for file in client.list_artifacts(parent, "comparison")}
    # neither the whole store nor some runs of a sweep are what its run stands for
    assert compared(recorder).found.parents == []
    assert compared(recorder, filter=f"tags.mlflow.parentRunId = '{parents[0]}'").found.parents == []


def test_what_was_allowed_is_in_the_terminal_too(recorder: Recorder, tmp_path: Path) -> None:
    recorder.run(level(0.6), model="UNet", tags={"data_allowed": "group-in-two-splits"})
    recorder.run(level(0.7), model="VNet")
    output = printed(recorder, tmp_path / "out")
    assert "UNet_DiceLoss_Adam ⚠ allowed: group-in-two-splits" in output
    assert output.count("allowed:") == 1


def test_the_curves_of_a_class_stand_beside_dice_and_iou(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    from seglab.reports.comparison import comparison_sections

    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        run = recorder.run(level(mean), model=model)
        recorder.store.client.log_metric(run, "val_dice/object", mean, step=1)
    drawn: list[list[str]] = []
    kept = comparison_sections.draw_curves
    monkeypatch.setattr(comparison_sections, "draw_curves", lambda *words: drawn.append(words[2]) or kept(*words))
    compared(recorder, metric="test_dice/object")
    assert drawn == [["val_dice/object", "val_dice", "val_iou"]]
