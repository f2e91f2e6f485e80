"""Headers of volumes: two affines in one, byte order, scaled labels."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from volumes import AFFINE, IMAGE, LABEL, folders

from seglab.data.nifti import Nifti
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
