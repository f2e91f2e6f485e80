"""The rule that ranks methods: its tables, its variances, and what every ranking must hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seglab.statistics import LEVEL, Ranking, compare_pair, pairwise_differences, power, rank_methods
from seglab.statistics.studentized_range import critical
from seglab.statistics.variance_components import estimate, units_of


def study(seed: int, methods: int = 4, seeds: int = 3, cases: int = 12, effect: float = 0.0) -> np.ndarray:
    """Methods of which each is worse than the one before by `effect`."""
    rng = np.random.default_rng(seed)
    scores = 0.8 - effect * np.arange(methods)[:, None, None] + rng.normal(0, 0.1, cases)
    return scores + rng.normal(0, 0.01, (methods, seeds, 1)) + rng.normal(0, 0.02, (methods, seeds, cases))


def numbers(ranking: Ranking) -> np.ndarray:
    return np.array([(each.difference, each.low, each.high, each.p) for each in ranking])


# --- critical values


@pytest.mark.parametrize(
    ("methods", "freedom", "level"), [(3, 1, 0.05), (8, 3, 0.05), (12, 20, 0.01), (4, 2.5, 0.04), (40, 7, 0.2)]
)
def test_the_studentized_range_is_scipys(methods: int, freedom: float, level: float) -> None:
    expected = stats.studentized_range.isf(level, methods, freedom) / np.sqrt(2)
    assert critical(methods, freedom, level) == pytest.approx(expected, rel=1e-5)
    assert critical(methods, freedom, np.array([level, 0.5]))[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("freedom", [1, 2.7, 30])
def test_for_two_methods_it_is_students_t(freedom: float) -> None:
    assert critical(2, freedom, 0.05) == pytest.approx(stats.t.isf(0.025, freedom))


def test_many_degrees_of_freedom_at_once_are_each_by_itself() -> None:
    freedom = np.geomspace(1, 1e5, 500)
    few = np.array([critical(6, f, np.array([0.04]))[0] for f in freedom[::50]])
    assert critical(6, freedom, 0.04)[::50] == pytest.approx(few, rel=1e-5)
    assert (np.diff(critical(6, freedom, 0.04)) < 0).all()


# --- variances


def test_variances_of_a_table_worked_by_hand() -> None:
    # Two methods, two seeds, two cases. Seeds' means: 2, 4 and 3, 3.
    scores = np.array([[[1.0, 3.0], [3.0, 5.0]], [[2.0, 4.0], [4.0, 2.0]]])
    parts = estimate(scores[None], units_of(None, 2))
    assert parts.seed[0] == pytest.approx([2.0, 0.0])  # (2 - 3)² + (4 - 3)², over one degree of freedom; none
    assert parts.pooled[0] == pytest.approx(1.0)
    # The first method's seeds rise from case to case alike; the second's are ∓1 and ±1 about their means: the noise
    # has 4 squares of 1, over 1 × 1 degrees of freedom, and a mean over 4 scores has a quarter of it.
    assert parts.rest[0] == pytest.approx([0.0, 1.0])
    # Means over seeds by case: 2, 4 and 3, 3; against the methods' and the cases' means ∓.5, ±.5: four squares of
    # .25 over 1 × 1, half of it for a mean over two cases, .5 each; less the mean noise .5; twice for a difference.
    assert parts.cases[0] == pytest.approx(2 * (0.5 - 0.5))
    # One spread is all there is: Satterthwaite gives its single degree of freedom.
    assert parts.freedom[0] == pytest.approx(1.0)


def sum_of_squares(scores: np.ndarray, *terms: np.ndarray) -> tuple[float, int]:
    """What least squares on the terms' levels leave over, and its degrees of freedom."""
    design = np.column_stack([term.ravel()[:, None] == np.unique(term) for term in terms]).astype(float)
    fitted, _, rank, _ = np.linalg.lstsq(design, scores.ravel(), rcond=None)
    return float(((scores.ravel() - design @ fitted) ** 2).sum()), scores.size - rank


