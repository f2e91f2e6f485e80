"""NRRD, MetaImage, DICOM and stacks in TIFF are read as the NIfTI file of the same voxels, or refused in words."""

from __future__ import annotations

import locale
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from foreign_volumes import SPACING, TURN, VOLUME, itk_image, stack, write_series

from seglab.data.digest import digest_files
from seglab.data.io.nifti_files import read_image, spacing_of
from seglab.data.io.volume_files import parts_of, read_header
from seglab.errors import DataError


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
    ("shape", "options", "words"),
    [
        ((5, 6), {}, "no volume"),
        ((5, 6, 3), {"photometric": "rgb"}, "no volume"),
        ((2, 4, 5, 6), {"imagej": True, "metadata": {"axes": "TZYX"}}, "no one volume"),
    ],
)
def test_a_tiff_that_is_no_volume(tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any], words: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **options)
    with pytest.raises(DataError, match=words):
        read_header(str(tmp_path / "a.tif"))
