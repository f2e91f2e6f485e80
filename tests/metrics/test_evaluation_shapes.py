"""Distances and lesions of several classes in one case, and what is made of many cases."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from seglab.evaluation.aggregate import shape_summary, shape_table
from seglab.evaluation.case_scores import score_case
from seglab.metrics.confusion import confusion_matrix
from seglab.metrics.shape_scores import distance_names, score_shapes, surface_dice_name
from seglab.task import Task

THREE = Task(rank=2, channels=1, class_names=("background", "a", "b"))
NAN = math.nan


def row(truth: object, prediction: object, task: Task = THREE, tolerance: float = 1.0) -> dict[str, float]:
    true, predicted = np.array(truth), np.array(prediction)
    counts = score_case(confusion_matrix(true, predicted, task), task)
    return {"id": "c", **counts, **score_shapes(true, predicted, (1.0,) * task.rank, task, tolerance)}


def test_the_tolerance_and_the_unit_are_in_the_name() -> None:
    volume = Task(rank=3, channels=1, class_names=("background", "organ"))
    assert surface_dice_name(volume, 1.0) == "nsd_1mm"
    assert surface_dice_name(volume, 2.5) == "nsd_2.5mm"
    assert surface_dice_name(THREE, 3) == "nsd_3px"


def test_each_scored_class_by_hand() -> None:
    # a is one pixel, found two columns further: every distance is 2. b is right.
    scores = row([[1, 0, 0, 0], [0, 0, 0, 2]], [[0, 0, 1, 0], [0, 0, 0, 2]])
    assert scores["hd95_nonempty/a"] == scores["assd_nonempty/a"] == 2
    assert (scores["hd95_nonempty/b"], scores["nsd_1px/b"]) == (0, 1)
    assert scores["hd95_nonempty"] == 1
    assert scores["lesion_recall/a"] == scores["lesion_precision/a"] == 0
    assert scores["lesion_recall/b"] == scores["lesion_precision/b"] == 1
    assert scores["lesions_true/a"] == scores["lesions_predicted/a"] == 1
    assert not [name for name in scores if name.startswith(("hd95", "lesion")) and name.endswith("/background")]


def test_what_is_not_there_has_one_rule_for_each_score() -> None:
    nothing = row([[1, 0]], [[1, 0]])
    missed = row([[1, 2]], [[1, 0]])
    made_up = row([[1, 0]], [[1, 2]])
    for scores, nsd, recall, precision in ((nothing, NAN, NAN, NAN), (missed, 0, 0, NAN), (made_up, 0, NAN, 0)):
        names = ("hd95_nonempty/b", "assd_nonempty/b", "nsd_1px/b", "lesion_recall/b", "lesion_precision/b")
        np.testing.assert_equal([scores[name] for name in names], [NAN, NAN, nsd, recall, precision])
    assert nothing["nsd_1px"] == 1
    assert missed["nsd_1px"] == 0.5


def test_ignored_pixels_are_of_no_class() -> None:
    # What is predicted where nobody knows the truth is neither a lesion nor far away.
    scores = row([[1, 0, 0, 255, 255]], [[1, 0, 0, 0, 1]])
    assert scores["hd95_nonempty/a"] == 0
    assert scores["lesions_predicted/a"] == 1


def test_what_is_ignored_cuts_no_surface_and_no_lesion() -> None:
    # One bar of a, found as it is; two pixels in its middle are ignored, and so is what the prediction says there.
    truth = np.zeros((5, 12), int)
    truth[2, 1:11] = 1
    prediction = truth.copy()
    truth[:, 5:7] = 255
    prediction[2, 5:7] = (0, 2)
    scores = row(truth, prediction)
    assert scores["hd95_nonempty/a"] == scores["assd_nonempty/a"] == 0
    assert scores["nsd_1px/a"] == 1
    assert scores["lesions_true/a"] == scores["lesions_predicted/a"] == scores["lesions_found/a"] == 1
    assert scores["lesions_predicted/b"] == 0
    # One side alone found: the one lesion is found.
    prediction[2, 7:] = 0
    scores = row(truth, prediction)
    assert (scores["lesion_recall/a"], scores["lesion_precision/a"]) == (1, 1)


def test_no_class_is_taken_for_background_when_all_are_scored() -> None:
    task = Task(rank=2, channels=1, class_names=("road", "car", "void"), unscored=(2,))
    scores = row([[0, 0, 1, 2]], [[0, 1, 1, 2]], task)
    assert "hd95_nonempty/road" in scores
    assert "hd95_nonempty/void" not in scores


def test_summary_by_hand() -> None:
    cases = pd.DataFrame(
        [
            row([[1, 0, 0, 1, 0, 0]], [[1, 0, 0, 0, 0, 1]]),  # a: 1 of 2 lesions found, 1 of 2 right
            row([[1, 1, 0, 0]], [[1, 0, 0, 0]]),  # a: found; half of it missed
            row([[1, 0, 0, 0]], [[0, 0, 0, 0]]),  # a: missed
        ]
    )
    metrics = shape_summary(cases, THREE, 1.0)
    assert metrics["lesion_recall/a"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert metrics["lesion_recall_dataset/a"] == pytest.approx(2 / 4)
    assert metrics["lesion_precision/a"] == pytest.approx((0.5 + 1) / 2)
    assert metrics["lesion_precision_dataset/a"] == pytest.approx(2 / 3)
    assert metrics["volume_error/a"] == pytest.approx((0 - 0.5 - 1) / 3)
    assert metrics["volume_error_abs/a"] == pytest.approx(1.5 / 3)
    assert metrics["one_empty/a"] == 1
    assert metrics["one_empty/b"] == 0
    assert metrics["hd95_nonempty/a"] == pytest.approx(cases["hd95_nonempty/a"][:2].mean())
    assert metrics["nsd_1px/a"] == pytest.approx(cases["nsd_1px/a"].mean())
    assert math.isnan(metrics["nsd_1px/b"])
    assert math.isnan(metrics["lesion_recall_dataset/b"])
    assert set(distance_names(THREE, 1.0)) <= set(metrics)


def test_the_table_names_unit_and_tolerance() -> None:
    case = row([[1, 0, 0, 0], [2, 0, 0, 0]], [[0, 0, 1, 0], [0, 0, 0, 0]], tolerance=2.0)
    console = Console(width=120, file=io.StringIO())
    console.print(shape_table(pd.DataFrame([case]), THREE, 2.0))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    for word in ("HD95 px", "ASSD px", "NSD 2px", "volume error", "lesions found", "one empty"):
        assert word in text
    assert lines["a"] == ["a", "2.000", "2.000", "1.000", "0.000", "0.000", "0.000", "0"]
    assert lines["b"] == ["b", "–", "–", "0.000", "-1.000", "0.000", "–", "1"]