def test_variances_are_those_of_an_analysis_of_variance() -> None:
    methods, seeds, cases = 3, 4, 5
    scores = study(3, methods, seeds, cases, effect=0.05)
    method, seed, case = np.indices(scores.shape)
    trained, cell = method * 100 + seed, method * 100 + case
    full, full_freedom = sum_of_squares(scores, trained, cell)  # seeds within methods, and method × case
    additive, additive_freedom = sum_of_squares(scores, trained, case)
    no_seeds, no_seeds_freedom = sum_of_squares(scores, cell)
    residual = full / full_freedom
    of_seeds = (no_seeds - full) / (no_seeds_freedom - full_freedom)
    of_cells = (additive - full) / (additive_freedom - full_freedom)
    parts = estimate(scores[None], units_of(None, cases))
    assert parts.pooled[0] == pytest.approx(of_seeds / cases)
    assert parts.rest[0].mean() == pytest.approx(residual / (seeds * cases))
    assert parts.cases[0] == pytest.approx(2 * (of_cells - residual) / (seeds * cases))


def test_unequal_spreads_leave_few_degrees_of_freedom() -> None:
    scores = np.zeros((1, 4, 3, 6)) + np.array([-1.0, 0.0, 1.0])[:, None]
    equal = estimate(scores, units_of(None, 6)).freedom[0]
    assert equal == pytest.approx(2**0.25 * 8**0.75)
    scores[:, 1:] *= 0.01
    assert estimate(scores, units_of(None, 6)).freedom[0] == pytest.approx(2, rel=1e-3)


# --- what every ranking holds


@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_one_seed_says_nothing_of_methods(effect: float) -> None:
    ranking = rank_methods(study(1, seeds=1, effect=effect))
    assert [each.verdict for each in ranking].count("best") == 1
    assert {each.verdict for each in ranking} == {"best", "undecided"}
    assert all(each.networks_only for each in ranking if each.verdict != "best")
    assert not pairwise_differences(study(1, seeds=1, effect=effect), [0, 1, 2, 3]).any()
    assert np.isnan(power(ranking.parts, 4, 4).detectable)


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 4)])
def test_one_case_says_nothing_either(rows: slice) -> None:
    ranking = rank_methods(study(2, cases=1, effect=0.3))
    assert {each.verdict for each in ranking} == {"best", "undecided"}
    assert all(np.isnan(each.low) and np.isnan(each.p) for each in ranking if each.verdict != "best")


def test_clear_differences_are_found() -> None:
    ranking = rank_methods(study(3, seeds=5, cases=50, effect=0.1))
    assert [each.verdict for each in ranking] == ["best", "worse", "worse", "worse"]
    assert ranking.order == (0, 1, 2, 3)
    assert ranking[1].low < -0.1 < ranking[1].high < 0
    assert ranking[1].p < 0.05


equivariance = settings(max_examples=40, deadline=None)


@equivariance
@given(st.integers(0, 10**6), st.floats(-5, 5), st.floats(0.01, 100))
def test_shift_and_scale_move_nothing_but_the_units(seed: int, shift: float, scale: float) -> None:
    scores = study(seed, effect=0.02)
    plain, moved = rank_methods(scores), rank_methods(scale * scores + shift)
    expected = numbers(plain) * [scale, scale, scale, 1]
    assert numbers(moved) == pytest.approx(expected, rel=1e-6, abs=1e-9 * scale)
    assert moved.order == plain.order


@equivariance
@given(st.integers(0, 10**6), st.booleans())
def test_less_is_better_is_the_mirror(seed: int, holes: bool) -> None:
    scores = study(seed, effect=0.02)
    if holes:
        scores[1, :, :3] = scores[2, 1] = np.nan
    high, low = rank_methods(scores), rank_methods(-scores, higher=False)
    assert [each.verdict for each in high] == [each.verdict for each in low]
    assert numbers(low) == pytest.approx(numbers(high)[:, [0, 2, 1, 3]] * [-1, -1, -1, 1])
    assert low.means == pytest.approx(-high.means)
    assert low.order == high.order


