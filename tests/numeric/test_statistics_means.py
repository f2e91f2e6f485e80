"""Cases that are drawn together, and the interval of one method's mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from seglab.statistics import Ranking, mean_interval, rank_methods
from seglab.statistics.differences import adjusted_means
from seglab.statistics.variance_components import units_of


def study(seed: int, seeds: int) -> np.ndarray:
    """Four methods, twelve cases, each of which suits some methods better."""
    rng = np.random.default_rng(seed)
    scores = 0.8 + rng.normal(0, 0.1, 12) + rng.normal(0, 0.05, (4, 1, 12))
    return scores + rng.normal(0, 0.01, (4, seeds, 1)) + rng.normal(0, 0.02, (4, seeds, 12))


def numbers(ranking: Ranking) -> np.ndarray:
    return np.array([(each.difference, each.low, each.high, each.p) for each in ranking])


def test_a_group_for_each_case_is_no_group() -> None:
    scores = study(8, seeds=3)
    assert numbers(rank_methods(scores, groups=np.arange(12))) == pytest.approx(numbers(rank_methods(scores)))
    assert mean_interval(scores[0], groups=list("abcdefghijkl")) == pytest.approx(mean_interval(scores[0]))


def test_cases_counted_twice_make_nothing_surer() -> None:
    scores = study(9, seeds=8)
    twice, groups = np.concatenate([scores, scores], axis=2), np.tile(np.arange(12), 2)
    once, blind, grouped = rank_methods(scores), rank_methods(twice), rank_methods(twice, groups=groups)
    assert numbers(grouped) == pytest.approx(numbers(once))
    assert all(
        of.high - of.low < to.high - to.low for of, to in zip(blind, grouped, strict=True) if to.verdict != "best"
    )
    assert mean_interval(twice[0], groups=groups) == pytest.approx(mean_interval(scores[0]))


def test_groups_of_unequal_sizes_say_less_than_their_number() -> None:
    # Means weighted with the sizes, of groups whose own means have variance 1: what their squares are on average.
    for sizes in ([3, 3, 3, 1], [2, 2, 2], [9, 1], [1, 1, 1, 1, 1]):
        units = units_of(np.repeat(np.arange(len(sizes)), sizes), sum(sizes))
        larger, freedom = units.drawn(np.ones(sum(sizes), bool))
        weights = np.array(sizes) / sum(sizes)
        means = np.random.default_rng(0).normal(size=(200_000, len(sizes)))
        squares = larger * ((weights * (means - (means @ weights)[:, None])) ** 2).sum(axis=1)
        assert squares.mean() == pytest.approx((weights**2).sum(), rel=0.01)
        assert freedom == pytest.approx(2 * squares.mean() ** 2 / squares.var(), rel=0.03)  # Satterthwaite's
    alone = units_of(np.zeros(4, int), 4).drawn(np.ones(4, bool))
    assert alone == (1, 0)


def test_the_mean_of_symmetric_scores_has_students_interval() -> None:
    scores = np.array([[0.70, 0.80, 0.85, 0.90, 1.00]])
    mean, low, high = mean_interval(scores)
    half = stats.t.isf(0.025, 4) * scores.std(ddof=1) / np.sqrt(5)
    assert (mean, low, high) == pytest.approx((0.85, 0.85 - half, 0.85 + half))
    assert mean_interval(np.full((2, 4), 0.5)) == (0.5, 0.5, 0.5)


def test_the_mean_of_skewed_scores_reaches_to_the_long_tail() -> None:
    scores = np.array([[0.95, 0.94, 0.96, 0.95, 0.93, 0.95, 0.60, 0.94]])
    mean, low, high = mean_interval(scores)
    # Hall's transformation, written down once more as in his article, with Student's value for the normal's
    n, deviation = 8, scores.std()
    skewness = ((scores - mean) ** 3).mean() / deviation**3
    t = stats.t.isf(0.025, 7) * np.sqrt(8 / 7) / np.sqrt(8)
    for end, sign in ((low, 1), (high, -1)):
        wanted = (mean - end) / deviation
        bent = wanted + skewness * wanted**2 / 3 + skewness**2 * wanted**3 / 27 + skewness / (6 * n)
        assert bent == pytest.approx(sign * t)
    assert mean - low > 1.5 * (high - mean)


def test_seeds_and_bounds_of_a_mean() -> None:
    scores = np.array([[0.90, 0.94], [0.96, 1.00]])  # means .92 and .98; cases' means .93 and .97
    mean, low, high = mean_interval(scores)
    of_seeds = stats.t.isf(0.025, 1) * np.std([0.92, 0.98], ddof=1) / np.sqrt(2)
    of_cases = stats.t.isf(0.025, 1) * np.std([0.93, 0.97], ddof=1) / np.sqrt(2)
    assert (mean, high - mean, mean - low) == pytest.approx((0.95, *[np.hypot(of_seeds, of_cases)] * 2))
    assert mean_interval(scores, bounds=(0, 1))[2] == 1
    one = mean_interval(np.array([[0.5, np.nan], [0.7, np.nan]]))
    assert one[0] == pytest.approx(0.6)
    assert np.isnan(one[1:]).all()
    assert np.isnan(mean_interval(np.full((2, 2), np.nan))).all()


def test_methods_that_scored_the_same_cases_need_no_adjusting() -> None:
    """Whatever their seeds: by least squares of method + case the means stay as they are."""
    scores = np.random.default_rng(0).normal(0.6, 0.1, (2, 5, 3, 7))
    scores[:, 2, 2] = np.nan
    expected = np.nanmean(scores, axis=(2, 3))
    np.testing.assert_allclose(adjusted_means(scores), expected, rtol=1e-12)
    scores[0, 1, :, 4] = np.nan  # and now one lacks a case
    known = np.isfinite(scores[0]).any(axis=1)
    design = np.zeros((known.sum(), 5 + 7))
    for row, (method, case) in enumerate(np.argwhere(known)):
        design[row, method] = design[row, 5 + case] = 1
    cells = np.nanmean(scores[0].swapaxes(1, 2)[known], axis=1)
    effects = np.linalg.lstsq(design, cells, rcond=None)[0][:5]
    found = adjusted_means(scores)[0]
    np.testing.assert_allclose(found - found.mean(), effects - effects.mean(), atol=1e-10)
