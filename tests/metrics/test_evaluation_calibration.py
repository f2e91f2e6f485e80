"""Reliability by hand, and a temperature that finds back what a model was spoilt with."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import log_expit, log_softmax, softmax

from seglab.evaluation.results import CalibrationScores, ScoreIntervals
from seglab.metrics import calibration
from seglab.metrics.calibration import (
    Pixels,
    bound_reached,
    draw_places,
    fit_temperature,
    joined,
    negative_log_likelihood,
    reliability,
    scaled,
)
from seglab.task import Task

THREE = Task(rank=2, channels=1, class_names=("background", "a", "b"))


def pixels(*rows: tuple[float, float, int]) -> Pixels:
    """Of probabilities of two classes and the truth."""
    with np.errstate(divide="ignore"):
        return Pixels(np.log([row[:2] for row in rows]), np.array([row[2] for row in rows]))


def spoilt(count: int, temperature: float, seed: int = 0) -> Pixels:
    """Truth drawn from the model's own probabilities, which are then made surer than they were."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3)) * 2
    honest = softmax(logits, axis=-1)
    truth = (honest.cumsum(axis=-1) < rng.random((count, 1))).sum(axis=-1)
    return Pixels((logits * temperature).astype(np.float32), truth.clip(max=2))


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
    assert negative_log_likelihood(pixels((1.0, 0.0, 1))) == np.inf


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_a_wrong_pixel_costs_its_logit_however_sure_the_model_is(dtype: str) -> None:
    """Binary: softplus of the logit, as scipy has it; many classes: what log-softmax gives the true one."""
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    for logit in (-18.0, -1.0, 0.0, 18.0, 80.0, 120.0, 800.0, 30_000.0):
        one = np.array([[logit]]).astype(kind)
        for true, expected in ((0, -log_expit(-float(one[0, 0]))), (1, -log_expit(float(one[0, 0])))):
            found = negative_log_likelihood(Pixels(one, np.array([true])))
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert negative_log_likelihood(Pixels(np.array([[18.0]]), np.array([0]))) == pytest.approx(18.0000000152)
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(50, 4)) * 300).astype(kind)
    truth = rng.integers(0, 4, 50)
    expected = -log_softmax(logits.astype(float), axis=-1)[np.arange(50), truth].mean()
    assert negative_log_likelihood(Pixels(logits, truth)) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(Pixels(logits, truth).probabilities, softmax(logits.astype(float), axis=-1), atol=1e-12)


def test_the_temperature_is_the_one_that_an_independent_search_finds() -> None:
    """Of a binary model that is far too sure: one pixel of ten wrong with a logit of 18 or more."""
    rng = np.random.default_rng(1)
    logits = np.abs(rng.normal(25, 3, 5000)) * rng.choice([-1, 1], 5000)
    truth = np.where(rng.random(5000) < 0.1, logits < 0, logits > 0).astype(int)
    sign = np.where(truth == 1, 1, -1)
    found = optimize.minimize_scalar(lambda t: -log_expit(sign * logits / t).mean(), bracket=(1, 10), tol=1e-10)
    assert 5 < found.x < 20
    drawn = Pixels(logits[:, None].astype(np.float32), truth)
    assert fit_temperature(drawn) == pytest.approx(found.x, rel=1e-3)
    assert negative_log_likelihood(scaled(drawn, found.x)) == pytest.approx(found.fun, rel=1e-6)
    assert negative_log_likelihood(drawn) == pytest.approx(-log_expit(sign * logits).mean(), rel=1e-6)


def test_a_temperature_at_its_bound_is_reported() -> None:
    right = Pixels(np.array([[3.0], [-2.0]]), np.array([1, 0]))  # surer is always likelier
    wrong = Pixels(np.array([[3.0], [-2.0]]), np.array([0, 1]))
    mixed = Pixels(np.array([[3.0], [-2.0], [-0.5]]), np.array([1, 0, 1]))
    assert (fit_temperature(right), fit_temperature(wrong)) == calibration.TEMPERATURES
    assert "lowest" in bound_reached(fit_temperature(right))
    assert "highest" in bound_reached(fit_temperature(wrong))
    assert bound_reached(fit_temperature(mixed)) == bound_reached(1.0) == ""
    bins = reliability(right)
    for pixels_, warned in ((right, True), (mixed, False)):
        result = CalibrationScores(ScoreIntervals(bins, 0.1), ScoreIntervals(bins, 0.1, fit_temperature(pixels_)))
        assert result.metrics()["temperature_at_bound"] == warned
        assert ("note" in result.to_dict()) is ("note " in result.line()) is warned


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
    given_ = Pixels(log_softmax(logits, axis=-1), np.zeros(7, int))
    found = scaled(given_, temperature).probabilities
    np.testing.assert_allclose(found, softmax(logits / temperature, axis=-1), atol=1e-9)
    np.testing.assert_array_equal(found.argmax(axis=-1), logits.argmax(axis=-1))


def test_drawn_are_labelled_pixels_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 1, 2, 255], (20, 30))
    np.testing.assert_array_equal(draw_places(truth, THREE, "c"), np.flatnonzero(truth != 255))
    monkeypatch.setattr(calibration, "PIXELS_PER_CASE", 50)
    few, again, other = (draw_places(truth, THREE, name) for name in ("c", "c", "d"))
    assert len(set(few)) == 50
    assert (truth.ravel()[few] != 255).all()
    np.testing.assert_array_equal(few, again)
    assert (few != other).any()
    parts = [Pixels(np.eye(3)[truth.ravel()[places]], truth.ravel()[places]) for places in (few, other)]
    assert joined(parts).truth.tolist() == [*parts[0].truth, *parts[1].truth]