@equivariance
@given(st.integers(0, 10**6), st.permutations(range(4)), st.permutations(range(3)), st.permutations(range(12)))
def test_no_order_matters(seed: int, methods: list[int], seeds: list[int], cases: list[int]) -> None:
    scores = study(seed, effect=0.02)
    scores[0, 0, 0] = np.nan
    plain, turned = rank_methods(scores), rank_methods(scores[methods][:, seeds][:, :, cases])
    assert numbers(turned) == pytest.approx(numbers(plain)[methods], rel=1e-6, abs=1e-10)
    assert [each.verdict for each in turned] == [plain[method].verdict for method in methods]


def test_seeds_of_two_methods_have_nothing_in_common() -> None:
    scores = study(4, seeds=3)
    scores[1, 2] = scores[2, :, :4] = scores[3, 0, 5:] = np.nan
    turned = scores.copy()
    turned[0], turned[1] = scores[0, [2, 0, 1]], scores[1, [0, 2, 1]]
    assert numbers(rank_methods(turned)) == pytest.approx(numbers(rank_methods(scores)))
    assert rank_methods(turned).means == pytest.approx(rank_methods(scores).means)


def test_means_differ_as_the_pair_does() -> None:
    scores = study(4, methods=2)
    scores[0, 1, :5] = scores[1, :, 3:6] = scores[1, 2] = np.nan
    ranking = rank_methods(scores)
    other = 1 - ranking.best
    assert ranking.means[other] - ranking.means[ranking.best] == pytest.approx(ranking[other].difference)


@equivariance
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 4), st.floats(0, 0.06))
def test_p_interval_and_verdict_agree(seed: int, methods: int, seeds: int, effect: float) -> None:
    for each in rank_methods(study(seed, methods, seeds, effect=effect)):
        assert 0 <= each.p <= 1
        assert (each.p < LEVEL) == each.excludes_zero
        assert (each.verdict == "worse") == (each.p < LEVEL and seeds > 1)
        assert each.low <= each.difference <= each.high


@pytest.mark.parametrize("touch", [1 - 1e-6, 1 + 1e-6])
def test_p_is_the_level_where_the_interval_just_touches_zero(touch: float) -> None:
    scores = study(5, effect=0.0)
    second = rank_methods(scores).order[1]
    best = rank_methods(scores).best
    for _ in range(60):  # moving a method moves its difference and no interval's width
        each = rank_methods(scores)[second]
        scores[second] -= each.difference + touch * (each.high - each.low) / 2
    each = rank_methods(scores)[second]
    assert rank_methods(scores).best == best
    assert each.p == pytest.approx(LEVEL, rel=1e-3)
    assert (each.p < LEVEL) == each.excludes_zero == (touch > 1)


def test_pairs_and_best_are_held_against_each_other_by_one_rule() -> None:
    scores = study(6, methods=2, effect=0.03)
    ranking = rank_methods(scores)
    other = 1 - ranking.best
    pair = compare_pair(scores[other], scores[ranking.best])
    assert (pair.difference, pair.low, pair.high, pair.p) == pytest.approx(tuple(numbers(ranking)[other]))
    wider = compare_pair(scores[other], scores[ranking.best], methods=6)
    assert wider.low < pair.low
    assert wider.high > pair.high
    scores = study(7, effect=0.04, seeds=5, cases=40)
    apart, ranking = pairwise_differences(scores, [0, 1, 2, 3]), rank_methods(scores)
    assert (apart == apart.T).all()
    assert [bool(each) for each in apart[ranking.best]] == [each.verdict == "worse" for each in ranking]


