"""The evaluate command on recorded runs: real store, real bundle, real processes."""

from __future__ import annotations

import io
import json
import math
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from evaluated_runs import IDS, ROOT, made, run_of
from PIL import Image
from rich.console import Console

from seglab.cli.evaluate import read_words
from seglab.config.run_config import Component
from seglab.data.labels.label_schema import built_in_schema
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import ConfigError
from seglab.evaluation.evaluate import EvaluationRequest, evaluate
from seglab.inference.bundle import Bundle, save_bundle
from seglab.metrics.cityscapes_scores import CityscapesScores

__all__ = ["made"]


def streets(root: Path) -> Path:
    """Two training cities and one of validation, with labels and instances, in the layout of Cityscapes."""
    rng = np.random.default_rng(1)
    for split, city, count in (("train", "aachen", 2), ("train", "ulm", 1), ("val", "lindau", 2)):
        for n in range(count):
            label = np.kron(rng.integers(0, 34, (4, 6)), np.ones((8, 8), int))
            instances = np.where(label >= 24, label * 1000 + rng.integers(0, 3, label.shape), label)
            files = {
                f"leftImg8bit/{split}/{city}/{city}_{n:06d}_000019_leftImg8bit": rng.integers(
                    0, 256, (32, 48, 3), np.uint8
                ),
                f"gtFine/{split}/{city}/{city}_{n:06d}_000019_gtFine_labelIds": label.astype(np.uint8),
                f"gtFine/{split}/{city}/{city}_{n:06d}_000019_gtFine_instanceIds": instances.astype(np.uint16),
            }
            for name, pixels in files.items():
                path = root / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return root


@pytest.mark.parametrize("labels", ["classes", "categories"])
def test_cityscapes_in_its_own_labels(tmp_path: Path, labels: str) -> None:
    root = streets(tmp_path / "data")
    data = {
        "_target_": "seglab.data.sources.cityscapes.Cityscapes",
        "root": str(root),
        "labels": labels,
        "void": "class",
    }
    task = Component("Cityscapes", data["_target_"], {k: v for k, v in data.items() if k != "_target_"}).build().task
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 48, 3))
    model = keras.Model(image, keras.layers.Conv2D(task.classes, 1, bias_initializer="random_normal")(image))
    bundle = Bundle(task, Preprocessing("scale", 3, 255.0), (32, 48), "resize", config={"data": data})
    save_bundle(tmp_path / "bundle", model, bundle)
    request = EvaluationRequest(
        bundle=str(tmp_path / "bundle"), split="all", out=str(tmp_path / "out"), save_masks=True, workers=0
    )
    metrics = evaluate(request, console=Console(file=io.StringIO()))
    scores = CityscapesScores(built_in_schema("cityscapes").labels)
    for path in sorted((tmp_path / "out" / "masks").glob("*.png")):
        prefix = next((root / "gtFine").rglob(f"{path.stem}_gtFine_labelIds.png")).with_name(f"{path.stem}_gtFine")
        truth, instances = (np.asarray(Image.open(f"{prefix}_{kind}.png")) for kind in ("labelIds", "instanceIds"))
        scores.add(np.asarray(Image.open(path)), truth, instances)
    expected = scores.result()
    kinds = {key.split("/")[0] for key in metrics if key.startswith("cityscapes_")}
    categories = {"cityscapes_iou_category", "cityscapes_iiou_category"}
    assert kinds == (categories if labels == "categories" else {key.split("/")[0] for key in expected})
    for key in (key for key in expected if key in metrics):
        np.testing.assert_equal(metrics[key], expected[key])
    assert 0 < metrics["cityscapes_iou_category"] < 1
    assert "iou_with_void" in metrics
    assert "iou/void" in metrics


def test_a_set_is_cityscapes_by_its_labels_and_not_by_its_file_names(tmp_path: Path) -> None:
    """Classes of one's own in files that are called as those of Cityscapes; and its labels in files of other names."""
    root = streets(tmp_path / "data")
    labels = sorted((root / "gtFine").rglob("*_gtFine_labelIds.png"))
    rows = ["image,mask,split"]
    for n, path in enumerate(labels):
        image = str(path).replace("gtFine", "leftImg8bit").replace("leftImg8bit_labelIds", "leftImg8bit")
        mask = Image.fromarray((np.asarray(Image.open(path)) % 2).astype(np.uint8))
        mask.save(path)
        rows.append(f"{image},{path},{('train', 'val', 'test')[n % 3]}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    own = {
        "_target_": "seglab.data.sources.csv_tables.Csv",
        "root": str(root / "list.csv"),
        "class_names": ["even", "odd"],
    }
    official = {
        "_target_": "seglab.data.sources.csv_tables.Csv",
        "root": str(root / "list.csv"),
        "label_schema": "cityscapes.csv",
    }
    schema = ROOT / "src" / "seglab" / "data" / "schemas" / "cityscapes.csv"
    official["label_schema"] = str(schema)
    for data, expected in ((own, False), (official, True)):
        arguments = {key: value for key, value in data.items() if key != "_target_"}
        task = Component("Csv", data["_target_"], arguments).build().task
        image = keras.Input((32, 48, 3))
        model = keras.Model(image, keras.layers.Conv2D(task.logit_channels, 1)(image))
        bundle = Bundle(task, Preprocessing("scale", 3, 255.0), (32, 48), "resize", config={"data": data})
        saved = save_bundle(tmp_path / f"bundle{expected}", model, bundle)
        request = EvaluationRequest(bundle=str(saved), split="all", out=str(tmp_path / f"out{expected}"), workers=0)
        metrics = evaluate(request, console=Console(file=io.StringIO()))
        assert any(name.startswith("cityscapes_") for name in metrics) == expected


