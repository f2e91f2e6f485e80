"""How many false near-duplicates the check of the data finds in a data set, and how many copies of its images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from rich.table import Table

from seglab.config.run_config import DataSettings
from seglab.data.cases import Case, Source
from seglab.data.check.duplicates import DuplicateSearch
from seglab.data.preprocessing.geometry import resize_image
from seglab.data.preprocessing.image_detail import detail_of
from seglab.data.splits import split_for

Change = Callable[[np.ndarray], np.ndarray]
Look = tuple[str, tuple[int, ...]]

CASES, COPIES = 1000, 60


def crop(image: np.ndarray, before: float, after: float) -> np.ndarray:
    """Without these shares of each axis at its start and at its end."""
    return image[tuple(slice(round(n * before), n - round(n * after)) for n in image.shape[:-1])]


def noisy(image: np.ndarray) -> np.ndarray:
    """With noise of a twentieth of the range of values."""
    values = image.astype(np.float32)
    low, high = np.percentile(values, (1, 99))
    return _as(values + np.random.default_rng(3).normal(0, 0.05 * (high - low), image.shape), image)


def other_contrast(image: np.ndarray) -> np.ndarray:
    """Paler and brighter, by a power."""
    values = image.astype(np.float32)
    low, high = float(values.min()), max(float(np.percentile(values, 99.5)), float(values.min()) + 1e-6)
    return _as(low + (high - low) * (0.1 + 0.8 * np.clip((values - low) / (high - low), 0, 1) ** 0.7), image)


def jpeg(image: np.ndarray) -> np.ndarray:
    """Each channel in 8 bits, written and read with quality 75."""
    values = image.astype(np.float32)
    low, high = values.min(), values.max()
    eight = np.clip((values - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    flag = [cv2.IMWRITE_JPEG_QUALITY, 75]
    written = [cv2.imencode(".jpg", np.ascontiguousarray(eight[..., c]), flag)[1] for c in range(image.shape[-1])]
    return np.stack([np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)) for file in written], axis=-1)


def half(image: np.ndarray) -> np.ndarray:
    """At half the size."""
    return resize_image(np.ascontiguousarray(image), [max(n // 2, 1) for n in image.shape[:-1]])


def _as(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    if image.dtype.kind == "u":
        values = np.clip(np.rint(values), 0, np.iinfo(image.dtype).max)
    return values.astype(image.dtype)


_EVERYWHERE: dict[str, Change] = {
    "same": lambda i: i,
    "contrast": other_contrast,
    "noise": noisy,
    "half-the-size": half,
    "crop-all-around": lambda i: crop(i, 0.05, 0.05),
    "crop-one-corner": lambda i: crop(i, 0.05, 0),
    "crop-one-side": lambda i: i[round(0.05 * len(i)) :],
    "turn": lambda i: np.rot90(i),
}
# What is done to a copy, by rank: crops are of 5% of each axis.
CHANGES: dict[int, dict[str, Change]] = {
    2: {
        **_EVERYWHERE,
        "jpeg": jpeg,
        "mirror": lambda i: i[:, ::-1],
        "upside-down": lambda i: i[::-1],
        "turn-over": lambda i: i[::-1, ::-1],
        "mirror-crop-jpeg": lambda i: jpeg(crop(i[:, ::-1], 0, 0.05)),
    },
    3: {
        **_EVERYWHERE,
        "mirror-x": lambda i: i[::-1],
        "mirror-y": lambda i: i[:, ::-1],
        "mirror-z": lambda i: i[:, :, ::-1],
        "slice-off": lambda i: i[:, :, 1:],
        "slices-moved": lambda i: np.concatenate([i[:, :, 1:], i[:, :, -1:]], axis=2),
        "mirror-slice-off": lambda i: i[::-1, :, 1:],
    },
}


def look_of(image: np.ndarray) -> Look:
    """Detail and shape of an image, which is all that is compared."""
    return detail_of(np.ascontiguousarray(image)), tuple(image.shape[:-1])


def found_in(known: Sequence[Look], held: Sequence[Look]) -> tuple[list[int | None], float]:
    """For each of `held` the place in `known` of what it looks like, and the agreement from which that is said."""
    details, shapes = zip(*known, *held, strict=True)
    likeness = DuplicateSearch(details, shapes, [str(n) for n in range(len(details))])
    rows = np.arange(len(details))
    matches = {m.held - len(known): m.known for m in likeness.matches(rows[len(known) :], rows[: len(known)])}
    return [matches.get(n) for n in range(len(held))], likeness.limit.agreement


def measure(config: DataSettings, cases: int = CASES, copies: int = COPIES) -> Table:
    """Read a data set, split it as its config says, and count what is found.

    Alarms are images of validation and test that look like one of training: false where the split is right. Copies are
    training images that were changed and held against all of training; each copy is found with its origin or a
    neighbour of it.

    Args:
        config: as a training would take it; without a model too.
        cases: so many of training and of the rest at most, evenly chosen.
        copies: made of so many images.

    Raises:
        DataError: files that cannot be used, or a split that cannot be made of them.
    """
    source: Source = config.data.build()
    split = split_for(source, config.data_config, config.seed)
    by_id = {case.id: case for case in source.cases}
    train = [by_id[i] for i in _some(split.train, cases)]
    held = [by_id[i] for i in _some((*split.val, *split.test), cases)]
    known, rest = ([look_of(_image(source, case)) for case in part] for part in (train, held))
    table = Table("what", "found", "of", "agreement from", "seconds")

    def add(what: str, looks: list[Look]) -> None:
        start = time.perf_counter()
        places, limit = found_in(known, looks)
        seconds = time.perf_counter() - start
        found = sum(place is not None for place in places)
        table.add_row(what, str(found), str(len(looks)), f"{limit:.2f}", f"{seconds:.1f}")

    if rest:
        add(f"alarms: validation and test against {len(known)} of training", rest)
    chosen = _some(range(len(train)), copies)
    for name, change in CHANGES[source.task.rank].items():
        add(f"copies: {name}", [look_of(change(_image(source, train[n]))) for n in chosen])
    return table


def _image(source: Source, case: Case) -> np.ndarray:
    return source.read(case).image


def _some(items: Sequence[Any], count: int) -> list[Any]:
    return [items[n] for n in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]
