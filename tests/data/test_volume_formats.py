"""NRRD, MetaImage, DICOM and stacks in TIFF are read as the NIfTI file of the same voxels, or refused in words."""

from __future__ import annotations

import json
import locale
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile

from seglab.data.digest import digest_files
from seglab.data.io import volume_files
from seglab.data.io.nifti_files import read_image, spacing_of
from seglab.data.io.volume_files import parts_of, read_header
from seglab.data.sources.nifti import Nifti
from seglab.errors import ConfigError, DataError
from seglab.inference.input_files import found_files, named_inputs
from seglab.inference.mask_writer import write_mask
from seglab.task import Task

SPACING, ORIGIN = (0.5, 0.75, 2.5), (-10.0, 20.0, 30.0)
VOLUME = np.random.default_rng(0).integers(-1000, 3000, (6, 5, 4)).astype(np.int16)  # (X, Y, Z)
# 30° about the axis to the head: what ITK calls directions.
TURN = np.array([[np.cos(np.pi / 6), -np.sin(np.pi / 6), 0], [np.sin(np.pi / 6), np.cos(np.pi / 6), 0], [0, 0, 1.0]])


def itk_image(values: np.ndarray = VOLUME, direction: np.ndarray | None = None) -> Any:
    image = sitk.GetImageFromArray(np.moveaxis(values, (0, 1, 2), (2, 1, 0)), isVector=values.ndim == 4)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    if direction is not None:
        image.SetDirection(direction.ravel().tolist())
    return image


def write_series(folder: Path, image: Any, series: str = "1.2.3", **tags: str) -> Path:
    """One DICOM file a slice, named against their order."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    depth, spoken = image.GetDepth(), locale.setlocale(locale.LC_ALL)
    for number in range(depth):
        part = image[:, :, number]
        direction = image.GetDirection()
        place = image.TransformIndexToPhysicalPoint((0, 0, number))
        along = [direction[k] for k in (0, 3, 6, 1, 4, 7)]
        for key, value in {
            "0008|0060": "MR",
            "0020|000e": series,
            "0020|000d": "1.2",
            "0008|0018": f"{series}.{number}",
            "0020|0032": "\\".join(map(str, place)),
            "0020|0037": "\\".join(map(str, along)),
            "0020|0013": str(number),
            **tags,
        }.items():
            part.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{series}_{depth - number:03d}.dcm"))
        writer.Execute(part)
    locale.setlocale(locale.LC_ALL, spoken)  # writing DICOM changes it, and with it how Python decodes text
    return folder


def as_nifti(folder: Path, image: Any) -> str:
    sitk.WriteImage(image, str(folder / "same.nii.gz"))
    return str(folder / "same.nii.gz")


@pytest.mark.parametrize("turned", [None, TURN], ids=["straight", "oblique"])
@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd", "series"])
def test_it_is_read_as_the_same_volume_in_nifti(tmp_path: Path, ending: str, turned: np.ndarray | None) -> None:
    image = itk_image(direction=turned)
    if ending == "series":
        path = str(write_series(tmp_path / "a", image))
    else:
        path = str(tmp_path / f"a{ending}")
        sitk.WriteImage(image, path)
    values, affine, file_affine = read_image([path])
    wanted, wanted_affine, wanted_file = read_image([as_nifti(tmp_path, image)])
    np.testing.assert_array_equal(values, wanted)
    np.testing.assert_allclose(affine, wanted_affine, atol=1e-4)
    np.testing.assert_allclose(file_affine, wanted_file, atol=1e-4)
    assert spacing_of(affine) == pytest.approx(SPACING, rel=1e-5)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_numbers_and_channels_are_those_of_the_file(tmp_path: Path, ending: str, dtype: type) -> None:
    values = np.random.default_rng(1).integers(0, 200, (6, 5, 4, 3)).astype(dtype)
    path = str(tmp_path / f"a{ending}")
    sitk.WriteImage(itk_image(values), path, useCompression=True)
    header = read_header(path)
    assert header.shape == (6, 5, 4, 3)
    assert header.stored().dtype == dtype
    np.testing.assert_array_equal(header.stored(), values)


def test_a_nrrd_in_ras_and_in_microns(tmp_path: Path) -> None:
    """Written by hand: 3DSlicer's space is left-posterior-superior, others have RAS, and a unit of their own."""
    head = (
        "NRRD0004\ntype: uint8\ndimension: 3\nspace: right-anterior-superior\nsizes: 2 3 4\n"
        "space directions: (500,0,0) (0,750,0) (0,0,2500)\nkinds: domain domain domain\nencoding: raw\n"
        'space units: "um" "um" "um"\nspace origin: (1000,2000,3000)\n\n'
    )
    (tmp_path / "a.nrrd").write_bytes(head.encode() + bytes(range(24)))
    values, affine, _ = read_image([str(tmp_path / "a.nrrd")])
    np.testing.assert_allclose(affine, [[0.5, 0, 0, 1], [0, 0.75, 0, 2], [0, 0, 2.5, 3], [0, 0, 0, 1]], rtol=1e-6)
    np.testing.assert_array_equal(values[..., 0], np.arange(24).reshape(4, 3, 2).T)
    (tmp_path / "a.nrrd").write_bytes(head.replace("um", "furlong").encode() + bytes(range(24)))
    with pytest.raises(DataError, match="furlong"):
        read_header(str(tmp_path / "a.nrrd"))


