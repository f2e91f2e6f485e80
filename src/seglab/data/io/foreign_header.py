"""The header of a volume that is no NIfTI: what a NIfTI header would say of the same voxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nibabel as nib
import numpy as np

from seglab.data.io.nifti_headers import Header
from seglab.errors import DataError


@dataclass(frozen=True)
class ForeignHeader(Header):
    """Of a file that is no NIfTI: `fields` are those that a NIfTI file of the same voxels would have.

    Attributes:
        load: reads the voxels in the file's axis order; raises `DataError`.
    """

    load: Callable[[], np.ndarray] = field(kw_only=True)

    def _read(self) -> np.ndarray:
        return self.load()


def fields_of(path: str, shape: tuple[int, ...], dtype: Any, affine: np.ndarray, unit: str = "mm") -> Any:
    """A NIfTI header of such voxels.

    Args:
        path: for messages.
        shape: `(X, Y, Z)` or `(X, Y, Z, C)`.
        dtype: of a voxel, a real number.
        affine: 4×4 from voxel index to `unit`, in RAS.
        unit: `mm` or `unknown`.

    Raises:
        DataError: an axis without voxels; an affine that places nothing.
    """
    if min(shape) < 1:
        raise DataError(
            "a volume without voxels",
            code="empty-volume",
            where=path,
            found=f"{'×'.join(map(str, shape))} voxels",
            expected="one or more along each axis",
            remedy="export it again, or remove the case",
        )
    if not (np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0):
        raise DataError(
            "a volume whose header does not say where its voxels lie",
            code="volume-position-unknown",
            finding="grid-mismatch",
            where=path,
            found=f"affine {np.round(affine, 4).tolist()}",
            expected="finite numbers, and three axes in three directions",
            remedy="export it again, or remove the case",
        )
    fields = (nib.Nifti1Header if max(shape) < 2**15 else nib.Nifti2Header)()
    fields.set_data_dtype(np.dtype(dtype))
    fields.set_data_shape(shape)
    fields.set_sform(affine, code="scanner")
    fields.set_qform(affine, code="scanner")
    fields.set_xyzt_units(unit)
    return fields
