"""One file of a volume to an array in RAS order and back, or why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

from seglab.data.io.nifti_headers import MILLIMETRES, Header
from seglab.data.io.ome_metadata import check_no_labels, is_zarr
from seglab.data.io.volume_files import read_header
from seglab.errors import DataError

# Grids that belong together may differ by rounding in their headers: this share of a voxel.
AFFINE_TOLERANCE = 0.05


def read_image(paths: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The volume of one file, or of a file for each modality.

    Returns:
        `(X, Y, Z, C)` float32 in RAS order, scaled as the headers say; its affine to mm, whatever unit the header
        names; the affine of the (first) file as it is there.

    Raises:
        DataError: a damaged file, no volume, NaN or infinite values, files that do not lie on one grid.
    """
    headers = [_header_of_image(path) for path in paths]
    for other in headers[1:]:
        check_grid("an image", other, headers[0])
    parts = [_read_part(header) for header in headers]
    values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
    return values, headers[0].ras[1], headers[0].affine_in_file


def spacing_of(affine: np.ndarray) -> tuple[float, ...]:
    """Voxel edges of an affine, to six digits: headers hold float32, and 0.05 mm is to be the same as 50 microns."""
    return tuple(float(f"{edge:.6g}") for edge in nib.affines.voxel_sizes(affine))


def _header_of_image(path: str) -> Header:
    if is_zarr(Path(path)):
        check_no_labels(Path(path))
    header = read_header(path)
    if len(header.shape) > 4:
        raise DataError(
            "an image with more axes than space and channels",
            code="image-channels",
            finding="channel-mismatch",
            where=path,
            found=f"shape {tuple(header.fields.get_data_shape())}",
            expected="(X, Y, Z) or (X, Y, Z, C)",
            remedy="save each of its volumes as a file of its own",
        )
    return header


def _read_part(header: Header) -> np.ndarray:
    values = header.values().astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        raise DataError(
            "an image with NaN or infinite values",
            code="image-not-finite",
            finding="image-not-finite",
            where=header.path,
            found=f"{int((~finite).sum())} of {values.size} voxels",
            expected="finite numbers",
            remedy="write a number in their place, such as that of the background (numpy.nan_to_num), or leave the "
            "case out",
        )
    return values[..., None] if values.ndim == 3 else values


def channels_of(paths: Sequence[str]) -> int:
    """Channels of an image, from the headers alone."""
    shapes = [_header_of_image(path).shape for path in paths]
    return sum(shape[3] if len(shape) > 3 else 1 for shape in shapes)


def restore_orientation(array: np.ndarray, file_affine: np.ndarray) -> np.ndarray:
    """Turn an array from RAS back to the axis order and directions of the file that it was read from.

    Args:
        array: `(X, Y, Z)` or `(X, Y, Z, C)` in RAS order.
        file_affine: `Sample.file_affine`.
    """
    to_file = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), orientations.io_orientation(file_affine))
    return orientations.apply_orientation(array, to_file)


def to_ras(array: np.ndarray, file_affine: np.ndarray) -> np.ndarray:
    """The way back of `restore_orientation`."""
    return orientations.apply_orientation(array, orientations.io_orientation(file_affine))


def check_grid(what: str, header: Header, other: Header) -> None:
    """Refuse `what`, the file of `header`, when it does not lie voxel on voxel on the file of `other`.

    A header that names no unit may be in mm or in the unit of the other one.
    """
    (shape, affine), (other_shape, other_affine) = header.ras, other.ras
    if shape != other_shape:
        raise DataError(
            f"{what} of another size than its image",
            code="mask-size-differs",
            finding="size-mismatch",
            where=header.path,
            found=f"{shape} in RAS order",
            expected=f"{other_shape} as {other.path}",
            remedy=f"resample it to the grid of {Path(other.path).name} (a label by nearest neighbour), "
            "or remove the case",
        )
    apart = _voxels_apart(shape, affine, other_affine)
    if apart > AFFINE_TOLERANCE and header.unit == "unknown":
        apart = min(apart, _voxels_apart(shape, replace(header, unit=other.unit).ras[1], other_affine))
    if apart > AFFINE_TOLERANCE:
        units = "" if MILLIMETRES[header.unit] == MILLIMETRES[other.unit] else f" (units {header.unit}, {other.unit})"
        raise DataError(
            f"{what} that lies elsewhere than its image",
            code="mask-lies-elsewhere",
            finding="grid-mismatch",
            where=header.path,
            found=f"the affines put a corner {apart:.2f} voxels apart{units}",
            expected=f"the affine of {other.path}",
            remedy="name the unit of both: of NIfTI with nibabel, image.header.set_xyzt_units(...), then save"
            if units
            else "resample it to the image, or copy the image's header if only the header is wrong",
        )


def _voxels_apart(shape: Sequence[int], affine: np.ndarray, other: np.ndarray) -> float:
    """How far two grids of this shape put the same corner from each other, in voxels of the other one."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.abs(np.linalg.solve(other, (affine - other) @ corners)[:3]).max())
