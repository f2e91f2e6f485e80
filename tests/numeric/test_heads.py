"""The head against hand-worked values and against NumPy in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from seglab.models import heads
from seglab.task import Task

BINARY = Task(rank=2, channels=1, class_names=("background", "cell"))
MULTI = Task(rank=2, channels=1, class_names=("background", "a", "b"))


def to_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def test_binary_probabilities_by_hand():
    # sigmoid(ln 3) = 3 / (3 + 1) = 0.75; sigmoid(0) = 0.5
    found = to_numpy(heads.probabilities(np.array([[np.log(3.0)], [0.0]], "float32"), BINARY))
    np.testing.assert_allclose(found, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-6)


def test_multiclass_probabilities_by_hand():
    # exp(ln 1, ln 2, ln 5) = 1, 2, 5; the sum is 8
    found = to_numpy(heads.probabilities(np.log(np.array([[1.0, 2.0, 5.0]], "float32")), MULTI))
    np.testing.assert_allclose(found, [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-6)


def test_background_is_not_rounded_away():
    # At x = 20, 1 - p = 2.06e-9, less than half of float32's spacing below 1
    found = to_numpy(heads.probabilities(np.array([[20.0]], "float32"), BINARY))
    np.testing.assert_allclose(found[0, 0], 1 / (1 + np.exp(20.0)), rtol=1e-5)


@pytest.mark.parametrize("task", [BINARY, MULTI], ids=["binary", "multiclass"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_everything_is_float32_inside_and_out(task, dtype):
    logits = ops.cast(np.linspace(-9, 9, 4 * task.logit_channels).reshape(2, 2, -1), dtype)
    exact = np.asarray(ops.convert_to_numpy(ops.cast(logits, "float32")), "float64")
    if task.binary:
        expected = np.concatenate([1 / (1 + np.exp(exact)), 1 / (1 + np.exp(-exact))], axis=-1)
    else:
        expected = np.exp(exact) / np.exp(exact).sum(-1, keepdims=True)
    found = to_numpy(heads.probabilities(logits, task))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-60, 60, width=32), min_size=3, max_size=3))
def test_probabilities_sum_to_one(values):
    for task in (BINARY, MULTI):
        logits = np.array(values[: task.logit_channels], "float32")[None]
        np.testing.assert_allclose(to_numpy(heads.probabilities(logits, task)).sum(-1), 1.0, rtol=1e-6)


def test_labels_of_a_binary_task_are_above_one_half():
    logits = np.array([[[-2.0], [0.0], [0.1], [2.0]]], "float32")  # p = 0.12, 0.5, 0.525, 0.88
    assert to_numpy(heads.labels(logits, BINARY)).tolist() == [[0, 0, 1, 1]]
    assert to_numpy(heads.labels(logits, BINARY)).dtype == np.int32


def test_labels_multiclass_takes_the_most_probable():
    logits = np.array([[0.0, 2.0, 1.0], [3.0, 3.0, 1.0], [-1.0, -2.0, -0.5]], "float32")
    found = to_numpy(heads.labels(logits, MULTI))
    assert found.tolist() == [1, 0, 2]
    assert found.dtype == np.int32


def test_one_hot_leaves_ignored_pixels_empty():
    ids = np.array([[0, 1], [2, 255]], "int32")
    found = to_numpy(heads.one_hot(ids, 3, 255))
    # (B, K, P): the first image's pixels are of class 0 and 1, the second's of 2 and of none.
    assert found.tolist() == [[[1, 0], [0, 1], [0, 0]], [[0, 0], [0, 0], [1, 0]]]
    assert found.dtype == np.float32


def test_an_ignored_label_that_is_also_a_class_is_ignored():
    ids = np.array([[1, 2]], "int32")
    assert to_numpy(heads.one_hot(ids, 3, 2)).tolist() == [[[0, 0], [1, 0], [0, 0]]]
    assert to_numpy(heads.one_hot(ids, 3)).tolist() == [[[0, 0], [1, 0], [0, 1]]]


def test_wrong_channel_count_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 1\) do not fit a task of 3 classes.*3 channel"):
        heads.probabilities(np.zeros((2, 1), "float32"), MULTI)
    with pytest.raises(ValueError, match="1 channel"):
        heads.labels(np.zeros((2, 2), "float32"), BINARY)
