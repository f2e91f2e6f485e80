"""Truth that comes later: of pictures and volumes, and never of values that mean something else."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image
from test_monitor import monitor
from volumes import AFFINE, SHAPE, save
from watched_rows import answered, written

from seglab.data.labels.true_values import true_ids
from seglab.errors import DataError
from seglab.monitoring.database import opened
from seglab.monitoring.truth import true_quality
from seglab.serving.truth_scoring import _truth
from seglab.task import Task

DESCRIPTION = {"class_names": ["ground", "organ"], "values": [0, 1], "scored": [1], "reference": {}, "quality": {}}


def rows_of(tmp_path: Path, count: int, rank: int) -> str:
    """Answers r0, r1, … whose image is kept under the digest 000…0, 000…1, …"""
    place = written(tmp_path / "rows.db", [answered(number) for number in range(count)])
    database = opened(place, write=True)
    database.write([("UPDATE models SET description = :text", [{"text": json.dumps({**DESCRIPTION, "rank": rank})}])])
    database.close()
    return place


def picture(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(file)


def name_of(number: int) -> str:
    return f"{number:064x}"[:32]


def test_a_volume_meets_its_truth_in_whatever_orientation(tmp_path: Path) -> None:
    """The truth is saved from left to right, the answer as the image lies; 6 of 8 voxels are right."""
    place, kept = rows_of(tmp_path, 1, 3), tmp_path / "kept"
    answer, truth = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    answer[1, :4, :2] = 1
    truth[1, :3, :2] = truth[3, 0, :2] = 1
    save(kept / "images" / f"{name_of(0)}.nii.gz", np.zeros(SHAPE, np.int16))
    save(kept / "predicted" / f"{name_of(0)}.nii.gz", answer)
    turned = nib.Nifti1Image(truth, AFFINE).as_reoriented([[0, -1], [2, 1], [1, 1]])
    (tmp_path / "truth" / "masks").mkdir(parents=True)
    nib.save(turned, tmp_path / "truth" / "masks" / "r0.nii.gz")
    found = true_quality(place, tmp_path / "truth", kept)
    assert found.cases[0].real == pytest.approx(2 * 6 / (8 + 8))
    assert (found.unmatched, found.ignored) == (0, 0)


def test_a_volume_that_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    place, kept = rows_of(tmp_path, 1, 3), tmp_path / "kept"
    for part in ("images", "predicted"):
        save(kept / part / f"{name_of(0)}.nii.gz", np.ones(SHAPE, np.uint8))
    moved = AFFINE.copy()
    moved[0, 3] = 40
    save(tmp_path / "truth" / "masks" / "r0.nii.gz", np.ones(SHAPE, np.uint8), moved)
    with pytest.raises(DataError) as caught:
        true_quality(place, tmp_path / "truth", kept)
    assert caught.value.code == "mask-lies-elsewhere"


def judged(tmp_path: Path, *truths: np.ndarray) -> tuple[str, Path, Path]:
    place, kept, folder = rows_of(tmp_path, len(truths), 2), tmp_path / "kept", tmp_path / "truth"
    for number, truth in enumerate(truths):
        answer = np.zeros(truth.shape)
        answer[:2] = 1
        picture(kept / "images" / f"{name_of(number)}.png", np.zeros(truth.shape))
        picture(kept / "predicted" / f"{name_of(number)}.png", answer)
        picture(folder / "masks" / f"r{number}.png", truth)
    return place, folder, kept


WHITE = np.where(np.arange(16).reshape(4, 4) < 8, 255, 0)


def test_black_and_white_where_0_and_1_are_meant_is_refused(tmp_path: Path) -> None:
    place, folder, kept = judged(tmp_path, WHITE, WHITE)
    with pytest.raises(DataError) as caught:
        true_quality(place, folder, kept)
    assert caught.value.code == "truth-values"
    assert "255, and no scored class in any of 2 masks" in str(caught.value)
    assert "1 in place of 255" in str(caught.value)


def test_a_value_of_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        true_quality(*judged(tmp_path, np.where(WHITE, 7, 0)))
    assert (caught.value.code, caught.value.found) == ("truth-values", "7")
    assert "0 ground, 1 organ" in caught.value.expected


def test_what_nobody_knows_is_ignored_and_reported(tmp_path: Path) -> None:
    """One mask with two rows of 1, of which a pixel is 255; one that holds 255 alone beside background."""
    known = np.where(WHITE, 1, 0)
    known[0, 0] = 255
    place, folder, kept = judged(tmp_path, known, np.where(np.arange(16).reshape(4, 4) < 4, 255, 0))
    found = true_quality(place, folder, kept)
    assert {one.request: one.real for one in found.cases} == {"r0": 1.0, "r1": 0.0}
    assert found.ignored == pytest.approx(5 / 32)
    assert found.nothing_else == 1
    done = monitor(f"rows={place}", f"truth={folder}", f"kept={kept}", "page=")
    assert done.returncode == 0, done.stderr
    assert "255 is no class here: 15.6% of the true pixels are ignored; 1 masks hold nothing else" in done.stdout


def test_a_truth_that_was_saved_as_floats_is_rounded(tmp_path: Path) -> None:
    ids = np.where(WHITE, 1, 0)
    place, folder, kept = judged(tmp_path, ids)
    (folder / "masks" / "r0.png").unlink()
    tifffile.imwrite(folder / "masks" / "r0.tif", (ids * 0.9999999).astype(np.float32))
    found = true_quality(place, folder, kept)
    assert (found.cases[0].real, found.ignored) == (1.0, 0.0)


def test_what_a_canary_takes_for_its_truth(tmp_path: Path) -> None:
    """Of floats nearly whole nothing counted, of a label with a channel for each class the first one did."""
    task = Task(2, 1, ("ground", "organ"))
    ids = np.where(WHITE, 1, 0)
    assert true_ids(ids * 0.9999999, (0, 1), task.class_names, 255, "a.tif").tolist() == ids.tolist()
    known = np.where(np.arange(16).reshape(4, 4) < 4, 255, ids)
    assert (true_ids(known, (0, 1), task.class_names, 255, "a.tif") == 255).sum() == 4
    with pytest.raises(DataError, match="0 ground, 1 organ") as caught:
        true_ids(np.where(WHITE, 128, 0), (0, 1), task.class_names, 255, "a.tif")
    assert (caught.value.code, caught.value.found) == ("truth-values", "128")
    image = save(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.int16))
    flags = save(tmp_path / "flags.nii.gz", np.stack([np.ones(SHAPE), np.zeros(SHAPE)], -1).astype(np.uint8))
    model: Any = SimpleNamespace(bundle=SimpleNamespace(task=Task(3, 1, task.class_names)), served=None)
    with pytest.raises(DataError) as caught:
        _truth(flags, image, np.zeros(SHAPE), model)
    assert caught.value.code == "label-channels"
