"""Headers of volumes: two affines in one, byte order, scaled labels."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
from volumes import AFFINE, IMAGE, LABEL, folders

from seglab.data.sources.nifti import Nifti
from seglab.errors import DataError


def _header_forms(path, qform, sform, codes=(1, 2)):
    image = nib.Nifti1Image(IMAGE, None)
    image.set_qform(qform, code=codes[0])
    image.set_sform(sform, code=codes[1])
    nib.save(image, path)


@pytest.mark.parametrize("folder", ["images", "labels"])
@pytest.mark.parametrize(
    "sform", [np.diag([-0.5, 0.8, 5.0, 1]), np.diag([0.5, 0.8, 2.5, 1]), AFFINE[[1, 0, 2, 3]]], ids=["LAS", "mm", "ARS"]
)
def test_qform_and_sform_that_disagree_are_refused(tmp_path, folder, sform):
    folders(tmp_path, ("a",))
    source = Nifti(root=str(tmp_path))
    _header_forms(tmp_path / folder / "a.nii.gz", AFFINE, sform)
    with pytest.raises(DataError, match="qform and sform disagree") as caught:
        source.read(source.cases[0])
    assert f"{folder}/a.nii.gz" in str(caught.value)
    assert "0.5×0.8×5 mm along RAS" in str(caught.value)
    assert "set_qform" in str(caught.value)


@pytest.mark.parametrize("codes", [(0, 2), (1, 0)])
def test_one_form_alone_cannot_disagree(tmp_path, codes):
    folders(tmp_path, ("a",))
    _header_forms(tmp_path / "images" / "a.nii.gz", AFFINE, AFFINE, codes)
    source = Nifti(root=str(tmp_path))
    assert source.read(source.cases[0]).spacing == pytest.approx((0.5, 0.8, 5.0))


def test_a_form_in_another_space_is_no_disagreement(tmp_path):
    """Scanner and atlas: moved and turned by some degrees, the same voxels."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    turn[:3, 3] = 40
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        _header_forms(tmp_path / folder / "a.nii.gz", AFFINE, turn @ AFFINE)
    source = Nifti(root=str(tmp_path), label_values=list(range(4000))[:255])
    assert source.read_image(source.cases[0]).spacing == pytest.approx((0.5, 0.8, 5.0), rel=1e-5)


def test_big_endian_files_read_the_same(tmp_path):
    for folder, array in (("images", IMAGE), ("labels", LABEL.astype(np.int16))):
        header = nib.Nifti1Header(endianness=">")
        header.set_data_dtype(np.int16)
        (tmp_path / folder).mkdir()
        image = nib.Nifti1Image(array, AFFINE, header)
        nib.save(image, tmp_path / folder / "a.nii")
        assert nib.load(tmp_path / folder / "a.nii").header.endianness == ">"
    source = Nifti(root=str(tmp_path))
    sample = source.read(source.cases[0])
    assert sample.image.dtype == np.dtype("=f4")
    assert np.array_equal(sample.image[..., 0], IMAGE)
    assert np.array_equal(sample.mask, LABEL)


def test_scaled_labels_are_taken_only_when_they_are_whole(tmp_path):
    folders(tmp_path, ("a",))
    path = tmp_path / "labels" / "a.nii.gz"
    source = Nifti(root=str(tmp_path), label_values=[0, 2])
    for slope, wrong in ((2, False), (1.176, True)):
        image = nib.Nifti1Image(LABEL, AFFINE)
        image.header.set_slope_inter(slope, 0)
        nib.save(image, path)  # 0 and 1 in the file, 0 and slope to whoever reads it
        assert nib.load(path).dataobj.slope == pytest.approx(slope)
        if wrong:
            with pytest.raises(DataError, match="no whole numbers"):
                source.read(source.cases[0])
        else:
            assert np.array_equal(source.read(source.cases[0]).mask, LABEL)


