"""Per-case scores, what is made of them, and the rules for what is not there."""

from __future__ import annotations

import io
import math
import weakref
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rich.console import Console
from scipy import stats

from seglab.data.cases import Case, Sample
from seglab.errors import DataError
from seglab.evaluation.aggregate import aggregate, case_intervals, score_table, unlike_scores
from seglab.evaluation.case_scores import score_case
from seglab.evaluation.scoring import score_cases
from seglab.metrics.confusion import confusion_matrix
from seglab.task import Task
from seglab.viz.examples import pick_cases

BINARY = Task(rank=2, channels=1, class_names=("background", "object"))
THREE = Task(rank=2, channels=1, class_names=("background", "a", "b"))
NAN = math.nan


class Cases:
    """A source of given truths; the image of a case is the mask that the predictor is to give."""

    name, split = "given", None

    def __init__(self, task: Task, pairs: Sequence[tuple[object, object]]):
        self.task = task
        self._pairs = {f"case{i}": pair for i, pair in enumerate(pairs)}
        self.cases = [Case(case_id, (), None, f"group of {case_id}") for case_id in self._pairs]
        self.held: list[weakref.ref] = []

    def read(self, case: Case) -> Sample:
        truth, prediction = self._pairs[case.id]
        sample = Sample(np.array(prediction)[..., None], None if truth is None else np.array(truth), (1.0, 1.0))
        assert not [ref for ref in self.held if ref() is not None], "an earlier case is still in memory"
        self.held = [weakref.ref(sample.image)]
        return sample

    read_image = read

    def describe_files(self, case: Case) -> str:
        return f"files of {case.id}"

    def digest(self) -> str:
        return ""


class Copying:
    """Predicts the image itself."""

    def __init__(self, task: Task):
        self.task = task

    def predict(self, image: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        return image[..., 0].copy()


def evaluate(task: Task, *pairs: tuple[object, object]):  # type: ignore[no-untyped-def]
    source = Cases(task, pairs)
    return score_cases(Copying(task), source, source.cases)  # type: ignore[arg-type]


def test_one_case_by_hand() -> None:
    # truth 0 1   prediction 1 1   object: TP 1, FP 1, FN 1: Dice 2/4, IoU 1/3, precision 1/2, recall 1/2.
    #       1 0              0 0   background: TP 1, FP 1, FN 1: the same.
    cases, confusion, *_ = evaluate(BINARY, ([[0, 1], [1, 0]], [[1, 1], [0, 0]]))
    row = cases.iloc[0]
    assert (row["id"], row["group"]) == ("case0", "group of case0")
    for name in BINARY.class_names:
        assert row[f"dice/{name}"] == 0.5
        assert row[f"iou/{name}"] == pytest.approx(1 / 3)
        assert row[f"precision/{name}"] == row[f"recall/{name}"] == 0.5
        assert row[f"true/{name}"] == row[f"predicted/{name}"] == 2
    assert (row["dice"], row["iou"]) == (0.5, pytest.approx(1 / 3))
    assert row["seconds"] >= 0
    assert confusion.tolist() == [[1, 1], [1, 1]]


def test_precision_and_recall_are_not_swapped() -> None:
    # One object pixel, found, and two more that are none: precision 1/3, recall 1.
    row = evaluate(BINARY, ([[1, 0, 0, 0]], [[1, 1, 1, 0]])).cases.iloc[0]
    assert (row["precision/object"], row["recall/object"]) == (pytest.approx(1 / 3), 1.0)
    assert (row["true/object"], row["predicted/object"]) == (1, 3)


@pytest.mark.parametrize(
    ("truth", "prediction", "dice", "precision", "recall"),
    [
        ([[0, 1, 1]], [[0, 1, 1]], 1.0, 1.0, 1.0),  # perfect
        ([[0, 1, 1]], [[1, 0, 0]], 0.0, 0.0, 0.0),  # disjoint
        ([[0, 1, 1]], [[0, 0, 0]], 0.0, NAN, 0.0),  # nothing predicted
        ([[0, 0, 0]], [[0, 1, 1]], 0.0, 0.0, NAN),  # nothing there
        ([[0, 0, 0]], [[0, 0, 0]], NAN, NAN, NAN),  # nothing there and nothing predicted
        ([[255, 1, 1]], [[1, 1, 1]], 1.0, 1.0, 1.0),  # the wrong pixel is not scored
        ([[255, 255, 255]], [[1, 1, 0]], NAN, NAN, NAN),  # nothing is scored
    ],
)
def test_the_rule_for_empty_sets(truth: list, prediction: list, dice: float, precision: float, recall: float) -> None:
    row = evaluate(BINARY, (truth, prediction)).cases.iloc[0]
    for column, expected in (
        ("dice", dice),
        ("dice/object", dice),
        ("precision/object", precision),
        ("recall/object", recall),
    ):
        np.testing.assert_equal(row[column], expected)


def test_an_absent_class_is_left_out_of_the_mean() -> None:
    # b is nowhere: the mean is a's 2·1 / (2·1 + 1) = 2/3. Predicted where it is not, it counts as 0.
    absent, wrong = evaluate(THREE, ([[1, 1, 0]], [[1, 0, 0]]), ([[1, 1, 0]], [[1, 0, 2]])).cases.to_dict("records")
    assert math.isnan(absent["dice/b"])
    assert absent["dice"] == pytest.approx(2 / 3)
    assert wrong["dice/b"] == 0
    assert wrong["dice"] == pytest.approx(1 / 3)


masks = hnp.arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 255]))
predictions = hnp.arrays(np.uint8, (4, 5), elements=st.integers(0, 2))


