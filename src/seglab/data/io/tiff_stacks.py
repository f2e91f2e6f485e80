"""A volume in one TIFF file: a stack of slices, as ImageJ, OME-TIFF and plain writers of pages have it."""

from __future__ import annotations

import html
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from seglab.data.io.foreign_header import ForeignHeader, fields_of
from seglab.data.io.length_units import millimetres, unknown_unit
from seglab.data.io.nifti_headers import Header, flat, unreadable
from seglab.data.io.tiff_files import black_is_0, check_readable, plain_stack
from seglab.errors import DataError

TIFF_ENDINGS = (".tif", ".tiff")
# Axes of tifffile that are the depth of a stack; pages that nothing is said of are Q or I.
_DEPTH, _CHANNELS = "ZQI", "CS"
_SIZE = re.compile(r'PhysicalSize([XYZ])(Unit)?="([^"]*)"')
_NUMBERED = re.compile(r"(.+)_\d{4}")
_MOST_BYTES = 2**16
_X_RESOLUTION, _Y_RESOLUTION = "XResolution", "YResolution"
_ONE_VOLUME = (
    "save one volume of one time, slices behind one another; of a label with a channel for each class, the number of "
    "the channel in each voxel"
)
_WRITE_BESIDE = 'write all three into <case>.json beside it: {"spacing": [z, y, x]} in mm'


def read_stack(path: str) -> Header:
    """The header of a stack; columns, rows and slices are its first, second and third axis.

    Sizes of voxels are those of a `<case>.json` beside it, as nnU-Net has it, or those that OME or ImageJ wrote;
    without them a voxel is a cube of 1 of an unknown unit. Where 0 is stored as white, it is black here, as of images.

    Raises:
        DataError: a damaged file, one page, several series, an axis of time, slices that are to be turned, colours of
            a kind or numbers that are not read.
    """
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series
            if len(series) != 1:
                raise _refused(path, f"{len(series)} series", "save the one that is the volume as a file of its own")
            axes, sizes, dtype = series[0].axes, series[0].shape, series[0].dtype
            first: Any = series[0].keyframe
            check_readable(Path(path), first, first.axes, dtype)
            if (other := plain_stack(first)) is not None:
                raise _refused(path, *other)
            spacing, unit = _spacing_beside(path) or _spacing(file, path)
            ends = [
                offset + count
                for page in series[0].pages
                if page is not None
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
            ]
            held = file.filehandle.size
    except DataError:
        raise
    except Exception as error:  # whatever a parser makes of a broken file
        raise unreadable(path, f"{type(error).__name__}: {error}"[:300], kind="TIFF file") from error
    if max(ends, default=0) > held:
        raise unreadable(path, f"{held} bytes, with data up to byte {max(ends)}", kind="TIFF file")
    kept = [(axis, size) for axis, size in zip(axes, sizes, strict=True) if size > 1 or axis in "YX"]
    named = "".join(axis for axis, _ in kept)
    depth, channels = (sum(axis in group for axis in named) for group in (_DEPTH, _CHANNELS))
    if depth == 0 and channels < 2 and not set(named) - set(_CHANNELS) - {"Y", "X"}:
        raise flat(path, f"axes {axes}, shape {sizes}")
    if depth != 1 or channels > 1 or len(named) != 3 + channels:
        raise _refused(path, f"axes {axes}, shape {sizes}", _ONE_VOLUME)
    if dtype is None or dtype.kind not in "buif" or dtype == np.float16:
        raise _refused(path, f"numbers of type {dtype}", "save whole numbers, or float32")
    order = [next(k for k, axis in enumerate(named) if axis in group) for group in ("X", "Y", _DEPTH)]
    order += [k for k, axis in enumerate(named) if axis in _CHANNELS]
    shape = tuple(kept[k][1] for k in order)
    dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")
    affine = np.diag([*spacing, 1.0])

    def load() -> np.ndarray:
        try:
            values = tifffile.imread(path)
        except Exception as error:
            raise unreadable(path, f"{type(error).__name__}: {error}"[:300], kind="TIFF file") from error
        values = black_is_0(values.reshape([size for _, size in kept]), first).transpose(order)
        return np.ascontiguousarray(values, dtype)

    return ForeignHeader(path, fields_of(path, shape, dtype, affine, unit), unit, load=load)


