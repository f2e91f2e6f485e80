"""A mask as bytes: indexed PNG, JSON, NIfTI, or the numbers alone."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.data.io.png_encoding import plane_as_png
from seglab.inference.mask_writer import nifti_like
from seglab.serving.exported_model import LoadedModel

if TYPE_CHECKING:
    from seglab.inference.mask_facts import MaskFacts

_LEVEL = 1  # of zlib, for NIfTI: a tenth more bytes than its default, in a third of the time


def png(ids: np.ndarray, model: LoadedModel, *, palette: bool = True) -> bytes:
    """Values of the classes with their colours as palette; of values above 255 in 16 bits, without."""
    stored, colors = model.stored(ids), None
    if stored.dtype == np.uint8 and palette:
        colors = np.zeros((256, 3), np.uint8)
        for row in model.served.classes():
            colors[row["value"]] = row["color"]
    return plane_as_png(stored, colors, {"Software": "seglab mask", "Bundle": model.served.label})


def raw(ids: np.ndarray, model: LoadedModel) -> tuple[bytes, dict[str, str]]:
    """The values row by row, little end first, and headers that tell their shape and type."""
    stored = np.ascontiguousarray(model.stored(ids))
    headers = {"X-Mask-Shape": ",".join(map(str, stored.shape)), "X-Mask-Dtype": stored.dtype.name}
    return stored.astype(stored.dtype.newbyteorder("<")).tobytes(), headers


def nifti(ids: np.ndarray, model: LoadedModel, like: Path) -> bytes:
    """A compressed NIfTI file in the geometry of the image `like`."""
    image, _ = nifti_like(model.stored(ids), like, like)
    return gzip.compress(image.to_bytes(), _LEVEL, mtime=0)


def summary(
    ids: np.ndarray, model: LoadedModel, facts: MaskFacts, *, rle: bool = False, spacing: Any = None
) -> dict[str, Any]:
    """Of each class: pixels, their share, mean probability that it was chosen with, the box that holds them
    (`[low, high)` of each axis), and its RLE."""
    counts = np.bincount(ids.ravel(), minlength=model.bundle.task.classes)
    edge = None if spacing is None else float(np.prod(spacing))
    rows = []
    for row in model.served.classes():
        count = int(counts[row["id"]])
        found = {**row, "pixels": count, "share": count / ids.size}
        if edge is not None:
            found["volume_mm3"] = count * edge
        found["mean_confidence"] = facts.confidence_of(row["id"])
        found["box"] = _box(ids == row["id"]) if count else None
        if rle and ids.ndim == 2:
            found["rle"] = {"size": list(ids.shape), "counts": coco_counts(ids == row["id"])}
        rows.append(found)
    fields = {"bundle": model.served.label, "shape": list(ids.shape), "mean_confidence": facts.confidence}
    return {**fields, "classes": rows}


def _box(inside: np.ndarray) -> list[list[int]]:
    box = []
    for axis in range(inside.ndim):
        others = tuple(other for other in range(inside.ndim) if other != axis)
        held = np.flatnonzero(inside.any(axis=others))
        box.append([int(held[0]), int(held[-1]) + 1])
    return box


def coco_counts(inside: np.ndarray) -> str:
    """COCO's compressed run lengths of a mask `(H, W)`: down the columns, of 0 and 1 in turn, each as the difference
    from the one before the last, in digits of 5 bits."""
    flat = inside.ravel(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    if flat.size and flat[0]:
        runs.insert(0, 0)
    text = []
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            digit, value = value & 0x1F, value >> 5
            more = value != (-1 if digit & 0x10 else 0)
            text.append(chr((digit | (0x20 if more else 0)) + 48))
    return "".join(text)