@settings(max_examples=60)
@given(masks, predictions)
def test_against_counting_pixel_by_pixel(truth: np.ndarray, prediction: np.ndarray) -> None:
    scores = score_case(confusion_matrix(truth, prediction, THREE), THREE)
    pairs = [(int(t), int(p)) for t, p in zip(truth.ravel(), prediction.ravel(), strict=True) if t != 255]
    dices = []
    for k, name in enumerate(THREE.class_names):
        tp = sum(t == k == p for t, p in pairs)
        fp = sum(t != k == p for t, p in pairs)
        fn = sum(t == k != p for t, p in pairs)
        expected = {
            "dice": (2 * tp, 2 * tp + fp + fn),
            "iou": (tp, tp + fp + fn),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
        }
        for score, (above, below) in expected.items():
            np.testing.assert_allclose(scores[f"{score}/{name}"], above / below if below else NAN)
        assert (scores[f"true/{name}"], scores[f"predicted/{name}"]) == (tp + fn, tp + fp)
        if k and expected["dice"][1]:
            dices.append(expected["dice"][0] / expected["dice"][1])
    np.testing.assert_allclose(scores["dice"], sum(dices) / len(dices) if dices else NAN)


def test_progress_is_reported_and_one_case_is_held_at_a_time() -> None:
    source = Cases(BINARY, [([[0, 1]], [[0, 1]])] * 3)
    reported: list[tuple[int, int]] = []
    score_cases(Copying(BINARY), source, source.cases, progress=lambda *now: reported.append(now))  # type: ignore[arg-type]
    assert reported == [(1, 3), (2, 3), (3, 3)]


def test_refuses_a_case_without_a_label_and_other_classes() -> None:
    with pytest.raises(DataError, match="files of case0"):
        evaluate(BINARY, (None, [[0, 1]]))
    source = Cases(THREE, [([[0, 1]], [[0, 1]])])
    with pytest.raises(DataError, match="another task"):
        score_cases(Copying(BINARY), source, source.cases)  # type: ignore[arg-type]


