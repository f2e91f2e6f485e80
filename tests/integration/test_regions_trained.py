"""Regions from the data to the score, as docs/regions.md says: trained, scored, predicted, exported, as one run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nested_regions import NESTED, WORDS, nested_folder
from PIL import Image

import seglab

pytestmark = pytest.mark.slow
SETTINGS = ("data.size=[32,32]", "data.resize_mode=pad", "model=unet_mini", "loss=combined", "precision=float32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("regions")
    root, before = nested_folder(folder / "nested", cases=20), Path.cwd()
    os.chdir(folder)
    try:
        run = seglab.train(*WORDS, f"data.root={root}", *SETTINGS, "trainer.epochs=25", "tracking.system_metrics=false")
    finally:
        os.chdir(before)
    return folder, run


def output_of(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "seglab", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read(folder: Path) -> dict[str, np.ndarray]:
    return {file.stem: np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))}


def test_the_scores_of_a_run_are_of_regions(trained) -> None:
    _, run = trained
    for region in NESTED:
        assert run.scores[f"test_dice/{region.name}"] > 0.75
        assert f"val_iou/{region.name}" in run.metrics
    assert run.scores["test_dice"] > 0.85
    assert not [name for name in run.scores if "label_" in name or "background" in name]


def test_what_is_scored_is_what_is_written(trained) -> None:
    """Counted anew from the files, with NumPy alone."""
    folder, run = trained
    found = seglab.evaluate(run, split="all", save_masks=True, out=folder / "scored", workers=0)
    masks, truth = read(folder / "scored" / "masks"), read(folder / "nested" / "masks")
    assert len(masks) == 20
    for region in NESTED:
        dice = []
        for name, mask in masks.items():
            a, b = np.isin(truth[name], region.classes), np.isin(mask, region.classes)
            if a.any() or b.any():
                dice.append(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert found[f"dice/{region.name}"] == pytest.approx(np.mean(dice))
    cases = pd.read_csv(folder / "scored" / "scores" / "cases.csv")
    assert cases["true/enhancing"].eq(0).sum() == 7  # every third case has none, and none of it is made up
    assert np.isfinite(found["nsd_1px/core"])
    assert 0 <= found["ece"] < 0.5
    output_of(folder, "predict", str(run.id), "nested/images", "out=predicted")
    for name, mask in read(folder / "predicted").items():
        np.testing.assert_array_equal(mask, masks[name])


def test_an_exported_model_is_proved_and_paints_the_same_masks(trained) -> None:
    folder, run = trained
    output_of(folder, "export", f"run={run.id}", "out=dist", "format=[openvino]")
    assert "logits of the example" in output_of(folder, "verify", "dist")
    (target,) = (path for path in (folder / "dist").iterdir() if (path / "manifest.json").is_file())
    assert "mask[" in (target / "README.md").read_text()
    output_of(
        folder, "export", f"run={run.id}", "out=whole", "format=[openvino]", "graph=end_to_end", "image_size=[32,32]"
    )
    output_of(folder, "predict", str(target), "nested/images", "out=of_export")
    mine = read(folder / "of_export")
    own = seglab.load(run.bundle)
    for name, mask in mine.items():
        image = np.asarray(Image.open(folder / "nested" / "images" / f"{name}.png"))[..., None]
        assert (own.predict(image) == mask).mean() > 0.999


def test_a_loss_of_exclusive_classes_is_refused_without_a_run(trained) -> None:
    folder, _ = trained
    command = [
        sys.executable,
        "-m",
        "seglab",
        "train",
        *WORDS,
        "data.root=nested",
        *SETTINGS,
        "loss=balanced_cross_entropy",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode
    assert "region-loss" in done.stderr
    assert "loading TensorFlow" not in done.stderr
