"""A mask comes back voxel for voxel where its image lies, whatever way the file is stored."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import inv_ornt_aff, ornt_transform
from PIL import Image

from seglab.errors import DataError
from seglab.inference import mask_writer
from seglab.inference.mask_writer import write_mask

RAS = np.array([[0, 1], [1, 1], [2, 1]])
ORIENTATIONS = [
    np.array(list(zip(axes, signs, strict=True)))
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
SHAPE, SPACING = (3, 4, 5), (0.5, 0.8, 5.0)


def ras_affine(oblique: bool) -> np.ndarray:
    """From voxel to mm, 0.5 × 0.8 × 5 mm, off the origin; turned by some degrees when oblique."""
    turn = np.eye(3)
    if oblique:
        a, b = np.radians(12), np.radians(-7)
        turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
            [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
        )
    affine = np.eye(4)
    affine[:3, :3] = turn * SPACING
    affine[:3, 3] = (-31.5, 12.25, 7)
    return affine


def stored(path: Path, orientation: np.ndarray, oblique: bool) -> np.ndarray:
    """Writes an image in that orientation; returns its voxels in RAS order."""
    voxels = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    to_file = ornt_transform(RAS, orientation)
    image = nib.Nifti1Image(
        nib.orientations.apply_orientation(voxels, to_file), ras_affine(oblique) @ inv_ornt_aff(to_file, SHAPE)
    )
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=4)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return voxels


def test_there_are_48_orientations() -> None:
    assert len({tuple(map(tuple, orientation)) for orientation in ORIENTATIONS}) == 48


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda o: "".join(nib.orientations.ornt2axcodes(o)))
def test_back_into_every_orientation(tmp_path: Path, orientation: np.ndarray, oblique: bool) -> None:
    voxels = stored(tmp_path / "image.nii", orientation, oblique)
    # The mask is read off the image, in RAS order, so each of its voxels has one right place in the file.
    mask = (voxels > 0).astype(np.uint8) + (voxels > 1)
    write_mask(tmp_path / "mask.nii", mask, like=tmp_path / "image.nii")
    image, written = nib.load(tmp_path / "image.nii"), nib.load(tmp_path / "mask.nii")
    file_voxels = np.asarray(image.dataobj)
    np.testing.assert_array_equal(np.asarray(written.dataobj), (file_voxels > 0).astype(np.uint8) + (file_voxels > 1))
    np.testing.assert_array_equal(written.affine, image.affine)
    np.testing.assert_array_equal(nib.as_closest_canonical(written).dataobj, mask)
    for part in ("qform_code", "sform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d", "srow_x", "srow_z"):
        np.testing.assert_array_equal(written.header[part], image.header[part])
    np.testing.assert_array_equal(written.header.get_zooms(), image.header.get_zooms())


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(None, np.uint8), ((0, 5, 200), np.uint8), ((0, 2, 300), np.uint16), ((7, 1, 70000), np.uint32)],
)
def test_labels_are_stored_unscaled_in_the_smallest_type(
    tmp_path: Path, values: tuple[int, ...] | None, dtype: type
) -> None:
    stored(tmp_path / "image.nii.gz", ORIENTATIONS[11], oblique=False)
    mask = np.arange(60).reshape(SHAPE) % 3
    write_mask(tmp_path / "mask.nii.gz", mask, like=tmp_path / "image.nii.gz", values=values)
    written = nib.load(tmp_path / "mask.nii.gz")
    assert written.header.get_data_dtype() == dtype
    np.testing.assert_array_equal(
        nib.as_closest_canonical(written).get_fdata(), mask if values is None else np.take(values, mask)
    )
    write_mask(tmp_path / "mask.nii", mask, like=tmp_path / "image.nii.gz", values=values)
    slope, intercept = struct.unpack_from("<2f", (tmp_path / "mask.nii").read_bytes(), 112)
    assert (slope, intercept) == (1, 0)


def test_values_below_0_are_refused_rather_than_wrapped_to_255(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="below 0"):
        write_mask(tmp_path / "mask.png", np.eye(3, dtype=np.uint8), values=(-1, 5))
    assert not list(tmp_path.iterdir())


def test_a_mask_of_more_pixels_than_pillow_trusts_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    mask = np.arange(80, dtype=np.uint8).reshape(8, 10) % 3
    with pytest.raises(Image.DecompressionBombError):
        Image.open(write_mask(tmp_path / "mask.png", mask))
    assert np.array_equal(mask_writer.read_mask_file(tmp_path / "mask.png"), mask)
    write_mask(tmp_path / "mask.png", 1 - np.minimum(mask, 1))  # and written again
    assert np.array_equal(mask_writer.read_mask_file(tmp_path / "mask.png"), 1 - np.minimum(mask, 1))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.nii.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 50),
        ("m.nii.gz", b"\x1f\x8b\x08"),
        ("m.nii", b"x" * 400),
        ("m.png", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"),
        ("m.png", b"\x89PNG\r\n\x1a\n" + b"\xff" * 60),
        ("m.png", b"BM" + b"\xff" * 60),
        ("m.png", b""),
    ],
)
def test_a_damaged_file_in_the_place_of_a_mask_is_not_written_over(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="not written by this program"):
        mask_writer.check_targets([tmp_path / name])


def test_the_image_may_have_channels_another_scale_and_byte_order(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    header["cal_max"] = 900
    image = nib.Nifti1Image(np.random.default_rng(0).normal(size=(*SHAPE, 2)), ras_affine(False), header)
    image.header.set_slope_inter(0.01, 3)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a patient's name"))
    nib.save(image, tmp_path / "image.nii")
    mask = np.arange(60).reshape(SHAPE) % 2
    write_mask(tmp_path / "mask.nii", mask, like=tmp_path / "image.nii")
    written = nib.load(tmp_path / "mask.nii")
    np.testing.assert_array_equal(written.get_fdata(), mask)
    assert written.header["cal_max"] == 0
    assert not written.header.extensions


def test_forms_in_two_spaces_are_both_kept(tmp_path: Path) -> None:
    """Scanner and atlas; forms that disagree on what a voxel is are refused where the image is read."""
    image = nib.Nifti1Image(np.zeros(SHAPE, np.float32), None)
    image.set_qform(np.diag([-1, 1, 3, 1]), code=1)
    image.set_sform(np.diag([-1, 1, 3, 1]) + np.eye(4)[:, [3, 0, 1, 2]] @ np.diag([0, 0, 0, 40]), code=2)
    nib.save(image, tmp_path / "image.nii")
    write_mask(tmp_path / "mask.nii", np.zeros(SHAPE, int), like=tmp_path / "image.nii")
    image, written = nib.load(tmp_path / "image.nii"), nib.load(tmp_path / "mask.nii")
    for form in ("get_qform", "get_sform"):
        (ours, our_code), (theirs, their_code) = (getattr(i, form)(coded=True) for i in (written, image))
        assert our_code == their_code
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("top", "dtype"), [(200, "L"), (300, "I;16")])
def test_png(tmp_path: Path, top: int, dtype: str) -> None:
    mask = np.arange(12).reshape(3, 4) % 2
    path = write_mask(tmp_path / "new folder" / "ä mask.PNG", mask, values=(0, top))
    with Image.open(path) as written:
        assert written.mode == dtype
        np.testing.assert_array_equal(np.asarray(written), mask * top)
    assert [file.name for file in path.parent.iterdir()] == ["ä mask.PNG"]


def test_refuses_what_does_not_fit(tmp_path: Path) -> None:
    stored(tmp_path / "image.nii", ORIENTATIONS[5], oblique=False)
    volume, plane = np.zeros(SHAPE, np.uint8), np.zeros((3, 4), np.uint8)
    with pytest.raises(DataError, match="does not lie on the image"):
        write_mask(tmp_path / "m.nii", np.zeros((5, 5, 5), np.uint8), like=tmp_path / "image.nii")
    with pytest.raises(DataError, match="does not lie on the image"):
        write_mask(tmp_path / "m.nii", plane, like=tmp_path / "image.nii")
    with pytest.raises(DataError, match="needs the image"):
        write_mask(tmp_path / "m.nii", volume)
    with pytest.raises(DataError, match="one plane"):
        write_mask(tmp_path / "m.png", volume)
    with pytest.raises(DataError, match="one plane"):
        write_mask(tmp_path / "m.png", plane, values=(70000,))
    with pytest.raises(DataError, match="format"):
        write_mask(tmp_path / "m.jpg", plane)
    assert [file.name for file in tmp_path.iterdir()] == ["image.nii"]


def rolled(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.roll(np.asarray(image.dataobj), 1), image.affine, image.header)


def moved(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return nib.Nifti1Image(image.dataobj, image.affine + np.eye(4, k=3), image.header)


def wider(image: nib.Nifti1Image) -> nib.Nifti1Image:
    image.set_data_dtype(np.int16)
    return image


def scaled(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Two bytes of a half each give the same value as the one of 1."""
    half = nib.Nifti1Image(np.asarray(image.dataobj) * np.uint8(2), image.affine, image.header)
    half.header.set_slope_inter(0.5, 0)
    return half


def recoded(image: nib.Nifti1Image) -> nib.Nifti1Image:
    image.set_sform(image.affine, code=2)
    return image


def unitless(image: nib.Nifti1Image) -> nib.Nifti1Image:
    image.header.set_xyzt_units("meter")
    return image


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (rolled, "other values"),
        (moved, "another affine"),
        (wider, "type int16 in place of uint8"),
        (scaled, "values scaled by 0.5"),
        (recoded, "sform_code 2 in place of 4"),
        (unitless, "xyzt_units 1 in place of 10"),
    ],
)
def test_a_file_that_reads_back_differently_never_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[nib.Nifti1Image], nib.Nifti1Image], found: str
) -> None:
    save = nib.save
    stored(tmp_path / "image.nii", ORIENTATIONS[5], oblique=False)
    monkeypatch.setattr(mask_writer.nib, "save", lambda image, path: save(change(image), path))
    with pytest.raises(DataError, match="reads back differently") as caught:
        write_mask(tmp_path / "m.nii", np.arange(60).reshape(SHAPE) % 2, like=tmp_path / "image.nii")
    assert found in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["image.nii"]