def test_two_cases_by_hand() -> None:
    # Case 0: object TP 1, FP 1, FN 0: Dice 2/3, IoU 1/2. Case 1: TP 4, FP 0, FN 2: Dice 8/10, IoU 4/6.
    # Case 2 has no object and finds none. Mean Dice (2/3 + 4/5) / 2 = 11/15; IoU (1/2 + 2/3) / 2 = 7/12.
    # All pixels: TP 5, FP 1, FN 2: Dice 10/13, IoU 5/8.
    # Background: TP 2, FP 0, FN 1: 4/5; TP 0, FP 2, FN 0: 0; TP 3: 1. Mean (4/5 + 0 + 1) / 3 = 3/5.
    cases, confusion, *_ = evaluate(
        BINARY,
        ([[1, 0, 0, 0]], [[1, 1, 0, 0]]),
        ([[1, 1, 1, 1, 1, 1]], [[1, 1, 1, 1, 0, 0]]),
        ([[0, 0, 0]], [[0, 0, 0]]),
    )
    metrics = aggregate(cases, confusion, BINARY)
    expected = {
        "test_dice": 11 / 15,
        "test_iou": 7 / 12,
        "test_dice_dataset": 10 / 13,
        "test_iou_dataset": 5 / 8,
        "test_dice/object": 11 / 15,
        "test_iou/object": 7 / 12,
        "test_dice/background": 3 / 5,
        "test_iou_frequency_weighted": 5 / 8,
        "test_cases": 3,
        "test_cases_undefined": 1,
    }
    assert {key: metrics[key] for key in expected} == pytest.approx(expected)
    # two cases, 2/3 and 4/5: one degree of freedom, so no more is known than that a Dice is from 0 to 1
    assert metrics["test_dice_ci_low"] == 0
    assert metrics["test_dice_ci_high"] == 1
    assert set(metrics) == {*expected, "test_dice_ci_low", "test_dice_ci_high", "test_iou/background"}
    assert all(isinstance(value, float) for value in metrics.values())


def test_the_volume_error_by_hand() -> None:
    # 2 pixels, of which 1 is found, and 2 made up: 3 / 2 - 1. Everything missed: -1. Nothing there: undefined.
    cases = evaluate(
        BINARY, ([[1, 1, 0, 0]], [[1, 0, 1, 1]]), ([[1, 1]], [[0, 0]]), ([[0, 0]], [[0, 1]]), ([[1, 0]], [[0, 1]])
    ).cases
    np.testing.assert_equal(cases["volume_error/object"].tolist(), [0.5, -1, NAN, 0])


def test_iou_with_void() -> None:
    # Void is a class of its own that the means leave out; under its own name it counts as one more.
    task = Task(rank=2, channels=1, class_names=("road", "car", "void"), unscored=(2,))
    # Case 0: road TP 1 FN 1: 1/2; car TP 1 FP 1: 1/2; void 1. Case 1: road 1; void never right, 0; car FP, 0.
    cases, confusion, *_ = evaluate(task, ([[0, 0, 1, 2]], [[0, 1, 1, 2]]), ([[0, 0, 2, 2]], [[0, 0, 1, 1]]))
    metrics = aggregate(cases, confusion, task)
    assert metrics["test_iou"] == pytest.approx((1 / 2 + (1 + 0) / 2) / 2)
    assert metrics["test_iou_with_void"] == pytest.approx(((1 / 2 + 1 / 2 + 1) / 3 + (1 + 0 + 0) / 3) / 2)
    # Together: road 3/4, car 1/4 (TP 1, FP 3), void 1/3. Road has 4 true pixels, car 1.
    assert metrics["test_iou_dataset"] == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert metrics["test_iou_dataset_with_void"] == pytest.approx((3 / 4 + 1 / 4 + 1 / 3) / 3)
    assert metrics["test_iou_frequency_weighted"] == pytest.approx((4 * 3 / 4 + 1 * 1 / 4) / 5)
    assert metrics["test_dice_dataset_with_void"] == pytest.approx((6 / 7 + 2 / 5 + 1 / 2) / 3)
    background = Task(rank=2, channels=1, class_names=("background", "car"))
    cases, confusion, *_ = evaluate(background, ([[0, 1]], [[0, 1]]))
    assert not [name for name in aggregate(cases, confusion, background) if "_with_" in name]


