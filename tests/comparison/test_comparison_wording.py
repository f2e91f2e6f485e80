"""Numbers as they are read: no rounding turns a verdict round."""

from __future__ import annotations

import pytest

from seglab.number_format import difference, interval, p_value
from seglab.statistics import Difference


def between(low: float, high: float) -> Difference:
    return Difference((low + high) / 2, low, high, 0.01, 10)


@pytest.mark.parametrize(
    ("low", "high", "difference_text", "interval_text"),
    [
        (-0.02, -0.01, "−0.015", "[−0.020, −0.010]"),
        (-0.02, 0.0004, "−0.010", "[−0.020, 0.000]"),  # holds 0, and reads so
        (-0.02, -0.0004, "−0.0102", "[−0.0200, −0.0004]"),
        (-0.02, -0.0000123, "−0.01001", "[−0.02000, −0.00001]"),
        (0.0003, 0.0005, "+0.0004", "[+0.0003, +0.0005]"),
        (-0.5, 0.0, "−0.250", "[−0.500, 0.000]"),
        (float("nan"), float("nan"), "–", "–"),
    ],
)
def test_an_interval_without_zero_never_reads_as_if_it_held_it(
    low: float, high: float, difference_text: str, interval_text: str
) -> None:
    assert (difference(between(low, high)), interval(between(low, high))) == (difference_text, interval_text)


def test_p_stays_on_its_side_of_a_twentieth() -> None:
    written = [p_value(value) for value in (0.2, 0.05, 0.0502, 0.0497, 0.04996, 0.0494, 0.0004, float("nan"))]
    assert written == ["0.200", "0.050", "0.050", "0.0497", "0.04996", "0.049", "< 0.001", "–"]
