"""Truth that arrives later: real Dice beside what was predicted of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.data.io.folders import by_stem, stem_of
from seglab.data.io.image_files import read_mask_file
from seglab.data.labels.stored_values import check_mask_size, class_ids
from seglab.errors import ConfigError
from seglab.inference.predicted_quality import Agreement
from seglab.metrics.confusion import confusion_matrix, dice_iou, macro
from seglab.monitoring.database import reading
from seglab.monitoring.kept_images import kept_images, kept_name
from seglab.task import Task

_DIGEST = re.compile(r"[0-9a-f]{32,64}")
_CASES = 10_000


@dataclass(frozen=True)
class TrueCase:
    """An answer whose truth is known: its request, predicted Dice (None where none was) and real Dice, NaN without a
    scored class."""

    request: str
    predicted: float | None
    real: float


@dataclass(frozen=True)
class TrueQuality:
    """All of them.

    Attributes:
        cases: the worst first.
        agreement: of predicted and real Dice; None where there are none of both.
        unmatched: masks of the truth that no row, or no kept mask, belongs to.
    """

    cases: tuple[TrueCase, ...]
    agreement: Agreement | None
    unmatched: int


def true_quality(place: str, folder: Path, kept: Path) -> TrueQuality:
    """Join masks to rows.

    Args:
        place: of the rows.
        folder: with `masks/<name>.*`: the name is a request's id, the digest of what was sent, or that of the file
            `images/<name>.*` beside it.
        kept: folder of the images that the service kept, for the masks that it answered.

    Raises:
        ConfigError: no masks, or nothing was kept.
        DataError: a mask that cannot be read, or is not of its image.
    """
    masks = [file for file in sorted((folder / "masks").glob("*.*")) if not file.name.startswith(".")][:_CASES]
    answered = kept_images(kept)
    if not masks or not answered:
        raise ConfigError(
            "no truth that can be joined to the rows",
            code="truth-missing",
            where=str(folder if not masks else kept),
            found="no masks" if not masks else "no kept images",
            expected="masks/<request id>.png, and the folder of seglab serve keep_images=…",
            remedy="give truth=<folder> with masks, and kept=<folder> that the service kept images in",
        )
    images = by_stem((folder / "images").glob("*.*"))
    with reading(place) as database:
        cases, unmatched = [], 0
        for mask in masks:
            name = stem_of(mask)
            column = "input" if name in images or _DIGEST.fullmatch(name) else "request"
            value = _digest(images[name]) if name in images else name
            rows = database.ask(
                "SELECT p.request, p.input, p.quality, m.told FROM predictions p JOIN models m ON m.digest = p.digest"
                f" WHERE p.{column} = :value AND p.input IS NOT NULL ORDER BY p.id DESC LIMIT 1",
                value=value,
            )
            found = answered.get(kept_name(rows[0][1])) if rows else None
            if found is None:
                unmatched += 1
                continue
            request, _, quality, told = rows[0]
            cases.append(TrueCase(request, quality, _dice(mask, found.mask, json.loads(told))))
    pairs = np.array([(one.predicted, one.real) for one in cases if one.predicted is not None], float).reshape(-1, 2)
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    agreement = Agreement.of(pairs[:, 0], pairs[:, 1]) if len(pairs) else None
    return TrueQuality(tuple(sorted(cases, key=lambda one: one.real)), agreement, unmatched)


def _dice(truth: Path, predicted: Path, told: Mapping[str, object]) -> float:
    names, values, scored = told["class_names"], told["values"], told["scored"]
    assert isinstance(names, list)
    assert isinstance(values, list)
    assert isinstance(scored, list)
    unscored = tuple(number for number in range(len(names)) if number not in scored)
    task = Task(2, 1, tuple(names), unscored=unscored)
    true, answered = (class_ids(read_mask_file(file), values, task.ignore_label) for file in (truth, predicted))
    check_mask_size(true, answered.shape, str(truth))
    return macro(dice_iou(confusion_matrix(true, answered, task))[0], task)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
