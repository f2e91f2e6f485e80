"""Numbers as a reader sees them, on a page and in a terminal: scores, differences, p values, durations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from seglab.statistics import Difference

_DIGITS, _MOST_DIGITS = 3, 15


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
