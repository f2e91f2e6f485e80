"""Truth that arrives later: real Dice beside what was predicted of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.data.io.folders import by_stem, stem_of
from seglab.data.io.image_files import read_mask_file
from seglab.data.io.nifti_headers import is_nifti
from seglab.data.labels.stored_values import check_mask_size, class_ids
from seglab.data.labels.true_values import IGNORED, other_values, true_ids
from seglab.errors import ConfigError
from seglab.inference.predicted_quality import Agreement
from seglab.metrics.confusion import confusion_matrix, macro, overlaps, sizes
from seglab.monitoring.database import reading
from seglab.monitoring.kept_images import KeptImage, kept_images, kept_name
from seglab.monitoring.schema import column_of
from seglab.runtime.file_digest import sha256_of
from seglab.task import Region, Task

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
        ignored: share of the pixels of true masks, of those that belong to a row, that are 255 where that is no class;
            nobody counts them.
        nothing_else: true masks that hold 255 and no scored class.
    """

    cases: tuple[TrueCase, ...]
    agreement: Agreement | None
    unmatched: int
    ignored: float = 0.0
    nothing_else: int = 0


@dataclass(frozen=True)
class _Counted:
    """A true mask against what was answered: Dice, pixels, how many are ignored, whether it holds a scored class."""

    dice: float
    pixels: int
    ignored: int
    held: bool


def true_quality(place: str, folder: Path, kept: Path) -> TrueQuality:
    """Join masks to rows.

    Args:
        place: of the rows.
        folder: with `masks/<name>.*`, pictures or NIfTI: the name is a request's id, the digest of what was sent, or
            that of the file `images/<name>.*` beside it. They hold the values of the classes, and 255 where nobody
            knows.
        kept: folder of the images that the service kept, for the masks that it answered.

    Raises:
        ConfigError: no masks, or nothing was kept.
        DataError: a mask that cannot be read, is not of its image, or holds other values; 255 in all of them and a
            scored class in none.
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
        cases, unmatched, all_counted = [], 0, []
        described = column_of("models", "description", database.version)
        for mask in masks:
            name = stem_of(mask)
            column = "input" if name in images or _DIGEST.fullmatch(name) else "request"
            value = sha256_of(images[name]) if name in images else name
            rows = database.ask(
                f"SELECT p.request, p.input, p.quality, m.{described} FROM predictions p"
                f" JOIN models m ON m.digest = p.digest WHERE p.{column} = :value AND p.input IS NOT NULL"
                " ORDER BY p.id DESC LIMIT 1",
                value=value,
            )
            found = answered.get(kept_name(rows[0][1])) if rows else None
            if found is None:
                unmatched += 1
                continue
            request, _, quality, description = rows[0]
            counted = _counted(mask, found, json.loads(description))
            all_counted.append(counted)
            cases.append(TrueCase(request, quality, counted.dice))
    nothing_else = sum(one.ignored > 0 and not one.held for one in all_counted)
    if nothing_else and not any(one.held for one in all_counted):
        raise other_values(str(folder / "masks"), f"{IGNORED}, and no scored class in any of {len(all_counted)} masks")
    ignored = sum(one.ignored for one in all_counted) / max(1, sum(one.pixels for one in all_counted))
    pairs = np.array([(one.predicted, one.real) for one in cases if one.predicted is not None], float).reshape(-1, 2)
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    agreement = Agreement.of(pairs[:, 0], pairs[:, 1]) if len(pairs) else None
    by_dice = tuple(sorted(cases, key=lambda one: one.real))
    return TrueQuality(by_dice, agreement, unmatched, ignored, nothing_else)


def _counted(truth: Path, kept: KeptImage, description: Mapping[str, object]) -> _Counted:
    names, values, scored = description["class_names"], description["values"], description["scored"]
    assert isinstance(names, list)
    assert isinstance(values, list)
    assert isinstance(scored, list)
    unscored = tuple(number for number in range(len(names)) if number not in scored)
    regions = description.get("regions", ())  # a model of before tells none
    assert isinstance(regions, Sequence)
    task = Task(
        3 if description.get("rank") == 3 else 2,
        1,
        tuple(names),
        unscored=unscored,
        regions=tuple(map(Region.from_dict, regions)),
    )
    stored, answered = (_stored(file, kept, task.rank) for file in (truth, kept.mask))
    predicted = class_ids(answered, values, task.ignore_label)
    check_mask_size(stored, predicted.shape, str(truth))
    true = true_ids(stored, values, names, task.ignore_label, str(truth))
    dice = macro(overlaps(sizes(confusion_matrix(true, predicted, task), task))[0], task)
    held = bool(np.isin(true, task.scored).any())
    return _Counted(dice, true.size, int((true == task.ignore_label).sum()), held)


def _stored(file: Path, kept: KeptImage, rank: int) -> np.ndarray:
    """Values of a mask; of a volume in RAS order, where it lies as the image that was sent."""
    if rank == 2 or not is_nifti(file):
        return read_mask_file(file)
    from seglab.data.sources.nifti_labels import read_label

    return read_label(str(file), str(kept.image))[0]
