"""NRRD and MetaImage files, by SimpleITK.

ITK counts millimetres to left, posterior and superior; NIfTI to right, anterior and superior.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.io.foreign_header import ForeignHeader, fields_of
from seglab.data.io.length_units import millimetres, unknown_unit
from seglab.data.io.nifti_headers import Header, flat, unreadable
from seglab.data.io.nrrd_axes import field, named_steps, spatial_axes
from seglab.errors import DataError
from seglab.extras import check_module

ITK_ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_KIND = "NRRD, MetaImage or DICOM file"
_MOST_UNPACKED = 1032  # of deflate, as for NIfTI
_HEADER_BYTES = 2**20
# The file of the voxels that a header without them names, in MetaImage and in NRRD.
_NAMED = {
    ".mhd": re.compile(rb"^ElementDataFile\s*=\s*(.*?)\s*$", re.M),
    ".nhdr": re.compile(rb"^data ?file:\s*(.*?)\s*$", re.M),
}
_QUOTED = re.compile(r'"([^"]*)"')
_DISTANCE_UNITS = re.compile(r"(?m)^DistanceUnits\s*=\s*(.*?)\s*$")
_ELEMENT_STEPS = re.compile(r"(?m)^Element(?:Spacing|Size)\s*=")


def voxel_file(path: str) -> Path | None:
    """The file of the voxels, where a header (`.mhd`, `.nhdr`) names one beside it; None where they are within.

    Raises:
        DataError: a header that names none, several, or one of another folder.
    """
    pattern = _NAMED.get(Path(path).suffix.lower())
    if pattern is None:
        return None
    with open(path, "rb") as file:
        named = pattern.search(file.read(_HEADER_BYTES))
    name = os.fsdecode(named[1]) if named else ""
    if name.upper() == "LOCAL" or (not name and path.lower().endswith(".nhdr")):
        return None
    beside = Path(path).with_name(name) if name and "/" not in name and "\\" not in name and "\0" not in name else None
    if beside is None or name in (".", "..") or "%" in name or name.upper().startswith("LIST") or not beside.is_file():
        raise unreadable(
            path,
            f"a header that names its voxels {name[:200]!r}",
            "put the one file of its voxels beside it, or join the two: with SimpleITK, WriteImage(ReadImage(file), "
            "'case.nrrd')",
            "header with the file of its voxels in the same folder",
        )
    return beside


def read_itk(path: str) -> Header:
    """The header of a NRRD or MetaImage file.

    Raises:
        ConfigError: SimpleITK is not installed.
        DataError: a damaged file or one that declares more than it holds, fewer than three axes, voxels that are no
            real numbers, a header that does not say where they lie.
    """
    held = Path(path).stat().st_size
    voxels = voxel_file(path)
    if voxels is not None:
        held += voxels.stat().st_size
    reader = opened(path, path)
    head = _head(path)
    steps = _steps(head, path)
    shape, dtype, affine = geometry(reader, path, _unit(head, path), steps)
    declared = math.prod(shape) * np.dtype(dtype).itemsize
    if declared > held * _MOST_UNPACKED:
        raise unreadable(path, f"a header that declares {declared:,} bytes, in {held:,}", kind=_KIND)
    named = "unknown" if steps == [] else "mm"
    fields = fields_of(path, shape, dtype, affine, named)
    return ForeignHeader(path, fields, named, load=lambda: values_of(lambda: reader.Execute(), path))


def opened(path: str, where: str) -> Any:
    """A reader that has read the header."""
    check_module("SimpleITK", where)
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetFileName(path)
    try:
        reader.LoadPrivateTagsOff()
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(path, _last_line(error), kind=_KIND) from error
    return reader


def _last_line(error: Exception) -> str:
    return " ".join(str(error).strip().splitlines()[-1].split())[:300]


def geometry(
    reader: Any, path: str, unit: float = 1.0, steps: Sequence[float] | None = None
) -> tuple[tuple[int, ...], Any, np.ndarray]:
    """Shape `(X, Y, Z)` or `(X, Y, Z, C)`, dtype and affine to mm in RAS of what a reader has open; `steps` from voxel
    to voxel, in the unit, where ITK did not read them."""
    size, channels, axes = reader.GetSize(), reader.GetNumberOfComponents(), reader.GetDimension()
    if axes not in (3, 4) or (axes == 4 and channels > 1):
        if axes < 3:
            raise flat(path, f"shape {tuple(size)}")
        raise DataError(
            "an image with more axes than space and channels",
            code="image-channels",
            finding="channel-mismatch",
            where=path,
            found=f"shape {tuple(size)}, {channels} numbers a voxel",
            expected="(X, Y, Z) or (X, Y, Z, C)",
            remedy="save each of its volumes as a file of its own",
        )
    direction = np.reshape(reader.GetDirection(), (axes, axes))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.asarray(steps or reader.GetSpacing()[:3]) * unit
    affine[:3, 3] = np.asarray(reader.GetOrigin()[:3]) * unit
    count = channels if axes == 3 else size[3]
    return (*size[:3], *((count,) if count > 1 else ())), _dtype(reader, path), TO_RAS @ affine


def _dtype(reader: Any, path: str) -> Any:
    import SimpleITK as sitk

    names = {
        getattr(sitk, f"sitk{vector}{kind}"): kind.lower()
        for vector in ("", "Vector")
        for kind in ("UInt8", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64", "Float32", "Float64")
    }
    found = names.get(reader.GetPixelID())
    if found is None:
        raise DataError(
            "a volume whose voxels are no real numbers",
            code="volume-not-real",
            finding="voxel-datatype",
            where=path,
            found=sitk.GetPixelIDValueAsString(reader.GetPixelID()),
            expected="one whole or floating point number a voxel, up to 64 bits",
            remedy="save it anew as float32",
        )
    return np.dtype(found)


def _head(path: str) -> str:
    """What stands before the voxels."""
    with open(path, "rb") as file:
        start = file.read(_HEADER_BYTES)
    end = rb"\r?\n\r?\n" if _is_nrrd(path) else rb"ElementDataFile"
    return re.split(end, start, maxsplit=1)[0].decode(errors="replace")


def _is_nrrd(path: str) -> bool:
    return path.lower().endswith((".nrrd", ".nhdr"))


def _steps(head: str, path: str) -> list[float] | None:
    """As `named_steps`; ITK reads all that MetaImage says."""
    if _is_nrrd(path):
        return named_steps(head, path)
    return None if _ELEMENT_STEPS.search(head) else []


def _unit(head: str, path: str) -> float:
    """Millimetres in the unit that the header names, which ITK passes over."""
    if not _is_nrrd(path):
        named = _DISTANCE_UNITS.search(head)
        return _millimetres([named[1]] if named else [], path)
    of_space = _QUOTED.findall(field(head, "space units"))
    # Without a space each axis has a unit of its own, one of channels perhaps another.
    of_axes = _QUOTED.findall(field(head, "units"))
    return _millimetres(of_space or [of_axes[k] for k in spatial_axes(head) if k < len(of_axes)], path)


def _millimetres(units: Sequence[str], path: str) -> float:
    try:
        (found,) = {millimetres(unit) for unit in units} or {None}
    except (KeyError, ValueError):
        raise unknown_unit(path, f"units: {', '.join(sorted(set(units)))}") from None
    return found or 1.0


def values_of(read: Callable[[], Any], path: str) -> np.ndarray:
    """The voxels of what is read: `(X, Y, Z)` or `(X, Y, Z, C)`."""
    import SimpleITK as sitk

    try:
        image = read()
    except RuntimeError as error:
        raise unreadable(path, _last_line(error), kind=_KIND) from error
    values = sitk.GetArrayViewFromImage(image)
    channels = image.GetNumberOfComponentsPerPixel() > 1
    spatial = tuple(range(values.ndim - channels))[::-1]
    return np.ascontiguousarray(values.transpose(*spatial, *((values.ndim - 1,) if channels else ())))
