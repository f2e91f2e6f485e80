"""What a trained model is watched with, where nobody knows the truth.

That is its predicted quality, and how training images and validation masks were in numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.data.cases import Case, Source
from seglab.data.labelled import labelled
from seglab.data.loading.training_data import TrainingData
from seglab.errors import naming
from seglab.evaluation.case_scores import score_case
from seglab.inference.image_statistics import image_statistics
from seglab.inference.mask_facts import MaskFacts, mask_statistics
from seglab.inference.predicted_quality import Agreement, PredictedQuality, Rejection
from seglab.inference.reference_data import UNITS, by_unit, samples
from seglab.metrics.confusion import confusion_matrix

if TYPE_CHECKING:
    from seglab.inference.predictor import Predictor

CASES = 100  # of a split, at most, that are predicted for this
LEAST_CASES = 10  # that a map is fitted to
_FOLDS = 5
_PIXELS = 2_000_000_000  # of all training images together that are read for their statistics


@dataclass(frozen=True)
class ScoredCase:
    """A case that was predicted.

    Attributes:
        unit: its group.
        dice: mean over the scored classes that truth or mask holds; NaN without one.
        mask: statistics of its mask, see `flat_mask_statistics`.
    """

    unit: str
    dice: float
    mask: dict[str, float | None]


def scored_cases(predictor: Predictor, source: Source, cases: Sequence[Case]) -> list[ScoredCase]:
    """Predict labelled cases, at most a hundred that lie evenly among them; raises as `score_cases`."""
    found = []
    for case in _evenly(cases, CASES):
        sample, truth = labelled(source, case)
        facts = MaskFacts(source.task)
        with naming(source.describe_files(case)):
            mask = predictor.predict(sample.seen, sample.spacing, seen=facts)
        dice = score_case(confusion_matrix(truth, mask, source.task), source.task)["dice"]
        found.append(ScoredCase(case.group, dice, flat_mask_statistics(mask_statistics(facts, mask))))
    return found


def flat_mask_statistics(statistics: dict[str, Any]) -> dict[str, float | None]:
    """`mask_statistics` with a number for each name: `share_<k>` for each class id k."""
    shares = {f"share_{number}": share for number, share in enumerate(statistics["shares"])}
    return {**{name: value for name, value in statistics.items() if name != "shares"}, **shares}


def fit_quality(validation: Sequence[ScoredCase], test: Sequence[ScoredCase]) -> PredictedQuality | None:
    """The map from soft Dice confidence to Dice, by isotonic regression on the validation cases.

    Its error there is that on a fifth of the units, predicted by a map of the others; that on the test cases is of the
    map itself. Cases without a Dice or a confidence do not count.

    Returns:
        None of fewer than ten validation cases.
    """
    confidence, dice, units = _pairs(validation)
    if len(dice) < LEAST_CASES:
        return None
    _, fold = np.unique(units, return_inverse=True)
    fold = fold % _FOLDS
    left_out = np.full(len(dice), np.nan)
    for number in range(_FOLDS):
        inside = fold == number
        if inside.any() and not inside.all():
            left_out[inside] = np.interp(confidence[inside], *_isotonic(confidence[~inside], dice[~inside]))
    known = ~np.isnan(left_out)
    own = Agreement.of(left_out[known], dice[known]) if known.any() else Agreement.of(dice, dice)
    knots = _isotonic(confidence, dice)
    theirs, real, groups = _pairs(test)
    shown = Agreement.of(np.interp(theirs, *knots), real) if len(real) else None
    rejection = Rejection.of(theirs, real, groups)
    return PredictedQuality(tuple(knots[0].tolist()), tuple(knots[1].tolist()), own, shown, rejection)


def watched_with(predictor: Predictor, training_data: TrainingData, reference: dict[str, Any]) -> dict[str, Any]:
    """What a bundle holds of it: `quality`, and `reference` with `samples` of the statistics of training images and of
    the masks of validation cases, one value for each unit (group) of them.

    Args:
        predictor: the trained model.
        training_data: that it was trained on; a promptable network is not watched so.
        reference: as far as it is known.
    """
    if training_data.objects is not None:
        return {"reference": reference, "quality": {}}
    source = training_data.source
    validation = scored_cases(predictor, source, training_data.cases("val"))
    test = scored_cases(predictor, source, training_data.cases("test"))
    quality = fit_quality(validation, test)
    kept = {
        "image": samples(_image_values(training_data)),
        "mask": samples(by_unit(list(map(_trusted, validation)), [one.unit for one in validation])),
    }
    return {"reference": {**reference, "samples": kept}, "quality": quality.to_dict() if quality else {}}


def _image_values(training_data: TrainingData) -> dict[str, list[float]]:
    rows: list[dict[str, float]] = []
    units: list[str] = []
    pixels = 0
    for case in _evenly(training_data.cases("train"), UNITS):
        pixels += math.prod(training_data.facts[case.id].shape)
        if rows and pixels > _PIXELS:
            break
        rows.append(image_statistics(training_data.source.read(case).image))
        units.append(case.group)
    return by_unit(rows, units)


def _trusted(one: ScoredCase) -> dict[str, float | None]:
    """Its mask's statistics, where no foreground is no confidence at all."""
    return {**one.mask, "soft_dice": one.mask["soft_dice"] or 0.0}


def _evenly(cases: Sequence[Case], most: int) -> list[Case]:
    if not cases:
        return []
    return [cases[place] for place in np.linspace(0, len(cases) - 1, min(len(cases), most)).round().astype(int)]


def _pairs(found: Sequence[ScoredCase]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    known = [one for one in found if one.mask["soft_dice"] is not None and not math.isnan(one.dice)]
    pairs = np.array([(one.mask["soft_dice"], one.dice) for one in known], float).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], [one.unit for one in known]


def _isotonic(confidence: np.ndarray, dice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots of the growing map that lies closest in squares."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0).fit(confidence, dice)
    return fitted.X_thresholds_, fitted.y_thresholds_
