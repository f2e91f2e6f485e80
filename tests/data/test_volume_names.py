"""What the header and the first bytes of a volume say, whatever its format: the unit of its voxels, and its kind."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from foreign_volumes import SPACING, itk_image

from seglab.data.io.nifti_files import read_image, spacing_of
from seglab.data.io.volume_files import read_header
from seglab.data.sources.nifti_labels import read_label
from seglab.errors import DataError


def nrrd(fields: str) -> bytes:
    head = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n{fields}\n\n"
    return head.encode() + bytes(range(24))


AXES = "space dimension: 3\nspace directions: (50,0,0) (0,50,0) (0,0,50)\n"


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ('spacings: 50 50 50\nunits: "um" "um" "um"', 0.05),
        ('spacings: 50 50 50\nunits: "" "" ""', 50),
        ('spacings: 50 50 50\nkinds: space space space\nunits: "Microns" "Microns" "Microns"', 0.05),
        (f'{AXES}Space Units: "μm" "μm" "μm"', 0.05),
        (f'{AXES}space units: "inch" "inch" "inch"', 1270),
        (f'{AXES}# space units: "um" "um" "um"', 50),
        ('spacings: 50 50 50\nunits: "um" "um" "mm"', None),
        ('spacings: 50 50 50\nunits: "s" "s" "s"', None),
    ],
)
def test_the_unit_of_a_nrrd_wherever_it_is_named(tmp_path: Path, fields: str, size: float | None) -> None:
    (tmp_path / "a.nrrd").write_bytes(nrrd(fields))
    if size is None:
        with pytest.raises(DataError, match="units: "):
            read_header(str(tmp_path / "a.nrrd"))
    else:
        assert spacing_of(read_image([str(tmp_path / "a.nrrd")])[1]) == pytest.approx((size,) * 3)


@pytest.mark.parametrize(("unit", "factor"), [("um", 0.001), ("mm", 1), ("cm", 10), ("?", 1)])
def test_the_unit_of_a_metaimage(tmp_path: Path, unit: str, factor: float) -> None:
    sitk.WriteImage(itk_image(), str(tmp_path / "a.mha"))
    raw = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(
        raw.replace(b"ElementDataFile", f"DistanceUnits = {unit}\nElementDataFile".encode())
    )
    assert spacing_of(read_image([str(tmp_path / "a.mha")])[1]) == pytest.approx(np.array(SPACING) * factor, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"imagej": True, "metadata": {"axes": "ZYX", "spacing": 50, "unit": "Micron"}}, 0.05),
        ({"imagej": True, "metadata": {"axes": "ZYX", "unit": "centimeter"}}, (500, 500, 10)),
        ({"imagej": True, "metadata": {"axes": "ZYX", "spacing": 3, "unit": "pixel"}}, 1),
        ({"imagej": True, "metadata": {"axes": "ZYX", "spacing": 3, "unit": "furlong"}}, "furlong"),
        ({"ome": True, "metadata": {"axes": "ZYX", **{f"PhysicalSize{axis}": 50 for axis in "XY"}}}, "z: none"),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "ZYX",
                    **{f"PhysicalSize{axis}": 50 for axis in "XYZ"},
                    **{f"PhysicalSize{axis}Unit": "in" for axis in "XYZ"},
                },
            },
            1270,
        ),
    ],
)
def test_the_unit_of_a_stack(tmp_path: Path, options: dict[str, Any], found: Any) -> None:
    """ImageJ leaves a distance of slices out where it is 1."""
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, np.zeros((4, 5, 6), np.uint8), resolution=(1 / 50, 1 / 50), **options)
    if isinstance(found, str):
        with pytest.raises(DataError, match=found):
            read_header(str(file))
    else:
        wanted = found if isinstance(found, tuple) else (found,) * 3
        assert spacing_of(read_image([str(file)])[1]) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("wrote", "named", "message"),
    [
        ("a.nrrd", "b.nii.gz", "rename it: <case>.nrrd"),
        ("a.nii", "b.nrrd", "rename it: <case>.nii"),
        ("a.nii.gz", "b.mha", "rename it: <case>.nii.gz"),
        ("a.mha", "b.tif", "rename it: <case>.mha"),
    ],
)
def test_a_file_of_another_kind_is_to_be_renamed(tmp_path: Path, wrote: str, named: str, message: str) -> None:
    sitk.WriteImage(itk_image(), str(tmp_path / wrote))
    (tmp_path / wrote).rename(tmp_path / named)
    with pytest.raises(DataError) as refused:
        read_header(str(tmp_path / named))
    assert (refused.value.code, refused.value.remedy) == ("file-unreadable", message)


@pytest.mark.parametrize(
    ("name", "pack", "message"),
    [
        ("a.mha", gzip.compress, "a MetaImage file, compressed"),
        ("a.nrrd", bz2.compress, "compressed by bzip2"),
        ("a.nii.gz", gzip.compress, "compressed twice"),
        ("a.nii.gz", lambda _: b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    ],
)
def test_what_lies_around_a_file_is_named(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes], message: str
) -> None:
    file = tmp_path / name
    sitk.WriteImage(itk_image(), str(file))
    file.write_bytes(pack(file.read_bytes()))
    with pytest.raises(DataError) as refused:
        read_header(str(file))
    assert message in refused.value.found
    assert "copy it again" not in refused.value.remedy


@pytest.mark.parametrize("vectors", [True, False], ids=["channels of a voxel", "a fourth axis"])
def test_a_one_hot_label_is_mended_by_what_can_read_it(tmp_path: Path, vectors: bool) -> None:
    first = np.random.default_rng(0).integers(0, 2, (6, 5, 4))
    new = tmp_path / "new.mha"
    sitk.WriteImage(itk_image(first.astype(np.uint8)), str(tmp_path / "image.mha"))
    file = str(tmp_path / "a.mha")
    channels = [itk_image(one.astype(np.uint8)) for one in (1 - first, first)]
    sitk.WriteImage(sitk.Compose(channels) if vectors else sitk.JoinSeries(channels), file)
    with pytest.raises(DataError) as refused:
        read_label(file, str(tmp_path / "image.mha"))
    code = refused.value.remedy.split("SimpleITK as sitk: ")[1].split("; its values")[0]
    exec(code, {"sitk": sitk, "np": np, "file": file, "new": str(new)})
    np.testing.assert_array_equal(read_header(str(new)).stored(), first)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".tif"])
@pytest.mark.parametrize("drawn", [[(0, 0, 0), (0, 255, 0), (255, 0, 0)], [(0, 0, 0), (0, 128, 255), (255, 255, 0)]])
def test_a_label_in_colours_is_called_so(tmp_path: Path, ending: str, drawn: list[tuple[int, ...]]) -> None:
    """Pure red and green are not one-hot for that, and yellow no two volumes."""
    classes = np.random.default_rng(0).integers(0, 3, (6, 5, 4))
    colours = np.array(drawn, np.uint8)[classes]
    new, file, image = (str(tmp_path / f"{name}{ending}") for name in ("new", "a", "image"))
    if ending == ".tif":
        tifffile.imwrite(image, classes.T.astype(np.uint8), photometric="minisblack")
        tifffile.imwrite(file, colours.transpose(2, 1, 0, 3), photometric="rgb")
    else:
        sitk.WriteImage(itk_image(classes.astype(np.uint8)), image)
        sitk.WriteImage(itk_image(colours), file)
    with pytest.raises(DataError) as refused:
        read_label(file, image)
    assert refused.value.what == "a label in colours, in place of one number a voxel"
    assert "3 colours in 3 channels" in refused.value.found
    assert f"[0,1,2], in the order {', '.join(map(str, drawn))}" in refused.value.remedy
    if ending != ".tif":
        code = refused.value.remedy.split("SimpleITK as sitk: ")[1].split("; its values")[0]
        exec(code, {"sitk": sitk, "np": np, "file": file, "new": new})
        np.testing.assert_array_equal(read_header(new).stored(), classes)


def test_a_photograph_in_the_place_of_a_label(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3)).astype(np.uint8)
    sitk.WriteImage(itk_image(colours), str(tmp_path / "a.nrrd"))
    sitk.WriteImage(itk_image(colours[..., 0]), str(tmp_path / "image.nrrd"))
    with pytest.raises(DataError, match="a label in colours") as refused:
        read_label(str(tmp_path / "a.nrrd"), str(tmp_path / "image.nrrd"))
    assert "label_values" not in refused.value.remedy
