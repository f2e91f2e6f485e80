"""Masks of images in files, as the predict command makes them, without its words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seglab.inference.predict_files import plan_files, predict_plan
from seglab.inference.predictor import Predictor


def predict_files(predictor: Predictor, words: Sequence[Path | str], out: Path | str, **how: Any) -> list[Path]:
    """The masks' paths, in the order of the images; `how` are arguments of `plan_files`."""
    return predict_plan(predictor, plan_files(predictor.task, words, out, **how)).masks
