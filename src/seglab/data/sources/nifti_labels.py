"""The label of a volume: one whole number a voxel, on the grid of its image; a channel for each class is recognised."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seglab.data.io.itk_files import ITK_ENDINGS
from seglab.data.io.nifti_files import check_grid
from seglab.data.io.nifti_headers import Header, is_nifti
from seglab.data.io.volume_files import read_header
from seglab.data.labels.label_map import MAX_CLASSES, NEARLY_WHOLE, whole_numbers
from seglab.errors import DataError

_SAVED = (
    "with nibabel: i = nib.load(file); v = i.get_fdata(); n = nib.Nifti1Image({values}.astype('uint8'), i.affine); "
    "n.header.set_xyzt_units(*i.header.get_xyzt_units()); nib.save(n, new)"
)
_SAVED_BY_ITK = (
    "with SimpleITK as sitk: i = sitk.ReadImage(file); "
    # Channels along a fourth axis become channels of each voxel.
    "i = i if i.GetDimension() == 3 else sitk.Compose(*[i[:, :, :, k] for k in range(i.GetSize()[3])]); "
    "v = sitk.GetArrayFromImage(i); "
    "n = sitk.GetImageFromArray({values}.astype('uint8')); n.CopyInformation(i); sitk.WriteImage(n, new)"
)
_SHOWN = 8  # colours
_SAVED_BY_OTHERS = "v its voxels, save {values} as whole numbers, with the program that wrote it"


def read_label(path: str, image: str) -> tuple[np.ndarray, float]:
    """The values of a label file in RAS order.

    Args:
        path: of the label.
        image: the (first) file of the image that it belongs to.

    Returns:
        `(X, Y, Z)` whole numbers, and how far the file's values were from them.

    Raises:
        DataError: what `read_header` refuses; several values a voxel; a grid that is not the image's; no whole numbers.
    """
    header, of_image = read_header(path), read_header(image)
    if len(header.shape) > 3:
        raise _several_channels(header, of_image)
    check_grid("a label", header, of_image)
    values = header.values()
    try:
        return whole_numbers(values, path)
    except DataError as error:
        slope, inter = header.fields.get_slope_inter()
        if (slope or 1, inter or 0) == (1, 0) or header.fields.get_data_dtype().kind not in "iu":
            raise
        stored = "np.asarray(i.dataobj.get_unscaled())"
        raise DataError(
            error.what,
            code=error.code,
            finding=error.finding,
            where=path,
            found=f"{error.found}; whole numbers that its header multiplies by {slope:g} and moves by {inter:g}",
            expected=error.expected,
            remedy=f"if the scaling is a mistake, {_SAVED.format(values=stored)}",
        ) from error


def _several_channels(header: Header, image: Header) -> DataError:
    """What a label of more than three axes is, and how to give it."""
    what, found, remedy = "a label of several volumes", "", "save the one that is the label as a file of its own"
    shape = header.shape
    # One more axis than the image: behind its axes, or else in front of or between them.
    axis = next((k for k in (-1, 0, 1, 2) if shape[:k] + shape[k:][1:] == image.shape[:3]), -1)
    count = shape[axis]
    if len(shape) == 4 and count <= MAX_CLASSES:
        stored = header.stored()
        if axis == -1 and _are_colours(stored):
            return _in_colours(header, image, stored)
        values = _as_flags(stored, axis)
        total = values.sum(axis=axis, dtype=np.float64)
        known = (np.abs(values) <= NEARLY_WHOLE) | (np.abs(values - 1) <= NEARLY_WHOLE)
        one = np.abs(total - 1) <= NEARLY_WHOLE
        if known.all() and total.max() <= 1 + NEARLY_WHOLE:
            what = "a label that is one-hot: a channel for each class, in place of one number a voxel"
            mark = "1" if np.abs(stored - values.astype(np.float64)).max() <= NEARLY_WHOLE else "not 0"
            found = f", {'exactly' if one.all() else 'at most'} one of {count} channels is {mark} in each voxel"
            remedy = _numbered(header.path, axis, count, background=not one.all())
        elif known.all():
            what = "a label whose channels overlap, for voxels that can only be of one class"
            found = f", up to {round(total.max())} of {count} channels are 1 in one voxel"
            remedy = "decide which class wins, and save one whole number a voxel: the value of its class"
        elif one.all() and values.min() >= 0:
            what = "a label that is a probability for each class, in place of one number a voxel"
            found = f", the {count} channels add up to 1 in each voxel"
            remedy = _numbered(header.path, axis, count, background=False)
    return _refused(what, header, image, found, remedy)


def _refused(what: str, header: Header, image: Header, found: str, remedy: str) -> DataError:
    return DataError(
        what,
        code="label-channels",
        finding="label-channels",
        where=header.path,
        found=f"shape {tuple(header.fields.get_data_shape())}{found}",
        expected=f"{image.shape[:3]}: one whole number a voxel, the value of its class",
        remedy=remedy,
    )


def _are_colours(stored: np.ndarray) -> bool:
    """Whether channels are red, green and blue, perhaps with alpha, as painters of labels save them; where each voxel
    has exactly one channel that is not 0, there is no black, and they are one-hot."""
    painted = stored.dtype == np.uint8 and stored.shape[-1] in (3, 4) and int(stored.max()) == 255
    return painted and not ((stored > 0).sum(axis=-1) == 1).all()


def _in_colours(header: Header, image: Header, stored: np.ndarray) -> DataError:
    flat, count = stored.reshape(-1, stored.shape[-1]), stored.shape[-1]
    codes = np.unique(flat.astype(np.uint32) @ (256 ** np.arange(count - 1, -1, -1)).astype(np.uint32))
    found = f", {len(codes)} colours in {count} channels of 0 to 255"
    remedy = "save one whole number a voxel, the value of its class, with the program that it was drawn with"
    if len(codes) <= MAX_CLASSES:
        colours = [str(tuple(int(code) >> 8 * k & 255 for k in range(count - 1, -1, -1))) for code in codes[:_SHOWN]]
        numbered = f"np.unique(v.reshape(-1, {count}), axis=0, return_inverse=True)[1].reshape(v.shape[:-1])"
        remedy = (
            f"give each voxel the number of its colour: {_saved_with(header.path, -1).format(values=numbered)}; its "
            f"values are then data.label_values=[{','.join(map(str, range(len(codes))))}], in the order "
            f"{', '.join(colours)}{', …' if len(codes) > _SHOWN else ''}"
        )
    return _refused("a label in colours, in place of one number a voxel", header, image, found, remedy)


def _as_flags(values: np.ndarray, axis: int) -> np.ndarray:
    """The channels with 1 for the one number beside 0 that each holds, such as 255 or the value of its class; as they
    are where one holds several, or where voxels are in more than one."""
    each = np.moveaxis(values, axis, 0)
    largest = each.reshape(len(each), -1).max(axis=1).reshape(-1, *[1] * (each.ndim - 1))
    if not np.isfinite(largest).all() or (largest <= NEARLY_WHOLE).all():
        return values
    flags = np.abs(each) > NEARLY_WHOLE
    if (flags.sum(axis=0) > 1).any() or (np.abs(each - largest)[flags] > NEARLY_WHOLE).any():
        return values
    return np.moveaxis(flags.astype(np.uint8), 0, axis)


def _saved_with(path: str, axis: int) -> str:
    """How `{values}` of the voxels `v`, channels at `axis`, are saved in the place of a label."""
    by_itk = axis == -1 and path.lower().endswith(ITK_ENDINGS)
    return _SAVED if is_nifti(Path(path)) else _SAVED_BY_ITK if by_itk else _SAVED_BY_OTHERS


def _numbered(path: str, axis: int, count: int, background: bool) -> str:
    """How to give the number of a voxel's channel; `background`: 0 where no channel is 1."""
    channel = f"v.argmax({axis})"
    saved = _saved_with(path, axis).format(
        values=f"np.where(v.any({axis}), {channel} + 1, 0)" if background else channel
    )
    values = ",".join(map(str, range(count + background)))
    return (
        f"give each voxel the number of its channel{', 0 where there is none' if background else ''}: {saved}; "
        f'its values are then data.label_values=[{values}], or as many "labels" in dataset.json'
    )
