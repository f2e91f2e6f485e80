"""What the training images looked like, in numbers that show none of them, to tell later that images differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
    from seglab.inference.description import Bundle

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
UNITS = 500  # at most, whose statistics are kept
_OF_CHANNELS = ("mean", "std", "low", "high")


def fingerprint(facts: Iterable[CaseFingerprint]) -> dict[str, Any]:
    """Quantiles over the training cases: of each channel's mean, spread and outer percentiles, of each class's share of
    the pixels, and of each axis's length. Empty without a case."""
    known = list(facts)
    if not known:
        return {}
    shares = [np.array(one.class_pixels) / max(1, sum(one.class_pixels)) for one in known]
    found = {name: _quantiles([getattr(one.intensity, name) for one in known]) for name in _OF_CHANNELS}
    found |= {"class_share": _quantiles(shares), "side": _quantiles([one.shape for one in known])}
    return {"cases": len(known), "quantiles": list(QUANTILES), **found}


def _quantiles(values: Any) -> list[list[float]]:
    """A row for each channel, class or axis."""
    return [[float(f"{x:.6g}") for x in row] for row in np.quantile(np.asarray(values, float), QUANTILES, axis=0).T]


def by_unit(rows: Sequence[Mapping[str, float | None]], units: Sequence[str]) -> dict[str, list[float]]:
    """The values of each statistic, one for each unit: those of its middle image. Images of one scene or patient are
    alike and do not count for themselves; and their mean would vary less than an image of another scene does.

    Args:
        rows: statistics of images by their names; None where one is not defined.
        units: of each image.

    Returns:
        By statistic, in the order in which units come first, of those where it is defined at all.
    """
    held: dict[str, list[int]] = {}
    for place, unit in enumerate(units):
        held.setdefault(unit, []).append(place)
    found: dict[str, list[float]] = {}
    for places in held.values():
        for name, value in rows[places[len(places) // 2]].items():
            if value is not None:
                found.setdefault(name, []).append(short(float(value)))
    return found


def samples(values: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """At most 500 values of each statistic, sorted, so that nobody can tell which belong to one image."""
    found = {}
    for name, every in values.items():
        kept = np.linspace(0, len(every) - 1, min(len(every), UNITS)).round().astype(int)
        found[name] = [float(x) for x in np.sort(np.asarray(every, float))[kept]]
    return found


def watched_facts(bundle: Bundle) -> dict[str, Any]:
    """What the answers of a model are held against: names of its classes, their values in masks,
    which of them are scored, its reference and its predicted quality, as the bundle has them."""
    task = bundle.task
    facts = {"class_names": list(task.class_names), "scored": list(task.scored), "rank": task.rank}
    facts |= {"regions": [asdict(region) for region in task.regions]} if task.regions else {}
    facts["values"] = list(task.label_values or range(task.classes))
    return {**facts, "reference": bundle.reference, "quality": bundle.quality}


def short(value: float) -> float:
    """With six digits, which is what a statistic is worth."""
    return float(f"{value:.6g}")
