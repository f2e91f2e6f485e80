"""Dice and IoU from one confusion matrix: by hand, against scikit-learn, streaming, and in the logs of `fit`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from seglab.metrics.confusion import confusion_matrix, dice_iou, macro
from seglab.metrics.keras_scores import SegmentationScores
from seglab.task import Task

BINARY = Task(rank=2, channels=1, class_names=("background", "cell"))
MULTI = Task(rank=2, channels=1, class_names=("background", "a", "b"))


def logits_of(labels: np.ndarray, task: Task) -> np.ndarray:
    """Logits whose labels are `labels`."""
    if task.binary:
        return np.where(labels == 1, 2.0, -2.0)[..., None].astype("float32")
    return np.eye(task.classes, dtype="float32")[labels]


def scores_of(metric: SegmentationScores) -> dict[str, float]:
    return {key: float(ops.convert_to_numpy(value)) for key, value in metric.result().items()}


def test_confusion_by_hand():
    # truth 0 1 / 2 255, prediction 0 2 / 2 1: 0 → 0, 1 → 2, 2 → 2; the last is ignored
    found = confusion_matrix([[0, 1], [2, 255]], [[0, 2], [2, 1]], MULTI)
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 1], [0, 0, 1]])
    assert found.dtype == np.int64


def test_scores_by_hand():
    # rows are the truth. Class 0: TP 4, FP 1, FN 3: Dice 8/12, IoU 4/8. Class 1: TP 2, FP 3, FN 1: 4/8, 2/6.
    dice, iou = dice_iou([[4, 3], [1, 2]])
    np.testing.assert_allclose(dice, [8 / 12, 4 / 8])
    np.testing.assert_allclose(iou, [4 / 8, 2 / 6])
    binary, road = Task(2, 1, ("background", "cell")), Task(2, 1, ("road", "car"), unscored=())
    assert macro(dice, binary) == pytest.approx(4 / 8)
    assert macro(dice, road) == pytest.approx((8 / 12 + 4 / 8) / 2)  # without a background every class counts


# truth, prediction, Dice and IoU of each class of MULTI, macro Dice, macro IoU
NAN = float("nan")
PICTURES = {
    "perfect": ([[0, 1], [2, 2]], [[0, 1], [2, 2]], [1, 1, 1], [1, 1, 1], 1, 1),
    "disjoint": ([[1, 1], [0, 0]], [[0, 0], [1, 1]], [0, 0, NAN], [0, 0, NAN], 0, 0),
    # class 1 has TP 1, FN 1: Dice 2/3, IoU 1/2; class 0 TP 2, FP 1: 4/5, 2/3
    "half": ([[1, 1], [0, 0]], [[1, 0], [0, 0]], [4 / 5, 2 / 3, NAN], [2 / 3, 1 / 2, NAN], 2 / 3, 1 / 2),
    "empty, found empty": ([[0, 0], [0, 0]], [[0, 0], [0, 0]], [1, NAN, NAN], [1, NAN, NAN], NAN, NAN),
    "empty, found full": ([[0, 0], [0, 0]], [[2, 2], [2, 2]], [0, NAN, 0], [0, NAN, 0], 0, 0),
    "one pixel missed": ([[0, 0], [0, 1]], [[0, 0], [0, 0]], [6 / 7, 0, NAN], [3 / 4, 0, NAN], 0, 0),
    "all ignored": ([[255, 255], [255, 255]], [[0, 1], [2, 2]], [NAN] * 3, [NAN] * 3, NAN, NAN),
    # class 1 perfect, class 2 wholly missed
    "mixed": ([[1, 2], [0, 255]], [[1, 0], [0, 1]], [2 / 3, 1, 0], [1 / 2, 1, 0], 1 / 2, 1 / 2),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_by_hand(name):
    truth, prediction, dice, iou, mean_dice, mean_iou = PICTURES[name]
    found_dice, found_iou = dice_iou(confusion_matrix(truth, prediction, MULTI))
    np.testing.assert_allclose(found_dice, dice)
    np.testing.assert_allclose(found_iou, iou)
    np.testing.assert_allclose([macro(found_dice, MULTI), macro(found_iou, MULTI)], [mean_dice, mean_iou])
    metric = SegmentationScores(MULTI)
    metric.update_state(np.array([truth]), logits_of(np.array([prediction]), MULTI))
    # While training, a class that the truth does not hold has no score, whatever is taken for it.
    there = [(np.array(truth) == c).any() for c in range(3)]
    scored = any(there[1:])
    expected = {"dice": mean_dice if scored else NAN, "iou": mean_iou if scored else NAN}
    for c, class_name in enumerate(MULTI.class_names):
        expected |= {f"dice/{class_name}": dice[c] if there[c] else NAN}
        expected |= {f"iou/{class_name}": iou[c] if there[c] else NAN}
    found = scores_of(metric)
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[key] for key in expected], list(expected.values()), rtol=1e-6)


def test_one_pixel_taken_for_an_absent_class_does_not_halve_the_mean():
    # Class 1: TP 3, no error but one background pixel taken for class 2: Dice 1. The mean over 1 and 2 would be 1/2.
    truth, prediction = np.array([[[1, 1], [1, 0]]]), np.array([[[1, 1], [1, 2]]])
    metric = SegmentationScores(MULTI)
    metric.update_state(truth, logits_of(prediction, MULTI))
    found = scores_of(metric)
    assert found["dice"] == found["dice/a"] == found["iou"] == 1.0
    assert np.isnan(found["dice/b"])
    # Over a whole pass: the second batch holds class 2, so its error in the first counts. TP 1, FP 1: 2/3.
    metric.update_state(np.array([[[2, 0], [0, 0]]]), logits_of(np.array([[[2, 0], [0, 0]]]), MULTI))
    assert scores_of(metric)["dice/b"] == pytest.approx(2 / 3)
    assert scores_of(metric)["dice"] == pytest.approx((1 + 2 / 3) / 2)


def test_half_of_the_probability_is_background_and_ties_go_to_the_lower_class():
    metric = SegmentationScores(BINARY)
    metric.update_state(np.array([[[1, 1]]]), np.array([[[[0.0], [0.01]]]], "float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(metric.confusion), [[0, 0], [1, 1]])
    metric = SegmentationScores(MULTI)
    metric.update_state(np.array([[[2, 2]]]), np.array([[[[1.0, 3.0, 3.0], [0.0, 1.0, 2.0]]]], "float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(metric.confusion), [[0, 0, 0], [0, 0, 0], [0, 1, 1]])


@st.composite
def labelled(draw):
    classes = draw(st.integers(2, 5))
    size = draw(st.sampled_from([(3, 4), (1, 1), (2, 3, 2)]))
    unscored = draw(st.sampled_from([(0,), (), (1,)]))
    names = tuple("abcde"[:classes])
    task = Task(len(size), 1, names, ignore_label=draw(st.sampled_from([255, 1])), unscored=unscored)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth, prediction = (rng.integers(0, draw(st.integers(1, classes)), (4, *size)) for _ in range(2))
    truth[rng.random(truth.shape) < draw(st.sampled_from([0.0, 0.4]))] = task.ignore_label
    return task, truth.astype("int32"), prediction


@settings(max_examples=40, deadline=None)
@given(labelled())
def test_agrees_with_scikit_learn(problem):
    task, truth, prediction = problem
    found = confusion_matrix(truth, prediction, task)
    np.testing.assert_array_equal(found, confusion_matrix(truth.astype(np.uint8), prediction.astype(np.uint8), task))
    kept = truth != task.ignore_label
    labels = list(range(task.classes))
    if kept.any():
        expected = sklearn.metrics.confusion_matrix(truth[kept], prediction[kept], labels=labels)
        np.testing.assert_array_equal(found, expected)
        options = {"labels": labels, "average": None, "zero_division": np.nan}
        dice, iou = dice_iou(found)
        np.testing.assert_allclose(dice, sklearn.metrics.f1_score(truth[kept], prediction[kept], **options))
        absent = found.sum(0) + found.sum(1) == 0
        jaccard = sklearn.metrics.jaccard_score(truth[kept], prediction[kept], **options | {"zero_division": 0})
        np.testing.assert_allclose(iou, np.where(absent, np.nan, jaccard))
    else:
        assert not found.any()


@settings(max_examples=40, deadline=None)
@given(labelled())
def test_streaming_equals_the_whole_and_numpy(problem):
    task, truth, prediction = problem
    whole, parts = SegmentationScores(task), SegmentationScores(task)
    logits = logits_of(prediction, task)
    whole.update_state(truth, logits)
    for piece in (slice(0, 1), slice(1, 4)):
        parts.update_state(truth[piece], logits[piece])
    expected = confusion_matrix(truth, prediction, task)
    for metric in (whole, parts):
        np.testing.assert_array_equal(ops.convert_to_numpy(metric.confusion), expected)
    dice, iou = np.where(expected.sum(axis=1) > 0, dice_iou(expected), np.nan)
    found = scores_of(parts)
    np.testing.assert_allclose(found["dice"], macro(dice, task), rtol=1e-6)
    np.testing.assert_allclose([found[f"iou/{name}"] for name in task.class_names], iou, rtol=1e-6)
    parts.reset_state()
    assert not ops.convert_to_numpy(parts.confusion).any()


def test_ids_that_are_no_class_are_not_counted():
    metric = SegmentationScores(BINARY)
    metric.update_state(np.array([[[0, 7, -1, 1]]]), logits_of(np.array([[[0, 1, 1, 1]]]), BINARY))
    np.testing.assert_array_equal(ops.convert_to_numpy(metric.confusion), [[1, 0], [0, 1]])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="int64 is TensorFlow's")
def test_counts_do_not_overflow_or_round():
    # 2**31 does not fit int32, and 2**40 + 1 not float32.
    metric = SegmentationScores(BINARY)
    metric.confusion.assign(np.array([[2**40, 0], [0, 2**31]]))
    metric.update_state(np.array([[[0, 1]]]), logits_of(np.array([[[0, 1]]]), BINARY))
    np.testing.assert_array_equal(ops.convert_to_numpy(metric.confusion), [[2**40 + 1, 0], [0, 2**31 + 1]])
    assert scores_of(metric)["dice"] == 1.0


def test_half_precision_logits_and_many_pixels_are_counted_exactly():
    truth = np.random.default_rng(0).integers(0, 3, (2, 300, 300))
    prediction = np.random.default_rng(1).integers(0, 3, truth.shape)
    metric = SegmentationScores(MULTI)
    metric.update_state(truth, ops.cast(logits_of(prediction, MULTI), "bfloat16"))
    expected = confusion_matrix(truth, prediction, MULTI)
    np.testing.assert_array_equal(ops.convert_to_numpy(metric.confusion), expected)


def test_what_is_refused():
    with pytest.raises(ValueError, match="no sample weights"):
        SegmentationScores(BINARY).update_state(np.zeros((1, 2)), np.zeros((1, 2, 1)), sample_weight=np.ones(1))
    with pytest.raises(ValueError, match="shape"):
        confusion_matrix([0, 1], [0], BINARY)
    with pytest.raises(ValueError, match=r"truth holds \[7\], which are no classes \(0\.\.1\)"):
        confusion_matrix([0, 7], [0, 1], BINARY)
    with pytest.raises(ValueError, match=r"prediction holds \[-1\]"):
        confusion_matrix([0, 1], [0, -1], BINARY)
    seven, one, ignored = (np.array(ids, np.uint8) for ids in ([0, 7], [0, 1], [0, 255]))
    with pytest.raises(ValueError, match=r"truth holds \[7\]"):
        confusion_matrix(seven, one, BINARY)
    with pytest.raises(ValueError, match=r"prediction holds \[7\]"):
        confusion_matrix(one, seven, BINARY)
    np.testing.assert_array_equal(confusion_matrix(ignored, seven, BINARY), [[1, 0], [0, 0]])


def test_fit_logs_every_score_by_its_name():
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.Conv2D(3, 1)(image))
    metric = SegmentationScores(MULTI)
    model.compile("sgd", loss=lambda y, x: ops.mean(ops.square(x)), metrics=[metric])
    rng = np.random.default_rng(0)
    x, y = rng.random((5, 4, 4, 1)).astype("float32"), rng.integers(0, 3, (5, 4, 4))
    history = model.fit(x, y, batch_size=2, epochs=2, validation_data=(x, y), verbose=0).history
    names = [f"{key}{part}" for key in ("dice", "iou") for part in ("", "/background", "/a", "/b")]
    assert set(history) == {"loss", "val_loss", *names, *(f"val_{name}" for name in names)}
    # The last small batch counts by its pixels: validation equals one pass over everything.
    prediction = np.argmax(model.predict(x, verbose=0), axis=-1)
    dice, _ = dice_iou(confusion_matrix(y, prediction, MULTI))
    assert history["val_dice"][-1] == pytest.approx(macro(dice, MULTI), rel=1e-6)
    assert history["val_dice/a"][-1] == pytest.approx(dice[1], rel=1e-6)
