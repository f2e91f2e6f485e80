"""Series of DICOM slices, by SimpleITK: a folder for each volume, or one file of several frames."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.io.foreign_header import ForeignHeader, fields_of
from seglab.data.io.itk_files import TO_RAS, geometry, opened, values_of
from seglab.data.io.nifti_headers import Header
from seglab.errors import DataError

DICOM_ENDINGS = (".dcm", ".ima")
_MAGIC_AT, _MAGIC = 128, b"DICM"
_SERIES, _PHOTOMETRIC = "0020|000e", "0028|0004"
_PROBED = 16  # files of a folder that are opened to see whether it is a series
_EVEN = (
    0.05  # share of a step by which steps between slices may differ, and a slice may lie beside the line of the rest
)


def is_dicom(path: Path) -> bool:
    """Whether a file is one of DICOM, by its mark."""
    try:
        with path.open("rb") as file:
            return file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC
    except OSError:
        return False


def slices_in(folder: Path) -> list[Path]:
    """The DICOM files of a folder, by name; none where its first files are all of another kind."""
    try:
        files = sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith((".", "DICOMDIR")))
    except OSError:
        return []
    return [one for one in files if is_dicom(one)] if any(is_dicom(one) for one in files[:_PROBED]) else []


def read_dicom(path: str) -> Header:
    """The header of a series: a folder of its slices, or one file.

    Raises:
        ConfigError: SimpleITK is not installed.
        DataError: a damaged file, slices of several series or at uneven places, voxels that are no real numbers or
            inverted ones.
    """
    folder = Path(path)
    if not folder.is_dir():
        reader = opened(path, path)
        _check_shade(reader, path)
        shape, dtype, affine = geometry(reader, path)
        return ForeignHeader(
            path, fields_of(path, shape, dtype, affine), "mm", load=lambda: values_of(reader.Execute, path)
        )
    files = [str(one) for one in slices_in(folder)]
    readers = [opened(file, file) for file in files]
    _check_one_series(path, readers, files)
    _check_shade(readers[0], files[0])
    files, step = _in_order(path, readers, files)
    shape, dtype, affine = geometry(readers[0], files[0])
    first = _place(readers[0]) if len(files) == 1 else _place(opened(files[0], files[0]))
    affine = affine.copy()
    affine[:3, 3] = TO_RAS[:3, :3] @ first
    if len(files) > 1:
        affine[:3, 2] = TO_RAS[:3, :3] @ step
    shape = (*shape[:2], len(files), *shape[3:])

    def load() -> np.ndarray:
        import SimpleITK as sitk

        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        return values_of(reader.Execute, path)

    return ForeignHeader(path, fields_of(path, shape, dtype, affine), "mm", load=load)


def _tag(reader: Any, tag: str) -> str:
    return str(reader.GetMetaData(tag)).strip() if reader.HasMetaDataKey(tag) else ""


def _place(reader: Any) -> np.ndarray:
    """Of the first voxel of a slice, in mm of the patient."""
    return np.asarray(reader.GetOrigin()[:3], float)


def _check_shade(reader: Any, path: str) -> None:
    kind = _tag(reader, _PHOTOMETRIC)
    if kind == "MONOCHROME1":
        raise DataError(
            "a volume whose grey values are inverted",
            code="volume-inverted",
            finding="voxel-datatype",
            where=path,
            found="MONOCHROME1: low numbers are bright",
            expected="MONOCHROME2, as CT and MRI have it",
            remedy="export it as MONOCHROME2, or as NIfTI",
        )


def _check_one_series(path: str, readers: list[Any], files: list[str]) -> None:
    series = {_tag(reader, _SERIES): file for reader, file in zip(reversed(readers), reversed(files), strict=True)}
    sizes = {tuple(reader.GetSize()[:2]) for reader in readers}
    if len(series) > 1 or len(sizes) > 1 or any(len(r.GetSize()) > 2 and r.GetSize()[2] > 1 for r in readers[1:]):
        named = ", ".join(Path(file).name for file in list(series.values())[:4])
        raise DataError(
            "a folder of several DICOM series, and not of one",
            code="several-series",
            finding="unreadable-file",
            where=path,
            found=f"{len(series)} series in {len(files)} files, such as {named}; slices of {len(sizes)} sizes",
            expected="the slices of one series in a folder of their own",
            remedy="move each series into its own folder; scouts and reports out of it",
        )


def _in_order(path: str, readers: list[Any], files: list[str]) -> tuple[list[str], np.ndarray]:
    """The files along the normal of their slices, and the step from one to the next."""
    direction = np.reshape(readers[0].GetDirection(), (readers[0].GetDimension(),) * 2)
    normal = np.cross(direction[:3, 0], direction[:3, 1]) if len(direction) > 2 else np.array([0.0, 0.0, 1.0])
    places = np.stack([_place(reader) for reader in readers])
    order = np.argsort(places @ normal, kind="stable")
    places, files = places[order], [files[k] for k in order]
    if len(files) == 1:
        return files, normal
    steps = np.diff(places, axis=0)
    step = (places[-1] - places[0]) / (len(files) - 1)
    size = float(np.linalg.norm(step))
    off = float(np.abs(steps - step).max()) if size else math.inf
    if not size or off > _EVEN * size:
        along = np.diff(places @ normal)
        raise DataError(
            "DICOM slices at uneven places",
            code="series-uneven",
            finding="unreadable-file",
            where=path,
            found=f"steps of {along.min():.4g} to {along.max():.4g} mm between {len(files)} slices",
            expected=f"equal steps, to {_EVEN:.0%}",
            remedy="add the missing slices, remove the doubled ones, or resample the series to an even grid",
        )
    return files, step
