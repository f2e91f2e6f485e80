"""The benchmark's four scores: by hand, and equal to its own script on a tree of files with instances."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.data.labels.label_schema import built_in_schema
from seglab.errors import DataError
from seglab.metrics.cityscapes_scores import AVERAGE_SIZE, CityscapesScores, label_ids_of

LABELS = built_in_schema("cityscapes").labels
ROAD, SKY, PERSON, CAR, TRUCK, TRAILER = 7, 23, 24, 26, 27, 30


def test_one_picture_by_hand() -> None:
    # Two cars of 4 and 2 pixels; the small one is missed half, and a road pixel is called car.
    truth = np.array([[CAR, CAR, CAR, CAR, 0], [CAR, CAR, ROAD, ROAD, ROAD]])
    instances = np.array([[26001, 26001, 26001, 26001, 0], [26002, 26002, 7, 7, 7]])
    prediction = np.array([[CAR, CAR, CAR, CAR, CAR], [CAR, TRUCK, CAR, ROAD, ROAD]])
    scores = CityscapesScores(LABELS)
    scores.add(prediction, truth, instances)
    result = scores.result()
    # Car: TP 5, FN 1, FP 1 (the one on the unlabeled pixel does not count): 5/7. Road: TP 2, FN 1: 2/3. Truck: FP 1.
    assert result["cityscapes_iou_class/car"] == pytest.approx(5 / 7)
    assert result["cityscapes_iou_class/road"] == pytest.approx(2 / 3)
    assert result["cityscapes_iou_class/truck"] == 0
    assert math.isnan(result["cityscapes_iou_class/sky"])
    assert result["cityscapes_iou_class"] == pytest.approx((5 / 7 + 2 / 3 + 0) / 3)
    # iIoU car: weights s/4 and s/2 of a pixel: TP s + s/2, FN s/2, FP 1.
    size = AVERAGE_SIZE["car"]
    assert result["cityscapes_iiou_class/car"] == pytest.approx(1.5 * size / (2 * size + 1))
    # A truck is a vehicle as well: all 6 pixels right, one false.
    assert result["cityscapes_iou_category/vehicle"] == pytest.approx(6 / 7)
    assert result["cityscapes_iiou_category/vehicle"] == pytest.approx(2 * size / (2 * size + 1))
    assert "cityscapes_iiou_class/road" not in result
    assert "cityscapes_iou_category/void" not in result
    assert "cityscapes_iou_class/trailer" not in result


def test_what_is_predicted_where_nothing_is_known_changes_no_score() -> None:
    """Not on pixels of an ignored label, with instances (a trailer) or without."""
    rng = np.random.default_rng(0)
    truth = np.kron(rng.choice([0, 3, ROAD, SKY, PERSON, CAR, TRAILER], (6, 8)), np.ones((4, 4), int))
    instances = np.where(np.isin(truth, (PERSON, CAR, TRAILER)), truth * 1000 + 1, truth)
    results = []
    for filled in (ROAD, CAR, 0):
        prediction = np.random.default_rng(1).choice([ROAD, SKY, PERSON, CAR], truth.shape)
        prediction[np.isin(truth, (0, 3, TRAILER))] = filled
        scores = CityscapesScores(LABELS)
        scores.add(prediction, truth, instances)
        results.append(scores.result())
    np.testing.assert_equal(results[1:], results[:1] * 2)
    assert 0 < results[0]["cityscapes_iiou_class/car"] < 1


def test_classes_and_categories_stand_for_official_ids() -> None:
    assert label_ids_of(["road", "car", "void"], LABELS).tolist() == [ROAD, CAR, 0]
    assert label_ids_of(["flat", "human", "vehicle", "sky"], LABELS).tolist() == [ROAD, PERSON, CAR, SKY]
    with pytest.raises(DataError, match="did you mean 'road'"):
        label_ids_of(["rood"], LABELS)


def test_strange_ids_are_refused() -> None:
    with pytest.raises(DataError, match="labelIds"):
        CityscapesScores(LABELS).add(np.array([[7]]), np.array([[255]]))


def scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, instance ids and prediction of a made-up street."""
    truth = np.kron(rng.integers(0, 24, (size[0] // 8, size[1] // 8)), np.ones((8, 8), int))
    instances = truth.copy()
    for number in range(12):
        label = int(rng.integers(24, 34))
        row, column = rng.integers(0, size[0] - 12), rng.integers(0, size[1] - 12)
        place = np.s_[row : row + rng.integers(1, 12), column : column + rng.integers(1, 12)]
        truth[place] = label
        instances[place] = label if number % 4 == 0 else label * 1000 + number  # some are groups, without a number
    prediction = np.where(rng.random(size) < 0.7, truth, rng.integers(0, 34, size))
    return truth, instances, prediction


def test_equal_to_the_benchmarks_own_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYSCAPES_DATASET", str(tmp_path))
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # gone from NumPy, still called by the script
    name = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"
    script = pytest.importorskip(name, reason="pip install cityscapesscripts, to compare with it")
    rng = np.random.default_rng(3)
    scores = CityscapesScores(LABELS)
    predictions, truths = [], []
    for frame in range(4):
        truth, instances, prediction = scene(rng, (48, 96))
        scores.add(prediction, truth, instances)
        stem = f"aachen_000000_{frame:06d}"
        folder = tmp_path / "gtFine" / "val" / "aachen"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(truth.astype(np.uint8)).save(folder / f"{stem}_gtFine_labelIds.png")
        Image.fromarray(instances.astype(np.uint16)).save(folder / f"{stem}_gtFine_instanceIds.png")
        Image.fromarray(prediction.astype(np.uint8)).save(tmp_path / f"{stem}_pred.png")
        truths.append(str(folder / f"{stem}_gtFine_labelIds.png"))
        predictions.append(str(tmp_path / f"{stem}_pred.png"))
    monkeypatch.setattr(script.args, "quiet", True)
    monkeypatch.setattr(script.args, "JSONOutput", False)
    theirs = script.evaluateImgLists(predictions, truths, script.args)
    mine = scores.result()
    for mean, key in (
        ("averageScoreClasses", "cityscapes_iou_class"),
        ("averageScoreInstClasses", "cityscapes_iiou_class"),
        ("averageScoreCategories", "cityscapes_iou_category"),
        ("averageScoreInstCategories", "cityscapes_iiou_category"),
    ):
        assert mine[key] == pytest.approx(theirs[mean], abs=1e-9), key
    for each, key in (
        ("classScores", "cityscapes_iou_class"),
        ("classInstScores", "cityscapes_iiou_class"),
        ("categoryScores", "cityscapes_iou_category"),
        ("categoryInstScores", "cityscapes_iiou_category"),
    ):
        for label, expected in theirs[each].items():
            np.testing.assert_allclose(mine.get(f"{key}/{label}", math.nan), expected, atol=1e-9)