def test_quiet_methods_beside_a_wild_one_are_distinguished_by_their_own_seeds() -> None:
    rng = np.random.default_rng(13)
    scores = 0.8 + rng.normal(0, 0.1, 40) + rng.normal(0, 0.002, (4, 5, 40))
    scores += rng.normal(0, 1, (4, 5, 1)) * np.array([0.001, 0.001, 0.1, 0.001])[:, None, None]
    scores -= (scores.mean(axis=(1, 2)) - [0.82, 0.80, 0.75, 0.82])[:, None, None]
    ranking = rank_methods(scores)
    assert ranking.best in (0, 3)
    assert [each.verdict for each in ranking].count("worse") == 1
    assert ranking[1].verdict == "worse"
    assert ranking[2].verdict == "tied"  # its mean is far lower, and may be so by luck


def test_networks_alone_are_compared_with_all_the_noise_of_their_cases() -> None:
    scores = study(14, methods=2)
    scores[1, 1:] = np.nan
    differences = np.nanmean(scores[0], axis=0) - scores[1, 0]
    pair = compare_pair(scores[0], scores[1])
    assert pair.networks_only
    half = stats.t.isf(0.02, 11) * differences.std(ddof=1) / np.sqrt(12)  # at 0.8 of the level, as all
    assert (pair.low, pair.high) == pytest.approx((differences.mean() - half, differences.mean() + half))


# --- missing scores


def test_missing_scores_are_left_out_on_both_sides() -> None:
    # 60 images; one method has no score on the 40 that are hard for all: it must not win by that.
    rng = np.random.default_rng(10)
    difficulty = np.where(np.arange(60) < 40, 0.3, 0.9)
    scores = difficulty + rng.normal(0, 0.01, (2, 3, 60))
    scores[0] += 0.02
    scores[1, :, :40] = np.nan
    ranking = rank_methods(scores)
    assert ranking.best == 0
    assert ranking[1].cases == 20
    assert ranking[1].difference == pytest.approx(-0.02, abs=0.01)
    assert ranking.means[0] - ranking.means[1] == pytest.approx(-ranking[1].difference)


def test_a_method_without_scores_has_no_place() -> None:
    scores = study(11)
    scores[2] = np.nan
    ranking = rank_methods(scores)
    assert ranking[2].verdict == "undecided"
    assert np.isnan([ranking[2].difference, ranking[2].p, ranking.means[2]]).all()
    assert 2 not in ranking.order
    without = rank_methods(np.delete(scores, 2, axis=0))
    assert numbers(ranking)[[0, 1, 3]] == pytest.approx(numbers(without))
    nothing = rank_methods(np.full((2, 2, 3), np.nan))
    assert (nothing.order, nothing.parts) == ((), None)


def test_methods_with_no_case_in_common_are_not_compared() -> None:
    scores = study(12, methods=2)
    scores[0, :, :6] = scores[1, :, 6:] = np.nan
    ranking = rank_methods(scores)
    other = ranking.order[1]
    assert ranking[other].verdict == "undecided"
    assert ranking[other].cases == 0
    assert np.isnan(compare_pair(scores[0], scores[1]).p)


def test_infinities_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        rank_methods(np.full((2, 2, 2), np.inf))
    with pytest.raises(ValueError, match="shape"):
        rank_methods(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="one group a case"):
        rank_methods(np.zeros((2, 2, 3)), groups=[1, 2])


def test_few_cases_are_as_doubtful_as_they_look() -> None:
    # Noise that is taken off the cases' variance, of 3 degrees of freedom, leaves too little where that came out low.
    for seed in range(20):
        scores = study(seed, methods=2, seeds=10, cases=4)
        differences = (scores[0] - scores[1]).mean(axis=0)
        pair = compare_pair(scores[0], scores[1])
        assert (pair.high - pair.low) / 2 >= stats.t.isf(0.02, 3) * differences.std(ddof=1) / 2 * (1 - 1e-9)
