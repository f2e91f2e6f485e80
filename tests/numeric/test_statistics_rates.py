"""A small part of `make test-statistics`: the rule's error rates, its coverage and its power, by simulation.

The bounds follow from the binomial: a rate that truly is at the promised limit stays inside but once in a million.
Random numbers are fixed, so that a test that passed fails only when the rule has changed.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics.designs import VARIATIONS, Design, batches, designs, groups
from benchmarks.statistics.mean_rates import SHAPES, held
from benchmarks.statistics.power_rates import foreseen
from benchmarks.statistics.rates import EFFECTS, Rates, rates, true_means
from seglab.statistics import rank_methods
from seglab.statistics.differences import adjusted_means, against
from seglab.statistics.variance_components import estimate, units_of

ERROR, COVERAGE = 0.07, 0.93
STUDIES = 300
# Few seeds, few and many cases, few and many methods: where rules err most.
SIZES = [(2, 2, 10), (2, 3, 30), (4, 2, 30), (8, 3, 10), (12, 2, 30), (2, 10, 10)]


def most(rate: float, tries: int) -> int:
    """How often what happens at `rate` happens in `tries`, but for one time in a million."""
    return int(stats.binom.isf(1e-6, tries, rate))


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: "x".join(map(str, size)))
def cells(request) -> list[Rates]:
    return rates(request.param, designs(request.param), STUDIES, effects=(0.0, 0.02), seed=7)


def test_equal_methods_are_seldom_called_worse(cells: list[Rates]) -> None:
    for cell in (cell for cell in cells if cell.rule == "ours"):
        assert cell.wrong <= most(ERROR, cell.studies), cell


def test_intervals_hold_the_truth(cells: list[Rates]) -> None:
    for cell in (cell for cell in cells if cell.rule == "ours"):
        # intervals of one study go together: as many independent tries as studies, at the least
        missed = 1 - cell.coverage
        assert missed * cell.studies <= most(1 - COVERAGE, cell.studies), cell


def test_the_simulation_can_tell() -> None:
    # Tukey's rule with one variance for all methods fails where one spreads tenfold: so a wrong rule is seen.
    design = Design(8, 2, 30, 0.03, 0.02, "one large")
    ours, pooled = (
        next(cell for cell in rates(design.size, [design], STUDIES, effects=(0.0,), seed=7) if cell.rule == rule)
        for rule in ("ours", "pooled")
    )
    assert pooled.wrong > most(ERROR, STUDIES)
    assert ours.wrong <= most(ERROR, STUDIES)


def test_true_differences_are_found() -> None:
    design = Design(4, 5, 100, 0.01, 0.02)
    found = {cell.effect: cell.power for cell in rates(design.size, [design], STUDIES, seed=7) if cell.rule == "ours"}
    assert set(found) == set(EFFECTS)
    assert 0.1 < found[0.01] < found[0.02] < 1
    assert found[0.02] > 0.4
    assert found[0.05] == 1


def test_two_seeds_that_agree_by_luck_prove_nothing() -> None:
    # Percentiles of a bootstrap over two seeds left out zero in 47 of 100 of these.
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(400):
        scores = rng.normal(0, 0.02, (2, 2, 1)) / np.sqrt(2) + rng.normal(0, 0.001, (2, 2, 50)) / np.sqrt(2)
        false += any(each.excludes_zero for each in rank_methods(scores))
    assert false / 400 <= 0.07


@pytest.mark.parametrize("variation", VARIATIONS)
def test_many_studies_at_once_are_each_by_itself(variation: str) -> None:
    design = Design(4, 3, 10, 0.01, 0.02, variation)
    draws = next(batches(3, design.size, 6))
    scores = draws.scores(design) + true_means(4, 0.02)[:, None, None]
    together = groups(design)
    parts = estimate(scores, units_of(together, 10))
    best = adjusted_means(scores).argmax(axis=1)
    found = against(scores, best, parts)
    half = found.half_width(4)
    for number, study in enumerate(scores):
        ranking = rank_methods(study, groups=together)
        assert ranking.best == best[number]
        for method, each in enumerate(ranking):
            if method == ranking.best:
                continue
            assert each.difference == pytest.approx(found.difference[number, method])
            assert (each.high - each.low) / 2 == pytest.approx(half[number, method])
            assert (each.verdict == "worse") == (found.difference[number, method] + half[number, method] < 0)


@pytest.mark.parametrize(("cases", "seeds"), [(3, 1), (10, 1), (10, 3)])
def test_a_mean_lies_in_its_interval(cases: int, seeds: int) -> None:
    normal, skewed, crowded, failing = (held(shape, seeds, cases, STUDIES) for shape in SHAPES)
    assert (1 - normal.coverage) * STUDIES <= most(1 - COVERAGE, STUDIES)
    assert normal.percentile < 0.93
    if cases >= 10:  # skewed scores ask for some cases
        assert (1 - skewed.coverage) * STUDIES <= most(1 - COVERAGE, STUDIES)
        assert (1 - crowded.coverage) * STUDIES <= most(1 - COVERAGE, STUDIES)
        assert crowded.coverage > crowded.student
    assert failing.coverage < 0.9  # said in the docstring: failures that nobody has seen


def test_what_a_study_could_have_found_is_found_in_four_of_five() -> None:
    for design in (Design(2, 5, 30, 0.01, 0.02), Design(8, 3, 30, 0.01, 0.02)):
        forecast = foreseen(design, 150, seed=1)
        assert 0.65 < forecast.found < 0.92
        assert 0.65 < forecast.found_seeds < 0.92
        assert forecast.luck == pytest.approx(forecast.bias, rel=0.15)
