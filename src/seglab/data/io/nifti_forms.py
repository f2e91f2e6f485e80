"""Where a NIfTI header says its voxels lie: qform, sform, or the sizes alone; refused where that is not known."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np

from seglab.errors import DataError

# Of the three directions of an affine; more means that two of them, or a spacing of 0, collapse.
_LARGEST_CONDITION = 1e6
# Between the two affines of one header: share of the voxel's size, cosine between directions (45°).
_SIZE_TOLERANCE, _SMALLEST_COSINE = 0.01, 0.7
_SET = "write the right affine into the header: with nibabel, image.set_sform(affine, 1), then save; or remove the case"


def placed(fields: Any, sizes: np.ndarray, path: str, unit: str) -> None:
    """Refuse a header that does not say where its voxels lie, or that says it twice and differently.

    Args:
        fields: of the header.
        sizes: `pixdim` of the three axes as they stand in the file, before nibabel makes 1 of 0.
        path, unit: for messages.

    Raises:
        DataError: neither form is sound, the one that counts is not, or the two disagree on what a voxel is.
    """
    sform = fields.get_sform(coded=True)[0]
    qform = _qform(fields, sizes)
    coded = int(fields["qform_code"]) > 0
    if sform is None and (not coded or qform is None) and not _sound_sizes(sizes):
        raise _nowhere(path, f"voxel sizes (pixdim) {_shown(sizes)} and no sform", _SET)
    if sform is None and coded and qform is None:
        # nibabel does not even open it.
        raise _nowhere(path, "a qform whose quaternion is none, and no sform", "export it again, or remove the case")
    affine = fields.get_best_affine()
    if not _sound(affine):
        other = sform is not None and qform is not None and _sound(qform)
        remedy = "its qform is sound: with nibabel, image.set_sform(image.get_qform()), then save" if other else ""
        raise _nowhere(path, f"affine {np.round(affine, 4).tolist()}", remedy or _SET)
    if sform is not None and qform is not None and _sound(qform):
        _check_agreement(qform, sform, path, unit)


def _qform(fields: Any, sizes: np.ndarray) -> np.ndarray | None:
    """The qform where there is one that can be worked out."""
    if not _sound_sizes(sizes):
        return None
    try:
        qform: np.ndarray | None = fields.get_qform(coded=True)[0]
    except (ValueError, nib.spatialimages.HeaderDataError):  # a quaternion longer than 1
        return None
    return qform


def _sound_sizes(sizes: np.ndarray) -> bool:
    return bool(np.isfinite(sizes).all() and (sizes != 0).all())


def _sound(affine: np.ndarray) -> bool:
    return bool(np.isfinite(affine).all() and np.linalg.cond(affine[:3, :3]) <= _LARGEST_CONDITION)


def _shown(sizes: np.ndarray) -> str:
    return " × ".join(f"{size:g}" for size in sizes)


def _nowhere(path: str, found: str, remedy: str) -> DataError:
    return DataError(
        "a volume whose header does not say where its voxels lie",
        code="volume-position-unknown",
        finding="grid-mismatch",
        where=path,
        found=found,
        expected="finite numbers, and three axes in three directions",
        remedy=remedy,
    )


def _check_agreement(qform: np.ndarray, sform: np.ndarray, path: str, unit: str) -> None:
    """The two affines of a header may place it in two spaces; they must agree on what a voxel is."""
    sizes = [nib.affines.voxel_sizes(form) for form in (qform, sform)]
    cosines = [float(column) for column in np.sum(qform[:3, :3] / sizes[0] * (sform[:3, :3] / sizes[1]), axis=0)]
    if np.allclose(sizes[0], sizes[1], rtol=_SIZE_TOLERANCE, atol=0) and min(cosines) > _SMALLEST_COSINE:
        return
    descriptions = [
        f"{name} {'×'.join(f'{step:.3g}' for step in size)} {'mm' if unit == 'unknown' else unit} along "
        + "".join(nib.aff2axcodes(form))
        for name, form, size in zip(("qform", "sform"), (qform, sform), sizes, strict=True)
    ]
    raise DataError(
        "a header whose qform and sform disagree",
        code="volume-forms-disagree",
        finding="grid-mismatch",
        where=path,
        found="; ".join(descriptions),
        expected="the same voxel size and directions in both",
        remedy="keep the right one: with nibabel, image.set_qform(image.get_sform()), or "
        "image.set_sform(image.get_qform()), then save",
    )