def _patch(path, *fields):
    """Put (offset, format, values …) into the header of a compressed file."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    for offset, form, *values in fields:
        struct.pack_into(form, content, offset, *values)
    path.write_bytes(gzip.compress(bytes(content)))


CODES, SIZES, QUATERNION, ROWS = 252, 80, 256, 280
NO_FORM, QFORM, SFORM, BOTH = (0, 0), (1, 0), (0, 1), (1, 1)


def _case(root, codes, *fields):
    """A case whose image and label have the same codes and further fields."""
    folders(root, ("a",))
    for folder in ("images", "labels"):
        _patch(root / folder / "a.nii.gz", (CODES, "<2h", *codes), *fields)
    return Nifti(root=str(root))


@pytest.mark.parametrize(
    ("codes", "field"),
    [
        (NO_FORM, (SIZES, "<3f", -0.5, 0.8, -5)),  # a size is one, whatever its sign
        (QFORM, (SIZES, "<3f", 0.5, -0.8, 5)),
        (SFORM, (SIZES, "<3f", 0, 0, 0)),  # where the sform counts, the sizes do not
        (BOTH, (SIZES, "<3f", 0, np.nan, 0)),
        (BOTH, (QUATERNION, "<3f", 3, 3, 3)),
        (SFORM, (QUATERNION, "<3f", 3, 3, 3)),
    ],
)
def test_what_a_header_does_not_need_may_be_wrong(tmp_path, codes, field):
    source = _case(tmp_path, codes, field)
    assert source.read(source.cases[0]).spacing == pytest.approx((0.5, 0.8, 5.0))


@pytest.mark.parametrize(
    ("codes", "field", "says"),
    [
        (NO_FORM, (SIZES, "<3f", 0.5, 0, 5), r"voxel sizes \(pixdim\) 0.5 × 0 × 5 and no sform"),
        (QFORM, (SIZES, "<3f", 0.5, np.nan, 5), r"\(pixdim\) 0.5 × nan × 5"),
        (QFORM, (QUATERNION, "<3f", 3, 3, 3), "a qform whose quaternion is none"),
        (SFORM, (ROWS, "<12f", *[0] * 12), r"affine \[\[0\.0[\s\S]*write the right affine"),
        (BOTH, (ROWS, "<12f", *[0] * 12), r"image\.set_sform\(image\.get_qform\(\)\)"),
        (BOTH, (ROWS, "<4f", np.nan, 0, 0, 0), r"image\.set_sform\(image\.get_qform\(\)\)"),
        (SFORM, (ROWS, "<12f", 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0), "three axes in three directions"),
    ],
)
def test_a_header_that_does_not_say_where_its_voxels_lie(tmp_path, codes, field, says):
    with pytest.raises(DataError, match=f"does not say where its voxels lie[\\s\\S]*{says}") as caught:
        _case(tmp_path, codes, field)
    assert caught.value.finding == "grid-mismatch"
    assert "images/a.nii.gz" in caught.value.where


@pytest.mark.parametrize(
    "remedy", ["set_sform(image.get_qform())", "set_qform(image.get_sform())", "set_sform(affine, 1)"]
)
def test_the_remedies_for_forms_work(tmp_path, remedy):
    """Each is told in the message, and done to the file it makes it readable."""
    source = _case(tmp_path, BOTH)
    path = tmp_path / "images" / "a.nii.gz"
    if remedy == "set_sform(affine, 1)":
        _patch(path, (CODES, "<2h", 0, 1), (ROWS, "<12f", *[0] * 12))
    elif "get_sform" in remedy:
        _patch(path, (SIZES, "<3f", 0.5, 0.8, 2.5))
    else:
        _patch(path, (ROWS, "<12f", *[0] * 12))
    with pytest.raises(DataError) as caught:
        source.read(source.cases[0])
    assert f"image.{remedy}" in caught.value.remedy
    image = nib.load(path)
    image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    exec(f"image.{remedy}", {"image": image, "affine": AFFINE})
    nib.save(image, path)
    assert source.read(source.cases[0]).spacing == pytest.approx((0.5, 0.8, 5.0))
