"""Reliability by hand, and a temperature that finds back what a model was spoilt with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from seglab.evaluation import calibration
from seglab.evaluation.calibration import (
    Pixels,
    draw_pixels,
    fit_temperature,
    joined,
    negative_log_likelihood,
    reliability,
    scaled,
)
from seglab.task import Task

THREE = Task(rank=2, channels=1, class_names=("background", "a", "b"))


def pixels(*rows: tuple[float, float, int]) -> Pixels:
    return Pixels(np.array([row[:2] for row in rows]), np.array([row[2] for row in rows]))


def spoilt(count: int, temperature: float, seed: int = 0) -> Pixels:
    """Truth drawn from the model's own probabilities, which are then made surer than they were."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3)) * 2
    honest = softmax(logits, axis=-1)
    truth = (honest.cumsum(axis=-1) < rng.random((count, 1))).sum(axis=-1)
    return Pixels(softmax(logits * temperature, axis=-1).astype(np.float32), truth.clip(max=2))


def test_bins_by_hand() -> None:
    # Five bins. 0.9 and 1.0 in the last (0.8, 1], one of them right; 0.6 in (0.4, 0.6], its edge included, and right.
    found = reliability(pixels((0.9, 0.1, 0), (0.0, 1.0, 0), (0.4, 0.6, 1)), bins=5)
    assert found.count.tolist() == [0, 0, 1, 0, 2]
    np.testing.assert_allclose(found.confidence, [np.nan, np.nan, 0.6, np.nan, 0.95])
    np.testing.assert_allclose(found.accuracy, [np.nan, np.nan, 1, np.nan, 0.5])
    assert found.ece == pytest.approx((1 * 0.4 + 2 * 0.45) / 3)


def test_a_perfect_an_always_wrong_and_no_model() -> None:
    assert reliability(pixels((1.0, 0.0, 0), (0.0, 1.0, 1))).ece == 0
    assert reliability(pixels((1.0, 0.0, 1), (0.0, 1.0, 0))).ece == 1
    nothing = Pixels(np.zeros((0, 2)), np.zeros(0, int))
    assert np.isnan(reliability(nothing).ece)
    assert np.isnan(negative_log_likelihood(nothing))
    assert fit_temperature(nothing) == 1


def test_likelihood_by_hand() -> None:
    assert negative_log_likelihood(pixels((0.5, 0.5, 0), (0.2, 0.8, 1))) == pytest.approx(-(np.log(0.5 * 0.8)) / 2)
    assert np.isfinite(negative_log_likelihood(pixels((1.0, 0.0, 1))))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_back(temperature: float) -> None:
    found = spoilt(20_000, temperature)
    assert fit_temperature(found) == pytest.approx(temperature, rel=0.05)
    mended = scaled(found, fit_temperature(found))
    assert reliability(mended).ece < 0.015
    if temperature != 1:
        assert reliability(found).ece > 0.03
    assert negative_log_likelihood(mended) <= negative_log_likelihood(found) + 1e-6


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_scaling_is_dividing_the_logits(temperature: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(7, 3)) * 3
    given_ = Pixels(softmax(logits, axis=-1), np.zeros(7, int))
    found = scaled(given_, temperature).probabilities
    np.testing.assert_allclose(found, softmax(logits / temperature, axis=-1), atol=1e-9)
    np.testing.assert_array_equal(found.argmax(axis=-1), logits.argmax(axis=-1))


def test_drawn_are_labelled_pixels_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 1, 2, 255], (20, 30))
    probabilities = np.eye(3)[np.where(truth == 255, 0, truth)]
    everything = draw_pixels(probabilities, truth, THREE, "c")
    assert len(everything.truth) == (truth != 255).sum()
    monkeypatch.setattr(calibration, "PIXELS_PER_CASE", 50)
    few, again, other = (draw_pixels(probabilities, truth, THREE, name) for name in ("c", "c", "d"))
    assert len(few.truth) == 50
    np.testing.assert_array_equal(few.probabilities.argmax(axis=-1), few.truth)  # pixel and truth stay together
    np.testing.assert_array_equal(few.truth, again.truth)
    assert (few.truth != other.truth).any()
    assert len(joined([few, other]).truth) == 100
