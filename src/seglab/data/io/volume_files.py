"""Volumes whatever their files: which there are, what lies behind a name, and the header of one."""

from __future__ import annotations

import os
from pathlib import Path

from seglab.data.io.dicom_series import DICOM_ENDINGS, is_dicom, read_dicom, slices_in
from seglab.data.io.file_contents import misnamed
from seglab.data.io.itk_files import ITK_ENDINGS, read_itk, voxel_file
from seglab.data.io.nifti_headers import NIFTI_ENDINGS, Header, unreadable
from seglab.data.io.nifti_headers import read_header as read_nifti
from seglab.data.io.ome_metadata import is_zarr
from seglab.data.io.tiff_stacks import TIFF_ENDINGS, read_stack, sizes_file
from seglab.data.io.zarr_volumes import files_of_zarr, read_zarr
from seglab.errors import DataError

VOLUME_ENDINGS = (*NIFTI_ENDINGS, *ITK_ENDINGS, *TIFF_ENDINGS, *DICOM_ENDINGS)


def is_volume(path: Path) -> bool:
    """A file by its ending, in upper or lower case; a folder by the DICOM slices in it, or as one of Zarr."""
    if path.is_dir():
        return is_zarr(path) or bool(slices_in(path))
    return path.name.lower().endswith(VOLUME_ENDINGS)


def series_in(folder: Path) -> list[Path]:
    """The folders in a folder that hold DICOM slices or are of Zarr, by name."""
    if not folder.is_dir():
        return []
    return [one for one in sorted(folder.iterdir()) if one.is_dir() and one.name[0] != "." and is_volume(one)]


def parts_of(path: str | os.PathLike[str]) -> list[str]:
    """Every file that a volume is read from: itself, the voxels that its header names, the slices or chunks of its
    folder."""
    name = os.fspath(path)
    if is_zarr(Path(name)):
        return files_of_zarr(Path(name))
    if os.path.isdir(name):
        return [str(one) for one in slices_in(Path(name))]
    try:
        other = sizes_file(name) if name.lower().endswith(TIFF_ENDINGS) else voxel_file(name)
    except (DataError, OSError):  # told when it is read
        other = None
    return [name] if other is None else [name, str(other)]


def read_header(path: str) -> Header:
    """The checked header of a volume; raises `DataError`, and `ConfigError` where SimpleITK or Zarr is missing."""
    try:
        return _read_by_name(path)
    except DataError as error:
        explained = misnamed(path) if error.code == "file-unreadable" and os.path.isfile(path) else None
        if explained is None:
            raise
        raise explained from error


def _read_by_name(path: str) -> Header:
    name = path.lower()
    try:
        if is_zarr(Path(path)):
            return read_zarr(path)
        if os.path.isdir(path) or name.endswith(DICOM_ENDINGS) or is_dicom(Path(path)):
            return read_dicom(path)
        if name.endswith(ITK_ENDINGS):
            return read_itk(path)
        if name.endswith(TIFF_ENDINGS):
            return read_stack(path)
    except OSError as error:
        raise unreadable(path, f"{type(error).__name__}: {error.strerror}", kind="volume") from error
    return read_nifti(path)
