"""The best-known tools on the same studies: how often each calls one of several equal methods worse than the best.

rliable, autorank and scikit-posthocs are installed by `make test-statistics PEERS=1` (requirements-statistics.txt).
challengeR is a package for R: its test is written down here with SciPy.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.statistics.designs import Design, batches
from seglab.statistics import rank_methods

DESIGNS = tuple(
    Design(methods, seeds, cases, seed, 0.02)
    for methods, seed in ((2, 0.0), (2, 0.01), (8, 0.01))
    for seeds, cases in product((2, 5), (10, 100))
)
_RESAMPLES = 200


def seglab(scores: np.ndarray) -> bool:
    """`rank_methods`: some method is worse."""
    return any(each.verdict == "worse" for each in rank_methods(scores))


def rliable_intervals(scores: np.ndarray, cases: bool = False) -> bool:
    """Means with stratified bootstrap intervals over seeds, and over cases too: some interval lies below the best's."""
    from rliable import library

    methods = {str(method): of for method, of in enumerate(scores)}
    _, intervals = library.get_interval_estimates(
        methods, lambda of: np.array([of.mean()]), task_bootstrap=cases, reps=_RESAMPLES
    )
    lows, highs = (np.array([intervals[str(method)][end, 0] for method in range(len(scores))]) for end in (0, 1))
    best = scores.mean(axis=(1, 2)).argmax()
    return bool((highs < lows[best]).any())


def rliable_improvement(scores: np.ndarray) -> bool:
    """Probability that the best improves on a method: some interval lies above a half."""
    from rliable import library

    best = scores.mean(axis=(1, 2)).argmax()
    pairs = {str(method): (scores[best], of) for method, of in enumerate(scores) if method != best}
    _, intervals = library.get_interval_estimates(pairs, improvement, reps=_RESAMPLES)
    return any(ends[0, 0] > 0.5 for ends in intervals.values())


def improvement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """rliable's probability of improvement, in one step for all cases."""
    above = first[:, None] > second[None]
    return np.array([(above + 0.5 * (first[:, None] == second[None])).mean()])


def autorank_groups(scores: np.ndarray) -> bool:
    """Autorank on the cases' means over seeds, by the tests that it picks."""
    from autorank import autorank

    table = pd.DataFrame(scores.mean(axis=1).T)
    with contextlib.redirect_stdout(io.StringIO()):
        found = autorank(table, alpha=0.05, verbose=False)
    if found.pvalue >= found.alpha:
        return False
    ranked = found.rankdf
    if len(scores) == 2:
        return True
    if found.cd is not None:
        return bool((ranked["meanrank"] - ranked["meanrank"].min() > found.cd).any())
    return bool((ranked["ci_upper"] < ranked["ci_lower"].max()).any())


def nemenyi(scores: np.ndarray) -> bool:
    """Friedman's test over cases, then Nemenyi's by scikit-posthocs; two methods: Wilcoxon's."""
    from scikit_posthocs import posthoc_nemenyi_friedman

    of_cases = scores.mean(axis=1)
    if len(scores) == 2:
        return stats.wilcoxon(*of_cases).pvalue < 0.05
    if stats.friedmanchisquare(*of_cases).pvalue >= 0.05:
        return False
    best = stats.rankdata(of_cases, axis=0).mean(axis=1).argmax()
    return bool((posthoc_nemenyi_friedman(of_cases.T).to_numpy()[best] < 0.05).any())


def challenge(scores: np.ndarray) -> bool:
    """challengeR's way: ranked by mean, one-sided signed-rank tests of all pairs over cases, Holm's correction."""
    of_cases = scores.mean(axis=1)
    pairs = [(one, other) for one, other in product(range(len(scores)), repeat=2) if one != other]
    p = np.array([stats.wilcoxon(of_cases[one], of_cases[other], alternative="greater").pvalue for one, other in pairs])
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) < 0.05
    rejected = {pairs[number] for number, is_rejected in zip(order, steps, strict=True) if is_rejected}
    best = of_cases.mean(axis=1).argmax()
    return any((best, other) in rejected for other in range(len(scores)))


RULES: dict[str, Callable[[np.ndarray], bool]] = {
    "seglab": seglab,
    "rliable, intervals": rliable_intervals,
    "rliable, intervals over cases too": partial(rliable_intervals, cases=True),
    "rliable, improvement": rliable_improvement,
    "autorank": autorank_groups,
    "Friedman, Nemenyi": nemenyi,
    "challengeR's test": challenge,
}


def errors(design: Design, studies: int, seed: int = 0) -> dict[str, float]:
    """Share of studies of equal methods in which each rule calls some method worse than the best."""
    wrong = dict.fromkeys(RULES, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for draws in batches(seed, design.size, studies):
            for scores in draws.scores(design):
                for name, rule in RULES.items():
                    wrong[name] += rule(scores)
    return {name: count / studies for name, count in wrong.items()}
