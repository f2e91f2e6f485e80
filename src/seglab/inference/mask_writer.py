"""The one writer of masks: class ids back into a file that lies exactly on the image it was predicted from.

Every file is written under another name, synced, read again and compared before it gets its own name, so that a file
under the asked name is whole and right. Values are stored in the smallest unsigned type, unscaled. Each file carries a
mark, and what does not, is never written over.
"""

from __future__ import annotations

import errno
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image, PngImagePlugin

from seglab.data.io.image_files import read_mask_file
from seglab.data.io.nifti_files import restore_orientation
from seglab.data.io.nifti_headers import NIFTI_ENDINGS, Header
from seglab.data.io.ome_metadata import mark_of
from seglab.data.io.volume_files import read_header
from seglab.errors import DataError
from seglab.runtime.atomic_files import creating, replacing

# Under `Software` in a PNG, in `descrip` of a NIfTI header, `written_by` in an NPZ and in Zarr.
MARK = "seglab mask"
MOST_IN_A_PNG, MOST_IN_A_VOLUME = 2**16 - 1, 2**31 - 1


class MaskNotWritten(DataError):
    """A mask that is not on the disk as it was to be, whatever its image is."""


def check_targets(targets: Iterable[Path], inputs: Iterable[Path | str] = ()) -> None:
    """See that writing masks would cost nobody a file: what is there already are masks that were written here before.

    Args:
        targets: the masks to write.
        inputs: images, labels and whatever else is read; not written over even where they are such masks.

    Raises:
        DataError: names the first file that would be lost, or that stands where a folder of masks would.
    """
    targets = list(targets)
    for folder in dict.fromkeys(path.parent for path in targets):
        if os.path.lexists(folder) and not folder.is_dir():
            raise DataError(
                "a file in the place of the folder for masks",
                code="mask-place-taken",
                where=str(folder),
                found="a file",
                expected="a folder, or nothing yet",
                remedy="name a folder",
            )
    there = [path for path in targets if os.path.lexists(path)]
    read = {identity for path in (inputs if there else ()) if (identity := _inode(path)) is not None}
    for path in there:
        if _inode(path) in read:
            raise DataError(
                "a mask that would overwrite an image",
                code="mask-overwrites-image",
                where=str(path),
                found="a file that the cases are read from",
                expected="a folder that holds no image and no label of theirs",
                remedy="choose another folder for the masks",
            )
        if not written_here(path):
            raise DataError(
                "a file in the place of a mask, which was not written by this program",
                code="mask-place-taken",
                where=str(path),
                found="no mark of a predicted mask in it",
                expected="no such file, or a mask that was predicted before",
                remedy="choose another folder for the masks, or move the file away",
            )


def _inode(path: Path | str) -> tuple[int, int] | None:
    """What a file is, under whatever name; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def written_here(path: Path) -> bool:
    """Whether seglab wrote a file of a mask, as its mark says."""
    try:
        if path.is_dir():
            return mark_of(path) == MARK
        if path.suffix.lower() == ".npz":
            with np.load(path) as arrays:
                return str(arrays["written_by"]) == MARK
        if path.name.lower().endswith(NIFTI_ENDINGS):
            image: Any = nib.load(path)
            return bytes(image.header["descrip"].item()).startswith(MARK.encode())
        with path.open("rb") as file, PngImagePlugin.PngImageFile(file) as picture:  # without Image.open's limit
            return picture.info.get("Software") == MARK
    except (
        OSError,
        ValueError,
        LookupError,
        SyntaxError,
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
        nib.filebasedimages.ImageFileError,
    ):
        return False  # no such image at all


def write_mask(
    path: Path | str,
    mask: np.ndarray,
    *,
    like: Path | str | None = None,
    values: Sequence[int] | None = None,
    replace: bool = True,
) -> Path:
    """Writes a mask as PNG (2D) or NIfTI (3D), by the ending of `path`.

    Args:
        path: `.png`, `.nii` or `.nii.gz`; its folder is made.
        mask: `(H, W)` class ids for a PNG; `(X, Y, Z)` in RAS order for NIfTI.
        like: the volume that the mask belongs to: its axis order, affine, codes and units are taken over.
        values: the value to store for each class id, such as the data set's own labels; the ids themselves when None.
        replace: a mask that was written here before; else one that is there by then is refused.

    Returns:
        `path`.

    Raises:
        DataError: the ending, the rank or the image's shape does not fit, a file of another origin is there, or the
            mask reads back differently; a value below 0.
    """
    path = Path(path)
    check_targets([path])
    stored = _stored(mask, values)
    del mask  # a large one, which nobody else may hold
    if path.name.lower().endswith(NIFTI_ENDINGS):
        image, original = nifti_like(stored, like, path)
        return write_whole(
            path,
            lambda partial: nib.save(image, partial),
            lambda partial: nifti_difference(partial, image, original),
            replace=replace,
        )
    if path.suffix.lower() != ".png":
        raise DataError(
            "masks cannot be written in this format",
            code="mask-format",
            where=str(path),
            expected=f".png or {' or '.join(NIFTI_ENDINGS)}",
            remedy="end its name in one of them",
        )
    if stored.ndim != 2 or stored.dtype.itemsize > 2:
        raise DataError(
            "a PNG holds one plane of values up to 65535",
            code="mask-format",
            where=str(path),
            found=f"shape {stored.shape}, values up to {stored.max(initial=0)}",
            expected="(H, W)",
            remedy="write a volume as .nii.gz",
        )
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", MARK)
    return write_whole(
        path,
        lambda partial: Image.fromarray(stored).save(partial, pnginfo=mark),
        lambda partial: _check_png(partial, stored),
        replace=replace,
    )


def _stored(mask: np.ndarray, values: Sequence[int] | None) -> np.ndarray:
    """The values to store, in the smallest unsigned dtype that holds every class's value."""
    if values is None:
        return mask.astype(np.min_scalar_type(int(mask.max(initial=0))), copy=False)
    table = np.asarray(values)
    if table.min() < 0:
        raise DataError(
            "a mask of values below 0",
            code="mask-format",
            where="values",
            found=list(values),
            expected="values of 0 and more, as masks are stored without a sign",
            remedy="give other values, or none for the class ids",
        )
    return table.astype(np.min_scalar_type(int(table.max())))[mask]