@pytest.fixture(scope="module")
def evaluated(made: tuple[Path, str]) -> tuple[Path, str, dict[str, float], str]:
    folder, run_id = made
    console = Console(width=150, file=io.StringIO())
    request = EvaluationRequest(run=run_id, save_masks=True, out=str(folder / "out"), workers=1)
    metrics = evaluate(request, directory=folder / "mlruns", console=console)
    return folder, run_id, metrics, console.file.getvalue()  # type: ignore[attr-defined]


def test_a_run_gets_tables_metrics_and_pictures(evaluated) -> None:
    folder, run_id, metrics, _ = evaluated
    run = run_of(folder, run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_dice"] == 0.5  # its own score stays
    assert run.data.metrics["eval_test_dice"] == pytest.approx(metrics["dice"])
    for name in (
        "hd95_nonempty/object",
        "assd_nonempty",
        "nsd_1px/object",
        "iou_dataset",
        "lesion_recall/object",
        "ece",
    ):
        assert run.data.metrics[f"eval_test_{name}"] == pytest.approx(metrics[name])
    artifacts = Path(run.info.artifact_uri.removeprefix("file://")) / "evaluation" / "test"
    written = {path.name for path in artifacts.iterdir()}
    assert written == {path.name for path in (folder / "out" / "scores").iterdir()}
    assert written == {
        *("cases.csv", "cases.parquet", "metrics.json", "calibration.json"),
        *(f"{name}.png" for name in ("reliability", "confusion", "spread", "cases")),
    }
    table = pd.read_parquet(artifacts / "cases.parquet")
    assert table["id"].tolist() == IDS[6:]
    pd.testing.assert_frame_equal(table, pd.read_csv(artifacts / "cases.csv"), check_dtype=False)
    assert json.loads((artifacts / "metrics.json").read_text())["dice"] == pytest.approx(metrics["dice"])
    for picture in artifacts.glob("*.png"):
        assert min(Image.open(picture).size) > 200


def test_scores_are_those_of_the_pixels(evaluated) -> None:
    folder, _, metrics, text = evaluated
    dice, recall, found = [], [], []
    for case_id in IDS[6:]:
        truth = np.asarray(Image.open(folder / "data" / "masks" / f"{case_id}.png")) == 1
        mask = np.asarray(Image.open(folder / "out" / "masks" / f"{case_id}.png"))
        image = np.asarray(Image.open(folder / "data" / "images" / f"{case_id}.png"))
        np.testing.assert_array_equal(mask, image / 255 > 0.5)  # in its own size, by the run's own network
        dice.append(2 * (truth & (mask == 1)).sum() / (truth.sum() + mask.sum()))
        recall.append((truth & (mask == 1)).sum() / truth.sum())
        found.append(mask.sum() / truth.sum() - 1)
    assert metrics["dice"] == pytest.approx(np.mean(dice))
    assert metrics["recall/object"] == pytest.approx(np.mean(recall))
    assert metrics["volume_error/object"] == pytest.approx(np.mean(found))
    assert metrics["lesion_recall/object"] == 1
    assert metrics["temperature"] > 0
    for word in ("cases      2 of", "HD95 px", "NSD 1px", "with temperature", "masks ", "eval_test_"):
        assert word in text


def test_more_processes_or_none_change_nothing(evaluated) -> None:
    folder, run_id, metrics, _ = evaluated
    quiet = Console(file=io.StringIO())
    for workers in (0, 2):
        request = EvaluationRequest(run=run_id, save_masks=True, out=str(folder / f"out{workers}"), workers=workers)
        again = evaluate(request, directory=folder / "mlruns", console=quiet)
        assert again == pytest.approx(metrics, nan_ok=True)
        tables = [pd.read_parquet(folder / name / "scores" / "cases.parquet") for name in ("out", f"out{workers}")]
        pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in tables))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "one model is scored"),
        (["run=a", "bundle=b"], "one model is scored"),
        (["rum=a"], "did you mean 'run'"),
        (["somewhere"], "not a setting"),
        (["run=a", "split=tset"], "did you mean 'test'"),
        (["run=a", "save_masks=2"], "true or false"),
        (["run=a", "tolerance_mm=-1"], "greater than or equal to 0"),
        (["run=a", "tolerance_mm=x"], "a number"),
        (["run=a", "workers=1.5"], "whole number"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluationRequest(**asdict(read_words(words)))


def test_words_make_a_request() -> None:
    words = ["run=123e4", "split=val", "data=nifti", "data.root=x", "save_masks=true", "tolerance_mm=2", "workers=0"]
    assert EvaluationRequest(**asdict(read_words(words))) == EvaluationRequest(
        run="123e4", split="val", data=("data=nifti", "data.root=x"), save_masks=True, tolerance_mm=2, workers=0
    )


@pytest.mark.slow
def test_the_command(made) -> None:
    folder, run_id = made
    script = str(ROOT / "scripts" / "evaluate.py")
    done = subprocess.run(
        [sys.executable, script, f"run={run_id}", "split=val", "workers=1"],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mean of foreground" in done.stdout
    assert (folder / "mlruns" / "evaluations" / run_id / "val" / "scores" / "cases.csv").is_file()
    assert not math.isnan(run_of(folder, run_id).data.metrics["eval_val_dice"])
    wrong = subprocess.run([sys.executable, script, "run=none"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert re.match(r"(… .*\n)*error: no run of this id", wrong.stderr)
    assert "Traceback" not in wrong.stderr