def test_nothing_defined_is_nan_and_not_an_error() -> None:
    cases, confusion, *_ = evaluate(BINARY, ([[0, 0]], [[0, 0]]))
    metrics = aggregate(cases, confusion, BINARY)
    assert math.isnan(metrics["test_dice"])
    assert math.isnan(metrics["test_dice_dataset"])
    assert math.isnan(metrics["test_dice_ci_low"])
    assert metrics["test_dice/background"] == 1
    assert pick_cases(cases) == {}


def test_interval_by_hand() -> None:
    # 0.5, 0.6, 0.7: mean 0.6, deviation 0.1; t of two degrees of freedom 4.3027; 0.6 ± 4.3027 · 0.1 / √3
    np.testing.assert_allclose(case_intervals(np.array([[0.5], [0.6], [0.7]])), [[0.3516, 0.8484]], atol=1e-4)
    # of two cases the mean may lie anywhere that a mean of Dice can lie
    np.testing.assert_array_equal(case_intervals(np.array([[0.0], [1.0]])), [[0, 1]])
    # The same number everywhere has no spread; one case has no interval.
    np.testing.assert_allclose(case_intervals(np.full((5, 1), 0.3)), [[0.3, 0.3]])
    assert np.isnan(case_intervals(np.array([[0.3]]))).all()
    assert np.isnan(case_intervals(np.array([[0.3], [NAN]]))).all()


def test_interval_of_scores_without_skewness_is_scipys() -> None:
    steps = np.random.default_rng(5).normal(0, 0.05, 8)
    values = 0.8 + np.concatenate([steps, -steps])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(case_intervals(values[:, None])[0], [expected.low, expected.high])


def test_interval_leaves_nan_out_and_treats_scores_alike() -> None:
    values = np.random.default_rng(5).random((30, 1))
    both = np.hstack([values, np.where(np.arange(30)[:, None] < 20, values, NAN)])
    wide, narrow = case_intervals(both)
    np.testing.assert_array_equal(wide, case_intervals(values)[0])
    kept = case_intervals(values[:20])[0]
    np.testing.assert_allclose(narrow, kept, atol=0.01)


def test_picking() -> None:
    def table(*dice: float) -> pd.DataFrame:
        return pd.DataFrame({"id": [f"c{i}" for i in range(len(dice))], "dice": dice})

    assert pick_cases(table(0.2, 0.9, NAN, 0.5, 0.7, 0.1)) == {"best": "c1", "median": "c3", "worst": "c5"}
    assert pick_cases(table(0.5, 0.5, 0.5)) == {"best": "c0", "median": "c1", "worst": "c2"}
    assert pick_cases(table(0.1, 0.9)) == {"best": "c1", "median": "c0"}
    assert pick_cases(table(0.1)) == {"best": "c0"}


def test_what_is_counted_has_its_name() -> None:
    fields = {rank: unlike_scores(Task(rank=rank, channels=1, class_names=("a", "b"))) for rank in (2, 3)}
    assert (fields[2].count("pixels"), fields[2].count("voxels")) == (2, 0)
    assert (fields[3].count("pixels"), fields[3].count("voxels")) == (0, 2)


def test_the_table_says_it_all() -> None:
    task = Task(rank=2, channels=1, class_names=("background", "cell [red]"))
    cases, confusion, *_ = evaluate(
        task, ([[1, 0, 0, 0]], [[1, 1, 0, 0]]), ([[1, 1, 1, 1, 1, 1]], [[1, 1, 1, 1, 0, 0]]), ([[0]], [[0]])
    )
    console = Console(width=80, file=io.StringIO())
    console.print(score_table(cases, confusion, task, title="UNet [run]"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = {line.split("  ")[0].strip(): line for line in text.splitlines()}
    assert "UNet [run]" in text
    assert "0.733 [0.000, 1.000]" in lines["cell [red]"]
    assert "0.583 [0.000, 1.000]" in lines["cell [red]"]
    assert lines["cell [red]"].split()[-1] == "7"
    assert "0.733 [0.000, 1.000]" in lines["mean of foreground"]
    assert "0.769" in lines["all pixels as one"]
    assert "0.625" in lines["all pixels as one"]
    assert "mean over 3 cases, [95% interval]; 1 without foreground left out" in text
