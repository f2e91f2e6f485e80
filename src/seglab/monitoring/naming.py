"""Statistics by the words that a reader knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seglab.monitoring.watched import Watched

_WORDS = {
    "mean": "brightness, mean",
    "sd": "contrast, standard deviation",
    "p05": "brightness, 5th percentile",
    "p50": "brightness, median",
    "p95": "brightness, 95th percentile",
    "clipped": "share of values at either end",
    "sharpness": "sharpness, variance of the Laplacian",
    "pixels": "pixels of an image",
    "confidence": "mean confidence",
    "entropy": "mean entropy",
    "parts": "connected parts",
    "soft_dice": "soft Dice confidence",
}


def named(statistic: str, model: Watched | None) -> str:
    """The statistic in words; shares with the name of their class."""
    kind, _, number = statistic.partition("_")
    if kind == "share" and model and number.isdecimal() and int(number) < len(model.class_names):
        return f"share of {model.class_names[int(number)]}"
    if kind == "mean" and number:
        return f"brightness of channel {int(number) + 1}"
    return _WORDS.get(statistic, statistic)
