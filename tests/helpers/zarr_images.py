"""Volumes in Zarr folders, as other programs write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import zarr

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.predictor import Predictor
from seglab.task import Region, Task


def write_image(
    path: Path,
    levels: Sequence[np.ndarray],
    *,
    version: str = "0.5",
    axes: str = "zyx",
    scales: Sequence[Sequence[float]] | None = None,
    unit: str | None = "millimeter",
    chunks: tuple[int, ...] | None = None,
    separator: str = "/",
    common: Any = None,
    shift: Sequence[float] | None = None,
    **more: Any,
) -> Path:
    """An OME-Zarr image of levels in stored order."""
    three = version == "0.5"
    kinds = {"t": "time", "c": "channel"}
    listed: list[dict[str, str]] = [{"name": name, "type": kinds.get(name, "space")} for name in axes]
    for axis in listed:
        if unit and axis["type"] == "space":
            axis["unit"] = unit
    datasets = []
    for number in range(len(levels)):
        scale = list(scales[number]) if scales else [2.0**number if a in "xyz" else 1.0 for a in axes]
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if shift is not None:
            steps.append({"type": "translation", "translation": list(shift)})
        datasets.append({"path": str(number), "coordinateTransformations": steps})
    multiscale: dict[str, Any] = {"axes": listed, "datasets": datasets}
    if common is not None:
        multiscale["coordinateTransformations"] = common
    fields = {"multiscales": [multiscale], **more}
    if not three:
        multiscale["version"] = version
    attributes = {"ome": {"version": version, **fields}} if three else fields
    group = zarr.create_group(path, zarr_format=3 if three else 2, attributes=attributes)
    for number, level in enumerate(levels):
        array = group.create_array(
            str(number),
            shape=level.shape,
            dtype=level.dtype,
            chunks=chunks or tuple(min(n, 32) for n in level.shape),
            fill_value=0,
            chunk_key_encoding={"name": "default" if three else "v2", "separator": separator},
        )
        array[...] = level
    return path


def window_predictor(
    classes: int = 2,
    channels: int = 1,
    window: tuple[int, ...] = (16, 16, 16),
    mode: str = "scale",
    spacing: tuple[float, ...] | None = None,
    regions: tuple[Region, ...] = (),
    **how: Any,
) -> Predictor:
    """Two convolutions of fixed weights, so that each window sees its neighbourhood and its own border."""
    task = Task(3, channels, tuple(f"class {k}" for k in range(classes)), regions=regions)
    image = keras.Input((*window, channels))
    hidden = keras.layers.Conv3D(3, 3, padding="same", activation="relu")
    last = keras.layers.Conv3D(task.logit_channels, 3, padding="same")
    model = keras.Model(image, last(hidden(image)))
    rng = np.random.default_rng(7)
    drawn = [rng.normal(0, 1, weight.shape) for weight in model.get_weights()]
    drawn[2] -= drawn[2].mean(axis=(0, 1, 2, 3))  # so that no class wins everywhere
    model.set_weights([weight.astype(np.float32) for weight in drawn])
    return Predictor(
        model, task, Preprocessing(mode, channels, 255.0, scale="bytes"), window, "patch", spacing=spacing, **how
    )
