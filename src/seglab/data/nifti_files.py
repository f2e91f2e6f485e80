"""One NIfTI file to an array in RAS order and back, or why not."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel import orientations

from seglab.errors import DataError

NIFTI_ENDINGS = (".nii.gz", ".nii")
# What nibabel and the decompressor raise on damaged files.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
)
# Grids that belong together may differ by rounding in their headers: this share of a voxel.
AFFINE_TOLERANCE = 0.05
# Of the three directions of an affine; more means that two of them, or a spacing of 0, collapse.
_LARGEST_CONDITION = 1e6
# Between the two affines of one header: share of the voxel's size, cosine between directions (45°).
_SIZE_TOLERANCE, _SMALLEST_COSINE = 0.01, 0.7


def is_nifti(path: Path) -> bool:
    """By its ending, in upper or lower case."""
    return path.name.lower().endswith(NIFTI_ENDINGS)


def read_image(paths: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The volume of one file, or of a file for each modality.

    Returns:
        `(X, Y, Z, C)` float32 in RAS order, scaled as the headers say; its affine; the affine of the (first) file.

    Raises:
        DataError: a damaged file, no volume, NaN or infinite values, files that do not lie on one grid.
    """
    first, *others = paths
    values, affine, file_affine = _read_part(first)
    parts = [values]
    for path in others:
        part, part_affine, _ = _read_part(path)
        check_grid("an image", path, part.shape[:3], part_affine, first, values.shape[:3], affine)
        parts.append(part)
    return values if not others else np.concatenate(parts, axis=-1), affine, file_affine


def _read_part(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image, file_affine = load_ras(path)
    values = values_of(image, path).astype(np.float32)
    values = values[..., None] if values.ndim == 3 else values
    if values.ndim != 4:
        raise DataError(
            "an image with more axes than space and channels",
            finding="channel-mismatch",
            where=path,
            found=f"shape {image.shape}",
            expected="(X, Y, Z) or (X, Y, Z, C)",
            remedy="save each of its volumes as a file of its own",
        )
    if not np.isfinite(values).all():
        raise DataError(
            "an image with NaN or infinite values",
            finding="image-not-finite",
            where=path,
            found=f"{int((~np.isfinite(values)).sum())} of {values.size} voxels",
            expected="finite numbers",
            remedy="replace them, or leave the case out",
        )
    return values, image.affine, file_affine


def channels_of(paths: Sequence[str]) -> int:
    """Channels of an image, from the headers alone."""
    shapes = [load_ras(path)[0].shape for path in paths]
    return sum(shape[3] if len(shape) > 3 else 1 for shape in shapes)


def load_ras(path: str) -> tuple[Any, np.ndarray]:
    """The file as a nibabel image turned to the closest RAS orientation, its data still on disk, and its own affine.

    Raises:
        DataError: a damaged file, fewer than three axes, a header that does not say where its voxels lie.
    """
    try:
        image: Any = nib.load(path)
        if image.ndim < 3:
            raise DataError(
                "an image that is no volume",
                where=path,
                found=f"shape {image.shape}",
                expected="three spatial axes",
                remedy="use data=image_folder for 2D images",
            )
        if not np.isfinite(image.affine).all() or np.linalg.cond(image.affine[:3, :3]) > _LARGEST_CONDITION:
            raise DataError(
                "a volume whose header does not say where its voxels lie",
                finding="grid-mismatch",
                where=path,
                found=f"affine {np.round(image.affine, 4).tolist()}",
                expected="finite numbers, and three axes in three directions",
                remedy="write the header anew (spacing and directions), or remove the case",
            )
        _check_forms(image, path)
        return nib.as_closest_canonical(image), image.affine
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def values_of(image: Any, path: str) -> np.ndarray:
    """The voxels of a loaded image, scaled as its header says; raises `DataError` on a damaged file."""
    try:
        return np.asanyarray(image.dataobj)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def restore_orientation(array: np.ndarray, file_affine: np.ndarray) -> np.ndarray:
    """Turn an array from RAS back to the axis order and directions of the file that it was read from.

    Args:
        array: `(X, Y, Z)` or `(X, Y, Z, C)` in RAS order.
        file_affine: `Sample.file_affine`.
    """
    to_file = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), orientations.io_orientation(file_affine))
    return orientations.apply_orientation(array, to_file)


def check_grid(
    what: str,
    path: str,
    shape: Sequence[int],
    affine: np.ndarray,
    other: str,
    other_shape: Sequence[int],
    other_affine: np.ndarray,
) -> None:
    """Refuse `what` in the file `path` (in RAS order) when it does not lie voxel on voxel on the file `other`."""
    if tuple(shape) != tuple(other_shape):
        raise DataError(
            f"{what} of another size than its image",
            finding="size-mismatch",
            where=path,
            found=f"{tuple(shape)} in RAS order",
            expected=f"{tuple(other_shape)} as {other}",
            remedy=f"resample it to the grid of {Path(other).name} (a label by nearest neighbour), or remove the case",
        )
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    apart = float(np.abs(np.linalg.solve(other_affine, (affine - other_affine) @ corners)[:3]).max())
    if apart > AFFINE_TOLERANCE:
        raise DataError(
            f"{what} that lies elsewhere than its image",
            finding="grid-mismatch",
            where=path,
            found=f"the affines put a corner {apart:.2f} voxels apart",
            expected=f"the affine of {other}",
            remedy="resample it to the image, or copy the image's header if only the header is wrong",
        )


def _check_forms(image: Any, path: str) -> None:
    """The two affines of a NIfTI header may place it in two spaces; they must agree on what a voxel is."""
    if not isinstance(image, nib.Nifti1Pair):
        return
    (qform, _), (sform, _) = image.get_qform(coded=True), image.get_sform(coded=True)
    if qform is None or sform is None:
        return
    sizes = [nib.affines.voxel_sizes(form) for form in (qform, sform)]
    cosines = [float(column) for column in np.sum(qform[:3, :3] / sizes[0] * (sform[:3, :3] / sizes[1]), axis=0)]
    if np.allclose(sizes[0], sizes[1], rtol=_SIZE_TOLERANCE) and min(cosines) > _SMALLEST_COSINE:
        return
    told = [
        f"{name} {'×'.join(f'{step:.3g}' for step in size)} mm along {''.join(nib.aff2axcodes(form))}"
        for name, form, size in zip(("qform", "sform"), (qform, sform), sizes, strict=True)
    ]
    raise DataError(
        "a header whose qform and sform disagree",
        finding="grid-mismatch",
        where=path,
        found="; ".join(told),
        expected="the same voxel size and directions in both",
        remedy="keep the right one: with nibabel, image.set_qform(image.get_sform()) or the other way round, then save",
    )


def _unreadable(path: str, error: Exception) -> DataError:
    return DataError(
        "a file that cannot be read",
        finding="unreadable-file",
        where=path,
        found=f"{type(error).__name__}: {error}",
        expected="a whole NIfTI file (.nii, .nii.gz)",
        remedy="copy it again from its origin, or remove its case",
    )