def test_reading_leaves_the_language_of_the_process_alone(tmp_path: Path) -> None:
    folder, before = write_series(tmp_path / "a", itk_image()), locale.setlocale(locale.LC_ALL)
    sitk.WriteImage(itk_image(), str(tmp_path / "a.nrrd"))
    for path in (folder, tmp_path / "a.nrrd"):
        read_header(str(path)).stored()
    assert locale.setlocale(locale.LC_ALL) == before


def test_slices_are_ordered_by_place_and_scaled_as_they_say(tmp_path: Path) -> None:
    """Files are named against their order; CT counts from -1024."""
    folder = write_series(tmp_path / "ct", itk_image(VOLUME + 1024), **{"0028|1052": "-1024", "0028|1053": "1"})
    header = read_header(str(folder))
    # SimpleITK scales on reading, and unscales what it writes.
    np.testing.assert_array_equal(header.stored(), VOLUME + 1024)
    assert len(parts_of(folder)) == 4


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "1.2.3_002.dcm").unlink(), ["uneven places", "2.5 to 5 mm between 3 slices"]),
        (lambda folder: write_series(folder, itk_image(), "9.9"), ["several DICOM series", "2 series in 8 files"]),
        (lambda folder: cut(folder / "1.2.3_001.dcm"), ["cannot be read"]),
        (lambda folder: [invert(file) for file in folder.iterdir()], ["inverted", "MONOCHROME1"]),
    ],
    ids=["a slice is missing", "two series", "cut off", "inverted"],
)
def test_a_series_that_is_none(tmp_path: Path, spoil: Callable[[Path], object], words: list[str]) -> None:
    folder = write_series(tmp_path / "a", itk_image())
    spoil(folder)
    with pytest.raises(DataError) as caught:
        read_image([str(folder)])
    assert all(word in str(caught.value) for word in words), caught.value


def invert(file: Path) -> None:
    """SimpleITK writes MONOCHROME2, whatever it is told."""
    file.write_bytes(file.read_bytes().replace(b"MONOCHROME2", b"MONOCHROME1"))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nhdr", ".mhd"])
