"""Shared by the tests of volume formats: one volume, written as each of them."""

from __future__ import annotations

import json
import locale
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import tifffile

SPACING, ORIGIN = (0.5, 0.75, 2.5), (-10.0, 20.0, 30.0)


VOLUME = np.random.default_rng(0).integers(-1000, 3000, (6, 5, 4)).astype(np.int16)  # (X, Y, Z)


# 30° about the axis to the head: what ITK calls directions.
TURN = np.array([[np.cos(np.pi / 6), -np.sin(np.pi / 6), 0], [np.sin(np.pi / 6), np.cos(np.pi / 6), 0], [0, 0, 1.0]])


def itk_image(values: np.ndarray = VOLUME, direction: np.ndarray | None = None) -> Any:
    image = sitk.GetImageFromArray(np.moveaxis(values, (0, 1, 2), (2, 1, 0)), isVector=values.ndim == 4)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    if direction is not None:
        image.SetDirection(direction.ravel().tolist())
    return image


def write_series(folder: Path, image: Any, series: str = "1.2.3", **tags: str) -> Path:
    """One DICOM file a slice, named against their order."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    depth, spoken = image.GetDepth(), locale.setlocale(locale.LC_ALL)
    for number in range(depth):
        part = image[:, :, number]
        direction = image.GetDirection()
        place = image.TransformIndexToPhysicalPoint((0, 0, number))
        along = [direction[k] for k in (0, 3, 6, 1, 4, 7)]
        for key, value in {
            "0008|0060": "MR",
            "0020|000e": series,
            "0020|000d": "1.2",
            "0008|0018": f"{series}.{number}",
            "0020|0032": "\\".join(map(str, place)),
            "0020|0037": "\\".join(map(str, along)),
            "0020|0013": str(number),
            **tags,
        }.items():
            part.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{series}_{depth - number:03d}.dcm"))
        writer.Execute(part)
    locale.setlocale(locale.LC_ALL, spoken)  # writing DICOM changes it, and with it how Python decodes text
    return folder


def stack(path: Path, form: str) -> None:
    values = np.moveaxis(VOLUME, (0, 1, 2), (2, 1, 0)).astype(np.uint16)
    if form == "ome":
        sizes = {"PhysicalSizeX": 500.0, "PhysicalSizeY": 750.0, "PhysicalSizeZ": 2500.0}
        tifffile.imwrite(path, values, ome=True, metadata={"axes": "ZYX", **sizes})
    elif form == "imagej":
        fields = {"axes": "ZYX", "spacing": 2500.0, "unit": "um"}
        tifffile.imwrite(path, values, imagej=True, resolution=(1 / 500, 1 / 750), metadata=fields)
    else:
        tifffile.imwrite(path, values, photometric="minisblack")
        if form == "nnunet":
            path.with_suffix(".json").write_text(json.dumps({"spacing": [2.5, 0.75, 0.5]}))