def nifti_like(stored: np.ndarray, like: Path | str | None, path: Path) -> tuple[nib.Nifti1Image, Header]:
    """The mask in the axis order of `like`, under its header and in its unit, in memory; and the header of `like`."""
    if like is None:
        raise DataError(
            "a NIfTI mask needs the image that it belongs to",
            code="mask-format",
            where=str(path),
            remedy="give the image file as `like`",
        )
    original = read_header(str(like))
    turned = restore_orientation(stored, original.affine_in_file) if stored.ndim >= 3 else stored
    if turned.shape[:3] != original.shape[:3]:
        raise DataError(
            "the mask does not lie on the image",
            code="mask-geometry",
            where=str(like),
            found=f"a mask of shape {turned.shape} in the file's axis order",
            expected=f"{original.shape[:3]}",
            remedy="give the image that the mask was predicted from",
        )
    kind = nib.Nifti2Image if isinstance(original.fields, nib.Nifti2Header) else nib.Nifti1Image
    header = kind.header_class.from_header(original.fields)
    header.set_data_dtype(stored.dtype)
    header["cal_min"] = header["cal_max"] = 0  # display range, the image's
    header.set_intent("none")
    header["descrip"] = MARK
    image = kind(turned, original.affine_in_file, header)
    image.header.set_slope_inter(1, 0)
    return image, original


def nifti_difference(file: Path, image: nib.Nifti1Image, original: Header) -> str:
    """What differs between the file as it reads back and the mask, or where the original image lies."""
    again: Any = nib.load(file)
    mask, dtype = np.asarray(image.dataobj), again.get_data_dtype().newbyteorder("=")
    if dtype != mask.dtype:
        return f"type {dtype} in place of {mask.dtype}"
    if (again.dataobj.slope, again.dataobj.inter) != (1, 0):
        return f"values scaled by {again.dataobj.slope} and moved by {again.dataobj.inter}"
    if not np.array_equal(np.asarray(again.dataobj), mask):
        return "other values"
    if not np.array_equal(again.affine, original.affine_in_file):
        return "another affine"
    for field in ("qform_code", "sform_code", "xyzt_units"):
        if again.header[field] != original.fields[field]:
            return f"{field} {again.header[field]} in place of {original.fields[field]}"
    return ""


def _check_png(file: Path, stored: np.ndarray) -> str:
    return "" if np.array_equal(read_mask_file(file), stored) else "other values"


def write_whole(
    path: Path, save: Callable[[Path], object], difference: Callable[[Path], str], *, replace: bool = True
) -> Path:
    """Saves under a hidden name beside `path`, checks, and renames; over another file only with `replace`."""
    ending = next((end for end in NIFTI_ENDINGS if path.name.lower().endswith(end)), path.suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (replacing if replace else creating)(path, durable=True, ending=ending) as part:
            save(part)
            found = difference(part)
            if found:
                raise read_back(path, found)
    except OSError as error:
        raise unwritable_mask(path, error) from error
    return path


def read_back(path: Path, found: str) -> MaskNotWritten:
    """Of a mask that is not on the disk as it was written."""
    return MaskNotWritten(
        "the mask reads back differently from what was written",
        code="mask-read-back",
        where=str(path),
        found=found,
        remedy="check the health of that disk; no mask was left there",
    )


def unwritable_mask(path: Path, error: OSError) -> MaskNotWritten:
    """Of a mask that another process was faster to write, or that the disk refused."""
    if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
        return MaskNotWritten(
            "a mask that another process has written meanwhile",
            code="mask-raced",
            where=str(path),
            found="a file that was not there when this began; it is left as it is",
            expected="one process that writes to a folder, or skip_existing=true, with which several share the images",
            remedy="wait for the other, or choose another folder",
        )
    return MaskNotWritten(
        "the mask cannot be written",
        code="mask-unwritable",
        where=str(path),
        found=error.strerror or str(error),
        expected="room and permission; nothing half-written is left",
        remedy="free some space, or choose another folder",
    )
