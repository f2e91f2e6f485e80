"""Data sets and predictions of other formats than NIfTI, as users have them."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from foreign_volumes import SPACING, TURN, VOLUME, itk_image, stack, write_series

from seglab.data.io.nifti_files import read_image
from seglab.data.io.volume_files import parts_of, read_header
from seglab.data.sources.nifti import Nifti
from seglab.errors import ConfigError, DataError
from seglab.inference.input_files import found_files, named_inputs
from seglab.inference.mask_writer import write_mask
from seglab.task import Task

LABEL = (VOLUME > 0).astype(np.uint8)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mhd", ".tif", "series"])
def test_a_data_set_of_them_is_read_like_one_of_nifti(tmp_path: Path, ending: str) -> None:
    """The same cases, values, spacings and classes; images and labels may be of different kinds."""
    for folder in ("images", "labels", "nifti/images", "nifti/labels"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(3):
        image, label = itk_image(VOLUME + number), itk_image(LABEL)
        for one, folder in ((image, "images"), (label, "labels")):
            sitk.WriteImage(one, str(tmp_path / f"nifti/{folder}/case{number}.nii.gz"))
            target = tmp_path / folder / f"case{number}{'.nrrd' if ending == 'series' else ending}"
            if ending == ".tif":
                tifffile.imwrite(target, sitk.GetArrayFromImage(one), photometric="minisblack")
                target.with_suffix(".json").write_text(json.dumps({"spacing": list(SPACING[::-1])}))
            elif ending == "series" and folder == "images":
                write_series(tmp_path / folder / f"case{number}", one)
            else:
                sitk.WriteImage(one, str(target))
    source, other = Nifti(root=str(tmp_path)), Nifti(root=str(tmp_path / "nifti"))
    assert [case.id for case in source.cases] == [case.id for case in other.cases] == ["case0", "case1", "case2"]
    for case, same in zip(source.cases, other.cases, strict=True):
        sample, wanted = source.read(case), other.read(same)
        assert sample.spacing == pytest.approx(wanted.spacing, rel=1e-5)
        if ending != ".tif":  # which knows of no patient: its axes are columns, rows and slices
            np.testing.assert_array_equal(sample.image, wanted.image)
            np.testing.assert_array_equal(sample.mask, wanted.mask)
        else:
            assert float(sample.image.sum()) == float(wanted.image.sum())
    before = source.digest()
    victim = Path(parts_of(source.cases[0].image[0])[-1])
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    assert Nifti(root=str(tmp_path)).digest() != before, "a byte in any file of a case changes the digest"


def test_nnunet_reads_the_same_folder(tmp_path: Path) -> None:
    """`imagesTr` with `_0000`, as `dataset.json` says; two channels."""
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    for case in "ab":
        for number in range(2):
            sitk.WriteImage(itk_image(VOLUME + number), str(tmp_path / f"imagesTr/{case}_000{number}.nrrd"))
        sitk.WriteImage(itk_image(LABEL), str(tmp_path / f"labelsTr/{case}.nrrd"))
    described = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "bone": 1}, "numTraining": 2}
    (tmp_path / "dataset.json").write_text(json.dumps({**described, "file_ending": ".nrrd"}))
    source = Nifti(root=str(tmp_path))
    assert source.task.channels == 2
    sample = source.read(source.cases[0])
    np.testing.assert_array_equal(sample.image[..., 1], sample.image[..., 0] + 1)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", "series", ".tif"])
def test_a_mask_is_written_in_nifti_on_the_same_voxels(tmp_path: Path, ending: str) -> None:
    image = itk_image(direction=TURN)
    path = tmp_path / f"a{ending}"
    if ending == "series":
        path = write_series(tmp_path / "a", image)
    elif ending == ".tif":
        stack(path, "ome")
    else:
        sitk.WriteImage(image, str(path))
    values, affine, _ = read_image([str(path)])
    ids = (values[..., 0] > 1000).astype(np.uint8)
    written = nib.load(write_mask(tmp_path / "out" / "a.nii.gz", ids, like=path))
    again, again_affine, _ = read_image([str(tmp_path / "out" / "a.nii.gz")])
    np.testing.assert_array_equal(again[..., 0], ids)
    np.testing.assert_allclose(again_affine, affine, atol=1e-5)
    assert written.header.get_xyzt_units()[0] == "mm"


def test_what_is_predicted_of_a_command_line(tmp_path: Path) -> None:
    """A series is one image, and a folder of series is many."""
    write_series(tmp_path / "scans" / "p1.a", itk_image())
    write_series(tmp_path / "scans" / "p2", itk_image())
    sitk.WriteImage(itk_image(), str(tmp_path / "scans" / "c.nrrd"))
    task = Task(class_names=("background", "bone"), rank=3, channels=1)
    one = named_inputs(found_files([tmp_path / "scans" / "p1.a"], task), task)
    assert [str(each.name) for each in one] == ["p1.a"]
    many = named_inputs(found_files([tmp_path / "scans"], task), task)
    assert [str(each.name) for each in many] == ["c", "p1.a", "p2"]


def test_a_series_and_a_file_of_one_name(tmp_path: Path) -> None:
    write_series(tmp_path / "images" / "a", itk_image())
    (tmp_path / "labels").mkdir()
    for folder in ("images", "labels"):
        sitk.WriteImage(itk_image(LABEL), str(tmp_path / folder / "a.nrrd"))
    with pytest.raises(DataError, match="two files of one name"):
        Nifti(root=str(tmp_path))


def test_without_simpleitk_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sitk.WriteImage(itk_image(), str(tmp_path / "a.nrrd"))
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "SimpleITK" else found(name))
    with pytest.raises(ConfigError, match=r"pip install 'seglab\[formats\]'"):
        read_header(str(tmp_path / "a.nrrd"))


def test_folders_beside_the_images_are_no_series(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        sitk.WriteImage(itk_image(LABEL), str(tmp_path / folder / "a.nii.gz"))
    (tmp_path / "images" / "notes").mkdir()
    shutil.copy(__file__, tmp_path / "images" / "notes" / "a.txt")
    assert [case.id for case in Nifti(root=str(tmp_path)).cases] == ["a"]
