"""Numbers of a comparison as a reader sees them, on the page and in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from seglab.comparison.cohort_ranking import CohortRanking
from seglab.comparison.effects import Speed
from seglab.statistics import Difference

_DIGITS, _MOST_DIGITS = 3, 15


def summary(ranking: CohortRanking, metric: str) -> str:
    """The answer in one sentence."""
    cohort = ranking.cohort
    best = cohort.variants[ranking.order[0]].label
    mean = with_sd(ranking.means[ranking.order[0]], ranking.sds[ranking.order[0]])
    tied = [cohort.variants[i].label for i in ranking.order if ranking.verdicts[i].place == "tied"]
    worse = sum(verdict.place == "worse" for verdict in ranking.verdicts)
    open_ = sum(verdict.place == "undecided" for verdict in ranking.verdicts)
    if len(cohort.variants) == 1:
        runs = len(cohort.variants[0].runs)
        return f"{best}: {metric} {mean} over {runs} run{'s' * (runs != 1)}."
    said = f"{best} has the best {metric}, {mean}."
    if tied:
        listed = ", ".join(tied[:5]) + (f" and {len(tied) - 5} more" if len(tied) > 5 else "")
        said += f" Not shown to be worse: {listed}."
    if open_:
        said += f" Undecided, for want of seeds or cases: {'one variant' if open_ == 1 else f'{open_} variants'}."
    if worse:
        said += f" {worse} variant{'s are' if worse > 1 else ' is'} significantly worse."
    return said


def standing(ranking: CohortRanking, variant: int) -> str:
    """The verdict on one of several; one alone has none."""
    return ranking.verdicts[variant].place if len(ranking.cohort.variants) > 1 else ""


def score(value: float) -> str:
    """Three decimals; a dash for what is not defined."""
    return plain(value, "{:.3f}")


def with_sd(mean: float, sd: float) -> str:
    """`0.873 ± 0.012`, without the deviation where there is one run."""
    return score(mean) if np.isnan(sd) else f"{mean:.3f} ± {sd:.3f}"


def with_interval(found: Mapping[str, float]) -> str:
    """`0.873 [0.861, 0.885]` of `mean`, `low` and `high`."""
    ends = "" if np.isnan(found["low"]) else f" [{found['low']:.3f}, {found['high']:.3f}]"
    return score(found["mean"]) + ends


def signed(value: float, digits: int = 3) -> str:
    """With its sign, also for a gain; zero has none."""
    if np.isnan(value):
        return "–"
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text[1:] if float(f"{value:.{digits}f}") == 0 else text


def p_value(value: float) -> str:
    """Three decimals, and below that only that it is; more where three would put it on the other side of 0.05."""
    if np.isnan(value):
        return "–"
    digits = next(
        (n for n in range(_DIGITS, _MOST_DIGITS) if value >= 0.05 or float(f"{value:.{n}f}") < 0.05), _MOST_DIGITS
    )
    return "< 0.001" if value < 0.001 else f"{value:.{digits}f}"


def with_allowed(label: str, allowed: str) -> str:
    """The label, with the findings of the data check that were allowed to pass."""
    return f"{label} ⚠ allowed: {allowed}" if allowed else label


def gigabytes(megabytes: float) -> str:
    """`1.3 GB`; a dash for what is not known."""
    return plain(megabytes / 1024, "{:.1f} GB")


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if np.isnan(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def known(value: float) -> float | None:
    """The value to sort a table by; None for what is not known."""
    return None if np.isnan(value) else float(value)


def plain(value: float, form: str) -> str:
    """The value in this form; a dash for what is not known."""
    return "–" if np.isnan(value) else form.format(value)


def interval(found: Difference) -> str:
    """Both ends with their signs, in as many digits as `digits_of` says."""
    digits = digits_of(found)
    return "–" if np.isnan(found.low) else f"[{signed(found.low, digits)}, {signed(found.high, digits)}]"


def difference(found: Difference) -> str:
    """With its sign, in as many digits as its interval."""
    return signed(found.difference, digits_of(found))


def digits_of(found: Difference) -> int:
    """Three decimals, or as many more as it takes that no interval without 0 reads as if it ended there."""
    nearest = min(abs(found.low), abs(found.high))
    if np.isnan(nearest) or found.low <= 0 <= found.high:
        return _DIGITS
    return next((n for n in range(_DIGITS, _MOST_DIGITS) if float(f"{nearest:.{n}f}") > 0), _MOST_DIGITS)


def times(found: Speed) -> str:
    """`1.85 × (1.60 to 2.10)`: the ratio, with the least and the greatest of several; a dash where none is known."""
    spread = f" ({found.low:.2f} to {found.high:.2f})" if found.pairs > 1 else ""
    return f"{plain(found.ratio, '{:.2f} ×')}{spread}"


def crowding(together: int) -> str:
    """Why times do not compare, where runs went on at one time; else nothing."""
    if together < 2:
        return ""
    return (
        f"⚠ Up to {together} of these runs ran at the same time on one machine: times and speeds are of a share of it."
    )