def test_a_file_that_was_cut_off(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(itk_image(), str(path))
    cut(tmp_path / "a.raw" if ending in (".nhdr", ".mhd") else path)
    with pytest.raises(DataError, match="cannot be read"):
        read_image([str(path)])


@pytest.mark.parametrize("name", ["../secret.raw", "/etc/hostname", "LIST", "a%03d.raw 1 4 1", "absent.raw"])
@pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
def test_a_header_opens_no_file_elsewhere(tmp_path: Path, ending: str, name: str) -> None:
    (tmp_path / "secret.raw").write_bytes(VOLUME.tobytes())
    folder = tmp_path / "set"
    folder.mkdir()
    sitk.WriteImage(itk_image(), str(folder / f"a{ending}"))
    text = (folder / f"a{ending}").read_text()
    (folder / f"a{ending}").write_text(text.replace("a.raw", name))
    with pytest.raises(DataError, match="names its voxels"):
        read_header(str(folder / f"a{ending}"))


def test_a_header_that_declares_more_than_there_is(tmp_path: Path) -> None:
    sitk.WriteImage(itk_image(), str(tmp_path / "a.mha"))
    raw = (tmp_path / "a.mha").read_bytes().replace(b"DimSize = 6 5 4", b"DimSize = 30000 30000 30000")
    (tmp_path / "a.mha").write_bytes(raw)
    with pytest.raises(DataError, match="declares"):
        read_header(str(tmp_path / "a.mha"))


@pytest.mark.parametrize(
    "broken", [b"", b"NRRD0004\n", b"NRRD0004\ntype: complex\n\n", b"\x00" * 400, b"ObjectType = Im"]
)
@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd", ".tif", ".dcm"])
def test_a_broken_file_is_named(tmp_path: Path, ending: str, broken: bytes) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(broken)
    with pytest.raises(DataError) as caught:
        read_header(str(path))
    assert str(path) in str(caught.value)


def stack(path: Path, form: str) -> None:
    values = np.moveaxis(VOLUME, (0, 1, 2), (2, 1, 0)).astype(np.uint16)
    if form == "ome":
        sizes = {"PhysicalSizeX": 500.0, "PhysicalSizeY": 750.0, "PhysicalSizeZ": 2500.0}
        tifffile.imwrite(path, values, ome=True, metadata={"axes": "ZYX", **sizes})
    elif form == "imagej":
        told = {"axes": "ZYX", "spacing": 2500.0, "unit": "um"}
        tifffile.imwrite(path, values, imagej=True, resolution=(1 / 500, 1 / 750), metadata=told)
    else:
        tifffile.imwrite(path, values, photometric="minisblack")
        if form == "nnunet":
            path.with_suffix(".json").write_text(json.dumps({"spacing": [2.5, 0.75, 0.5]}))


@pytest.mark.parametrize("form", ["ome", "imagej", "nnunet", "plain"])
def test_a_stack_in_tiff(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.tif"
    stack(path, form)
    header = read_header(str(path))
    np.testing.assert_array_equal(header.stored(), VOLUME.astype(np.uint16))
    wanted = (1.0, 1.0, 1.0) if form == "plain" else SPACING
    assert spacing_of(header.ras[1]) == pytest.approx(wanted, rel=1e-5)
    assert header.unit == ("unknown" if form == "plain" else "mm")


def test_the_sizes_of_nnunet_beside_numbered_files(tmp_path: Path) -> None:
    stack(tmp_path / "case_0000.tif", "plain")
    (tmp_path / "case.json").write_text('{"spacing": [4, 3, 2]}')
    path = str(tmp_path / "case_0000.tif")
    assert spacing_of(read_header(path).ras[1]) == (2.0, 3.0, 4.0)
    before = digest_files({"a": path}, {})
    (tmp_path / "case.json").write_text('{"spacing": [4, 3, 1]}')
    assert digest_files({"a": path}, {}) != before
    (tmp_path / "case.json").write_text('{"spacing": [4, 3]}')
    with pytest.raises(DataError, match="sizes of voxels"):
        read_header(path)


@pytest.mark.parametrize(
    ("shape", "told", "words"),
    [
        ((5, 6), {}, "no volume"),
        ((5, 6, 3), {"photometric": "rgb"}, "no volume"),
        ((2, 4, 5, 6), {"imagej": True, "metadata": {"axes": "TZYX"}}, "no one volume"),
    ],
)
def test_a_tiff_that_is_no_volume(tmp_path: Path, shape: tuple[int, ...], told: dict[str, Any], words: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **told)
    with pytest.raises(DataError, match=words):
        read_header(str(tmp_path / "a.tif"))


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
    found = volume_files.read_itk.__globals__["check_extras"].__globals__["importlib"].util.find_spec
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
