"""`seglab evaluate`: every score of a trained model on whole cases."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from seglab.cli.words import read, setting, tracking_uri
from seglab.config.types import NonNegativeFloat, NonNegativeInt
from seglab.run_record import RUNS
from seglab.runtime.waiting import step
from seglab.tracking.store_place import check_findable

_EXAMPLES = """examples:
  seglab evaluate run=4f0c…                                        a run, on its own test cases
  seglab evaluate run=models:/roadseg@champion split=val           a registered model, by alias or version
  seglab evaluate run=4f0c… split=all data.root=/other/place       the same data set at another place
  seglab evaluate bundle=model/ split=all data=nifti data.root=…   a copied bundle on another data set"""


@dataclass(frozen=True, kw_only=True)
class EvaluateWords:
    """Dice, IoU, precision, recall, HD95, ASSD, surface Dice, volume error, lesions and calibration of a model on whole
    cases at their original size; tables and pictures. With a run, the results are added to it."""

    run: str | None = setting("id of a run, or models:/<name>@<alias>", default=None)
    bundle: str | None = setting("folder of a bundle, instead of run", default=None)
    split: Literal["train", "val", "test", "all"] = setting("train, val, test, or all cases", default="test")
    data: tuple[str, ...] = setting(
        "data=<name> data.root=… …: another data set, written as for seglab train; data.root=… alone: the same data "
        "at another place",
        default=(),
        prefix=True,
    )
    tolerance_mm: NonNegativeFloat = setting(
        "tolerance of the surface Dice: mm for volumes, pixels for images", default=1.0
    )
    save_masks: bool = setting("also write every mask: PNG, or NIfTI in the geometry of the case", default=False)
    out: str | None = setting("folder to write to; null: mlruns/evaluations/…", default=None)
    workers: NonNegativeInt | None = setting(
        "processes that measure while this one predicts, a whole number; null: one less than cores", default=None
    )
    tracking_uri: str | None = tracking_uri()


def read_words(words: Sequence[str]) -> EvaluateWords:
    """What the words of the command line say."""
    return read(EvaluateWords, words, "evaluate", _EXAMPLES)


def run(words: Sequence[str]) -> None:
    """Score the model and say so."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    settings = read_words(words)
    check_findable(settings.run, settings.tracking_uri, RUNS)
    with step("loading what scores and draws"):
        from seglab.evaluation.evaluate import EvaluationRequest, evaluate

    evaluate(EvaluationRequest(**asdict(settings)))