def is_stack(path: Path) -> bool:
    """By its ending, in upper or lower case."""
    return path.name.lower().endswith(TIFF_ENDINGS)


def sizes_file(path: str) -> Path | None:
    """The file that nnU-Net keeps the sizes of voxels in, where there is one: `<case>.json` beside `<case>_0000.tif` or
    `<case>.tif`, with `{"spacing": [z, y, x]}` in mm."""
    file = Path(path)
    stem = file.name[: file.name.lower().rindex(".tif")]
    names = [stem, *([numbered[1]] if (numbered := _NUMBERED.fullmatch(stem)) else [])]
    return next((one for name in names if (one := file.with_name(f"{name}.json")).is_file()), None)


def _spacing_beside(path: str) -> tuple[tuple[float, float, float], str] | None:
    file = sizes_file(path)
    if file is None:
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["spacing"] if file.stat().st_size < _MOST_BYTES else None
        sizes = [float(size) for size in found or ()]
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        sizes = []
    if len(sizes) != 3 or not all(math.isfinite(size) and size > 0 for size in sizes):
        raise DataError(
            "sizes of voxels that cannot be read",
            code="volume-position-unknown",
            finding="unreadable-file",
            where=str(file),
            expected='{"spacing": [z, y, x]} in mm',
            remedy="correct the file, or remove it for the sizes that the TIFF itself names",
        )
    return (sizes[2], sizes[1], sizes[0]), "mm"


def _spacing(file: Any, path: str) -> tuple[tuple[float, float, float], str]:
    """Along columns, rows and slices, and its unit."""
    first = file.pages[0]
    if file.is_ome:
        found = {axis + unit: html.unescape(value) for axis, unit, value in _SIZE.findall(file.ome_metadata or "")}
        sizes = [_size(found.get(axis), found.get(f"{axis}Unit", "µm"), path) for axis in "XYZ"]
    elif file.is_imagej:
        metadata = file.imagej_metadata or {}
        unit = str(metadata.get("unit", ""))
        sizes = [_size(_pixel(first, tag), unit, path) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
        # ImageJ leaves a distance of slices of 1 out.
        sizes.append(_size(metadata.get("spacing", 1.0), unit, path))
    else:
        sizes = [None, None, None]
    known = [size for size in sizes if size is not None]
    if not known:
        return (1.0, 1.0, 1.0), "unknown"
    if len(known) < len(sizes):
        raise DataError(
            "sizes of voxels that are known along some axes only",
            code="volume-position-unknown",
            finding="grid-mismatch",
            where=path,
            found=", ".join(f"{axis}: {size or 'none'}" for axis, size in zip("xyz", sizes, strict=True)) + ", in mm",
            expected="all three, or none for cubes of 1",
            remedy=_WRITE_BESIDE,
        )
    return (known[0], known[1], known[2]), "mm"


def _pixel(page: Any, tag: str) -> float | None:
    value = page.tags.valueof(tag)
    return value[1] / value[0] if value and value[0] else None


def _size(size: Any, unit: str, path: str) -> float | None:
    try:
        in_mm = millimetres(unit)
    except KeyError:
        raise unknown_unit(path, f"sizes of voxels in {unit[:40]!r}", _WRITE_BESIDE) from None
    try:
        found = float(size) * (in_mm or math.nan)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) and found > 0 else None


def _refused(path: str, found: str, remedy: str) -> DataError:
    return DataError(
        "a TIFF that is no one volume",
        code="not-a-volume",
        finding="unreadable-file",
        where=path,
        found=found,
        expected="one stack of slices (Z, Y, X), perhaps with channels",
        remedy=remedy,
    )
